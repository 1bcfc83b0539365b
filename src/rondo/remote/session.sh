# Run the guard in a session and process group of its own, so that one signal ends all of it.
# $1: the guard  $2: watch or survive  $3: script  $4...: its arguments
# shellcheck shell=sh

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022
cd /
[ "$2" = watch ] || trap '' HUP PIPE
guard=$1
shift
# In the background, as only a process that leads no group can start a session without forking.
exec 3<&0
setsid sh -c "$guard" rondo "$@" <&3 3<&- &
exec 3<&-
wait $!
