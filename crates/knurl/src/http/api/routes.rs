//! The table of routes: what `docs/reference/api.md` describes, a test reads both.

use std::sync::Arc;

use axum::{
    Router,
    routing::{MethodRouter, get, post},
};

use super::{
    boundary::{Access, Boundary, Kind},
    events, links, stats, system, users,
};
use crate::http::{
    HttpState,
    error::{Code, Error},
};

/// The address we promise not to break; the root serves the same handlers.
const V1: &str = "/api/v1";
/// What is no route is counted as.
const UNKNOWN: &str = "unknown";

struct Route {
    path: &'static str,
    access: Access,
    kind: Kind,
    handlers: MethodRouter<Arc<HttpState>>,
}

fn route(path: &'static str, kind: Kind, handlers: MethodRouter<Arc<HttpState>>) -> Route {
    Route { path, access: Access::Key, kind, handlers }
}

impl Route {
    fn public(self) -> Self {
        Self { access: Access::Public, ..self }
    }
}

fn table() -> Vec<Route> {
    use Kind::{File, Free, List, Point, Redirect};
    vec![
        route("/health", Free, get(system::live)).public(),
        route("/livez", Free, get(system::live)).public(),
        route("/readyz", Free, get(system::ready)).public(),
        route("/startupz", Free, get(system::started)).public(),
        route("/metrics", Free, get(system::metrics)),
        route("/users", List, get(users::list).post(users::create)),
        route("/users/bulk", File, post(users::bulk::import)),
        route("/users/{id}", Point, get(users::show).put(users::update).patch(users::update).delete(users::delete)),
        route("/users/{id}/urls", List, get(links::list::of_user)),
        route("/urls", List, get(links::list::all).post(links::create::create)),
        route("/urls/bulk", Point, post(links::bulk::create)),
        route(
            "/urls/{id}",
            Point,
            get(links::show).put(links::update::update).patch(links::update::update).delete(links::update::delete),
        ),
        route("/urls/{id}/stats", Point, get(stats::of_link)),
        route("/urls/{id}/events", List, get(events::of_link)),
        route("/urls/{id}/redirect", Redirect, get(system::redirect)).public(),
        route("/shorten", Point, post(links::create::shorten)),
        route("/events", List, get(events::list).post(events::create)),
        route("/events/{id}", Point, get(events::show)),
        route("/stats", List, get(stats::overall)),
        route("/{short_code}", Redirect, get(system::redirect)).public(),
    ]
}

/// Every path of the table, as written there (under [`V1`] too).
pub fn paths() -> Vec<&'static str> {
    table().into_iter().map(|route| route.path).collect()
}

pub(super) fn router(state: Arc<HttpState>) -> Router {
    let mut router = Router::new();
    for Route { path, access, kind, handlers } in table() {
        let handlers = handlers.fallback(method_not_allowed).layer(Boundary::new(Arc::clone(&state), path, access, kind));
        router = router.route(&format!("{V1}{path}"), handlers.clone()).route(path, handlers);
    }
    let boundary = Boundary::new(Arc::clone(&state), UNKNOWN, Access::Public, Kind::Free);
    let unknown: MethodRouter<Arc<HttpState>> = axum::routing::any(unknown_path).layer(boundary);
    router.fallback_service(unknown.with_state(Arc::clone(&state))).with_state(state)
}

async fn method_not_allowed() -> Error {
    Error::new(Code::MethodNotAllowed)
}

async fn unknown_path() -> Error {
    Error::new(Code::UnknownPath)
}
