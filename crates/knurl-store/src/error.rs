//! What can go wrong with a store, classified by what the caller can do about it.

use std::sync::Arc;

use knurl_core::ShortCode;

/// Which uniqueness was violated: the caller's fault, answered 409.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    ShortCode,
    Username,
    Email,
}

/// Which referenced row does not exist: answered 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    User,
    Link,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{0:?} already exists")]
    Conflict(Conflict),
    #[error("{0:?} does not exist")]
    MissingReference(Reference),
    /// The link has another version than the change was meant for: answered 412. Nothing was changed.
    #[error("the link has changed since it was read")]
    Outdated,
    /// This key of a [`Once`](crate::once::Once) is another request's: answered 422. Nothing was changed.
    #[error("the idempotency key was used for another request")]
    Reused,
    /// Somebody else is just doing it: answered 409. Nothing was changed by this call.
    #[error("a request with this idempotency key is being worked on")]
    InFlight,
    /// Could not look or could not write, and may be able to later: I/O error, locked, connection gone, writer stopped.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A change was sent and its outcome is not known: nothing was said to it, or not soon enough. Answered 503, with the advice to ask
    /// again under the same idempotency key, or to look.
    #[error("the database has not said whether it was done")]
    Unsure {
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Of links that were there before and may be others now.
        codes: Vec<ShortCode>,
    },
    /// The disk (or the database's quota) is full. Nothing was changed.
    #[error("the database's disk is full")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database is being moved to another place and takes no changes: answered 503. Nothing was changed.
    #[error("the database is being moved and takes no changes until that is over")]
    Moving,
    /// Not this database, or not now (it was moved, or is not filled yet): the sentence says why, and what to do.
    #[error("{0}")]
    Refused(String),
    /// The queue of writes is at its bound: try again shortly. Nothing was changed.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The database was written by a newer Knurl.
    #[error("the database has schema version {found}, this knurl knows up to {known}: use the newer knurl, or restore a backup")]
    TooNew { found: i64, known: i64 },
    /// A row that no version of Knurl writes, or a damaged file.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// Our own mistake (a malformed statement, a wrong type).
    #[error("internal store error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody doing anything about it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unsure { .. } | Self::Full(_) | Self::Overloaded | Self::Moving)
    }

    /// Codes of links that this call may have changed although it failed: what is remembered of them is not to be believed.
    pub fn in_doubt(&self) -> &[ShortCode] {
        match self {
            Self::Unsure { codes, .. } => codes,
            _ => &[],
        }
    }
}

/// One failure told to everybody whose write was in the group.
#[derive(Clone, Debug)]
pub(crate) struct GroupFailure {
    kind: GroupKind,
    source: Arc<StoreError>,
}

#[derive(Clone, Copy, Debug)]
enum GroupKind {
    Unavailable,
    Unsure,
    Full,
    Moving,
    Corrupt,
    Internal,
}

impl GroupFailure {
    pub(crate) fn new(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Unsure { .. } => GroupKind::Unsure,
            StoreError::Full(_) => GroupKind::Full,
            StoreError::Moving => GroupKind::Moving,
            StoreError::Corrupt(_) => GroupKind::Corrupt,
            StoreError::Internal(_) => GroupKind::Internal,
            _ => GroupKind::Unavailable,
        };
        Self { kind, source: Arc::new(error) }
    }

    pub(crate) fn to_error(&self) -> StoreError {
        let source = Box::new(Shared(self.source.clone()));
        match self.kind {
            GroupKind::Unavailable => StoreError::Unavailable(source),
            GroupKind::Unsure => StoreError::Unsure { source, codes: Vec::new() },
            GroupKind::Full => StoreError::Full(source),
            GroupKind::Moving => StoreError::Moving,
            GroupKind::Corrupt => StoreError::Corrupt(self.source.to_string()),
            GroupKind::Internal => StoreError::Internal(source),
        }
    }
}

#[derive(Debug)]
struct Shared(Arc<StoreError>);

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0)
    }
}
