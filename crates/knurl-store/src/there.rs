//! What an imported row is to the row here that has its id: decided purely, for both dialects.

use knurl_core::{Link, UnixMillis, User};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum There {
    Same,
    /// The same row with other content: changed here since, or corrected in the file. The columns that differ, as the files name them.
    Changed(Vec<&'static str>),
    /// The same row, deleted here since.
    Deleted,
    Another,
}

/// Both names of a user can be edited, so only when it was created tells.
pub(crate) fn user(there: &User, row: &User) -> There {
    if there.created_at != row.created_at {
        return There::Another;
    }
    differing([("username", there.username != row.username), ("email", there.email != row.email)])
}

/// `gone`: when the user that had this id, and was deleted here, had been created. An id is never given twice.
pub(crate) fn deleted_user(gone: UnixMillis, row: &User) -> There {
    if gone == row.created_at { There::Deleted } else { There::Another }
}

/// What never changes of a link: domain, code, `created_at`.
pub(crate) fn link(there: &Link, row: &Link) -> There {
    let identity = |link: &Link| (link.domain.clone(), link.short_code.clone(), link.created_at);
    if identity(there) != identity(row) {
        return There::Another;
    }
    if there.deleted_at.is_some() && row.deleted_at.is_none() {
        return There::Deleted;
    }
    let title = |link: &Link| link.title.clone().unwrap_or_default();
    let content = differing([
        ("user_id", there.owner != row.owner),
        ("original_url", there.target != row.target),
        ("title", title(there) != title(row)),
        ("is_active", there.is_active != row.is_active),
        ("redirect_status", there.status != row.status),
        ("expires_at", there.expires_at != row.expires_at),
    ]);
    // Every change moves it: worth a word only where nothing else is.
    if content == There::Same { differing([("updated_at", there.updated_at != row.updated_at)]) } else { content }
}

fn differing<const N: usize>(columns: [(&'static str, bool); N]) -> There {
    let fields: Vec<_> = columns.into_iter().filter(|(_, differs)| *differs).map(|(column, _)| column).collect();
    if fields.is_empty() { There::Same } else { There::Changed(fields) }
}
