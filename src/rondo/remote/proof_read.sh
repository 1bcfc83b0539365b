# Tell what this server saw of a load run: the run's lines of the access log as they are, then lines
# that begin with # and a word. Follows common.sh and proof_words.sh.
# $1: folder of the secrets  $2: access log  $3: name of the site  $4: path of the marks, but its end
# $5: run  $6 $7: inode and size of the log when it began  $8: configuration file of the site
# shellcheck shell=sh disable=SC2154

log=$2
marks=$4
run=$5
# Each of Nginx's workers keeps its lines for up to a second after the first one.
flush=1.1
patience=6

# Rotation renames the file; what was written to it since is there under its next name.
since() { # INODE SIZE
    now=$(stat -L -c %i "$log" 2>/dev/null || echo 0)
    if [ "$now" != "$1" ]; then
        if [ "$(stat -L -c %i "$log.1" 2>/dev/null)" = "$1" ]; then
            tail -c "+$(($2 + 1))" "$log.1"
        fi
        cat "$log" 2>/dev/null || :
    else
        tail -c "+$(($2 + 1))" "$log"
    fi
}

# shellcheck disable=SC2046 # two words
set -- "$@" $(position_of "$log")
code=$(mark_log "$3" "${marks}end")
sleep "$flush"
limit=$(($(uptime_seconds) + patience))
until since "$9" "${10}" | grep -qF "\"path\":\"${marks}end\"" || [ "$(uptime_seconds)" -ge "$limit" ]; do
    sleep 0.1
done

{
    since "$6" "$7" | awk -v run="\"run\":\"$run\"" -v mark="\"path\":\"$marks" '
        index($0, mark) {
            if (index($0, mark "begin\"")) begun = 1
            if (index($0, mark "end\"")) ended = 1
            next
        }
        index($0, run) { print; next }
        /^{/ {
            address = ""
            if (match($0, /"backend":"[^"]*"/)) address = substr($0, RSTART + 11, RLENGTH - 12)
            others[address]++
        }
        END {
            print "#marks " (begun + 0) " " (ended + 0)
            for (address in others) print "#other " others[address] " " address
        }'
    say "#code $code"
    say "#reloads $(cat "$1/$run.reloads" 2>/dev/null || echo lost)"
    say "#workers $(count_workers)"
    say "#nginx $(/usr/sbin/nginx -v 2>&1 | sed 's|.*/||')"
    [ ! -f "$8" ] || say "#file $(base64 -w0 "$8")"
    say "#whole"
} | gzip -1
