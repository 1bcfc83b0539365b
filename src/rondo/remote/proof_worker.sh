# Run a load generator in a container until standard input ends: until its owner closes it or dies.
# Follows common.sh.
# $1: name of the container  $2: images to remove in the end, with spaces  $3...: arguments of
# docker run, the image and what it is given
# shellcheck shell=sh disable=SC2154

name=$1
images=$2
shift 2

# In a session of its own, so that it is finished whatever becomes of this one.
take_away() {
    trap - EXIT
    # shellcheck disable=SC2016
    setsid sh -c '
        docker rm --force "$1"
        [ -z "$2" ] || docker rmi $2
    ' _ "$name" "$images" </dev/null >/dev/null 2>&1 &
    wait $!
}

trap take_away EXIT
trap 'exit 0' HUP INT TERM
docker run --detach --name "$name" --label rondo.proof=worker "$@" >/dev/null
say started
# Nobody listens when the end comes: a word of the shell's own would then end it before its work.
exec >/dev/null 2>&1
cat
