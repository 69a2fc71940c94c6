//! The redirect: a short code in, `302` and `Location` out, the click in the spool before the answer leaves.
//!
//! Promised: a link in memory is answered without waiting, without a lock that is held long and without the router; a visitor is never
//! kept because a click could not be recorded; every way not to be redirected is problem+json.
//!
//! # Which requests
//! A path of one segment made of the characters of a short code, at most [`ShortCode::LEN_MAX`] of them, that is not the name of a route
//! ([`ROOT_ROUTES`]). One trailing slash is forgiven: people and chat programs add it. No character of a code ever needs percent-encoding
//! (RFC 3986, 2.3), so such a spelling takes the router's slower way, which decodes it and calls [`redirect`]. The query is ignored. GET
//! and HEAD are redirected, HEAD is not a click; other methods get 405, whether the code exists or not.
//!
//! # Caching
//! 302 and 307: `private, no-store`, so every visit is seen. 301 and 308 say "permanent", which a browser takes as "for ever" unless
//! told otherwise: `private, max-age=90` lets it skip the repeated question, and an edited or disabled link is right again, and its
//! clicks seen, within a minute and a half; a link that expires sooner is remembered no longer than it lives. `Referrer-Policy` is left to the target and the page the visitor comes from.

use std::{net::IpAddr, time::Instant};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use knurl_core::{
    Click, ShortCode, UnixMillis,
    click::{HEADER_BYTES_MAX, Purpose},
    link::{Decision, RedirectStatus, decide},
};
use knurl_store::StoreError;

use super::{
    HttpState,
    client::{self, Peer},
    error::{Code, Error, RequestId},
    host::{self, Hosts},
    limits::{self, Network},
    trace,
};
use crate::{
    limit::{Counted, Limit},
    resolve::{AtHand, Resolved},
    telemetry::redirects::Outcome,
};

/// First segments that belong to the API; never a short code. Each is reserved in `knurl_core::short_code`.
pub const ROOT_ROUTES: [&str; 11] =
    ["api", "events", "health", "livez", "metrics", "readyz", "shorten", "startupz", "stats", "urls", "users"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// GET or HEAD of this code.
    Redirect(&'a str),
    /// Another method on what could be a code: 405.
    WrongMethod,
    /// Everything else is the router's.
    Api,
}

/// Total: every method and path has its route.
pub fn classify<'a>(method: &Method, path: &'a str) -> Route<'a> {
    let Some(segment) = path.strip_prefix('/') else { return Route::Api };
    let code = segment.strip_suffix('/').unwrap_or(segment);
    let is_code = (1..=ShortCode::LEN_MAX).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_code || ROOT_ROUTES.contains(&code) {
        return Route::Api;
    }
    match *method {
        Method::GET | Method::HEAD => Route::Redirect(code),
        _ => Route::WrongMethod,
    }
}

/// What the redirect looks at in a request.
struct Asked<'a> {
    is_head: bool,
    peer: Peer,
    headers: &'a HeaderMap,
    referrer: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    purpose: Purpose,
    hosts: Hosts,
    /// A caller says whose part this is.
    has_parent: bool,
    started: Instant,
    now: UnixMillis,
}

impl<'a> Asked<'a> {
    fn of(method: &Method, headers: &'a HeaderMap, peer: Peer) -> Self {
        let mut asked = Self {
            is_head: *method == Method::HEAD,
            peer,
            headers,
            referrer: None,
            user_agent: None,
            purpose: Purpose::Visit,
            hosts: Hosts::default(),
            has_parent: false,
            started: Instant::now(),
            now: now(),
        };
        // One walk instead of five lookups: each of those hashes its name.
        for (name, value) in headers {
            match name.as_str() {
                "host" => asked.hosts.see(value),
                "user-agent" if asked.user_agent.is_none() => asked.user_agent = Some(cut(value)),
                "referer" if asked.referrer.is_none() => asked.referrer = Some(cut(value)),
                "sec-purpose" | "purpose" | "x-moz" if announces_prefetch(value) => asked.purpose = Purpose::Prefetch,
                "traceparent" => asked.has_parent = true,
                _ => {}
            }
        }
        asked
    }

    fn client(&self, state: &HttpState) -> IpAddr {
        client::address(self.peer, self.headers, &state.config.http.trusted_proxies)
    }

    /// Whose misses are counted; `None` where nobody's are, or not this client's.
    fn guesser(&self, state: &HttpState) -> Option<Network> {
        limits::network(state, Limit::Misses, self.client(state), self.now)
    }

    fn click<'b>(&'b self, state: &HttpState, code: &'b str, link: &'b Resolved) -> Click<'b> {
        let client = self.client(state);
        Click {
            link_id: link.id,
            owner: link.owner,
            at: self.now,
            visitor: state.recorder.visitor(self.now, client, self.user_agent),
            purpose: self.purpose,
            short_code: code,
            target: link.target(),
            referrer: self.referrer,
            user_agent: self.user_agent,
        }
    }
}

/// What came of it.
enum Verdict {
    Redirect(Resolved, RedirectStatus),
    NotFound,
    Gone,
    Unavailable(StoreError),
    /// No such code, or none that is worth looking up, for somebody who has guessed too many.
    Limited(Counted),
}

impl Verdict {
    fn of(link: Option<Resolved>, now: UnixMillis) -> Self {
        let Some(link) = link else { return Self::NotFound };
        match decide(link.is_active, link.status, link.expires_at, now) {
            Decision::Redirect(status) => Self::Redirect(link, status),
            Decision::NotFound => Self::NotFound,
            Decision::Gone => Self::Gone,
        }
    }
}

/// What [`at_once`] leaves to be waited for, by [`settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// Memory does not know the code, or there is no room for the click.
    Everything,
    /// The code leads nowhere; that this network asked for it is yet to be counted.
    Miss,
}

/// The answer from memory, with the click recorded, or what has to be waited for.
pub(super) fn at_once(state: &HttpState, parts: &mut Parts, peer: Peer, code: Known) -> Result<Response<Body>, Open> {
    let path = parts.uri.path();
    let code = &path[1..=code.0];
    let asked = Asked::of(&parts.method, &parts.headers, peer);
    if asked.hosts.are_refused(parts.version) {
        state.metrics.connections.malformed.inc();
        return Ok(host::refused(&parts.headers, path));
    }
    let verdict = Verdict::of(state.resolver.cached(code, asked.now).ok_or(Open::Everything)?, asked.now);
    let outcome = match &verdict {
        Verdict::Redirect(link, _) if !asked.is_head => {
            // A dropped click is the recorder's to count; the visitor goes on.
            state.recorder.try_record(&asked.click(state, code, link)).ok_or(Open::Everything)?;
            Outcome::Redirected
        }
        Verdict::NotFound if asked.guesser(state).is_some() => return Err(Open::Miss),
        verdict => outcome_of(verdict),
    };
    let (is_head, started, now) = (asked.is_head, asked.started, asked.now);
    let sampled = trace::begin(state, asked.headers, asked.has_parent, peer);
    let response = match verdict {
        Verdict::Redirect(link, status) => {
            // The request's map becomes the answer's: no allocation.
            let headers = std::mem::take(&mut parts.headers);
            found(link, status, now, is_head, headers)
        }
        verdict => trace::refused(state, &parts.headers, peer, sampled.as_deref(), || refusal(verdict, &parts.headers, path)),
    };
    let took = started.elapsed();
    state.metrics.redirects.answered(outcome, took);
    if let Some(tracer) = state.metrics.traces.tracer()
        && (sampled.is_some() || tracer.is_slow(took))
    {
        let answered = trace::Answered { peer, began: started, took, method: &parts.method, path: parts.uri.path(), outcome };
        return Ok(trace::end(state, answered, sampled, response));
    }
    Ok(response)
}

/// The length of the code that [`classify`] found at the beginning of the path.
#[derive(Clone, Copy)]
pub(super) struct Known(pub(super) usize);

/// Redirects from `code`, whatever path it came from: also `GET /urls/{short_code}/redirect`. Only GET and HEAD may get here.
pub async fn redirect(state: &HttpState, parts: &Parts, code: &str) -> Response<Body> {
    settle(state, parts, code, Open::Everything).await
}

pub(super) async fn settle(state: &HttpState, parts: &Parts, code: &str, open: Open) -> Response<Body> {
    let asked = Asked::of(&parts.method, &parts.headers, Peer::of(&parts.extensions));
    let guesser = asked.guesser(state);
    let Seen { verdict, in_lane } = match (open, ShortCode::parse(code)) {
        (Open::Everything, Ok(code)) => look_up(state, &code, asked.now, guesser).await,
        (Open::Everything, Err(_)) | (Open::Miss, _) => Seen { verdict: Verdict::NotFound, in_lane: false },
    };
    let verdict = match (verdict, guesser) {
        (Verdict::NotFound, Some(network)) => missed(state, network).await,
        (verdict, _) => verdict,
    };
    let outcome = match &verdict {
        Verdict::Redirect(link, _) if !asked.is_head => {
            state.recorder.record(&asked.click(state, code, link)).await;
            Outcome::Redirected
        }
        verdict => outcome_of(verdict),
    };
    let response = match verdict {
        Verdict::Redirect(link, status) => found(link, status, asked.now, asked.is_head, HeaderMap::with_capacity(4)),
        verdict => {
            // Who guesses waits for having guessed: that says nothing of how long visitors wait, and a scan would page for it.
            let is_timed = !in_lane && outcome != Outcome::Limited;
            let refused = refusal(verdict, &parts.headers, parts.uri.path());
            if !is_timed {
                state.metrics.redirects.untimed(outcome);
                return refused;
            }
            refused
        }
    };
    state.metrics.redirects.answered(outcome, asked.started.elapsed());
    response
}

/// What a look below memory came to.
struct Seen {
    verdict: Verdict,
    /// It had to wait for a slow lane, or wanted one.
    in_lane: bool,
}

/// A network that has guessed too often is told what this node knows by itself, and reaches the tiers it shares with others through the slow lanes.
async fn look_up(state: &HttpState, code: &ShortCode, now: UnixMillis, guesser: Option<Network>) -> Seen {
    let at_hand = |verdict| Seen { verdict, in_lane: false };
    let after_waiting = |verdict| Seen { verdict, in_lane: true };
    let lane = match guesser.and_then(|network| limits::guessed_enough(state, network)) {
        None => None,
        Some(refusal) => {
            let doubtful = match state.resolver.at_hand(code, now).await {
                AtHand::Known(known) => return at_hand(Verdict::of(known, now)),
                AtHand::Doubtful(link) => Some(link),
                AtHand::Unknown => None,
            };
            match (state.limits.lane().await, doubtful) {
                (Some(lane), _) => Some(lane),
                (None, Some(link)) => return after_waiting(Verdict::of(link, now)),
                (None, None) => return after_waiting(Verdict::Limited(refusal)),
            }
        }
    };
    let verdict = match state.resolver.resolve(code, now).await {
        Ok(link) => Verdict::of(link, now),
        Err(error) => Verdict::Unavailable(error),
    };
    Seen { verdict, in_lane: lane.is_some() }
}

async fn missed(state: &HttpState, network: Network) -> Verdict {
    match limits::count_miss(state, network).await {
        Some(counted) if !counted.verdict.allowed => Verdict::Limited(counted),
        _ => Verdict::NotFound,
    }
}

/// The 405 of a path that could be a short code.
pub(super) fn wrong_method(parts: &Parts) -> Response<Body> {
    Error::new(Code::MethodNotAllowed)
        .with_allow(HeaderValue::from_static("GET, HEAD"))
        .answer(&RequestId::of(&parts.headers), parts.uri.path())
}

fn outcome_of(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Redirect(..) => Outcome::Looked,
        Verdict::NotFound => Outcome::NotFound,
        Verdict::Gone => Outcome::Gone,
        Verdict::Unavailable(_) => Outcome::Unavailable,
        Verdict::Limited(_) => Outcome::Limited,
    }
}

fn found(link: Resolved, status: RedirectStatus, now: UnixMillis, is_head: bool, mut headers: HeaderMap) -> Response<Body> {
    let (status, is_permanent) = match status {
        RedirectStatus::MovedPermanently301 => (StatusCode::MOVED_PERMANENTLY, true),
        RedirectStatus::Found302 => (StatusCode::FOUND, false),
        RedirectStatus::Temporary307 => (StatusCode::TEMPORARY_REDIRECT, false),
        RedirectStatus::Permanent308 => (StatusCode::PERMANENT_REDIRECT, true),
    };
    let caching = if is_permanent { remembered(link.expires_at, now) } else { UNREMEMBERED };
    headers.clear();
    headers.insert(header::LOCATION, link.location.into_header());
    headers.insert(header::CACHE_CONTROL, caching);
    if is_head {
        // hyper writes it for an empty answer to GET by itself.
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

const UNREMEMBERED: HeaderValue = HeaderValue::from_static("private, no-store");
/// How long a browser may skip the question where the link is said to be permanent.
const REMEMBERED_S: i64 = 90;

/// `Cache-Control` of a permanent redirect: never beyond the link's expiry.
fn remembered(expires_at: Option<UnixMillis>, now: UnixMillis) -> HeaderValue {
    match expires_at.map_or(REMEMBERED_S, |at| at.0.saturating_sub(now.0).div_euclid(1_000)) {
        REMEMBERED_S.. => HeaderValue::from_static("private, max-age=90"),
        left_s @ 1..REMEMBERED_S => HeaderValue::try_from(format!("private, max-age={left_s}")).unwrap_or(UNREMEMBERED),
        _ => UNREMEMBERED,
    }
}

fn refusal(verdict: Verdict, headers: &HeaderMap, path: &str) -> Response<Body> {
    let error = match verdict {
        Verdict::Redirect(..) | Verdict::NotFound => Error::link_not_found(),
        Verdict::Gone => Error::new(Code::LinkExpired),
        Verdict::Unavailable(error) => Error::from(error),
        Verdict::Limited(counted) => {
            let mut answer = limits::refusal(&counted).answer(&RequestId::of(headers), path);
            limits::tell(&counted, answer.headers_mut());
            return answer;
        }
    };
    error.answer(&RequestId::of(headers), path)
}

fn cut(value: &HeaderValue) -> &[u8] {
    let bytes = value.as_bytes();
    &bytes[..bytes.len().min(HEADER_BYTES_MAX)]
}

/// `prefetch`, `prefetch;prerender`, `preview` …: all of them say that nobody has clicked yet.
fn announces_prefetch(value: &HeaderValue) -> bool {
    let value = value.as_bytes().trim_ascii_start();
    ["prefetch", "prerender", "preview"]
        .iter()
        .any(|word| value.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes())))
}

fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_segment_that_could_be_a_code_is_a_redirect() {
        for path in ["/abc", "/a", "/A-b_9", "/abc/", "/healthy", "/URLS"] {
            let code = path.trim_matches('/');
            assert_eq!(classify(&Method::GET, path), Route::Redirect(code), "{path}");
            assert_eq!(classify(&Method::HEAD, path), Route::Redirect(code), "{path}");
            assert_eq!(classify(&Method::POST, path), Route::WrongMethod, "{path}");
        }
    }

    #[test]
    fn routes_of_ours_and_everything_else_are_the_routers() {
        let long = format!("/{}", "a".repeat(ShortCode::LEN_MAX + 1));
        for path in
            ["", "*", "/", "//", "/abc//", "/a/b", "/users", "/urls/", "/health", "/favicon.ico", "/%61bc", "/é", "abc", &long]
        {
            assert_eq!(classify(&Method::GET, path), Route::Api, "{path}");
            assert_eq!(classify(&Method::DELETE, path), Route::Api, "{path}");
        }
    }

    #[test]
    fn every_root_route_is_reserved_so_that_no_link_is_created_behind_it() {
        for route in ROOT_ROUTES {
            assert!(ShortCode::custom(route).is_err(), "{route}");
        }
    }

    #[test]
    fn a_permanent_redirect_is_not_remembered_beyond_its_links_expiry() {
        let now = UnixMillis(1_000_000);
        let caching = |left_ms: Option<i64>| remembered(left_ms.map(|ms| UnixMillis(now.0 + ms)), now);
        for (left_ms, said) in [
            (None, "private, max-age=90"),
            (Some(i64::MAX - now.0), "private, max-age=90"),
            (Some(90_000), "private, max-age=90"),
            (Some(89_999), "private, max-age=89"),
            (Some(1_000), "private, max-age=1"),
            (Some(999), "private, no-store"),
            (Some(0), "private, no-store"),
            (Some(i64::MIN + 1), "private, no-store"),
        ] {
            assert_eq!(caching(left_ms), said, "{left_ms:?}");
        }
        assert_eq!(REMEMBERED_S, 90, "the constant and the header that is written without formatting");
    }

    #[test]
    fn every_spelling_of_prefetch_is_recognised() {
        for value in ["prefetch", "prefetch;prerender", "Prefetch", " preview", "prerender"] {
            assert!(announces_prefetch(&HeaderValue::from_str(value).unwrap()), "{value}");
        }
        for value in ["", "fetch", "pre", "navigate"] {
            assert!(!announces_prefetch(&HeaderValue::from_str(value).unwrap()), "{value}");
        }
    }
}
