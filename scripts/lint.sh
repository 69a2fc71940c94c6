#!/usr/bin/env bash
# `make lint`: formatting, clippy, licenses and bans.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"
need_compiler
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked --features knurl/failpoints -- -D warnings
if need_cargo_tool deny "$deny_version"; then
  cargo deny --locked check bans licenses sources
else
  say "cargo-deny cannot be had here: licenses and bans are not checked"
fi
