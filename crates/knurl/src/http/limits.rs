//! What limits look like from outside: who is counted, the headers, the 429.
//!
//! Promised: `RateLimit-Policy` and `RateLimit` (IETF httpapi draft) on every answer that was counted, `Retry-After` on every refusal; an
//! address that `limits.exempt` holds is never counted; a redirect to a link that exists is never refused by a limit.
//!
//! # Misses
//! A scanner guesses short codes; a guess is known to be one only when it was looked up. So the lookup comes first, and its 404 (also that
//! of an inactive link: the two must look alike) is counted afterwards, and becomes a 429 when the network has had its share.
//! Until its bucket fills again, what memory does not know at once is looked up for it in the slow lanes
//! ([`crate::limit::Lane`]): few at a time, so that the tiers below memory stay everybody else's.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use knurl_core::UnixMillis;

use super::{
    HttpState,
    client::{self, Peer},
    error::{Code, Error},
};
use crate::limit::{Counted, Limit, Subject};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// A network that a limit can refuse something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network(Subject);

/// The client's network, unless `limit` does not concern it.
pub(super) fn network(state: &HttpState, limit: Limit, client: IpAddr, now: UnixMillis) -> Option<Network> {
    state.limits.concerns(limit, client).then(|| Network(Subject::Network(state.recorder.visitor(now, client, None))))
}

/// Of whom an API request is counted, and by which limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    limit: Limit,
    subject: Subject,
}

impl Caller {
    /// By its key where it has shown one that is in force, else by its network. `None`: no limit concerns it.
    pub(super) fn of(state: &HttpState, request: &http::request::Request<axum::body::Body>, key: Option<Subject>) -> Option<Self> {
        let client = client::address(Peer::of(request.extensions()), request.headers(), &state.config.http.trusted_proxies);
        match key {
            Some(subject) => state.limits.concerns(Limit::Key, client).then_some(Self { limit: Limit::Key, subject }),
            None => {
                let now = super::api::now();
                network(state, Limit::Network, client, now).map(|Network(subject)| Self { limit: Limit::Network, subject })
            }
        }
    }

    pub(super) async fn count(self, state: &HttpState) -> Option<Counted> {
        state.limits.count(self.limit, self.subject).await
    }
}

/// One code that led nowhere.
pub(super) async fn count_miss(state: &HttpState, network: Network) -> Option<Counted> {
    state.limits.count(Limit::Misses, network.0).await
}

/// The refusal that the network's next miss will get, once it has had its share.
pub(super) fn guessed_enough(state: &HttpState, network: Network) -> Option<Counted> {
    state.limits.look(Limit::Misses, network.0).filter(|counted| !counted.verdict.allowed)
}

/// The 429 of a counted request that was refused.
pub(super) fn refusal(counted: &Counted) -> Error {
    Error::new(Code::RateLimited).with_retry_after(seconds(counted.verdict.retry_after).max(1))
}

/// The two headers. What they say is of this instant; others may ask meanwhile.
pub(super) fn tell(counted: &Counted, headers: &mut HeaderMap) {
    let Counted { limit, quota, verdict } = counted;
    let name = limit.name();
    let policy = format!("\"{name}\";q={};w={}", quota.burst(), seconds(quota.window()).max(1));
    let state = format!("\"{name}\";r={};t={}", verdict.remaining, seconds(verdict.full_after));
    for (header, value) in [(POLICY, policy), (STATE, state)] {
        // Digits and words of ours: always a header value.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(header, value);
        }
    }
}

/// Rounded up: who waits that long has waited long enough.
fn seconds(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)
}
