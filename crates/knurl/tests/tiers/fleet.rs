//! A PostgreSQL, a proxy before it for each node, and whole nodes in this process.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use knurl::{
    app::App,
    config::{Auth, Config, Database, RedisConfig},
    http::HttpState,
    telemetry::{
        redirects::Tier,
        tiers::{Below, Said},
    },
};
use knurl_lab::{
    proxy::{Direction, Proxy, Toxic, ToxicKind},
    servers::{Postgres, Redis},
};
use knurl_store::postgres::PostgresOptions;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// For what is only a matter of time: much more than the five seconds that an edit may take.
pub(crate) const IN_TIME: Duration = Duration::from_secs(30);

pub(crate) struct Fleet {
    pub(crate) server: Postgres,
    pub(crate) redis: Option<Redis>,
}

pub(crate) struct Node {
    pub(crate) proxy: Proxy,
    pub(crate) app: App,
    pub(crate) dir: TempDir,
    config: Config,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    body: String,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        Self { server: Postgres::start().unwrap(), redis: None }
    }

    pub(crate) fn with_redis() -> Self {
        Self { redis: Some(Redis::start().unwrap()), ..Self::new() }
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.sql(sql).unwrap()
    }

    pub(crate) async fn node(&self) -> Node {
        self.node_with(|_| {}).await
    }

    /// One that takes part in the fleet, and has everything it wants of it.
    pub(crate) async fn node_with(&self, change: impl FnOnce(&mut Config)) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let upstream = SocketAddr::from(([127, 0, 0, 1], self.server.port()));
        let proxy = Proxy::start("postgres", upstream, 7).unwrap();
        let database = PostgresOptions::from_url(&self.server.url_through(proxy.addr().port())).unwrap();
        let mut config = Config {
            data_dir: dir.path().to_owned(),
            auth: Auth::Open,
            database: Database::Postgres(Box::new(database)),
            redis: self.redis.as_ref().map(|redis| RedisConfig {
                url: redis.url().parse().unwrap(),
                // This machine may be busy; what a late answer costs is another test's matter.
                timeout: Duration::from_millis(500),
                links_ttl: Duration::from_secs(600),
                prefix: "knurl".to_owned(),
            }),
            ..Config::default()
        };
        config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.http.metrics_listen = config.http.listen;
        config.http.ready_drain = Duration::ZERO;
        config.limits.misses_per_minute = 0;
        // What is remembered for ever is not found out by waiting.
        config.cache.negative_ttl = Duration::from_secs(3_600);
        change(&mut config);
        let node = Node { proxy, app: App::start(config.clone()).await.unwrap(), dir, config };
        node.until("it has caught up", async || node.is_current()).await;
        node
    }
}

impl Node {
    pub(crate) fn state(&self) -> &Arc<HttpState> {
        self.app.state()
    }

    fn is_current(&self) -> bool {
        self.state().resolver.measure();
        let replica = &self.state().metrics.tiers.replica;
        if !self.state().config.replica {
            return replica.looks.get() > 1;
        }
        (replica.complete.get(), replica.compared.get()) == (1, 1) && replica.age_ms.get() < 2_000
    }

    /// Links in the replica.
    pub(crate) fn links(&self) -> u64 {
        self.state().resolver.measure();
        self.state().metrics.tiers.replica.links.get()
    }

    /// Polls; panics when it does not come true.
    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) -> Duration {
        let begun = Instant::now();
        while !is_so().await {
            assert!(begun.elapsed() < IN_TIME, "never: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    }

    /// Memory is as if it did not know.
    pub(crate) fn forgets(&self, codes: impl IntoIterator<Item = String>) {
        codes.into_iter().for_each(|code| self.state().resolver.created(&code));
    }

    pub(crate) fn resolved(&self, tier: Tier) -> u64 {
        self.state().metrics.redirects.tier_total(tier)
    }

    pub(crate) fn said(&self, tier: Below, said: Said) -> u64 {
        self.state().metrics.tiers.said(tier, said)
    }

    // -- requests ---------------------------------------------------------------------------------------------------------

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.app.addr());
        headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
        if !body.is_empty() {
            request.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        let mut stream = TcpStream::connect(self.app.addr()).await.unwrap();
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Answer::parse(&String::from_utf8(answer).unwrap())
    }

    /// Where the code leads.
    pub(crate) async fn target(&self, code: &str) -> Result<String, u16> {
        let answer = self.get(&format!("/{code}")).await;
        answer.location.ok_or(answer.status)
    }

    pub(crate) async fn create(&self, code: &str, target: &str) -> Value {
        let body = json!({"original_url": target, "custom_code": code}).to_string();
        self.ask("POST", "/shorten", &[], &body).await.is(201)
    }

    pub(crate) async fn put(&self, link: &Value, change: Value) {
        self.ask("PUT", &format!("/urls/{}", link["id"]), &[], &change.to_string()).await.is(200);
    }

    pub(crate) async fn delete(&self, link: &Value) {
        self.ask("DELETE", &format!("/urls/{}", link["id"]), &[], "").await.is(204);
    }

    // -- faults of the way to the database --------------------------------------------------------------------------------

    pub(crate) fn hang(&self) {
        hang(&self.proxy);
    }

    pub(crate) fn slow_down(&self, latency: u64) {
        self.proxy.add(Toxic::new(Direction::Downstream, ToxicKind::Latency { latency, jitter: 0 })).unwrap();
    }

    pub(crate) async fn stop(self) {
        self.app.stop().await;
    }

    /// Another process on the same disk, after `meanwhile`. It may find nobody.
    pub(crate) async fn restart(self, meanwhile: impl FnOnce(&Proxy)) -> Self {
        let Self { proxy, app, dir, config } = self;
        app.stop().await;
        meanwhile(&proxy);
        let app = tokio::time::timeout(IN_TIME, App::start(config.clone())).await.expect("a start that never ends").unwrap();
        Self { proxy, app, dir, config }
    }
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("half an answer: {text:?}"));
        let location = head.lines().find_map(|line| line.strip_prefix("location: ")).map(str::to_owned);
        Self { status: head.split(' ').nth(1).unwrap().parse().unwrap(), location, body: body.to_owned() }
    }

    pub(crate) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        if self.body.is_empty() { Value::Null } else { serde_json::from_str(&self.body).unwrap() }
    }
}

pub(crate) fn hang(proxy: &Proxy) {
    for stream in [Direction::Upstream, Direction::Downstream] {
        proxy.add(Toxic::new(stream, ToxicKind::Timeout { timeout: 0 })).unwrap();
    }
}

/// Links `c{first}` to `c{last}`, which lead to `https://t.example/c{n}`.
pub(crate) fn rows(first: u32, last: u32) -> String {
    format!(
        "insert into links (short_code, target, is_active, status, created_at, updated_at, version) \
         select 'c' || n, 'https://t.example/c' || n, true, 302, 1, 1, 1 from generate_series({first}, {last}) n"
    )
}

pub(crate) fn target(n: u32) -> String {
    format!("https://t.example/c{n}")
}
