//! Disks: full, failing, slow; files torn, flipped and overwritten; backups that are not what they were.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    drill::{Books, Drill, Ground, Served, Stage, props, stage::broken},
    fleet::FleetError,
};

/// Small segments, so that a small disk has room for some.
const SMALL: &[(&str, &str)] = &[("KNURL_CLICKS_SEGMENT_BYTES", "65536"), ("KNURL_CLICKS_SEGMENTS_MAX", "64")];
const POWER: &[(&str, &str)] = &[("KNURL_DURABILITY", "power")];
const SPOOL: &[&str] =
    &["knurl_clicks_answered_total", "knurl_clicks_delivered_total", "knurl_clicks_dropped_total", "knurl_clicks_backlog"];

pub(super) const DRILLS: [Drill; 10] = [
    Drill {
        name: "disk-full",
        failure: "disk-full",
        hypothesis: "With a full disk every link redirects, creates say so, each click that finds no room is counted as dropped, and all is normal when room is made.",
        harm: "a file takes all the room of the node's file system of 256 MB",
        ground: Ground { disk_mb: Some(256), env: SMALL, ..Ground::EMBEDDED },
        alerts: &["KnurlSpoolStarved", "KnurlClicksDropped"],
        allowed: &[
            "KnurlDrainFailing",
            "KnurlDatabaseDown",
            "KnurlBacklogGrowing",
            "KnurlJobFailing",
            "KnurlCanaryMissing",
            "KnurlDependencyFlapping",
        ],
        metrics: &["knurl_spool_starved", "knurl_clicks_dropped_total", "knurl_clicks_backlog", "knurl_store_up"],
        creates: Served::Any,
        books: Books::Counted,
        hurt: |stage| {
            let ballast = props::fill(&stage.node(0).data_dir())?;
            stage.hold(ballast);
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
        name: "torn-spool",
        failure: "spool-torn",
        hypothesis: "What a crash leaves half written behind the last whole record is cut off at the next start, and nothing before it is touched.",
        harm: "one node is killed, garbage is written behind the last record of its spool, and it is started again",
        alerts: &["KnurlCrashed"],
        allowed: &["KnurlDown"],
        metrics: SPOOL,
        redirects: Served::Some,
        creates: Served::Some,
        clears: false,
        hurt: |stage| {
            stage.node(0).kill()?;
            let last = segments(&stage.node(0).data_dir())?.pop().ok_or_else(|| broken("the spool has no segment"))?;
            let bytes = fs::read(&last)?;
            // Behind the last byte that is not zero: where the next record would have been.
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            let torn = b"\x37\x00\x00\x00half a record";
            if end + 64 < bytes.len() {
                // Records begin at multiples of eight bytes.
                fs::File::options().write(true).open(&last)?.write_all_at(torn, end.next_multiple_of(8) as u64)?;
            } else {
                stage.find("there was no room behind the last record");
            }
            stage.node(0).start()
        },
        ..Drill::BARE
    },
    Drill {
        name: "segment-bit-flip",
        failure: "spool-damaged",
        hypothesis: "A record of the spool that is not what was written is never delivered as something else: it is counted as lost, and everything that can be read is delivered.",
        harm: "one node is without PostgreSQL for ten seconds, is killed, and in the middle of its oldest segment with undelivered clicks one bit is flipped",
        ground: Ground { env: SMALL, ..Ground::FLEET },
        alerts: &["KnurlClicksUndecodable"],
        allowed: &[
            "KnurlCrashed",
            "KnurlDown",
            "KnurlLawBroken",
            "KnurlDatabaseDown",
            "KnurlDrainFailing",
            "KnurlJobFailing",
            "KnurlDependencyFlapping",
        ],
        metrics: &["knurl_clicks_undecodable_total", "knurl_clicks_answered_total", "knurl_clicks_delivered_total"],
        redirects: Served::Some,
        creates: Served::Some,
        books: Books::Counted,
        clears: false,
        hurt: |stage| {
            crate::promise::stand::Fault::Refused.inflict(&stage.stand.ways[0].postgres)?;
            std::thread::sleep(Duration::from_secs(10));
            stage.node(0).kill()?;
            let spool = segments(&stage.node(0).data_dir())?;
            // The last but one that holds clicks: whole, and none of it delivered.
            let held: Vec<&PathBuf> = spool.iter().filter(|path| written(path) > 1_000).collect();
            let victim = *held.iter().rev().nth(1).or(held.last()).ok_or_else(|| broken("the spool has no segment with clicks"))?;
            let bytes = fs::read(victim)?;
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default();
            let at = end / 2;
            fs::File::options().write(true).open(victim)?.write_all_at(&[bytes[at] ^ 0x10], at as u64)?;
            stage.stand.heal()?;
            stage.node(0).start()
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
];

/// In the order of their names, which is that of their records.
fn segments(data: &Path) -> Result<Vec<PathBuf>, FleetError> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(data.join("spool"))?.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    found.retain(|path| path.extension().is_some_and(|kind| kind == "seg" || kind == "segment" || kind == "log"));
    found.sort();
    Ok(found)
}

/// Bytes of it that are not zero.
fn written(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte != 0).count())
}

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
