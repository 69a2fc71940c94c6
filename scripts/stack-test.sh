#!/usr/bin/env bash
# `make stack-test`: compose.prod.yaml for real, in containers of this machine: up, used, hurt, audited, taken down. Needs root.
#
# Promised: a Docker daemon of its own that ends with us however we end (scripts/daemon.sh); nothing leaves the machine; every wait has an
# end; exit code 0 only where everything held. The last run is recorded in docs/drills/stack.md.
# What is not tried: see scripts/stack-images.sh. Options: `--record` writes that page; STACK_PREBUILT=1
# takes dist/ as it is; STACK_KEEP=1 leaves the logs.
set -euo pipefail
source "$(dirname "$0")/tools.sh"
cd "$root_dir"

[ "$(id -u)" = 0 ] || { say 'make stack-test needs root: it starts a Docker daemon'; exit 1; }
record=no
[ "${1:-}" != --record ] || record=yes

work_dir=$(mktemp -d /tmp/knurl-stack-XXXXXX)
source scripts/daemon.sh
clicker=
began=$SECONDS

tidy_up() {
  local code=$?
  trap - EXIT INT TERM
  [ -z "$clicker" ] || kill "$clicker" 2>/dev/null || true
  if [ "$code" != 0 ] && [ -n "$pid_inside" ]; then
    say '-- the last words of the containers:'
    compose logs --tail=15 >&2 2>/dev/null || true
    tail -5 "$work_dir/dockerd.log" >&2 || true
  fi
  end_daemon
  if [ -n "${STACK_KEEP:-}" ]; then say "logs are in $work_dir"; rm -rf "$work_dir/docker"; else rm -rf "$work_dir"; fi
  exit "$code"
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

step() { printf '%4d s  %s\n' $((SECONDS - began)) "$*" | tee -a "$work_dir/steps"; }
need_docker() { need_daemon && need_debian docker-compose docker-compose && need_debian curl curl; }
compose() { docker-compose --project-directory "$root_dir" --project-name knurlstack -f "$work_dir/compose.yaml" "$@"; }

# -- The stack ------------------------------------------------------------------------------------------------------------------------

url=http://127.0.0.1:8080
http() { enter curl -sS -m 10 "$@"; }
api() { http -H "Authorization: Bearer $(cat "$work_dir/secrets/admin_key")" -H 'Content-Type: application/json' "$@"; }
# Asked of the daemon: Compose takes seconds to answer anything.
container() { docker ps -aq --filter label=com.docker.compose.project=knurlstack --filter "label=com.docker.compose.service=$1"; }
inspect() { docker inspect --format "$2" "$(container "$1")"; }
is_healthy() { [ "$(inspect "$1" '{{.State.Health.Status}}')" = healthy ]; }
all_healthy() { local service; for service in "$@"; do is_healthy "$service" || return 1; done; }
count_of() { api "$url/urls/$1/stats" | sed -n 's/.*"click_count":\([0-9]*\).*/\1/p'; }

create() {
  local answer
  answer=$(api -w '\n%{http_code}' -d "{\"url\":\"https://example.com/$1\",\"custom_code\":\"$1\"}" "$url/shorten") || return 1
  [ "$(tail -1 <<<"$answer")" = 201 ] && sed -n 's/^{"id":\([0-9]*\),.*/\1/p' <<<"$answer" | grep .
}

# Clicks until it is told to stop; a line with the status of each into $work_dir/clicks.
click_on() {
  while [ ! -e "$work_dir/stop-clicking" ]; do
    enter curl -s -m 10 -o /dev/null -w '%{http_code}\n' "$url/$1?n=[1-20]" >>"$work_dir/clicks" || true
    sleep 0.1
  done
}
answered() { grep -c '^302$' "$work_dir/clicks" || true; }
others() { grep -vc '^302$' "$work_dir/clicks" || true; }

at_least() { [ "$(answered)" -ge "$1" ]; }

redirects_go_on() {
  local before refused
  before=$(answered)
  refused=$(others)
  eventually 60 "redirects go on while $1" at_least $((before + 100))
  [ "$(others)" = "$refused" ] || fail "$(($(others) - refused)) of the redirects failed while $1"
}

sees_three_nodes() { enter curl -sg 'http://127.0.0.1:9090/api/v1/query?query=sum(up{job="knurl"})' | grep -q '"3"\]'; }
# As Alertmanager has it, and for whom.
alerts() { enter curl -sg "http://127.0.0.1:9093/api/v2/alerts?active=true&filter=alertname=\"$1\""; }
pages() { alerts "$1" | grep -q '"receivers":\[{"name":"page"}\]'; }
pages_no_more() { [ "$(alerts "$1")" = '[]' ]; }
create_is_told_503() { [ "$(api -o /dev/null -w '%{http_code}' -d '{"url":"https://example.com/"}' "$url/shorten")" = 503 ]; }
is_another_process() { local now; now=$(inspect "$1" '{{.State.Pid}}') && [ "$now" != 0 ] && [ "$now" != "$2" ]; }

# audit_holds BACKLOG: on every node, with a backlog like that.
audit_holds() {
  local node
  for node in knurl-1 knurl-2 knurl-3; do
    docker exec "$(container "$node")" /knurl audit --json | grep -q "\"backlog\":$1,.*\"verdict\":\"holds\"" || return 1
  done
}

confined() {
  local service=$1 status
  status=$(enter cat "/proc/$(inspect "$service" '{{.State.Pid}}')/status")
  grep -q '^CapEff:	0000000000000000$' <<<"$status" || fail "$service has capabilities"
  grep -q '^NoNewPrivs:	1$' <<<"$status" || fail "$service may gain privileges"
  ! grep -q '^Uid:	0' <<<"$status" || fail "$service runs as root"
  [ "$(inspect "$service" '{{.HostConfig.ReadonlyRootfs}}')" = true ] || fail "$service may write its root"
}

# -- What happens ---------------------------------------------------------------------------------------------------------------------

need_docker
[ -n "${STACK_PREBUILT:-}" ] || scripts/image.sh
start_daemon
step "a Docker daemon of our own: $(docker version --format '{{.Server.Version}}'), $(docker-compose version --short) of compose"

DOCKER=/usr/bin/docker scripts/stack-images.sh
version=$(sed -n 's/^  image: knurl:\(.*\)/\1/p' compose.prod.yaml | head -1)
docker build -q -t "knurl:$version" --build-arg SOURCE=prebuilt --build-arg VERSION="$version" --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" . >/dev/null
size=$(docker image inspect --format '{{.Size}}' "knurl:$version")
step "images are built; Knurl's has $((size / 1000000)) MB"

# The one node of compose.yaml, as somebody tries it first.
one() { docker-compose --project-directory "$root_dir" --project-name knurlone -f "$work_dir/one.yaml" "$@"; }
one_healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$(one ps -q knurl)")" = healthy ]; }
sed '/^name: /d; /^    build: \.$/d' compose.yaml >"$work_dir/one.yaml"
one up -d >"$work_dir/up.log" 2>&1 || { cat "$work_dir/up.log" >&2; fail 'compose up of one node'; }
eventually 120 'the one node is healthy' one_healthy
key=$(docker exec "$(one ps -q knurl)" /knurl key create tester)
key=${key%%$'\n'*}
# The server beside it knows the key within half a second.
makes_a_link() { enter curl -fsS -m 10 -o /dev/null -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d '{"url":"https://example.com/","custom_code":"one"}' http://127.0.0.1:8080/shorten; }
eventually 30 'a key that was made in the container makes a link' makes_a_link
enter curl -sS -m 10 -o /dev/null http://127.0.0.1:8080/one
docker exec "$(one ps -q knurl)" /knurl audit >/dev/null || fail 'the audit of the one node'
docker exec "$(one ps -q knurl)" /knurl backup /data/ >/dev/null || fail 'a backup in the container'
one down -v >/dev/null 2>&1
step 'one node of compose.yaml: healthy, a key made in it makes a link, audit and backup hold, taken down'

scripts/secrets.sh "$work_dir/secrets" 2>/dev/null
# The file as it is, but for the place of the secrets; not built a second time; and without its name, which Compose 1.29 does not know.
sed "/^name: /d; s#\./deploy/secrets/#$work_dir/secrets/#; /^    build: \.\$/d" compose.prod.yaml >"$work_dir/compose.yaml"
compose config --quiet
services=$(compose config --services | grep -v '^grafana$')
# shellcheck disable=SC2086
compose up -d $services >"$work_dir/up.log" 2>&1 || { cat "$work_dir/up.log" >&2; fail 'compose up'; }
with_health=$(for service in $services; do [ "$(inspect "$service" '{{if .State.Health}}yes{{end}}')" != yes ] || echo "$service"; done)
# shellcheck disable=SC2086
eventually 180 'every service is healthy' all_healthy $with_health
step "up, and healthy: $(echo $services)"

for service in $services; do confined "$service"; done
step 'no container has a capability, a writable root, or root as its user'

id=$(create "stack")
[ -n "$id" ] || fail 'a link is created through nginx'
[ "$(http -o /dev/null -w '%{http_code} %{redirect_url}' "$url/stack")" = '302 https://example.com/stack' ] || fail 'the link redirects'
: >"$work_dir/clicks"
click_on stack &
clicker=$!
redirects_go_on 'nothing is wrong'
eventually 60 'Prometheus sees all nodes' sees_three_nodes
rules=$(enter curl -s 127.0.0.1:9090/api/v1/rules | grep -o '"type":"alerting"' | wc -l)
step "a link made through nginx is clicked; Prometheus scrapes three nodes and knows $rules alerts"

# A process that dies comes back by itself; `docker kill` would count as a wish.
pid=$(inspect knurl-2 '{{.State.Pid}}')
enter kill -9 "$pid"
killed_at=$SECONDS
eventually 60 'the killed node is restarted' is_another_process knurl-2 "$pid"
eventually 60 'the killed node is healthy again' is_healthy knurl-2
[ "$(inspect knurl-2 '{{.RestartCount}}')" = 1 ] || fail 'it was restarted once'
step "knurl-2 killed (kill -9): restarted by the daemon, healthy $((SECONDS - killed_at)) s later"

stop() { local service; for service in "$@"; do docker stop "$(container "$service")" >/dev/null; done; }
start() { local service; for service in "$@"; do docker start "$(container "$service")" >/dev/null; done; }

stop redis
redirects_go_on 'Redis is stopped'
create without-redis >/dev/null || fail 'a link is created without Redis'
step 'Redis stopped: redirects and creates go on'

stop postgres
redirects_go_on 'PostgreSQL and Redis are stopped'
eventually 30 'a create is told 503' create_is_told_503
pid=$(inspect knurl-3 '{{.State.Pid}}')
enter kill -9 "$pid"
eventually 60 'a node starts without its database' is_another_process knurl-3 "$pid"
eventually 60 'and is healthy without it' is_healthy knurl-3
redirects_go_on 'a node was started without its database'
eventually 120 'Alertmanager pages for the database' pages KnurlDatabaseDown
step 'PostgreSQL stopped as well: redirects go on, creates are told 503, a killed node comes back and redirects, KnurlDatabaseDown pages'

start postgres redis
eventually 120 'a create goes through again' create after-the-outage
# Clicks go on: what came in the last moments may wait.
eventually 120 'clicks are delivered again' audit_holds '[0-9]\{1,2\}'
eventually 120 'the alert of the database ends' pages_no_more KnurlDatabaseDown
step 'both started again: creates go through, every spool is delivered, the audits hold, the alert ends'

touch "$work_dir/stop-clicking"
wait "$clicker" 2>/dev/null || true
clicker=
eventually 120 'all clicks are delivered' audit_holds 0
# Whatever nginx asked of two nodes may count twice, and what got no answer may count.
twice=$(docker logs "$(container nginx)" 2>/dev/null | grep -c '"node":"[^"]*, ' || true)
clicks=$(answered) unsure=$(($(others) + twice)) counted=$(count_of "$id")
# One click was made by hand before.
[ "$counted" -ge $((clicks + 1)) ] && [ "$counted" -le $((clicks + 1 + unsure)) ] || fail "$clicks clicks were answered (and one by hand), $unsure may count twice or once, $counted are counted"
step "$((clicks + 1)) clicks answered, $counted counted; $(others) not answered, $twice asked of two nodes, which may count twice"

docker stop --time 30 "$(container knurl-1)" >/dev/null
[ "$(inspect knurl-1 '{{.State.ExitCode}}')" = 0 ] || fail 'a node that is told to stop ends by itself, well'
step 'a node that is told to stop ends with exit code 0'

compose down -v >/dev/null 2>&1 || fail 'compose down'
step 'taken down'

if [ "$record" = yes ]; then
  mkdir -p docs/drills
  {
    printf '# The stack in containers: the last run\n\nWritten by `scripts/stack-test.sh --record`, which is `make stack-test`. Stand-ins for images: [containers](../guide/containers.md#what-was-tried-and-what-was-not).\n\n'
    printf '| | |\n|---|---|\n| date | %s |\n| commit | %s |\n| kernel | %s |\n| verdict | held |\n\n```text\n' "$(date -u +%F)" "$(git rev-parse --short HEAD)" "$(uname -sr)"
    cat "$work_dir/steps"
    printf '```\n'
  } >docs/drills/stack.md
fi
say 'the stack held'
