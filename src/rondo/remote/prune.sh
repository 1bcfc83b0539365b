# Remove what no kept release needs. Follows common.sh.
# $1: project  $2: its folder, then what is kept, one a line each:
# $3: images  $4: environments  $5: releases  $6: services with a context  $7: sites with TLS
# $9: images of releases that are forgotten now
# shellcheck shell=sh disable=SC2154

project=$1
root=$2
share_transactions "$root"
holds() { printf '%s\n' "$1" | grep -qxF "$2"; }

# What containers use is kept though no release names it. An engine that does not answer, or not to
# its end, knows of none.
containers=$(container_api '/containers/json?all=1') || containers=
case $containers in \[*) ;; *) fail 12 "the Docker Engine does not answer, so nothing was removed" ;; esac

# Whether a container has a file of an environment: a bind mount names it where it is.
mounted() { # ENVIRONMENT
    case $containers in *"$root/environments/$1/"*) ;; *) return 1 ;; esac
}

docker image ls --format '{{.Repository}}:{{.Tag}}' --filter "label=rondo.project=$project" | while IFS= read -r image; do
    holds "$3" "$image" || docker image rm "$image" >/dev/null 2>&1 || :
done
for folder in "$root"/environments/*/; do
    [ -d "$folder" ] || continue
    folder=${folder%/}
    name=${folder##*/}
    if holds "$4" "$name" || mounted "$name"; then continue; fi
    # This file tells that the folder is whole.
    rm -f "$folder/env"
    rm -rf "$folder"
done
for folder in "$root"/releases/*/; do
    folder=${folder%/}
    [ -d "$folder" ] && [ ! -h "$folder" ] || continue
    holds "$5" "${folder##*/}" || rm -rf "$folder"
done
for context in "$root"/contexts/*; do
    name=${context##*/}
    name=${name%.manifest}
    if holds "$6" "$name"; then continue; fi
    # The manifest tells that the folder is whole.
    rm -f "$root/contexts/$name.manifest"
    rm -rf "$root/contexts/$name"
done
for file in "$root"/tls/*; do
    name=${file##*/}
    holds "$7" "${name%.*}" || rm -f "$file"
done
rm -rf "$root"/incoming.*

# Whether a release of any project on this server names an image, by its name or id.
named() { # IMAGE ID
    grep -qsF -e "\"$1\"" -e "\"$2\"" "${root%/*}"/*/releases/*/record.json
}

# What was pulled has no label of ours, and may be somebody else's as well: it goes when no release
# names it and no container, of whomever, was made of it.
prune_pulled() {
    printf '%s\n' "$1" | cat - "$root/pulled" 2>/dev/null | sort -u | while IFS= read -r image; do
        identity=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null) || continue
        case $containers in *"\"ImageID\":\"$identity\""*) used=yes ;; *) used= ;; esac
        if [ -z "$used" ] && ! holds "$2" "$image" && ! named "$image" "$identity"; then
            docker image rm "$image" >/dev/null 2>&1 && continue
        fi
        printf '%s\n' "$image"
    done >"$root/pulled.next"
    replace_file "$root/pulled.next" "$root/pulled"
}

prune_pulled "${9:-}" "$3"
docker image prune --force --filter "label=rondo.project=$project" >/dev/null 2>&1 || :
