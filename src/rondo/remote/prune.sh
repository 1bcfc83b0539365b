# Remove what no kept release needs. Follows common.sh.
# $1: project  $2: its folder, then what is kept, one a line each:
# $3: images  $4: environments  $5: releases  $6: services with a context  $7: sites with TLS
# shellcheck shell=sh disable=SC2154

project=$1
root=$2
holds() { printf '%s\n' "$1" | grep -qxF "$2"; }

docker image ls --format '{{.Repository}}:{{.Tag}}' --filter "label=rondo.project=$project" | while IFS= read -r image; do
    holds "$3" "$image" || docker image rm "$image" >/dev/null 2>&1 || :
done
for folder in "$root"/environments/*/; do
    [ -d "$folder" ] || continue
    folder=${folder%/}
    holds "$4" "${folder##*/}" || rm -rf "$folder"
done
for folder in "$root"/releases/*/; do
    folder=${folder%/}
    [ -d "$folder" ] && [ ! -h "$folder" ] || continue
    holds "$5" "${folder##*/}" || rm -rf "$folder"
done
for context in "$root"/contexts/*; do
    name=${context##*/}
    holds "$6" "${name%.manifest}" || rm -rf "$context"
done
for file in "$root"/tls/*; do
    name=${file##*/}
    holds "$7" "${name%.*}" || rm -f "$file"
done
rm -rf "$root"/incoming.*
docker image prune --force --filter "label=rondo.project=$project" >/dev/null 2>&1 || :
