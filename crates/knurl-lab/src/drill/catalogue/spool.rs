//! The spool: torn, flipped, and a part of it gone.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    drill::{Books, Drill, Ground, Served, Stage, stage::broken},
    fleet::FleetError,
    promise::stand::Fault,
};

/// Small segments, so that a few seconds of clicks fill some.
const SMALL: &[(&str, &str)] = &[("KNURL_CLICKS_SEGMENT_BYTES", "65536"), ("KNURL_CLICKS_SEGMENTS_MAX", "64")];
const SPOOL: &[&str] =
    &["knurl_clicks_answered_total", "knurl_clicks_delivered_total", "knurl_clicks_dropped_total", "knurl_clicks_backlog"];
/// Of clicks, which nobody can deliver meanwhile.
const GATHERS: Duration = Duration::from_secs(10);
const NO_CLICKS: &str = "the spool has no segment with clicks";

pub(super) const DRILLS: [Drill; 3] = [
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
            let held = killed_with_clicks(stage)?;
            // The last but one that holds clicks: whole, and none of it delivered.
            let victim = held.iter().rev().nth(1).or(held.last()).ok_or_else(|| broken(NO_CLICKS))?;
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
        name: "spool-removed",
        failure: "clicks-gone",
        hypothesis: "Clicks that were answered and that somebody takes away before they are delivered are missed: the books say how many, and somebody is told. Everything else is counted once.",
        harm: "one node is without PostgreSQL for ten seconds, is killed, the newest segment of its spool that holds clicks is removed, and it is started again",
        ground: Ground { env: SMALL, ..Ground::FLEET },
        alerts: &["KnurlLawBroken"],
        allowed: &[
            "KnurlCrashed",
            "KnurlDown",
            "KnurlDatabaseDown",
            "KnurlDrainFailing",
            "KnurlJobFailing",
            "KnurlDependencyFlapping",
            "KnurlClicksUndecodable",
        ],
        metrics: &["knurl_clicks_lost", "knurl_clicks_answered_total", "knurl_clicks_delivered_total", "knurl_clicks_backlog"],
        redirects: Served::Some,
        creates: Served::Some,
        books: Books::Counted,
        // It looks back for an hour.
        clears: false,
        hurt: |stage| {
            let held = killed_with_clicks(stage)?;
            let newest = held.last().ok_or_else(|| broken(NO_CLICKS))?;
            stage.note("segments_with_clicks", held.len());
            fs::remove_file(newest)?;
            stage.stand.heal()?;
            stage.node(0).start()
        },
        check: |stage| {
            let lost = stage.node(0).metric("knurl_clicks_lost")?;
            stage.note("clicks_missed_by_the_node", lost);
            if lost < 1.0 {
                stage.find("the node does not miss the clicks that were removed");
            }
            Ok(())
        },
        ..Drill::BARE
    },
];

/// The first node has gathered clicks without PostgreSQL, and was killed: its segments that hold any.
fn killed_with_clicks(stage: &mut Stage) -> Result<Vec<PathBuf>, FleetError> {
    Fault::Refused.inflict(&stage.stand.ways[0].postgres)?;
    std::thread::sleep(GATHERS);
    stage.node(0).kill()?;
    let mut held = segments(&stage.node(0).data_dir())?;
    held.retain(|path| written(path) > 1_000);
    Ok(held)
}

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
