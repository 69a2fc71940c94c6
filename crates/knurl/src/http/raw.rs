//! Errors as bytes, for where hyper is not there to write them: before a connection is served, and after it gave one up.

use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;

use super::error::{Code, Error, RequestId};

/// The whole answer, which also says that the connection ends.
pub(super) fn closing(error: Error) -> Bytes {
    render(error.answer(&RequestId::random(), "/"))
}

/// What a connection beyond the cap is told: rendered once, since it is sent when there is no time.
pub(super) static OVERLOADED: LazyLock<Bytes> = LazyLock::new(|| {
    let detail = "Too many connections are open; try again shortly.";
    closing(Error::new(Code::Overloaded).with_detail(detail))
});

fn render(answer: http::Response<axum::body::Body>) -> Bytes {
    let (head, body) = answer.into_parts();
    // An error's body is whole from the start: collecting it waits for nothing.
    let body = body.collect().now_or_never().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut out = Vec::with_capacity(512 + body.len());
    let status = head.status;
    let line = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or("Error"));
    out.extend_from_slice(line.as_bytes());
    for (name, value) in &head.headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&jiff::Timestamp::now()).unwrap_or_default();
    out.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\ndate: {date}\r\n\r\n", body.len()).as_bytes());
    out.extend_from_slice(&body);
    out.into()
}
