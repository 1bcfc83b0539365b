# Keep what a frontend's old container serves under its hashed names: open pages go on asking for it
# when the new one knows nothing of it. Follows common.sh; slot.sh calls it before it changes a slot.
# shellcheck shell=sh

# Where Rondo's own template puts a site, and where the usual images of Nginx do.
folders_of_sites='/srv/www /usr/share/nginx/html'

container_files() { # CONTAINER PATH: a tar of what is in a folder
    curl --silent --fail --max-time 120 --unix-socket /var/run/docker.sock --get \
        --data-urlencode "path=$2/." "http://docker/containers/$1/archive"
}

keep_assets() { # CONTAINER ROOT
    about=$(container_api "/containers/$1/json")
    assets=$(printf '%s' "$about" | sed -n 's|.*"rondo\.assets":"/\([^"]*\)/".*|\1|p')
    [ -n "$assets" ] || return 0
    image=$(printf '%s' "$about" | sed -n 's|.*"Image":"sha256:\([0-9a-f]*\)".*|\1|p')
    kept=$2/assets/$(printf '%s' "$about" | sed -n 's|.*"rondo\.service":"\([^"]*\)".*|\1|p')
    list=$kept/.lists/$image
    if [ -f "$list" ]; then
        touch "$list"
        return 0
    fi
    mkdir -p "$kept/.lists" "$kept/$assets"
    incoming=$(mktemp -d "$2/incoming.XXXXXX")
    for folder in $folders_of_sites; do
        container_files "$1" "$folder/$assets" | tar -x --no-same-owner -f - -C "$incoming" 2>/dev/null && break
    done
    take_assets || say "note	the files under /$assets/ of the release before could not be kept"
    rm -rf "$incoming"
}

take_assets() {
    # A link could lead out of the folder that Nginx shows to everybody.
    find "$incoming" ! -type f ! -type d -delete
    find "$incoming" -type f -name '*.gz' | while IFS= read -r packed; do
        [ ! -f "${packed%.gz}" ] || rm -f "$packed"
    done
    chmod -R u=rwX,go=rX "$incoming"
    (cd "$incoming" && find . -type f | sed "s|^\.|./$assets|") >"$list.next"
    [ -s "$list.next" ] || return 1
    cp -R -f -T "$incoming" "$kept/$assets" && replace_file "$list.next" "$list"
}
