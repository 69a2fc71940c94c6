//! A fresh store for a test, and the words tests are written in.

use std::sync::Arc;

use knurl_core::{
    Event, EventId, EventType, Link, LinkId, Page, ShortCode, Target, UnixMillis, User, UserId,
    agent::{Agent, AgentClass},
    click::{OwnedClick, Purpose},
    event::NewEvent,
    link::{NewLink, RedirectStatus},
    user::{Email, Username},
};
use knurl_lab::servers::Postgres;
use knurl_store::{
    ClickBatch, Cursor, DeliveredClick, EventFilter, LinkFilter, Numbered, Store,
    sqlite::{SqliteOptions, SqliteStore},
};
use tempfile::TempDir;

use crate::servers::Database;

/// 2023-11-14 22:00:00, the start of an hour.
pub(crate) const T0: UnixMillis = UnixMillis(1_699_999_200_000);

pub(crate) fn after(ms: i64) -> UnixMillis {
    UnixMillis(T0.0 + ms)
}

/// One database, opened.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    home: Home,
}

/// Where the database lives.
enum Home {
    Sqlite(TempDir),
    Postgres(Database),
}

/// A backend is one of these two functions, called on a runtime.
impl Bench {
    pub(crate) fn sqlite() -> Self {
        Self::at(Home::Sqlite(TempDir::new().unwrap()))
    }

    pub(crate) fn postgres() -> Self {
        Self::at(Home::Postgres(Database::fresh()))
    }

    /// What several benches of a backend share, for as long as it is held.
    pub(crate) fn kept(backend: &str) -> Option<Arc<Postgres>> {
        (backend == "postgres").then(crate::servers::server)
    }

    fn at(home: Home) -> Self {
        Self { store: home.open(), home }
    }

    /// When everything has been done that was under way.
    pub(crate) async fn reopened(self) -> Self {
        self.store.close().await;
        Self::at(self.home)
    }

    /// The same database as another process sees it.
    pub(crate) fn second_process(&self) -> Arc<dyn Store> {
        self.home.open()
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.home, Home::Postgres(_))
    }

    /// What an operator, or another program, does to the database.
    pub(crate) fn by_hand(&self, script: &str) {
        match &self.home {
            Home::Sqlite(dir) => rusqlite::Connection::open(dir.path().join("knurl.db")).unwrap().execute_batch(script).unwrap(),
            Home::Postgres(database) => database.by_hand(script),
        }
    }

    pub(crate) async fn link(&self, code: &str) -> Link {
        self.store.create_link(new_link(code), T0).await.unwrap()
    }

    pub(crate) async fn link_of(&self, owner: &User, code: &str) -> Link {
        self.store.create_link(NewLink { owner: Some(owner.id), ..new_link(code) }, T0).await.unwrap()
    }

    pub(crate) async fn user(&self, name: &str) -> User {
        self.store.create_user(username(name), email(&format!("{name}@example.com")), T0).await.unwrap()
    }

    pub(crate) async fn events(&self) -> Vec<Event> {
        self.store.list_events(EventFilter::default(), Page::first(Page::UNPAGED_MAX)).await.unwrap().rows
    }

    pub(crate) async fn events_of(&self, link: LinkId) -> Vec<Event> {
        let filter = EventFilter { link: Some(link), ..Default::default() };
        self.store.list_events(filter, Page::first(Page::UNPAGED_MAX)).await.unwrap().rows
    }

    pub(crate) async fn links(&self, filter: LinkFilter) -> Vec<Link> {
        let listed = self.store.list_links(filter, Page::first(Page::UNPAGED_MAX)).await.unwrap();
        assert_eq!(listed.total, listed.rows.len() as u64);
        listed.rows
    }

    /// The law, and the running totals against the rows there are.
    pub(crate) async fn assert_books_balance(&self) {
        let ledger = self.store.click_ledger().await.unwrap();
        assert_eq!(ledger.rolled_up, ledger.raw + ledger.purged + ledger.external, "{ledger:?}");
        assert_eq!(ledger.delivered, ledger.raw + ledger.purged + ledger.undecodable + ledger.unlinked, "{ledger:?}");
        let counts = self.store.counts().await.unwrap();
        let all = Page::first(u32::MAX);
        assert_eq!(counts.users, self.store.list_users(all).await.unwrap().rows.len() as u64);
        assert_eq!(counts.links, self.store.list_links(LinkFilter::default(), all).await.unwrap().rows.len() as u64);
        assert_eq!(counts.events, self.store.list_events(EventFilter::default(), all).await.unwrap().rows.len() as u64);
    }
}

impl Home {
    fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(dir) => Arc::new(SqliteStore::open(&dir.path().join("knurl.db"), &SqliteOptions::default()).unwrap()),
            Self::Postgres(database) => Arc::new(database.open()),
        }
    }
}

pub(crate) fn code(text: &str) -> ShortCode {
    ShortCode::parse(text).unwrap()
}

pub(crate) fn target(text: &str) -> Target {
    Target::verbatim(text).unwrap()
}

pub(crate) fn username(text: &str) -> Username {
    Username::parse(text).unwrap()
}

pub(crate) fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

pub(crate) fn event_type(text: &str) -> EventType {
    EventType::parse(text).unwrap()
}

pub(crate) fn new_link(short_code: &str) -> NewLink {
    NewLink {
        domain: String::new(),
        short_code: code(short_code),
        target: target(&format!("https://example.com/{short_code}")),
        title: None,
        is_active: true,
        status: RedirectStatus::Found302,
        owner: None,
        expires_at: None,
    }
}

pub(crate) fn new_event(link: LinkId, kind: &str) -> NewEvent {
    NewEvent { link_id: link, user_id: None, event_type: event_type(kind), at: T0, details: None }
}

pub(crate) fn person() -> Agent {
    Agent { class: AgentClass::Human, browser: "firefox", os: "linux" }
}

pub(crate) fn robot() -> Agent {
    Agent { class: AgentClass::Bot, browser: "other", os: "other" }
}

pub(crate) fn click(link: &Link, at: UnixMillis, visitor: u64) -> DeliveredClick {
    DeliveredClick {
        click: OwnedClick {
            link_id: link.id,
            owner: link.owner,
            at,
            // Spread as a hash would be.
            visitor: visitor.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9),
            purpose: Purpose::Visit,
            short_code: link.short_code.as_str().to_owned(),
            target: link.target.as_str().to_owned(),
            referrer: None,
            user_agent: None,
        },
        agent: person(),
        referrer_host: None,
    }
}

pub(crate) const SPOOL: u128 = 0x1234_5678_9abc_def0_0fed_cba9_8765_4321;

pub(crate) fn cursor(seq: u64) -> Cursor {
    Cursor { spool_id: SPOOL, segment: 1, offset: seq * 100, seq }
}

/// The batch that brings the spool [`SPOOL`] from `seq` to the end of `clicks`.
pub(crate) fn batch(seq: u64, clicks: Vec<DeliveredClick>) -> ClickBatch {
    ClickBatch { from: cursor(seq), to: cursor(seq + clicks.len() as u64), clicks, undecodable: 0 }
}

pub(crate) fn numbered<T>(rows: impl IntoIterator<Item = T>) -> Vec<Numbered<T>> {
    rows.into_iter().zip(2..).map(|(row, line)| Numbered { line, row }).collect()
}

pub(crate) fn user_row(id: i64, name: &str) -> User {
    User { id: UserId(id), username: name.to_owned(), email: format!("{name}@example.com"), created_at: T0 }
}

pub(crate) fn link_row(id: i64, owner: Option<i64>, short_code: &str) -> Link {
    Link {
        id: LinkId(id),
        domain: String::new(),
        short_code: code(short_code),
        target: target("https://example.com/imported"),
        title: Some("Imported".to_owned()),
        is_active: true,
        status: RedirectStatus::Found302,
        owner: owner.map(UserId),
        expires_at: None,
        created_at: T0,
        updated_at: after(5),
        deleted_at: None,
        version: 1,
    }
}

pub(crate) fn event_row(id: i64, link: i64, kind: &str) -> Event {
    Event { id: EventId(id), link_id: LinkId(link), user_id: None, event_type: event_type(kind), at: T0, details: None }
}
