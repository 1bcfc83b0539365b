# Hold the lock of this server until standard input ends: until the connection or its owner dies.
# $1: file  $2: who, since when and for what  $3: seconds to wait for another owner
# shellcheck shell=sh disable=SC2154

mkdir -p "${1%/*}"
exec 9>>"$1"
if ! flock -w "$3" 9; then
    cat "$1.owner" 2>/dev/null || echo somebody
    exit 0
fi
printf '%s\n' "$2" >"$1.owner"
# A slot that a lost client left in mid-change is undone or finished by the server itself.
flock -w 600 "$1.transaction" true
echo held
# A client that is cut off cannot say that it is gone. What is sent to it and never taken tells this
# server's sshd, which then ends the connection and with it the lock.
(
    exec 9>&-
    while sleep 3 && kill -0 "$$" && echo; do :; done
) 2>/dev/null &
# The same process goes on holding the descriptor; no child can inherit it and outlive us.
exec cat >/dev/null
