# Build an image from the context that was sent. Follows common.sh.
# $1: context folder  $2: Dockerfile in it  $3: tag  $4: project  $5...: options of docker build
# shellcheck shell=sh disable=SC2154

context=$1
dockerfile=$2
tag=$3
project=$4
shift 4
# Docker 23 and later need the buildx plugin for BuildKit; 20.10 has its own client for it.
DOCKER_BUILDKIT=1
case $(docker --version) in
    *' 20.'* | *' 19.'*) ;;
    *) docker buildx version >/dev/null 2>&1 || DOCKER_BUILDKIT=0 ;;
esac
export DOCKER_BUILDKIT BUILDKIT_PROGRESS=plain
exec docker build --file "$context/$dockerfile" --tag "$tag" --label "rondo.project=$project" "$@" "$context" 2>&1
