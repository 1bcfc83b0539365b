# Runs in a server: wait a while for systemd, sshd's keys and the engine; print the host keys.
# shellcheck shell=sh
tries=100
while [ "$tries" -gt 0 ]; do
    case $(systemctl is-system-running) in
    running | degraded)
        if docker info > /dev/null; then exec cat /etc/ssh/ssh_host_*_key.pub; fi
        ;;
    esac
    # Without inotify no path unit starts, and systemd waits for ever.
    if systemctl is-failed --quiet systemd-ask-password-wall.path; then
        echo starved
        exit 0
    fi
    tries=$((tries - 1))
    sleep 0.1
done
exit 1
