# Run a script, feed it what the client sends, and end it when the client is gone.
# $1: watch or survive  $2: script  $3...: its arguments
#
# Data arrive in pieces: a line with their size, then the bytes; size 0 ends them. The line to the
# client stays open after that, so that its end means that the client is gone: the whole group is
# then ended, or, with "survive", left to finish. If the line ends among the data the group is
# always ended, before the script can take half a file for a whole one.
# shellcheck shell=sh

mode=$1
script=$2
shift 2

end_group() {
    trap '' TERM
    kill -s TERM -- "-$$"
    sleep 5
    kill -s KILL -- "-$$"
}

feed() {
    while IFS= read -r size; do
        [ "$size" -ne 0 ] || return 0
        head -c "$size" || return 0
    done
    end_group
}

# The first line tells the reader whom to stop when the script has ended.
supply() {
    trap '' PIPE
    # $$ would be the guard itself; this costs no process.
    read -r me _ </proc/self/stat
    echo "$me"
    feed
    [ "$mode" = watch ] || return 0
    exec >/dev/null
    # Also swallows what a script did not care to read.
    cat
    end_group
}

# A supplier whose client sent all it had is gone, and its number may be another process's by now.
is_ours() { # PROCESS
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # Behind the name, which may hold anything: state, parent, group.
    stat=${stat##*) }
    stat=${stat#* * }
    [ "${stat%% *}" = "$$" ]
}

run() {
    read -r supplier
    code=0
    sh -c "$script" rondo "$@" 3>&- 4>&- 5>&- || code=$?
    if is_ours "$supplier"; then kill -s KILL "$supplier" 2>/dev/null || :; fi
    return "$code"
}

# Read on when nobody listens any more, so that the script never notices.
relay() {
    cat
    cat >/dev/null
}

# What the shell itself says about jobs that were ended is nobody's business.
exec 3>&1 4>&2 2>/dev/null
if [ "$mode" = watch ]; then
    supply | run "$@" 2>&4
    exit $?
fi
supply | {
    code=$({ { { run "$@" 2>&6 6>&-; echo $? >&5; } | relay >&3 5>&- 6>&-; } 6>&1 | relay >&4 5>&-; } 5>&1)
    exit "$code"
}
