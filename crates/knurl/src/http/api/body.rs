//! Bodies: read within bounds of size and time, and only where they claim to be JSON.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::FromRequest};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, header};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::http::{
    HttpState,
    admission::{Class, Place},
    error::{Code, Error},
};

/// Of the request's deadline the body may use nine tenths: who is slow is told so, before the deadline puts the blame on us.
fn body_deadline(request_timeout: Duration) -> Duration {
    request_timeout.saturating_mul(9) / 10
}

/// The whole body of a request that does not declare anything but JSON, and the place the request has taken with it.
#[derive(Debug)]
pub(super) struct JsonBody(pub(super) Bytes, #[expect(dead_code, reason = "held until the handler is done")] Place);

impl FromRequest<Arc<HttpState>> for JsonBody {
    type Rejection = Error;

    async fn from_request(request: Request<Body>, state: &Arc<HttpState>) -> Result<Self, Error> {
        accept_json(request.headers())?;
        let http = &state.config.http;
        let reading = read(request.into_body(), http.body_bytes_max);
        match tokio::time::timeout(body_deadline(http.request_timeout), reading).await {
            Ok(bytes) => {
                let bytes = bytes?;
                Ok(Self(bytes, state.admission.enter(Class::Create).await?))
            }
            Err(_elapsed) => Err(Error::new(Code::BodyTimeout)),
        }
    }
}

/// JSON is what is declared to be, and what is not declared to be anything.
fn accept_json(headers: &HeaderMap) -> Result<(), Error> {
    accept_plain(headers)?;
    match headers.get(header::CONTENT_TYPE) {
        None => Ok(()),
        Some(value) if is_json(value.as_bytes()) => Ok(()),
        Some(_) => Err(Error::new(Code::UnsupportedMediaType)),
    }
}

/// No body is unpacked here.
pub(super) fn accept_plain(headers: &HeaderMap) -> Result<(), Error> {
    let encoded = headers.get(header::CONTENT_ENCODING).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded {
        return Err(Error::new(Code::UnsupportedMediaType).with_detail("Send the body without Content-Encoding."));
    }
    Ok(())
}

/// `application/json`, `text/json` or `application/<anything>+json`, in UTF-8.
fn is_json(content_type: &[u8]) -> bool {
    // What nearly everybody sends.
    if content_type.eq_ignore_ascii_case(b"application/json") {
        return true;
    }
    let Ok(text) = std::str::from_utf8(content_type) else { return false };
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let Some(kind) = parts.next() else { return false };
    let json = matches!(kind.as_str(), "application/json" | "text/json" | "")
        || kind.strip_prefix("application/").is_some_and(|subtype| subtype.ends_with("+json"));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some(("charset", charset)) => matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"),
        _ => true,
    });
    json && utf8
}

async fn read(mut body: Body, bytes_max: usize) -> Result<Bytes, Error> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    let Some(first) = next_piece(&mut body).await? else { return Ok(Bytes::new()) };
    // Nearly every body comes in one piece: no copy.
    if body.is_end_stream() && first.len() <= bytes_max {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    loop {
        if whole.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        match next_piece(&mut body).await? {
            Some(piece) => whole.extend_from_slice(&piece),
            None => return Ok(whole.freeze()),
        }
    }
}

/// `None` at the end.
async fn next_piece(body: &mut Body) -> Result<Option<Bytes>, Error> {
    loop {
        let Some(frame) = body.frame().await else { return Ok(None) };
        let frame = frame.map_err(|error| Error::new(Code::BadRequest).with_detail("The body broke off.").caused_by(error))?;
        // Trailers are not looked at.
        if let Ok(piece) = frame.into_data() {
            return Ok(Some(piece));
        }
    }
}

fn too_large(bytes_max: usize) -> Error {
    Error::new(Code::BodyTooLarge).with_detail(format!("The body is larger than {bytes_max} bytes."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_utf8_json_counts_as_json() {
        for json in
            ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/problem+json", "text/json"]
        {
            assert!(is_json(json.as_bytes()), "{json}");
        }
        for other in
            ["text/plain", "application/json; charset=latin1", "application/xml", "application/x-www-form-urlencoded", "json"]
        {
            assert!(!is_json(other.as_bytes()), "{other}");
        }
        assert!(!is_json(b"application/\xff"));
    }
}
