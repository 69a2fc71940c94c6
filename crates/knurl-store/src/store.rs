//! The [`Store`] trait and the shapes that pass through it.

use std::collections::BTreeMap;

use knurl_core::{
    Event, EventId, Link, LinkId, Page, ShortCode, Target, UnixMillis, User, UserId,
    click::OwnedClick,
    event::NewEvent,
    key::{Key, KeyHash, KeyId},
    link::{Expected, LinkPatch, NewLink},
    page::Listed,
    stats::{Bucket, Dimension, LinkTotal, Share, StatsQuery, TopLink},
    user::{Email, Username},
    visitor::Salt,
};

use crate::{
    StoreError,
    once::{Candidate, Done, Once, Posted},
};

pub type Result<T> = std::result::Result<T, StoreError>;

#[derive(Clone, Debug, Default)]
pub struct LinkFilter {
    pub owner: Option<UserId>,
    pub is_active: Option<bool>,
    pub short_code: Option<String>,
    /// Case-insensitive "contains".
    pub title: Option<String>,
    /// Case-insensitive "contains".
    pub target: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub link: Option<LinkId>,
    pub user: Option<UserId>,
    pub event_type: Option<String>,
}

/// The spool's identity (it travels with the disk) and how far its records have been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub spool_id: u128,
    pub segment: u64,
    pub offset: u64,
    /// Records delivered from this spool, ever.
    pub seq: u64,
}

/// A click, enriched by the drain.
#[derive(Clone, Debug)]
pub struct DeliveredClick {
    pub click: OwnedClick,
    pub agent: knurl_core::agent::Agent,
    /// Host of the referrer; `None` is direct.
    pub referrer_host: Option<String>,
}

/// One drained batch: applied as a whole or not at all.
#[derive(Clone, Debug)]
pub struct ClickBatch {
    /// Where the batch begins; must be what the store has, else nothing is applied.
    pub from: Cursor,
    pub to: Cursor,
    pub clicks: Vec<DeliveredClick>,
    /// Records in `from..to` that could not be decoded, or whose clicks somebody has removed with all the rest: counted, so that `seq`
    /// stays honest.
    pub undecodable: u64,
}

/// The running total of a spool's undecodable records.
pub(crate) fn undecodable_counter(spool_id: u128) -> String {
    format!("clicks_undecodable of {spool_id:032x}")
}

impl ClickBatch {
    /// Every record of the range is a click or undecodable, else the conservation law would break here and be noticed much later.
    pub(crate) fn undecodable_found(&self) -> Result<i64> {
        let records = self.to.seq.checked_sub(self.from.seq);
        let Some(found) = records.and_then(|records| records.checked_sub(self.clicks.len() as u64)) else {
            return Err(StoreError::Internal("a batch holds more clicks than records".into()));
        };
        if found != self.undecodable {
            tracing::error!(said = self.undecodable, found, "a batch miscounts its undecodable records; counted as found");
        }
        Ok(found as i64)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Applied,
    /// The store's cursor is not `from` (the reply to an earlier commit was lost): nothing was done; go on from here.
    CursorIs(Cursor),
}

/// The store's half of the conservation law.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClickLedger {
    /// Sum of all cursors' `seq`.
    pub delivered: u64,
    /// Of those, records that could not be decoded, or that were delivered to a database which somebody has emptied since.
    pub undecodable: u64,
    /// Of those, clicks of links that are not there any more, although Knurl removes none, or whose ids are other links' now: counted,
    /// and nobody's.
    pub unlinked: u64,
    /// Click events in the table that came from a spool.
    pub raw: u64,
    /// Click events from a spool that retention has removed.
    pub purged: u64,
    /// Click events that came from an import or from `POST /events` (in the table or purged).
    pub external: u64,
    /// Sum of the all-time roll-ups, external ones included. The law: `rolled_up = raw + purged + external` and
    /// `delivered = raw + purged + undecodable + unlinked`, both but for what is accepted.
    pub rolled_up: u64,
    /// What somebody has acknowledged as removed by hand, and the two sums above lack (see [`Acceptance`]).
    pub accepted_events: i64,
    pub accepted_roll_ups: i64,
}

impl ClickLedger {
    /// What the two sums lack: `delivered = raw + purged + undecodable + unlinked + …` and `rolled_up = raw + purged + external + …`, accepted or not.
    pub fn differences(&self) -> (i64, i64) {
        let sum = |figures: &[u64]| figures.iter().copied().fold(0_i64, i64::saturating_add_unsigned);
        let events = 0_i64.saturating_add_unsigned(self.delivered) - sum(&[self.raw, self.purged, self.undecodable, self.unlinked]);
        let roll_ups = 0_i64.saturating_add_unsigned(self.rolled_up) - sum(&[self.raw, self.purged, self.external]);
        (events, roll_ups)
    }
}

/// Somebody's word that click events or roll-ups were removed by hand: the law holds without them from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    pub at: UnixMillis,
    pub reason: String,
    /// By how much the first sum was short; negative where there were more events than deliveries.
    pub events: i64,
    pub roll_ups: i64,
}

/// A row of an import, with the line it stands on.
#[derive(Clone, Debug)]
pub struct Numbered<T> {
    pub line: u64,
    pub row: T,
}

impl Acceptance {
    /// `None` where there is nothing to accept.
    pub(crate) fn of(ledger: &ClickLedger, reason: &str, at: UnixMillis) -> Option<Self> {
        let (events, roll_ups) = ledger.differences();
        let (events, roll_ups) = (events - ledger.accepted_events, roll_ups - ledger.accepted_roll_ups);
        ((events, roll_ups) != (0, 0)).then(|| Self { at, reason: reason.to_owned(), events, roll_ups })
    }
}

/// What became of one imported row that was not simply inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowNote {
    pub line: u64,
    pub field: &'static str,
    pub kind: RowNoteKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowNoteKind {
    /// The same row (same id, same content) is there already: nothing to do.
    AlreadyThere,
    /// The same row is there with another `field`, changed here since or corrected in the file, and is left as it is. One note a field.
    LeftAsIs,
    /// The same row was there, was deleted since, and stays deleted.
    StaysDeleted,
    /// Another row has this id: refused.
    IdTaken,
    /// Not between 1 and 2^53 - 1: refused.
    IdOutOfRange,
    /// Taken, although an earlier row has the same `field` (username, email or short_code); a duplicate of the file itself or of
    /// the store. A link whose code is another's already keeps it in its API object, but the earlier one answers redirects.
    Duplicate,
    /// Taken, although the user or link it names does not exist.
    DanglingReference,
    /// Taken, although it is older than the user or link it belongs to.
    OlderThanParent,
    /// A `deleted` event, taken, although its link is there and redirects.
    LinkStillActive,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub inserted: u64,
    pub notes: Vec<RowNote>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    Commit,
    /// Everything is done and judged, then rolled back.
    DryRun,
}

/// What Knurl asks of a database. Cancel-safe: a caller that goes away leaves its write to complete or not as a whole.
#[async_trait::async_trait]
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    // -- links ------------------------------------------------------------------------------------------------------------
    /// Creates the link and its `created` event. `Conflict(ShortCode)` where the code is taken (deleted links keep theirs),
    /// `MissingReference(User)` where the owner does not exist.
    async fn create_link(&self, new: NewLink, now: UnixMillis) -> Result<Link>;
    /// As many [`Store::create_link`]s in one transaction; each row succeeds or fails by itself.
    async fn create_links(&self, new: Vec<NewLink>, now: UnixMillis) -> Result<Vec<Result<Link>>>;
    /// Creates the links, each judged by itself, and remembers what became of them, in one transaction. Asked for again it changes
    /// nothing and tells what was remembered. `Reused` where the key is another request's, `InFlight` where another transaction is at it.
    async fn create_once(&self, once: Once, candidates: Vec<Candidate>, now: UnixMillis) -> Result<Done>;
    /// What is remembered; `None`: it was never done, or is forgotten.
    async fn recall_once(&self, once: Once) -> Result<Option<Done>>;
    /// Forgets up to `rows_max` creates done before `before`, oldest first. Returns how many.
    async fn forget_onces(&self, before: UnixMillis, rows_max: u32) -> Result<u64>;
    /// `None` where there is no such link or it is deleted.
    async fn link(&self, id: LinkId) -> Result<Option<Link>>;
    /// The redirect's point read: the link that answers this code, whatever its state; `None` also where it is deleted.
    async fn link_by_code(&self, domain: &str, code: &ShortCode) -> Result<Option<Link>>;
    /// The oldest link of this owner (`None`: of nobody) to exactly this target that redirects at `now`.
    async fn link_to(&self, owner: Option<UserId>, target: &Target, now: UnixMillis) -> Result<Option<Link>>;
    /// Ascending id, deleted ones left out.
    async fn list_links(&self, filter: LinkFilter, page: Page) -> Result<Listed<Link>>;
    /// Changes what differs and writes one `updated` event for each changed field. `None`: no such link; `Outdated`: it has another
    /// version than `patch.expected`, judged in the transaction that changes it.
    async fn update_link(&self, id: LinkId, patch: LinkPatch, now: UnixMillis) -> Result<Option<Link>>;
    /// Marks the link deleted, with its `deleted` event (`{"reason": …}`). `None`: no such link; else the link as it was. `Outdated` as
    /// above.
    async fn delete_link(&self, id: LinkId, expected: Expected, reason: &str, now: UnixMillis) -> Result<Option<Link>>;

    // -- users ------------------------------------------------------------------------------------------------------------
    async fn create_user(&self, username: Username, email: Email, now: UnixMillis) -> Result<User>;
    async fn user(&self, id: UserId) -> Result<Option<User>>;
    async fn list_users(&self, page: Page) -> Result<Listed<User>>;
    async fn update_user(&self, id: UserId, username: Option<Username>, email: Option<Email>) -> Result<Option<User>>;
    /// Deletes the user and, in the same transaction, the user's links (with their events). `None`: no such user; else the codes
    /// that no longer redirect.
    async fn delete_user(&self, id: UserId, now: UnixMillis) -> Result<Option<Vec<ShortCode>>>;

    // -- events -----------------------------------------------------------------------------------------------------------
    /// A client's event. A `click` is rolled up in the same transaction and counted as external.
    async fn post_event(&self, new: NewEvent) -> Result<Event>;
    /// As [`Store::post_event`], once: as [`Store::create_once`] makes links.
    async fn post_event_once(&self, once: Once, new: NewEvent) -> Result<Posted>;
    async fn event(&self, id: EventId) -> Result<Option<Event>>;
    async fn list_events(&self, filter: EventFilter, page: Page) -> Result<Listed<Event>>;

    // -- clicks -----------------------------------------------------------------------------------------------------------
    /// Raw click events, roll-ups and the cursor, in one transaction. A click counts for the link that has its id *and* its code; one of a link
    /// that somebody has removed is [`ClickLedger::unlinked`], whoever has the id now.
    async fn apply_clicks(&self, batch: ClickBatch) -> Result<Applied>;
    async fn cursor(&self, spool_id: u128) -> Result<Option<Cursor>>;
    async fn click_ledger(&self) -> Result<ClickLedger>;
    /// Of [`ClickLedger::undecodable`] those that came from this spool.
    async fn undecodable_of(&self, spool_id: u128) -> Result<u64>;
    /// Acknowledges what the sums of the ledger lack and nobody has acknowledged yet. `None` where they lack nothing.
    async fn accept_differences(&self, reason: &str, now: UnixMillis) -> Result<Option<Acceptance>>;
    /// Oldest first.
    async fn acceptances(&self) -> Result<Vec<Acceptance>>;
    /// Removes up to `rows_max` click events older than `before`, oldest first; roll-ups stay. Returns how many.
    async fn purge_clicks(&self, before: UnixMillis, rows_max: u32) -> Result<u64>;
    /// The salt of a day: the stored one, else `candidate`, stored. Salts of days before `day - 1` are destroyed.
    async fn visitor_salt(&self, day: i64, candidate: Salt) -> Result<Salt>;

    // -- stats ------------------------------------------------------------------------------------------------------------
    /// Non-empty buckets, ascending.
    async fn buckets(&self, query: StatsQuery) -> Result<Vec<Bucket>>;
    /// The largest `limit` shares, descending, then by value. Day resolution.
    async fn shares(&self, query: StatsQuery, by: Dimension, limit: u32) -> Result<Vec<Share>>;
    /// Links with most clicks in the range (day resolution), descending, then ascending id.
    async fn top_links(&self, query: StatsQuery, limit: u32) -> Result<Vec<TopLink>>;
    /// All-time totals; links without clicks are not in the map.
    async fn link_totals(&self, links: &[LinkId]) -> Result<BTreeMap<LinkId, LinkTotal>>;
    /// Users, links (not deleted) and events there are.
    async fn counts(&self) -> Result<Counts>;

    // -- keys -------------------------------------------------------------------------------------------------------------
    /// Creates the key, or returns the one that has this hash already.
    async fn create_key(&self, name: &str, hash: KeyHash, now: UnixMillis) -> Result<Key>;
    /// Revoked keys included.
    async fn list_keys(&self) -> Result<Vec<Key>>;
    async fn revoke_key(&self, id: KeyId, now: UnixMillis) -> Result<Option<Key>>;

    // -- import -----------------------------------------------------------------------------------------------------------
    /// One chunk in one transaction: ids and times kept, sequences moved past them. Importing the same chunk again changes nothing,
    /// whatever became of its rows meanwhile.
    async fn import_users(&self, rows: Vec<Numbered<User>>, mode: ImportMode) -> Result<Imported>;
    /// Writes no events (the events file has them).
    async fn import_links(&self, rows: Vec<Numbered<Link>>, mode: ImportMode) -> Result<Imported>;
    /// Clicks among them are rolled up and counted as external.
    async fn import_events(&self, rows: Vec<Numbered<Event>>, mode: ImportMode) -> Result<Imported>;

    // -- coherence and health ---------------------------------------------------------------------------------------------
    /// What time it is where the database is; `None` where it has no clock of its own. What belongs to all nodes may be removed for its age
    /// only where both clocks say so.
    async fn time(&self) -> Result<Option<UnixMillis>> {
        Ok(None)
    }
    /// A number that changes when somebody else than this `Store` has changed the database: caches are dropped then.
    async fn foreign_changes(&self) -> Result<u64>;
    /// Keeps what `foreign_changes` looks at small, where it grows with every process that edits. Rarely called; it may let others see a change
    /// that is none. Returns how much was put away.
    async fn fold_edits(&self) -> Result<u64>;
    /// Proves that a write would go through (and is the canary of the writer).
    async fn ping(&self) -> Result<()>;
    /// Finishes what is queued, checkpoints, closes. Later calls are `Unavailable`.
    async fn close(&self);
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub users: u64,
    pub links: u64,
    pub events: u64,
}
