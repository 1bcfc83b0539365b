# Run a command once, in a new container that is gone afterwards. Follows common.sh.
# PROJECT NETWORK NAME IMAGE ENVIRONMENT -- arguments of docker run
# shellcheck shell=sh disable=SC2154

project=$1 network=$2 name=$3 image=$4 environment=$5
shift 6
ensure_network "$network" "$project"
own_secrets "$image" "$environment"
trap 'docker rm --force "$name" >/dev/null 2>&1 || :' EXIT
trap 'exit 143' TERM INT HUP
docker run --rm "$@" 2>&1 <&0 &
wait "$!"
