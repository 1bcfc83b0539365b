# After Nginx took a file in which a server is marked or not: remember it, and wait for the end of
# the old workers, which go on sending to that server what they have begun. Follows workers.sh
# and site.sh, or workers_ending.sh where the file is as it should be.
# $4: file with the servers out of rotation  $5: its text  $6: seconds
# shellcheck shell=sh disable=SC2154

list=$4
if [ -n "$5" ]; then
    printf '%s' "$5" >"$list.next"
    replace_file "$list.next" "$list"
else
    rm -f "$list"
fi

alive() {
    for worker in $old_workers; do
        kill -0 "$worker" 2>/dev/null || continue
        # A number may have become another process's.
        grep -q nginx "/proc/$worker/comm" 2>/dev/null && printf '%s ' "$worker"
    done
}

limit=$(($(uptime_seconds) + $6))
while [ -n "$(alive)" ]; do
    if [ "$(uptime_seconds)" -ge "$limit" ]; then
        fail 15 "the edge took the change, but after ${6}s old workers of its Nginx still finish \
requests ($(alive)); they end by themselves, wait for: pgrep -f 'nginx: worker process is shutting down'"
    fi
    sleep 0.05
done
