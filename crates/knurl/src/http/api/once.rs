//! `Idempotency-Key`: a create that a client may send again without fear (IETF httpapi, "The Idempotency-Key HTTP Header Field").
//!
//! Promised: requests with the same key and the same content make their links once, whoever was cut off when; the repetition gets the
//! answer of the first, marked `Idempotent-Replayed: true`. The same key with other content is 422, while the first is being worked on 409.
//! What failed is not remembered, so that it can be tried again under its key.
//! Refused: keeping what a client wrote: the store gets hashes, and the answer is made again from the request and the ids.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{body::Body, extract::FromRequestParts};
use http::{HeaderName, HeaderValue, Response, request::Parts};
use knurl_store::{StoreError, once::Once};
use sha2::{Digest, Sha256};

use super::auth;
use crate::{
    config::Auth,
    http::{
        HttpState,
        error::{Code, Error},
    },
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// As other interfaces have it; a UUID needs 36.
const KEY_BYTES_MAX: usize = 255;

/// The creates this node is working on. Each belongs to a request that is open, so there are never more than connections.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<Mutex<HashSet<[u8; 32]>>>);

impl InFlight {
    fn set(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        // Insertions and removals are its only changes: a panic leaves a whole set.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, id: [u8; 32]) -> Option<Entered> {
        self.set().insert(id).then(|| Entered { all: self.clone(), id })
    }
}

/// Being worked on, until dropped.
#[derive(Debug)]
struct Entered {
    all: InFlight,
    id: [u8; 32],
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.all.set().remove(&self.id);
    }
}

/// The key of a request, and what the request is besides its body.
#[derive(Debug)]
pub(super) struct IdempotencyKey {
    id: [u8; 32],
    fingerprint: Sha256,
}

/// A create under its key; while it lives, another request with the key is told to wait.
#[derive(Debug)]
pub(super) struct Keyed {
    pub(super) once: Once,
    _entered: Entered,
}

/// `None`: no key was sent.
#[derive(Debug)]
pub(super) struct MaybeKey(pub(super) Option<IdempotencyKey>);

impl FromRequestParts<Arc<HttpState>> for MaybeKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<HttpState>) -> Result<Self, Error> {
        let mut values = parts.headers.get_all(KEY).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let key = value.as_bytes();
        let visible = key.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !visible || values.next().is_some() {
            let detail = format!("Idempotency-Key must be one header of 1 to {KEY_BYTES_MAX} printable ASCII characters.");
            return Err(Error::new(Code::BadRequest).with_detail(detail));
        }
        // Whose key it is: nobody meets another's.
        let scope = match state.config.auth {
            Auth::Required => auth::bearer(&parts.headers).map(auth::hash),
            Auth::Open => None,
        };
        let id = Sha256::new().chain_update(scope.map_or([0; 32], |hash| hash.0)).chain_update(key).finalize().into();
        let fingerprint =
            Sha256::new().chain_update(parts.method.as_str()).chain_update([0]).chain_update(parts.uri.path()).chain_update([0]);
        Ok(Self(Some(IdempotencyKey { id, fingerprint })))
    }
}

impl IdempotencyKey {
    /// The create under this key: 409 where another request is at it.
    pub(super) fn enter(self, body: &[u8], state: &HttpState) -> Result<Keyed, Error> {
        let once = Once { id: self.id, fingerprint: self.fingerprint.chain_update(body).finalize().into() };
        match state.in_flight.enter(once.id) {
            Some(entered) => Ok(Keyed { once, _entered: entered }),
            None => {
                state.metrics.idempotency.in_flight.inc();
                Err(Error::new(Code::IdempotencyInFlight))
            }
        }
    }
}

impl Keyed {
    /// Whether it was done before, as the store says.
    pub(super) fn count(&self, state: &HttpState, is_replay: Result<bool, &StoreError>) {
        let counters = &state.metrics.idempotency;
        match is_replay {
            Ok(true) => counters.replayed.inc(),
            Err(StoreError::Reused) => counters.reused.inc(),
            Err(StoreError::InFlight) => counters.in_flight.inc(),
            Ok(false) | Err(_) => {}
        }
    }
}

pub(super) fn replayed(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
