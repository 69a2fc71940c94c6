//! The `details` of a click event: what the drain writes, and what is understood of those that clients bring.

use knurl_core::click::Purpose;
use serde::Serialize;

use crate::{
    StoreError,
    store::{DeliveredClick, Result},
};

#[derive(Serialize)]
struct Details<'a> {
    short_code: &'a str,
    original_url: &'a str,
    referrer: Option<&'a str>,
    user_agent: Option<&'a str>,
    agent: &'static str,
    browser: &'static str,
    os: &'static str,
    purpose: &'static str,
}

/// Into a buffer that is used again for every row.
pub(crate) fn write<'b>(buffer: &'b mut Vec<u8>, delivered: &DeliveredClick) -> Result<&'b str> {
    let click = &delivered.click;
    let details = Details {
        short_code: &click.short_code,
        original_url: &click.target,
        referrer: click.referrer.as_deref(),
        user_agent: click.user_agent.as_deref(),
        agent: delivered.agent.class.as_str(),
        browser: delivered.agent.browser,
        os: delivered.agent.os,
        purpose: match click.purpose {
            Purpose::Visit => "visit",
            Purpose::Prefetch => "prefetch",
        },
    };
    buffer.clear();
    serde_json::to_writer(&mut *buffer, &details).map_err(|e| StoreError::Internal(Box::new(e)))?;
    std::str::from_utf8(buffer).map_err(|e| StoreError::Internal(Box::new(e)))
}

/// The facts a roll-up needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) referrer: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) prefetch: bool,
}

/// Whatever is not there, or not a string, is unknown. Classes a client names itself are not believed: the vocabulary is ours.
pub(crate) fn read(details: Option<&str>) -> Told {
    let Some(Ok(details)) = details.map(serde_json::from_str::<serde_json::Value>) else {
        return Told::default();
    };
    let text = |name: &str| details.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    Told {
        referrer: text("referrer"),
        user_agent: text("user_agent"),
        prefetch: text("purpose").is_some_and(|purpose| purpose == "prefetch"),
    }
}
