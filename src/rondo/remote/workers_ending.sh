# Remember the workers of Nginx that are ending: those of before an earlier change, which an earlier
# command did not wait for to the end. Follows common.sh.
# shellcheck shell=sh disable=SC2034

old_workers=
for worker in $(nginx_workers); do
    if grep -qs 'shutting down' "/proc/$worker/cmdline"; then old_workers="$old_workers $worker"; fi
done
