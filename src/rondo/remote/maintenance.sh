# Close sites for maintenance, or open them: Nginx looks for a file, so nothing is reloaded.
# Follows common.sh, and files.sh where pages were sent.
# $1: the project's folder  $2: on or off  $3: the folder of pages and flags  $4: Nginx's file of the sites
# $5: since when and by whom  $6...: sites
# shellcheck shell=sh disable=SC2154

state=$2
folder=$3
config=$4
told=$5
shift 5

close_site() {
    # Without a rule for it the file would close nothing, and everybody would believe it did.
    grep -qF "$folder/$1.on)" "$config" 2>/dev/null ||
        fail 12 "what is deployed here cannot close $1; run: fab deploy"
    # Workers of Nginx have to find the page, and the flag beside it.
    chmod 0755 "$folder"
    [ -f "$folder/$1.on" ] && return 0
    printf '%s\n' "$told" >"$folder/$1.on.next"
    chmod 0644 "$folder/$1.on.next" "$folder/$1.html"
    replace_file "$folder/$1.on.next" "$folder/$1.on"
    say "$1"
}

for site; do
    if [ "$state" = on ]; then
        close_site "$site"
    elif [ -f "$folder/$site.on" ]; then
        rm -f "$folder/$site.on"
        say "$site"
    fi
done
