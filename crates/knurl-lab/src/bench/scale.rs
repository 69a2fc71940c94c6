//! A redirect with few links and with many: does it cost the same?

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufWriter, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{
    BenchError, Rig, grouped, import, median,
    redirect::{addr, wait_until_idle},
    spread,
    wrk::{self, WrkRun},
};
use crate::{
    dice::Dice,
    http::{Connection, Request},
    process::{Launch, Server},
    sample::{self, Sample, SampleSpec},
    shuffle::{CODE_CHARS, Shuffle},
    zipf::Zipf,
};

const SEED: u64 = 10;
const USERS: u64 = 1000;
/// Codes asked for in one go round; a run of a few seconds on one core asks for fewer.
const PICKS_MAX: u64 = 4_000_000;
/// What a server that has been up for days remembers: the most popular codes, asked for once each before anything is measured. What is
/// measured are fresh picks, so those beyond these are misses as they would be then.
const WARM_MAX: u64 = 10_000_000;
/// Asked in one go: fewer turns between the two processes.
const WARM_PIPELINE: usize = 64;
/// Room for that many, and a bound all the same.
const CACHE_BYTES: (&str, &str) = ("KNURL_CACHE_BYTES_MAX", "2147483648");
/// Delivery is measured elsewhere; here it would hide what the links cost.
const PUT_OFF: (&str, &str) = ("KNURL_CLICKS_DRAIN_INTERVAL_MS", "60000");

/// Codes of equal length in one string, in turn: nothing is drawn or formatted while the load runs.
const SCRIPT: &str = r#"local file = assert(io.open(os.getenv("BENCH_CODES"), "rb"))
local codes = file:read("*a")
file:close()
local width = 6
local at = width * tonumber(os.getenv("BENCH_FROM"))
local head, tail = "GET /", nil
init = function()
  tail = " HTTP/1.1\r\nHost: bench\r\n"
  for name, value in pairs(wrk.headers) do
    if name ~= "Host" then tail = tail .. name .. ": " .. value .. "\r\n" end
  end
  tail = tail .. "\r\n"
end
request = function()
  local code = codes:sub(at + 1, at + width)
  at = at + width
  if at >= #codes then at = 0 end
  return head .. code .. tail
end
"#;

#[derive(Clone, Copy)]
enum Choice {
    Zipf,
    Uniform,
}

impl Choice {
    fn name(self) -> &'static str {
        match self {
            Self::Zipf => "by popularity (Zipf 1.0)",
            Self::Uniform => "all alike",
        }
    }
}

struct Size {
    links: u64,
    server: Server,
    /// Codes in the order they are asked for.
    picks: [(Choice, PathBuf); 2],
    runs: [Vec<WrkRun>; 2],
}

fn spec(links: u64) -> SampleSpec {
    SampleSpec { users: USERS, links, events: 0, seed: SEED, odd: false }
}

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
    sample::write(&spec(links), &files)?;
    let mut unpinned = launch.clone();
    unpinned.cores = rig.two_cores.then(|| "0,1".to_owned());
    let seconds = import::import(&unpinned, &files)?;
    eprintln!("populated {links} links in {seconds:.0} s");
    fs::remove_dir_all(&files)?;
    File::create(done)?;
    Ok(launch)
}

fn write_picks(path: &Path, links: u64, choice: Choice) -> Result<(), BenchError> {
    let sample = Sample::new(&spec(links));
    // Popularity has nothing to do with age.
    let ranks = Shuffle::new(links, SEED, 1);
    let zipf = Zipf::new(links, 1.0);
    let mut dice = Dice::new(SEED, &[links]);
    let mut file = BufWriter::new(File::create(path)?);
    let mut left = PICKS_MAX;
    while left > 0 {
        let link = match choice {
            Choice::Zipf => ranks.forward(zipf.draw(&mut dice)),
            Choice::Uniform => dice.below(links),
        };
        // One in ten is inactive in the sample: it would be answered 404.
        if sample.link(link).is_active {
            let code = sample.code(link);
            debug_assert_eq!(code.len(), CODE_CHARS);
            file.write_all(code.as_bytes())?;
            left -= 1;
        }
    }
    Ok(file.flush()?)
}

fn size(rig: &Rig, links: u64) -> Result<Size, BenchError> {
    let launch = populated(rig, links)?;
    let picks =
        [Choice::Zipf, Choice::Uniform].map(|choice| (choice, rig.dir.path().join(format!("{links}-{}.picks", choice as u8))));
    for (choice, path) in &picks {
        write_picks(path, links, *choice)?;
    }
    let server = launch.start()?;
    warm(addr(&server)?, links)?;
    Ok(Size { links, server, picks, runs: [Vec::new(), Vec::new()] })
}

/// HEAD is answered alike and is no click.
fn warm(server: SocketAddr, links: u64) -> Result<(), BenchError> {
    let failed = |said: String| BenchError::Failed { what: "warming up", said };
    let sample = Sample::new(&spec(links));
    let ranks = Shuffle::new(links, SEED, 1);
    let mut connection = Connection::open(server)?;
    let popular = links.min(WARM_MAX);
    for first in (0..popular).step_by(WARM_PIPELINE) {
        let some = first..popular.min(first + WARM_PIPELINE as u64);
        let paths: Vec<String> = some.map(|rank| format!("/{}", sample.code(ranks.forward(rank)))).collect();
        let asks: Vec<Request> = paths.iter().map(|path| Request::of("HEAD", path, None)).collect();
        connection.send(&asks).map_err(|error| failed(error.to_string()))?;
        for _ in &asks {
            connection.receive(true).map_err(|error| failed(error.to_string()))?;
        }
    }
    Ok(())
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let script = rig.dir.path().join("codes.lua");
    fs::write(&script, SCRIPT)?;
    let mut sizes = rig.links.iter().map(|&links| size(rig, links)).collect::<Result<Vec<_>, _>>()?;
    for which in 0..2 {
        for round in 0..rig.pairs {
            // Each run goes on where none has been.
            let from = (round * PICKS_MAX / rig.pairs).to_string();
            for size in &mut sizes {
                let codes = size.picks[which].1.display().to_string();
                let env = [("BENCH_CODES", codes.as_str()), ("BENCH_FROM", from.as_str())];
                let run = wrk::run(rig, addr(&size.server)?, size.server.pid(), "/", Some((&script, &env)))?;
                size.runs[which].push(run);
                wait_until_idle(size.server.pid())?;
            }
        }
    }
    Ok(table(&sizes))
}

fn table(sizes: &[Size]) -> String {
    let mut out = String::from(
        "## A redirect among many links\n\n\
         Links imported by `knurl import`; click recorded, delivery put off; `cache.bytes_max` 2 GiB, which holds the ten\n\
         million most popular links when it begins, as after days of use. Picks are fresh: what is not in memory is read from the database.\n\n\
         | links | choice | CPU us a request | of the smallest (median of pairs) | range | requests/s | p99 us |\n\
         |---:|---|---:|---:|---:|---:|---:|\n",
    );
    let Some(smallest) = sizes.first() else { return out };
    for size in sizes {
        for (which, (choice, _)) in size.picks.iter().enumerate() {
            let of = |figure: fn(&WrkRun) -> f64| median(size.runs[which].iter().map(figure).collect());
            let ratios: Vec<f64> =
                size.runs[which].iter().zip(&smallest.runs[which]).map(|(run, base)| run.cpu_us() / base.cpu_us()).collect();
            let _ = writeln!(
                out,
                "| {} | {} | {:.2} | {:.2} | {} | {} | {:.0} |",
                grouped(size.links as f64),
                choice.name(),
                of(WrkRun::cpu_us),
                median(ratios.clone()),
                spread(&ratios),
                grouped(of(|run| run.per_second)),
                of(|run| run.p99_us),
            );
        }
    }
    out.push('\n');
    out
}
