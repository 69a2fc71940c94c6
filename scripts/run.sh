#!/usr/bin/env bash
# `make run`: builds the release binary and serves, saying what to do next. Options go to `knurl serve`.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"
need_compiler
cargo build --release --locked --bin knurl
exec "$target_dir"/release/knurl serve --welcome "$@"
