//! A database and the nodes that follow it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use knurl_core::ShortCode;
use knurl_lab::servers::Postgres;
use knurl_store::{
    StoreError,
    postgres::{
        PostgresOptions, PostgresStore,
        feed::{Feed, Woken},
    },
    replica::{
        Found, Replica, Trust,
        follow::{Follower, Forget, Next, Outdated, Reason},
    },
};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// A wait that has taken so long will not end.
const HUNG: Duration = Duration::from_secs(60);

pub(crate) struct Town {
    pub(crate) server: Postgres,
    dir: TempDir,
}

pub(crate) struct Node {
    pub(crate) replica: Replica,
    pub(crate) follower: Follower<Feed>,
    forgotten: Forgotten,
}

impl Town {
    pub(crate) async fn new() -> Self {
        let town = Self { server: Postgres::start().unwrap(), dir: TempDir::new().unwrap() };
        // The schema is there before the first row.
        drop(open(&town.server.url()).await);
        town
    }

    /// Links `c{first}` to `c{last}`, which lead to `https://t.example/c{n}`.
    pub(crate) fn create(&self, first: u32, last: u32) {
        self.sql(&create(first, last));
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.sql(sql).unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("replica.db")
    }

    pub(crate) async fn node(&self) -> Node {
        self.node_of(&self.server.url(), &self.path(), Woken::ByNotifications).await
    }

    pub(crate) async fn node_of(&self, url: &str, path: &Path, woken: Woken) -> Node {
        let store = open(url).await;
        let replica = Replica::open(path, Instant::now());
        let (forget, forgotten) = forget();
        let follower = Follower::new(store.feed(woken), replica.clone(), forget);
        Node { replica, follower, forgotten }
    }

    /// A node that keeps no copy.
    pub(crate) async fn telling(&self) -> (Follower<Feed>, Forgotten) {
        let (forget, forgotten) = forget();
        (Follower::telling(open(&self.server.url()).await.feed(Woken::ByNotifications), forget), forgotten)
    }

    /// A session of somebody else.
    pub(crate) async fn stranger(&self) -> Client {
        stranger_at(&self.server.url()).await
    }
}

/// Codes that were to be forgotten; `None`: all.
pub(crate) type Forgotten = Arc<Mutex<Vec<Option<String>>>>;

fn forget() -> (Forget, Forgotten) {
    let forgotten = Forgotten::default();
    let told = forgotten.clone();
    let forget = move |outdated: Outdated<'_>| match outdated {
        Outdated::Codes(codes) | Outdated::Absence(codes) => {
            told.lock().unwrap().extend(codes.iter().map(|changed| Some(changed.code.clone())));
        }
        Outdated::All => told.lock().unwrap().push(None),
    };
    (Box::new(forget), forgotten)
}

pub(crate) async fn stranger_at(url: &str) -> Client {
    let (client, driver) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(driver);
    client
}

async fn open(url: &str) -> PostgresStore {
    let mut options = PostgresOptions::from_url(url).unwrap();
    options.start_away = true;
    PostgresStore::open(&options).await.unwrap()
}

pub(crate) fn create(first: u32, last: u32) -> String {
    format!(
        "insert into links (short_code, target, is_active, status, created_at, updated_at, version) \
         select 'c' || n, 'https://t.example/c' || n, true, 302, 1, 1, 1 from generate_series({first}, {last}) n"
    )
}

pub(crate) fn code(text: &str) -> ShortCode {
    ShortCode::parse(text).unwrap()
}

pub(crate) fn target(n: u32) -> String {
    format!("https://t.example/c{n}")
}

impl Node {
    /// Steps until there is nothing more to do; returns why the whole table was compared.
    pub(crate) async fn catch_up(&mut self) -> Result<Vec<Reason>, StoreError> {
        let mut reasons = Vec::new();
        loop {
            let stepped = self.follower.step(Instant::now()).await?;
            reasons.extend(stepped.compares);
            if stepped.next == Next::Later {
                return Ok(reasons);
            }
        }
    }

    /// As [`Node::catch_up`], over whatever fails for a while.
    pub(crate) async fn catch_up_at_last(&mut self) {
        let begun = Instant::now();
        while let Err(error) = self.catch_up().await {
            assert!(error.is_transient(), "{error:?}");
            assert!(begun.elapsed() < HUNG, "{error:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn found(&self, text: &str) -> Option<Found> {
        self.replica.link("", &code(text), Instant::now()).await
    }

    /// Where the code leads; `None` where the replica does not know it, or knows that it is deleted.
    pub(crate) async fn target(&self, text: &str) -> Option<String> {
        self.found(text).await?.facts.map(|facts| facts.target.as_str().to_owned())
    }

    pub(crate) async fn trust(&self, text: &str) -> Option<Trust> {
        self.found(text).await.map(|found| found.trust)
    }

    /// Since the last call.
    pub(crate) fn forgotten(&self) -> Vec<Option<String>> {
        std::mem::take(&mut self.forgotten.lock().unwrap())
    }

    /// Of `c{first}` to `c{last}` how many are known; those lead where they were made to lead.
    pub(crate) async fn knows(&self, first: u32, last: u32) -> usize {
        let mut known = 0;
        for n in first..=last {
            let found = self.found(&format!("c{n}")).await;
            known += usize::from(found.is_some());
            assert!(found.is_none_or(|found| found.facts.is_some_and(|facts| facts.target.as_str() == target(n))), "c{n}");
        }
        known
    }

    /// All of `c{first}` to `c{last}`, leading where they were made to lead.
    pub(crate) async fn has(&self, first: u32, last: u32) {
        for n in first..=last {
            assert_eq!(self.target(&format!("c{n}")).await, Some(target(n)), "c{n}");
        }
    }
}
