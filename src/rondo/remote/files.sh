# Receive files (environments, certificates, records) as a tar on standard input. Follows common.sh.
# $1: the project's folder; names in the tar are relative to it. Each file arrives whole or not at all.
# shellcheck shell=sh disable=SC2154

root=$1
umask 077
mkdir -p "$root"
chmod 0711 "$root"
incoming=$(mktemp -d "$root/incoming.XXXXXX")
trap 'rm -rf "$incoming"' EXIT
tar -x -p -f - -C "$incoming"
(cd "$incoming" && find . -type f) | while IFS= read -r name; do
    name=${name#./}
    mkdir -p "$root/${name%/*}"
    replace_file "$incoming/$name" "$root/$name"
done
