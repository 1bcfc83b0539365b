# Make the image of a load generator, unless it is there. Follows common.sh.
# $1: its tag  $2: the image that it is made from  $3...: options of docker build
# stdin: the build context as a tar; nothing to only ask whether the image is there
# Says: the number of processors, then "there" or "missing", or, after a build, whether the image
# that it is made from was there before: "kept" or "fetched".
# shellcheck shell=sh disable=SC2154

tag=$1
base=$2
shift 2
nproc
if docker image inspect "$tag" >/dev/null 2>&1; then
    echo there
    exit 0
fi
if [ "$1" = ask ]; then
    echo missing
    exit 0
fi
shift
was=fetched
if docker image inspect "$base" >/dev/null 2>&1; then
    was=kept
fi
# A build that fails leaves nothing but what the engine itself keeps.
if ! said=$(docker build --force-rm --tag "$tag" --label rondo.proof=image "$@" - 2>&1); then
    last=$(printf '%s\n' "$said" | sed -n 's/^ ---> \([0-9a-f]\{12\}\)$/\1/p' | tail -n 1)
    if [ -n "$last" ] && [ "$(docker image inspect --format '{{len .RepoTags}}' "$last")" = 0 ]; then
        docker rmi "$last" >/dev/null 2>&1 || :
    fi
    fail 1 "$said"
fi
echo "$was"
