# Facts of a server as lines of `fact<TAB>key<TAB>value`: read-only, fast, and silent where
# something is missing. Part of a larger script: it never exits and sets only rondo_ names.

rondo_fact() {
    printf 'fact\t%s\t%s\n' "$1" "$2"
}

# Free bytes, without the reserve for root, at a folder or the nearest one above it that exists.
rondo_disk_free() {
    rondo_path=$1
    while [ ! -d "$rondo_path" ]; do rondo_path=$(dirname "$rondo_path"); done
    # shellcheck disable=SC2046 # stat prints two numbers
    set -- $(stat -f -c '%a %S' "$rondo_path")
    echo $(($1 * $2))
}

# Where images take room. Engines from 29 on leave them to containerd, unless they kept an older
# store when they were upgraded.
rondo_image_store() {
    rondo_root=$(sed -n 's/.*"data-root"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' \
        /etc/docker/daemon.json 2>/dev/null | tail -n 1)
    rondo_root=${rondo_root:-/var/lib/docker}
    if [ -d "$rondo_root/containers" ] && [ ! -d "$rondo_root/image" ] && [ -d /var/lib/containerd ]; then
        rondo_root=/var/lib/containerd
    fi
    echo "$rondo_root"
}

# The engine is asked over its socket: that costs a third of starting the docker client.
rondo_docker_facts() {
    command -v docker >/dev/null || return 0
    rondo_fact docker_client yes
    if [ -S /var/run/docker.sock ] && command -v curl >/dev/null; then
        rondo_answer=$(curl -sS --max-time 10 --unix-socket /var/run/docker.sock \
            http://docker/version 2>&1)
    else
        rondo_answer=$(timeout 10 docker version --format '{{json .Server}}' 2>&1)
    fi
    rondo_fact docker "$(printf '%s' "$rondo_answer" | tr '\t\n' '  ')"
    for rondo_path in /root/.docker /usr/local/lib/docker /usr/local/libexec/docker \
        /usr/lib/docker /usr/libexec/docker; do
        [ -x "$rondo_path/cli-plugins/docker-buildx" ] && rondo_fact buildx yes && break
    done
    return 0
}

rondo_nginx_facts() {
    command -v nginx >/dev/null || return 0
    rondo_build=$(nginx -V 2>&1)
    rondo_fact nginx_version "$(echo "$rondo_build" | sed -n 's|^nginx version: [^/]*/||p')"
    rondo_user=$(sed -n 's/^[[:space:]]*user[[:space:]]\{1,\}\([^[:space:];]*\).*/\1/p' \
        /etc/nginx/nginx.conf 2>/dev/null | head -n 1)
    rondo_fact nginx_user \
        "${rondo_user:-$(echo "$rondo_build" | sed -n 's/.*--user=\([^ ]*\).*/\1/p')}"
    grep -Eq '^[[:space:]]*include[[:space:]]+"?(/etc/nginx/)?conf\.d/\*(\.conf)?"?[[:space:]]*;' \
        /etc/nginx/nginx.conf 2>/dev/null && rondo_fact conf_d_included yes
    rondo_pid=$(cat /run/nginx.pid 2>/dev/null)
    [ "$(cat "/proc/${rondo_pid:-none}/comm" 2>/dev/null)" = nginx ] && rondo_fact nginx_running yes
    return 0
}

rondo_machine_facts() {
    rondo_fact clock "$(date +%s.%N)"
    rondo_fact hostname "$(cat /proc/sys/kernel/hostname)"
    rondo_fact architecture "$(uname -m)"
    rondo_fact cores "$(nproc)"
    sed -n -e 's/^ID=\(.*\)/fact\tos_id\t\1/p' -e 's/^VERSION_ID=\(.*\)/fact\tos_version\t\1/p' \
        /etc/os-release | tr -d "\"'"
    sed -n -e 's/^MemTotal: *\([0-9]*\) kB/fact\tmemory_total\t\1/p' \
        -e 's/^MemAvailable: *\([0-9]*\) kB/fact\tmemory_available\t\1/p' /proc/meminfo
    rondo_fact disk_docker "$(rondo_disk_free "$(rondo_image_store)")"
    rondo_fact disk_rondo "$(rondo_disk_free /var/lib/rondo)"
}

# What bootstrap leaves behind and a deploy cannot do without.
rondo_bootstrap_facts() {
    [ -d /run/systemd/system ] && rondo_fact systemd yes
    if [ -d /var/lib/rondo ] && { [ -d /run/rondo ] ||
        [ -f /etc/systemd/system/nginx.service.d/rondo.conf ]; }; then
        rondo_fact bootstrapped yes
    fi
    for rondo_tool in curl ss tar flock setsid ps; do
        command -v "$rondo_tool" >/dev/null || rondo_fact missing "$rondo_tool"
    done
}

rondo_facts() {
    case :$PATH: in
    *:/usr/sbin:*) ;;
    *) PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin ;;
    esac
    rondo_machine_facts
    rondo_bootstrap_facts
    rondo_docker_facts
    rondo_nginx_facts
    ss -ltnpH 'sport = :80 or sport = :443' 2>/dev/null | sed 's/^/fact\tlistener\t/'
}

rondo_facts
