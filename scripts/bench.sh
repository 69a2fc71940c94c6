#!/usr/bin/env bash
# `make bench`: installs wrk, nginx, PostgreSQL and Redis if need be, builds, measures, prints. BENCH_ARGS go to `knurl-lab bench`, for example
#   make bench BENCH_ARGS='--only redirect --quick'
#   make bench BENCH_ARGS='--populated target/bench --out docs/reference/performance.md'
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"
need_compiler
need_servers
need_debian wrk wrk
cargo build --release --locked --bin knurl --bin knurl-lab
exec "$target_dir"/release/knurl-lab bench --command "make bench${*:+ BENCH_ARGS='$*'}" "$@"
