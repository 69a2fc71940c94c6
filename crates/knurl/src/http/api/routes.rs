//! The table of routes: what `docs/reference/api.md` describes, a test reads both.

use std::sync::Arc;

use axum::{
    Router,
    routing::{MethodRouter, get, post},
};

use super::{
    boundary::{Access, Boundary, Pace},
    events, links, stats, system, users,
};
use crate::http::{
    HttpState,
    error::{Code, Error},
};

/// The address we promise not to break; the root serves the same handlers.
const V1: &str = "/api/v1";

struct Route {
    path: &'static str,
    access: Access,
    pace: Pace,
    handlers: MethodRouter<Arc<HttpState>>,
}

fn route(path: &'static str, handlers: MethodRouter<Arc<HttpState>>) -> Route {
    Route { path, access: Access::Key, pace: Pace::Request, handlers }
}

impl Route {
    fn public(self) -> Self {
        Self { access: Access::Public, ..self }
    }

    fn upload(self) -> Self {
        Self { pace: Pace::Upload, ..self }
    }
}

fn table() -> Vec<Route> {
    vec![
        route("/health", get(system::live)).public(),
        route("/livez", get(system::live)).public(),
        route("/readyz", get(system::ready)).public(),
        route("/startupz", get(system::started)).public(),
        route("/metrics", get(system::metrics)),
        route("/users", get(users::list).post(users::create)),
        route("/users/bulk", post(users::bulk::import)).upload(),
        route("/users/{id}", get(users::show).put(users::update).patch(users::update).delete(users::delete)),
        route("/users/{id}/urls", get(links::list::of_user)),
        route("/urls", get(links::list::all).post(links::create::create)),
        route("/urls/bulk", post(links::bulk::create)),
        route("/urls/{id}", get(links::show).put(links::update::update).patch(links::update::update).delete(links::update::delete)),
        route("/urls/{id}/stats", get(stats::of_link)),
        route("/urls/{id}/events", get(events::of_link)),
        route("/urls/{id}/redirect", get(system::redirect)).public(),
        route("/shorten", post(links::create::shorten)),
        route("/events", get(events::list).post(events::create)),
        route("/events/{id}", get(events::show)),
        route("/stats", get(stats::overall)),
        route("/{short_code}", get(system::redirect)).public(),
    ]
}

/// Every path of the table, as written there (under [`V1`] too).
pub fn paths() -> Vec<&'static str> {
    table().into_iter().map(|route| route.path).collect()
}

pub(super) fn router(state: Arc<HttpState>) -> Router {
    let mut router = Router::new();
    for Route { path, access, pace, handlers } in table() {
        let handlers = handlers.fallback(method_not_allowed).layer(Boundary::new(Arc::clone(&state), path, access, pace));
        router = router.route(&format!("{V1}{path}"), handlers.clone()).route(path, handlers);
    }
    let boundary = Boundary::new(Arc::clone(&state), "unknown", Access::Public, Pace::Request);
    let unknown: MethodRouter<Arc<HttpState>> = axum::routing::any(unknown_path).layer(boundary);
    router.fallback_service(unknown.with_state(Arc::clone(&state))).with_state(state)
}

async fn method_not_allowed() -> Error {
    Error::new(Code::MethodNotAllowed)
}

async fn unknown_path() -> Error {
    Error::new(Code::UnknownPath)
}
