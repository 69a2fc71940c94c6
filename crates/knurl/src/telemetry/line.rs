//! What a log line looks like: one JSON object, or one line of text, with the ids of the request that it belongs to.
//!
//! Promised: what caused an error stands beside it, as `error.sources`; `request_id` and `trace_id` stand in every line that was written while a request was worked on, wherever in the program it
//! was written; nobody has to pass them on.

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, Writer},
        time::SystemTime,
    },
    registry::LookupSpan,
};

use super::scope;
use crate::config::LogFormat;

pub(super) struct Lines {
    format: LogFormat,
    json: Format<Json, SystemTime>,
    text: Format<tracing_subscriber::fmt::format::Full, SystemTime>,
}

impl Lines {
    pub(super) fn new(format: LogFormat) -> Self {
        let plain = Format::default().with_ansi(false);
        let json = Format::default().json().flatten_event(true).with_current_span(false).with_span_list(false);
        Self { format, json, text: plain }
    }

    fn write<S, N>(&self, context: &FmtContext<'_, S, N>, line: &mut String, event: &Event<'_>) -> std::fmt::Result
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
        N: for<'a> FormatFields<'a> + 'static,
    {
        match self.format {
            LogFormat::Json => self.json.format_event(context, Writer::new(line), event),
            LogFormat::Text => self.text.format_event(context, Writer::new(line), event),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let mut line = String::with_capacity(256);
        self.write(context, &mut line, event)?;
        let (request_id, trace_id) = scope::ids();
        match self.format {
            LogFormat::Json => {
                // An object of at least a timestamp: what follows follows a comma. Neither id holds anything that JSON would escape.
                out.write_str(line.trim_end().strip_suffix('}').unwrap_or_default())?;
                let mut causes = Causes::default();
                event.record(&mut causes);
                if !causes.0.is_empty() {
                    write!(out, ",\"error.sources\":{}", serde_json::Value::from(causes.0))?;
                }
                if let Some(id) = request_id {
                    write!(out, ",\"request_id\":\"{id}\"")?;
                }
                if let Some(id) = trace_id {
                    write!(out, ",\"trace_id\":\"{id}\"")?;
                }
                out.write_str("}\n")
            }
            LogFormat::Text => {
                out.write_str(line.trim_end())?;
                if let Some(id) = request_id {
                    write!(out, " request_id={id}")?;
                }
                if let Some(id) = trace_id {
                    write!(out, " trace_id={id}")?;
                }
                out.write_char('\n')
            }
        }
    }
}

/// Of the errors of an event what caused them, outermost first. Lines of text have them from `tracing-subscriber`, under the same name.
#[derive(Default)]
struct Causes(Vec<String>);

impl Visit for Causes {
    fn record_error(&mut self, _: &Field, error: &(dyn std::error::Error + 'static)) {
        let mut next = error.source();
        while let Some(cause) = next {
            self.0.push(cause.to_string());
            next = cause.source();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::telemetry::{RequestId, scope::Scope, traces::TraceId};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, log: impl FnOnce()) -> Vec<String> {
        let out = Written::default();
        let to = out.clone();
        let layer = tracing_subscriber::fmt::layer().json().event_format(Lines::new(format)).with_writer(move || to.clone());
        let log = || tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        log();
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn within(run: impl FnOnce()) {
        let id = RequestId::from_headers(&http::HeaderMap::from_iter([(RequestId::HEADER, "abc".parse().unwrap())]));
        Scope::request(id, TraceId::new(0xf), None).within(run);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("it did not work")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn what_caused_an_error_stands_beside_it() {
        let error = Outer(std::io::Error::other("the \"disk\" is gone"));
        let lines = written(LogFormat::Json, || tracing::error!(error = &error as &dyn std::error::Error, "well"));
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["error"], "it did not work", "{lines:?}");
        assert_eq!(line["error.sources"], serde_json::json!(["the \"disk\" is gone"]), "{lines:?}");
    }

    #[test]
    fn a_line_of_json_carries_the_ids_of_its_request() {
        let lines = written(LogFormat::Json, || {
            tracing::info!(n = 1, "before \"all\" }}");
            within(|| tracing::warn!(code = "x", "in it"));
        });
        let parsed: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed[0]["message"], "before \"all\" }");
        assert!(parsed[0].get("request_id").is_none() && parsed[0].get("trace_id").is_none());
        assert_eq!(parsed[1]["request_id"], "abc");
        assert_eq!(parsed[1]["trace_id"], format!("{:032x}", 0xf));
        assert_eq!((&parsed[1]["code"], &parsed[1]["level"]), (&"x".into(), &"WARN".into()));
    }

    #[test]
    fn so_does_a_line_of_text() {
        let lines = written(LogFormat::Text, || within(|| tracing::warn!("in it")));
        assert!(lines[0].ends_with(&format!(" request_id=abc trace_id={:032x}", 0xf)), "{lines:?}");
    }
}
