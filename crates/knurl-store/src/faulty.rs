//! A store that fails on command, around one that works: for tests of those who must live with it.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

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
use tokio::sync::Notify;

use crate::{
    StoreError,
    once::{Candidate, Done, Once, Posted},
    store::*,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Unavailable,
    Full,
    Overloaded,
    /// Answers nothing until [`FaultyStore::heal`], then goes through.
    Hang,
    /// Does the work, then says `Unsure`: the reply to a commit was lost.
    LostReply,
    /// A bug that shows as an error.
    Internal,
    /// Panics, as a bug would.
    Panic,
}

/// Clones share their faults. [`Store::close`] never fails.
#[derive(Clone, Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    everywhere: Mutex<Option<Fault>>,
    by_method: Mutex<BTreeMap<&'static str, Fault>>,
    refused: Mutex<Option<LinkId>>,
    time: Mutex<Option<UnixMillis>>,
    clicks_max: Mutex<Option<usize>>,
    healed: Notify,
    held: AtomicUsize,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, faults: Arc::default() }
    }

    /// Every method fails from now on.
    pub fn fail(&self, fault: Fault) {
        *lock(&self.faults.everywhere) = Some(fault);
    }

    /// This method of [`Store`] fails from now on.
    pub fn fail_method(&self, method: &'static str, fault: Fault) {
        lock(&self.faults.by_method).insert(method, fault);
    }

    /// Batches that hold a click of this link fail as a whole from now on, as by a bug that one record finds.
    pub fn refuse_clicks_of(&self, link: LinkId) {
        *lock(&self.faults.refused) = Some(link);
    }

    /// A batch of more clicks than these is not taken in time from now on.
    pub fn is_slow_beyond(&self, clicks: usize) {
        *lock(&self.faults.clicks_max) = Some(clicks);
    }

    /// It has a clock of its own from now on, which stands still.
    pub fn time_is(&self, now: UnixMillis) {
        *lock(&self.faults.time) = Some(now);
    }

    /// All is well again; what hangs goes on.
    pub fn heal(&self) {
        *lock(&self.faults.everywhere) = None;
        *lock(&self.faults.refused) = None;
        *lock(&self.faults.clicks_max) = None;
        lock(&self.faults.by_method).clear();
        self.faults.healed.notify_waiters();
    }

    fn fault(&self, method: &str) -> Option<Fault> {
        let everywhere = *lock(&self.faults.everywhere);
        everywhere.or_else(|| lock(&self.faults.by_method).get(method).copied())
    }

    async fn through<T: Send>(&self, method: &'static str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match self.fault(method) {
            None => call.await,
            Some(Fault::Unavailable) => Err(StoreError::Unavailable("made to fail".into())),
            Some(Fault::Full) => Err(StoreError::Full("made to fail".into())),
            Some(Fault::Overloaded) => Err(StoreError::Overloaded),
            Some(Fault::Internal) => Err(StoreError::Internal("made to fail".into())),
            Some(Fault::Panic) => panic!("made to panic"),
            Some(Fault::LostReply) => {
                call.await?;
                Err(StoreError::Unsure { source: "made to lose the reply".into(), codes: Vec::new() })
            }
            Some(Fault::Hang) => {
                self.wait_until_healed(method).await;
                call.await
            }
        }
    }

    /// Calls that were ever held by [`Fault::Hang`].
    pub fn held(&self) -> usize {
        self.faults.held.load(Ordering::SeqCst)
    }

    async fn wait_until_healed(&self, method: &str) {
        self.faults.held.fetch_add(1, Ordering::SeqCst);
        loop {
            let healed = self.faults.healed.notified();
            if self.fault(method) != Some(Fault::Hang) {
                return;
            }
            healed.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait::async_trait]
impl Store for FaultyStore {
    async fn create_link(&self, new: NewLink, now: UnixMillis) -> Result<Link> {
        self.through("create_link", self.inner.create_link(new, now)).await
    }

    async fn create_links(&self, new: Vec<NewLink>, now: UnixMillis) -> Result<Vec<Result<Link>>> {
        self.through("create_links", self.inner.create_links(new, now)).await
    }

    async fn create_once(&self, once: Once, candidates: Vec<Candidate>, now: UnixMillis) -> Result<Done> {
        self.through("create_once", self.inner.create_once(once, candidates, now)).await
    }

    async fn recall_once(&self, once: Once) -> Result<Option<Done>> {
        self.through("recall_once", self.inner.recall_once(once)).await
    }

    async fn forget_onces(&self, before: UnixMillis, rows_max: u32) -> Result<u64> {
        self.through("forget_onces", self.inner.forget_onces(before, rows_max)).await
    }

    async fn link(&self, id: LinkId) -> Result<Option<Link>> {
        self.through("link", self.inner.link(id)).await
    }

    async fn link_by_code(&self, domain: &str, code: &ShortCode) -> Result<Option<Link>> {
        self.through("link_by_code", self.inner.link_by_code(domain, code)).await
    }

    async fn link_to(&self, owner: Option<UserId>, target: &Target, now: UnixMillis) -> Result<Option<Link>> {
        self.through("link_to", self.inner.link_to(owner, target, now)).await
    }

    async fn list_links(&self, filter: LinkFilter, page: Page) -> Result<Listed<Link>> {
        self.through("list_links", self.inner.list_links(filter, page)).await
    }

    async fn update_link(&self, id: LinkId, patch: LinkPatch, now: UnixMillis) -> Result<Option<Link>> {
        self.through("update_link", self.inner.update_link(id, patch, now)).await
    }

    async fn delete_link(&self, id: LinkId, expected: Expected, reason: &str, now: UnixMillis) -> Result<Option<Link>> {
        self.through("delete_link", self.inner.delete_link(id, expected, reason, now)).await
    }

    async fn create_user(&self, username: Username, email: Email, now: UnixMillis) -> Result<User> {
        self.through("create_user", self.inner.create_user(username, email, now)).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.through("user", self.inner.user(id)).await
    }

    async fn list_users(&self, page: Page) -> Result<Listed<User>> {
        self.through("list_users", self.inner.list_users(page)).await
    }

    async fn update_user(&self, id: UserId, username: Option<Username>, email: Option<Email>) -> Result<Option<User>> {
        self.through("update_user", self.inner.update_user(id, username, email)).await
    }

    async fn delete_user(&self, id: UserId, now: UnixMillis) -> Result<Option<Vec<ShortCode>>> {
        self.through("delete_user", self.inner.delete_user(id, now)).await
    }

    async fn post_event_once(&self, once: Once, new: NewEvent) -> Result<Posted> {
        self.through("post_event_once", self.inner.post_event_once(once, new)).await
    }

    async fn post_event(&self, new: NewEvent) -> Result<Event> {
        self.through("post_event", self.inner.post_event(new)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.through("event", self.inner.event(id)).await
    }

    async fn list_events(&self, filter: EventFilter, page: Page) -> Result<Listed<Event>> {
        self.through("list_events", self.inner.list_events(filter, page)).await
    }

    async fn apply_clicks(&self, batch: ClickBatch) -> Result<Applied> {
        let refused = *lock(&self.faults.refused);
        if refused.is_some_and(|link| batch.clicks.iter().any(|delivered| delivered.click.link_id == link)) {
            return Err(StoreError::Internal("made to refuse a click".into()));
        }
        if lock(&self.faults.clicks_max).is_some_and(|most| batch.clicks.len() > most) {
            return Err(StoreError::Unavailable("made to be slow".into()));
        }
        self.through("apply_clicks", self.inner.apply_clicks(batch)).await
    }

    async fn cursor(&self, spool_id: u128) -> Result<Option<Cursor>> {
        self.through("cursor", self.inner.cursor(spool_id)).await
    }

    async fn undecodable_of(&self, spool_id: u128) -> Result<u64> {
        self.through("undecodable_of", self.inner.undecodable_of(spool_id)).await
    }

    async fn click_ledger(&self) -> Result<ClickLedger> {
        self.through("click_ledger", self.inner.click_ledger()).await
    }

    async fn accept_differences(&self, reason: &str, now: UnixMillis) -> Result<Option<Acceptance>> {
        self.through("accept_differences", self.inner.accept_differences(reason, now)).await
    }

    async fn acceptances(&self) -> Result<Vec<Acceptance>> {
        self.through("acceptances", self.inner.acceptances()).await
    }

    async fn purge_clicks(&self, before: UnixMillis, rows_max: u32) -> Result<u64> {
        self.through("purge_clicks", self.inner.purge_clicks(before, rows_max)).await
    }

    async fn visitor_salt(&self, day: i64, candidate: Salt) -> Result<Salt> {
        self.through("visitor_salt", self.inner.visitor_salt(day, candidate)).await
    }

    async fn buckets(&self, query: StatsQuery) -> Result<Vec<Bucket>> {
        self.through("buckets", self.inner.buckets(query)).await
    }

    async fn shares(&self, query: StatsQuery, by: Dimension, limit: u32) -> Result<Vec<Share>> {
        self.through("shares", self.inner.shares(query, by, limit)).await
    }

    async fn top_links(&self, query: StatsQuery, limit: u32) -> Result<Vec<TopLink>> {
        self.through("top_links", self.inner.top_links(query, limit)).await
    }

    async fn link_totals(&self, links: &[LinkId]) -> Result<BTreeMap<LinkId, LinkTotal>> {
        self.through("link_totals", self.inner.link_totals(links)).await
    }

    async fn counts(&self) -> Result<Counts> {
        self.through("counts", self.inner.counts()).await
    }

    async fn create_key(&self, name: &str, hash: KeyHash, now: UnixMillis) -> Result<Key> {
        self.through("create_key", self.inner.create_key(name, hash, now)).await
    }

    async fn list_keys(&self) -> Result<Vec<Key>> {
        self.through("list_keys", self.inner.list_keys()).await
    }

    async fn revoke_key(&self, id: KeyId, now: UnixMillis) -> Result<Option<Key>> {
        self.through("revoke_key", self.inner.revoke_key(id, now)).await
    }

    async fn import_users(&self, rows: Vec<Numbered<User>>, mode: ImportMode) -> Result<Imported> {
        self.through("import_users", self.inner.import_users(rows, mode)).await
    }

    async fn import_links(&self, rows: Vec<Numbered<Link>>, mode: ImportMode) -> Result<Imported> {
        self.through("import_links", self.inner.import_links(rows, mode)).await
    }

    async fn import_events(&self, rows: Vec<Numbered<Event>>, mode: ImportMode) -> Result<Imported> {
        self.through("import_events", self.inner.import_events(rows, mode)).await
    }

    async fn time(&self) -> Result<Option<UnixMillis>> {
        let set = *lock(&self.faults.time);
        let time = self.through("time", self.inner.time()).await?;
        Ok(set.or(time))
    }

    async fn foreign_changes(&self) -> Result<u64> {
        self.through("foreign_changes", self.inner.foreign_changes()).await
    }

    async fn fold_edits(&self) -> Result<u64> {
        self.through("fold_edits", self.inner.fold_edits()).await
    }

    async fn ping(&self) -> Result<()> {
        self.through("ping", self.inner.ping()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
