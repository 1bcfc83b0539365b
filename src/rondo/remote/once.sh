# Run a command once, in a new container that is gone afterwards. Follows common.sh.
# PROJECT NETWORK NAME IMAGE ENVIRONMENT ERRORS -- arguments of docker run
# ERRORS: 1 puts the command's errors among its output, 2 leaves them apart.
# shellcheck shell=sh disable=SC2154

project=$1 network=$2 name=$3 image=$4 environment=$5 errors=$6
shift 7
ensure_network "$network" "$project"
own_secrets "$image" "$environment"
trap 'docker rm --force "$name" >/dev/null 2>&1 || :' EXIT
trap 'exit 143' TERM INT HUP
# The shell gives what it starts in the background no input but what it is told to by name.
exec 3<&0
docker run --rm "$@" 2>&"$errors" <&3 3<&- &
wait "$!"
