#!/bin/sh
# As in the official image: what is no command goes to node.
set -e
if [ "${1#-}" != "$1" ] || ! command -v "$1" > /dev/null || { [ -f "$1" ] && [ ! -x "$1" ]; }; then
    set -- node "$@"
fi
exec "$@"
