#!/usr/bin/env bash
# A Docker daemon of our own, in namespaces of its own (network, mounts, processes). Sourced after tools.sh, never run.
#
# Promised: its data, network and processes end with the script that sources this, however that ends: killing the first process of the
# namespaces kills all, and no other daemon, no firewall rule and no port of this machine is touched. Needs root.
# Wants: work_dir, a directory that the script removes. Gives: start_daemon, end_daemon, enter, docker, eventually, fail, and `inside`, which is empty until it runs.

inside=             # the process that holds the namespaces
pid_inside=         # dockerd's own namespace of processes, seen from here
cgroup=/$(basename "$work_dir")

fail() { say "FAILED: $*"; exit 1; }

# eventually SECONDS WHAT COMMAND...
eventually() {
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || fail "not in time: $what"
    sleep 0.5
  done
}

need_daemon() { need_debian dockerd docker.io && need_debian iptables iptables && need_debian ip iproute2; }

enter() { nsenter --target "$pid_inside" --net --mount --pid -- "$@"; }
export DOCKER_HOST="unix://$work_dir/docker.sock" DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
# Debian's own client: another one that stands before it in PATH may be of another time.
docker() { /usr/bin/docker "$@"; }

start_daemon() {
  mkdir "$work_dir/docker"
  # Whoever kills us kills unshare, and with it the first process inside, and with that all of them.
  setpriv --pdeathsig KILL -- unshare --net --mount --pid --fork --kill-child --mount-proc -- sh -ec "
    ip link set lo up
    exec dockerd --data-root '$work_dir/docker' --exec-root '$work_dir/exec' --pidfile '$work_dir/docker.pid' --host 'unix://$work_dir/docker.sock' \
      --cgroup-parent '$cgroup'
  " >"$work_dir/dockerd.log" 2>&1 &
  inside=$!
  eventually 60 'the Docker daemon answers' docker info
  pid_inside=$(pgrep -P "$inside" | head -1)
}

# Everything in there dies with its first process; mounts and network go with the last.
end_daemon() {
  [ -z "$inside" ] || { kill -KILL "$inside" 2>/dev/null && wait "$inside" 2>/dev/null; } || true
  # Empty by now.
  find /sys/fs/cgroup -depth -type d -path "/sys/fs/cgroup/*$cgroup*" -exec rmdir {} + 2>/dev/null || true
}
