//! Users: who owns links.

use crate::time::UnixMillis;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub i64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub username: String,
    pub email: String,
    pub created_at: UnixMillis,
}

/// A non-blank name of at most 255 characters without control characters. Kept as given; compared case-insensitively.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(Box<str>);

/// An e-mail address: `local@host`, at most 254 bytes, no blanks or control characters. Kept as given; compared case-insensitively.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    #[error("username must be a non-empty string of at most 255 characters")]
    Username,
    #[error("email must be a valid e-mail address")]
    Email,
}

impl Username {
    pub fn parse(_text: &str) -> Result<Self, UserError> {
        todo!("core")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Email {
    pub fn parse(_text: &str) -> Result<Self, UserError> {
        todo!("core")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key uniqueness is judged by: Unicode lower case.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}
