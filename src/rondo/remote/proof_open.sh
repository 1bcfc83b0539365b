# Open this server to one load run until standard input ends: until its owner closes it or dies.
# Follows common.sh and proof_words.sh.
# $1: folder of the secrets  $2: access log  $3: name of the site  $4: path for the log's mark  $5: run
# $6: configuration file of the site
# stdin: the secret, which no list of processes may show
# shellcheck shell=sh disable=SC2154

proof=$1
run=$5
IFS= read -r secret
grep -qsF "$proof/" "$6" ||
    fail 12 "its Nginx has no site of this project that knows load runs; run: fab deploy"
umask 077
mkdir -p "$proof"
# Nginx's workers may look for a name they know, and nobody but root may read the names.
chmod 0711 "$proof"
# What a power cut left behind is no secret for ever.
find "$proof" -maxdepth 1 -type f -mtime +0 -delete

token=$proof/$secret
reloads=$proof/$run.reloads

close() {
    kill "$watcher" 2>/dev/null || :
    rm -f "$token" "$reloads"
}

watcher=
trap close EXIT
trap 'exit 0' HUP INT TERM
position=$(position_of "$2")
code=$(mark_log "$3" "$4")
: >"$token"
printf '0\n' >"$reloads"
count_reloads "$token" "$reloads" &
watcher=$!
say "$position $code"
# Nobody listens when the end comes: a word of the shell's own would then end it before its work.
exec >/dev/null 2>&1
cat
