#!/usr/bin/env bash
# scripts/fuzz.sh SECONDS [TARGET...]: every target (or those named) for SECONDS, as many at once as there are cores; one line for each.
#
# Starts from the committed corpus in fuzz/corpus and what fuzz/corpus-local has grown to, and never changes the former. What breaks a
# target is left in fuzz/artifacts/TARGET, and the exit code is 1. Short runs (under 300 s) are built without a sanitizer, longer ones
# with AddressSanitizer; FUZZ_SANITIZER=none|address says otherwise.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"

usage() {
  say "usage: scripts/fuzz.sh SECONDS [TARGET...]; targets: $(all_targets | xargs)"
  exit 2
}

all_targets() { (cd fuzz/fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//'); }

# Says of one target: executions, and whether it held.
fuzz_one() {
  local target=$1 log="$work_dir/$1.log" executions verdict=held
  local artifacts="fuzz/artifacts/$target/" grown="fuzz/corpus-local/$target"
  mkdir -p "$artifacts" "$grown" "fuzz/corpus/$target"
  # New inputs go to the first directory; the others are only read.
  "$bin_dir/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1 \
    -artifact_prefix="$artifacts" "$grown" "fuzz/corpus/$target" >"$log" 2>&1 || verdict=BROKE
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
  printf 'fuzz %-14s %12s executions in %s s  %s\n' "$target" "${executions:-?}" "$seconds" "$verdict"
  [ "$verdict" = held ] && return 0
  { grep -E 'panicked at|ERROR:|SUMMARY:|Test unit written' -A2 "$log" || tail -20 "$log"; } | sed "s/^/  /" | head -40
  return 1
}

[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || usage
seconds=$1
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(all_targets)
for target in "${targets[@]}"; do
  [ -f "fuzz/fuzz_targets/$target.rs" ] || usage
done

need_compiler
need_cargo_tool fuzz "$fuzz_version"
sanitizer=${FUZZ_SANITIZER:-$([ "$seconds" -lt 300 ] && echo none || echo address)}
# Each sanitizer builds everything anew, so each has a directory. The flags are unstable, the toolchain need not be nightly.
export RUSTC_BOOTSTRAP=1 CARGO_INCREMENTAL=0
fuzz_target_dir=$(target_dir_of fuzz/Cargo.toml)/$sanitizer
build() { cargo fuzz build --sanitizer "$sanitizer" --codegen-units 16 --target-dir "$fuzz_target_dir" "$@"; }
if printf '%s\n' "${targets[@]}" | grep -qxE "$(grep -lE '^use knurl::' fuzz/fuzz_targets/*.rs | sed 's|.*/||; s|\.rs$||' | paste -sd'|')"; then
  build
else
  build --no-default-features
fi
bin_dir=$fuzz_target_dir/$(rustc -vV | sed -n 's/^host: //p')/release
work_dir=$(mktemp -d)
trap 'rm -rf "$work_dir"' EXIT

failed=0
running=0
for target in "${targets[@]}"; do
  if [ "$running" -ge "$(nproc)" ]; then
    wait -n || failed=1
    running=$((running - 1))
  fi
  fuzz_one "$target" &
  running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
  wait -n || failed=1
  running=$((running - 1))
done
[ "$failed" = 0 ] || say "inputs that break a target are in fuzz/artifacts; run one with: $bin_dir/TARGET FILE"
exit "$failed"
