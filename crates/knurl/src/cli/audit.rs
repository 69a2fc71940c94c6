//! `knurl audit`: the conservation law, with a verdict and an exit code.

use std::process::ExitCode;

use knurl_store::Acceptance;
use serde::Serialize;

use super::{
    args::Global,
    failure::{Failure, chain},
    now,
    open::{Database, with_store},
    out::{Out, plain},
};
use crate::clicks::audit::{Audit, SpoolState, Verdict, audit_of};

/// Characters of a reason: a sentence for whoever audits later.
const REASON_CHARS_MAX: usize = 256;

#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    /// Acknowledge, for this reason, that click events or counts were removed by hand: the law holds without them from then on, and every
    /// later audit shows what was accepted. Lost clicks cannot be accepted
    #[arg(long, value_name = "REASON")]
    accept: Option<String>,
}

#[derive(Serialize)]
struct AuditShape {
    #[serde(flatten)]
    audit: Audit,
    acceptances: Vec<AcceptanceShape>,
}

#[derive(Serialize)]
struct AcceptanceShape {
    at: String,
    reason: String,
    events: i64,
    roll_ups: i64,
}

pub(super) fn run(global: &Global, out: Out, args: &AuditArgs) -> Result<ExitCode, Failure> {
    let reason = args.accept.as_deref().map(checked).transpose()?;
    let shape = with_store(global, Database::MustBeCurrent, |store, config| async move {
        if let Some(reason) = reason {
            store.accept_differences(&reason, now()).await?;
        }
        let audit = audit_of(store.as_ref(), &config).await.map_err(|error| Failure::failed(chain(&error)))?;
        Ok(AuditShape { audit, acceptances: store.acceptances().await?.into_iter().map(AcceptanceShape::from).collect() })
    })?;
    out.show(&shape, || text(&shape))?;
    Ok(if shape.audit.verdict == Verdict::Holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn checked(reason: &str) -> Result<String, Failure> {
    let reason = reason.trim();
    if reason.is_empty() || reason.contains('\0') || reason.chars().nth(REASON_CHARS_MAX).is_some() {
        return Err(Failure::usage(format!("--accept takes a reason of 1 to {REASON_CHARS_MAX} characters")));
    }
    Ok(reason.to_owned())
}

impl From<Acceptance> for AcceptanceShape {
    fn from(accepted: Acceptance) -> Self {
        let Acceptance { at, reason, events, roll_ups } = accepted;
        Self { at: at.to_rfc3339(), reason, events, roll_ups }
    }
}

fn text(shape: &AuditShape) -> String {
    let audit = &shape.audit;
    let verdict = match audit.verdict {
        Verdict::Holds => {
            "holds: every answered click is delivered, waiting or counted as dropped, and every delivered one is rolled up once"
        }
        Verdict::Moving => "undecided: a running server changed the figures faster than they could be read; try again",
        Verdict::Unproven if audit.spool == SpoolState::NoLedger => {
            "undecided: the spool's ledger is not here, so nobody knows how many clicks were answered or dropped; what the segments hold is kept, \
             and the next `knurl serve` delivers it"
        }
        Verdict::Unproven => {
            "undecided: there was a spool that is not here; what waited in it is not in these figures, see docs/guide/operate.md"
        }
        Verdict::Broken => "BROKEN: the figures do not add up; see docs/guide/operate.md",
    };
    let accepted: String = shape.acceptances.iter().map(accepted_line).collect();
    format!(
        "answered   {:>12}\ndelivered  {:>12}\nbacklog    {:>12}\ndropped    {:>12}\nlost       {:>12}\nrolled up  {:>12}\n  raw      {:>12}\n  purged   {:>12}\nelsewhere  {:>12}\nunlinked   {:>12}\n  (imported or posted: {})\n{accepted}\nThe law {verdict}.",
        audit.answered,
        audit.delivered,
        audit.backlog,
        audit.dropped,
        audit.lost,
        audit.rolled_up,
        audit.raw,
        audit.purged,
        audit.elsewhere,
        audit.unlinked,
        audit.external
    )
}

fn accepted_line(accepted: &AcceptanceShape) -> String {
    let AcceptanceShape { at, reason, events, roll_ups } = accepted;
    // The second sum lacks fewer where counts went with the events.
    format!("  accepted {events:>12} (events of deliveries; {roll_ups} of counts) on {at}: {}\n", plain(reason))
}
