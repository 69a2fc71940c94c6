#!/usr/bin/env bash
# scripts/stack-images.sh: the images that compose.prod.yaml names, for a machine that reaches no registry: made of Debian's packages, with
# debootstrap and `docker import`, under exactly those names. Called by stack-test.sh, whose daemon nobody else uses.
#
# What is tested so is the compose file, our configuration and the programs, in Debian's versions. What is not: the images themselves. Where
# theirs has an entrypoint that does something (PostgreSQL's makes the database), ours does that much. Grafana is no Debian package: left out.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"
: "${DOCKER:?the docker command of the daemon that is to have them}"

packages=(postgresql redis-server nginx-light prometheus prometheus-alertmanager prometheus-postgres-exporter prometheus-redis-exporter
  prometheus-nginx-exporter curl wget ca-certificates procps)
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# Debian's packages change seldom; what was made is used for a week, by this script as it is now.
base_tar="$target_dir/stack/base-$suite-$(sha256sum <"${BASH_SOURCE[0]}" | cut -c1-12).tar"

make_base() {
  local root=$1
  say "making a base of Debian $suite with ${packages[*]}"
  debootstrap --variant=minbase "$suite" "$root" >"$root.log" || { tail -5 "$root.log" >&2; return 1; }
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  # No manual in an image that is thrown away.
  printf 'path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n' >"$root/etc/dpkg/dpkg.cfg.d/small"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  chroot "$root" env DEBIAN_FRONTEND=noninteractive PG_CREATE_MAIN=no apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${packages[@]}" >>"$root.log" 2>&1 \
    || { tail -5 "$root.log" >&2; return 1; }
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/lib/postgresql/*/main "$root"/etc/postgresql/*/main
  # The users that the images which these stand for run as.
  chroot "$root" sh -ec '
    groupmod -o -g 999 postgres && usermod -o -u 999 -g 999 postgres
    getent passwd nginx >/dev/null || useradd -o -u 101 -M -s /usr/sbin/nologin nginx
    mkdir -p /var/lib/postgresql/data /data /prometheus /alertmanager
    chown 999:999 /var/lib/postgresql/data /data && chmod 700 /var/lib/postgresql/data
    chown 65534:65534 /prometheus /alertmanager'
  local pg
  pg=$(cd "$root/usr/lib/postgresql" && echo */bin)
  ln -s "/usr/lib/postgresql/$pg" "$root/opt/postgresql-bin"
  cat >"$root/usr/local/bin/postgres-entrypoint" <<'SCRIPT'
#!/bin/sh
# What the image that this stands for does on an empty directory: a superuser with that password, then what is mounted for it to run.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # shellcheck disable=SC2086
  initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --auth-host=scram-sha-256 $POSTGRES_INITDB_ARGS >/dev/null
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
  pg_ctl -w start -o "-c listen_addresses=''" >/dev/null
  for script in /docker-entrypoint-initdb.d/*.sh; do . "$script"; done
  pg_ctl -w -m fast stop >/dev/null
fi
exec "$@"
SCRIPT
  chmod 755 "$root/usr/local/bin/postgres-entrypoint"
  rm -f "$root/usr/sbin/policy-rc.d"
  mkdir -p "$(dirname "$base_tar")"
  rm -f "$target_dir/stack"/base-*.tar
  tar -C "$root" --numeric-owner -cf "$base_tar.new" --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* .
  mv "$base_tar.new" "$base_tar"
}

work_dir=$(mktemp -d)
trap 'rm -rf "$work_dir"' EXIT
if [ -z "$(find "$base_tar" -mtime -7 2>/dev/null)" ]; then
  need_debian debootstrap debootstrap
  make_base "$work_dir/root"
  rm -rf "$work_dir/root"
fi
$DOCKER import "$base_tar" knurl-stack-base >/dev/null

# stand_in IMAGE INSTRUCTION...: the base under another name.
stand_in() {
  local image=$1
  shift
  mkdir -p "$work_dir/empty"
  printf '%s\n' 'FROM knurl-stack-base' "$@" | $DOCKER build -q -t "$image" -f - "$work_dir/empty" >/dev/null
}

# image_of SERVICE: as the compose file has it.
image_of() {
  awk -v service="$1" '$0 == "  " service ":" { inside = 1; next } inside && /^  [a-z]/ { exit } inside && $1 == "image:" { print $2; exit }' compose.prod.yaml | grep .
}

stand_in "$(image_of postgres)" \
  'ENV PATH=/opt/postgresql-bin:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data' \
  'STOPSIGNAL SIGINT' 'ENTRYPOINT ["/usr/local/bin/postgres-entrypoint"]' 'CMD ["postgres"]'
stand_in "$(image_of redis)" 'WORKDIR /data' 'CMD ["redis-server"]'
stand_in "$(image_of nginx)" 'ENV PATH=/usr/sbin:/usr/bin:/bin'
stand_in "$(image_of prometheus)" 'WORKDIR /prometheus' 'ENTRYPOINT ["/usr/bin/prometheus"]'
stand_in "$(image_of alertmanager)" 'WORKDIR /alertmanager' 'ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]'
stand_in "$(image_of postgres-exporter)" 'ENTRYPOINT ["/usr/bin/prometheus-postgres-exporter"]'
stand_in "$(image_of redis-exporter)" 'ENTRYPOINT ["/usr/bin/prometheus-redis-exporter"]'
stand_in "$(image_of nginx-exporter)" 'ENTRYPOINT ["/usr/bin/prometheus-nginx-exporter"]'
