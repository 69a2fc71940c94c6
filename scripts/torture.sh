#!/usr/bin/env bash
# `make torture`: the long version of what `make test` samples. KILLS, SEED and STORIES change it.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"
need_compiler
need_servers
need_clock
need_drills
need_collector
# Fail points in a release binary: a build of its own, so that the shipped one is never it.
cargo build --release --locked --target-dir "$target_dir/torture" --features knurl/failpoints --bin knurl --bin knurl-lab --package knurl --package knurl-lab
lab=$target_dir/torture/release/knurl-lab
seed=${SEED:-$RANDOM}
failed=0
# All of them, whatever the first ones say.
"$lab" kill --kills "${KILLS:-10000}" --seed "$seed" --failpoints all || failed=1
# The same stories as `make test`, many more of them (STORIES). One alone: KNURL_SIM_SEED.
KNURL_SIM_SEEDS="${STORIES:-10000}" cargo test --release --locked --target-dir "$target_dir/torture" --features knurl/failpoints --package knurl \
    --test simulation -- --nocapture whatever_befalls || failed=1
# Every drill of Chaos Mode, three at a time: most of each is waiting for its alert.
"$lab" drill run all --jobs "${DRILL_JOBS:-3}" --seed "$seed" --out "$target_dir/torture/drills" || failed=1
"$lab" promise p9 --requests 1000000 --seed "$seed" || failed=1
"$lab" promise p10 --seed "$seed" || failed=1
"$lab" promise p14 --seed "$seed" || failed=1
# Of each fault ten minutes, as it is promised.
"$lab" promise p3 --seconds 600 --seed "$seed" || failed=1
"$lab" promise p4 --seconds 120 --seed "$seed" || failed=1
# Once more on nodes whose redirects need Redis.
"$lab" promise p4 --cold --seconds 120 --seed "$seed" || failed=1
"$lab" promise p5 --links 10000000 --seed "$seed" || failed=1
"$lab" promise p8 --rounds 5 --seed "$seed" || failed=1
"$lab" promise p22 --changes 1000 --seed "$seed" || failed=1
"$lab" promise p23 --keys 100000 --kills 500 --seed "$seed" || failed=1
"$lab" promise ledger --kills 1000 --seed "$seed" || failed=1
# Containers: needs root and Debian; TORTURE_STACK=no leaves it out.
if [ "${TORTURE_STACK:-yes}" = yes ]; then
  DRILL_LAB=$lab scripts/drill-containers.sh all --jobs "${DRILL_JOBS:-3}" --seed "$seed" --out "$target_dir/torture/drills-containers" || failed=1
  scripts/stack-test.sh || failed=1
fi
exit $failed
