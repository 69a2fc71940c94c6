//! Disks: full, failing, slow; databases and replicas overwritten or removed; backups that are not what they were, or are not made.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    drill::{
        Books, Drill, Ground, Served, Stage, props,
        stage::{broken, wait},
    },
    fleet::FleetError,
    http::{Connection, Request},
    promise::{p8, stand::Fault},
};

/// Small segments, so that a small disk has room for some.
const SMALL: &[(&str, &str)] = &[("KNURL_CLICKS_SEGMENT_BYTES", "65536"), ("KNURL_CLICKS_SEGMENTS_MAX", "64")];
/// Of a disk that fills, what is left at first; and when it is full, in seconds: somebody is told before.
const FILLING: f64 = 0.1;
const FULL_AFTER_TICKS: u64 = 40;
const POWER: &[(&str, &str)] = &[("KNURL_DURABILITY", "power")];

pub(super) const DRILLS: [Drill; 10] = [
    Drill {
        name: "disk-full",
        failure: "disk-full",
        hypothesis: "A disk that fills is seen before it is full. With a full disk every link redirects, creates say so, each click that finds no room is counted as dropped, and all is normal when room is made.",
        harm: "a file takes nine tenths of the node's file system of 256 MB, and within 40 seconds the rest",
        ground: Ground { disk_mb: Some(256), env: SMALL, ..Ground::EMBEDDED },
        alerts: &["KnurlDiskFilling", "KnurlSpoolStarved", "KnurlClicksDropped"],
        allowed: &[
            "KnurlDrainFailing",
            "KnurlDatabaseDown",
            "KnurlBacklogGrowing",
            "KnurlJobFailing",
            "KnurlCanaryMissing",
            "KnurlDependencyFlapping",
        ],
        metrics: &[
            "knurl_data_dir_free_bytes",
            "knurl_spool_starved",
            "knurl_clicks_dropped_total",
            "knurl_clicks_backlog",
            "knurl_store_up",
        ],
        creates: Served::Any,
        books: Books::Counted,
        hurt: |stage| {
            let dir = stage.node(0).data_dir();
            let ballast = props::Ballast::on(&dir)?;
            stage.hold(ballast);
            Ok(props::Ballast::swell(&dir, FILLING)?)
        },
        tick: |stage| {
            let left = FULL_AFTER_TICKS.saturating_sub(stage.ticks) as f64 / FULL_AFTER_TICKS as f64;
            // Once: what the node makes room for by itself afterwards is its own.
            if stage.ticks <= FULL_AFTER_TICKS {
                props::Ballast::swell(&stage.node(0).data_dir(), FILLING * left)?;
            }
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "fsync-error",
        failure: "fsync-failed",
        hypothesis: "A failed fsync is never tried again: what it was for is written elsewhere or the process ends, and no answered click is lost.",
        harm: "the first fdatasync of each of the node's threads fails with EIO, by strace",
        alerts: &["KnurlFsyncFailed"],
        allowed: &["KnurlCrashed", "KnurlReplicaFailing", "KnurlSpoolStarved", "KnurlDown", "KnurlFsyncSlow"],
        metrics: &["knurl_spool_fsync_errors_total", "knurl_clicks_answered_total", "knurl_clicks_dropped_total"],
        redirects: Served::Some,
        creates: Served::Some,
        hurt: |stage| {
            let pid = stage.pid(0)?;
            let strace = props::inject(pid, "fdatasync", "error=EIO:when=1")?;
            stage.hold(strace);
            Ok(())
        },
        // It may end itself with 74, and is then started again.
        tick: Stage::supervise,
        ..Drill::BARE
    },
    Drill {
        name: "slow-disk",
        failure: "disk-slow",
        hypothesis: "A disk that takes a second for an fsync makes nothing slow that a visitor sees: with durability = process nobody waits for it.",
        harm: "a second more for every fdatasync of one node, by strace",
        alerts: &["KnurlFsyncSlow"],
        allowed: &["KnurlReplicaStale"],
        metrics: &["knurl_spool_fsync_duration_seconds_sum", "knurl_spool_fsync_duration_seconds_count", "knurl_clicks_backlog"],
        creates: Served::AllOrRefused,
        hurt: |stage| {
            let pid = stage.pid(0)?;
            let strace = props::inject(pid, "fdatasync", "delay_enter=1000000")?;
            stage.hold(strace);
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "disk-hangs",
        failure: "disk-slow",
        hypothesis: "With durability = power redirects wait for their fsync. On a disk that hangs they leave all the same after a bounded wait, each of them is counted, and somebody is told.",
        harm: "eight seconds more for every fdatasync of a node with durability = power, by strace",
        ground: Ground { env: POWER, ..Ground::FLEET },
        alerts: &["KnurlClicksUnsynced"],
        allowed: &[
            "KnurlFsyncSlow",
            "KnurlReplicaStale",
            "KnurlBacklogGrowing",
            "KnurlDrainFailing",
            "KnurlJobFailing",
            "KnurlCanaryMissing",
        ],
        metrics: &["knurl_clicks_unsynced_total", "knurl_spool_fsync_duration_seconds_sum", "knurl_clicks_backlog"],
        creates: Served::AllOrRefused,
        hurt: |stage| {
            let pid = stage.pid(0)?;
            let strace = props::inject(pid, "fdatasync", "delay_enter=8000000")?;
            stage.hold(strace);
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "sqlite-damaged",
        failure: "database-damaged",
        hypothesis: "With a damaged database what can still be read redirects, somebody is told at once, and the last backup brings everything back that it held.",
        harm: "a third of the pages of knurl.db are overwritten while the node is restarted; healing is a restore of the backup made before",
        ground: Ground::EMBEDDED,
        alerts: &["KnurlDatabaseDamaged"],
        allowed: &[
            "KnurlStoreFailing",
            "KnurlDrainFailing",
            "KnurlJobFailing",
            "KnurlDatabaseDown",
            "KnurlBacklogGrowing",
            "KnurlCanaryMissing",
            "KnurlCrashed",
            "KnurlDown",
            "KnurlLawBroken",
            "KnurlClicksAside",
            "KnurlDependencyFlapping",
        ],
        metrics: &["knurl_store_errors_total", "knurl_store_up", "knurl_clicks_backlog"],
        redirects: Served::Some,
        creates: Served::Any,
        books: Books::SinceBackup,
        hurt: |stage| {
            let backups = stage.node(0).beside("backups")?;
            command(stage, &["backup", &backups.display().to_string()])?;
            stage.paths = vec![newest(&backups)?];
            // Stopped in order, so that all of it is in this one file and not in its journal.
            let node = stage.node(0);
            node.stop()?;
            let file = fs::File::options().read(true).write(true).open(node.data_dir().join("knurl.db"))?;
            let pages = file.metadata()?.len() / 4096;
            for page in (pages / 3..pages).filter(|page| page % 2 == 0) {
                file.write_all_at(&[0xAA; 4096], page * 4096)?;
            }
            stage.note("pages", pages);
            stage.node(0).start()
        },
        heal: |stage| {
            stage.node(0).kill()?;
            let backup = stage.paths.first().cloned().ok_or_else(|| broken("there is no backup"))?;
            command(stage, &["restore", "--force", &backup.display().to_string()])?;
            stage.node(0).start()
        },
        ..Drill::BARE
    },
    Drill {
        name: "replica-damaged",
        failure: "replica-damaged",
        hypothesis: "A node's own copy of the links may break or vanish at any time: it is copied anew, and meanwhile Redis and the database answer.",
        harm: "one node is killed, every page of its replica.db but the first is overwritten, and it is started again",
        alerts: &["KnurlReplicaFailing"],
        allowed: &[
            "KnurlCrashed",
            "KnurlDown",
            "KnurlReplicaIncomplete",
            "KnurlReplicaStale",
            "KnurlJobFailing",
            "KnurlDependencyFlapping",
        ],
        metrics: &["knurl_replica_failures_total", "knurl_replica_complete", "knurl_replica_comparisons_total"],
        redirects: Served::Some,
        creates: Served::Some,
        hurt: |stage| {
            let node = stage.node(0);
            node.kill()?;
            let replica = node.data_dir().join("replica.db");
            let file = fs::File::options().read(true).write(true).open(&replica)?;
            let pages = file.metadata()?.len() / 4096;
            for page in 1..pages {
                file.write_all_at(&[0xAA; 4096], page * 4096)?;
            }
            for journal in ["replica.db-wal", "replica.db-shm"] {
                // Not there where it was closed in order.
                let _ = fs::remove_file(node.data_dir().join(journal));
            }
            node.start()
        },
        ..Drill::BARE
    },
    Drill {
        name: "replica-removed",
        failure: "replica-damaged",
        hypothesis: "A node that loses its copy while it cannot reach the database still redirects what its memory and Redis hold, says 503 of everything else and never 404, tells somebody that it does not have every link, and copies them as soon as the database is back.",
        harm: "PostgreSQL refuses one node, and its replica.db is removed under it",
        alerts: &["KnurlReplicaIncomplete"],
        allowed: &[
            "KnurlDatabaseDown",
            "KnurlReplicaFailing",
            "KnurlReplicaStale",
            "KnurlBacklogGrowing",
            "KnurlDrainFailing",
            "KnurlJobFailing",
            "KnurlCanaryMissing",
            "KnurlDependencyFlapping",
        ],
        metrics: &["knurl_replica_complete", "knurl_replica_links", "knurl_replica_comparisons_total", "knurl_store_up"],
        redirects: Served::Some,
        creates: Served::AllOrRefused,
        hurt: |stage| {
            Fault::Refused.inflict(&stage.stand.ways[0].postgres)?;
            let data = stage.node(0).data_dir();
            for file in ["replica.db", "replica.db-wal", "replica.db-shm"] {
                // The journal may be empty and gone.
                let _ = fs::remove_file(data.join(file));
            }
            let node = stage.node(0);
            wait("the node knows that it has no copy", Duration::from_secs(30), || {
                Ok(node.metric("knurl_replica_complete")? < 1.0)
            })?;
            Ok(())
        },
        // A question for the head only is no click.
        tick: |stage| {
            let path = format!("/shared-{}", stage.ticks % 50);
            let answer = Connection::open(stage.node(0).addr())?.ask(&Request::of("HEAD", &path, None))?;
            if !matches!(answer.status, 302 | 503) {
                stage.find(format!("{path} was answered {}", answer.status));
            }
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "backup-bit-flip",
        failure: "backup-damaged",
        hypothesis: "A backup in which one bit is another one is refused by restore before anything is touched, and the server that runs beside it notices nothing.",
        harm: "a backup is made under load, one bit in its middle is flipped, and it is restored to another directory",
        ground: Ground::EMBEDDED,
        metrics: &["knurl_store_up", "knurl_redirects_total"],
        least_s: 30,
        hurt: |stage| {
            let backups = stage.node(0).beside("backups")?;
            command(stage, &["backup", &backups.display().to_string()])?;
            let backup = newest(&backups)?;
            let bytes = fs::read(&backup)?;
            // Somewhere in a row's text: a page that is still well formed is the hard case.
            let needle = b"https://lab.example/shared/";
            let at = bytes
                .windows(needle.len())
                .position(|window| window == needle)
                .ok_or_else(|| broken("the backup holds no link"))?;
            let mut other = bytes.clone();
            other[at + 9] ^= 0x01;
            let elsewhere = backups.with_file_name("rehearsal");
            let restore = |from: &Path| restore(stage, from, &elsewhere);
            let whole = restore(&backup)?;
            fs::write(&backup, &other)?;
            let broken_one = restore(&backup)?;
            if !whole {
                stage.find("the backup as it was made cannot be restored");
            }
            if broken_one {
                stage.find("a backup with a flipped bit was restored");
            }
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "backup-fails",
        failure: "backup-failed",
        hypothesis: "A backup that cannot be made leaves nothing that looks like one, and somebody is told.",
        harm: "a backup is asked for into a directory on a disk of one megabyte",
        ground: Ground { disk_mb: Some(64), ..Ground::EMBEDDED },
        alerts: &["KnurlBackupFailed"],
        metrics: &["knurl_backup_last_failed"],
        hurt: |stage| {
            let small = stage.node(0).beside("small")?;
            let mount = props::mount_tmpfs(&small, 1, stage.node(0).housing())?;
            fs::write(small.join("ballast"), vec![b'x'; 1000 << 10])?;
            let out = stage.node(0).command(&["backup", &small.display().to_string()]).output()?;
            if out.status.success() {
                stage.find("a backup was made where there is no room for one");
            }
            let looks_whole =
                fs::read_dir(&small)?.filter_map(Result::ok).any(|entry| entry.file_name().to_string_lossy().ends_with(".db"));
            if looks_whole {
                stage.find("a backup that was not made left a file that looks like one");
            }
            stage.hold(mount);
            Ok(())
        },
        heal: |stage| {
            let backups = stage.node(0).beside("backups")?;
            command(stage, &["backup", &backups.display().to_string()]).map(|_| ())
        },
        ..Drill::BARE
    },
    Drill {
        name: "backup-old",
        failure: "backup-old",
        hypothesis: "When nobody makes backups any more everything goes on, and somebody is told before the day after is over.",
        harm: "the last backup was made twenty-seven hours ago: by libfaketime the clock of that one command is so far behind",
        ground: Ground::EMBEDDED,
        alerts: &["KnurlBackupOld"],
        metrics: &["knurl_backup_age_seconds", "knurl_backup_last_failed"],
        hurt: |stage| {
            let library = p8::library()?;
            let backups = stage.node(0).data_dir().with_file_name("backups");
            fs::create_dir_all(&backups)?;
            let mut backup = stage.node(0).command(&["backup", &backups.display().to_string()]);
            backup.envs(p8::CLOCK_ENV).env("LD_PRELOAD", library).env("FAKETIME", "-27h");
            let out = backup.output()?;
            if !out.status.success() {
                return Err(broken(&format!("knurl backup: {}", String::from_utf8_lossy(&out.stderr).trim())));
            }
            Ok(())
        },
        heal: |stage| {
            let backups = stage.node(0).data_dir().with_file_name("backups");
            command(stage, &["backup", &backups.display().to_string()]).map(|_| ())
        },
        process_only: Some(
            "the library that sets back the clock of the command is loaded before the program, and a static program loads none",
        ),
        ..Drill::BARE
    },
];

fn newest(dir: &Path) -> Result<PathBuf, FleetError> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "db"));
    files.sort();
    files.pop().ok_or_else(|| broken("no backup was made"))
}

/// A command of the product on the first node's directory, which has to succeed.
fn command(stage: &mut Stage, args: &[&str]) -> Result<String, FleetError> {
    let out = stage.node(0).command(args).output()?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    if out.status.success() {
        return Ok(said);
    }
    Err(broken(&format!("knurl {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim())))
}

fn restore(stage: &Stage, from: &Path, to: &Path) -> Result<bool, FleetError> {
    let mut restore = stage.stand.nodes[0].command(&["restore", "--force"]);
    restore.arg(from).env("KNURL_DATA_DIR", to);
    Ok(restore.output()?.status.success())
}
