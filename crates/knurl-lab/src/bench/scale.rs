//! A redirect with few links and with many: does it cost the same?

use std::{
    fmt::Write as _,
    fs::{self, File},
};

use super::{
    BenchError, Rig,
    abreast::{self, COLUMNS, Contender},
    codes::{self, Choice, Codes, picks},
    grouped, import,
    redirect::{PUT_OFF, addr},
};
use crate::{
    process::{Launch, Server},
    sample,
};

/// Codes asked for in one go round; the rounds on one core ask for fewer.
const PICKS_MAX: u64 = 4_000_000;
/// What a server that has been up for days remembers: the most popular codes, asked for once each before anything is measured. What is
/// measured are fresh picks, so those beyond these are misses as they would be then.
const WARM_MAX: u64 = 10_000_000;
/// Room for that many, and a bound all the same.
const CACHE_BYTES: (&str, &str) = ("KNURL_CACHE_BYTES_MAX", "2147483648");

/// A data directory with so many links; made anew, or found where one was kept.
fn populated(rig: &Rig, links: u64) -> Result<Launch, BenchError> {
    let mut launch = rig.launch(&format!("links-{links}"), &[CACHE_BYTES, PUT_OFF])?;
    if let Some(kept) = &rig.populated {
        fs::create_dir_all(kept)?;
        launch.dir = fs::canonicalize(kept)?.join(format!("links-{links}"));
    }
    let done = launch.dir.join("populated");
    if done.is_file() {
        return Ok(launch);
    }
    if launch.dir.exists() {
        // Half made by a run that was cut off.
        fs::remove_dir_all(&launch.dir)?;
    }
    fs::create_dir_all(&launch.dir)?;
    let files = rig.dir.path().join("population");
    eprintln!("populating {links} links");
    sample::write(&codes::sample(links), &files)?;
    let mut unpinned = launch.clone();
    unpinned.cores = rig.both_cores();
    let seconds = import::import(&unpinned, &files)?;
    eprintln!("populated {links} links in {seconds:.0} s");
    fs::remove_dir_all(&files)?;
    File::create(done)?;
    Ok(launch)
}

fn warmed(rig: &Rig, links: u64) -> Result<Server, BenchError> {
    let server = populated(rig, links)?.start()?;
    codes::ask_all(addr(&server)?, "HEAD", picks(links, Choice::InTurn, WARM_MAX))?;
    Ok(server)
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let mut out = format!(
        "## A redirect among many links\n\n\
         Links imported by `knurl import`; click recorded, delivery put off; `cache.bytes_max` 2 GiB, which holds the ten million most popular\n\
         links when it begins, as after days of use. Picks are fresh: what is not in memory is read from the database. The other is the same\n\
         server with the smallest number of links.\n\n\
         | links | choice | {COLUMNS}\n|---:|---|---:|---:|---:|---:|\n"
    );
    let Some((&smallest, larger)) = rig.links.split_first() else { return Ok(out) };
    let choices = [Choice::Zipf, Choice::Uniform];
    let file = |links: u64, choice: Choice| Codes::write(rig, &format!("{links}-{choice:?}"), picks(links, choice, PICKS_MAX));
    let base = warmed(rig, smallest)?;
    let of_base = choices.iter().map(|choice| file(smallest, *choice)).collect::<Result<Vec<_>, _>>()?;
    for &links in larger {
        let server = warmed(rig, links)?;
        for (choice, of_base) in choices.iter().zip(&of_base) {
            let of_larger = file(links, *choice)?;
            let (base_load, load) = (|asked| of_base.load(asked), |asked| of_larger.load(asked));
            let base = Contender { addr: addr(&base)?, pid: base.pid(), beside: &[], load: &base_load };
            let other = Contender { addr: addr(&server)?, pid: server.pid(), beside: &[], load: &load };
            let rounds = abreast::run(rig, &base, &other)?;
            let _ = writeln!(out, "| {} | {} | {}", grouped(links as f64), choice.name(), rounds.cells());
        }
    }
    out.push('\n');
    Ok(out)
}
