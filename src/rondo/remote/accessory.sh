# Start an accessory and wait until it is ready. Its volumes outlive it. Follows common.sh.
# PROJECT NAME CONTAINER IMAGE ENVIRONMENT NETWORK DEADLINE NUMBER-OF-READY-WORDS READY... ROOT -- docker run
# shellcheck shell=sh disable=SC2154

project=$1 accessory=$2 name=$3 image=$4 environment=$5 network=$6 deadline=$7 words=$8
shift 8
ready=$(mktemp)
trap 'rm -f "$ready"' EXIT
index=0
while [ "$index" -lt "$words" ]; do
    printf '%s\n' "$1" >>"$ready"
    shift
    index=$((index + 1))
done
share_transactions "$1"
shift 2

ensure_network "$network" "$project"
own_secrets "$image" "$environment"
# Two of them would write to the same volume: what cannot be told or removed ends this.
old=$(docker ps --all --quiet --filter "label=rondo.project=$project" --filter "label=rondo.slot=$accessory")
for container in $old; do
    docker stop --time 60 "$container" >/dev/null
    docker rm "$container" >/dev/null
done
docker run --detach --restart unless-stopped "$@" >/dev/null || fail 10 "docker run refused to start $name"

# A command that never ends would hold the lock as long.
is_ready() {
    [ "$words" -gt 0 ] || return 0
    tr '\n' '\0' <"$ready" | xargs -0 timeout -k 5 10 docker exec "$name" >/dev/null 2>&1
}

limit=$(($(uptime_seconds) + ${deadline%.*}))
until running "$name" && is_ready; do
    if [ "$(uptime_seconds)" -ge "$limit" ]; then
        docker logs --tail 30 "$name" 2>&1 | sed 's/^/log	/'
        fail 10 "$name was not ready within ${deadline}s"
    fi
    sleep 0.2
done
