//! A whole server in this process, on a port of its own, over a store that can be made to fail; and a client that hides nothing.

#![allow(dead_code, reason = "each test binary uses its part")]

mod answer;
mod backend;

use std::{net::SocketAddr, sync::Arc};

use futures_util::FutureExt;
use http::Method;
use knurl::{
    clicks::{self, Clicks},
    config::{Auth, Config},
    http::{
        HttpState, Server,
        admission::Admission,
        api::{auth, once::InFlight},
        health::{Life, Phase},
    },
    jobs::{self, Jobs},
    limit::Limits,
    redis::Redis,
    resolve::{Resolver, Tiers},
    telemetry::Metrics,
};
use knurl_core::UnixMillis;
use knurl_store::{Store, faulty::FaultyStore};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) use answer::Answer;
pub(crate) use backend::Backend;
use backend::Hands;

/// Admitted where keys are required.
pub(crate) const KEY: &str = "a-key-of-the-tests";

pub(crate) struct TestApp {
    pub(crate) addr: SocketAddr,
    pub(crate) store: FaultyStore,
    pub(crate) state: Arc<HttpState>,
    server: Server,
    jobs: Jobs,
    clicks: Clicks,
    /// Somebody else's, in the server's database.
    pub(crate) others: Hands,
    dir: tempfile::TempDir,
}

impl TestApp {
    /// Without keys, as the contract's clients expect it.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(Backend::Sqlite, change).await
    }

    async fn start_on(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: dir.path().to_owned(), auth: Auth::Open, ..Config::default() };
        change(&mut config);
        let listen = || TcpListener::bind("127.0.0.1:0");
        let (public, observed) = (listen().await.unwrap(), listen().await.unwrap());
        let addr = public.local_addr().unwrap();
        config.bound(addr);

        let (opened, others, feeding) = backend.open(&mut config).await;
        let store = FaultyStore::new(opened);
        store.create_key("tests", auth::hash(KEY.as_bytes()), UnixMillis(0)).await.unwrap();
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        let metrics = Arc::new(Metrics::new());
        let clicks = clicks::start(&config.clicks, &config.spool_dir(), Arc::clone(&shared), Arc::clone(&metrics)).await.unwrap();
        let admission = Arc::new(Admission::new(&config.admission, Arc::clone(&metrics)));
        metrics.on_render({
            let admission = Arc::clone(&admission);
            move |_| admission.measure()
        });
        let redis = config.redis.as_ref().map(|redis| Redis::start(redis, Arc::clone(&metrics)));
        let state = Arc::new(HttpState {
            resolver: Resolver::over(
                Tiers {
                    replica: feeding.as_ref().and_then(|feeding| feeding.replica.clone()),
                    shared: redis.as_ref().map(|redis| Arc::new(redis.links()) as _),
                    database: Arc::clone(&shared),
                },
                &config.cache,
                Arc::clone(&metrics),
            ),
            recorder: clicks.recorder.clone(),
            keys: auth::KeyRing::default(),
            limits: Limits::sharing(&config.limits, redis.as_ref().map(Redis::limits), &metrics),
            store: shared,
            metrics,
            config,
            life: Life::default(),
            in_flight: InFlight::default(),
            admission,
        });
        state.keys.refresh(&*state.store).await.unwrap();
        let refreshing = Arc::clone(&state);
        let jobs = jobs::start(jobs::Needs {
            config: &state.config,
            clicks: &clicks,
            store: Arc::clone(&state.store),
            resolver: state.resolver.clone(),
            metrics: Arc::clone(&state.metrics),
            feeding,
            redis,
            on_foreign_change: Arc::new(move || {
                let state = Arc::clone(&refreshing);
                async move { state.keys.refresh(&*state.store).await.map(drop) }.boxed()
            }),
        })
        .await;
        let server = Server::start(&state, public, observed);
        state.life.enter(Phase::Serving);
        Self { addr, store, state, server, jobs, clicks, others, dir }
    }

    pub(crate) async fn stop(self) {
        self.store.heal();
        let soon = std::time::Duration::from_secs(5);
        self.server.stop(soon).await;
        self.jobs.stop(soon).await;
        self.clicks.stop().await;
        self.store.close().await;
        drop(self.dir);
    }

    // -- requests ---------------------------------------------------------------------------------------------------------

    /// One request on a connection of its own. `Content-Length` is added where there is a body.
    pub(crate) async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.addr);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let answer = self.raw(&[request.as_bytes(), body].concat()).await;
        Answer::parse(&answer, method, target)
    }

    /// Sends these bytes, reads until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], b"").await
    }

    pub(crate) async fn head(&self, target: &str) -> Answer {
        self.send("HEAD", target, &[], b"").await
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.send("DELETE", target, &[], b"").await
    }

    pub(crate) async fn with_json(&self, method: &Method, target: &str, body: &Value) -> Answer {
        self.send(method.as_str(), target, &[("content-type", "application/json")], body.to_string().as_bytes()).await
    }

    pub(crate) async fn post(&self, target: &str, body: Value) -> Answer {
        self.with_json(&Method::POST, target, &body).await
    }

    pub(crate) async fn put(&self, target: &str, body: Value) -> Answer {
        self.with_json(&Method::PUT, target, &body).await
    }

    /// Another key in force.
    pub(crate) async fn store_key(&self, secret: &str) {
        self.store.create_key(secret, auth::hash(secret.as_bytes()), UnixMillis(1)).await.unwrap();
        self.state.keys.refresh(&*self.state.store).await.unwrap();
    }

    // -- verbs ------------------------------------------------------------------------------------------------------------

    /// A user of this name; returns the id.
    pub(crate) async fn user(&self, name: &str) -> i64 {
        let user = self.post("/users", json!({"username": name, "email": format!("{name}@example.org")})).await;
        user.is(201)["id"].as_i64().unwrap()
    }

    /// A link of a user to `target`; the URL object.
    pub(crate) async fn link(&self, user: i64, target: &str) -> Value {
        self.post("/urls", json!({"user_id": user, "original_url": target})).await.is(201)
    }

    /// Visits the link once.
    pub(crate) async fn click(&self, link: &Value) -> Answer {
        self.get(&format!("/{}", link["short_code"].as_str().unwrap())).await
    }

    /// The events of this kind, oldest first.
    pub(crate) async fn events(&self, filter: &str) -> Vec<Value> {
        self.get(&format!("/events?{filter}")).await.is(200).as_array().unwrap().clone()
    }
}
