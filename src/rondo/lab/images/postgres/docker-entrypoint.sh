#!/bin/sh
# Take the official image's settings; set up the database once; then become the server.
set -eu

fail() {
    echo "postgres: $*" >&2
    exit 1
}

# NAME, or the contents of the file that NAME_FILE names, or a default.
setting() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    # shellcheck disable=SC2154
    if [ -n "$value" ] && [ -n "$file" ]; then
        fail "$1 and $1_FILE are both set; keep one of them"
    elif [ -n "$file" ]; then
        cat "$file"
    else
        printf '%s' "${value:-$2}"
    fi
}

initialise() {
    # A directory .init without a PG_VERSION beside it is an earlier attempt that was interrupted;
    # nobody has ever written to that database.
    if [ -d "$PGDATA/.init" ]; then
        find "$PGDATA" -mindepth 1 -delete
    fi
    password=$(setting POSTGRES_PASSWORD '')
    user=$(setting POSTGRES_USER postgres)
    database=$(setting POSTGRES_DB "$user")
    method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    if [ -z "$password" ] && [ "$method" != trust ]; then
        fail "no password for the superuser; set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE"
    fi
    new="$PGDATA/.init"
    umask 077
    mkdir "$new"
    printf '%s' "$password" > "$new.password"
    # shellcheck disable=SC2086 # the official image splits POSTGRES_INITDB_ARGS into words, too
    initdb --pgdata "$new" --username "$user" --encoding UTF8 --auth-local trust \
        --auth-host "$method" ${password:+--pwfile="$new.password"} ${POSTGRES_INITDB_ARGS:-}
    rm -f "$new.password"
    echo "host all all all $method" >> "$new/pg_hba.conf"
    echo "listen_addresses = '*'" >> "$new/postgresql.conf"
    first_run
    # PG_VERSION goes last: with it in place, and only then, the database is complete.
    find "$new" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
    sync
    mv "$new/PG_VERSION" "$PGDATA/"
    rmdir "$new"
}

# Create the database and run the scripts of /docker-entrypoint-initdb.d, out of clients' reach.
first_run() {
    sockets=$(mktemp -d)
    pg_ctl --pgdata "$new" --options "-c listen_addresses='' -k $sockets" --wait start
    export PGHOST="$sockets" PGUSER="$user"
    if [ "$database" != postgres ]; then
        psql --no-psqlrc --dbname postgres --set ON_ERROR_STOP=1 --set name="$database" <<'SQL'
CREATE DATABASE :"name";
SQL
    fi
    for script in /docker-entrypoint-initdb.d/*; do
        case "$script" in
        *.sh) sh "$script" ;;
        *.sql) psql --no-psqlrc --dbname "$database" --set ON_ERROR_STOP=1 --file "$script" ;;
        *.sql.gz) gunzip -c "$script" |
            psql --no-psqlrc --dbname "$database" --set ON_ERROR_STOP=1 ;;
        esac
    done
    pg_ctl --pgdata "$new" --mode fast --wait stop
    unset PGHOST PGUSER
    rm -rf "$sockets"
}

case "${1:-postgres}" in
-*) set -- postgres "$@" ;;
esac
if [ "$1" != postgres ]; then
    exec "$@"
fi
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres:postgres "$PGDATA" /var/run/postgresql
    chmod 0700 "$PGDATA"
    # The secret may be readable for root only.
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        POSTGRES_PASSWORD=$(setting POSTGRES_PASSWORD '')
        export POSTGRES_PASSWORD
        unset POSTGRES_PASSWORD_FILE
    fi
    export HOME=/var/lib/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initialise
fi
unset POSTGRES_PASSWORD
exec "$@"
