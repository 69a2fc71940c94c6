#!/bin/sh
# Runs once, on an empty directory, as PostgreSQL's superuser: Knurl's role owns its database and nothing else, the exporter's only looks on.
# The image sources this file; passwords come from secrets and stand in no argument.
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres <<'SQL'
\set knurl `cat /run/secrets/postgres_knurl`
\set watch `cat /run/secrets/postgres_watch`
create role knurl login password :'knurl';
create role watch login password :'watch' in role pg_monitor;
create database knurl owner knurl encoding 'UTF8' template template0;
revoke connect on database knurl from public;
grant connect on database knurl to watch;
SQL
