# Let go of kept files that only old releases' pages ask for: the ten last of each frontend are kept,
# for thirty days. Follows common.sh and is followed by prune.sh's own words: $2 is the project's folder.
# shellcheck shell=sh

prune_assets() { # FOLDER-OF-A-SERVICE
    find "$1/.lists" -type f -mtime +30 -delete
    # shellcheck disable=SC2012 # names are digests
    ls -t "$1/.lists" | tail -n +11 | while IFS= read -r list; do rm -f "$1/.lists/$list"; done
    wanted=$(mktemp)
    cat "$1"/.lists/* >"$wanted" 2>/dev/null || :
    (cd "$1" && find . -path ./.lists -prune -o -type f -print | grep -vxF -f "$wanted" |
        while IFS= read -r file; do rm -f "$file"; done) || :
    rm -f "$wanted"
    find "$1" -mindepth 1 -type d -empty -not -path '*/.lists' -delete
}

for folder in "$2"/assets/*/; do
    [ -d "$folder/.lists" ] || continue
    prune_assets "${folder%/}"
done
