//! P-8: a node's clock steps an hour ahead, an hour back, and over midnight. No id is given twice, no link that lives is taken for expired,
//! nothing is remembered for longer than it may be, every click is counted once.
//!
//! The node runs under libfaketime, which reads its offset from a file that the harness rewrites; time that only ever runs on (deadlines,
//! intervals) stays real, as it does where a clock is set. The database's own clock, and a second node's, stay where they are.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use super::{
    Report, RunArgs,
    books::Ledger,
    stand::{Stand, StandSpec, until},
    traffic::{Manner, Scene},
};
use crate::{
    fleet::{self, FleetError, Node},
    http::{Connection, Request},
};

#[derive(Clone, Debug, clap::Args)]
pub struct P8Args {
    #[command(flatten)]
    pub run: RunArgs,
    /// After each step
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Ahead, back, and over midnight, so often
    #[arg(long, default_value_t = 5)]
    pub rounds: u64,
}

impl Default for P8Args {
    fn default() -> Self {
        Self { run: RunArgs::default(), seconds: 30, rounds: 5 }
    }
}

const LINKS: usize = 50;
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;
/// The offset is read anew at every question for the time.
pub(crate) const CLOCK_ENV: [(&str, &str); 2] = [("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
const LIBRARY: &str = "faketime/libfaketime.so.1";

pub fn run(args: &P8Args) -> Result<Report, FleetError> {
    let mut report = Report::new("P-8", args.run.seed);
    let library = library()?;
    let clock_dir = tempfile::Builder::new().prefix("knurl-clock-").tempdir()?;
    let clock = Clock { file: clock_dir.path().join("offset") };
    clock.step(0)?;
    let spec = StandSpec {
        binary: args.run.binary()?,
        nodes: 2,
        redis: true,
        seed: args.run.seed,
        env: Vec::new(),
        ..StandSpec::default()
    };
    let mut stand = Stand::start(spec)?;
    let node = &mut stand.nodes[0];
    node.stop()?;
    for (key, value) in CLOCK_ENV {
        node.set(key, value);
    }
    node.set("LD_PRELOAD", &library.display().to_string());
    node.set("FAKETIME_TIMESTAMP_FILE", &clock.file.display().to_string());
    node.start()?;
    stand.wait_current()?;
    let mut ledger = Ledger::default();
    let scene = Scene::set(&stand.nodes, LINKS, Duration::from_secs(2), &mut ledger)?;
    let (played, seen) = scene.run(Manner::default(), args.run.seed, || {
        (1..=args.rounds).try_for_each(|round| play(round, &stand, &scene, &clock, args, &mut ledger, &mut report))
    });
    if let Err(error) = played {
        report.find(format!("it could not go on: {error}"));
    }
    clock.step(0)?;
    seen.failures.iter().for_each(|failure| report.find(failure.clone()));
    report.note("steps", args.rounds * 4);
    for name in ["ahead", "back", "midnight", "yesterday"] {
        seen.note(&mut report, name);
    }
    ledger.add(seen.ledger);
    one_id_each(&stand, &mut report)?;
    stand.settle(&ledger, &mut report);
    Ok(stand.finish(report))
}

/// Steps of one round: an hour ahead, back to now, just before midnight and across it, back to before it.
fn play(
    round: u64,
    stand: &Stand,
    scene: &Scene,
    clock: &Clock,
    args: &P8Args,
    ledger: &mut Ledger,
    report: &mut Report,
) -> Result<(), FleetError> {
    let (stepped, steady) = (&stand.nodes[0], &stand.nodes[1]);
    let long = make(steady, &format!("long-{round}"), 3 * HOUR_S, ledger)?;
    let short = make(steady, &format!("short-{round}"), HOUR_S / 2, ledger)?;
    until("the stepped node knows both", || Ok(status(stepped, &long)? == 302 && status(stepped, &short)? == 302))?;
    let to_midnight = DAY_S - now_s().rem_euclid(DAY_S);
    let across = args.seconds.div_ceil(2) as i64;
    for (name, offset) in [("ahead", HOUR_S), ("back", 0), ("midnight", to_midnight - across), ("yesterday", 0)] {
        let missing = format!("missing-{round}-{name}");
        // Remembered as missing under the clock before.
        let before = status(stepped, &missing)?;
        scene.act(name);
        clock.step(offset)?;
        // And under this one.
        let after = status(stepped, &missing)?;
        if (before, after) != (404, 404) {
            report.find(format!("{name}: a code that is not there was answered {before}, then {after}"));
        }
        make(steady, &missing, 0, ledger)?;
        let took = until(&format!("{name}: the stepped node forgets that {missing} was missing"), || {
            Ok(status(stepped, &missing)? == 302)
        })?;
        if took > Duration::from_secs(30) {
            report.find(format!("{name}: a code was taken for missing {took:?} after it was made"));
        }
        let (alive, expired) = (status(stepped, &long)?, status(stepped, &short)?);
        // Half an hour is over an hour later, and not when the clock is back.
        let wanted = if offset > HOUR_S / 2 { 410 } else { 302 };
        if offset <= HOUR_S && (alive, expired) != (302, wanted) {
            report.find(format!(
                "{name}: links of three hours and half an hour are answered {alive} and {expired}, not 302 and {wanted}"
            ));
        }
        thread::sleep(Duration::from_secs(args.seconds));
    }
    Ok(())
}

/// A link that lives so long by the steady clock; 0: for ever.
fn make(node: &Node, code: &str, seconds: i64, ledger: &mut Ledger) -> Result<String, FleetError> {
    let target = format!("https://lab.example/{code}");
    let mut body = json!({ "url": target, "custom_code": code });
    if seconds > 0 {
        let at = now_s() + seconds;
        let text = format_utc(at);
        body["expires_at"] = json!(text);
    }
    fleet::ask(node.addr(), &Request::post("/shorten", &body.to_string()), 201)?;
    ledger.made(code, &target);
    Ok(code.to_owned())
}

/// What a look at it is answered; no click.
fn status(node: &Node, code: &str) -> Result<u16, FleetError> {
    let path = format!("/{code}");
    Ok(Connection::open(node.addr())?.ask(&Request::of("HEAD", &path, None))?.status)
}

/// PostgreSQL itself is asked: keys would hide it where they are per month.
fn one_id_each(stand: &Stand, report: &mut Report) -> Result<(), FleetError> {
    for table in ["links", "events", "clicks"] {
        let rows = stand.sql(&format!("select id from {table}"))?;
        let ids: Vec<&str> = rows.lines().collect();
        let different: HashSet<&&str> = ids.iter().collect();
        report.note(&format!("ids_of_{table}"), ids.len());
        if different.len() < ids.len() {
            report.find(format!("{} ids of {table} were given twice", ids.len() - different.len()));
        }
    }
    Ok(())
}

struct Clock {
    file: PathBuf,
}

impl Clock {
    /// So many seconds beside the real time. Renamed into place: a half-written offset would be a step of its own.
    fn step(&self, offset_s: i64) -> Result<(), FleetError> {
        let whole = self.file.with_extension("new");
        fs::write(&whole, format!("{offset_s:+}\n"))?;
        Ok(fs::rename(whole, &self.file)?)
    }
}

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// `YYYY-MM-DDTHH:MM:SSZ`, by the calendar's own arithmetic (years of 400 are alike).
fn format_utc(at: i64) -> String {
    let (days, second) = (at.div_euclid(DAY_S) + 719_468, at.rem_euclid(DAY_S));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// Debian keeps it in the directory of the machine's kind.
pub(crate) fn library() -> Result<PathBuf, FleetError> {
    let kinds = fs::read_dir("/usr/lib")?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let found = kinds
        .chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/local/lib")])
        .map(|dir| dir.join(LIBRARY))
        .find(|path| Path::is_file(path));
    found.ok_or_else(|| {
        FleetError::Io(std::io::Error::other("libfaketime is not installed here (Debian: apt-get install faketime)"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_the_calendar_has_it() {
        assert_eq!(format_utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_utc(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(format_utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(format_utc(1_795_651_200), "2026-11-26T00:00:00Z");
    }
}
