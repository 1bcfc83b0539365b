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
# The files of a folder at one stroke: with a key that is not its certificate's, Nginx does not start.
# Their content is on the disk by now, so that nothing need be waited for in between.
(cd "$incoming" && find . -type d) | while IFS= read -r folder; do
    mkdir -p "$root/$folder"
    find "$incoming/$folder" -maxdepth 1 -type f -exec mv -f -t "$root/$folder" {} +
done
sync -f "$root" 2>/dev/null || :
