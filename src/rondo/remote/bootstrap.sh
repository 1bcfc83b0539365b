# Docker's settings, services, folders, time; and the order of it all. The last part of bootstrap.
# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared between the parts

# --- Docker ------------------------------------------------------------------------------------

# Written before the engine is installed, so that it need not be restarted for it.
docker_settings() {
    file=/etc/docker/daemon.json
    if [ -s "$file" ]; then
        grep -q '"log-' "$file" ||
            tell note docker "$file is not Rondo's and left alone; consider \"live-restore\": true and limits in \"log-opts\""
        return 0
    fi
    if pgrep -x -a dockerd 2>/dev/null | grep -Eq -e '--(log-(opt|driver)|live-restore)'; then
        tell note docker 'the engine has its settings on its command line; left alone'
        return 0
    fi
    live='  "live-restore": true,
'
    # An engine that is part of a swarm refuses to start with it.
    [ ! -e /var/lib/docker/swarm/docker-state.json ] || live=''
    hold_file docker "$file" 644 'output of containers is rotated, and they live on when the engine restarts' \
        "{
$live  \"log-driver\": \"json-file\",
  \"log-opts\": {\"max-size\": \"10m\", \"max-file\": \"3\"}
}"
    [ "$mode" = plan ] || ! active docker || systemctl reload docker
}

# --- The rest ----------------------------------------------------------------------------------

enabled_units() {
    # A unit of a package that is only half there is not started yet, which says nothing.
    if [ "$mode" = plan ] && [ -n "$half_installed" ]; then return 0; fi
    for unit in containerd docker nginx; do
        systemctl cat "$unit.service" >/dev/null 2>&1 || continue
        systemctl is-enabled --quiet "$unit" && active "$unit" && continue
        want services "start $unit, now and at boot" || continue
        systemctl enable --now --quiet "$unit"
    done
}

folders() {
    hold_folder /var/lib/rondo 711 'sockets, releases, certificates'
    hold_folder /var/log/rondo 755 'log files of containers'
    # Nginx makes it when it starts; one that runs already does not.
    if [ "$mode" = apply ] || [ -z "$nginx_fresh" ]; then
        hold_folder /run/rondo 700 'sockets of the health gate'
    fi
    # Containers write under users of their own, hence `su`; and keep their files open, hence the copy.
    hold_file logs /etc/logrotate.d/rondo 644 'rotate the log files of containers' \
        '/var/log/rondo/*/*/*.log {
    su root root
    daily
    maxsize 100M
    rotate 7
    compress
    delaycompress
    missingok
    notifempty
    copytruncate
}'
}

time_zone() {
    present=/etc/localtime
    [ -e "$present" ] || present=/usr/share/zoneinfo/Etc/UTC
    cmp -s "$present" "/usr/share/zoneinfo/$zone" && return 0
    case $zone in UTC | Etc/UTC) [ -e /etc/localtime ] || return 0 ;; esac
    want time "set the time zone to $zone" || return 0
    [ -f "/usr/share/zoneinfo/$zone" ] || fail 1 "settings.time_zone $zone is not known on this server"
    timedatectl set-timezone "$zone" 2>/dev/null || ln -snf "/usr/share/zoneinfo/$zone" /etc/localtime
    [ ! -e /etc/timezone ] || printf '%s\n' "$zone" >/etc/timezone
}

# Listening addresses from which the world may be reached: neither loopback nor private.
PRIVATE='^(127|10|169[.]254|192[.]168|172[.](1[6-9]|2[0-9]|3[01])|100[.](6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7]))[.]'
PRIVATE6='^\\[(::1|::ffff:127[.].*|f[cd][0-9a-f]*:.*|fe80:.*)\\]'

# Rondo opens no port and touches no firewall; what is open beside ours is worth knowing.
note_ports() {
    command -v ss >/dev/null || return 0
    ss -ltnpH | awk -v private="$PRIVATE" -v private6="$PRIVATE6" '
        { port = $4; sub(/.*:/, "", port); process = "?"
          if (match($0, /\(\("[^"]*"/)) process = substr($0, RSTART + 3, RLENGTH - 4) }
        $4 ~ private || $4 ~ private6 { next }
        port == 80 || port == 443 || process == "sshd" || (process == "systemd" && port == 22) { next }
        { print port " (" process ")" }' | sort -un | while IFS= read -r open; do
        tell note ports "port $open listens on every or on a public address"
    done
    note_firewall
}

note_firewall() {
    if command -v ufw >/dev/null && ufw status | grep -q '^Status: active' &&
        ! ufw status | grep -Eq '^(80|443|80,443/tcp|Nginx|WWW|[^ ]*HTTP)'; then
        tell note ports 'the firewall ufw is on and names neither 80 nor 443; Rondo leaves it alone: ufw allow 80,443/tcp'
    fi
}

# --- In this order -----------------------------------------------------------------------------

check_system
if [ -z "$problems" ]; then
    check_engine
    check_nginx
    check_user
    check_zone
fi
[ -z "$problems" ] || exit 65

if [ "$mode" = apply ]; then
    exec 9>/run/rondo-bootstrap.lock
    flock -n 9 || fail 1 'another bootstrap of this server is under way; wait for it'
    log=$(mktemp)
    trap 'release_nginx; rm -rf "$log" "$saved" "$work"' EXIT
    trap 'exit 143' TERM INT
    release_nginx
fi
mend_packages
deploy_user
docker_settings
nginx_unit
need_tools
need_docker
need_nginx
need_time
install_missing
nginx_configuration
enabled_units
folders
time_zone
note_ports
