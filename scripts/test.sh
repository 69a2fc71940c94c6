#!/usr/bin/env bash
# `make test`: everything that must hold, in the order in which it fails soonest. Each stage prints its time.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"

# Debug information of dependencies is never looked at here; incremental builds only help whoever edits.
[ -z "${CI:-}" ] || export CARGO_INCREMENTAL=0
fuzz_seconds=${FUZZ_SECONDS:-20}
features=(--workspace --locked --features knurl/failpoints)

stage() {
  local name=$1 began=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  "$@"
  printf '== %s: %d s\n' "$name" $((SECONDS - began))
}

tools() {
  need_compiler
  need_servers
  need_clock
  need_k6
  need_helm
  need_collector
  need_cargo_tool nextest "$nextest_version" || say "cargo-nextest cannot be had here: cargo test runs the same tests, one program after the other"
}

doc_tests() {
  # A doc test is a fenced block without a language, or with rust.
  if grep -rqE '^\s*//[/!] ```(rust|no_run|should_panic|compile_fail)?\s*$' --include='*.rs' crates/*/src; then
    cargo test --doc "${features[@]}"
  else
    echo 'there are none'
  fi
}

fuzz() {
  if ! need_cargo_tool fuzz "$fuzz_version"; then
    echo 'cargo-fuzz cannot be had here: not fuzzed'
    return 0
  fi
  scripts/fuzz.sh "$fuzz_seconds"
}

tests() {
  if command -v cargo-nextest >/dev/null; then
    cargo nextest run "${features[@]}" --profile "${NEXTEST_PROFILE:-default}"
  else
    cargo test --no-fail-fast --lib --bins --tests "${features[@]}"
  fi
}

stage tools tools
stage lint scripts/lint.sh
stage build cargo build --workspace --all-targets --locked --features knurl/failpoints
stage 'doc tests' doc_tests
stage fuzz fuzz
stage tests tests
printf '\nall of it: %d s\n' "$SECONDS"
