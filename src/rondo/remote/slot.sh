# Change one slot, worker or accessory: one transaction, one round trip. Follows common.sh.
#
#   fill SOCKETS SLOT INSTANCE NAME IMAGE ENVIRONMENT PORT USER-OF-NGINX
#        HOST PATH STATUS SUCCESSES INTERVAL TIMEOUT DEADLINE GATE DRAIN GRACE SITE-FILE
#        LOGS PROJECT ROOT -- arguments of docker run
#   start PROJECT SLOT INSTANCE NAME IMAGE ENVIRONMENT GRACE LOGS ROOT -- arguments of docker run
#   empty PROJECT ROOT SLOT DRAIN GRACE
#
# Before the switch every failure undoes; after it the rest is finished. Running it again converges.
# shellcheck shell=sh disable=SC2154

# A transaction outlives the client that began it, and with it the client's lock of the cluster:
# whoever comes next waits here until it has undone or finished.
alone() {
    exec 8>>"$root/lock.transaction"
    flock -w 600 8 || fail 13 "another change of a slot does not end; look at: ps -ef | grep rondo"
}

# Lines of container id and instance.
containers_of() { # PROJECT SLOT
    filters="{\"label\":[\"rondo.project=$1\",\"rondo.slot=$2\"]}"
    curl --silent --fail --max-time 20 --unix-socket /var/run/docker.sock --get --data all=1 \
        --data-urlencode "filters=$filters" http://docker/containers/json | sed 's/{"Id":"/\n&/g' |
        sed -n -e 's/^{"Id":"\([0-9a-f]*\)".*"rondo\.instance":"\([^"]*\)".*/\1 \2/p' \
            -e t -e 's/^{"Id":"\([0-9a-f]*\)".*/\1 /p'
}

change_container() { # METHOD ID-WITH-QUERY SECONDS [CURL-OPTION...]
    method=$1 container=$2 seconds=$3
    shift 3
    curl --silent --fail --output /dev/null --max-time "$seconds" --request "$method" \
        --unix-socket /var/run/docker.sock "$@" "http://docker/containers/$container"
}

link_instance() { # SLOT-FOLDER LINK
    target=$(readlink "$1/$2" 2>/dev/null) || return 0
    printf '%s' "${target%%/*}"
}

remove_instance() { # CONTAINER-ID INSTANCE FOLDER-OF-SLOT GRACE
    change_container POST "$1/stop?t=$4" "$(($4 + 60))" || :
    change_container DELETE "$1?force=1" 60 || :
    [ -z "$2" ] || rm -rf "${3:?}/$2"
}

# Leftovers of an interrupted change are whatever does not fill the slot.
remove_others() { # PROJECT SLOT FOLDER KEPT-INSTANCE GRACE
    containers_of "$1" "$2" | while read -r other its; do
        [ -n "$4" ] && [ "$its" = "$4" ] && continue
        remove_instance "$other" "$its" "$3" "$5"
    done
}

connections() { ss -xH state connected src "$1" 2>/dev/null | wc -l; }

# Idle is none in three looks in a row: a worker may be between accept and its first read.
drain_socket() { # SOCKET DEADLINE
    idle=0
    limit=$(($(uptime_seconds) + ${2%.*}))
    while [ "$idle" -lt 3 ]; do
        if [ "$(connections "$1")" = 0 ]; then idle=$((idle + 1)); else idle=0; fi
        if [ "$idle" -lt 3 ] && [ "$(uptime_seconds)" -ge "$limit" ]; then
            say "note${tab}drain deadline of ${2}s passed with $(connections "$1") connections open on $1"
            return 0
        fi
        sleep 0.02
    done
}

ask_gate() {
    curl --silent --output "$answer" --write-out '%{http_code}' --max-time "$timeout" \
        --unix-socket "$gate" --header "Host: $host" "http://localhost/gate/$slot$path" || :
}

# Before the container listens there is nothing to ask.
await_socket() {
    while [ ! -S "$socket" ] && running "$name" && [ "$(uptime_seconds)" -lt "$limit" ]; do sleep 0.02; done
}

open_gate() {
    right=0
    limit=$(($(uptime_seconds) + ${deadline%.*}))
    [ -n "$port" ] || await_socket
    while [ "$right" -lt "$successes" ]; do
        if ! running "$name"; then
            reason="the container ended by itself"
            docker version >/dev/null 2>&1 || reason="the Docker Engine stopped answering"
            return 1
        fi
        if [ -S "$socket" ]; then chmod 0666 "$socket"; fi
        seen=$(ask_gate)
        if [ "$seen" = "$status" ]; then
            right=$((right + 1))
        else
            right=0
            if [ "$(uptime_seconds)" -ge "$limit" ]; then
                reason="GET $path answered $seen instead of $status for ${deadline}s (through Nginx, Host $host)"
                return 1
            fi
        fi
        [ "$right" -ge "$successes" ] || sleep "$interval"
    done
}

undo() {
    if [ -n "$old" ]; then ln -sfn "$old/app.sock" "$folder/candidate.sock"; else rm -f "$folder/candidate.sock"; fi
    docker stop --time 1 "$name" >/dev/null 2>&1 || :
    say "log${tab}last lines of $name:"
    docker logs --tail 30 "$name" 2>&1 | sed "s/^/log${tab}/" || :
    if [ -s "$answer" ]; then
        say "log${tab}last answer of the health check:"
        head -c 2000 "$answer" | tr -d '\r' | sed "s/^/log${tab}/"
        echo
    fi
    rm -f "$answer"
    kept="the old container was not touched"
    [ -z "$port" ] || [ -z "$old" ] || kept="the slot stays out of the rotation, the others serve"
    fail 10 "$reason; $kept, the new one ($name) is stopped and kept for a look"
}

mark_port() { # DOWN-OR-UP
    [ -f "$site" ] || return 0
    grep -q "server 127\.0\.0\.1:${port}[ ;]" "$site" || return 0
    sed "s/\(server 127\.0\.0\.1:$port\b[^;]*\) down;/\1;/" "$site" >"$site.next"
    if [ "$1" = down ]; then
        sed -i "s/\(server 127\.0\.0\.1:$port\b[^;]*\);/\1 down;/" "$site.next"
    fi
    replace_file "$site.next" "$site"
    old=$(nginx_workers)
    reload_nginx || :
    limit=$(($(uptime_seconds) + ${drain%.*}))
    for worker in $old; do
        while kill -0 "$worker" 2>/dev/null && [ "$(uptime_seconds)" -lt "$limit" ]; do sleep 0.02; done
    done
}

prepare_slot() {
    mkdir -p "$folder/$instance"
    chgrp "$group" "$sockets" 2>/dev/null || :
    chmod 0750 "$sockets"
    chmod 0711 "$folder"
    chmod 0777 "$folder/$instance"
    [ -z "$logs" ] || { mkdir -p "$logs" && chmod 1777 "$logs"; }
    own_secrets "$image" "$environment"
    ensure_network "rondo-$project" "$project"
}

switch_socket() {
    ln -sfn "$instance/app.sock" "$folder/next.sock"
    mv -f -T "$folder/next.sock" "$folder/slot.sock"
}

fill() {
    sockets=$1 slot=$2 instance=$3 name=$4 image=$5 environment=$6 port=$7 group=$8
    shift 8
    host=$1 path=$2 status=$3 successes=$4 interval=$5 timeout=$6 deadline=$7 gate=$8
    shift 8
    drain=$1 grace=$2 site=$3 logs=$4 project=$5 root=$6
    shift 7
    alone
    folder=$sockets/$slot
    socket=$folder/$instance/app.sock
    answer=$(mktemp)
    if [ -n "$port" ]; then old=$(cat "$root/slots/$slot" 2>/dev/null || :); else old=$(link_instance "$folder" slot.sock); fi
    remove_others "$project" "$slot" "$folder" "$old" "$grace"
    containers_of "$project" "$slot" | while read -r other _; do keep_assets "$other" "$root" || :; done
    prepare_slot
    if [ -n "$port" ] && [ -n "$old" ]; then
        mark_port down
        remove_others "$project" "$slot" "$folder" "" "$grace"
    fi
    docker run --detach --restart no "$@" >/dev/null || { reason="docker run refused"; undo; }
    say "event${tab}started${tab}$name"
    [ -n "$port" ] || ln -sfn "$instance/app.sock" "$folder/candidate.sock"
    open_gate || undo
    rm -f "$answer"
    say "event${tab}healthy${tab}$name"
    change_container POST "$name/update" 20 --header 'Content-Type: application/json' \
        --data '{"RestartPolicy":{"Name":"unless-stopped"}}' ||
        { reason="the Docker Engine refused to start it after a reboot" && undo; }
    if [ -n "$port" ]; then
        mkdir -p "$root/slots"
        printf '%s' "$instance" >"$root/slots/$slot.next"
        replace_file "$root/slots/$slot.next" "$root/slots/$slot"
        mark_port up
        say "event${tab}switched${tab}$name"
        return 0
    fi
    switch_socket
    say "event${tab}switched${tab}$name"
    [ -z "$old" ] || drain_socket "$folder/$old/app.sock" "$drain"
    say "event${tab}drained${tab}$slot"
    remove_others "$project" "$slot" "$folder" "$instance" "$grace"
}

# A worker has no traffic: the old one ends before the new one starts, so that no job runs twice.
start() {
    project=$1 slot=$2 instance=$3 name=$4 image=$5 environment=$6 grace=$7 logs=$8 root=$9
    shift 10
    alone
    own_secrets "$image" "$environment"
    ensure_network "rondo-$project" "$project"
    [ -z "$logs" ] || { mkdir -p "$logs" && chmod 1777 "$logs"; }
    remove_others "$project" "$slot" /nonexistent "" "$grace"
    docker run --detach --restart unless-stopped "$@" >/dev/null ||
        fail 10 "docker run refused to start $name"
    sleep 1
    running "$name" || {
        docker logs --tail 30 "$name" 2>&1 | sed "s/^/log${tab}/"
        fail 10 "$name ended by itself within a second of its start"
    }
    say "event${tab}started${tab}$name"
}

empty() {
    project=$1 root=$2 slot=$3 drain=$4 grace=$5
    alone
    folder=$root/sockets/$slot
    old=$(link_instance "$folder" slot.sock)
    rm -f "$folder/slot.sock" "$folder/candidate.sock" "$root/slots/$slot"
    [ -z "$old" ] || drain_socket "$folder/$old/app.sock" "$drain"
    remove_others "$project" "$slot" "$folder" "" "$grace"
    rm -rf "$folder"
    say "event${tab}emptied${tab}$slot"
}

tab=$(printf '\t')
action=$1
shift
"$action" "$@"
