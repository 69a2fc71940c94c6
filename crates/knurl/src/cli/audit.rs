//! `knurl audit`: the conservation law, with a verdict and an exit code.

use std::process::ExitCode;

use super::{
    args::Global,
    failure::{Failure, chain},
    open::{Database, with_store},
    out::Out,
};
use crate::clicks::audit::{Audit, Verdict, audit};

pub(super) fn run(global: &Global, out: Out) -> Result<ExitCode, Failure> {
    let found = with_store(global, Database::MustExist, |store, config| async move {
        audit(store.as_ref(), &config.spool_dir()).await.map_err(|error| Failure::failed(chain(&error)))
    })?;
    out.show(&found, || text(&found))?;
    Ok(if found.verdict == Verdict::Holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(audit: &Audit) -> String {
    let verdict = match audit.verdict {
        Verdict::Holds => {
            "holds: every answered click is delivered, waiting or counted as dropped, and every delivered one is rolled up once"
        }
        Verdict::Moving => "undecided: a running server changed the figures faster than they could be read; try again",
        Verdict::Broken => "BROKEN: the figures do not add up; see docs/guide/operate.md",
    };
    format!(
        "answered   {:>12}\ndelivered  {:>12}\nbacklog    {:>12}\ndropped    {:>12}\nlost       {:>12}\nrolled up  {:>12}\n  raw      {:>12}\n  purged   {:>12}\n  (imported or posted: {})\n\nThe law {verdict}.",
        audit.answered,
        audit.delivered,
        audit.backlog,
        audit.dropped,
        audit.lost,
        audit.rolled_up,
        audit.raw,
        audit.purged,
        audit.external
    )
}
