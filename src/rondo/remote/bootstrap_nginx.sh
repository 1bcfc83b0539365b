# Nginx: its unit, its limits, and who answers for names that nobody claims.
# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared between the parts

DEFAULT_SITE=/etc/nginx/conf.d/rondo-default.conf
DROP_IN=/etc/systemd/system/nginx.service.d/rondo.conf

# --- Nginx ------------------------------------------------------------------------------------

nginx_unit() {
    before=$(cat "$DROP_IN" 2>/dev/null || :)
    hold_file nginx "$DROP_IN" 644 'it starts again after a crash, and leaves no stale sockets' \
        '# Written by Rondo. Sockets in /run/rondo vanish with Nginx, so that it can bind them again.
[Unit]
StartLimitIntervalSec=0

[Service]
RuntimeDirectory=rondo
RuntimeDirectoryMode=0700
Restart=on-failure
RestartSec=500ms'
    [ "$mode" = plan ] || [ "$before" = "$(cat "$DROP_IN")" ] || systemctl daemon-reload
}

# The packages allow 512 to 1024 connections a worker, those to backends included.
nginx_connections() {
    file=/etc/nginx/nginx.conf
    if [ -e "$file" ]; then
        untouched nginx nginx-common "$file" || return 0
    elif [ -z "$nginx_fresh" ]; then
        return 0
    fi
    want nginx "allow 4096 connections a worker in $file (as it was: $file.before-rondo)" || return 0
    cp -p "$file" "$file.before-rondo"
    sed -e 's/^\([[:space:]]*worker_connections\)[[:space:]].*;/\1 4096;/' \
        -e 's/^events[[:space:]]*{/worker_rlimit_nofile 16384;\n\n&/' "$file" >"$file.rondo-new"
    chmod 644 "$file.rondo-new"
    replace_file "$file.rondo-new" "$file"
    nginx_changed=yes
}

# The package's own default site, where it is enabled and nobody has edited it.
package_site() {
    for site in /etc/nginx/sites-enabled/default /etc/nginx/conf.d/default.conf; do
        [ -e "$site" ] && untouched nginx nginx-common "$(readlink -f "$site")" && echo "$site" &&
            return 0
    done
    return 1
}

# Files of others with a server on a port; one without `listen` means 80.
foreign_sites() { # PORT
    command -v nginx >/dev/null || return 0
    nginx -T 2>/dev/null | awk -v wanted="$1" -v ours=/etc/nginx/conf.d/rondo- -v package="$2" '
        /^# configuration file / { file = substr($4, 1, length($4) - 1) }
        index(file, ours) == 1 || file == package { next }
        /^[[:space:]]*server[[:space:]]*([{]|$)/ { if (open && wanted == 80) print open; open = file }
        /^[[:space:]]*listen[[:space:]]/ {
            open = ""; port = $2; sub(/;.*/, "", port)
            if (port ~ /^unix:/) next
            if (port !~ /^[0-9]+$/ && ! sub(/^.*:/, "", port)) port = 80
            if (port !~ /^[0-9]+$/) port = 80
            if (port == wanted) print file
        }
        END { if (open && wanted == 80) print open }' | sort -u | tr '\n' ' '
}

# Whether we may answer for names that nobody claims on a port: it is ours already, or the
# package's page did so far, or there is no other site.
may_answer() { # PORT PACKAGE_SITE
    grep -q "listen $1 .*default_server" "$DEFAULT_SITE" 2>/dev/null && return 0
    others=$(foreign_sites "$1" "$2")
    { [ "$1" = 80 ] && [ -n "$2" ]; } || [ -z "$others" ] && return 0
    tell note nginx "port $1 has sites already (${others% }): left alone; names that none of them claims should be answered by a default_server there"
    return 1
}

# ssl_reject_handshake is as old as 1.19.4; before it a default on 443 would need a certificate.
can_reject() {
    [ -n "$nginx_fresh" ] && [ "$mode" = plan ] && return 0
    version=$(nginx -v 2>&1 | sed 's|.*/\([0-9.]*\).*|\1|')
    printf '1.19.4\n%s\n' "$version" | sort -V -C
}

listens() { # PORT OPTIONS
    printf '    listen %s default_server;\n' "$1$2"
    [ "$ipv6" = no ] || [ ! -e /proc/net/if_inet6 ] ||
        printf '    listen [::]:%s default_server;\n' "$1$2"
}

# TLS sessions are kept by the default server for all: without a cache here none is ever resumed.
default_site() {
    echo '# Written by Rondo: names that no site claims get no answer.'
    [ -z "$answer_80" ] || printf 'server {\n%s\n    server_name _;\n    access_log off;\n    return 444;\n}\n' \
        "$(listens 80 '')"
    [ -z "$answer_443" ] || printf 'server {\n%s\n    server_name _;\n    access_log off;\n%s\n}\n' \
        "$(listens 443 ' ssl')" '    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:rondo_default:10m;
    ssl_session_timeout 1d;
    ssl_session_tickets off;
    ssl_reject_handshake on;'
}

nginx_default() {
    page=$(package_site || :) answer_80='' answer_443=''
    may_answer 80 "$page" && answer_80=yes
    if foreign_holder 443; then
        tell note nginx "port 443 is held by $name: sites with TLS cannot be served until it is free"
    elif can_reject && may_answer 443 "$page"; then
        answer_443=yes
    fi
    if [ -z "$answer_80$answer_443" ]; then return 0; fi
    site=$(default_site)
    [ "$(cat "$DEFAULT_SITE" 2>/dev/null)" != "$site" ] || [ -n "$page" ] || return 0
    want nginx "give no answer to names that no site claims ($DEFAULT_SITE)" ||
        return 0
    [ -z "$answer_80" ] || [ -z "$page" ] || disable_page "$page"
    printf '%s\n' "$site" >"$DEFAULT_SITE"
    nginx_changed=yes
}

disable_page() {
    if [ -L "$1" ]; then rm -f "$1"; else mv -f "$1" "$1.before-rondo"; fi
}

# --- Nginx takes it, or all of it is as before ------------------------------------------------

save_nginx() {
    saved=$(mktemp -d)
    [ ! -d /etc/nginx ] || cp -a /etc/nginx "$saved/"
}

restore_nginx() {
    for file in nginx.conf conf.d/rondo-default.conf conf.d/default.conf sites-enabled/default; do
        rm -f "/etc/nginx/$file"
        [ ! -e "$saved/nginx/$file" ] || cp -a "$saved/nginx/$file" "/etc/nginx/$file"
    done
}

use_nginx() {
    [ -n "$nginx_changed" ] || return 0
    if ! answer=$(nginx -t 2>&1); then
        restore_nginx
        fail 1 "Nginx refused its new configuration, and the old one is back: $answer"
    fi
    active nginx || return 0
    if ! answer=$(reload_nginx); then
        restore_nginx
        reload_nginx || :
        fail 1 "Nginx did not reload, and the old configuration is back: $answer"
    fi
}

nginx_configuration() {
    [ "$mode" = plan ] || save_nginx
    nginx_connections
    nginx_default
    [ "$mode" = plan ] || use_nginx
    [ -z "$nginx_fresh" ] || [ "$mode" = plan ] || systemctl start nginx ||
        fail 1 "Nginx does not start: $(journalctl -u nginx --no-pager -n 5 -o cat)"
    [ ! -e /etc/nginx/nginx.conf ] ||
        grep -Eq '^[[:space:]]*include[[:space:]]+"?(/etc/nginx/)?conf\.d/\*(\.conf)?"?;' /etc/nginx/nginx.conf ||
        tell note nginx 'nginx.conf does not include conf.d/*.conf: add that inside its http { } block'
}
