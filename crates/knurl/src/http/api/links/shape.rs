//! A link as the API shows it: the contract's fields in the contract's order, ours after them.

use knurl_core::Link;
use serde::{Serialize, Serializer};

use super::super::form::Form;
use crate::config::BaseUrl;

#[derive(Serialize)]
pub(super) struct LinkOut<'a> {
    id: i64,
    user_id: Option<i64>,
    short_code: &'a str,
    original_url: &'a str,
    title: Option<&'a str>,
    is_active: bool,
    created_at: String,
    updated_at: String,
    short_url: ShortUrl<'a>,
    /// Left out where it could not be read after a change that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    click_count: Option<u64>,
    redirect_status: u16,
    expires_at: Option<String>,
}

impl<'a> LinkOut<'a> {
    pub(super) fn of(link: &'a Link, click_count: Option<u64>, base_url: &'a BaseUrl, form: Form) -> Self {
        Self {
            id: link.id.0,
            user_id: link.owner.map(|owner| owner.0),
            short_code: link.short_code.as_str(),
            original_url: link.target.as_str(),
            title: link.title.as_deref(),
            is_active: link.is_active,
            created_at: form.time(link.created_at),
            updated_at: form.time(link.updated_at),
            short_url: ShortUrl { base_url: &base_url.0, short_code: link.short_code.as_str() },
            click_count,
            redirect_status: link.status.as_u16(),
            expires_at: link.expires_at.map(|at| form.time(at)),
        }
    }
}

/// Written straight into the answer.
struct ShortUrl<'a> {
    base_url: &'a str,
    short_code: &'a str,
}

impl Serialize for ShortUrl<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.base_url, self.short_code))
    }
}
