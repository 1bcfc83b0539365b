# Receive files (environments, certificates, records) as a tar on standard input. Follows common.sh.
# $1: the project's folder; names in the tar are relative to it. Each file arrives whole or not at
# all, and so does each environment, whose folder tells that it need not be sent again.
# shellcheck shell=sh disable=SC2154

root=$1
umask 077
mkdir -p "$root"
chmod 0711 "$root"
incoming=$(mktemp -d "$root/incoming.XXXXXX")
trap 'rm -rf "$incoming"' EXIT
tar -x -p -f - -C "$incoming"
# What has arrived is put in its place though its client be gone: half of it would be no state to be in.
trap '' HUP INT TERM PIPE
sync -f "$incoming" 2>/dev/null || :
for folder in "$incoming"/environments/*/; do
    [ -d "$folder" ] || continue
    folder=${folder%/}
    kept=$root/environments/${folder##*/}
    mkdir -p "$root/environments"
    # Containers have the files of one that is there.
    if [ ! -f "$kept/env" ]; then
        rm -rf "$kept"
        mv -T "$folder" "$kept"
    fi
    rm -rf "$folder"
done
(cd "$incoming" && find . -type f) | while IFS= read -r name; do
    name=${name#./}
    mkdir -p "$root/${name%/*}"
    replace_file "$incoming/$name" "$root/$name"
done
