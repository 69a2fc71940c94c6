//! The text a scraper gets: OpenMetrics where it asks for that, else the older format of Prometheus.
//!
//! The encoder writes OpenMetrics. The older format calls a counter by its whole name in its comments too, and knows neither exemplars nor
//! an end mark.

use std::borrow::Cow;

use super::table::{self, Kind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    /// What browsers show and every tool reads.
    Text,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

pub(super) fn to_text(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + 1024);
    for line in open.lines().filter(|line| *line != "# EOF") {
        text.push_str(&line_to_text(line));
        text.push('\n');
    }
    text
}

fn line_to_text(line: &str) -> Cow<'_, str> {
    for comment in ["# HELP ", "# TYPE "] {
        if let Some((name, rest)) = line.strip_prefix(comment).and_then(|named| named.split_once(' ')) {
            return if is_counter(name) { format!("{comment}{name}_total {rest}").into() } else { line.into() };
        }
    }
    line.split_once(" # {").map_or(line, |(sample, _exemplar)| sample).into()
}

fn is_counter(name: &str) -> bool {
    table::ALL.iter().flat_map(|(_, families)| *families).any(|family| family.name == name && family.kind == Kind::Counter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_called_by_their_whole_name_and_what_only_openmetrics_knows_is_left_out() {
        let open = "# HELP knurl_redirects Requests.\n# TYPE knurl_redirects counter\nknurl_redirects_total{outcome=\"gone\"} 1 # {trace_id=\"a\"} 0.5\n\
                    # TYPE knurl_spool_starved gauge\nknurl_spool_starved 0.0\n# EOF\n";
        let text = "# HELP knurl_redirects_total Requests.\n# TYPE knurl_redirects_total counter\nknurl_redirects_total{outcome=\"gone\"} 1\n\
                    # TYPE knurl_spool_starved gauge\nknurl_spool_starved 0.0\n";
        assert_eq!(to_text(open), text);
    }
}
