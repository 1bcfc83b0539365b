# Change one slot, worker or accessory: one transaction, one round trip. Follows common.sh.
#
#   fill SOCKETS SLOT INSTANCE NAME IMAGE ENVIRONMENT PORT USER-OF-NGINX
#        HOST PATH STATUS SUCCESSES INTERVAL TIMEOUT DEADLINE GATE DRAIN GRACE SITE-FILE
#        LOGS PROJECT ROOT SERVICE SURGE-OR-IN_PLACE MIN-HEALTHY LANE -- arguments of docker run
#   start PROJECT SLOT INSTANCE NAME IMAGE ENVIRONMENT GRACE LOGS ROOT -- arguments of docker run
#   empty PROJECT ROOT SLOT DRAIN GRACE
#   settle PROJECT ROOT GRACE SLOT...
#
# Before the switch every failure undoes; after it the rest is finished. Running it again converges.
# shellcheck shell=sh disable=SC2154

# A transaction outlives the client that began it, and with it the client's lock of the cluster:
# whoever takes that next waits until nobody shares lock.transaction any more. Transactions of
# different slots may run side by side; each has its slot alone, also against what an earlier one
# still stops in the background, which inherits both locks and may take all of its grace.
alone() {
    exec 8>>"$root/lock.transaction" 7>>"$root/lock.slot.$slot"
    if ! flock -s -w "$((grace + 600))" 8 || ! flock -w "$((grace + 600))" 7; then
        fail 13 "another change of $slot does not end; look at: ps -ef | grep rondo"
    fi
}

# Lines of container id and instance. An engine that says nothing does not say that there are none.
containers_of() { # PROJECT SLOT
    filters="{\"label\":[\"rondo.project=$1\",\"rondo.slot=$2\"]}"
    listed=$(curl --silent --fail --max-time 20 --unix-socket /var/run/docker.sock --get --data all=1 \
        --data-urlencode "filters=$filters" http://docker/containers/json) ||
        fail 12 "the Docker Engine does not answer"
    printf '%s\n' "$listed" | sed 's/{"Id":"/\n&/g' |
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
    # A slot that was lent to its neighbour has no container of its own.
    case $target in ../*) return 0 ;; esac
    printf '%s' "${target%%/*}"
}

has_instance() { [ -n "$1" ] && printf '%s\n' "$there" | grep -q " $1\$"; }

# What fills a slot now: the file of its port names it, or its link. A slot that went from one to the
# other may have both, if that was interrupted: one of them names a container that is no more.
find_old() { # PROJECT ROOT SLOT
    there=$(containers_of "$1" "$3")
    linked=$(link_instance "$2/sockets/$3" slot.sock)
    old=$(cat "$2/slots/$3" 2>/dev/null || :)
    on_port=$old
    [ -n "$old" ] && { [ -z "$linked" ] || has_instance "$old"; } && return 0
    old=$linked on_port=
}

# When its workers have gone, uWSGI's master sleeps for a second before it goes too, but not through a
# signal. One that asks it again for what it is doing already does nothing else. Through the engine
# each would start a runc, while the next container starts.
wake_uwsgi() { # CONTAINER-ID
    described=$(container_api "/containers/$1/json")
    case $described in *'"rondo.kind":"uwsgi"'*) ;; *) return 0 ;; esac
    main=${described#*'"Pid":'}
    main=${main%%[!0-9]*}
    for pause in 0.1 0.1 0.2 0.3 0.3; do
        sleep "$pause"
        # Its number may be somebody else's by now.
        grep -q "$1" "/proc/$main/cgroup" && kill -TERM "$main" || return 0
    done
}

remove_instance() { # CONTAINER-ID INSTANCE FOLDER-OF-SLOT GRACE
    # Without the locks and our output, so that nobody waits for what it still sleeps.
    wake_uwsgi "$1" >/dev/null 2>&1 7>&- 8>&- 9>&- &
    change_container POST "$1/stop?t=$4" "$(($4 + 60))" || :
    change_container DELETE "$1?force=1&v=1" 60 || :
    [ -z "$2" ] || rm -rf "${3:?}/$2"
}

# Leftovers of an interrupted change are whatever does not fill the slot.
remove_others() { # PROJECT SLOT FOLDER KEPT-INSTANCE GRACE
    # In a pipe its failure would be lost.
    found=$(containers_of "$1" "$2") || exit "$?"
    remove_listed "$found" "$3" "$4" "$5"
}

remove_listed() { # CONTAINERS FOLDER KEPT-INSTANCE GRACE
    printf '%s\n' "$1" | while read -r other its; do
        [ -n "$other" ] || continue
        [ -n "$3" ] && [ "$its" = "$3" ] && continue
        remove_instance "$other" "$its" "$2" "$4"
    done
}

# The old container is idle: it stops while the next slot is filled. One at a time in each lane, so
# that no more of them are left than the server has room for.
stop_behind() {
    exec 9>>"$root/lock.stopping.$lane"
    flock -w "$((grace + 600))" 9 || :
    # With a redirection behind it, dash would keep our own output open under another number, and
    # whoever reads that would wait.
    (
        exec </dev/null >/dev/null 2>&1
        # Or a crash could bring the old link back, and no container with it.
        sync "$folder" || :
        remove_others "$project" "$slot" "$folder" "$instance" "$grace"
    ) &
}

# WebSockets never end by themselves: their container can still say goodbye when it is stopped.
tell_open() { # NUMBER DEADLINE
    [ "$1" -gt 0 ] || return 0
    say "note${tab}drain deadline of ${2%.0}s passed with $1 connections of $slot open: they are cut, unless their container ends them itself within its stop_grace"
}

# Idle is none in three looks in a row: a worker may be between accept and its first read.
drain_socket() { # SOCKET DEADLINE
    idle=0
    limit=$(($(uptime_seconds) + ${2%.*}))
    while [ "$idle" -lt 3 ]; do
        if [ "$(connections "$1")" = 0 ]; then idle=$((idle + 1)); else idle=0; fi
        if [ "$idle" -lt 3 ] && [ "$(uptime_seconds)" -ge "$limit" ]; then
            tell_open "$(connections "$1")" "$2"
            return 0
        fi
        sleep 0.01
    done
}

ask_gate() {
    curl --silent --output "$answer" --write-out '%{http_code} %{time_total}' --max-time "$timeout" \
        --unix-socket "$gate" --header "Host: $host" "http://localhost/gate/$slot$path" || :
}

look_at_gate() {
    asked=$(ask_gate)
    seen=${asked%% *} took=${asked#* }
}

# Each worker loads much with its first request, which had better not be a visitor's. Asked at once,
# none of them is passed over. Where one answer takes half a second, eight could still be under way
# when the visitors come.
warm_up() {
    case $took in 0.[0-4]*) ;; *) return 0 ;; esac
    set --
    for _ in 1 2 3 4 5 6 7 8; do set -- "$@" "http://localhost/gate/$slot$path"; done
    curl --silent --parallel --parallel-immediate --max-time "$timeout" --unix-socket "$gate" \
        --header "Host: $host" "$@" >/dev/null 2>&1 || :
}

# What the last answer was; curl writes 000 when there was none.
wrong_answer() { # FOR-HOW-LONG
    reason="GET $path answered $seen instead of $status $1"
    [ "$seen" = 000 ] || return 0
    reason="GET $path got no answer $1"
    kill -0 "$(cat /run/nginx.pid 2>/dev/null)" 2>/dev/null ||
        reason="Nginx does not run on this server, through which the container is asked; start it: systemctl start nginx"
}

# Before the container listens there is nothing to ask. Every question to the engine takes from the
# processors on which it starts, so it is asked with every tenth look.
await_socket() {
    look=0
    while [ ! -S "$socket" ]; do
        look=$((look + 1))
        if [ $((look % 10)) -eq 0 ] && { ! running "$name" || [ "$(uptime_seconds)" -ge "$limit" ]; }; then
            return 0
        fi
        sleep 0.02
    done
}

# Whoever may not write to a socket may not connect to it.
admit_nginx() {
    [ -S "$socket" ] || return 0
    mode=$(stat -c %a "$socket")
    case $mode in *[2367]) return 0 ;; esac
    chmod 0666 "$socket"
    barred=0$mode ours=$(stat -c %z "$socket")
}

# Nobody does it again after a crash or a reboot, unless the program itself did so since.
tell_barred() {
    [ -n "$barred" ] && [ "$(stat -c %z "$socket" 2>/dev/null)" = "$ours" ] || return 0
    say "note${tab}the program of $slot made its socket with mode $barred, which keeps Nginx out, and it was opened for this time only: after a crash or reboot every request gets 502; make the program create it with mode 0666, by umask 0 or a chmod after its bind"
}

open_gate() {
    right=0 barred='' ours=''
    limit=$(($(uptime_seconds) + ${deadline%.*}))
    [ -n "$port" ] || await_socket
    while [ "$right" -lt "$successes" ]; do
        admit_nginx
        look_at_gate
        if [ "$seen" = "$status" ]; then
            right=$((right + 1))
        else
            right=0
            if ! running "$name"; then
                reason="the container ended by itself"
                docker version >/dev/null 2>&1 || reason="the Docker Engine stopped answering"
                return 1
            fi
            if [ "$(uptime_seconds)" -ge "$limit" ]; then
                wrong_answer "for ${deadline}s (through Nginx, Host $host)"
                return 1
            fi
        fi
        [ "$right" -ge "$successes" ] || sleep "$interval"
    done
    tell_barred
}

# Why it ended stands before what it said when the engine started it again.
last_words() { # CONTAINER
    if restarted "$1"; then
        docker logs --until "$(docker inspect --format '{{.State.StartedAt}}' "$1")" "$1" 2>&1 | tail -n 30
    else
        docker logs --tail 30 "$1" 2>&1
    fi
}

undo() {
    if [ -n "$old" ] && [ -z "$on_port" ]; then
        ln -sfn "$old/app.sock" "$folder/candidate.sock"
    else
        rm -f "$folder/candidate.sock"
    fi
    docker stop --time 1 "$name" >/dev/null 2>&1 || :
    say "log${tab}last lines of $name:"
    last_words "$name" | sed "s/^/log${tab}/" || :
    if [ -s "$answer" ]; then
        say "log${tab}last answer of the health check:"
        head -c 2000 "$answer" | tr -d '\r' | sed "s/^/log${tab}/"
        echo
    fi
    rm -f "$answer"
    kept="the old container was not touched"
    [ -z "$out" ] || kept="the slot stays out of the rotation, the others serve"
    [ -z "$neighbour" ] || kept="$neighbour serves in its place"
    fail 10 "$reason; $kept, the new one ($name) is stopped and kept for a look"
}

# Nothing stops while Nginx still sends to it. Who marks a slot up has no container but the new one.
refuse_mark() { # DOWN-OR-UP
    report=${report:-its workers stayed the same, see /var/log/nginx/error.log}
    if [ "$1" = up ]; then
        rm -f "$site.unmarked"
        fail 11 "Nginx does not take a reload, so $slot, whose new container is healthy, stays out of the rotation until that is mended and you run: systemctl reload nginx: $report"
    fi
    replace_file "$site.unmarked" "$site"
    reload_nginx >/dev/null || :
    fail 11 "Nginx does not take a reload, so $slot cannot leave the rotation: $report"
}

# Ports of several slots stand in one file.
mark_port() { # DOWN-OR-UP
    [ -f "$site" ] || return 0
    grep -q "server 127\.0\.0\.1:${port}[ ;]" "$site" || return 0
    (
        flock -w 600 6 || :
        sed "s/\(server 127\.0\.0\.1:$port\b[^;]*\) down;/\1;/" "$site" >"$site.next"
        if [ "$1" = down ]; then
            sed -i "s/\(server 127\.0\.0\.1:$port\b[^;]*\);/\1 down;/" "$site.next"
        fi
        cp -p "$site" "$site.unmarked"
        replace_file "$site.next" "$site"
        workers=$(nginx_workers)
        report=$(reload_nginx) || refuse_mark "$1"
        rm -f "$site.unmarked"
        limit=$(($(uptime_seconds) + ${drain%.*}))
        for worker in $workers; do
            while kill -0 "$worker" 2>/dev/null && [ "$(uptime_seconds)" -lt "$limit" ]; do sleep 0.02; done
        done
        if [ "$1" = down ] && [ "$(uptime_seconds)" -ge "$limit" ]; then
            tell_open "$(ss -tnH state established dst "127.0.0.1:$port" | wc -l)" "$drain"
        fi
    ) 6>>"$root/lock.site"
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

switch_socket() { # TARGET
    ln -sfn "$1" "$folder/next.sock"
    mv -f -T "$folder/next.sock" "$folder/slot.sock"
}

# Links point at each other's containers while slots are replaced in place, several at a time.
with_links() { # COMMAND...
    exec 6>>"$root/lock.links"
    flock -w 60 6 || :
    "$@"
    exec 6>&-
}

# Whoever was lent a container that goes is lent the one that comes.
lend_on() { # INSTANCE TARGET
    case $(readlink "$sockets/$service"-*/slot.sock) in
        *"../$slot/$1/app.sock"*) ;;
        *) return 0 ;;
    esac
    for link in "$sockets/$service"-*/slot.sock; do
        [ "$(readlink "$link" 2>/dev/null)" = "../$slot/$1/app.sock" ] || continue
        ln -sfn "$2" "${link%slot.sock}lent.sock"
        mv -f -T "${link%slot.sock}lent.sock" "$link"
    done
}

move_slot() { # FROM-INSTANCE TO-INSTANCE
    lend_on "$1" "../$slot/$2/app.sock"
    switch_socket "$2/app.sock"
}

# In place there is no room for two containers: a neighbour's serves for both while the slot has none.
lend_slot() { # INSTANCE-THAT-GOES
    for link in "$sockets/$service"-*/slot.sock; do
        other=${link%/slot.sock}
        other=${other##*/}
        case ${other#"$service"-} in *[!0-9]*) continue ;; esac
        its=$(link_instance "$sockets/$other" slot.sock)
        if [ "$other" != "$slot" ] && [ -n "$its" ] && [ -S "$link" ]; then
            neighbour=$other
            switch_socket "../$other/$its/app.sock"
            lend_on "$1" "../$other/$its/app.sock"
            return 0
        fi
    done
    fail 10 "no other slot of $service serves on this server, so $slot cannot be replaced in place"
}

# Two wrong answers in a row are one too many; a container that ended needs no second look, also
# when the engine has started it again.
stays_healthy() {
    wrong=0
    limit=$(($(uptime_seconds) + healthy))
    while [ "$(uptime_seconds)" -lt "$limit" ]; do
        if ! running "$name" || restarted "$name"; then
            reason="the container ended by itself within ${healthy}s of the switch"
            return 1
        fi
        look_at_gate
        if [ "$seen" = "$status" ]; then wrong=0; else wrong=$((wrong + 1)); fi
        if [ "$wrong" -ge 2 ]; then
            wrong_answer "within ${healthy}s of the switch"
            return 1
        fi
        sleep "$interval"
    done
}

switch_back() {
    [ -z "$port" ] || mark_port down
    if [ -n "$neighbour" ]; then
        with_links lend_slot "$instance"
    elif [ -z "$old" ] || [ -n "$out" ]; then
        rm -f "$root/slots/$slot" "$folder/slot.sock"
    elif [ -n "$on_port" ]; then
        hold_port "$old"
    else
        hold_socket "$instance" "$old"
    fi
    say "event${tab}switched${tab}back"
    [ -n "$port" ] || drain_socket "$socket" "$drain"
    undo
}

fill() {
    sockets=$1 slot=$2 instance=$3 name=$4 image=$5 environment=$6 port=$7 group=$8
    shift 8
    host=$1 path=$2 status=$3 successes=$4 interval=$5 timeout=$6 deadline=$7 gate=$8
    shift 8
    drain=$1 grace=$2 site=$3 logs=$4 project=$5 root=$6 service=$7 replace=$8
    shift 8
    healthy=$1 lane=$2
    shift 3
    neighbour='' out=''
    alone
    folder=$sockets/$slot
    socket=$folder/$instance/app.sock
    answer=$(mktemp)
    find_old "$project" "$root" "$slot"
    remove_listed "$there" "$folder" "$old" "$grace"
    prepare_slot
    printf '%s\n' "$there" | while read -r container its; do
        [ -z "$old" ] || [ "$its" != "$old" ] || keep_assets "$container" "$root"
    done
    if [ -n "$old" ]; then make_room; fi
    docker run --detach --restart no "$@" >/dev/null || { reason="docker run refused"; undo; }
    say "event${tab}started${tab}$name"
    [ -n "$port" ] || ln -sfn "$instance/app.sock" "$folder/candidate.sock"
    open_gate || undo
    say "event${tab}healthy${tab}$name"
    change_container POST "$name/update" 20 --header 'Content-Type: application/json' \
        --data '{"RestartPolicy":{"Name":"unless-stopped"}}' ||
        { reason="the Docker Engine refused to start it after a reboot" && undo; }
    warm_up
    take_slot
    say "event${tab}switched${tab}$name"
    [ "$healthy" -eq 0 ] || stays_healthy || switch_back
    rm -f "$answer"
    see_off
}

# What filled the slot before goes. On the same port it has gone already, and nobody settles a port.
see_off() {
    [ -z "$old" ] || [ -n "$on_port" ] || drain_socket "$folder/$old/app.sock" "$drain"
    if [ -n "$port" ]; then
        remove_others "$project" "$slot" "$folder" "$instance" "$grace"
        return 0
    fi
    say "event${tab}drained${tab}$slot"
    stop_behind
}

# A port cannot be shared by two containers, and in place there is no memory for two.
make_room() {
    if [ -n "$on_port" ]; then
        [ -n "$port" ] || [ "$replace" = in_place ] || return 0
        [ -z "$port" ] || mark_port down
        out=yes
    elif [ "$replace" = in_place ]; then
        with_links lend_slot "$old"
        drain_socket "$folder/$old/app.sock" "$drain"
        old=
    else
        return 0
    fi
    remove_others "$project" "$slot" "$folder" "" "$grace"
    # What it removed was a folder of this slot's; the new one's stays.
    mkdir -p "$folder/$instance"
    chmod 0777 "$folder/$instance"
}

# What is left of a slot's other way of listening would be taken for what fills it.
hold_port() { # INSTANCE
    mkdir -p "$root/slots"
    printf '%s' "$1" >"$root/slots/$slot.next"
    replace_file "$root/slots/$slot.next" "$root/slots/$slot"
    rm -f "$folder/slot.sock" "$folder/candidate.sock"
}

hold_socket() { # FROM-INSTANCE TO-INSTANCE
    with_links move_slot "$1" "$2"
    rm -f "$root/slots/$slot"
}

take_slot() {
    if [ -n "$port" ]; then
        hold_port "$instance"
        mark_port up
    else
        hold_socket "$old" "$instance"
    fi
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

# Wait for what is being stopped in the background, and see to it that nothing of it is left.
settle() {
    project=$1 root=$2 grace=$3
    shift 3
    exec 8>>"$root/lock.transaction"
    flock -w "$((grace + 600))" 8 || fail 13 "a container does not stop; look at: docker ps"
    for slot; do
        folder=$root/sockets/$slot
        find_old "$project" "$root" "$slot"
        # Of a slot whose own container is gone, whatever runs may be all that serves.
        if has_instance "$old"; then remove_others "$project" "$slot" "$folder" "$old" "$grace"; fi
    done
}

tab=$(printf '\t')
action=$1
shift
"$action" "$@"
