//! [`Store`] on SQLite.

use std::collections::BTreeMap;

use knurl_core::{
    Event, EventId, Link, LinkId, Page, ShortCode, UnixMillis, User, UserId,
    event::NewEvent,
    key::{Key, KeyHash, KeyId},
    link::{LinkPatch, NewLink},
    page::Listed,
    stats::{Bucket, Dimension, LinkTotal, Share, StatsQuery, TopLink},
    user::{Email, Username},
    visitor::Salt,
};

use super::SqliteStore;
use crate::store::*;

#[async_trait::async_trait]
impl Store for SqliteStore {
    async fn create_link(&self, _new: NewLink, _now: UnixMillis) -> Result<Link> {
        todo!("store")
    }
    async fn create_links(&self, _new: Vec<NewLink>, _now: UnixMillis) -> Result<Vec<Result<Link>>> {
        todo!("store")
    }
    async fn link(&self, _id: LinkId) -> Result<Option<Link>> {
        todo!("store")
    }
    async fn link_by_code(&self, _domain: &str, _code: &ShortCode) -> Result<Option<Link>> {
        todo!("store")
    }
    async fn list_links(&self, _filter: LinkFilter, _page: Page) -> Result<Listed<Link>> {
        todo!("store")
    }
    async fn update_link(&self, _id: LinkId, _patch: LinkPatch, _now: UnixMillis) -> Result<Option<Link>> {
        todo!("store")
    }
    async fn delete_link(&self, _id: LinkId, _reason: &str, _now: UnixMillis) -> Result<Option<Link>> {
        todo!("store")
    }
    async fn create_user(&self, _username: Username, _email: Email, _now: UnixMillis) -> Result<User> {
        todo!("store")
    }
    async fn user(&self, _id: UserId) -> Result<Option<User>> {
        todo!("store")
    }
    async fn list_users(&self, _page: Page) -> Result<Listed<User>> {
        todo!("store")
    }
    async fn update_user(&self, _id: UserId, _username: Option<Username>, _email: Option<Email>) -> Result<Option<User>> {
        todo!("store")
    }
    async fn delete_user(&self, _id: UserId, _now: UnixMillis) -> Result<Option<Vec<ShortCode>>> {
        todo!("store")
    }
    async fn post_event(&self, _new: NewEvent) -> Result<Event> {
        todo!("store")
    }
    async fn event(&self, _id: EventId) -> Result<Option<Event>> {
        todo!("store")
    }
    async fn list_events(&self, _filter: EventFilter, _page: Page) -> Result<Listed<Event>> {
        todo!("store")
    }
    async fn apply_clicks(&self, _batch: ClickBatch) -> Result<Applied> {
        todo!("store")
    }
    async fn cursor(&self, _spool_id: u128) -> Result<Option<Cursor>> {
        todo!("store")
    }
    async fn click_ledger(&self) -> Result<ClickLedger> {
        todo!("store")
    }
    async fn purge_clicks(&self, _before: UnixMillis, _rows_max: u32) -> Result<u64> {
        todo!("store")
    }
    async fn visitor_salt(&self, _day: i64, _candidate: Salt) -> Result<Salt> {
        todo!("store")
    }
    async fn buckets(&self, _query: StatsQuery) -> Result<Vec<Bucket>> {
        todo!("store")
    }
    async fn shares(&self, _query: StatsQuery, _by: Dimension, _limit: u32) -> Result<Vec<Share>> {
        todo!("store")
    }
    async fn top_links(&self, _query: StatsQuery, _limit: u32) -> Result<Vec<TopLink>> {
        todo!("store")
    }
    async fn link_totals(&self, _links: &[LinkId]) -> Result<BTreeMap<LinkId, LinkTotal>> {
        todo!("store")
    }
    async fn counts(&self) -> Result<Counts> {
        todo!("store")
    }
    async fn create_key(&self, _name: &str, _hash: KeyHash, _now: UnixMillis) -> Result<Key> {
        todo!("store")
    }
    async fn list_keys(&self) -> Result<Vec<Key>> {
        todo!("store")
    }
    async fn revoke_key(&self, _id: KeyId, _now: UnixMillis) -> Result<Option<Key>> {
        todo!("store")
    }
    async fn import_users(&self, _rows: Vec<Numbered<User>>, _mode: ImportMode) -> Result<Imported> {
        todo!("store")
    }
    async fn import_links(&self, _rows: Vec<Numbered<Link>>, _mode: ImportMode) -> Result<Imported> {
        todo!("store")
    }
    async fn import_events(&self, _rows: Vec<Numbered<Event>>, _mode: ImportMode) -> Result<Imported> {
        todo!("store")
    }
    async fn foreign_changes(&self) -> Result<u64> {
        todo!("store")
    }
    async fn ping(&self) -> Result<()> {
        todo!("store")
    }
    async fn close(&self) {
        todo!("store")
    }
}
