//! Settling: when all clients are gone, what they were told is compared with what the product shows, and each node's own audit is read.

use std::time::Duration;

use serde_json::Value;

use super::{Books, Stage, stage::wait, verdict::Difference};
use crate::{
    fleet::{Node, front},
    kill::Finding,
    promise::books::{self, Ledger},
};

const DRAINED_WITHIN: Duration = Duration::from_secs(60);
/// What a fail point says that was told to panic.
const ON_PURPOSE: &str = "a fail point panics, as it was told";

/// Reads the books, stops the nodes, reads their audits. Findings go to the stage.
pub(super) fn settle(stage: &mut Stage, ledger: &Ledger, books: Books) -> Difference {
    let clicks = ledger.all_clicks();
    let mut difference = Difference {
        links: ledger.links.len() as u64,
        clicks: clicks.sure,
        clicks_unanswered: clicks.unknown,
        ..Difference::default()
    };
    match stage.front.as_ref().map(front::sent_twice).transpose() {
        Ok(lines) => difference.sent_twice = lines.unwrap_or_default(),
        Err(error) => stage.find(format!("the front's log cannot be read: {error}")),
    }
    // A click that counts once more must not hide one that is still on its way.
    let delivered = wait("everything is delivered", DRAINED_WITHIN, || {
        stage.stand.nodes.iter().try_fold(true, |all, node| Ok(all && node.metric("knurl_clicks_backlog")? < 1.0))
    });
    if let Err(error) = delivered {
        stage.find(error.to_string());
    }
    let mut differs = Vec::new();
    match stage.stand.shown(ledger) {
        Ok(shown) => differs = books::check(ledger, &shown, difference.sent_twice),
        Err(error) => stage.find(format!("the books cannot be read: {error}")),
    }
    for finding in &differs {
        match finding {
            Finding::LostLink { .. } | Finding::WrongState { .. } => difference.links_lost += 1,
            Finding::LostClicks { answered, counted, place: "roll-ups", .. } => difference.clicks_lost += answered - counted,
            Finding::DoubleClicks { asked, counted, place: "roll-ups", .. } => difference.clicks_double += counted - asked,
            _ => {}
        }
    }
    let mut answered = 0;
    for at in 0..stage.stand.nodes.len() {
        let node = &mut stage.stand.nodes[at];
        let stopped = node.stop();
        let panics = node.panics();
        let audit = audit(node);
        if let Err(error) = stopped {
            stage.find(error.to_string());
        }
        panics.into_iter().filter(|line| !line.contains(ON_PURPOSE)).for_each(|line| stage.find(line));
        match audit {
            Ok(audit) => {
                let of = |key: &str| audit[key].as_u64().unwrap_or_default();
                answered += of("answered");
                difference.clicks_counted_as_lost += of("dropped") + of("lost");
                if audit["verdict"] != "holds" && books == Books::Exact {
                    stage.find(format!("the audit of node {}: {audit}", at + 1));
                }
            }
            Err(words) => stage.find(format!("the audit of node {}: {words}", at + 1)),
        }
    }
    let is_excused = |finding: &Finding| match (books, finding) {
        (Books::Exact, _) => false,
        (_, Finding::LostClicks { .. }) => {
            books == Books::SinceBackup || difference.clicks_lost <= difference.clicks_counted_as_lost
        }
        (Books::SinceBackup, Finding::LostLink { .. }) => true,
        _ => false,
    };
    differs.iter().filter(|finding| !is_excused(finding)).for_each(|finding| stage.find(finding.to_string()));
    let is_told = books != Books::Exact || difference.clicks_counted_as_lost == 0;
    if !is_told {
        stage.find(format!("{} clicks are counted as dropped or lost", difference.clicks_counted_as_lost));
    }
    if books == Books::Exact && (answered < clicks.sure || answered > clicks.sure + clicks.unknown + difference.sent_twice) {
        stage.find(format!("the audits count {answered} answered clicks; the clients know {clicks:?}"));
    }
    difference
}

/// Whatever it says, also where the law does not hold.
fn audit(node: &Node) -> Result<Value, String> {
    let output = node.command(&["audit", "--json"]).output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}
