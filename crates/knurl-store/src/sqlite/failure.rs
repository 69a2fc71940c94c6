//! SQLite's result codes as [`StoreError`]s: what the caller can do about it, with the source kept.

use rusqlite::{ErrorCode, ffi};

use crate::{Conflict, StoreError};

pub(crate) fn store_error(error: rusqlite::Error) -> StoreError {
    match class(&error) {
        Class::Unavailable => StoreError::Unavailable(Box::new(error)),
        Class::Full => StoreError::Full(Box::new(error)),
        Class::Corrupt => StoreError::Corrupt(error.to_string()),
        Class::Conflict(conflict) => StoreError::Conflict(conflict),
        Class::Moving => StoreError::Moving,
        Class::Internal => StoreError::Internal(Box::new(error)),
    }
}

/// Whether the connection that said this can no longer be trusted: after a failed write or sync nobody knows what the kernel kept.
pub(super) fn distrusts_connection(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_) | StoreError::Full(_))
}

pub(super) fn is_interrupt(error: &StoreError) -> bool {
    sqlite_code(error) == Some(ErrorCode::OperationInterrupted)
}

/// Another process holds a lock for longer than the busy timeout: nothing is wrong with the database or the connection.
pub fn is_locked(error: &StoreError) -> bool {
    matches!(sqlite_code(error), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// The file cannot be read or written as it is: not somebody else's lock, and not a lack of room.
pub(crate) fn is_io(error: &StoreError) -> bool {
    let code = sqlite_code(error);
    matches!(code, Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly))
}

fn sqlite_code(error: &StoreError) -> Option<ErrorCode> {
    let StoreError::Unavailable(source) = error else {
        return None;
    };
    source.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code)
}

const FENCE: &str = "knurl: the database is being moved";

enum Class {
    Unavailable,
    Full,
    Corrupt,
    Conflict(Conflict),
    Moving,
    Internal,
}

fn class(error: &rusqlite::Error) -> Class {
    let rusqlite::Error::SqliteFailure(failure, message) = error else {
        return Class::Internal;
    };
    // Growing the shared-memory index is the one write whose "no space" SQLite reports as an I/O error.
    if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE {
        return Class::Full;
    }
    match failure.code {
        ErrorCode::DiskFull => Class::Full,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Class::Corrupt,
        // A trigger of the fence (fences/moving_fence_writes.sql) says so.
        ErrorCode::ConstraintViolation if message.as_deref() == Some(FENCE) => Class::Moving,
        ErrorCode::ConstraintViolation => conflict(message.as_deref().unwrap_or_default()).map_or(Class::Internal, Class::Conflict),
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::PermissionDenied
        | ErrorCode::ReadOnly
        | ErrorCode::OutOfMemory
        | ErrorCode::OperationInterrupted
        | ErrorCode::OperationAborted
        | ErrorCode::SchemaChanged
        | ErrorCode::NoLargeFileSupport => Class::Unavailable,
        _ => Class::Internal,
    }
}

/// `UNIQUE constraint failed: users.username_key, users.username_twin`: the column tells which.
fn conflict(message: &str) -> Option<Conflict> {
    if message.contains("links.short_code") {
        return Some(Conflict::ShortCode);
    }
    if message.contains("users.username_key") {
        return Some(Conflict::Username);
    }
    message.contains("users.email_key").then_some(Conflict::Email)
}
