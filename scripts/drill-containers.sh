#!/usr/bin/env bash
# `make drill-containers`: drills on nodes in containers of the image, which Docker restarts. Needs root. Arguments are those of `knurl-lab drill run`.
#
# The lab is run inside the daemon's namespaces, and its containers on the network of them: so addresses, process ids and paths mean the same to
# all, PostgreSQL, Redis, nginx and Prometheus are processes as ever, and whatever is there ends with us (scripts/daemon.sh). A first Ctrl-C or SIGTERM is
# handed to the lab, which heals and ends; a second one ends all.
# The image is the Dockerfile's, with the same static binary but for its fail points. DRILL_PREBUILT=1 takes the one that was built
# before; DRILL_LAB is a knurl-lab that need not be built.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"

[ "$(id -u)" = 0 ] || { say 'drills in containers need root: they start a Docker daemon'; exit 1; }
work_dir=$(mktemp -d /tmp/knurl-boxes-XXXXXX)
source scripts/daemon.sh
running=            # the lab's own entrance into the namespaces
told=no

tidy_up() {
  local code=$?
  trap - EXIT INT TERM
  end_daemon
  rm -rf "$work_dir"
  exit "$code"
}
trap tidy_up EXIT

hand_on() {
  [ -n "$running" ] && [ "$told" = no ] || exit 130
  told=yes
  pkill -TERM -P "$running" || exit 130
}
trap hand_on INT TERM

need_daemon
need_compiler
need_servers
need_drills
image_dir="$target_dir/drill-image"
if [ -z "${DRILL_PREBUILT:-}" ]; then
  scripts/image.sh --failpoints "$image_dir"
fi
lab=${DRILL_LAB:-$target_dir/torture/release/knurl-lab}
if [ -z "${DRILL_LAB:-}" ]; then
  cargo build --release --locked --target-dir "$target_dir/torture" --bin knurl-lab --package knurl-lab
fi
start_daemon
docker build -q -t knurl:drill --build-arg SOURCE=prebuilt "$image_dir" >/dev/null
say "a Docker daemon of our own ($(docker version --format '{{.Server.Version}}')), and the image knurl:drill"

[ $# -gt 0 ] || set -- all --jobs "${DRILL_JOBS:-3}"
# In a session of its own: the terminal's Ctrl-C is ours, and is handed on once.
PATH=/usr/bin:$PATH setsid nsenter --target "$pid_inside" --net --mount --pid --wd="$root_dir" -- "$lab" drill run "$@" --containers &
running=$!
# A signal ends a wait, and not what is waited for.
failed=0
while :; do
  wait "$running" && failed=0 || failed=$?
  kill -0 "$running" 2>/dev/null || break
done
exit "$failed"
