//! Codes: a sample's links, and the order in which a load asks for them.
//!
//! A load reads its codes from a file, so that nothing is drawn or formatted while it runs.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{BenchError, Rig, wrk::Load};
use crate::{
    dice::Dice,
    http::{Connection, Request},
    sample::{Sample, SampleSpec},
    shuffle::{CODE_CHARS, Shuffle},
    zipf::Zipf,
};

const SEED: u64 = 10;
const USERS: u64 = 1000;
/// Requests on their way at a time when a server is warmed up: fewer turns between the two processes.
const WARM_PIPELINE: usize = 64;

/// Codes of equal length in one string, in turn.
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

/// Which of a sample's links are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// By popularity, which has nothing to do with age; each pick afresh.
    Zipf,
    /// All alike; each pick afresh.
    Uniform,
    /// The most popular ones, each once before any comes again.
    InTurn,
}

impl Choice {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Zipf => "by popularity (Zipf 1.0)",
            Self::Uniform => "all alike",
            Self::InTurn => "in turn",
        }
    }
}

/// What is imported.
pub(super) fn sample(links: u64) -> SampleSpec {
    SampleSpec { users: USERS, links, events: 0, seed: SEED, odd: false }
}

/// So many codes that lead somewhere: one in ten links of a sample is inactive and would be answered 404.
pub(super) fn picks(links: u64, choice: Choice, count: u64) -> impl Iterator<Item = String> {
    let sample = Sample::new(&sample(links));
    let ranks = Shuffle::new(links, SEED, 1);
    let zipf = Zipf::new(links, 1.0);
    let mut dice = Dice::new(SEED, &[links]);
    let mut rank = 0..;
    let picked = std::iter::from_fn(move || {
        let link = match choice {
            Choice::Zipf => ranks.forward(zipf.draw(&mut dice)),
            Choice::Uniform => dice.below(links),
            Choice::InTurn => ranks.forward(rank.next().filter(|rank| *rank < links)?),
        };
        Some(sample.link(link).is_active.then(|| sample.code(link)))
    });
    picked.flatten().take(usize::try_from(count).unwrap_or(usize::MAX))
}

/// A file of codes; how many.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    file: PathBuf,
    script: PathBuf,
    pub(super) count: u64,
}

impl Codes {
    pub(super) fn write(rig: &Rig, name: &str, picks: impl Iterator<Item = String>) -> Result<Self, BenchError> {
        let at = |name: &str| rig.dir.path().join(name);
        let (path, script) = (at(&format!("{name}.codes")), at("codes.lua"));
        fs::write(&script, SCRIPT)?;
        let count = write(&path, picks)?;
        if count == 0 {
            return Err(BenchError::Failed { what: "choosing links", said: format!("{name}: none is active") });
        }
        Ok(Self { file: path, script, count })
    }

    /// From the one at `from` on, and round and round.
    pub(super) fn load(&self, from: u64) -> Load {
        let env = vec![("BENCH_CODES", self.file.display().to_string()), ("BENCH_FROM", (from % self.count).to_string())];
        Load::script("/", &self.script, env)
    }
}

fn write(path: &Path, picks: impl Iterator<Item = String>) -> Result<u64, BenchError> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut count = 0;
    for code in picks {
        debug_assert_eq!(code.len(), CODE_CHARS);
        file.write_all(code.as_bytes())?;
        count += 1;
    }
    file.flush()?;
    Ok(count)
}

/// Asks for each once, in the order given, on one connection: `GET`, or `HEAD`, which is answered alike and is no click.
pub(super) fn ask_all(server: SocketAddr, method: &str, codes: impl Iterator<Item = String>) -> Result<(), BenchError> {
    let failed = |said: String| BenchError::Failed { what: "asking for links", said };
    let mut connection = Connection::open(server)?;
    let mut codes = codes.peekable();
    while codes.peek().is_some() {
        let paths: Vec<String> = codes.by_ref().take(WARM_PIPELINE).map(|code| format!("/{code}")).collect();
        let asks: Vec<Request> = paths.iter().map(|path| Request::of(method, path, None)).collect();
        connection.send(&asks).map_err(|error| failed(error.to_string()))?;
        for path in &paths {
            let answer = connection.receive(method == "HEAD").map_err(|error| failed(error.to_string()))?;
            if answer.status != 302 {
                return Err(failed(format!("{path} answered {}", answer.status)));
            }
        }
    }
    Ok(())
}

/// As [`ask_all`], on several connections at once: the order is that of whoever is first.
pub(super) fn ask_all_at_once(server: SocketAddr, connections: usize, codes: &[String]) -> Result<(), BenchError> {
    let each = codes.len().div_ceil(connections).max(1);
    std::thread::scope(|scope| {
        let clients: Vec<_> = codes.chunks(each).map(|some| scope.spawn(|| ask_all(server, "GET", some.iter().cloned()))).collect();
        let panicked = || Err(BenchError::Failed { what: "asking for links", said: "a client panicked".to_owned() });
        clients.into_iter().try_for_each(|client| client.join().unwrap_or_else(|_| panicked()))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn in_turn_none_comes_twice_and_they_end_with_the_active_links() {
        let all: Vec<String> = picks(1_000, Choice::InTurn, u64::MAX).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        let active = (0..1_000).filter(|link| Sample::new(&sample(1_000)).link(*link).is_active).count();
        assert_eq!(all.len(), active);
        assert_eq!(picks(1_000, Choice::InTurn, 10).collect::<Vec<_>>(), all[..10]);
    }

    #[test]
    fn by_popularity_the_first_in_turn_comes_most_often() {
        let favourite = picks(1_000, Choice::InTurn, 1).next().unwrap();
        let often = |choice| picks(1_000, choice, 10_000).filter(|code| *code == favourite).count();
        // 1/H(1000) of all are a seventh, all alike a thousandth.
        assert!(often(Choice::Zipf) > 1_000 && often(Choice::Uniform) < 100, "{} {}", often(Choice::Zipf), often(Choice::Uniform));
    }
}
