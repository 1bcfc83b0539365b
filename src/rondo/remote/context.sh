# Keep the build context of a service in a folder, with its manifest beside it. Follows common.sh.
# The manifest is removed before the folder is touched and put there when all is done: a manifest
# that is there tells the truth, whatever was interrupted.
# $1: manifest | whole | changes  $2: folder  $3: digest of the manifest to come
# $4: digest of the manifest that the changes start from
# whole and changes take a tar on standard input: `removed` (paths, NUL after each), `tree/...`,
# and `manifest` at the end, which proves that everything arrived.
# shellcheck shell=sh

command=$1
folder=$2
manifest=$folder.manifest
staging=$folder.new

manifest_digest() {
    [ -f "$1" ] || return 0
    sum=$(sha256sum <"$1")
    printf '%s' "${sum%% *}"
}

receive() { # DIGEST
    mkdir -p "${folder%/*}"
    chmod 0700 "${folder%/*}"
    rm -rf "$staging"
    trap 'rm -rf "$staging"' EXIT
    trap 'exit 143' HUP INT TERM PIPE
    mkdir "$staging"
    tar -x -p --no-same-owner -f - -C "$staging" || fail 1 "the context could not be unpacked in ${folder%/*}"
    if [ "$(manifest_digest "$staging/manifest")" != "$1" ]; then
        fail 1 'the context did not arrive whole; the earlier one is untouched'
    fi
}

# Remove paths given from a file, all of them inside of the current folder.
remove_listed() { # FILE
    # shellcheck disable=SC2016
    xargs -0 -r sh -c '
        for path do
            case "/$path/" in
                *//* | */./* | */../*) printf "%s is no path inside of a context\n" "$path" >&2; exit 255 ;;
            esac
            parent=$path
            while [ "$parent" != "${parent%/*}" ]; do
                parent=${parent%/*}
                [ ! -h "$parent" ] || { printf "%s is a link, not a folder\n" "$parent" >&2; exit 255; }
            done
        done
        rm -rf -- "$@" || exit 255
    ' _ <"$1" || fail 1 'what is no longer part of the context could not be removed'
}

umask 022
case $command in
    manifest)
        [ ! -f "$manifest" ] || cat "$manifest"
        ;;
    whole)
        receive "$3"
        rm -f "$manifest"
        rm -rf "$folder"
        mv -T "$staging/tree" "$folder"
        mv -T "$staging/manifest" "$manifest"
        ;;
    changes)
        if [ "$(manifest_digest "$manifest")" != "$4" ]; then
            fail 1 "the context in $folder is not the one that the changes start from"
        fi
        receive "$3"
        rm -f "$manifest"
        cd "$folder" || fail 1 "there is no context in $folder"
        remove_listed "$staging/removed"
        # Hard links: nothing is copied, and each file changes as a whole.
        cp -a -l -f -T "$staging/tree" .
        cd /
        mv -T "$staging/manifest" "$manifest"
        ;;
esac
