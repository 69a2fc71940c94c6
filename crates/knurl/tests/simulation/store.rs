//! The shared store as one node has it: the real embedded store behind a network and transactions that can fail.

use std::{collections::BTreeMap, future::Future};

use async_trait::async_trait;
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
use knurl_store::{
    Acceptance, Applied, ClickBatch, ClickLedger, Counts, Cursor, EventFilter, ImportMode, Imported, LinkFilter, Numbered, Result,
    Store, StoreError,
    once::{Candidate, Done, Once, Posted},
};

use super::{broken::Broken, trace::note, world::World};

#[derive(Clone)]
pub(crate) struct NodeStore {
    pub(crate) world: World,
    pub(crate) node: usize,
}

impl std::fmt::Debug for NodeStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeStore").field("node", &self.node).finish_non_exhaustive()
    }
}

impl NodeStore {
    async fn through<T: Send>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.world.read(self.node, work).await
    }

    /// What would change links behind the model's back.
    fn outside<T>() -> Result<T> {
        Err(StoreError::Refused("no part of the simulation".into()))
    }

    async fn apply(&self, batch: ClickBatch) -> Result<Applied> {
        let (world, node) = (&self.world, self.node);
        let clicks: Vec<u64> = batch.clicks.iter().map(|delivered| delivered.click.visitor).collect();
        let (from, to) = (batch.from, batch.to);
        if world.broken == Some(Broken::ClicksAreNotApplied) && world.roll(4) == 0 {
            let empty = ClickBatch { clicks: Vec::new(), undecodable: to.seq - from.seq, ..batch };
            return world.write(node, world.sqlite.apply_clicks(empty), |_, _| {}).await;
        }
        let mut work = world.sqlite.apply_clicks(batch.clone());
        if world.broken == Some(Broken::CursorIsForgotten) && world.roll(8) == 0 {
            // Under another spool's name: its own does not move.
            let spool_id = from.spool_id ^ 1;
            let from = world.sqlite.cursor(spool_id).await?.unwrap_or(Cursor { spool_id, segment: 0, offset: 0, seq: 0 });
            let to = Cursor { seq: from.seq + (to.seq - batch.from.seq), ..from };
            work = world.sqlite.apply_clicks(ClickBatch { from, to, ..batch });
        }
        let applied = world.write(node, work, |xid, applied| match applied {
            Applied::Applied => {
                note!(world.trace, "n{node} delivered {}..{}: {clicks:?} as {xid}", from.seq, to.seq);
                world.books.delivered(&clicks);
                world.books.cursor(to.spool_id, to.seq);
            }
            Applied::CursorIs(is) => note!(world.trace, "n{node} would deliver from {}, and the cursor is {}", from.seq, is.seq),
        });
        applied.await
    }
}

#[async_trait]
impl Store for NodeStore {
    async fn create_link(&self, new: NewLink, now: UnixMillis) -> Result<Link> {
        let world = &self.world;
        world.write(self.node, world.sqlite.create_link(new, now), |xid, link| world.committed(xid, link)).await
    }

    async fn create_links(&self, _: Vec<NewLink>, _: UnixMillis) -> Result<Vec<Result<Link>>> {
        Self::outside()
    }

    async fn post_event_once(&self, _: Once, _: NewEvent) -> Result<Posted> {
        Self::outside()
    }

    async fn create_once(&self, _: Once, _: Vec<Candidate>, _: UnixMillis) -> Result<Done> {
        Self::outside()
    }

    async fn recall_once(&self, once: Once) -> Result<Option<Done>> {
        self.through(self.world.sqlite.recall_once(once)).await
    }

    async fn forget_onces(&self, before: UnixMillis, rows_max: u32) -> Result<u64> {
        self.through(self.world.sqlite.forget_onces(before, rows_max)).await
    }

    async fn link(&self, id: LinkId) -> Result<Option<Link>> {
        self.through(self.world.sqlite.link(id)).await
    }

    async fn link_by_code(&self, domain: &str, code: &ShortCode) -> Result<Option<Link>> {
        match self.through(self.world.sqlite.link_by_code(domain, code)).await {
            Err(_) if self.world.broken == Some(Broken::AwayIsNone) => Ok(None),
            answer => answer,
        }
    }

    async fn link_to(&self, owner: Option<UserId>, target: &Target, now: UnixMillis) -> Result<Option<Link>> {
        self.through(self.world.sqlite.link_to(owner, target, now)).await
    }

    async fn list_links(&self, filter: LinkFilter, page: Page) -> Result<Listed<Link>> {
        self.through(self.world.sqlite.list_links(filter, page)).await
    }

    async fn update_link(&self, id: LinkId, patch: LinkPatch, now: UnixMillis) -> Result<Option<Link>> {
        let world = &self.world;
        let committed = |xid, link: &Option<Link>| link.iter().for_each(|link| world.committed(xid, link));
        world.write(self.node, world.sqlite.update_link(id, patch, now), committed).await
    }

    async fn delete_link(&self, id: LinkId, expected: Expected, reason: &str, now: UnixMillis) -> Result<Option<Link>> {
        let world = &self.world;
        let committed = |xid, before: &Option<Link>| {
            if let Some(before) = before {
                let (version, deleted_at) = (before.version + 1, Some(now));
                world.committed(xid, &Link { version, deleted_at, ..before.clone() });
            }
        };
        world.write(self.node, world.sqlite.delete_link(id, expected, reason, now), committed).await
    }

    async fn create_user(&self, username: Username, email: Email, now: UnixMillis) -> Result<User> {
        self.through(self.world.sqlite.create_user(username, email, now)).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.through(self.world.sqlite.user(id)).await
    }

    async fn list_users(&self, page: Page) -> Result<Listed<User>> {
        self.through(self.world.sqlite.list_users(page)).await
    }

    async fn update_user(&self, id: UserId, username: Option<Username>, email: Option<Email>) -> Result<Option<User>> {
        self.through(self.world.sqlite.update_user(id, username, email)).await
    }

    async fn delete_user(&self, _: UserId, _: UnixMillis) -> Result<Option<Vec<ShortCode>>> {
        Self::outside()
    }

    async fn post_event(&self, new: NewEvent) -> Result<Event> {
        self.through(self.world.sqlite.post_event(new)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.through(self.world.sqlite.event(id)).await
    }

    async fn list_events(&self, filter: EventFilter, page: Page) -> Result<Listed<Event>> {
        self.through(self.world.sqlite.list_events(filter, page)).await
    }

    async fn apply_clicks(&self, batch: ClickBatch) -> Result<Applied> {
        self.apply(batch).await
    }

    async fn cursor(&self, spool_id: u128) -> Result<Option<Cursor>> {
        self.through(self.world.sqlite.cursor(spool_id)).await
    }

    async fn undecodable_of(&self, spool_id: u128) -> Result<u64> {
        self.through(self.world.sqlite.undecodable_of(spool_id)).await
    }

    async fn click_ledger(&self) -> Result<ClickLedger> {
        self.through(self.world.sqlite.click_ledger()).await
    }

    async fn accept_differences(&self, reason: &str, now: UnixMillis) -> Result<Option<Acceptance>> {
        self.through(self.world.sqlite.accept_differences(reason, now)).await
    }

    async fn acceptances(&self) -> Result<Vec<Acceptance>> {
        self.through(self.world.sqlite.acceptances()).await
    }

    async fn purge_clicks(&self, before: UnixMillis, rows_max: u32) -> Result<u64> {
        self.through(self.world.sqlite.purge_clicks(before, rows_max)).await
    }

    async fn visitor_salt(&self, day: i64, candidate: Salt) -> Result<Salt> {
        self.through(self.world.sqlite.visitor_salt(day, candidate)).await
    }

    async fn buckets(&self, query: StatsQuery) -> Result<Vec<Bucket>> {
        self.through(self.world.sqlite.buckets(query)).await
    }

    async fn shares(&self, query: StatsQuery, by: Dimension, limit: u32) -> Result<Vec<Share>> {
        self.through(self.world.sqlite.shares(query, by, limit)).await
    }

    async fn top_links(&self, query: StatsQuery, limit: u32) -> Result<Vec<TopLink>> {
        self.through(self.world.sqlite.top_links(query, limit)).await
    }

    async fn link_totals(&self, links: &[LinkId]) -> Result<BTreeMap<LinkId, LinkTotal>> {
        self.through(self.world.sqlite.link_totals(links)).await
    }

    async fn counts(&self) -> Result<Counts> {
        self.through(self.world.sqlite.counts()).await
    }

    async fn create_key(&self, name: &str, hash: KeyHash, now: UnixMillis) -> Result<Key> {
        self.through(self.world.sqlite.create_key(name, hash, now)).await
    }

    async fn list_keys(&self) -> Result<Vec<Key>> {
        self.through(self.world.sqlite.list_keys()).await
    }

    async fn revoke_key(&self, id: KeyId, now: UnixMillis) -> Result<Option<Key>> {
        self.through(self.world.sqlite.revoke_key(id, now)).await
    }

    async fn import_users(&self, rows: Vec<Numbered<User>>, mode: ImportMode) -> Result<Imported> {
        self.through(self.world.sqlite.import_users(rows, mode)).await
    }

    async fn import_links(&self, _: Vec<Numbered<Link>>, _: ImportMode) -> Result<Imported> {
        Self::outside()
    }

    async fn import_events(&self, rows: Vec<Numbered<Event>>, mode: ImportMode) -> Result<Imported> {
        self.through(self.world.sqlite.import_events(rows, mode)).await
    }

    async fn foreign_changes(&self) -> Result<u64> {
        self.through(async { Ok(self.world.edits()) }).await
    }

    async fn fold_edits(&self) -> Result<u64> {
        Ok(0)
    }

    async fn ping(&self) -> Result<()> {
        self.through(self.world.sqlite.ping()).await
    }

    async fn close(&self) {
        // Others use it.
    }
}
