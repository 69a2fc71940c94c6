//! Statements that whoever is present hears of ([`crate::witness`]).

use std::ops::{Deref, DerefMut};

use rusqlite::{CachedStatement, Connection, Statement};

use super::sql;
use crate::witness::{self, Running};

/// As OpenTelemetry calls it.
pub(super) const SYSTEM: &str = "sqlite";

pub(super) trait Prepare {
    /// From the connection's cache, as `prepare_cached`; it is being run until it is dropped.
    fn prepared(&self, text: &str) -> rusqlite::Result<Prepared<'_>>;
}

impl Prepare for Connection {
    fn prepared(&self, text: &str) -> rusqlite::Result<Prepared<'_>> {
        let running = witness::running(SYSTEM, || sql::name_of(text));
        Ok(Prepared { _running: running, statement: self.prepare_cached(text)? })
    }
}

pub(super) struct Prepared<'c> {
    _running: Running,
    statement: CachedStatement<'c>,
}

impl<'c> Deref for Prepared<'c> {
    type Target = Statement<'c>;

    fn deref(&self) -> &Statement<'c> {
        &self.statement
    }
}

impl<'c> DerefMut for Prepared<'c> {
    fn deref_mut(&mut self) -> &mut Statement<'c> {
        &mut self.statement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_is_known_by_its_files_stem() {
        for (stem, text) in sql::ALL {
            let name = sql::name_of(text);
            let is_same = |(other, same): &(&str, &str)| *other == name && same == text && stem.starts_with("moving_");
            assert!(name == *stem || sql::ALL.iter().any(is_same), "{stem} is called {name}");
        }
        let many = super::super::rows::texts(sql::LINK_INSERT);
        assert_eq!(sql::name_of(&many[0]), "link_insert", "however many rows it has");
        assert_eq!(sql::name_of("begin immediate"), "statement");
    }
}
