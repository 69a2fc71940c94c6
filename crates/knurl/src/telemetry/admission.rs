//! Who is let in, and how full it is.

use super::{
    counters::{Counter, Gauge},
    histogram::Histogram,
    table::{self, Encoded, Out},
};

/// Who is let in, by class, in the order of [`ADMISSION_CLASSES`].
#[derive(Debug, Default)]
pub struct AdmissionMetrics {
    pub in_flight: [Gauge; ADMISSION_CLASSES.len()],
    /// So many may be.
    pub places: [Gauge; ADMISSION_CLASSES.len()],
    pub waiting: [Gauge; ADMISSION_CLASSES.len()],
    /// Answered 503.
    pub shed: [Counter; ADMISSION_CLASSES.len()],
    /// How long they waited until they were told.
    pub refusal: Histogram,
    /// How many classes are narrowed.
    pub rung: Gauge,
    /// The longest a task has waited for a worker since the last scrape.
    pub worker_lag_ms: Gauge,
}

pub const ADMISSION_CLASSES: [&str; 5] = ["redirect", "create", "read", "export", "upload"];

impl AdmissionMetrics {
    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        let by_class = |gauges: &[Gauge; ADMISSION_CLASSES.len()]| {
            std::array::from_fn::<_, { ADMISSION_CLASSES.len() }, _>(|n| (ADMISSION_CLASSES[n], gauges[n].get() as f64))
        };
        table::IN_FLIGHT.gauges(out, by_class(&self.in_flight))?;
        table::PLACES.gauges(out, by_class(&self.places))?;
        table::WAITING.gauges(out, by_class(&self.waiting))?;
        table::SHED.counts(out, ADMISSION_CLASSES.into_iter().zip(self.shed.each_ref().map(Counter::get)))?;
        table::REFUSAL.histogram(out, &self.refusal)?;
        table::RUNG.gauge(out, self.rung.get() as f64)?;
        table::WORKER_LAG.gauge(out, self.worker_lag_ms.get() as f64 / 1e3)
    }
}
