#!/bin/bash
# Starts PostgreSQL as Docker Hub's image does, as far as most deployments go:
# POSTGRES_PASSWORD (needed), POSTGRES_USER, POSTGRES_DB and PGDATA say what to
# make of an empty data folder; they change nothing in one that has data.
set -euo pipefail

if [ $# -eq 0 ] || [ "${1:0:1}" = - ]; then
	set -- postgres "$@"
fi
if [ "$1" != postgres ]; then
	exec "$@"
fi

if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA"
	find "$PGDATA" ! -user postgres -exec chown postgres:postgres {} +
	exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	if [ -z "${POSTGRES_PASSWORD:-}" ]; then
		echo "the data folder $PGDATA is empty and POSTGRES_PASSWORD is not set; set it to the password that the new database's superuser shall have" >&2
		exit 1
	fi
	user=${POSTGRES_USER:-postgres}
	database=${POSTGRES_DB:-$user}
	mkdir -p "$PGDATA"
	chmod 700 "$PGDATA"
	initdb --username="$user" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
		--encoding=UTF8 --auth-local=trust --auth-host=scram-sha-256
	echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
	echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
	if [ "$database" != postgres ]; then
		printf 'CREATE DATABASE "%s"\n' "${database//\"/\"\"}" | postgres --single -D "$PGDATA" postgres
	fi
fi
exec "$@"
