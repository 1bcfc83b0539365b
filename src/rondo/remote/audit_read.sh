# Show the last lines of the audit log. Changes nothing.
# $1: file  $2: lines
# shellcheck shell=sh

{
    [ ! -f "$1.1" ] || cat "$1.1"
    [ ! -f "$1" ] || cat "$1"
} | tail -n "$2"
