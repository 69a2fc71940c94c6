//! The TCP stream under a connection: tells [`Vitals`] what moves, and puts a proper error in the place of hyper's bare one.
//!
//! hyper answers a request it cannot parse with an empty 400, 414 or 431 of its own and gives no way to say more. Such an answer is
//! recognised on its way out (nothing of ours ever looks like it: our errors have bodies) and replaced by the problem+json every other
//! error is. Writes are not vectored, so that the answer arrives here in one piece.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    error::{Code, Error},
    raw,
    vitals::Vitals,
};

#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    vitals: Arc<Vitals>,
    /// What is left to write of the answer that stands for hyper's.
    instead: Option<Bytes>,
    /// Whether hyper has found the request malformed and the peer was told.
    pub(super) told: bool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, vitals: Arc<Vitals>) -> Self {
        Self { stream, vitals, instead: None, told: false }
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => {
                self.vitals.blocked();
                Poll::Pending
            }
            done => {
                self.vitals.wrote();
                done
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.vitals.read(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Some((at, code)) = bare_answer(buf) else { return self.write(cx, buf) };
        if at > 0 {
            // Answers to the requests before it go first.
            return self.write(cx, &buf[..at]);
        }
        let code = match code {
            Code::HeaderTooLarge if !self.vitals.request_line_ended() => Code::UriTooLong,
            Code::HeaderTooLarge if self.vitals.declares_endless_body() => Code::BodyTooLarge,
            code => code,
        };
        self.told = true;
        let error = match code {
            Code::HeaderTooLarge => Error::new(code).with_detail(HEADER_TOO_LARGE),
            code => Error::new(code),
        };
        self.instead = Some(raw::closing(error));
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(mut left) = self.instead.take() {
            let written = match self.write(cx, &left) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.instead = Some(left);
                    return Poll::Pending;
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            left.advance(written);
            if left.has_remaining() {
                self.instead = Some(left);
            }
        }
        // A TCP stream has nothing to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// hyper's own answers to what it cannot parse; their length is fixed.
const BARE: [(&[u8], Code); 3] = [
    (b" 400 Bad Request\r\n", Code::BadRequest),
    (b" 414 URI Too Long\r\n", Code::UriTooLong),
    (b" 431 Request Header Fields Too Large\r\n", Code::HeaderTooLarge),
];
/// hyper takes a hundred fields, and does not say which of the two it was.
const HEADER_TOO_LARGE: &str = "The header of the request has more bytes than are taken, or more than 100 fields.";
const VERSION: &[u8] = b"HTTP/1.";
const BARE_HEADERS: usize = "connection: close\r\ncontent-length: 0\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n".len();

/// Where such an answer begins, if `buf` ends with one: three short comparisons for everything else.
fn bare_answer(buf: &[u8]) -> Option<(usize, Code)> {
    BARE.iter().find_map(|&(status, code)| {
        let at = buf.len().checked_sub(VERSION.len() + 1 + status.len() + BARE_HEADERS)?;
        let (version, rest) = buf[at..].split_at(VERSION.len());
        let is_bare = version == VERSION && rest[1..].starts_with(status) && buf.ends_with(b"\r\n\r\n");
        is_bare.then_some((at, code))
    })
}
