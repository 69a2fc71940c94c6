//! Connections of the main listener: how many, and why we ended some.

use super::{
    counters::{Counter, Gauge},
    table::{self, Encoded, Out},
};

/// Why a connection was ended by us.
#[derive(Debug, Default)]
pub struct ConnectionMetrics {
    pub accepted: Counter,
    pub open: Gauge,
    /// Answered 503 and closed, because `connections_max` were open.
    pub refused: Counter,
    pub accept_errors: Counter,
    pub first_byte_timeouts: Counter,
    pub header_timeouts: Counter,
    pub idle_timeouts: Counter,
    pub write_timeouts: Counter,
    /// Still busy when the drain's deadline came.
    pub drain_timeouts: Counter,
    /// Not HTTP, or not acceptable HTTP.
    pub malformed: Counter,
    pub panics: Counter,
}

impl ConnectionMetrics {
    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        table::CONNECTIONS_ACCEPTED.count(out, self.accepted.get())?;
        table::CONNECTIONS_OPEN.gauge(out, self.open.get() as f64)?;
        table::CONNECTIONS_REFUSED.count(out, self.refused.get())?;
        table::ACCEPT_ERRORS.count(out, self.accept_errors.get())?;
        table::REQUESTS_MALFORMED.count(out, self.malformed.get())?;
        table::CONNECTION_PANICS.count(out, self.panics.get())?;
        let kinds = [
            ("first_byte", &self.first_byte_timeouts),
            ("header", &self.header_timeouts),
            ("idle", &self.idle_timeouts),
            ("write", &self.write_timeouts),
            ("drain", &self.drain_timeouts),
        ];
        table::CONNECTION_TIMEOUTS.counts(out, kinds.map(|(kind, count)| (kind, count.get())))
    }
}
