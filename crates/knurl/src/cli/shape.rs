//! The JSON of the command line: the fields of the API's objects, times with `Z`. Fields are added, never renamed.

use knurl_core::{Link, User, key::Key, stats::LinkTotal};
use serde::Serialize;

use crate::config::BaseUrl;

#[derive(Debug, Serialize)]
pub(super) struct LinkShape {
    pub(super) id: i64,
    pub(super) user_id: Option<i64>,
    pub(super) short_code: String,
    pub(super) original_url: String,
    pub(super) title: Option<String>,
    pub(super) is_active: bool,
    pub(super) created_at: String,
    pub(super) updated_at: String,
    pub(super) short_url: String,
    pub(super) redirect_status: u16,
    pub(super) expires_at: Option<String>,
    pub(super) click_count: u64,
    pub(super) last_click_at: Option<String>,
}

impl LinkShape {
    pub(super) fn new(link: &Link, base_url: &BaseUrl, total: LinkTotal) -> Self {
        Self {
            id: link.id.0,
            user_id: link.owner.map(|owner| owner.0),
            short_code: link.short_code.as_str().to_owned(),
            original_url: link.target.as_str().to_owned(),
            title: link.title.clone(),
            is_active: link.is_active,
            created_at: link.created_at.to_rfc3339(),
            updated_at: link.updated_at.to_rfc3339(),
            short_url: format!("{}/{}", base_url.0, link.short_code.as_str()),
            redirect_status: link.status.as_u16(),
            expires_at: link.expires_at.map(knurl_core::UnixMillis::to_rfc3339),
            click_count: total.total,
            last_click_at: total.last_click_at.map(knurl_core::UnixMillis::to_rfc3339),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct UserShape {
    pub(super) id: i64,
    pub(super) username: String,
    pub(super) email: String,
    pub(super) created_at: String,
}

impl From<&User> for UserShape {
    fn from(user: &User) -> Self {
        Self { id: user.id.0, username: user.username.clone(), email: user.email.clone(), created_at: user.created_at.to_rfc3339() }
    }
}

/// Never the hash.
#[derive(Debug, Serialize)]
pub(super) struct KeyShape {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) created_at: String,
    pub(super) revoked_at: Option<String>,
    /// Only in the answer to its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
}

impl From<&Key> for KeyShape {
    fn from(key: &Key) -> Self {
        Self {
            id: key.id.0,
            name: key.name.clone(),
            created_at: key.created_at.to_rfc3339(),
            revoked_at: key.revoked_at.map(knurl_core::UnixMillis::to_rfc3339),
            key: None,
        }
    }
}
