#!/usr/bin/env bash
# `make load PROFILE=…`: k6's load on Knurl, by the scripts of deploy/k6. Exit code 0: every threshold held; 99: one broke; others: it did not run.
#
# Where KNURL_LOAD_URL is not set, what is loaded is started here and ended with us: PostgreSQL, Redis, nginx and three nodes
# (KNURL_LOAD_ON=fleet, the default) or one node on SQLite (KNURL_LOAD_ON=node). Programs that were built already: KNURL_LOAD_BIN_DIR.
# Every other variable stands at the head of deploy/k6/knurl/settings.js. Nothing but this machine is loaded unless KNURL_LOAD_ANYWHERE=1.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"

# Whatever a profile wants, it ends.
limit_s=${KNURL_LOAD_LIMIT_S:-3600}
# Visitors have addresses of their own: one network would run into nginx's bound of connections for each.
loopback_addresses=127.0.2.1-127.0.2.250

profiles() { (cd deploy/k6 && printf '%s\n' *.js | sed 's/\.js$//'); }

profile=${1:-}
if [ $# != 1 ] || ! profiles | grep -qx -- "$profile"; then
  say "usage: scripts/load.sh PROFILE; profiles: $(profiles | xargs)"
  exit 2
fi

work_dir=
server=
tidy_up() {
  # A fleet stops in its own order, within a minute; it ends with us even if we are killed.
  [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server"; } || true
  [ -z "$work_dir" ] || rm -rf "$work_dir"
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

# begin COMMAND...: a server whose first line is JSON; leaves that line in $ready. Our own variables are none of its options.
begin() {
  mkfifo "$work_dir/out"
  local ours
  mapfile -t ours < <(compgen -e KNURL_ | sed 's/^/--unset=/')
  env "${ours[@]}" setpriv --pdeathsig TERM -- "$@" >"$work_dir/out" 2>"$work_dir/log" &
  server=$!
  exec 7<"$work_dir/out"
  if ! read -r -t 120 ready <&7; then
    say "what is to be loaded did not start:"
    tail -5 "$work_dir/log" >&2
    return 1
  fi
}

# field NAME: of the line.
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<<"$ready" | grep .; }

start_something() {
  local bin_dir=${KNURL_LOAD_BIN_DIR:-$target_dir/release}
  work_dir=$(mktemp -d)
  need_servers
  if [ -z "${KNURL_LOAD_BIN_DIR:-}" ]; then
    need_compiler
    cargo build --release --locked --bin knurl --bin knurl-lab --package knurl --package knurl-lab
  fi
  case ${KNURL_LOAD_ON:-fleet} in
    fleet)
      begin "$bin_dir/knurl-lab" fleet --json --port 0 --knurl "$bin_dir/knurl"
      KNURL_LOAD_URL=$(field url)
      KNURL_LOAD_KEY=$(field admin_key)
      ;;
    node)
      KNURL_LOAD_KEY=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
      begin env KNURL_ADMIN_KEY="$KNURL_LOAD_KEY" KNURL_DATA_DIR="$work_dir/data" KNURL_LISTEN=127.0.0.1:0 KNURL_METRICS_LISTEN=127.0.0.1:0 \
        "$bin_dir/knurl" serve
      KNURL_LOAD_URL=http://$(field listen)
      ;;
    *)
      say 'KNURL_LOAD_ON is fleet or node'
      return 2
      ;;
  esac
  export KNURL_LOAD_URL KNURL_LOAD_KEY
}

need_k6
[ -n "${KNURL_LOAD_URL:-}" ] || start_something
if [ -z "${KNURL_LOAD_SUMMARY:-}" ]; then
  mkdir -p "$target_dir/load"
  export KNURL_LOAD_SUMMARY="$target_dir/load/$profile.json"
fi
addresses=()
case $KNURL_LOAD_URL in http://127.*) addresses=(--local-ips "$loopback_addresses") ;; esac

code=0
timeout --foreground -k 10 "$limit_s" k6 run --quiet --no-usage-report --no-color --address '' "${addresses[@]}" "deploy/k6/$profile.js" || code=$?
[ ! -f "$KNURL_LOAD_SUMMARY" ] || say "as JSON: $KNURL_LOAD_SUMMARY"
# To break is what this one is for.
if [ "$profile" = breakpoint ] && [ "$code" = 99 ]; then code=0; fi
exit "$code"
