//! A redirect with few links and with many: does it cost the same?

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufWriter, Write},
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
    process::{Launch, Server},
    sample::{self, Sample, SampleSpec},
    shuffle::{CODE_CHARS, Shuffle},
    zipf::Zipf,
};

const SEED: u64 = 10;
const USERS: u64 = 1000;
/// Codes asked for in one go round; a run of a few seconds on one core asks for fewer.
const PICKS_MAX: u64 = 4_000_000;
/// Each size and choice is asked this many runs before the pairs: its caches fill.
const WARM_UPS: usize = 2;

/// Codes of equal length in one string, in turn: nothing is drawn or formatted while the load runs.
const SCRIPT: &str = r#"local file = assert(io.open(os.getenv("BENCH_CODES"), "rb"))
local codes = file:read("*a")
file:close()
local width, at = 6, 0
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
    let mut launch = rig.launch(&format!("links-{links}"), &[])?;
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
    Ok(Size { links, server, picks, runs: [Vec::new(), Vec::new()] })
}

pub(super) fn measure(rig: &Rig) -> Result<String, BenchError> {
    let script = rig.dir.path().join("codes.lua");
    fs::write(&script, SCRIPT)?;
    let mut sizes = rig.links.iter().map(|&links| size(rig, links)).collect::<Result<Vec<_>, _>>()?;
    for which in 0..2 {
        for round in 0..WARM_UPS + rig.pairs as usize {
            for size in &mut sizes {
                let codes = size.picks[which].1.display().to_string();
                let env = [("BENCH_CODES", codes.as_str())];
                let run = wrk::run(rig, addr(&size.server)?, size.server.pid(), "/", Some((&script, &env)))?;
                if round >= WARM_UPS {
                    size.runs[which].push(run);
                }
                wait_until_idle(size.server.pid())?;
            }
        }
    }
    Ok(table(&sizes))
}

fn table(sizes: &[Size]) -> String {
    let mut out = String::from(
        "## A redirect among many links\n\n\
         Links imported by `knurl import`; four million picks in turn, two runs of each to warm up, default cache.\n\n\
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
