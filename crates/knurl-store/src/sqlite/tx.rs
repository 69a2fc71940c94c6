//! The transaction of a group of writes, as one write of it sees it: the connection, and the running totals it has moved.

use std::{cell::Cell, ops::Deref};

use rusqlite::Connection;

use super::{prepared::Prepare, sql};

/// Tables with more rows are not counted again: counting these takes a few milliseconds, which other writes wait for.
const RECOUNT_ROWS_MAX: i64 = 10_000;

/// What this group adds to the table `counters`: written once a group, not once a row. Deleted rows are taken off by triggers, which see
/// the deletes of others too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CountChanges {
    pub(super) users: i64,
    pub(super) links: i64,
    pub(super) events: i64,
}

#[derive(Debug)]
pub(super) struct Tx<'c> {
    conn: &'c Connection,
    generation: u64,
    counts: Cell<CountChanges>,
}

impl<'c> Tx<'c> {
    pub(super) fn new(conn: &'c Connection, generation: u64) -> Self {
        Self { conn, generation, counts: Cell::default() }
    }

    /// How often the write connection has been opened anew.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn counts(&self) -> CountChanges {
        self.counts.get()
    }

    pub(super) fn set_counts(&self, counts: CountChanges) {
        self.counts.set(counts);
    }

    pub(super) fn count_users(&self, difference: i64) {
        let counts = self.counts.get();
        self.counts.set(CountChanges { users: counts.users + difference, ..counts });
    }

    pub(super) fn count_links(&self, difference: i64) {
        let counts = self.counts.get();
        self.counts.set(CountChanges { links: counts.links + difference, ..counts });
    }

    pub(super) fn count_events(&self, difference: i64) {
        let counts = self.counts.get();
        self.counts.set(CountChanges { events: counts.events + difference, ..counts });
    }

    pub(super) fn flush_counts(&self) -> rusqlite::Result<()> {
        let counts = self.counts.replace(CountChanges::default());
        for (name, difference) in [("users", counts.users), ("links", counts.links), ("events", counts.events)] {
            if difference != 0 {
                self.add_to_counter(name, difference)?;
            }
        }
        Ok(())
    }

    pub(super) fn add_to_counter(&self, name: &str, difference: i64) -> rusqlite::Result<()> {
        if self.conn.prepared(sql::COUNTER_ADD)?.execute((name, difference))? == 0 {
            // Somebody has emptied the table. The rows of this transaction are written already, so they are counted.
            let value = counted(self.conn, name)?.unwrap_or(difference);
            self.conn.prepared(sql::COUNTER_PUT)?.execute((name, value))?;
        }
        Ok(())
    }

    /// Rows that get their ids from now on come after `id`.
    pub(super) fn keep_sequence(&self, table: &str, id: i64) -> rusqlite::Result<()> {
        if self.conn.prepared(sql::SEQUENCE_KEEP)?.execute((table, id))? == 0 {
            self.conn.prepared(sql::SEQUENCE_BEGIN)?.execute((table, id))?;
        }
        Ok(())
    }

    /// Totals that are not ours alone to keep: whoever changes rows by other means than a Knurl keeps no totals.
    pub(super) fn recount(&self) -> rusqlite::Result<()> {
        // The rows of this group's earlier writes are counted too: what they add must not be added again.
        self.flush_counts()?;
        self.conn.prepared(sql::COUNTERS_RECOUNT)?.execute([RECOUNT_ROWS_MAX + 1])?;
        Ok(())
    }
}

/// What a lost counter would say; `None` where no rows stand behind it.
pub(super) fn counted(conn: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepared(sql::COUNTER_COUNT)?.query_row([name], |row| row.get(0))
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}
