# Ask every slot for its health, its connections and its memory. Changes nothing. Follows common.sh.
# PROJECT ROOT GATE, then for each slot: SLOT CONTAINER-ID INSTANCE HOST PATH TIMEOUT
# shellcheck shell=sh disable=SC2154

set +e
root=$2
gate=$3
shift 3
tab=$(printf '\t')

# Separate answers, so that slots can be asked side by side and their lines not mixed.
answers=$(mktemp -d)
trap 'rm -rf "$answers"' EXIT

probe() { # SLOT CONTAINER-ID INSTANCE HOST PATH TIMEOUT
    printf 'since%s%s%s%s\n' "$tab" "$1" "$tab" \
        "$(container_api "/containers/$2/json" | grep -o '"StartedAt":"[^"]*"' | cut -d'"' -f4)"
    printf 'memory%s%s%s%s\n' "$tab" "$1" "$tab" \
        "$(container_api "/containers/$2/stats?stream=false&one-shot=true" |
            grep -o '"memory_stats":{"usage":[0-9]*' | grep -o '[0-9]*$')"
    [ -n "$5" ] || return 0
    printf 'health%s%s%s%s\n' "$tab" "$1" "$tab" \
        "$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time "$6" \
            --unix-socket "$gate" --header "Host: $4" "http://localhost/gate/$1$5")"
    socket=$root/sockets/$1/$3/app.sock
    printf 'flight%s%s%s%s\n' "$tab" "$1" "$tab" "$(connections "$socket")"
}

while [ "$#" -ge 6 ]; do
    probe "$1" "$2" "$3" "$4" "$5" "$6" >"$answers/$1" &
    shift 6
done
wait
cat "$answers"/* 2>/dev/null
for file in "$root"/tls/*.pem; do
    [ -f "$file" ] || continue
    name=${file##*/}
    printf 'certificate%s%s%s%s\n' "$tab" "${name%.pem}" "$tab" "$(base64 -w0 "$file")"
done
printf 'end\n'
