//! A link as somebody asks for it: parsed whole, every wrong field named.

use std::borrow::Cow;

use knurl_core::{
    ShortCode, Target, UnixMillis, UserId,
    link::{DEFAULT_DOMAIN, NewLink, RedirectStatus, TITLE_CHARS_MAX},
    target::TargetRules,
};

use super::super::fields::{Fields, Given};
use crate::http::error::Error;

pub(super) const NAMES: &[&str; 10] = &[
    "user_id",
    "original_url",
    "url",
    "title",
    "short_code",
    "custom_code",
    "is_active",
    "redirect_status",
    "expires_at",
    "find_if_exists",
];
const USER_ID: usize = 0;
const ORIGINAL_URL: usize = 1;
const URL: usize = 2;
const TITLE: usize = 3;
const SHORT_CODE: usize = 4;
const CUSTOM_CODE: usize = 5;
const IS_ACTIVE: usize = 6;
const REDIRECT_STATUS: usize = 7;
const EXPIRES_AT: usize = 8;
const FIND_IF_EXISTS: usize = 9;

pub(super) type DraftFields<'a> = Fields<'a, 10>;

/// Which of the two ways of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `POST /urls`: a user and `original_url`.
    Urls,
    /// `POST /shorten`: `url` or `original_url`, by anybody.
    Shorten,
}

#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) target: Target,
    pub(super) owner: Option<UserId>,
    /// The code asked for, and the field that asked; drawn where there is none.
    pub(super) code: Option<(ShortCode, &'static str)>,
    pub(super) find_if_exists: bool,
    title: Option<String>,
    is_active: bool,
    status: RedirectStatus,
    expires_at: Option<UnixMillis>,
}

impl Draft {
    pub(super) fn parse(mut fields: DraftFields<'_>, way: Way, rules: &TargetRules) -> Result<Self, Error> {
        let owner = match way {
            Way::Urls => fields.required_integer(USER_ID),
            Way::Shorten => fields.integer(USER_ID).value(),
        };
        let target = match way {
            Way::Urls => target(&mut fields, ORIGINAL_URL, rules),
            Way::Shorten => target_of_two(&mut fields, rules),
        };
        let code = code(&mut fields);
        let title = title(&mut fields, TITLE).value();
        let is_active = fields.boolean(IS_ACTIVE).unwrap_or(true);
        let status = status(&mut fields, REDIRECT_STATUS).unwrap_or_default();
        let expires_at = expires_at(&mut fields, EXPIRES_AT).value();
        let find_if_exists = fields.boolean(FIND_IF_EXISTS).unwrap_or(false);
        fields.finish()?;
        // Without a target there was an error, and `finish` has told it.
        let Some(target) = target else { return Err(Error::internal("a draft without a target passed")) };
        Ok(Self { target, owner: owner.map(UserId), code, find_if_exists, title, is_active, status, expires_at })
    }

    pub(super) fn to_link(&self, short_code: ShortCode) -> NewLink {
        NewLink {
            domain: DEFAULT_DOMAIN.to_owned(),
            short_code,
            target: self.target.clone(),
            title: self.title.clone(),
            is_active: self.is_active,
            status: self.status,
            owner: self.owner,
            expires_at: self.expires_at,
        }
    }
}

fn target(fields: &mut DraftFields<'_>, index: usize, rules: &TargetRules) -> Option<Target> {
    let text = fields.required_string(index)?;
    parse_target(fields, index, &text, rules)
}

/// `url` and `original_url` are one field under two names; both may be given where they agree.
fn target_of_two(fields: &mut DraftFields<'_>, rules: &TargetRules) -> Option<Target> {
    if !fields.has(ORIGINAL_URL) {
        return target(fields, URL, rules);
    }
    if !fields.has(URL) {
        return target(fields, ORIGINAL_URL, rules);
    }
    let (one, other) = (target(fields, URL, rules), target(fields, ORIGINAL_URL, rules));
    if one.is_some() && other.is_some() && one != other {
        fields.fail(ORIGINAL_URL, "invalid", "url and original_url differ; send one of them.");
    }
    one
}

pub(super) fn parse_target<const N: usize>(
    fields: &mut Fields<'_, N>,
    index: usize,
    text: &str,
    rules: &TargetRules,
) -> Option<Target> {
    Target::parse(text, rules).map_err(|error| fields.fail(index, "invalid_url", format!("The link is refused: {error}."))).ok()
}

/// `short_code` and `custom_code` are one field under two names; both may be given where they agree.
fn code(fields: &mut DraftFields<'_>) -> Option<(ShortCode, &'static str)> {
    let (short, custom) = (fields.string(SHORT_CODE), fields.string(CUSTOM_CODE));
    let (index, text): (usize, Cow<'_, str>) = match (short, custom) {
        (Given::Value(short), Given::Value(custom)) if short != custom => {
            fields.fail(CUSTOM_CODE, "invalid", "short_code and custom_code differ; send one of them.");
            return None;
        }
        (Given::Value(short), _) => (SHORT_CODE, short),
        (_, Given::Value(custom)) => (CUSTOM_CODE, custom),
        _ => return None,
    };
    match ShortCode::custom(&text) {
        Ok(code) => Some((code, NAMES[index])),
        Err(error) => {
            fields.fail(index, "invalid_short_code", format!("This short code cannot be given: {error}."));
            None
        }
    }
}

pub(super) fn title<const N: usize>(fields: &mut Fields<'_, N>, index: usize) -> Given<String> {
    match fields.string(index) {
        Given::Value(text) if text.chars().count() > TITLE_CHARS_MAX => {
            fields.fail(index, "too_long", format!("title has at most {TITLE_CHARS_MAX} characters."));
            Given::Absent
        }
        given => given.map(Cow::into_owned),
    }
}

pub(super) fn status<const N: usize>(fields: &mut Fields<'_, N>, index: usize) -> Option<RedirectStatus> {
    let status = match fields.integer(index) {
        Given::Value(number) => u16::try_from(number).ok().and_then(RedirectStatus::from_u16),
        Given::Null => None,
        Given::Absent => return None,
    };
    if status.is_none() {
        fields.fail(index, "invalid", "redirect_status must be 301, 302, 307 or 308.");
    }
    status
}

pub(super) fn expires_at<const N: usize>(fields: &mut Fields<'_, N>, index: usize) -> Given<UnixMillis> {
    match fields.string(index).map(|text| UnixMillis::parse(&text)) {
        Given::Value(Ok(at)) => Given::Value(at),
        Given::Value(Err(error)) => {
            fields.fail(index, "invalid_time", format!("expires_at is {error}."));
            Given::Absent
        }
        Given::Null => Given::Null,
        Given::Absent => Given::Absent,
    }
}
