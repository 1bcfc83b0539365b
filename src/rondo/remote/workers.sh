# Remember the workers that Nginx has before its configuration changes. Follows common.sh.
# shellcheck shell=sh disable=SC2034

old_workers=$(nginx_workers)
