//! Import and export of users, links and events as CSV and JSON Lines.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use knurl_store::{ImportMode, Store, StoreError};

/// What an import did, bounded in size however large the file was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows of the file, without the header.
    pub rows: u64,
    pub inserted: u64,
    /// Not inserted because the same row is there already.
    pub already_there: u64,
    /// Not inserted: malformed, or another row has the id.
    pub refused: u64,
    /// How often each reason occurred, and its first rows ([`Reason::FIRST_MAX`]).
    pub reasons: Vec<Reason>,
}

/// One reason for which rows were refused, skipped or remarked upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Whether the rows were inserted nevertheless (duplicates, dangling references).
    pub taken: bool,
    pub field: &'static str,
    pub reason: &'static str,
    pub count: u64,
    /// Lines of the first rows.
    pub first_lines: Vec<u64>,
}

impl Reason {
    pub const FIRST_MAX: usize = 20;
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The bytes could not be read: the file's, or the client's, fault.
    #[error("the input could not be read")]
    Input(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not one of our files; says what is missing. Nothing was imported.
    #[error("{0}")]
    Header(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// `POST /users/bulk`: imports a users file as its bytes arrive, holding one chunk of rows at a time. What was committed before an
/// error stays; sending the same file again continues.
pub async fn users<S, E>(_store: &Arc<dyn Store>, _body: S, _mode: ImportMode) -> Result<Report, ImportError>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    todo!("cli: in the next commit")
}
