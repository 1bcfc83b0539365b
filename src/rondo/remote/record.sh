# Make a release the one in force, once its record has arrived. Follows common.sh and files.sh.
# $1: the project's folder  $2: folder of the releases  $3: id
# shellcheck shell=sh disable=SC2154

share_transactions "$1"
[ -f "$2/$3/record.json" ] || fail 12 "there is no record of release $3"
ln -sfn "$3" "$2/current.next"
mv -f -T "$2/current.next" "$2/current"
