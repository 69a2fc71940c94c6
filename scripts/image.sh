#!/usr/bin/env bash
# scripts/image.sh: builds the static binary here and leaves in dist/ what `docker build --build-arg SOURCE=prebuilt .` takes.
#
# The same flags as in the Dockerfile's own stage, without a Rust image. `dist/root/knurl` runs by itself on any Linux of this architecture.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"
need_compiler
need_auditable
host=$(rustc --print host-tuple)
# A directory of its own: other flags, other objects.
RUSTFLAGS="-C target-feature=+crt-static" cargo auditable build --release --locked --bin knurl --package knurl --target "$host" --target-dir "$target_dir/image"

rm -rf dist
mkdir -p dist/root/etc/ssl/certs dist/data
# Names of functions stay, for backtraces; lines go into a file beside it, for core dumps.
objcopy --only-keep-debug "$target_dir/image/$host/release/knurl" dist/knurl.debug
strip --strip-debug -o dist/root/knurl "$target_dir/image/$host/release/knurl"
if file_says=$(ldd dist/root/knurl 2>&1) && ! grep -q 'statically linked' <<<"$file_says"; then
  say "the binary wants libraries: $file_says"
  exit 1
fi
cp /etc/ssl/certs/ca-certificates.crt dist/root/etc/ssl/certs/
echo 'knurl:x:65532:65532:Knurl:/data:/sbin/nologin' >dist/root/etc/passwd
echo 'knurl:x:65532:' >dist/root/etc/group
# Beside it, and not in the image: scanners read the binary itself.
python3 scripts/sbom.py dist/root/knurl >dist/knurl.cdx.json
say "dist/ is ready: docker build -t knurl:$(dist/root/knurl --version | cut -d' ' -f2) --build-arg SOURCE=prebuilt ."
