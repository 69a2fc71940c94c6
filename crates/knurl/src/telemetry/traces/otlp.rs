//! OTLP: finished traces as protobuf, over gRPC (HTTP/2) or HTTP/1.1.
//!
//! The messages are the OpenTelemetry project's own; a call is one POST on a connection of hyper's that is kept, so that the only things
//! of gRPC that are ours are the five bytes before a message and the status after it.
//!
//! Promised: an answer longer than [`ANSWER_BYTES_MAX`] is no answer. Refused: deadlines and another attempt, which are the exporter's.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{self as proto, ResourceSpans, ScopeSpans, span::SpanKind, status::StatusCode as SpanStatus},
};
use prost::Message;
use tokio::net::TcpStream;

use super::{
    recording::Finished,
    span::{Kind, Span, Value},
};
use crate::config::{OtlpEndpoint as Endpoint, OtlpProtocol};

const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// An answer says how many spans were refused, and why.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Before a message of gRPC: not compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// Bits 8 and 9 of a span's flags: whether its parent is another process's is known, and is so.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

pub(super) struct Otlp {
    endpoint: Endpoint,
    resource: Resource,
    /// Taken while it is in use: an attempt that is given up closes it.
    kept: Option<Kept>,
}

enum Kept {
    Http(conn::http1::SendRequest<Full<Bytes>>),
    Grpc(conn::http2::SendRequest<Full<Bytes>>),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("it cannot be reached: {0}")]
    Connect(#[from] std::io::Error),
    #[error("the connection broke: {0}")]
    Http(#[from] hyper::Error),
    #[error("it answered with the status {0}")]
    Status(StatusCode),
    #[error("it answered with the gRPC status {0}")]
    GrpcStatus(String),
    #[error("its answer cannot be read")]
    Answer,
    #[error("it refused {0} spans")]
    Refused(i64),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Otlp {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        // Who this process is, for as long as it lives: neither its machine's name nor its address.
        let instance = format!("{:032x}", rand::random::<u128>());
        let attributes = vec![
            text("service.name", "knurl"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &instance),
        ];
        let resource = Resource { attributes, ..Resource::default() };
        Self { endpoint, resource, kept: None }
    }

    pub(super) fn hang_up(&mut self) {
        self.kept = None;
    }

    /// One attempt; the next one begins with a new connection where this one failed.
    pub(super) async fn send(&mut self, batch: &[Finished]) -> Result<(), SendError> {
        let message = self.message(batch);
        let mut kept = match self.kept.take().filter(Kept::is_open) {
            Some(kept) => kept,
            None => Kept::connect(&self.endpoint).await?,
        };
        let answer = match &mut kept {
            Kept::Http(connection) => {
                connection.ready().await?;
                plain_answer(connection.send_request(self.request(message.into())?).await?).await?
            }
            Kept::Grpc(connection) => {
                connection.ready().await?;
                grpc_answer(connection.send_request(self.request(framed(&message))?).await?).await?
            }
        };
        self.kept = Some(kept);
        let answer = ExportTraceServiceResponse::decode(answer).map_err(|_| SendError::Answer)?;
        match answer.partial_success.map_or(0, |partial| partial.rejected_spans) {
            0 => Ok(()),
            refused => Err(SendError::Refused(refused)),
        }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
        let request = Request::builder().method(Method::POST);
        let request = match self.endpoint.protocol {
            OtlpProtocol::Http => request
                .uri(&self.endpoint.path)
                .header(header::HOST, self.endpoint.authority())
                .header(header::CONTENT_TYPE, "application/x-protobuf"),
            OtlpProtocol::Grpc => request
                .uri(format!("http://{}{GRPC_PATH}", self.endpoint.authority()))
                .header(header::CONTENT_TYPE, "application/grpc")
                .header(header::TE, "trailers"),
        };
        request.header(header::USER_AGENT, concat!("knurl/", env!("CARGO_PKG_VERSION"))).body(Full::new(body))
    }

    fn message(&self, batch: &[Finished]) -> Vec<u8> {
        let spans = batch.iter().flat_map(|finished| finished.spans.iter().map(|span| span_of(span, finished))).collect();
        let scope = InstrumentationScope { name: "knurl".to_owned(), ..InstrumentationScope::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let resource_spans = ResourceSpans { resource: Some(self.resource.clone()), scope_spans, ..ResourceSpans::default() };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
    }
}

impl Kept {
    async fn connect(endpoint: &Endpoint) -> Result<Self, SendError> {
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
        // What is said is said in one piece.
        let _ = stream.set_nodelay(true);
        let stream = TokioIo::new(stream);
        // Each connection is driven by a task of its own, which ends with it.
        Ok(match endpoint.protocol {
            OtlpProtocol::Http => {
                let (sender, connection) = conn::http1::handshake(stream).await?;
                tokio::spawn(connection);
                Self::Http(sender)
            }
            OtlpProtocol::Grpc => {
                let (sender, connection) = conn::http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Self::Grpc(sender)
            }
        })
    }

    fn is_open(&self) -> bool {
        match self {
            Self::Http(connection) => !connection.is_closed(),
            Self::Grpc(connection) => !connection.is_closed(),
        }
    }
}

async fn plain_answer(response: Response<Incoming>) -> Result<Bytes, SendError> {
    let status = response.status();
    let body = read(response.into_body()).await?.0;
    if status.is_success() { Ok(body) } else { Err(SendError::Status(status)) }
}

async fn grpc_answer(response: Response<Incoming>) -> Result<Bytes, SendError> {
    let (parts, body) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Err(SendError::Status(parts.status));
    }
    let (body, trailers) = read(body).await?;
    // Where there is no message the status stands in the header.
    let status = trailers.get("grpc-status").or_else(|| parts.headers.get("grpc-status"));
    match status.map(http::HeaderValue::as_bytes) {
        Some(b"0") if body.len() >= PREFIX_BYTES && body[0] == 0 => Ok(body.slice(PREFIX_BYTES..)),
        Some(b"0") => Err(SendError::Answer),
        Some(status) => Err(SendError::GrpcStatus(String::from_utf8_lossy(status).into_owned())),
        None => Err(SendError::Answer),
    }
}

async fn read(body: Incoming) -> Result<(Bytes, HeaderMap), SendError> {
    let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|_| SendError::Answer)?;
    let trailers = read.trailers().cloned().unwrap_or_default();
    Ok((read.to_bytes(), trailers))
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    // A batch is bounded far below this.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

fn span_of(span: &Span, of: &Finished) -> proto::Span {
    let kind = match span.kind {
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
    };
    let is_remote = if span.kind == Kind::Server && span.parent != 0 { IS_REMOTE } else { 0 };
    let mut attributes: Vec<KeyValue> = span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let status = span.error.map(|error| {
        attributes.push(text("error.type", error));
        proto::Status { code: SpanStatus::Error.into(), message: String::new() }
    });
    proto::Span {
        trace_id: of.trace_id.to_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: if span.parent == 0 { Vec::new() } else { span.parent.to_be_bytes().to_vec() },
        trace_state: of.state.as_deref().unwrap_or_default().to_owned(),
        flags: 1 | HAS_IS_REMOTE | is_remote,
        name: span.name.clone().into_owned(),
        kind: kind.into(),
        start_time_unix_nano: of.clock.unix_ns(span.began),
        end_time_unix_nano: of.clock.unix_ns(span.ended),
        attributes,
        status,
        ..proto::Span::default()
    }
}

fn attribute(key: &str, value: &Value) -> KeyValue {
    match value {
        Value::Word(word) => text(key, word),
        Value::Text(long) => text(key, long),
        Value::Number(number) => key_value(key, any_value::Value::IntValue(*number)),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, any_value::Value::StringValue(value.to_owned()))
}

fn key_value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
