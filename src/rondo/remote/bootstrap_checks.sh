# What forbids to bootstrap a server, found before anything is touched.
# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared between the parts

os_release() { sed -n "s/^$1=//p" /etc/os-release 2>/dev/null | tr -d "\"'"; }

# The process that listens on a port; empty when none does. It must do without ss, which a bare
# server may not have.
holder() { # PORT
    inode=$(awk -v port=":$(printf '%04X' "$1")" \
        '$4 == "0A" && substr($2, length($2) - 4) == port { print $10; exit }' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null)
    [ -n "$inode" ] || return 0
    descriptor=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" 2>/dev/null | head -n 1)
    process=${descriptor#/proc/}
    cat "/proc/${process%%/*}/comm" 2>/dev/null || echo 'another process'
}

foreign_holder() { # PORT
    name=$(holder "$1")
    [ -n "$name" ] || return 1
    [ "$name" != nginx ] || ! active nginx
}

check_system() {
    os=$(os_release ID)
    os_version=$(os_release VERSION_ID)
    codename=$(os_release VERSION_CODENAME)
    os_major=${os_version%%.*}
    case $os in debian) oldest=12 ;; ubuntu) oldest=22 ;; *) oldest='' ;; esac
    case $os_major in '' | *[!0-9]*) os_major=99 ;; esac # testing has no number
    if [ -z "$oldest" ] || [ "$os_major" -lt "$oldest" ]; then
        found=$(os_release PRETTY_NAME)
        problem system "this is ${found:-an unknown system}; Debian 12 or newer, or Ubuntu 22.04 or newer, is needed"
    elif [ ! -d /run/systemd/system ]; then
        problem system 'systemd does not run here, and services are started by it'
    fi
    half_installed=$(dpkg --audit 2>/dev/null; ls /var/lib/dpkg/updates 2>/dev/null)
}

check_engine() {
    if [ -d /snap/docker ]; then
        problem docker 'its Docker is a snap, which cannot mount /var/lib/rondo; remove it first: snap remove docker'
    elif ! command -v dockerd >/dev/null && [ "$(df -Pk /var | awk 'END { print $4 }')" -lt 1000000 ]; then
        problem docker 'less than 1 GB of disk is free at /var; make room first'
    fi
}

check_nginx() {
    if foreign_holder 80; then
        problem nginx "port 80 is held by $name; stop it or move it first (ss -ltnp 'sport = :80')"
    fi
    [ -z "$half_installed" ] && command -v nginx >/dev/null || return 0
    if ! answer=$(nginx -t 2>&1); then
        problem nginx "its Nginx configuration is broken already; mend it first: $(echo "$answer" | head -n 1 | tr '\t' ' ')"
    fi
}

check_user() {
    [ "$user" = - ] || [ -n "$(keys_of "$login")" ] || [ -n "$(keys_of "$user")" ] ||
        problem user "$login has no authorized_keys to hand to $user; add one first: ssh-copy-id $login@SERVER"
}

check_zone() {
    [ ! -d /usr/share/zoneinfo/Etc ] || [ -f "/usr/share/zoneinfo/$zone" ] ||
        problem time "settings.time_zone $zone is not known here; see timedatectl list-timezones"
}

