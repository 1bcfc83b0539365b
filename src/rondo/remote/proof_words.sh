# What both ends of a load run share on a server: the log's position, its marks, Nginx's workers.
# shellcheck shell=sh

position_of() { # LOG: its inode and size
    stat -L -c '%i %s' "$1" 2>/dev/null || echo '0 0'
}

# A line of our own in the log: all that is between two of them is there as well.
mark_log() { # SITE PATH: tells the status of the answer
    curl --silent --output /dev/null --max-time 5 --noproxy '*' --resolve "$1:80:127.0.0.1" \
        --write-out '%{http_code}' "http://$1$2" || :
}

nginx_children() {
    # The shell's own words alone: this is asked several times a second.
    IFS= read -r master </run/nginx.pid || return 0
    if [ -r "/proc/$master/task/$master/children" ]; then
        IFS= read -r children <"/proc/$master/task/$master/children" || :
        printf '%s' "$children"
    else
        ps -o pid= --ppid "$master" | tr '\n' ' '
    fi
} 2>/dev/null

# One that shuts down has another title, and so have the processes that look after the cache.
is_worker() { # PID
    [ "$(tr -d '\000' <"/proc/$1/cmdline" | sed 's/ *$//')" = 'nginx: worker process' ]
} 2>/dev/null

count_workers() {
    workers=0
    for child in $(nginx_children); do
        ! is_worker "$child" || workers=$((workers + 1))
    done
    echo "$workers"
}

# A reload starts new workers, and nothing else does but the death of one.
count_reloads() { # TOKEN FILE: counts into the file as long as the token is there
    known=" $(nginx_children) "
    times=0
    while sleep 0.2 && [ -f "$1" ]; do
        fresh=no
        now=$(nginx_children)
        for child in $now; do
            case $known in
                *" $child "*) ;;
                *) ! is_worker "$child" || fresh=yes ;;
            esac
        done
        known=" $now "
        [ "$fresh" = yes ] || continue
        times=$((times + 1))
        printf '%s\n' "$times" >"$2"
    done
}
