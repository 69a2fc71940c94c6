//! [`Store`] on PostgreSQL: point reads on the shared connections, lists on those for long reads, writes each in a transaction.

use std::{collections::BTreeMap, sync::Arc};

use knurl_core::{
    Event, EventId, EventType, Link, LinkId, Page, ShortCode, Target, UnixMillis, User, UserId,
    event::NewEvent,
    key::{Key, KeyHash, KeyId},
    link::{Expected, LinkPatch, NewLink},
    page::Listed,
    stats::{Bucket, Dimension, LinkTotal, Share, StatsQuery, TopLink},
    user::{Email, Username},
    visitor::Salt,
};

use super::{
    PostgresStore, acceptances, clicks, events,
    failure::silent,
    import,
    import::IdsOf,
    keys, links, once, retention, salts, stats, totals,
    tx::{Ending, no_codes},
    users,
};
use crate::{
    StoreError,
    once::{Candidate, Done, Once, Posted},
    store::*,
};

#[async_trait::async_trait]
impl Store for PostgresStore {
    async fn create_link(&self, new: NewLink, now: UnixMillis) -> Result<Link> {
        let mut made = self.creates.create(vec![new], now).await?;
        made.pop().unwrap_or_else(|| Err(StoreError::Internal("one link was asked for and none answered".into())))
    }

    async fn create_links(&self, new: Vec<NewLink>, now: UnixMillis) -> Result<Vec<Result<Link>>> {
        self.creates.create(new, now).await
    }

    async fn create_once(&self, once: Once, candidates: Vec<Candidate>, now: UnixMillis) -> Result<Done> {
        let candidates: Arc<[_]> = candidates.into();
        self.pool
            .create(move |tx| {
                let candidates = candidates.clone();
                Box::pin(async move { once::create(tx, &once, &candidates, now).await })
            })
            .await
    }

    async fn recall_once(&self, once: Once) -> Result<Option<Done>> {
        let recalled = async { once::recall(&*self.pool.shared().await?, &once).await };
        self.pool.unless_silent(self.pool.doubting(recalled)).await.unwrap_or_else(|| Err(silent()))
    }

    async fn forget_onces(&self, before: UnixMillis, rows_max: u32) -> Result<u64> {
        once::forget(&*self.pool.writer().await?, before, rows_max).await
    }

    async fn link(&self, id: LinkId) -> Result<Option<Link>> {
        links::by_id(&*self.pool.shared().await?, id).await
    }

    async fn link_by_code(&self, domain: &str, code: &ShortCode) -> Result<Option<Link>> {
        links::by_code(&*self.pool.shared().await?, domain, code).await
    }

    async fn link_to(&self, owner: Option<UserId>, target: &Target, now: UnixMillis) -> Result<Option<Link>> {
        match owner {
            Some(owner) => links::of_owner_to(&*self.pool.long().await?, owner, target, now).await,
            None => links::of_nobody_to(&*self.pool.searcher().await?, target, now).await,
        }
    }

    async fn list_links(&self, filter: LinkFilter, page: Page) -> Result<Listed<Link>> {
        links::list(&*self.pool.long().await?, &filter, page).await
    }

    async fn update_link(&self, id: LinkId, patch: LinkPatch, now: UnixMillis) -> Result<Option<Link>> {
        let patch = Arc::new(patch);
        self.pool
            .edit(code_of, move |tx| {
                let patch = patch.clone();
                Box::pin(async move { links::update(tx, id, &patch, now).await })
            })
            .await
    }

    async fn delete_link(&self, id: LinkId, expected: Expected, reason: &str, now: UnixMillis) -> Result<Option<Link>> {
        let asked = Arc::new((expected, reason.to_owned()));
        self.pool
            .edit(code_of, move |tx| {
                let asked = asked.clone();
                Box::pin(async move { links::delete(tx, id, &asked.0, &asked.1, now).await })
            })
            .await
    }

    async fn create_user(&self, username: Username, email: Email, now: UnixMillis) -> Result<User> {
        let names = Arc::new((username, email));
        self.pool
            .edit(no_codes, move |tx| {
                let names = names.clone();
                Box::pin(async move { users::create(tx, &names.0, &names.1, now).await })
            })
            .await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        users::by_id(&*self.pool.shared().await?, id).await
    }

    async fn list_users(&self, page: Page) -> Result<Listed<User>> {
        users::list(&*self.pool.long().await?, page).await
    }

    async fn update_user(&self, id: UserId, username: Option<Username>, email: Option<Email>) -> Result<Option<User>> {
        let names = Arc::new((username, email));
        self.pool
            .edit(no_codes, move |tx| {
                let names = names.clone();
                Box::pin(async move { users::update(tx, id, names.0.as_ref(), names.1.as_ref()).await })
            })
            .await
    }

    async fn delete_user(&self, id: UserId, now: UnixMillis) -> Result<Option<Vec<ShortCode>>> {
        let codes = |codes: &Option<Vec<ShortCode>>| codes.clone().unwrap_or_default();
        self.pool.change_much(codes, move |tx| Box::pin(users::delete(tx, id, now))).await
    }

    async fn post_event_once(&self, once: Once, new: NewEvent) -> Result<Posted> {
        let new = Arc::new(new);
        self.pool
            .edit(no_codes, move |tx| {
                let new = new.clone();
                Box::pin(async move { once::post(tx, &once, &new).await })
            })
            .await
    }

    async fn post_event(&self, new: NewEvent) -> Result<Event> {
        let new = Arc::new(new);
        self.pool
            .edit(no_codes, move |tx| {
                let new = new.clone();
                Box::pin(async move { events::post(tx, &new).await })
            })
            .await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        events::by_id(&*self.pool.shared().await?, id).await
    }

    async fn list_events(&self, filter: EventFilter, page: Page) -> Result<Listed<Event>> {
        events::list(&*self.pool.long().await?, &filter, page).await
    }

    async fn apply_clicks(&self, batch: ClickBatch) -> Result<Applied> {
        clicks::apply(&self.pool, &self.months, &self.seen, batch).await
    }

    async fn cursor(&self, spool_id: u128) -> Result<Option<Cursor>> {
        clicks::cursor(&*self.pool.shared().await?, spool_id).await
    }

    async fn undecodable_of(&self, spool_id: u128) -> Result<u64> {
        clicks::undecodable_of(&*self.pool.shared().await?, spool_id).await
    }

    async fn click_ledger(&self) -> Result<ClickLedger> {
        clicks::ledger(&*self.pool.long().await?).await
    }

    async fn accept_differences(&self, reason: &str, now: UnixMillis) -> Result<Option<Acceptance>> {
        let reason: Arc<str> = reason.into();
        self.pool
            .write_much(Ending::Commit, move |tx| {
                let reason = reason.clone();
                Box::pin(async move { acceptances::accept(tx, &reason, now).await })
            })
            .await
    }

    async fn acceptances(&self) -> Result<Vec<Acceptance>> {
        acceptances::list(&*self.pool.long().await?).await
    }

    async fn purge_clicks(&self, before: UnixMillis, rows_max: u32) -> Result<u64> {
        retention::purge(&self.pool, &self.months, before, rows_max).await
    }

    async fn visitor_salt(&self, day: i64, candidate: Salt) -> Result<Salt> {
        self.pool.write(move |tx| Box::pin(salts::of_day(tx, day, candidate))).await
    }

    async fn buckets(&self, query: StatsQuery) -> Result<Vec<Bucket>> {
        stats::buckets(&*self.pool.long().await?, query).await
    }

    async fn shares(&self, query: StatsQuery, by: Dimension, limit: u32) -> Result<Vec<Share>> {
        stats::shares(&*self.pool.long().await?, query, by, limit).await
    }

    async fn top_links(&self, query: StatsQuery, limit: u32) -> Result<Vec<TopLink>> {
        stats::top_links(&*self.pool.long().await?, query, limit).await
    }

    async fn link_totals(&self, links: &[LinkId]) -> Result<BTreeMap<LinkId, LinkTotal>> {
        stats::link_totals(&*self.pool.long().await?, links).await
    }

    async fn counts(&self) -> Result<Counts> {
        totals::counts(&*self.pool.shared().await?).await
    }

    async fn create_key(&self, name: &str, hash: KeyHash, now: UnixMillis) -> Result<Key> {
        let name: Arc<str> = name.into();
        self.pool
            .edit(no_codes, move |tx| {
                let name = name.clone();
                Box::pin(async move { keys::create(tx, &name, hash, now).await })
            })
            .await
    }

    async fn list_keys(&self) -> Result<Vec<Key>> {
        keys::list(&*self.pool.long().await?).await
    }

    async fn revoke_key(&self, id: KeyId, now: UnixMillis) -> Result<Option<Key>> {
        self.pool.edit(no_codes, move |tx| Box::pin(keys::revoke(tx, id, now))).await
    }

    async fn import_users(&self, rows: Vec<Numbered<User>>, mode: ImportMode) -> Result<Imported> {
        if mode == ImportMode::Commit {
            import::move_ids(&self.pool, IdsOf::Users, rows.iter().map(|numbered| numbered.row.id.0)).await?;
        }
        let rows: Arc<[_]> = rows.into();
        self.pool
            .write_much(ending(mode), move |tx| {
                let rows = rows.clone();
                Box::pin(async move { import::users(tx, &rows).await })
            })
            .await
    }

    async fn import_links(&self, rows: Vec<Numbered<Link>>, mode: ImportMode) -> Result<Imported> {
        if mode == ImportMode::Commit {
            let owners = rows.iter().filter_map(|numbered| numbered.row.owner);
            import::move_ids(&self.pool, IdsOf::Users, owners.map(|owner| owner.0)).await?;
            import::move_ids(&self.pool, IdsOf::Links, rows.iter().map(|numbered| numbered.row.id.0)).await?;
        }
        let rows: Arc<[_]> = rows.into();
        self.pool
            .write_much(ending(mode), move |tx| {
                let rows = rows.clone();
                Box::pin(async move { import::links(tx, &rows).await })
            })
            .await
    }

    async fn import_events(&self, rows: Vec<Numbered<Event>>, mode: ImportMode) -> Result<Imported> {
        if mode == ImportMode::Commit {
            let clicks = rows.iter().filter(|numbered| numbered.row.event_type.as_str() == EventType::CLICK);
            self.months.cover(&self.pool, clicks.map(|numbered| numbered.row.at)).await;
            let users = rows.iter().filter_map(|numbered| numbered.row.user_id);
            import::move_ids(&self.pool, IdsOf::Users, users.map(|user| user.0)).await?;
            import::move_ids(&self.pool, IdsOf::Links, rows.iter().map(|numbered| numbered.row.link_id.0)).await?;
        }
        let rows: Arc<[_]> = rows.into();
        self.pool
            .write_much(ending(mode), move |tx| {
                let rows = rows.clone();
                Box::pin(async move { import::events(tx, &rows, mode).await })
            })
            .await
    }

    async fn time(&self) -> Result<Option<UnixMillis>> {
        totals::time(&*self.pool.shared().await?).await.map(Some)
    }

    async fn foreign_changes(&self) -> Result<u64> {
        totals::foreign_changes(&*self.pool.shared().await?, self.pool.node()).await
    }

    async fn fold_edits(&self) -> Result<u64> {
        let node: Arc<str> = self.pool.node().into();
        self.pool
            .write_much(Ending::Commit, move |tx| {
                let node = node.clone();
                Box::pin(async move { totals::fold_edits(tx, &node).await })
            })
            .await
    }

    async fn ping(&self) -> Result<()> {
        totals::ping(&*self.pool.writer().await?).await
    }

    async fn close(&self) {
        self.creates.close().await;
        self.pool.close().await;
    }
}

fn code_of(link: &Option<Link>) -> Vec<ShortCode> {
    link.iter().map(|link| link.short_code.clone()).collect()
}

fn ending(mode: ImportMode) -> Ending {
    match mode {
        ImportMode::Commit => Ending::Commit,
        ImportMode::DryRun => Ending::RollBack,
    }
}
