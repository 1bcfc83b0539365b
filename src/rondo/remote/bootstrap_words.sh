# Make a bare Debian or Ubuntu server ready for Rondo: run as root, under sh -eu, after common.sh.
# This part reads the arguments and has the words that all others use.
# usage: bootstrap.sh plan|apply USER LOGIN DOCKER NGINX ZONE IPV6
#   USER    user to create, or - for none     LOGIN   user whose keys it gets
#   DOCKER  distribution|vendor               NGINX   distribution|vendor
#   ZONE    time zone                         IPV6    yes|no
#
# It prints lines of three words divided by tabs: `change ITEM TEXT` for what it makes (or, in plan
# mode, would make), `note ITEM TEXT` for what it leaves alone, `refuse ITEM TEXT` before anything
# was touched (exit 65). Check and change of an item stand in one function, so that what plan says
# is what apply does, and a second apply finds nothing.
# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared between the parts

mode=$1 user=$2 login=$3 docker_source=$4 nginx_source=$5 zone=$6 ipv6=$7
missing='' nginx_fresh='' nginx_changed='' problems='' saved='' work=''

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
# Ubuntu's needrestart would restart a running engine behind our back.
export NEEDRESTART_SUSPEND=1
umask 022

tell() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; }

# Say a change; true when it shall be made now.
want() {
    tell change "$1" "$2"
    [ "$mode" = apply ]
}

problem() {
    tell refuse "$1" "$2"
    problems=yes
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

in_container() { systemd-detect-virt --container --quiet 2>/dev/null; }

active() { systemctl is-active --quiet "$1" 2>/dev/null; }

# Whether a file is still what its package installed.
untouched() { # PACKAGES... FILE
    for file; do :; done
    known=$(dpkg-query -W -f '${Conffiles}\n' "$@" 2>/dev/null |
        awk -v file="$file" '$1 == file { print $2 }' | head -n 1)
    [ -n "$known" ] && [ "$(md5sum <"$file" 2>/dev/null)" = "$known  -" ]
}

# Give a file this text, whole or not at all.
hold_file() { # ITEM PATH MODE MEANING TEXT
    [ "$(cat "$2" 2>/dev/null)" = "$5" ] && [ "$(stat -c %a "$2" 2>/dev/null)" = "$3" ] && return 0
    want "$1" "write $2: $4" || return 0
    mkdir -p "$(dirname "$2")"
    (umask 077 && printf '%s\n' "$5" >"$2.rondo-new")
    chmod "$3" "$2.rondo-new"
    replace_file "$2.rondo-new" "$2"
}

hold_folder() { # PATH MODE MEANING
    [ "$(stat -c '%a %u %F' "$1" 2>/dev/null)" = "$2 0 directory" ] && return 0
    want folders "make $1, mode $2: $3" || return 0
    mkdir -p "$1"
    chown root:root "$1"
    chmod "$2" "$1"
}

