//! The machine: what it is, and what it spent on a process.

use std::{collections::BTreeMap, fs, io};

/// Cores this process may use when it starts.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(super) fn pin_to(core: usize) -> io::Result<()> {
    Ok(rustix::thread::sched_setaffinity(None, &set_of(&[core]))?)
}

fn set_of(cores: &[usize]) -> rustix::thread::CpuSet {
    let mut set = rustix::thread::CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    set
}

/// A process, its children and all their threads; those that they start later inherit it.
pub(super) fn move_to(cores: &[usize], pid: u32) -> io::Result<()> {
    for pid in family(pid) {
        for thread in threads(pid)? {
            let id = i32::try_from(thread).ok().and_then(rustix::process::Pid::from_raw);
            match rustix::thread::sched_setaffinity(id, &set_of(cores)) {
                // It has ended meanwhile.
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn family(pid: u32) -> Vec<u32> {
    std::iter::once(pid).chain(crate::servers::descendants(pid)).collect()
}

/// None where the process has ended.
fn threads(pid: u32) -> io::Result<Vec<u32>> {
    match fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(tasks) => Ok(tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What each thread has used, by its number: its name and its nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct CpuTime(BTreeMap<u32, (String, u64)>);

/// CPU time between two looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Spent {
    /// Microseconds, user and system.
    pub(super) whole_us: f64,
    /// By the names of the threads without their numbers.
    pub(super) threads_us: BTreeMap<String, f64>,
}

/// Nanoseconds on a CPU: the first number of a `schedstat` file. (`stat` counts in ticks of 10 ms.)
fn parse_schedstat(schedstat: &str) -> Option<u64> {
    schedstat.split(' ').next()?.parse().ok()
}

/// `knurl-writer-3` is `knurl-writer`.
fn without_number(name: &str) -> &str {
    name.trim_end().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == ' ')
}

/// Of the process and its children. A thread that has ended takes its time with it: those that matter live as long as their process.
pub(super) fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    let mut time = CpuTime::default();
    for pid in family(pid) {
        for thread in threads(pid)? {
            let read = |what: &str| fs::read_to_string(format!("/proc/{pid}/task/{thread}/{what}")).ok();
            if let (Some(name), Some(ns)) = (read("comm"), read("schedstat").as_deref().and_then(parse_schedstat)) {
                time.0.insert(thread, (without_number(&name).to_owned(), ns));
            }
        }
    }
    if time.0.is_empty() {
        return Err(io::Error::other(format!("process {pid} has ended, or this kernel does not count what threads use")));
    }
    Ok(time)
}

impl CpuTime {
    pub(super) fn since(&self, earlier: &Self) -> Spent {
        let mut spent = Spent::default();
        for (thread, (name, ns)) in &self.0 {
            let us = ns.saturating_sub(earlier.0.get(thread).map_or(0, |(_, ns)| *ns)) as f64 / 1e3;
            spent.whole_us += us;
            *spent.threads_us.entry(name.clone()).or_default() += us;
        }
        spent
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
pub(super) fn page_head(command: &str, runs: &str) -> String {
    let model = first_value("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory = first_value("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let online = cores_online();
    format!(
        "# Performance\n\n\
         Written by `{command}`. \"CPU\" is user plus system time of all threads of the server's process over the requests it completed.\n\n\
         | | |\n|---|---|\n\
         | machine | {model}, {online} cores, {memory} |\n\
         | kernel | Linux {kernel} |\n\
         | date | {date}, load average {load} when it began |\n\
         | runs | {runs} |\n\n",
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
    fn the_first_number_of_a_schedstat_is_what_the_thread_has_run() {
        assert_eq!(parse_schedstat("1234567 89 10\n"), Some(1_234_567));
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn threads_of_a_name_are_added_up_and_one_that_is_new_has_its_whole_time() {
        let of =
            |threads: &[(u32, &str, u64)]| CpuTime(threads.iter().map(|(id, name, ns)| (*id, ((*name).to_owned(), *ns))).collect());
        let earlier = of(&[(1, "knurl", 5_000), (2, "knurl-writer", 1_000), (3, "gone", 9_000)]);
        let later = of(&[(1, "knurl", 8_000), (2, "knurl-writer", 1_000), (4, "knurl", 2_000)]);
        let spent = later.since(&earlier);
        assert_eq!((spent.whole_us, spent.threads_us["knurl"], spent.threads_us["knurl-writer"]), (5.0, 5.0, 0.0));
        assert_eq!([without_number("knurl-reader-12\n"), without_number("tokio 3")], ["knurl-reader", "tokio"]);
    }

    #[test]
    fn a_process_that_works_uses_time() {
        let before = cpu_time(std::process::id()).unwrap();
        let mut dice = crate::dice::Dice::new(1, &[]);
        let mut turned = 0_u64;
        let spent = || cpu_time(std::process::id()).unwrap().since(&before).whole_us;
        while spent() <= 1_000.0 {
            turned = (0..100_000).fold(turned, |sum, _| sum ^ dice.throw());
        }
        assert!(spent() > 1_000.0, "{turned}");
    }

    #[test]
    fn a_process_that_has_ended_is_no_figure() {
        let mut child = crate::leash::spawn(crate::leash::command("true")).unwrap();
        child.wait().unwrap();
        assert!(cpu_time(child.id()).is_err());
    }
}
