//! The machine: what it is, and what it spent on a process.

use std::{collections::BTreeMap, fs, io};

/// Cores this process may use when it starts.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(super) fn pin_to(core: usize) -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set)?;
    Ok(())
}

/// CPU time of a process, by the name of its threads without their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct CpuTime {
    /// Microseconds, user and system.
    pub(super) whole_us: f64,
    pub(super) threads_us: BTreeMap<String, f64>,
}

/// Clock ticks of `/proc`: 100 a second on every Linux we know of.
const TICK_US: f64 = 10_000.0;

/// (name, user + system ticks) of a `stat` file. The name may hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<(&str, f64)> {
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let mut fields = stat.get(close + 2..)?.split(' ').skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some((stat.get(open + 1..close)?, ticks))
}

pub(super) fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    let whole = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, ticks) = parse_stat(&whole).ok_or_else(|| io::Error::other("a stat file of an unknown form"))?;
    let mut time = CpuTime { whole_us: ticks * TICK_US, threads_us: BTreeMap::new() };
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while we look.
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
        if let Some((name, ticks)) = parse_stat(&stat) {
            let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == ' ').to_owned();
            *time.threads_us.entry(name).or_default() += ticks * TICK_US;
        }
    }
    Ok(time)
}

impl CpuTime {
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let threads_us = self
            .threads_us
            .iter()
            .map(|(name, us)| (name.clone(), us - earlier.threads_us.get(name).copied().unwrap_or_default()))
            .collect();
        Self { whole_us: self.whole_us - earlier.whole_us, threads_us }
    }
}

fn first_value(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn cores_online() -> usize {
    fs::read_to_string("/proc/cpuinfo").map_or(0, |text| text.lines().filter(|line| line.starts_with("processor")).count())
}

fn said_by(program: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The page's first part: on what, by what, when.
pub(super) fn page_head(command: &str, pairs: u64, seconds: u64, connections: u64, two_cores: bool) -> String {
    let model = first_value("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory = first_value("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let online = cores_online();
    let pinned = if two_cores { "server on core 0, clients on core 1" } else { "not pinned: one core" };
    format!(
        "# Performance\n\n\
         Written by `{command}`; change nothing here by hand. What the columns mean: \"CPU\" is user plus system time of the server's\n\
         process over the requests it completed; ratios are medians of pairs taken in turn, so that a machine that slows down slows both.\n\n\
         | | |\n|---|---|\n\
         | machine | {model}, {online} cores, {memory} |\n\
         | kernel | Linux {kernel} |\n\
         | date | {date}, load average {load} when it began |\n\
         | runs | {pairs} pairs of {seconds} s, {connections} keep-alive connections, loopback, {pinned} |\n\n",
        kernel = said_by("uname", &["-r"]),
        load =
            fs::read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').next().map(str::to_owned)).unwrap_or_default(),
        date = said_by("date", &["-u", "+%Y-%m-%d"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 700 55 0 0 20 0 1 0 100 0 0";
        assert_eq!(parse_stat(stat), Some(("a (b) c", 755.0)));
        assert_eq!(parse_stat("42 nothing"), None);
    }

    #[test]
    fn a_process_that_works_uses_time() {
        let before = cpu_time(std::process::id()).unwrap();
        let mut dice = crate::dice::Dice::new(1, &[]);
        let mut turned = 0_u64;
        while cpu_time(std::process::id()).unwrap().since(&before).whole_us <= 0.0 {
            turned = (0..100_000).fold(turned, |sum, _| sum ^ dice.throw());
        }
        assert!(cpu_time(std::process::id()).unwrap().whole_us > before.whole_us, "{turned}");
    }
}
