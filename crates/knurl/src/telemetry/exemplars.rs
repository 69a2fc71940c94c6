//! Exemplars: from a bucket of a histogram to a trace that fell into it.
//!
//! Promised: a bucket shows the last trace that was sent, whatever its bounds are; where nothing is traced nothing is kept. They are part of
//! OpenMetrics alone: the older format has no word for them, and [`Exemplars::shown_in`] is for who asks for the newer one.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{routes::Answered, traces::TraceId};

const REDIRECTS: &str = "knurl_redirect_duration_seconds_bucket{";
const API: &str = "http_server_request_duration_seconds_bucket{";
/// One for each doubling of a nanosecond: no bucket is narrower, and none is wider than a few of them.
const PLACES: usize = u64::BITS as usize;

/// By the lines that they belong to, as far as these are alike, and by size.
#[derive(Debug, Default)]
pub struct Exemplars(Mutex<BTreeMap<String, [Option<One>; PLACES]>>);

#[derive(Clone, Copy, Debug)]
struct One {
    trace_id: TraceId,
    took_s: f64,
    at_s: f64,
}

impl Exemplars {
    pub fn redirect(&self, took: Duration, trace_id: TraceId) {
        self.put(REDIRECTS.to_owned(), took, trace_id);
    }

    /// There are as many as there are series.
    pub fn api(&self, answered: Answered, took: Duration, trace_id: TraceId) {
        let labels = |labels: [(&str, &str); 3]| labels.map(|(name, value)| format!(",{name}=\"{value}\"")).concat();
        self.put(format!("{API}{}", answered.with_labels(labels)), took, trace_id);
    }

    fn put(&self, series: String, took: Duration, trace_id: TraceId) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let at_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let one = One { trace_id, took_s: took.as_secs_f64(), at_s };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(series).or_insert([None; PLACES])[ns.ilog2() as usize] = Some(one);
    }

    /// The exposition with them at the ends of their lines.
    pub fn shown_in(&self, exposition: String) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return exposition;
        }
        let mut out = String::with_capacity(exposition.len() + all.len() * 512);
        let mut before = (String::new(), f64::NEG_INFINITY);
        for line in exposition.split_inclusive('\n') {
            let Some((series, bound)) = bucket_of(line) else {
                out.push_str(line);
                continue;
            };
            let above = if before.0 == series { before.1 } else { f64::NEG_INFINITY };
            out.push_str(line.trim_end_matches('\n'));
            let ones = all.get(&series).into_iter().flatten().flatten();
            before = (series, bound);
            let fitting = ones.filter(|one| above < one.took_s && one.took_s <= bound);
            if let Some(One { trace_id, took_s, at_s }) = fitting.max_by(|one, other| one.at_s.total_cmp(&other.at_s)) {
                // Writing to a String does not fail.
                let _ = write!(out, " # {{trace_id=\"{trace_id}\"}} {took_s} {at_s:.3}");
            }
            out.push('\n');
        }
        out
    }
}

/// Of a line of a bucket: the line without `le` and without its value, and its bound.
fn bucket_of(line: &str) -> Option<(String, f64)> {
    let (name, rest) = line.split_once("le=\"").filter(|_| line.contains("_bucket{"))?;
    let (bound, rest) = rest.split_once('"')?;
    let (labels, _value) = rest.rsplit_once("} ")?;
    let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
    Some((format!("{name}{labels}"), bound))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::telemetry::{Metrics, redirects::Outcome};

    #[test]
    fn a_bucket_shows_the_last_trace_that_fell_into_it() {
        let metrics = Arc::new(Metrics::new());
        let (first, last, api) = (TraceId::new(1).unwrap(), TraceId::new(2).unwrap(), TraceId::new(3).unwrap());
        metrics.redirects.answered(Outcome::Redirected, Duration::from_micros(30));
        let answered = Answered { method: "GET", route: "/urls/{id}", status: 200 };
        metrics.api_request(answered, Duration::from_millis(2));
        let plain = metrics.render();
        assert_eq!(metrics.exemplars.shown_in(plain.clone()), plain);
        metrics.exemplars.redirect(Duration::from_micros(30), first);
        metrics.exemplars.redirect(Duration::from_micros(31), last);
        metrics.exemplars.api(answered, Duration::from_secs(99), api);
        let shown = metrics.exemplars.shown_in(plain);
        let with =
            |id: TraceId| shown.lines().filter(|line| line.contains(&format!("# {{trace_id=\"{id}\"}}"))).collect::<Vec<_>>();
        assert!(with(first).is_empty(), "a later one took its place");
        let [line] = with(last)[..] else { panic!("{shown}") };
        assert!(
            line.starts_with("knurl_redirect_duration_seconds_bucket{le=\"0.00005\"} 1 # {") && line.contains("} 0.000031 "),
            "{line}"
        );
        let [line] = with(api)[..] else { panic!("{shown}") };
        let labels = "le=\"+Inf\",http_request_method=\"GET\",http_route=\"/urls/{id}\",http_response_status_code=\"200\"";
        assert!(line.contains(&format!("{labels}}} 1 # {{")), "{line}");
        assert!(shown.ends_with("# EOF\n"));
    }
}
