# Put one Nginx configuration file in place, proved by Nginx itself, or leave the old one. Follows common.sh.
# $1: path  $2: folder for the cache, owned by Nginx's workers  $3: their user  stdin: the new text
# shellcheck shell=sh disable=SC2154

file=$1
cache=$2
user=$3
new=$file.next
old=$file.before
# There from before the file changes until Nginx runs with it, also when this script is killed in
# between: observe.sh reads no file that is marked so as installed. Empty, it does no harm in Nginx.
taking=$file.taking

# What a killed script left in place is not known to be good: what it kept is the old one still.
keep_old() {
    left=
    if [ -e "$taking" ]; then left=yes && return 0; fi
    rm -f "$old"
    [ ! -f "$file" ] || cp -p "$file" "$old"
    : >"$taking"
}

# The mark goes first: as long as it is there, the old file is needed.
unmark() {
    rm -f "$taking"
    rm -f "$old"
}

restore() {
    if [ -f "$old" ]; then
        cp -p "$old" "$new"
        replace_file "$new" "$file"
    else
        rm -f "$file"
    fi
}

mkdir -p "$cache" /run/rondo
share_transactions "${cache%/*}"
chown "$user" "$cache"
chmod 0700 "$cache" /run/rondo
cat >"$new"
chmod 0644 "$new"
keep_old
replace_file "$new" "$file"

if ! report=$(/usr/sbin/nginx -t 2>&1); then
    restore
    # It may have taken what a killed script left.
    if [ -z "$left" ] || reload_nginx >/dev/null; then unmark; fi
    fail 11 "Nginx refuses the new ${file##*/}; the old one is back in place and was never out of use:
$(printf '%s\n' "$report" | tail -n 6)"
fi
if ! report=$(reload_nginx); then
    restore
    if reload_nginx >/dev/null; then unmark; fi
    fail 11 "Nginx accepted ${file##*/} but did not take it in a reload; the old one is back:
$report
$(tail -n 4 /var/log/nginx/error.log 2>/dev/null)"
fi
unmark
say "event	reloaded	${file##*/}"
