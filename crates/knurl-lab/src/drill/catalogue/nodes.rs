//! Nodes: killed, frozen, stuck, out of memory, ended again and again, stopped, badly configured. Visitors come through nginx.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{
    drill::{Drill, Ground, Served, Stage, props, stage::wait},
    fleet::{FleetError, ROLL_PAUSE},
    process::ProcessError,
};

/// Nodes that are left take what is sent to them; what was in flight on the one that is hurt breaks.
const ROLLING: &[(&str, &str)] = &[("KNURL_HTTP_READY_DRAIN_MS", "2000")];
const STUCK: &[(&str, &str)] = &[("KNURL_WATCHDOG_STUCK_AFTER_MS", "3000")];
/// What a node of this stand needs, and a little more.
const MEMORY_BYTES: u64 = 128 << 20;

pub(super) const DRILLS: [Drill; 10] = [
    Drill {
        name: "node-killed",
        failure: "node-crashed",
        hypothesis: "A node is killed and started again by its supervisor: the others answer meanwhile, nothing answered is lost, and somebody is told that it crashed.",
        harm: "kill -9 of one node of three; its supervisor starts it again after a second",
        ground: Ground::FRONT,
        alerts: &["KnurlCrashed"],
        metrics: &["knurl_last_run_unclean", "knurl_unclean_ends_total", "knurl_clicks_backlog"],
        redirects: Served::Some,
        creates: Served::Some,
        clears: false,
        is_short: true,
        hurt: |stage| stage.node(0).crash(),
        tick: Stage::supervise,
        ..Drill::BARE
    },
    Drill {
        name: "node-down",
        failure: "node-down",
        hypothesis: "A node is killed and stays away: nginx leaves it alone, the others answer everything, and somebody is told within two minutes.",
        harm: "kill -9 of one node of three, and nobody starts it again",
        ground: Ground::FRONT,
        alerts: &["KnurlDown"],
        allowed: &["KnurlCrashed"],
        metrics: &["knurl_connections_accepted_total", "knurl_redirects_total"],
        redirects: Served::Some,
        creates: Served::Some,
        hurt: |stage| stage.node(0).kill(),
        ..Drill::BARE
    },
    Drill {
        name: "node-frozen",
        failure: "node-frozen",
        hypothesis: "A process that stands still (SIGSTOP, a paused machine) keeps its connections open: nginx gives up on it, the others answer, and when it goes on it goes on as if nothing had been.",
        harm: "SIGSTOP of one node of three",
        ground: Ground::FRONT,
        alerts: &["KnurlDown"],
        allowed: &["KnurlReplicaStale", "KnurlDatabaseDown", "KnurlClockJumped", "KnurlRuntimeSilent", "KnurlBacklogGrowing"],
        metrics: &["knurl_redirects_total", "knurl_runtime_silence_seconds_total"],
        redirects: Served::Some,
        creates: Served::Some,
        hurt: |stage| stage.signal(0, Signal::STOP),
        ..Drill::BARE
    },
    Drill {
        name: "node-stuck",
        failure: "node-stuck",
        hypothesis: "A process whose every worker is blocked does not heal by itself, and no supervisor restarts what still runs: its own watchdog ends it, and its supervisor starts it again.",
        harm: "every worker of one node blocks at a fail point in the click path",
        ground: Ground { env: STUCK, ..Ground::FRONT },
        alerts: &["KnurlCrashed"],
        allowed: &["KnurlDown", "KnurlRuntimeSilent"],
        metrics: &["knurl_last_run_unclean", "knurl_runtime_silence_seconds_total"],
        redirects: Served::Some,
        creates: Served::Some,
        clears: false,
        hurt: |stage| {
            let node = stage.node(0);
            node.stop()?;
            node.set("KNURL_FAILPOINT", "clicks::before_append@50,hang");
            node.start()?;
            let node = stage.node(0);
            let took = wait("the watchdog ends the process", Duration::from_secs(60), || Ok(!node.is_running()))?;
            node.unset("KNURL_FAILPOINT");
            let log = node.words();
            stage.note("ended_by_its_watchdog_after_s", took.as_secs());
            if !log.contains(r#""event":"stuck""#) {
                stage.find("the process ended, and not by its watchdog");
            }
            Ok(())
        },
        tick: Stage::supervise,
        ..Drill::BARE
    },
    Drill {
        name: "node-out-of-memory",
        failure: "node-out-of-memory",
        hypothesis: "The kernel ends a node that takes more memory than it may have: that is a kill like any other, and nothing answered is lost.",
        harm: "one node in a control group of 128 MB is sent four hundred bodies of a megabyte at once",
        ground: Ground { env: &[("KNURL_CACHE_BYTES_MAX", "16777216")], ..Ground::FRONT },
        alerts: &["KnurlCrashed"],
        allowed: &["KnurlDown", "KnurlOverloaded"],
        metrics: &["knurl_last_run_unclean", "process_resident_memory_bytes"],
        redirects: Served::Some,
        creates: Served::Some,
        clears: false,
        prepare: |stage| {
            let node = stage.node(0);
            node.stop()?;
            node.bound_memory(MEMORY_BYTES)?;
            node.start()
        },
        hurt: |stage| {
            let body = format!(r#"{{"url":"https://lab.example/{}"}}"#, "x".repeat(1_000_000));
            let head = "POST /shorten HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length";
            let request = format!("{head}: {}\r\n\r\n{body}", body.len()).into_bytes();
            let crowd = props::crowd(stage.node(0).addr(), 400, move || request.clone())?;
            let node = stage.node(0);
            let took = wait("the kernel ends the node", Duration::from_secs(60), || Ok(!node.is_running()))?;
            drop(crowd);
            if node.kills_for_memory() == 0 {
                stage.find("it ended, and not because the kernel ended it for its memory");
            }
            stage.note("ended_by_the_kernel_after_s", took.as_secs());
            Ok(())
        },
        tick: Stage::supervise,
        ..Drill::BARE
    },
    Drill {
        name: "crash-loop",
        failure: "crash-loop",
        hypothesis: "A node that ends again and again right after its start harms nobody but itself, and is told from one that crashed once.",
        harm: "kill -9 of one node of three, every five seconds",
        ground: Ground::FRONT,
        alerts: &["KnurlCrashLoop"],
        allowed: &["KnurlCrashed", "KnurlDown"],
        metrics: &["knurl_unclean_ends_total"],
        redirects: Served::Some,
        creates: Served::Some,
        clears: false,
        tick: |stage| {
            if stage.ticks % 5 == 1 {
                stage.node(0).crash()?;
            }
            stage.supervise()
        },
        ..Drill::BARE
    },
    Drill {
        name: "stuck-drain",
        failure: "stuck-shutdown",
        hypothesis: "A node that is told to stop while its clicks cannot be delivered and its clients do not finish ends within its deadline all the same, keeps them in its spool, and delivers them after its next start.",
        harm: "PostgreSQL stands still, twenty clients have sent half a request, and one of two nodes is told to stop",
        alerts: &["KnurlDatabaseDown"],
        allowed: &[
            "KnurlCrashed",
            "KnurlReplicaStale",
            "KnurlBacklogGrowing",
            "KnurlDrainFailing",
            "KnurlJobFailing",
            "KnurlCanaryMissing",
            "KnurlDown",
        ],
        metrics: &["knurl_clicks_backlog", "knurl_store_up"],
        redirects: Served::Some,
        creates: Served::RefusedOrFailed,
        hurt: |stage| {
            stage.postgres()?.pause();
            std::thread::sleep(Duration::from_secs(5));
            let halves = props::halves(stage.node(0).addr(), 20)?;
            let began = Instant::now();
            let stopped = stage.node(0).stop();
            let took = began.elapsed();
            drop(halves);
            stage.note("stopped_after_s", (took.as_secs_f64() * 10.0).round() / 10.0);
            // 10 s of draining, 5 more for closing, and a busy machine.
            if took > Duration::from_secs(30) {
                stage.find(format!("it took {took:?} to stop"));
            }
            stage.note("stopped_cleanly", stopped.is_ok());
            stage.node(0).start()
        },
        ..Drill::BARE
    },
    Drill {
        name: "rolling-restart",
        failure: "rolling-restart",
        hypothesis: "Restarting every node in turn behind nginx fails no request and wakes nobody.",
        harm: "SIGTERM and a start of each of three nodes in turn",
        ground: Ground { env: ROLLING, ..Ground::FRONT },
        metrics: &["knurl_uptime_seconds", "knurl_last_run_unclean"],
        least_s: 60,
        is_short: true,
        hurt: |stage| {
            for at in 0..stage.stand.nodes.len() {
                stage.node(at).stop()?;
                stage.node(at).start()?;
                std::thread::sleep(ROLL_PAUSE);
            }
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "bad-configuration",
        failure: "bad-configuration",
        hypothesis: "A node with a value that cannot be refuses to start, names the option, and ends with 78 so that its supervisor does not try for ever; the others go on.",
        harm: "one node of three is restarted with cache.bytes_max = plenty",
        ground: Ground { env: ROLLING, ..Ground::FRONT },
        alerts: &["KnurlDown"],
        metrics: &["knurl_uptime_seconds"],
        hurt: |stage| {
            let node = stage.node(0);
            node.stop()?;
            node.set("KNURL_CACHE_BYTES_MAX", "plenty");
            match node.start() {
                Err(FleetError::Process(ProcessError::EndedEarly { status, words })) => {
                    if status.code() != Some(78) || !words.contains("bytes_max") {
                        stage.find(format!("it ended with {status}, and said: {words}"));
                    }
                }
                other => stage.find(format!("it was to refuse to start: {other:?}")),
            }
            Ok(())
        },
        heal: |stage| {
            stage.node(0).unset("KNURL_CACHE_BYTES_MAX");
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "handler-panics",
        failure: "panicked",
        hypothesis: "A bug that panics costs one request: its client is told 500 and has its link under the same Idempotency-Key, a background job is started afresh, nothing is done twice, and somebody is told.",
        harm: "by fail points, on one node of three a create panics behind its commit, and on another one the delivery of clicks panics in the middle; both are restarted for it in order",
        ground: Ground { env: ROLLING, ..Ground::FRONT },
        alerts: &["KnurlPanicked"],
        allowed: &["KnurlStoreFailing"],
        metrics: &["knurl_connection_panics_total", "knurl_job_panics_total", "knurl_clicks_delivered_total"],
        creates: Served::Some,
        // It looks back for ten minutes.
        clears: false,
        hurt: |stage| {
            for (at, point) in [(0, "api::created_once@1,panic"), (1, "drain::before_apply@3,panic")] {
                let node = stage.node(at);
                node.stop()?;
                node.set("KNURL_FAILPOINT", point);
                node.start()?;
                std::thread::sleep(ROLL_PAUSE);
            }
            Ok(())
        },
        check: |stage| {
            for (at, metric) in [(0, "knurl_connection_panics_total"), (1, "knurl_job_panics_total")] {
                let panics = stage.node(at).metric(metric)?;
                if panics.total_cmp(&1.0).is_ne() {
                    stage.find(format!("node {}: {metric} is {panics}, not 1", at + 1));
                }
            }
            Ok(())
        },
        ..Drill::BARE
    },
];
