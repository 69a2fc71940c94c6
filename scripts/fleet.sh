#!/usr/bin/env bash
# `make fleet`: PostgreSQL, Redis, nginx and three nodes on this machine, until Ctrl-C. Arguments are those of `knurl-lab fleet`.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"
need_compiler
need_servers
cargo build --release --locked --bin knurl --bin knurl-lab --package knurl --package knurl-lab
exec "$target_dir"/release/knurl-lab fleet "$@"
