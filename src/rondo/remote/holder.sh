# Say whether something is being changed on this server, then who holds its lock.
# Each lock is tried for an instant, so whoever takes one must not give up at once.
# $1: file of the lock  $2: file of the transactions
# shellcheck shell=sh disable=SC2154

held() { [ -e "$1" ] && ! flock -n "$1" true; }

if held "$2"; then echo busy; else echo idle; fi
if held "$1"; then cat "$1.owner" 2>/dev/null || echo somebody; fi
