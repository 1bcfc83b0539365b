#!/bin/sh
# Make the container fit for systemd and for a Docker Engine of its own, then become systemd.
set -eu

# With cgroup v1 Docker shows the controllers of the host's tree, read-only and under paths that
# do not exist in here. Mounted anew inside our own cgroup namespace they are right.
mount_own_cgroups() {
    umount -R /sys/fs/cgroup
    mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
    while IFS=: read -r _ controllers _; do
        case "$controllers" in
        '') ;; # the v2 tree beside them has no controllers
        name=*) mount_cgroup "${controllers#name=}" "none,$controllers" ;;
        *)
            mount_cgroup "$controllers" "$controllers"
            # Those that share a tree are looked for one by one, too.
            for controller in $(echo "$controllers" | tr , ' '); do
                [ -e "/sys/fs/cgroup/$controller" ] ||
                    ln -s "$controllers" "/sys/fs/cgroup/$controller"
            done
            ;;
        esac
    done < /proc/self/cgroup
}

mount_cgroup() {
    mkdir "/sys/fs/cgroup/$1"
    mount -t cgroup -o "$2" cgroup "/sys/fs/cgroup/$1"
}

# On a server each service of systemd and each container has a share of the processors. With cgroup
# v1 this systemd makes no groups for that: each process in here would have as large a share as all
# containers together, and whatever starts would take from those that serve.
share_processors() {
    [ -d /sys/fs/cgroup/cpu ] || return 0
    mkdir -p /sys/fs/cgroup/cpu/docker
    echo 8192 > /sys/fs/cgroup/cpu/docker/cpu.shares
}

if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -o remount,rw /sys/fs/cgroup
else
    mount_own_cgroups
    share_processors
fi

# Made once; a reboot keeps them. Without an id systemd would take every start for a machine's
# first, and undo what the image has masked.
ssh-keygen -A > /dev/null
[ -s /etc/machine-id ] || systemd-machine-id-setup > /dev/null 2>&1

# The image's settings for build steps are none of the server's business.
unset SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS
export container=docker
# Nobody in here may set the clock, which is the operator's machine's.
exec setpriv --bounding-set=-sys_time --inh-caps=-sys_time /sbin/init
