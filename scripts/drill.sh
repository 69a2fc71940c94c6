#!/usr/bin/env bash
# `make drill`: the short set of drills, with pages in drills/ of cargo's target directory. Arguments are those of `knurl-lab drill run`.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"
need_compiler
need_servers
cargo build --locked --features knurl/failpoints --bin knurl --bin knurl-lab --package knurl --package knurl-lab
[ $# -gt 0 ] || set -- short --jobs 5
"$target_dir"/debug/knurl-lab drill run "$@" --out "$target_dir/drills" && failed=0 || failed=1
say "pages: $target_dir/drills/index.html"
exit $failed
