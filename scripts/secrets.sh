#!/usr/bin/env bash
# scripts/secrets.sh [DIR]: passwords and keys for compose.prod.yaml, drawn at random, into deploy/secrets/ (or DIR). What is there stays.
#
# A file that a container reads is read by the user it runs as, whoever owns it: so each file may be read by all, and the directory
# by nobody but its owner. All of them together are made, or none.
set -euo pipefail
root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${1:-$root_dir/deploy/secrets}

if [ -e "$dir" ]; then
  printf '%s is there already: nothing was changed. Remove it for new ones (a database that exists keeps its old password).\n' "$dir" >&2
  exit 1
fi

draw() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

umask 022
new=$(mktemp -d "$(dirname "$dir")/.secrets-XXXXXX")
trap 'rm -rf "$new"' EXIT
put() { printf '%s' "$2" >"$new/$1"; }

postgres=$(draw)
redis=$(draw)
put postgres_password "$(draw)"
put postgres_knurl "$postgres"
put postgres_watch "$(draw)"
put database_url "postgres://knurl:$postgres@postgres:5432/knurl"
put redis_auth "requirepass $redis
"
put redis_url "redis://:$redis@redis:6379/0"
put redis_exporter "{\"redis://redis:6379\":\"$redis\"}"
put admin_key "knurl_$(draw)"
put grafana_password "$(draw)"
chmod 444 "$new"/*
chmod 700 "$new"
mv -T "$new" "$dir"
trap - EXIT
printf 'secrets are in %s; the API key of the operator is in admin_key\n' "$dir" >&2
