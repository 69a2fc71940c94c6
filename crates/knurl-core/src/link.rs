//! Links, and what a visitor of one gets: [`decide`].

use crate::{short_code::ShortCode, target::Target, time::UnixMillis, user::UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub i64);

/// The domain of links that name none: every host we answer on.
pub const DEFAULT_DOMAIN: &str = "";
pub const TITLE_CHARS_MAX: usize = 512;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedirectStatus {
    MovedPermanently301,
    #[default]
    Found302,
    Temporary307,
    Permanent308,
}

impl RedirectStatus {
    pub fn from_u16(status: u16) -> Option<Self> {
        Some(match status {
            301 => Self::MovedPermanently301,
            302 => Self::Found302,
            307 => Self::Temporary307,
            308 => Self::Permanent308,
            _ => return None,
        })
    }

    pub fn as_u16(self) -> u16 {
        match self {
            Self::MovedPermanently301 => 301,
            Self::Found302 => 302,
            Self::Temporary307 => 307,
            Self::Permanent308 => 308,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub id: LinkId,
    pub domain: String,
    pub short_code: ShortCode,
    pub target: Target,
    pub title: Option<String>,
    pub is_active: bool,
    pub status: RedirectStatus,
    pub owner: Option<UserId>,
    pub expires_at: Option<UnixMillis>,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
    /// Set when deleted: 404 everywhere, its code never given again, its events kept.
    pub deleted_at: Option<UnixMillis>,
    /// Grows by one with every change.
    pub version: i64,
}

/// A link about to be created.
#[derive(Clone, Debug)]
pub struct NewLink {
    pub domain: String,
    pub short_code: ShortCode,
    pub target: Target,
    pub title: Option<String>,
    pub is_active: bool,
    pub status: RedirectStatus,
    pub owner: Option<UserId>,
    pub expires_at: Option<UnixMillis>,
}

impl NewLink {
    /// The link as it is right after its creation.
    pub fn into_link(self, id: LinkId, at: UnixMillis) -> Link {
        Link {
            id,
            domain: self.domain,
            short_code: self.short_code,
            target: self.target,
            title: self.title,
            is_active: self.is_active,
            status: self.status,
            owner: self.owner,
            expires_at: self.expires_at,
            created_at: at,
            updated_at: at,
            deleted_at: None,
            version: 1,
        }
    }
}

/// Which versions of a link a change is meant for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it has become.
    #[default]
    Any,
    OneOf(Vec<i64>),
}

impl Expected {
    pub fn admits(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

/// A change: `None` leaves the field as it is.
#[derive(Clone, Debug, Default)]
pub struct LinkPatch {
    /// Else nothing is changed.
    pub expected: Expected,
    pub target: Option<Target>,
    pub title: Option<Option<String>>,
    pub is_active: Option<bool>,
    pub status: Option<RedirectStatus>,
    pub expires_at: Option<Option<UnixMillis>>,
}

/// What a visitor gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Redirect(RedirectStatus),
    /// Inactive or deleted: as if it had never been.
    NotFound,
    /// Expired.
    Gone,
}

/// Pure: the link's state, and now.
pub fn decide(is_active: bool, status: RedirectStatus, expires_at: Option<UnixMillis>, now: UnixMillis) -> Decision {
    if !is_active {
        return Decision::NotFound;
    }
    match expires_at {
        Some(at) if at <= now => Decision::Gone,
        _ => Decision::Redirect(status),
    }
}
