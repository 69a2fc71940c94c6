//! The collector of traces: away, and hanging. Traces are the one thing of all that may be lost without anybody minding.

use crate::{
    drill::{Drill, Ground, Stage, stage::broken},
    fleet::FleetError,
    servers::Collector,
};

/// More than anybody samples in production, and a queue that a hanging collector fills in seconds.
const TRACED: &[(&str, &str)] = &[
    ("KNURL_TELEMETRY_SAMPLE_ONE_IN", "10"),
    ("KNURL_TELEMETRY_QUEUE_SPANS_MAX", "256"),
    ("KNURL_TELEMETRY_OTLP_TIMEOUT_MS", "1000"),
];
const TRACES: &[&str] = &[
    "knurl_traces_dropped_total",
    "knurl_traces_exported_total",
    "knurl_traces_export_failures_total",
    "knurl_traces_queued_spans",
    "knurl_redirects_total",
];
/// As above.
const QUEUE_SPANS_MAX: f64 = 256.0;
const BEFORE_HEALING: &str = "traces_exported_before_it_healed";

pub(super) const DRILLS: [Drill; 2] = [
    Drill {
        name: "collector-down",
        failure: "collector-away",
        hypothesis: "Without the collector of traces every request is answered as ever; what cannot be sent is dropped and counted, somebody is told, and traces arrive again when it is back.",
        harm: "the OpenTelemetry collector that the nodes send to is killed",
        ground: Ground { env: TRACED, ..Ground::FLEET },
        alerts: &["KnurlTracesDropped"],
        metrics: TRACES,
        prepare: trace,
        hurt: |stage| Ok(collector(stage)?.kill()?),
        heal: |stage| {
            let before = exported(stage)?;
            stage.note(BEFORE_HEALING, before);
            Ok(collector(stage)?.start_again()?)
        },
        check: arrive_again,
        ..Drill::BARE
    },
    Drill {
        name: "collector-hung",
        failure: "collector-away",
        hypothesis: "A collector that accepts and never answers costs no more than one that is away: the queue has its bound, and nobody waits for it.",
        harm: "SIGSTOP of the OpenTelemetry collector that the nodes send to: connections stand, and nothing comes",
        ground: Ground { env: TRACED, ..Ground::FLEET },
        alerts: &["KnurlTracesDropped"],
        metrics: TRACES,
        prepare: trace,
        hurt: |stage| {
            collector(stage)?.pause();
            Ok(())
        },
        tick: |stage| {
            for at in 0..stage.stand.nodes.len() {
                let queued = stage.node(at).metric("knurl_traces_queued_spans")?;
                if queued > QUEUE_SPANS_MAX {
                    stage.find(format!("node {}: {queued} spans wait, and no more than {QUEUE_SPANS_MAX} may", at + 1));
                }
            }
            Ok(())
        },
        heal: |stage| {
            let before = exported(stage)?;
            stage.note(BEFORE_HEALING, before);
            collector(stage)?.resume();
            Ok(())
        },
        check: arrive_again,
        ..Drill::BARE
    },
];

fn collector(stage: &mut Stage) -> Result<&mut Collector, FleetError> {
    stage.collector.as_mut().ok_or_else(|| broken("this stage has no collector"))
}

/// Starts a collector, and the nodes again so that they send to it.
fn trace(stage: &mut Stage) -> Result<(), FleetError> {
    let endpoint = format!("http://{}", stage.collector.insert(Collector::start()?).grpc());
    for at in 0..stage.stand.nodes.len() {
        let node = stage.node(at);
        node.stop()?;
        node.set("KNURL_TELEMETRY_OTLP_ENDPOINT", &endpoint);
        node.start()?;
    }
    Ok(())
}

/// Of all nodes, so far.
fn exported(stage: &Stage) -> Result<f64, FleetError> {
    stage.stand.nodes.iter().try_fold(0.0, |sum, node| Ok(sum + node.metric("knurl_traces_exported_total")?))
}

/// The load has ended by now: what it was traced for since it healed has arrived, or some of it.
fn arrive_again(stage: &mut Stage) -> Result<(), FleetError> {
    let before = stage.notes.iter().find(|(name, _)| name == BEFORE_HEALING).and_then(|(_, figure)| figure.as_f64());
    let (now, received) = (exported(stage)?, collector(stage)?.spans().len());
    stage.note("traces_exported_in_the_end", now);
    stage.note("spans_received", received);
    if before.is_none_or(|before| now <= before) {
        stage.find(format!("{now} traces were sent in all, {before:?} of them before it healed"));
    }
    Ok(())
}
