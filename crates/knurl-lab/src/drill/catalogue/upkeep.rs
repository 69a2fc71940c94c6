//! What is beside serving: the clock, the log, traces, statistics and books that somebody changed by hand.

use std::{fs, path::PathBuf, time::Duration};

use crate::{
    drill::{
        Books, Drill, Ground, Stage,
        props::{self, Background},
        stage::wait,
    },
    fleet::{self, FleetError},
    http::{Connection, Request},
    leash,
    promise::p8,
};

pub(super) const DRILLS: [Drill; 5] = [
    Drill {
        name: "clock-jump",
        failure: "clock-jump",
        hypothesis: "A clock that jumps an hour ahead and back gives no id twice, expires nothing that lives, loses no click, and is told.",
        harm: "by libfaketime the clock of one of two nodes jumps an hour ahead; healing sets it back",
        alerts: &["KnurlClockJumped"],
        allowed: &["KnurlReplicaStale", "KnurlCanaryMissing", "KnurlBackupOld", "KnurlBacklogGrowing"],
        metrics: &["knurl_clock_steps_total", "knurl_replica_age_seconds"],
        prepare: |stage| {
            let library = p8::library()?;
            let file = stage.stand.dir().join("clock");
            fs::write(&file, "+0\n")?;
            let node = stage.node(0);
            node.stop()?;
            for (key, value) in p8::CLOCK_ENV {
                node.set(key, value);
            }
            node.set("LD_PRELOAD", &library.display().to_string());
            node.set("FAKETIME_TIMESTAMP_FILE", &file.display().to_string());
            node.start()?;
            stage.paths = vec![file];
            Ok(())
        },
        hurt: |stage| step(&stage.paths, 3_600),
        heal: |stage| step(&stage.paths, 0),
        process_only: Some("libfaketime is a library that is loaded before the program, and a static program loads none"),
        ..Drill::BARE
    },
    Drill {
        name: "log-pipe-blocked",
        failure: "log-blocked",
        hypothesis: "Whoever reads our log and stops reading stops nothing: lines are dropped and counted.",
        harm: "standard error of one node is a pipe that nobody reads any more, and its log level is debug",
        ground: Ground { env: &[("KNURL_LOG_LEVEL", "trace")], ..Ground::FLEET },
        alerts: &["KnurlLogLinesDropped"],
        metrics: &["knurl_log_dropped_total", "knurl_redirects_total"],
        prepare: |stage| {
            let pipe = stage.stand.dir().join("pipe");
            props::run("mkfifo", &[&pipe.display().to_string()])?;
            let reader = reader(pipe.clone())?;
            let node = stage.node(0);
            node.stop()?;
            node.serve_within(&["sh", "-c", &format!("exec \"$@\" 2>{}", pipe.display()), "sh"]);
            node.start()?;
            stage.hold(reader);
            Ok(())
        },
        // The reader goes on holding the pipe and reads no more.
        hurt: |stage| {
            fs::write(stage.stand.dir().join("pause"), "")?;
            Ok(())
        },
        heal: |stage| {
            fs::remove_file(stage.stand.dir().join("pause"))?;
            // Its next start writes to its file again; nobody reads a pipe whose reader is gone.
            let node = stage.node(0);
            node.stop()?;
            node.serve_within(&[]);
            node.start()
        },
        process_only: Some("the pipe of its log is read by Docker, and the image has no shell that would give it another one"),
        ..Drill::BARE
    },
    Drill {
        name: "clicks-refused",
        failure: "clicks-refused",
        hypothesis: "A database that refuses single clicks for good does not stop the others: they are set aside, kept, counted, and told.",
        harm: "a trigger refuses one click in five thousand",
        alerts: &["KnurlClicksAside"],
        allowed: &["KnurlDrainFailing", "KnurlStoreFailing", "KnurlClicksUndecodable", "KnurlLawBroken"],
        metrics: &["knurl_clicks_aside_total", "knurl_clicks_undecodable_total", "knurl_drain_errors_total"],
        books: Books::Counted,
        hurt: |stage| {
            stage.stand.sql(
                "create function drill_refuses() returns trigger language plpgsql as $$ begin \
                 if new.at % 5000 = 0 then raise exception 'refused' using errcode = '22000'; end if; \
                 return new; end $$; \
                 create trigger drill_refuses before insert on clicks for each row execute function drill_refuses()",
            )?;
            Ok(())
        },
        // The trigger stays, with nothing to say: taking it away needs a lock that deliveries hold.
        heal: |stage| {
            stage.stand.sql(
                "create or replace function drill_refuses() returns trigger language plpgsql as $$ begin return new; end $$",
            )?;
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "schema-changed",
        failure: "schema-changed",
        hypothesis: "What needs a column that somebody renamed is told 500 and nothing else is; somebody is told, and when it is undone all is well without a restart.",
        harm: "the column users.email is renamed by hand, and users are asked for every second",
        alerts: &["KnurlStoreFailing"],
        allowed: &["KnurlApiErrorsFast", "KnurlApiErrorsSlow", "KnurlApiErrorsTrickle"],
        metrics: &["knurl_store_errors_total", "http_server_request_duration_seconds_count", "knurl_store_up"],
        hurt: |stage| {
            stage.stand.sql("alter table users rename column email to mail")?;
            Ok(())
        },
        tick: |stage| {
            let mut connection = Connection::open(stage.node(0).addr())?;
            let answer = connection.ask(&Request::get("/users?page=1&per_page=10"))?;
            let code = answer.json().unwrap_or_default()["code"].clone();
            if answer.status != 500 || code != "internal" {
                stage.find(format!("users were answered {} with the code {code}", answer.status));
            }
            Ok(())
        },
        heal: |stage| {
            stage.stand.sql("alter table users rename column mail to email")?;
            for at in 0..stage.stand.nodes.len() {
                let node = stage.node(at);
                wait("users are answered again", Duration::from_secs(10), || {
                    Ok(fleet::ask(node.addr(), &Request::get("/users?page=1&per_page=10"), 200).is_ok())
                })?;
            }
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "statistics-stopped",
        failure: "statistics-stopped",
        hypothesis: "Statistics that stop without an error are the failure that nobody notices: the canary's own click is missed within two minutes, and everything is counted afterwards.",
        harm: "a session of somebody else locks the table of click totals and does not end",
        ground: Ground { env: &[("KNURL_CLICKS_CANARY_INTERVAL_S", "60")], ..Ground::FLEET },
        alerts: &["KnurlCanaryMissing"],
        allowed: &["KnurlBacklogGrowing", "KnurlDrainFailing", "KnurlDatabaseSlow", "KnurlJobFailing"],
        metrics: &["knurl_canary_age_seconds", "knurl_clicks_delivered_total", "knurl_clicks_backlog"],
        hurt: |stage| {
            let lock = stage.postgres()?.client("begin; lock table link_totals in access exclusive mode; select pg_sleep(3600)");
            stage.hold(leash::spawn(lock)?);
            Ok(())
        },
        heal: |stage| {
            stage.stand.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%link_totals%pg_sleep%' and pid <> pg_backend_pid()")?;
            Ok(())
        },
        check: know_canaries,
        ..Drill::BARE
    },
];

fn step(paths: &[PathBuf], offset_s: i64) -> Result<(), FleetError> {
    let Some(file) = paths.first() else { return Ok(()) };
    let whole = file.with_extension("new");
    fs::write(&whole, format!("{offset_s:+}\n"))?;
    Ok(fs::rename(whole, file)?)
}

/// Reads a pipe, but not while there is a file `pause` beside it.
fn reader(pipe: PathBuf) -> std::io::Result<Background> {
    use std::io::Read as _;

    Background::start(move |stop| {
        // Both ends: opening waits for nobody, and reading ends with us.
        let Ok(mut file) = fs::File::options().read(true).write(true).open(&pipe) else { return };
        if rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::NONBLOCK).is_err() {
            return;
        }
        let mut block = [0; 65536];
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let paused = pipe.with_file_name("pause").exists();
            if paused || !matches!(file.read(&mut block), Ok(n) if n > 0) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    })
}

/// Links and clicks of the nodes' own, which no client knows of.
fn know_canaries(stage: &mut Stage) -> Result<(), FleetError> {
    const CLICKS_MAX: u64 = 100;
    let answer = fleet::ask(stage.node(0).addr(), &Request::get("/urls?page=1&per_page=1000&short_code=canary-"), 200)?;
    let mut canaries = answer.json().unwrap_or_default().as_array().cloned().unwrap_or_default();
    if canaries.is_empty() {
        for page in 1..100 {
            let answer = fleet::ask(stage.node(0).addr(), &Request::get(&format!("/urls?page={page}&per_page=1000")), 200)?;
            let rows = answer.json().unwrap_or_default().as_array().cloned().unwrap_or_default();
            let is_last = rows.len() < 1000;
            let is_canary = |row: &serde_json::Value| row["short_code"].as_str().is_some_and(|code| code.starts_with("canary-"));
            canaries.extend(rows.into_iter().filter(is_canary));
            if is_last {
                break;
            }
        }
    }
    for row in canaries {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        stage.ledger.made(&text("short_code"), &text("original_url"));
        stage.ledger.clicks(&text("short_code")).unknown += CLICKS_MAX;
    }
    Ok(())
}
