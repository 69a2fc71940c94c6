//! Everything that speaks HTTP: the accept loop, the redirect front, the API, the one way errors leave.

pub mod accept;
pub mod admission;
pub mod api;
pub mod client;
mod connection;
mod drain;
pub mod error;
pub mod front;
pub mod health;
mod host;
mod limits;
mod observe;
mod raw;
mod server;
mod trace;
mod vitals;
mod wire;

use std::sync::Arc;

pub use server::Server;

use knurl_store::Store;

use crate::{clicks::Recorder, config::Config, limit::Limits, resolve::Resolver, telemetry::Metrics};

/// What handlers and the front share; built by `app`, handed out in an `Arc`.
#[derive(Debug)]
pub struct HttpState {
    pub config: Config,
    pub store: Arc<dyn Store>,
    pub resolver: Resolver,
    pub recorder: Recorder,
    pub limits: Limits,
    pub metrics: Arc<Metrics>,
    pub keys: api::auth::KeyRing,
    pub life: health::Life,
    pub in_flight: api::once::InFlight,
    pub admission: Arc<admission::Admission>,
}
