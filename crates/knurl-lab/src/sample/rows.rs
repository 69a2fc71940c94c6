//! Rows of a sample: user, link and event number n, each computed from the seed alone.

use serde::Serialize;

use super::{
    SampleSpec,
    words::{ADJECTIVES, HOSTS, NOUNS, REASONS, TITLES},
};
use crate::{
    dice::Dice,
    shuffle::{Codes, Shuffle},
};

const USER: u64 = 1;
const LINK: u64 = 2;
const EVENT: u64 = 3;

const DAY_S: u64 = 86_400;
/// 2024-01-01T00:00:00Z: nobody signed up earlier.
const FIRST_USER_S: u64 = 1_704_067_200;
const USERS_SPAN_S: u64 = 540 * DAY_S;
/// 2025-01-01T00:00:00Z: where odd links begin, whoever owns them.
const FIRST_LINK_S: u64 = 1_735_689_600;
const LINKS_SPAN_S: u64 = 420 * DAY_S;

/// Of the events that are not `created`, this share deletes a link.
const DELETES_PER_MILLE: u64 = 150;
const DUPLICATE_NAME_PER_MILLE: u64 = 20;
const DUPLICATE_PERSON_PER_MILLE: u64 = 2;
const INACTIVE_PER_MILLE: u64 = 100;

#[derive(Clone, Debug)]
pub struct UserRow {
    pub id: u64,
    pub username: String,
    pub email: String,
    created_s: u64,
}

#[derive(Clone, Debug)]
pub struct LinkRow {
    pub id: u64,
    pub user_id: u64,
    pub short_code: String,
    pub target: String,
    pub title: String,
    pub is_active: bool,
    created_s: u64,
    updated_s: u64,
}

#[derive(Clone, Debug)]
pub struct EventRow {
    pub id: u64,
    pub link_id: u64,
    pub user_id: u64,
    pub event_type: &'static str,
    at_s: u64,
    pub details: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Details<'a> {
    Created { short_code: &'a str, original_url: &'a str },
    Updated { field: &'a str, new_value: &'a str },
    Deleted { reason: &'a str },
}

/// A seed and its shape; asks for rows by their number, from 0.
#[derive(Debug)]
pub struct Sample {
    spec: SampleSpec,
    codes: Codes,
    /// Which links the `deleted` events take, in order.
    doomed: Shuffle,
    created: u64,
    updated: u64,
    deleted: u64,
}

impl Sample {
    pub fn new(spec: &SampleSpec) -> Self {
        let created = spec.events.min(spec.links);
        let deleted = ((spec.events - created) * DELETES_PER_MILLE / 1000).min(spec.links);
        Self {
            spec: *spec,
            codes: Codes::new(spec.seed),
            doomed: Shuffle::new(spec.links, spec.seed, EVENT),
            created,
            updated: spec.events - created - deleted,
            deleted,
        }
    }

    /// The short code of link number `n`, as in the file.
    pub fn code(&self, n: u64) -> String {
        self.codes.code(n).iter().map(|&byte| char::from(byte)).collect()
    }

    fn plain_user(&self, n: u64) -> UserRow {
        let mut dice = Dice::new(self.spec.seed, &[USER, n]);
        let username = format!("{}{}{}", dice.pick(ADJECTIVES), dice.pick(NOUNS), n + 1);
        let email = format!("{username}@{}", dice.pick(HOSTS));
        UserRow { id: n + 1, username, email, created_s: FIRST_USER_S + dice.below(USERS_SPAN_S) }
    }

    pub fn user(&self, n: u64) -> UserRow {
        let mut user = self.plain_user(n);
        let mut dice = Dice::new(self.spec.seed, &[USER, n, 1]);
        if !self.spec.odd || n == 0 {
            return user;
        }
        let roll = dice.below(1000);
        let twin = self.plain_user(dice.below(n));
        if roll < DUPLICATE_PERSON_PER_MILLE {
            user.email = twin.email;
            user.username = twin.username;
        } else if roll < DUPLICATE_PERSON_PER_MILLE + DUPLICATE_NAME_PER_MILLE {
            user.username = twin.username;
        }
        user
    }

    fn is_doomed(&self, n: u64) -> bool {
        self.doomed.inverse(n) < self.deleted
    }

    pub fn link(&self, n: u64) -> LinkRow {
        let mut dice = Dice::new(self.spec.seed, &[LINK, n]);
        let owner = dice.below(self.spec.users);
        let target = format!("https://{}/{}/{}/{}", dice.pick(HOSTS), dice.pick(ADJECTIVES), dice.pick(NOUNS), n + 1);
        let title = format!("{} {}", dice.pick(TITLES), dice.pick(NOUNS));
        let created_s = if self.spec.odd {
            FIRST_LINK_S + dice.below(LINKS_SPAN_S)
        } else {
            self.plain_user(owner).created_s + 60 + dice.below(LINKS_SPAN_S)
        };
        let forgotten = dice.chance(INACTIVE_PER_MILLE);
        let is_active = !forgotten && (self.spec.odd || !self.is_doomed(n));
        LinkRow {
            id: n + 1,
            user_id: owner + 1,
            short_code: self.code(n),
            target,
            title,
            is_active,
            created_s,
            updated_s: created_s + dice.below(120 * DAY_S),
        }
    }

    pub fn event(&self, n: u64) -> EventRow {
        let mut dice = Dice::new(self.spec.seed, &[EVENT, n]);
        let (link, event_type) = if n < self.created {
            (self.link(n), "created")
        } else if n < self.created + self.updated {
            (self.link(dice.below(self.spec.links)), "updated")
        } else {
            (self.link(self.doomed.forward(n - self.created - self.updated)), "deleted")
        };
        let at_s = match event_type {
            "created" => link.created_s,
            _ if self.spec.odd => FIRST_LINK_S + dice.below(LINKS_SPAN_S),
            _ => link.created_s + 1 + dice.below(LINKS_SPAN_S / 2),
        };
        let (title, target);
        let details = match event_type {
            "created" => Details::Created { short_code: &link.short_code, original_url: &link.target },
            "updated" if dice.chance(500) => {
                title = format!("{} {}", dice.pick(TITLES), dice.pick(NOUNS));
                Details::Updated { field: "title", new_value: &title }
            }
            "updated" => {
                target = format!("https://{}/{}/{}", dice.pick(HOSTS), dice.pick(NOUNS), dice.below(10_000));
                Details::Updated { field: "original_url", new_value: &target }
            }
            _ => Details::Deleted { reason: dice.pick(REASONS) },
        };
        let details = serde_json::to_string(&details).expect("a struct of strings is always JSON");
        EventRow { id: n + 1, link_id: link.id, user_id: link.user_id, event_type, at_s, details }
    }
}

fn csv_time(seconds: u64) -> String {
    knurl_core::UnixMillis(i64::try_from(seconds * 1000).expect("sample times end in this century")).to_csv()
}

impl UserRow {
    pub(super) fn into_csv(self) -> Vec<String> {
        vec![self.id.to_string(), self.username, self.email, csv_time(self.created_s)]
    }
}

impl LinkRow {
    pub(super) fn into_csv(self) -> Vec<String> {
        let is_active = if self.is_active { "True" } else { "False" }.to_owned();
        let (created, updated) = (csv_time(self.created_s), csv_time(self.updated_s));
        vec![self.id.to_string(), self.user_id.to_string(), self.short_code, self.target, self.title, is_active, created, updated]
    }
}

impl EventRow {
    pub(super) fn into_csv(self) -> Vec<String> {
        let at = csv_time(self.at_s);
        vec![self.id.to_string(), self.link_id.to_string(), self.user_id.to_string(), self.event_type.to_owned(), at, self.details]
    }
}
