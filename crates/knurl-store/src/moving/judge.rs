//! Whether two databases may be the ends of a move, and the ways out of one that was begun.

use super::{
    Into, IntoState, Out, OutState, Part, Side, Standing, each_page,
    row::{Row, Value},
};
use crate::{StoreError, store::Result};

/// Objections told one by one.
const OBJECTIONS_TOLD: usize = 10;

/// What two databases are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To be copied, under the name of a move that was begun before, or a new one.
    Copy { goes_on: bool },
    /// All is copied and compared, the old one is left: the new one only has to be told that it is live.
    OnlySwitch,
    /// Nothing is left to do.
    Done,
}

pub(super) fn judge(from: &Standing, to: &Standing, places: (&str, &str)) -> Result<Verdict> {
    let (from_place, to_place) = places;
    let refused = |sentence: String| Err(StoreError::Refused(sentence));
    if from.into.as_ref().is_some_and(|into| into.state == IntoState::Copying) {
        return refused(format!("{from_place} is not filled itself: a move into it was not finished"));
    }
    let of_this_move = from.out.as_ref().is_some_and(|out| to.into.as_ref().is_some_and(|into| into.id == out.id));
    if let Some(Out { to: where_to, state: OutState::Moved, .. }) = &from.out {
        return match to.into.as_ref().filter(|_| of_this_move).map(|into| into.state) {
            Some(IntoState::Live) => Ok(Verdict::Done),
            Some(IntoState::Copying) => Ok(Verdict::OnlySwitch),
            None => refused(format!("{from_place} was moved to {where_to} already")),
        };
    }
    if to.into.as_ref().is_some_and(|into| into.state == IntoState::Copying) {
        return Ok(Verdict::Copy { goes_on: of_this_move });
    }
    if let Some(out) = &to.out {
        // The way back: what is there is older than what comes, row by row.
        let came_from_there = out.state == OutState::Moved
            && from.into.as_ref().is_some_and(|into| into.id == out.id && into.state == IntoState::Live);
        return match came_from_there {
            true => Ok(Verdict::Copy { goes_on: false }),
            false => refused(format!("{to_place} is an end of another move (to {})", out.to)),
        };
    }
    if to.is_empty && to.into.is_none() {
        return Ok(Verdict::Copy { goes_on: false });
    }
    refused(format!("{to_place} is not empty: a database is moved into one that nobody has used, or back to where it came from"))
}

/// What a move would find, without any of it.
#[derive(Clone, Debug)]
pub struct Survey {
    pub rows: Vec<(Part, u64)>,
    /// Rows that the target cannot keep: how many, and the first of them.
    pub objections: u64,
    pub first_objections: Vec<String>,
}

/// Judges, reads every row of the source and changes nothing.
pub async fn survey(from: &mut dyn Side, to: &mut dyn Side) -> Result<Survey> {
    let (from_stands, to_stands) = (from.standing().await?, to.standing().await?);
    judge(&from_stands, &to_stands, (&from.place(), &to.place()))?;
    let mut survey = Survey { rows: Vec::new(), objections: 0, first_objections: Vec::new() };
    from.begin_look().await?;
    for part in Part::all() {
        let mut count = 0;
        each_page(from, part, |rows| {
            count += rows.len() as u64;
            for (row, why) in rows.iter().filter_map(|row| Some((row, to.objection(part, row)?))) {
                survey.objections += 1;
                if survey.first_objections.len() < OBJECTIONS_TOLD {
                    survey.first_objections.push(objection(part, row, why));
                }
            }
        })
        .await?;
        survey.rows.push((part, count));
    }
    from.end_look().await?;
    Ok(survey)
}

/// The row's own texts are a stranger's: only its number is named.
pub(crate) fn objection(part: Part, row: &Row, why: &str) -> String {
    match row.first() {
        Some(Value::Int(number)) => format!("{} {number}: {why}", part.name()),
        _ => format!("{}: {why}", part.name()),
    }
}

/// Ends a move that is not complete: the old database takes changes again. What was copied stays where it is, and is no database to work
/// with. A database that was left for good needs `to`, which says whether it is live.
pub async fn abort(from: &mut dyn Side, to: Option<&mut (dyn Side + '_)>) -> Result<()> {
    let from_place = from.place();
    let Some(out) = from.standing().await?.out else {
        return Err(StoreError::Refused(format!("no move goes out of {from_place}")));
    };
    if out.state == OutState::Moved {
        let Some(to) = to else {
            return Err(StoreError::Refused(format!(
                "{from_place} was left for {0}: name {0} too, to see whether it is in use",
                out.to
            )));
        };
        match to.standing().await?.into {
            Some(Into { id, state: IntoState::Copying, .. }) if id == out.id => {}
            Some(Into { id, state: IntoState::Live, .. }) if id == out.id => {
                return Err(StoreError::Refused(format!(
                    "the move is complete and {} is live: move it back with `knurl move` the other way round",
                    to.place()
                )));
            }
            _ => return Err(StoreError::Refused(format!("{} is not where {from_place} was moved to", to.place()))),
        }
    }
    from.stand_out(None).await
}

/// The old database takes changes and clicks again, and the move can be gone on with: for who gives up in the middle of the switch.
pub async fn release(from: &mut dyn Side) -> Result<()> {
    match from.standing().await?.out {
        Some(out) if matches!(out.state, OutState::Settling | OutState::Fenced) => {
            from.stand_out(Some(&Out { state: OutState::Copying, ..out })).await
        }
        _ => Ok(()),
    }
}
