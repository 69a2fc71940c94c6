//! What `/proc/self` says of this process. Read at a scrape, never otherwise.

use super::table::{self, Encoded, Out};

/// Names as every Prometheus client library spells them, so that ready-made dashboards find them.
pub(super) fn encode(out: &mut Out<'_>) -> Encoded {
    let stat = Stat::read();
    if let Some(stat) = &stat {
        table::CPU.seconds(out, stat.cpu_s)?;
    }
    if let Some(open) = open_fds() {
        table::OPEN_FDS.gauge(out, open as f64)?;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if let Some(max) = limit.current {
        table::MAX_FDS.gauge(out, max as f64)?;
    }
    if let Some(stat) = &stat {
        table::VIRTUAL_MEMORY.gauge(out, stat.virtual_bytes as f64)?;
        table::RESIDENT_MEMORY.gauge(out, stat.resident_bytes as f64)?;
        table::THREADS.gauge(out, stat.threads as f64)?;
    }
    Ok(())
}

/// `None` where there is no `/proc`.
pub fn open_fds() -> Option<usize> {
    // The directory that is being read is one of them.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

#[derive(Debug, PartialEq)]
struct Stat {
    cpu_s: f64,
    threads: u64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        // The name of the program stands in brackets and may hold anything. After it, from the third field on: state, parent, …
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let ticks = number(14)?.saturating_add(number(15)?);
        Some(Self {
            cpu_s: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            threads: number(20)?,
            virtual_bytes: number(23)?,
            resident_bytes: number(24)?.saturating_mul(rustix::param::page_size() as u64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_whose_name_looks_like_fields_is_read_rightly() {
        let line = "7 (a) b 9) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 12 0 900 4096 3 18446744073709551615 1 1";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.threads, stat.virtual_bytes, stat.resident_bytes), (12, 4096, 3 * rustix::param::page_size() as u64));
        assert_eq!(stat.cpu_s, 300.0 / rustix::param::clock_ticks_per_second() as f64);
        assert!(Stat::read().is_some_and(|stat| stat.threads > 0 && stat.resident_bytes > 0));
        assert_eq!(Stat::parse("7 (a"), None);
    }
}
