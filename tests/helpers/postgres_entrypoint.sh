#!/bin/sh
# What the tests need of the official image's entrypoint: its variables, and a server that is not root.
set -eu
if [ "$(id -u)" = 0 ]; then
    POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    export POSTGRES_PASSWORD
    unset POSTGRES_PASSWORD_FILE
    mkdir -p "$PGDATA" /var/run/postgresql
    chown postgres:postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    words=$(mktemp)
    printf '%s' "$POSTGRES_PASSWORD" > "$words"
    # shellcheck disable=SC2086
    initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile "$words" --auth-local trust $POSTGRES_INITDB_ARGS
    rm "$words"
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    pg_ctl --options "-c listen_addresses=''" --wait start
    createdb --username "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl --mode fast --wait stop
    echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
fi
exec "$@"
