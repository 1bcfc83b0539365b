# Remove what the Docker Engine and interrupted changes leave behind. Follows common.sh and prune.sh.
# $1: project  $2: its folder  $8: bytes of build cache to keep, empty to leave it alone
# shellcheck shell=sh disable=SC2154

# A socket's folder whose container is gone; while a slot changes, its new folder has none yet.
# No one else may share the lock then, and we no longer do.
prune_sockets() { # PROJECT FOLDER
    exec 8>>"$2/lock.transaction"
    flock -n 8 || return 0
    known=$(container_api "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22rondo.project%3D$1%22%5D%7D") || return 0
    # An engine that does not answer, or not to its end, knows of no container.
    case $known in \[*) ;; *) return 0 ;; esac
    for folder in "$2"/sockets/*/*/; do
        folder=${folder%/}
        if [ ! -d "$folder" ] || [ -h "$folder" ]; then continue; fi
        case $known in *"\"rondo.instance\":\"${folder##*/}\""*) ;; *) rm -rf "$folder" ;; esac
    done
    flock -u 8
}

prune_sockets "$1" "$2"
# The least recently used goes first; a build that misses it only takes longer.
[ -z "$8" ] || docker builder prune --all --force --keep-storage "$8" >/dev/null 2>&1 || :
