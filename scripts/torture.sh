#!/usr/bin/env bash
# `make torture`: the long version of what `make test` samples. KILLS and SEED change it.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"
need_compiler
# Fail points in a release binary: a build of its own, so that the shipped one is never it.
cargo build --release --locked --target-dir target/torture --features knurl/failpoints --bin knurl --bin knurl-lab --package knurl --package knurl-lab
exec target/torture/release/knurl-lab kill --kills "${KILLS:-10000}" --seed "${SEED:-$RANDOM}" --failpoints all
