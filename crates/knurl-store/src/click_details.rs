//! The `details` of a click event: what the drain writes, and what is understood of those that clients bring.

use knurl_core::click::Purpose;

use crate::{json::Object, store::DeliveredClick};

/// Into a buffer that is used again for every row.
pub(crate) fn write<'b>(buffer: &'b mut String, delivered: &DeliveredClick) -> &'b str {
    let (click, agent) = (&delivered.click, delivered.agent);
    let purpose = match click.purpose {
        Purpose::Visit => "visit",
        Purpose::Prefetch => "prefetch",
    };
    Object::begin(buffer)
        .text("short_code", &click.short_code)
        .text("original_url", &click.target)
        .text_or_null("referrer", click.referrer.as_deref())
        .text_or_null("user_agent", click.user_agent.as_deref())
        .text("agent", agent.class.as_str())
        .text("browser", agent.browser)
        .text("os", agent.os)
        .text("purpose", purpose)
        .end()
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
