//! Import: bytes in, rows into the store one chunk a transaction, while the next chunk is parsed.
//!
//! Promised: memory is one chunk being written and one being parsed, whatever the file; a chunk is in the store as a whole or not at
//! all; the same file again inserts nothing and says so, so an import that was cut off is continued by running it again.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use knurl_core::{
    Event, Link, ShortCode, User,
    target::{TargetError, TargetRules},
};
use knurl_store::{ImportMode, Imported, Numbered, Store, StoreError};
use tokio::task::JoinHandle;

use super::{
    kind::{Kind, Refusal, Row},
    parser::{HeaderError, Parser},
    report::{Fate, Remark, Report},
    row::Parsed,
};
use crate::telemetry::scope;

/// A transaction takes this many rows, and what one piece of input adds: long enough to make the commit's cost vanish, short enough
/// that other writers wait little.
pub const CHUNK_ROWS: usize = 4_000;
/// Or this many bytes, for files of large rows.
pub const CHUNK_BYTES: usize = 8 * 1024 * 1024;
/// Larger pieces of input are cut.
const PIECE_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The bytes could not be read: the file's, or the client's, fault. Chunks committed before stay.
    #[error("the input could not be read")]
    Input(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not one of our files; says what is missing. Nothing was imported.
    #[error("{0}")]
    Header(#[from] HeaderError),
    #[error("this is a {} file, not a {} file", .found.as_str(), .expected.as_str())]
    OtherKind { expected: Kind, found: Kind },
    /// Chunks committed before stay.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who watches an import: every remark, and how far it is.
pub trait Watcher: Send {
    fn remark(&mut self, _remark: Remark) {}
    /// Bytes read and rows parsed since the last call.
    fn progress(&mut self, _bytes: u64, _rows: u64) {}
}

/// Nobody watches.
impl Watcher for () {}

/// `POST /users/bulk`: imports a users file as its bytes arrive, holding one chunk of rows at a time. What was committed before an
/// error stays; sending the same file again continues.
pub async fn users<S, E>(store: &Arc<dyn Store>, body: S, mode: ImportMode) -> Result<Report, ImportError>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    import(store, body, mode, Some(Kind::Users), &TargetRules::default(), &mut ()).await
}

/// Imports one file. `expected`: refuse another kind than this. `rules`: what a link may lead to.
pub async fn import<S, E>(
    store: &Arc<dyn Store>,
    mut body: S,
    mode: ImportMode,
    expected: Option<Kind>,
    rules: &TargetRules,
    watcher: &mut dyn Watcher,
) -> Result<Report, ImportError>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut parser = Parser::default();
    let mut run = Run { store, mode, rules, report: Report::default(), filling: Chunk::default(), writing: None };
    while let Some(piece) = body.next().await.transpose().map_err(|error| ImportError::Input(error.into()))? {
        for piece in piece.chunks(PIECE_BYTES_MAX) {
            let rows_before = run.report.rows;
            parser.feed(piece, &mut |line, size, row| run.take(line, size, row, watcher))?;
            check_kind(expected, parser.kind())?;
            watcher.progress(piece.len() as u64, run.report.rows - rows_before);
            if run.filling.is_full() {
                run.flush(watcher).await?;
            }
        }
    }
    let rows_before = run.report.rows;
    parser.finish(&mut |line, size, row| run.take(line, size, row, watcher))?;
    check_kind(expected, parser.kind())?;
    run.flush(watcher).await?;
    run.settle(watcher).await?;
    watcher.progress(0, run.report.rows - rows_before);
    Ok(Report { kind: parser.kind(), ignored_columns: parser.ignored_columns().to_vec(), ..run.report })
}

fn check_kind(expected: Option<Kind>, found: Option<Kind>) -> Result<(), ImportError> {
    match (expected, found) {
        (Some(expected), Some(found)) if expected != found => Err(ImportError::OtherKind { expected, found }),
        _ => Ok(()),
    }
}

struct Run<'s> {
    store: &'s Arc<dyn Store>,
    mode: ImportMode,
    rules: &'s TargetRules,
    report: Report,
    filling: Chunk,
    writing: Option<Writing>,
}

struct Writing {
    task: JoinHandle<Result<Imported, StoreError>>,
    /// Lines of the links whose code is a reserved word.
    reserved: Vec<u64>,
}

/// Rows of one kind; the other two lists stay empty.
#[derive(Default)]
struct Chunk {
    users: Vec<Numbered<User>>,
    links: Vec<Numbered<Link>>,
    events: Vec<Numbered<Event>>,
    reserved: Vec<u64>,
    bytes: usize,
}

impl Chunk {
    fn rows(&self) -> usize {
        self.users.len() + self.links.len() + self.events.len()
    }

    fn is_full(&self) -> bool {
        self.rows() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES
    }

    async fn write(self, store: Arc<dyn Store>, mode: ImportMode) -> Result<Imported, StoreError> {
        if !self.users.is_empty() {
            return store.import_users(self.users, mode).await;
        }
        if !self.links.is_empty() {
            return store.import_links(self.links, mode).await;
        }
        store.import_events(self.events, mode).await
    }
}

impl Run<'_> {
    fn take(&mut self, line: u64, size: usize, row: Parsed<Row>, watcher: &mut dyn Watcher) {
        self.report.rows += 1;
        self.filling.bytes += size;
        let row = row.and_then(|row| match &row {
            Row::Link(link) => servable(link, self.rules).map(|()| row),
            Row::User(_) | Row::Event(_) => Ok(row),
        });
        match row {
            Ok(Row::User(row)) => self.filling.users.push(Numbered { line, row }),
            Ok(Row::Link(row)) => {
                if ShortCode::custom(row.short_code.as_str()).is_err() {
                    self.filling.reserved.push(line);
                }
                self.filling.links.push(Numbered { line, row: *row });
            }
            Ok(Row::Event(row)) => self.filling.events.push(Numbered { line, row }),
            Err(refusal) => {
                let remark = Remark::refused(line, refusal);
                self.report.remark(remark);
                watcher.remark(remark);
            }
        }
    }

    /// Waits for the chunk before, then hands this one to the store and goes on parsing.
    async fn flush(&mut self, watcher: &mut dyn Watcher) -> Result<(), StoreError> {
        self.settle(watcher).await?;
        let mut chunk = std::mem::take(&mut self.filling);
        if chunk.rows() > 0 {
            let reserved = std::mem::take(&mut chunk.reserved);
            let writing = chunk.write(Arc::clone(self.store), self.mode);
            let task = tokio::spawn(scope::carry(scope::present(), writing));
            self.writing = Some(Writing { task, reserved });
        }
        Ok(())
    }

    async fn settle(&mut self, watcher: &mut dyn Watcher) -> Result<(), StoreError> {
        let Some(Writing { task, reserved }) = self.writing.take() else { return Ok(()) };
        let imported = task.await.map_err(|died| StoreError::Internal(Box::new(died)))??;
        self.report.count(&imported);
        let noted: Vec<Remark> = imported.notes.iter().map(Remark::noted).collect();
        let left_out: HashSet<u64> = noted.iter().filter(|remark| remark.fate != Fate::Taken).map(|remark| remark.line).collect();
        let reserved = reserved.into_iter().filter(|line| !left_out.contains(line)).map(Remark::reserved);
        for remark in noted.iter().copied().chain(reserved) {
            self.report.remark(remark);
            watcher.remark(remark);
        }
        Ok(())
    }
}

/// The one thing that is judged as for a new link: whatever else is odd about a row, a visitor is never sent to a script or in a circle.
fn servable(link: &Link, rules: &TargetRules) -> Parsed<()> {
    match rules.permit(&link.target) {
        Err(TargetError::Scheme) => Err(Refusal::of("original_url", "has a scheme that `links.target_schemes` does not allow")),
        Err(TargetError::Loop) => Err(Refusal::of("original_url", "leads back to this shortener")),
        _ => Ok(()),
    }
}
