//! What `/proc/self` says of this process. Read at a scrape, never otherwise.

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

/// Names as every Prometheus client library spells them, so that ready-made dashboards find them.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let mut gauge = |name: &str, help: &str, value: f64| {
        let gauge = ConstGauge::new(value);
        let metric_type = gauge.metric_type();
        gauge.encode(encoder.encode_descriptor(name, help, None, metric_type)?)
    };
    if let Some(open) = open_fds() {
        gauge("process_open_fds", "Open file descriptors.", open as f64)?;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if let Some(max) = limit.current {
        gauge("process_max_fds", "Most file descriptors this process may open.", max as f64)?;
    }
    if let Some(bytes) = resident_bytes() {
        gauge("process_resident_memory_bytes", "Resident memory.", bytes as f64)?;
    }
    Ok(())
}

/// `None` where there is no `/proc`.
pub fn open_fds() -> Option<usize> {
    // The directory that is being read is one of them.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
