#!/usr/bin/env bash
# scripts/image.sh: builds the static binary here and leaves in dist/ what `docker build --build-arg SOURCE=prebuilt .` takes.
#
# The same flags as in the Dockerfile's own stage, without a Rust image. `dist/root/knurl` runs by itself on any Linux of this architecture.
# `scripts/image.sh --failpoints DIR` builds one with fail points for drills into DIR/dist, with the Dockerfile beside it: never into dist/, which is shipped.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"
need_compiler
host=$(rustc --print host-tuple)
context=$root_dir
build=(auditable build)
if [ "${1:-}" = --failpoints ]; then
  mkdir -p "${2:?the directory to build into}"
  context=$(realpath "$2")
  build=(build --features knurl/failpoints)
else
  need_auditable
fi
dist=$context/dist
# A directory of its own: other flags, other objects.
RUSTFLAGS="-C target-feature=+crt-static" cargo "${build[@]}" --release --locked --bin knurl --package knurl --target "$host" --target-dir "$target_dir/image"

rm -rf "$dist"
mkdir -p "$dist/root/etc/ssl/certs" "$dist/data"
# Names of functions stay, for backtraces; lines go into a file beside it, for core dumps.
objcopy --only-keep-debug "$target_dir/image/$host/release/knurl" "$dist/knurl.debug"
strip --strip-debug -o "$dist/root/knurl" "$target_dir/image/$host/release/knurl"
if file_says=$(ldd "$dist/root/knurl" 2>&1) && ! grep -q 'statically linked' <<<"$file_says"; then
  say "the binary wants libraries: $file_says"
  exit 1
fi
cp /etc/ssl/certs/ca-certificates.crt "$dist/root/etc/ssl/certs/"
echo 'knurl:x:65532:65532:Knurl:/data:/sbin/nologin' >"$dist/root/etc/passwd"
echo 'knurl:x:65532:' >"$dist/root/etc/group"
if [ "$context" != "$root_dir" ]; then
  cp Dockerfile .dockerignore "$context/"
  say "$context is ready: docker build -t knurl:drill --build-arg SOURCE=prebuilt $context"
  exit 0
fi
# Beside it, and not in the image: scanners read the binary itself.
python3 scripts/sbom.py dist/root/knurl >dist/knurl.cdx.json
say "dist/ is ready: docker build -t knurl:$(dist/root/knurl --version | cut -d' ' -f2) --build-arg SOURCE=prebuilt ."
