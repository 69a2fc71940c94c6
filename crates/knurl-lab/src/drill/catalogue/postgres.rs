//! PostgreSQL: stopped, hanging, slow, full of clients, losing replies, failed over, reached one way only, by a bad network, silent about changes.

use std::{process::Stdio, time::Duration};

use serde_json::json;

use crate::{
    drill::{Drill, Ground, Served, props::Background, stage::wait},
    fleet::{self, FleetError},
    http::Request,
    leash,
    process::{ProcessError, was_killed},
    promise::stand::Fault,
    proxy::{Direction, Toxic, ToxicKind},
};

/// What follows from a database that is away for minutes.
const FOLLOWS: &[&str] = &[
    "KnurlReplicaStale",
    "KnurlBacklogGrowing",
    "KnurlDrainFailing",
    "KnurlJobFailing",
    "KnurlCanaryMissing",
    "KnurlDependencyFlapping",
    "KnurlDatabaseSlow",
    "KnurlDatabaseDown",
    "KnurlOverloaded",
];
const AWAY: &[&str] = &["knurl_store_up", "knurl_dependency_up", "knurl_clicks_backlog", "knurl_replica_complete"];
/// Nobody is told of a change by PostgreSQL.
const LOSE_NOTIFICATIONS: &str = "do $$ begin execute replace(pg_get_functiondef('knurl_links_changed'::regproc), \
                                  'perform pg_notify(''knurl_links'', code);', 'perform 1;'); end $$";
const HAVE_NOTIFICATIONS: &str = "do $$ begin execute replace(pg_get_functiondef('knurl_links_changed'::regproc), \
                                  'perform 1;', 'perform pg_notify(''knurl_links'', code);'); end $$";

/// More than there are places.
const STRANGERS: usize = 45;
const STAYS: &str = "select pg_sleep(3600)";
const ENDS_OURS: &str = "do $$ begin loop perform pg_stat_clear_snapshot(); perform pg_terminate_backend(pid) from pg_stat_activity \
    where application_name <> 'psql' and backend_type = 'client backend'; perform pg_sleep(0.3); end loop; end $$";

fn both(kind: &ToxicKind) -> Vec<Toxic> {
    [Direction::Upstream, Direction::Downstream].map(|stream| Toxic::new(stream, kind.clone())).to_vec()
}

pub(super) const DRILLS: [Drill; 11] = [
    Drill {
        name: "postgres-stopped",
        failure: "postgres-away",
        hypothesis: "Without PostgreSQL every known link redirects, creates are told to come again, clicks wait in the spool and are counted once afterwards.",
        harm: "PostgreSQL is killed",
        alerts: &["KnurlDatabaseDown"],
        allowed: FOLLOWS,
        metrics: AWAY,
        creates: Served::Refused,
        is_short: true,
        hurt: |stage| Ok(stage.postgres()?.kill()?),
        ..Drill::BARE
    },
    Drill {
        name: "postgres-hung",
        failure: "postgres-away",
        hypothesis: "A PostgreSQL that accepts and never answers is given up as one that refuses.",
        harm: "SIGSTOP of PostgreSQL and all its children",
        alerts: &["KnurlDatabaseDown"],
        allowed: FOLLOWS,
        metrics: AWAY,
        creates: Served::Refused,
        hurt: |stage| {
            stage.postgres()?.pause();
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "postgres-slow",
        failure: "postgres-slow",
        hypothesis: "A slow PostgreSQL makes creates slow and redirects not at all.",
        harm: "a second more, give or take 0.3, for every answer of PostgreSQL",
        alerts: &["KnurlDatabaseSlow"],
        allowed: FOLLOWS,
        metrics: &[
            "knurl_store_up",
            "knurl_store_commit_seconds_total",
            "knurl_store_ping_duration_seconds_sum",
            "knurl_clicks_backlog",
        ],
        creates: Served::AllOrRefused,
        hurt: |stage| stage.stand.cut_postgres(&Fault::slow(1_000, 300)),
        ..Drill::BARE
    },
    Drill {
        name: "postgres-too-many-clients",
        failure: "postgres-too-many-clients",
        hypothesis: "When others take every connection and ours are ended, it is an outage like any other, and it ends when a connection is free.",
        harm: "sessions of somebody else take all of max_connections, and the nodes' own are terminated",
        ground: Ground { settings: &["max_connections=40", "client_connection_check_interval=500"], ..Ground::FLEET },
        alerts: &["KnurlDatabaseDown"],
        allowed: FOLLOWS,
        metrics: AWAY,
        creates: Served::Refused,
        hurt: |stage| {
            let postgres = stage.postgres()?;
            let client = |sql: &str| leash::spawn(postgres.client(sql));
            // Inside, for as long as it takes: who wants to end a session needs one.
            let ends = client(ENDS_OURS)?;
            let mut strangers = Vec::new();
            for _ in 0..STRANGERS {
                strangers.push(client(STAYS)?);
            }
            let again = postgres.client(STAYS);
            let (program, args) = (again.get_program().to_owned(), again.get_args().map(ToOwned::to_owned).collect::<Vec<_>>());
            let queue = Background::start(move |stop| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    for stranger in &mut strangers {
                        if !matches!(stranger.try_wait(), Ok(None)) {
                            let mut next = std::process::Command::new(&program);
                            next.args(&args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                            // One that cannot be started is one fewer.
                            if let Ok(next) = leash::spawn(next) {
                                *stranger = next;
                            }
                        }
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            })?;
            stage.hold(ends);
            stage.hold(queue);
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "postgres-commit-lost",
        failure: "postgres-commit-lost",
        hypothesis: "A commit that happened and whose reply was lost is done once: deliveries are not repeated, and a client with an Idempotency-Key gets its link.",
        harm: "every second reply to COMMIT is swallowed and its connection reset",
        alerts: &["KnurlDrainFailing"],
        allowed: FOLLOWS,
        metrics: &["knurl_drain_errors_total", "knurl_store_errors_total", "knurl_clicks_delivered_total"],
        creates: Served::AllOrRefused,
        hurt: |stage| stage.stand.cut_postgres(&Fault::commit_reply_lost(0.5)),
        ..Drill::BARE
    },
    Drill {
        name: "postgres-failed-over",
        failure: "postgres-failed-over",
        hypothesis: "With both hosts in database_url nodes follow a failover by themselves; with a synchronous standby nothing that was acknowledged is missing.",
        harm: "the primary of two PostgreSQLs is killed; its synchronous standby is promoted once somebody has been told",
        alerts: &["KnurlDatabaseDown"],
        allowed: FOLLOWS,
        metrics: AWAY,
        creates: Served::AllOrRefused,
        least_s: 20,
        prepare: |stage| {
            let standby = stage.postgres()?.standby()?;
            let first = stage.postgres()?;
            first.sql("alter system set synchronous_standby_names = '*'")?;
            first.sql("select pg_reload_conf()")?;
            let url =
                first.url().replace(&format!(":{}/", first.port()), &format!(":{},127.0.0.1:{}/", first.port(), standby.port()));
            stage.second = Some(standby);
            for at in 0..stage.stand.nodes.len() {
                let node = stage.node(at);
                node.stop()?;
                node.set("KNURL_DATABASE_URL", &url);
                node.start()?;
            }
            Ok(())
        },
        hurt: |stage| Ok(stage.postgres()?.kill()?),
        heal: |stage| {
            if let Some(standby) = stage.second.take() {
                standby.sql("select pg_promote()")?;
                // The one before never comes back as it was: two primaries are worse than none.
                stage.stand.postgres = Some(standby);
            }
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "postgres-partitioned",
        failure: "partition-one-way",
        hypothesis: "What one node sends to PostgreSQL is lost, and what PostgreSQL sends would arrive: that node is without its database, the other one is not.",
        harm: "on the way of one node nothing goes through towards PostgreSQL; the other direction is whole",
        alerts: &["KnurlDatabaseDown"],
        allowed: FOLLOWS,
        metrics: AWAY,
        creates: Served::AllOrRefused,
        hurt: |stage| {
            Fault::Toxics(vec![Toxic::new(Direction::Upstream, ToxicKind::Timeout { timeout: 0 })])
                .inflict(&stage.stand.ways[0].postgres)
        },
        ..Drill::BARE
    },
    Drill {
        name: "packet-loss",
        failure: "packet-loss",
        hypothesis: "A network that loses packets delivers late and in pieces: creates become slow, redirects do not.",
        harm: "by proxies, as TCP shows loss: pieces of 200 bytes, 300 ms late give or take 250, in both directions of every way",
        alerts: &["KnurlDatabaseSlow"],
        allowed: &[
            "KnurlDatabaseDown",
            "KnurlRedisDown",
            "KnurlDependencyFlapping",
            "KnurlDrainFailing",
            "KnurlReplicaStale",
            "KnurlJobFailing",
            "KnurlBacklogGrowing",
            "KnurlNotificationsLost",
            "KnurlCanaryMissing",
        ],
        metrics: &["knurl_store_ping_duration_seconds_sum", "knurl_dependency_up", "knurl_redis_calls_total"],
        creates: Served::AllOrRefused,
        hurt: |stage| {
            let pieces = both(&ToxicKind::Slicer { average_size: 200, size_variation: 100, delay: 2_000 });
            let late = both(&ToxicKind::Latency { latency: 300, jitter: 250 });
            let loss = Fault::Toxics([pieces, late].concat());
            stage.stand.cut_postgres(&loss)?;
            stage.stand.cut_redis(&loss)
        },
        ..Drill::BARE
    },
    Drill {
        name: "notifications-lost",
        failure: "notifications-lost",
        hypothesis: "A pooler that swallows LISTEN/NOTIFY costs a second: changes are looked for besides, and somebody is told.",
        harm: "the trigger no longer notifies",
        ground: Ground { redis: false, ..Ground::FLEET },
        alerts: &["KnurlNotificationsLost"],
        metrics: &["knurl_feed_unannounced_total", "knurl_replica_age_seconds"],
        hurt: |stage| {
            stage.stand.sql(LOSE_NOTIFICATIONS)?;
            let function = stage.stand.sql("select pg_get_functiondef('knurl_links_changed'::regproc)")?;
            if function.contains("pg_notify('knurl_links'") {
                stage.find("the notifications could not be taken away");
            }
            Ok(())
        },
        // Edits are told of, creates are not.
        tick: |stage| {
            let node = stage.node(0);
            let found = fleet::ask(node.addr(), &Request::get("/urls?short_code=shared-1"), 200)?;
            let id = found.json().and_then(|rows| rows[0]["id"].as_i64()).unwrap_or_default();
            let body = json!({ "title": format!("edit {}", stage.ticks) }).to_string();
            fleet::ask(stage.node(0).addr(), &Request::of("PUT", &format!("/urls/{id}"), Some(&body)), 200)?;
            Ok(())
        },
        heal: |stage| {
            stage.stand.sql(HAVE_NOTIFICATIONS)?;
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "both-down-restarted",
        failure: "both-down",
        hypothesis: "With PostgreSQL and Redis both gone and a node started again, every known link redirects from its replica at once.",
        harm: "PostgreSQL and Redis are killed and one of two nodes is killed and started again",
        alerts: &["KnurlDatabaseDown", "KnurlRedisDown"],
        allowed: &[
            "KnurlReplicaStale",
            "KnurlBacklogGrowing",
            "KnurlDrainFailing",
            "KnurlJobFailing",
            "KnurlCanaryMissing",
            "KnurlCrashed",
            "KnurlDown",
        ],
        metrics: AWAY,
        // The connections of the node that is killed break.
        redirects: Served::Some,
        creates: Served::RefusedOrFailed,
        is_short: true,
        hurt: |stage| {
            stage.postgres()?.kill()?;
            stage.redis()?.kill()?;
            std::thread::sleep(Duration::from_secs(2));
            let node = stage.node(0);
            node.crash()?;
            let began = std::time::Instant::now();
            node.start()?;
            let ready = began.elapsed();
            let (addr, is_redirected) = (node.addr(), |answer: &crate::http::Answer| answer.status == 302);
            stage.note("ready_again_after_ms", u64::try_from(ready.as_millis()).unwrap_or(u64::MAX));
            for at in 0..10 {
                // A question for the head only is no click.
                let answer = crate::http::Connection::open(addr)?.ask(&Request::of("HEAD", &format!("/shared-{at}"), None))?;
                if !is_redirected(&answer) {
                    stage.find(format!("after its start shared-{at} was answered {}", answer.status));
                }
            }
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "migration-killed",
        failure: "migration-killed",
        hypothesis: "A node that is killed in the middle of bringing a schema up to date leaves steps that are done whole or not at all: the next start goes on, and the fleet on the other database notices nothing.",
        harm: "one node of three is started on an empty database and killed in the middle of making its tables, twice, and stays away",
        ground: Ground { env: &[("KNURL_HTTP_READY_DRAIN_MS", "2000")], ..Ground::FRONT },
        alerts: &["KnurlDown"],
        allowed: &["KnurlCrashed"],
        metrics: &["knurl_uptime_seconds"],
        hurt: |stage| {
            let url = stage.postgres()?.database("half")?;
            let node = stage.node(0);
            node.stop()?;
            node.set("KNURL_DATABASE_URL", &url);
            // Elsewhere: clicks in the spool are the other database's.
            let elsewhere = node.log().with_file_name("half");
            node.set("KNURL_DATA_DIR", &elsewhere.display().to_string());
            for at in [1, 2] {
                node.set("KNURL_FAILPOINT", &format!("store::migrate@{at}"));
                match node.start() {
                    Err(FleetError::Process(ProcessError::EndedEarly { status, .. })) if was_killed(status) => {}
                    other => return stage_finds(stage, &format!("it was to die in its migration: {other:?}")),
                }
            }
            Ok(())
        },
        heal: |stage| {
            let node = stage.node(0);
            node.unset("KNURL_FAILPOINT");
            node.start()?;
            let made = fleet::ask(
                node.addr(),
                &Request::post("/shorten", &json!({ "url": "https://lab.example/whole" }).to_string()),
                201,
            );
            node.stop()?;
            node.unset("KNURL_DATA_DIR");
            node.unset("KNURL_DATABASE_URL");
            if let Err(error) = made {
                stage.find(format!("after a migration that was killed twice: {error}"));
            }
            let url = stage.postgres()?.url();
            let node = stage.node(0);
            node.set("KNURL_DATABASE_URL", &url);
            node.start()?;
            wait("the node is back on its database", Duration::from_secs(30), || Ok(node.metric("knurl_store_up")? > 0.0))?;
            Ok(())
        },
        process_only: Some("its fail point sends SIGKILL to itself, which the first process of a container ignores"),
        ..Drill::BARE
    },
];

fn stage_finds(stage: &mut crate::drill::Stage, words: &str) -> Result<(), FleetError> {
    stage.find(words);
    Ok(())
}
