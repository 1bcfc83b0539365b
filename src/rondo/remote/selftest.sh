# Make a fault on a server of the lab for the self-test, and put everything back. Follows common.sh.
#
#   keep PROJECT                        remember how everything is: that is "whole" from now on
#   heal PROJECT                        put all of it back, wait until the site is whole, say so
#   mend PROJECT                        put back what a killed self-test has left, if one was
#   configure PROJECT                   take the site file on stdin
#   old_tls PROJECT                     the same, and offer TLS 1.0 also where no site is named
#   workers PROJECT NUMBER              let Nginx have so many workers
#   certify PROJECT SITE                take chain and key on stdin
#   kill PROJECT SLOT                   SIGKILL to its container
#   freeze PROJECT SLOT                 SIGSTOP to all of its processes
#   stall PROJECT EVERY SECONDS SLOT... stop the slots for SECONDS in EVERY, until stdin ends
#   reloads PROJECT SECONDS             reload Nginx each SECONDS, until stdin ends
#   between PROJECT MODE VALUE SLOT...  put slowly.py, from stdin, before the slots
#   other PROJECT SLOT INSTANCE HOST PATH -- ARGUMENTS...   run another container in the slot
#   truncate PROJECT, away PROJECT, clock PROJECT OFFSET, prepare
#
# Whatever makes a fault first leaves a mark, so that also what a kill left behind is healed.
# shellcheck shell=sh disable=SC2154

kept=/var/lib/rondo-selftest
drop_in=/etc/systemd/system/nginx.service.d/rondo-selftest.conf
label=rondo.selftest

touched() { : >"$kept/touched"; }

old_workers_gone() { # WORKERS
    limit=$(($(uptime_seconds) + 60))
    for worker in $1; do
        while kill -0 "$worker" 2>/dev/null; do
            [ "$(uptime_seconds)" -lt "$limit" ] || fail 1 "an old worker of Nginx does not end"
            sleep 0.02
        done
    done
}

renew_workers() {
    workers_before=$(nginx_workers)
    report=$(/usr/sbin/nginx -t 2>&1) || fail 1 "Nginx refuses the fault: $report"
    reload_nginx >&2 || fail 1 "Nginx did not take a new configuration"
    old_workers_gone "$workers_before"
}

# Lines of slot, instance and container, as they were kept.
slots() { cat "$kept/slots"; }

container_of() { slots | awk -v slot="$1" '$1 == slot { print $3 }'; }

processes_of() { docker top "$1" -eo pid | sed 1d; }

signal_slots() { # SIGNAL SLOT...
    signal=$1
    shift
    for slot; do
        # shellcheck disable=SC2046
        kill -s "$signal" $(processes_of "$(container_of "$slot")") 2>/dev/null || :
    done
}

prepare() {
    if ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; then return 0; fi
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update --quiet=2 && apt-get install --quiet=2 --no-install-recommends --yes libfaketime; } >&2
}

keep() {
    rm -rf "$kept"
    mkdir -p "$kept"
    cp -a /etc/nginx/conf.d "$kept/conf.d"
    cp -p /etc/nginx/nginx.conf "$kept/nginx.conf"
    cp -a "$root/tls" "$kept/tls"
    for link in "$root"/sockets/*/slot.sock; do
        slot=${link%/slot.sock}
        target=$(readlink "$link")
        id=$(docker ps --quiet --no-trunc --filter "label=rondo.instance=${target%%/*}")
        echo "${slot##*/} ${target%%/*} $id"
    done >"$kept/slots"
}

# What a run before was killed in the middle of; without a mark nothing is ours to put back. Others
# may have deployed since: a deploy puts right what is not as it declares.
mend() {
    if [ -e "$kept/touched" ]; then restore; fi
    rm -f "$kept/touched"
}

heal() {
    [ -d "$kept" ] || fail 1 "nothing was kept here to put back"
    if [ -e "$kept/touched" ]; then restore; fi
    limit=$(($(uptime_seconds) + 60))
    until missing=$(whole); do
        [ "$(uptime_seconds)" -lt "$limit" ] || fail 1 "the site is not whole again: $missing"
        sleep 0.05
    done
    rm -f "$kept/touched"
    say whole
}

restore() {
    docker ps --all --quiet --filter "label=$label" | xargs -r docker rm --force >/dev/null
    cp -p "$kept"/conf.d/* /etc/nginx/conf.d/
    cp -p "$kept/nginx.conf" /etc/nginx/nginx.conf
    cp -p "$kept"/tls/* "$root/tls/"
    slots | while read -r slot instance id; do restore_slot "$slot" "$instance" "$id"; done
    if [ -e "$drop_in" ]; then
        rm -f "$drop_in" /etc/faketimerc
        systemctl daemon-reload
        systemctl restart nginx
    elif ! systemctl is-active --quiet nginx; then
        systemctl start nginx
    else
        # Also where no file has changed: Nginx forgets who failed it.
        renew_workers
    fi
}

restore_slot() { # SLOT INSTANCE CONTAINER
    folder=$root/sockets/$1
    if [ -S "$folder/$2/app.sock.real" ]; then mv -f "$folder/$2/app.sock.real" "$folder/$2/app.sock"; fi
    docker start "$3" >/dev/null 2>&1 || return 0  # not there any more: the slot is another's
    signal_slots CONT "$1"
    for link in slot candidate; do
        [ "$(readlink "$folder/$link.sock")" = "$2/app.sock" ] && continue
        ln -sfn "$2/app.sock" "$folder/next.sock"
        mv -f -T "$folder/next.sock" "$folder/$link.sock"
    done
    rm -rf "${folder:?}"/selftest-*
}

# Fails and says what is missing unless all is as it was kept.
whole() {
    diff -r /etc/nginx/conf.d "$kept/conf.d" >/dev/null || missing "the site's configuration"
    cmp -s /etc/nginx/nginx.conf "$kept/nginx.conf" || missing "Nginx's configuration"
    diff -r "$root/tls" "$kept/tls" >/dev/null || missing "the certificate"
    systemctl is-active --quiet nginx || missing "Nginx"
    [ ! -e "$drop_in" ] || missing "Nginx's clock"
    if pgrep -f '^nginx: worker process is shutting down' >/dev/null; then missing "an old worker's end"; fi
    slots | while read -r slot instance id; do
        [ "$(readlink "$root/sockets/$slot/slot.sock")" = "$instance/app.sock" ] || missing "$slot's link"
        [ ! -e "$root/sockets/$slot/$instance/app.sock.real" ] || missing "$slot's socket"
        running "$id" || missing "$slot's container"
        gate_answers "$slot" || missing "$slot's answer"
    done
}

missing() {
    say "$1"
    exit 1
}

gate_answers() { # SLOT [HOST PATH]
    code=$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 3 \
        --unix-socket "/run/rondo/$project.sock" --header "Host: ${2:-$host}" \
        "http://localhost/gate/$1${3:-/}" || :)
    # Any answer is the backend's own but what Nginx says when there is none.
    case $code in 000 | 502 | 504) return 1 ;; esac
}

configure() {
    touched
    cat >"$site"
    renew_workers
}

# The version is agreed on with the default server's settings, before any name is looked at.
old_tls() {
    touched
    sed -i 's/ssl_protocols [^;]*;/ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; ssl_ciphers DEFAULT:@SECLEVEL=0;/' \
        /etc/nginx/conf.d/rondo-default.conf
    configure
}

workers() { # NUMBER
    touched
    sed -i "s/^worker_processes .*/worker_processes $1;/" /etc/nginx/nginx.conf
    renew_workers
}

certify() { # SITE
    touched
    cat >"$kept/both.pem"
    sed -n '/BEGIN CERT/,/END CERT/p' "$kept/both.pem" >"$root/tls/$1.pem"
    sed -n '/PRIVATE KEY/,/PRIVATE KEY/p' "$kept/both.pem" >"$root/tls/$1.key"
    renew_workers
}

kill_slot() { # SLOT
    touched
    docker kill "$(container_of "$1")" >/dev/null
}

freeze() { # SLOT
    touched
    signal_slots STOP "$1"
}

# The waits end with standard input, so that the loops end with whoever holds them.
pause() { # SECONDS
    sleep "$1"
    kill -0 "$reader" 2>/dev/null
}

until_closed() {
    exec 3<&0
    cat <&3 >/dev/null &
    reader=$!
}

stall() { # EVERY SECONDS SLOT...
    touched
    every=$1 seconds=$2
    shift 2
    stalled=
    for slot; do stalled="$stalled $(processes_of "$(container_of "$slot")" | tr '\n' ' ')"; done
    until_closed
    say stalling
    # shellcheck disable=SC2086
    while pause "$every"; do
        kill -s STOP $stalled
        sleep "$seconds"
        kill -s CONT $stalled
    done
}

reloads() { # SECONDS
    touched
    until_closed
    say reloading
    while pause "$1"; do /usr/sbin/nginx -s reload; done
}

between() { # MODE VALUE SLOT...
    touched
    code=$(cat)
    mode=$1 value=$2
    shift 2
    paths=
    for slot; do
        folder=$root/sockets/$slot/$(readlink "$root/sockets/$slot/slot.sock" | cut -d/ -f1)
        mv "$folder/app.sock" "$folder/app.sock.real"
        paths="$paths $folder/app.sock"
    done
    image=$(docker inspect --format '{{.Config.Image}}' "$(container_of "$1")")
    # shellcheck disable=SC2086
    docker run --detach --label "$label=1" --network none --user 0:0 --entrypoint python3 \
        --volume "$root/sockets:$root/sockets" "$image" -c "$code" "$mode" "$value" $paths >/dev/null
    for path in $paths; do
        limit=$(($(uptime_seconds) + 20))
        until [ -S "$path" ]; do
            [ "$(uptime_seconds)" -lt "$limit" ] || fail 1 "nothing took the place of $path"
            sleep 0.02
        done
    done
}

other() { # SLOT INSTANCE HOST PATH -- ARGUMENTS...
    touched
    slot=$1 instance=$2 host=$3 path=$4
    shift 5
    folder=$root/sockets/$slot
    mkdir -p "$folder/$instance"
    chmod 0777 "$folder/$instance"
    docker run --detach --label "$label=1" "$@" >/dev/null
    ln -sfn "$instance/app.sock" "$folder/candidate.sock"
    limit=$(($(uptime_seconds) + 30))
    until gate_answers "$slot" "$host" "$path"; do
        [ "$(uptime_seconds)" -lt "$limit" ] || fail 1 "the other container in $slot does not answer"
        sleep 0.05
    done
    ln -sfn "$instance/app.sock" "$folder/next.sock"
    mv -f -T "$folder/next.sock" "$folder/slot.sock"
}

truncate_log() {
    touched
    : >"/var/log/nginx/rondo-$project.access.log"
}

away() {
    touched
    systemctl stop nginx
}

clock() { # OFFSET
    touched
    library=$(echo /usr/lib/*/faketime/libfaketime.so.1)
    mkdir -p "${drop_in%/*}"
    printf '[Service]\nEnvironment=LD_PRELOAD=%s FAKETIME_DONT_FAKE_MONOTONIC=1\n' "$library" >"$drop_in"
    # Not by the environment: Nginx empties it, and the library asks again every ten seconds.
    printf '%s\n' "$1" >/etc/faketimerc
    systemctl daemon-reload
    systemctl restart nginx
}

action=$1
project=${2:-}
host=localhost
root=/var/lib/rondo/$project
site=/etc/nginx/conf.d/rondo-$project.conf
if [ $# -gt 1 ]; then shift 2; else shift; fi
case $action in
    kill) kill_slot "$@" ;;
    truncate) truncate_log ;;
    *) "$action" "$@" ;;
esac
