//! The one way a failure leaves: RFC 9457 problem+json with a stable code, a public sentence and the request id.
//!
//! Promised: whatever failed, on every path and method, the answer has the same shape and a [`Code`] of the table; strangers get the
//! sentence, operators get the chain of causes, once, at the boundary, under the same request id.
//! Refused: internal text. A cause is logged, never answered; only sentences written in this crate reach a stranger.

mod code;

use std::borrow::Cow;

use axum::{body::Body, response::IntoResponse};
use http::{HeaderValue, Response, header};
use knurl_store::{Conflict, Reference, StoreError};

pub use crate::telemetry::RequestId;
use crate::telemetry::scope;
pub use code::{Code, Entry, TABLE};

/// `Content-Type` of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// What `type` begins with. A name, not an address: it stays the same whatever host, port or version answers, and no
/// short link can ever stand at it. `docs/reference/errors.md` explains each.
pub const TYPE_PREFIX: &str = "urn:knurl:error:";
/// Of a failing body, so many field errors are told; the rest would only repeat them.
pub const FIELD_ERRORS_MAX: usize = 32;
/// A path longer than this is cut in `instance`.
const INSTANCE_BYTES_MAX: usize = 256;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What is wrong with one field of a body or one parameter of a query.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    pub field: Cow<'static, str>,
    pub code: &'static str,
    pub message: Cow<'static, str>,
}

/// Boxed, so that a `Result` that carries it stays small.
#[derive(Debug)]
pub struct Error(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    detail: Option<Cow<'static, str>>,
    fields: Vec<FieldError>,
    /// Of a request for many, what became of each: [`Error::to_item`].
    results: Vec<serde_json::Value>,
    allow: Option<HeaderValue>,
    retry_after_s: Option<u32>,
    source: Option<Source>,
}

impl Error {
    pub fn new(code: Code) -> Self {
        Self(Box::new(Parts {
            code,
            detail: None,
            fields: Vec::new(),
            results: Vec::new(),
            allow: None,
            retry_after_s: None,
            source: None,
        }))
    }

    /// One field is wrong: 400 `invalid_field`, and the field's sentence is the answer's.
    pub fn field(field: impl Into<Cow<'static, str>>, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::fields(vec![FieldError { field: field.into(), code, message: message.into() }])
    }

    /// Several fields are wrong: the first one's sentence is the answer's.
    pub fn fields(fields: Vec<FieldError>) -> Self {
        Self::new(Code::InvalidField).with_fields(fields)
    }

    /// A query parameter is wrong: 400 `invalid_parameter`.
    pub fn parameter(name: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        let fields = vec![FieldError { field: name.into(), code: "invalid", message: message.into() }];
        Self::new(Code::InvalidParameter).with_fields(fields)
    }

    pub fn link_not_found() -> Self {
        Self::new(Code::LinkNotFound)
    }

    /// A bug or a damaged database: 500, with the cause in the log only.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::new(Code::Internal).caused_by(source)
    }

    /// Replaces the table's sentence. For strangers: no internal text.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn with_fields(mut self, mut fields: Vec<FieldError>) -> Self {
        fields.truncate(FIELD_ERRORS_MAX);
        if let Some(first) = fields.first() {
            self.0.detail = Some(first.message.clone());
        }
        self.0.fields = fields;
        self
    }

    /// The verdicts on each item of a request for many, all of them failures.
    #[must_use]
    pub fn with_results(mut self, results: Vec<serde_json::Value>) -> Self {
        self.0.results = results;
        self
    }

    /// The `Allow` of a 405.
    #[must_use]
    pub fn with_allow(mut self, allow: HeaderValue) -> Self {
        self.0.allow = Some(allow);
        self
    }

    /// Another `Retry-After` than the table's.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The store's failure behind it, where there is one.
    pub fn of_store(&self) -> Option<&StoreError> {
        self.0.source.as_deref()?.downcast_ref()
    }

    pub fn status(&self) -> http::StatusCode {
        self.0.code.entry().status()
    }

    /// The sentence a stranger gets.
    pub fn detail(&self) -> &str {
        self.0.detail.as_deref().unwrap_or(self.0.code.entry().sentence)
    }

    /// The failure as it stands inside another answer (an item of a bulk create). Ours are logged here, since they pass no boundary.
    pub fn to_item(&self) -> serde_json::Value {
        if self.status().is_server_error() {
            let cause = self.0.source.as_deref().map(|source| chain(source)).unwrap_or_default();
            tracing::error!(code = self.0.code.entry().code, cause, "an item of a bulk request failed");
        }
        serde_json::json!({ "code": self.0.code.entry().code, "status": self.status().as_u16(), "error": self.detail(), "errors": self.0.fields })
    }

    /// The answer. This is the boundary: the chain of causes is logged here, once. `instance` is the path asked for.
    pub fn answer(self, request_id: &RequestId, instance: &str) -> Response<Body> {
        scope::failed(self.0.code.entry().code);
        self.log(request_id);
        let entry = self.0.code.entry();
        let problem = Problem {
            r#type: &format!("{TYPE_PREFIX}{}", entry.code),
            title: entry.title,
            status: entry.status,
            detail: self.detail(),
            instance: cut(instance, INSTANCE_BYTES_MAX),
            code: entry.code,
            error: self.detail(),
            request_id: request_id.as_str(),
            errors: &self.0.fields,
            failed: (!self.0.results.is_empty()).then_some(self.0.results.len()),
            results: &self.0.results,
        };
        // A struct of strings and numbers always serialises; an empty body would still carry the status.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = entry.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(RequestId::HEADER, request_id.to_header());
        if let Some(seconds) = self.0.retry_after_s.or(entry.retry_after_s) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.0.allow {
            headers.insert(header::ALLOW, allow);
        }
        response
    }

    fn log(&self, request_id: &RequestId) {
        let (code, status) = (self.0.code.entry().code, self.status().as_u16());
        scope::of_request(*request_id, || {
            if self.status().is_server_error() {
                let cause = self.0.source.as_deref().map(|source| chain(source)).unwrap_or_default();
                tracing::error!(code, status, cause, "a request failed");
            } else {
                tracing::debug!(code, status, "a request was refused");
            }
        });
    }
}

#[derive(serde::Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'a str,
    error: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<usize>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    results: &'a [serde_json::Value],
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let taken = |code, field: &'static str, message: &'static str| {
            Self::new(code).with_fields(vec![FieldError { field: field.into(), code: "taken", message: message.into() }])
        };
        match error {
            StoreError::Conflict(Conflict::ShortCode) => taken(Code::ShortCodeTaken, "short_code", "This short code is taken."),
            StoreError::Conflict(Conflict::Username) => taken(Code::UsernameTaken, "username", "This username is taken."),
            StoreError::Conflict(Conflict::Email) => taken(Code::EmailTaken, "email", "This e-mail address is taken."),
            StoreError::MissingReference(Reference::User) => Self::new(Code::UserNotFound),
            StoreError::MissingReference(Reference::Link) => Self::new(Code::LinkNotFound),
            StoreError::Reused => Self::new(Code::IdempotencyKeyReused),
            StoreError::InFlight => Self::new(Code::IdempotencyInFlight),
            StoreError::Outdated => Self::new(Code::PreconditionFailed),
            StoreError::Overloaded => Self::new(Code::Overloaded).caused_by(error),
            StoreError::Unavailable(_) => Self::new(Code::Unavailable).caused_by(error),
            StoreError::Unsure { .. } => Self::new(Code::OutcomeUnknown).caused_by(error),
            StoreError::Full(_) => Self::new(Code::DiskFull).caused_by(error),
            StoreError::Moving => Self::new(Code::Moving),
            StoreError::TooNew { .. } | StoreError::Refused(_) | StoreError::Corrupt(_) | StoreError::Internal(_) => {
                Self::internal(error)
            }
        }
    }
}

/// Inside the API's router a failure travels in the response's extensions; the router's boundary, which knows request id and path,
/// turns it into the answer.
impl IntoResponse for Error {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(Travelling(std::sync::Arc::new(std::sync::Mutex::new(Some(self)))));
        response
    }
}

/// Extensions must be `Clone`; an error is not, so it travels in a cell that is emptied once.
#[derive(Clone, Debug)]
struct Travelling(std::sync::Arc<std::sync::Mutex<Option<Error>>>);

/// The failure a handler answered with, if it did.
pub fn take_travelling(response: &mut Response<Body>) -> Option<Error> {
    let cell = response.extensions_mut().remove::<Travelling>()?;
    cell.0.lock().ok()?.take()
}
