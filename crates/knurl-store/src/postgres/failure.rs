//! PostgreSQL's error codes as [`StoreError`]s: what the caller can do about it, with the source kept.
//!
//! Refused: repeating what a server says in `DETAIL`: it holds the rows that collided, with their names and addresses.

use std::{error::Error as StdError, fmt, io};

use tokio_postgres::{Error, error::DbError};

use crate::{Conflict, StoreError, store::Result};

/// What the server said, less its detail.
#[derive(Clone, Debug)]
pub(super) struct Said {
    code: String,
    message: String,
}

impl Said {
    /// And not of the session, which may end after a commit as well as before.
    fn is_of_the_statement(&self) -> bool {
        !self.code.starts_with("57P") && !self.code.starts_with("08")
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL says {}: {}", self.code, self.message)
    }
}

impl StdError for Said {}

pub(super) fn store_error(error: Error) -> StoreError {
    let Some(said) = error.as_db_error() else {
        return if is_our_mistake(&error) {
            StoreError::Internal(Box::new(error))
        } else {
            StoreError::Unavailable(Box::new(error))
        };
    };
    let source = Said { code: said.code().code().to_owned(), message: said.message().to_owned() };
    match class(said) {
        Class::Unavailable => StoreError::Unavailable(Box::new(source)),
        Class::Full => StoreError::Full(Box::new(source)),
        Class::Corrupt => StoreError::Corrupt(source.to_string()),
        Class::Conflict(conflict) => StoreError::Conflict(conflict),
        Class::Moving => StoreError::Moving,
        Class::Internal => StoreError::Internal(Box::new(source)),
    }
}

/// A value or column of the wrong type. The library keeps its kinds to itself, so they are told by their words; whatever is not one of
/// these is the connection's.
fn is_our_mistake(error: &Error) -> bool {
    let from_the_wire = error.is_closed() || error.source().is_some_and(<dyn StdError>::is::<io::Error>);
    let words = error.to_string();
    let ours = ["error serializing parameter", "error deserializing column", "invalid column", "query returned", "expected "];
    !from_the_wire && ours.iter().any(|begin| words.starts_with(begin))
}

/// Whether the whole transaction may simply be run again: it was undone for another one's sake.
pub(super) fn is_retryable(error: &StoreError) -> bool {
    matches!(code(error), Some("40001" | "40P01"))
}

/// Whether the connection that said this is good no more: it is closing, or its server may not write any longer.
pub(super) fn distrusts_connection(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else {
        return false;
    };
    match source.downcast_ref::<Said>() {
        // A statement that took too long, a lock not given, a deadlock: the connection has done nothing wrong.
        Some(said) => !matches!(said.code.as_str(), "57014" | "55P03" | "40001" | "40P01" | "53200"),
        None => true,
    }
}

/// Whether the server as a whole is out of reach, as far as this error can tell.
pub(super) fn says_away(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else {
        return false;
    };
    match source.downcast_ref::<Said>() {
        Some(said) => matches!(said.code.as_str(), "57P01" | "57P02" | "57P03" | "25006") || said.code.starts_with("08"),
        None => source.is::<Error>(),
    }
}

/// Of an attempt to connect: whether the server lives and would not have us, for want of a slot, or because of our login.
pub(super) fn says_refused(error: &StoreError) -> bool {
    code(error).is_some() && !says_away(error)
}

/// Somebody took an id or a key between our look and our insert: as good as a serialization failure, so it carries that code.
pub(super) fn taken_meanwhile() -> StoreError {
    StoreError::Unavailable(Box::new(Said { code: "40001".to_owned(), message: "a row was taken meanwhile".to_owned() }))
}

/// What several statements of a transaction, sent side by side, came to. Where one fails the server refuses those after it: theirs is not the error.
pub(super) fn together<const N: usize>(done: [Result<()>; N]) -> Result<()> {
    let (refused, failed): (Vec<_>, Vec<_>) =
        done.into_iter().filter_map(Result::err).partition(|error| code(error) == Some("25P02"));
    failed.into_iter().chain(refused).next().map_or(Ok(()), Err)
}

/// A row was there already, where no answer of ours has a name for that.
pub(super) fn is_duplicate(error: &StoreError) -> bool {
    code(error) == Some("23505")
}

/// Whether the server does not let us in, or not do what we have to: that does not pass by itself, an operator has to change something.
pub fn is_refusal(error: &StoreError) -> bool {
    matches!(code(error), Some("28000" | "28P01" | "3D000" | "42501"))
}

/// A user's row is held by a transaction that changes or deletes it. Nobody waits for it on a connection: whoever meets it lets go
/// of all there is and comes again, so it carries the code of a serialization failure.
pub(super) fn owner_held() -> StoreError {
    let message = "the user's row is held by another transaction".to_owned();
    StoreError::Unavailable(Box::new(Said { code: "40001".to_owned(), message }))
}

/// An error of a statement or commit that had been sent: where the server did not say itself that it failed, nobody knows whether it did.
pub(super) fn of_sent(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(source) if !source.downcast_ref::<Said>().is_some_and(Said::is_of_the_statement) => {
            StoreError::Unsure { source, codes: Vec::new() }
        }
        error => error,
    }
}

fn code(error: &StoreError) -> Option<&str> {
    let (StoreError::Unavailable(source)
    | StoreError::Unsure { source, .. }
    | StoreError::Full(source)
    | StoreError::Internal(source)) = error
    else {
        return None;
    };
    source.downcast_ref::<Said>().map(|said| said.code.as_str())
}

enum Class {
    Unavailable,
    Full,
    Corrupt,
    Conflict(Conflict),
    Moving,
    Internal,
}

fn class(said: &DbError) -> Class {
    let code = said.code().code();
    match code {
        "23505" => said.constraint().and_then(conflict).map_or(Class::Internal, Class::Conflict),
        "53100" => Class::Full,
        // The fence says so (`knurl_moving_refuse`).
        "KN001" => Class::Moving,
        "XX001" | "XX002" => Class::Corrupt,
        // A statement or transaction ended for reasons that pass: time, locks, other transactions, a standby.
        "25006" | "25P03" | "40001" | "40P01" | "55P03" | "55006" => Class::Unavailable,
        // The login, the database or a permission is not there (any more): an operator's doing, and an operator can undo it.
        "28000" | "28P01" | "3D000" | "42501" => Class::Unavailable,
        _ => match code.get(..2) {
            // Connection, resources, operator, system.
            Some("08" | "53" | "57" | "58") => Class::Unavailable,
            _ => Class::Internal,
        },
    }
}

fn conflict(constraint: &str) -> Option<Conflict> {
    match constraint {
        "links_by_code" => Some(Conflict::ShortCode),
        "users_by_username" => Some(Conflict::Username),
        "users_by_email" => Some(Conflict::Email),
        _ => None,
    }
}

pub(super) fn unavailable(why: &'static str) -> StoreError {
    StoreError::Unavailable(why.into())
}

pub(super) fn silent() -> StoreError {
    unavailable("PostgreSQL takes connections and answers nobody")
}

pub(super) fn closed() -> StoreError {
    unavailable("the store is closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_statements_sent_together_the_one_that_failed_is_told_and_not_those_after_it() {
        let said = |code: &str| Err(StoreError::Internal(Box::new(Said { code: code.to_owned(), message: String::new() })));
        let told = |done| together(done).as_ref().err().and_then(code).map(str::to_owned);
        assert_eq!(told([Ok(()), Ok(()), Ok(())]), None);
        assert_eq!(told([said("25P02"), Ok(()), said("23505")]).as_deref(), Some("23505"));
        assert_eq!(told([said("40001"), said("25P02"), said("23505")]).as_deref(), Some("40001"));
        assert_eq!(told([Ok(()), said("25P02"), said("25P02")]).as_deref(), Some("25P02"));
    }
}
