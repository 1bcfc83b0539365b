# Write one line about a command that changes this server, when it has ended or its client is gone.
# Follows common.sh.
# $1: file  $2: largest size  $3: earlier files that are kept  $4: what is known before, as JSON members
# stdin: how it ended, as JSON members; the end without a line means that nobody is left to say
# shellcheck shell=sh disable=SC2154

file=$1
limit=$2
kept=$3
known=$4
began=$(uptime_seconds)

# sudo takes the variable away, the processes above still have it.
origin() {
    pid=$$
    while [ "${pid:-0}" -gt 1 ]; do
        found=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^SSH_CONNECTION=\([^ ]*\).*/\1/p')
        [ -z "$found" ] || break
        pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status")
    done 2>/dev/null
    printf '%s' "${found:-}"
}

rotate() {
    [ "$(stat -c %s "$file" 2>/dev/null || echo 0)" -ge "$limit" ] || return 0
    number=$kept
    while [ "$number" -gt 1 ]; do
        [ ! -f "$file.$((number - 1))" ] || mv -f "$file.$((number - 1))" "$file.$number"
        number=$((number - 1))
    done
    mv -f "$file" "$file.1"
}

write() { # JSON-MEMBERS
    trap '' HUP INT TERM PIPE
    umask 027
    mkdir -p "${file%/*}"
    exec 7<"${file%/*}"
    flock -w 10 7 || :
    rotate
    printf '{"time":"%s","from":"%s",%s,%s}\n' "$time" "$from" "$known" "$1" >>"$file"
}

lost() {
    trap '' HUP INT TERM PIPE
    write "\"result\":\"interrupted\",\"seconds\":$(($(uptime_seconds) - began)),\"release\":\"\""
    exit 0
}

trap lost HUP INT TERM
time=$(date -u +%Y-%m-%dT%H:%M:%SZ)
from=$(origin)
IFS= read -r ended || lost
write "$ended"
