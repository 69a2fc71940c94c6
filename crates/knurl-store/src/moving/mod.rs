//! Moving house: all of a database copied into another one while it is in use, and the switch from the one to the other.
//!
//! Promised: nothing that was acknowledged is left behind, and everything keeps its id, time, version and code; the switch comes only after
//! every row of both sides has been compared; at no instant are two databases live. A move that dies at any instant is gone on with by
//! running it again, or ended by [`abort`]; until then the old database is the live one. How it is done and why: ADR 11.
//!
//! Layout: [`Part`] is what is copied, [`row`] a row as both dialects tell it, [`Side`] a database (`sqlite::moving`,
//! `postgres::moving`); `run` moves, `ledger` is what it knows to be equal, `judge` says whether two databases may be the ends of a move.

pub(crate) mod agents;
mod judge;
mod ledger;
mod part;
pub mod row;
mod run;
mod side;

pub use judge::{Survey, abort, release, survey};
pub use part::{Kind, Part};
pub use run::{Moved, Phase, Progress, Settings, run};
pub(crate) use side::StandingRow;
pub use side::{End, Into, IntoState, Note, Out, OutState, Side, Standing, Surveyed};

use crate::store::Result;
use row::{Lead, Span, Tally, complete_up_to, cut};

/// What is in a database, part by part.
pub async fn tallies(side: &mut dyn Side) -> Result<Vec<(Part, Tally)>> {
    let mut all = Vec::new();
    for part in Part::all() {
        let mut tally = Tally::default();
        each_page(side, part, |rows| tally.add(&Tally::of(rows))).await?;
        all.push((part, tally));
    }
    Ok(all)
}

/// Rows read at a time.
const PAGE_ROWS: usize = 4096;
/// More than belong together by one lead, whatever was imported.
const TOGETHER_ROWS_MAX: usize = 1 << 24;

async fn each_page(side: &mut dyn Side, part: Part, mut page: impl FnMut(&[row::Row])) -> Result<()> {
    let mut after = Lead::FIRST;
    loop {
        let span = Span { after, ..Span::WHOLE };
        let mut rows = side.rows(part, span, PAGE_ROWS).await?;
        let Some(to) = complete_up_to(part, &rows, PAGE_ROWS) else {
            page(&rows);
            return Ok(());
        };
        let Some(first) = rows.first().map(|row| Lead::of(part, row)).filter(|_| to <= after) else {
            cut(part, &mut rows, to);
            page(&rows);
            after = to;
            continue;
        };
        page(&side.rows(part, Span { after, to: first }, TOGETHER_ROWS_MAX).await?);
        after = first;
    }
}
