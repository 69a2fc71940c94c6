//! [`Store`] on SQLite: every method handed to the writer or to a reader.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use knurl_core::{
    Event, EventId, Link, LinkId, Page, ShortCode, Target, UnixMillis, User, UserId,
    event::NewEvent,
    key::{Key, KeyHash, KeyId},
    link::{Expected, LinkPatch, NewLink},
    page::Listed,
    stats::{Bucket, Dimension, LinkTotal, Share, StatsQuery, TopLink},
    user::{Email, Username},
    visitor::Salt,
};

use super::{
    SqliteStore, acceptances, clicks, counter, events,
    failure::store_error,
    import, keys, links, once, salts, stats,
    tx::Tx,
    users,
    writer::{Care, Outcome},
};
use crate::{
    once::{Candidate, Done, Once, Posted},
    store::*,
};

/// More links than this are looked up on a blocking thread.
const INLINE_TOTALS_MAX: usize = 32;

impl SqliteStore {
    async fn write<T, F>(&self, mut write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.inner.writer.write(Care::Usual, move |tx| write(tx).map(Outcome::Keep)).await
    }

    async fn import<T, F>(&self, mode: ImportMode, mut write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        match mode {
            ImportMode::Commit => self.write(write).await,
            ImportMode::DryRun => self.inner.writer.write(Care::Undoes, move |tx| write(tx).map(Outcome::Undo)).await,
        }
    }
}

#[async_trait::async_trait]
impl Store for SqliteStore {
    async fn create_link(&self, new: NewLink, now: UnixMillis) -> Result<Link> {
        self.write(move |tx| links::create(tx, &new, now)).await
    }

    async fn create_links(&self, new: Vec<NewLink>, now: UnixMillis) -> Result<Vec<Result<Link>>> {
        self.write(move |tx| links::create_all(tx, &new, now)).await
    }

    async fn create_once(&self, once: Once, candidates: Vec<Candidate>, now: UnixMillis) -> Result<Done> {
        self.write(move |tx| once::create(tx, &once, &candidates, now)).await
    }

    async fn recall_once(&self, once: Once) -> Result<Option<Done>> {
        self.inner.readers.point(move |conn| once::recall(conn, &once)).await
    }

    async fn forget_onces(&self, before: UnixMillis, rows_max: u32) -> Result<u64> {
        self.write(move |tx| once::forget(tx, before, rows_max)).await
    }

    async fn link(&self, id: LinkId) -> Result<Option<Link>> {
        self.inner.readers.point(move |conn| links::by_id(conn, id)).await
    }

    async fn link_by_code(&self, domain: &str, code: &ShortCode) -> Result<Option<Link>> {
        let (domain, code) = (domain.to_owned(), code.clone());
        self.inner.readers.point(move |conn| links::by_code(conn, &domain, &code)).await
    }

    async fn link_to(&self, owner: Option<UserId>, target: &Target, now: UnixMillis) -> Result<Option<Link>> {
        let target = target.clone();
        self.inner.readers.long(move |conn| links::to(conn, owner, &target, now)).await
    }

    async fn list_links(&self, filter: LinkFilter, page: Page) -> Result<Listed<Link>> {
        self.inner.readers.long(move |conn| links::list(conn, &filter, page)).await
    }

    async fn update_link(&self, id: LinkId, patch: LinkPatch, now: UnixMillis) -> Result<Option<Link>> {
        self.write(move |tx| links::update(tx, id, &patch, now)).await
    }

    async fn delete_link(&self, id: LinkId, expected: Expected, reason: &str, now: UnixMillis) -> Result<Option<Link>> {
        let reason = reason.to_owned();
        self.write(move |tx| links::delete(tx, id, &expected, &reason, now)).await
    }

    async fn create_user(&self, username: Username, email: Email, now: UnixMillis) -> Result<User> {
        self.write(move |tx| users::create(tx, &username, &email, now)).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.inner.readers.point(move |conn| users::by_id(conn, id)).await
    }

    async fn list_users(&self, page: Page) -> Result<Listed<User>> {
        self.inner.readers.long(move |conn| users::list(conn, page)).await
    }

    async fn update_user(&self, id: UserId, username: Option<Username>, email: Option<Email>) -> Result<Option<User>> {
        self.write(move |tx| users::update(tx, id, username.as_ref(), email.as_ref())).await
    }

    async fn delete_user(&self, id: UserId, now: UnixMillis) -> Result<Option<Vec<ShortCode>>> {
        self.write(move |tx| users::delete(tx, id, now)).await
    }

    async fn post_event_once(&self, once: Once, new: NewEvent) -> Result<Posted> {
        self.write(move |tx| once::post(tx, &once, &new)).await
    }

    async fn post_event(&self, new: NewEvent) -> Result<Event> {
        self.write(move |tx| events::post(tx, &new)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.inner.readers.point(move |conn| events::by_id(conn, id)).await
    }

    async fn list_events(&self, filter: EventFilter, page: Page) -> Result<Listed<Event>> {
        self.inner.readers.long(move |conn| events::list(conn, &filter, page)).await
    }

    async fn apply_clicks(&self, batch: ClickBatch) -> Result<Applied> {
        self.write(move |tx| clicks::apply(tx, &batch)).await
    }

    async fn cursor(&self, spool_id: u128) -> Result<Option<Cursor>> {
        self.inner.readers.point(move |conn| clicks::cursor(conn, spool_id)).await
    }

    async fn undecodable_of(&self, spool_id: u128) -> Result<u64> {
        self.inner.readers.point(move |conn| counter(conn, &undecodable_counter(spool_id))).await
    }

    async fn click_ledger(&self) -> Result<ClickLedger> {
        self.inner.readers.long(clicks::ledger).await
    }

    async fn accept_differences(&self, reason: &str, now: UnixMillis) -> Result<Option<Acceptance>> {
        let reason = reason.to_owned();
        self.write(move |tx| acceptances::accept(tx, &reason, now)).await
    }

    async fn acceptances(&self) -> Result<Vec<Acceptance>> {
        self.inner.readers.long(acceptances::list).await
    }

    async fn purge_clicks(&self, before: UnixMillis, rows_max: u32) -> Result<u64> {
        self.write(move |tx| clicks::purge(tx, before, rows_max)).await
    }

    async fn visitor_salt(&self, day: i64, candidate: Salt) -> Result<Salt> {
        self.write(move |tx| salts::of_day(tx, day, candidate)).await
    }

    async fn buckets(&self, query: StatsQuery) -> Result<Vec<Bucket>> {
        self.inner.readers.long(move |conn| stats::buckets(conn, query)).await
    }

    async fn shares(&self, query: StatsQuery, by: Dimension, limit: u32) -> Result<Vec<Share>> {
        self.inner.readers.long(move |conn| stats::shares(conn, query, by, limit)).await
    }

    async fn top_links(&self, query: StatsQuery, limit: u32) -> Result<Vec<TopLink>> {
        self.inner.readers.long(move |conn| stats::top_links(conn, query, limit)).await
    }

    async fn link_totals(&self, links: &[LinkId]) -> Result<BTreeMap<LinkId, LinkTotal>> {
        let links = links.to_vec();
        if links.len() <= INLINE_TOTALS_MAX {
            return self.inner.readers.point(move |conn| stats::link_totals(conn, &links)).await;
        }
        self.inner.readers.long(move |conn| stats::link_totals(conn, &links)).await
    }

    async fn counts(&self) -> Result<Counts> {
        self.inner.readers.point(stats::counts).await
    }

    async fn create_key(&self, name: &str, hash: KeyHash, now: UnixMillis) -> Result<Key> {
        let name = name.to_owned();
        self.write(move |tx| keys::create(tx, &name, hash, now)).await
    }

    async fn list_keys(&self) -> Result<Vec<Key>> {
        self.inner.readers.long(keys::list).await
    }

    async fn revoke_key(&self, id: KeyId, now: UnixMillis) -> Result<Option<Key>> {
        self.write(move |tx| keys::revoke(tx, id, now)).await
    }

    async fn import_users(&self, rows: Vec<Numbered<User>>, mode: ImportMode) -> Result<Imported> {
        self.import(mode, move |tx| import::users(tx, &rows)).await
    }

    async fn import_links(&self, rows: Vec<Numbered<Link>>, mode: ImportMode) -> Result<Imported> {
        self.import(mode, move |tx| import::links(tx, &rows)).await
    }

    async fn import_events(&self, rows: Vec<Numbered<Event>>, mode: ImportMode) -> Result<Imported> {
        self.import(mode, move |tx| import::events(tx, &rows)).await
    }

    async fn foreign_changes(&self) -> Result<u64> {
        let seen = self.inner.foreign_seen.load(Ordering::Relaxed);
        let now = self
            .write(move |tx| {
                let version: u32 = tx.pragma_query_value(None, "data_version", |row| row.get(0)).map_err(store_error)?;
                // A new connection counts from the start again: opening one is a change by itself.
                let now = (tx.generation() << 32) | u64::from(version);
                if now != seen {
                    tx.recount().map_err(store_error)?;
                }
                Ok(now)
            })
            .await?;
        // Only now: a recount that was not committed is done again.
        self.inner.foreign_seen.store(now, Ordering::Relaxed);
        Ok(now)
    }

    /// SQLite itself says that somebody else was here.
    async fn fold_edits(&self) -> Result<u64> {
        Ok(0)
    }

    async fn ping(&self) -> Result<()> {
        self.write(|tx| tx.add_to_counter("pings", 1).map_err(store_error)).await
    }

    async fn close(&self) {
        self.inner.readers.close().await;
        self.inner.writer.close().await;
    }
}
