# Packages: which are needed, from where, and one installation for all of them.
# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared between the parts

HOLD=/run/systemd/system/nginx.service.d/rondo-hold.conf
LOCK_WAIT=120
DOCKER_KEY=9DC858229FC7DD38854AE2D88D81803C0EBFCD88
NGINX_KEYS='573BFD6B3D8FBC641079A6ABABF5BD827BD9BF62
8540A6F18833A80E9C1653A42FD21310B49F6B46
9E9BE90EACBCDE69FE9B204CBCDCD8A38D88A2B3'

# --- Packages ---------------------------------------------------------------------------------

# Somebody else's apt, like the updates of a first boot, is waited for.
waiting_for_lock() { # COMMAND...
    limit=$(($(date +%s) + LOCK_WAIT))
    until "$@" >"$log" 2>&1 </dev/null 9>&-; do
        if grep -Eq 'Could not get lock|is locked by another|Unable to (acquire|lock)' "$log" &&
            [ "$(date +%s)" -lt "$limit" ]; then
            sleep 1
        else
            tail -n 20 "$log" >&2
            fail 1 "$1 failed; above is what it said last"
        fi
    done
}

refresh_lists() {
    [ -z "${refreshed:-}" ] || return 0
    waiting_for_lock apt-get -q -o Acquire::Retries=3 update
    refreshed=yes
}

# Nothing is ever removed to make room for another package.
install_packages() {
    refresh_lists
    waiting_for_lock apt-get -q -y --no-install-recommends --no-remove -o Acquire::Retries=3 \
        -o DPkg::Lock::Timeout="$LOCK_WAIT" \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install "$@"
}

mend_packages() {
    [ -n "$half_installed" ] || return 0
    want packages 'finish an installation that was interrupted (dpkg --configure -a)' || return 0
    active nginx || hold_nginx
    waiting_for_lock dpkg --configure -a --force-confdef --force-confold
    waiting_for_lock apt-get -q -y --no-remove -o DPkg::Lock::Timeout="$LOCK_WAIT" -f install
    release_nginx
}

# Say which of these packages are to be installed, and remember them.
need() { # ITEM MEANING PACKAGES...
    item=$1 meaning=$2 absent=''
    shift 2
    for package; do installed "$package" || absent="$absent $package"; done
    [ -n "$absent" ] || return 0
    want "$item" "install$absent: $meaning" || return 0
    missing="$missing$absent"
}

need_tools() {
    need tools 'what the scripts on this server use' \
        ca-certificates curl iproute2 logrotate procps tar tzdata util-linux
}

need_docker() {
    if engine=$(command -v dockerd) && ! installed docker.io; then
        dpkg -S "$engine" >/dev/null 2>&1 ||
            tell note docker "$engine belongs to no package; it is kept, and not updated by apt"
        return 0
    fi
    if [ "$docker_source" = vendor ] && ! installed docker.io; then
        need_repository docker stable "https://download.docker.com/linux/$os" \
            "https://download.docker.com/linux/$os/gpg" "$DOCKER_KEY"
        need docker 'Docker Engine' docker-ce docker-ce-cli containerd.io docker-buildx-plugin iptables
        return 0
    fi
    [ "$docker_source" = distribution ] ||
        tell note docker 'docker.io of the distribution is kept; docs/servers.md says how to change over'
    case $os-$os_major in
        debian-12) set -- docker.io ;;
        debian-*) set -- docker.io docker-cli docker-buildx ;;
        *) set -- docker.io docker-buildx ;;
    esac
    # Without its parser the engine would run containers unconfined.
    [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" != Y ] || in_container ||
        set -- "$@" apparmor
    need docker 'Docker Engine' "$@" iptables
}

need_nginx() {
    if command -v nginx >/dev/null; then
        [ "$nginx_source" = distribution ] || [ -f /etc/apt/sources.list.d/rondo-nginx.list ] ||
            tell note nginx 'the installed Nginx is kept; docs/servers.md says how to change over'
        return 0
    fi
    [ "$nginx_source" = distribution ] ||
        need_repository nginx nginx "https://nginx.org/packages/$os" \
            https://nginx.org/keys/nginx_signing.key "$NGINX_KEYS"
    need nginx 'the web server' nginx
    nginx_fresh=yes
}

need_time() {
    in_container && return 0
    for package in chrony ntp ntpsec openntpd systemd-timesyncd; do
        installed "$package" && return 0
    done
    need time 'keep the clock right' systemd-timesyncd
}

# --- Vendors' repositories --------------------------------------------------------------------

need_repository() { # NAME COMPONENT URL KEY_URL FINGERPRINTS
    key=/etc/apt/keyrings/rondo-$1.asc list=/etc/apt/sources.list.d/rondo-$1.list
    line="deb [arch=$(dpkg --print-architecture) signed-by=$key] $3 $codename $2"
    [ "$(cat "$list" 2>/dev/null)" = "$line" ] && [ -s "$key" ] && return 0
    want "$1" "trust the packages of $3 ($list)" || return 0
    if ! installed ca-certificates || ! installed gpg; then install_packages ca-certificates gpg; fi
    fetch_key "$4" "$5" "$key"
    printf '%s\n' "$line" >"$list"
    refreshed=''
}

# A key is used only when every key in its file is one that we know.
fetch_key() { # URL FINGERPRINTS PATH
    work=$(mktemp -d)
    waiting_for_lock /usr/lib/apt/apt-helper download-file "$1" "$work/key"
    mkdir -m 0700 "$work/home"
    found=$(gpg --homedir "$work/home" --batch --with-colons --show-keys "$work/key" 2>/dev/null |
        awk -F : '$1 == "pub" { wanted = 1 } $1 == "fpr" && wanted { print $10; wanted = 0 }')
    [ -n "$found" ] || fail 1 "$1 holds no key"
    for fingerprint in $found; do
        printf '%s\n' "$2" | grep -qxF "$fingerprint" ||
            fail 1 "the key at $1 has fingerprint $fingerprint, which is not its vendor's; nothing of it is used"
    done
    install -D -m 0644 "$work/key" "$3"
    rm -rf "$work"
}

# --- Installing -------------------------------------------------------------------------------

# A fresh Nginx would start at once, with the package's page, and fail to where IPv6 is off.
hold_nginx() {
    mkdir -p "${HOLD%/*}"
    printf '[Unit]\nConditionPathExists=!/\n' >"$HOLD"
    systemctl daemon-reload
}

release_nginx() {
    [ -e "$HOLD" ] || return 0
    rm -f "$HOLD"
    systemctl daemon-reload
}

install_missing() {
    [ -n "$missing" ] || return 0
    [ -z "$nginx_fresh" ] || hold_nginx
    # shellcheck disable=SC2086 # a list of words
    install_packages $missing
    release_nginx
}
