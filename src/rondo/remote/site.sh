# Put one Nginx configuration file in place, proved by Nginx itself, or leave the old one. Follows common.sh.
# $1: path  $2: folder for the cache, owned by Nginx's workers  $3: their user  stdin: the new text
# shellcheck shell=sh disable=SC2154

file=$1
cache=$2
user=$3
new=$file.next
old=$file.before

restore() {
    if [ -f "$old" ]; then mv -f -T "$old" "$file"; else rm -f "$file"; fi
}

mkdir -p "$cache" /run/rondo
share_transactions "${cache%/*}"
chown "$user" "$cache"
chmod 0700 "$cache" /run/rondo
cat >"$new"
chmod 0644 "$new"
rm -f "$old"
[ ! -f "$file" ] || cp -p "$file" "$old"
replace_file "$new" "$file"

if ! report=$(/usr/sbin/nginx -t 2>&1); then
    restore
    fail 11 "Nginx refuses the new ${file##*/}; the old one is back in place and was never out of use:
$(printf '%s\n' "$report" | tail -n 6)"
fi
if ! report=$(reload_nginx); then
    restore
    reload_nginx >/dev/null || :
    fail 11 "Nginx accepted ${file##*/} but did not take it in a reload; the old one is back:
$report
$(tail -n 4 /var/log/nginx/error.log 2>/dev/null)"
fi
rm -f "$old"
say "event	reloaded	${file##*/}"
