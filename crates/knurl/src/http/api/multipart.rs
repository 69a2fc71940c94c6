//! One field out of a `multipart/form-data` body (RFC 7578), streamed.
//!
//! Hand-written because the usual reader buffers whatever the socket has ready and a part's header without bound; here at most
//! [`HEADER_BYTES_MAX`] and one piece of the body are held.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};

use super::upload::Pieces;

/// Of one part: a disposition and a type.
const HEADER_BYTES_MAX: usize = 8 * 1024;
/// RFC 2046, 5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;
/// Parts before the field asked for.
const PARTS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MultipartError {
    #[error("the body could not be read")]
    Body(#[source] super::upload::Cut),
    #[error("the multipart body ends too early")]
    Short,
    #[error("the multipart body is malformed")]
    Malformed,
    #[error("the multipart body has no field '{0}'")]
    NoField(&'static str),
}

/// The `boundary` of a content type.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let parameter = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    let fine =
        !parameter.is_empty() && parameter.len() <= BOUNDARY_BYTES_MAX && parameter.bytes().all(|b| (0x20..0x7f).contains(&b));
    fine.then(|| parameter.to_owned())
}

/// Reads up to the field `name`, then hands out its bytes as they come.
pub(super) async fn field(
    pieces: Pieces,
    boundary: &str,
    name: &'static str,
) -> Result<stream::BoxStream<'static, Result<Bytes, MultipartError>>, MultipartError> {
    let mut reader = Reader::new(pieces, boundary);
    for _ in 0..PARTS_MAX {
        reader.skip_part().await?;
        match reader.header().await? {
            None => return Err(MultipartError::NoField(name)),
            Some(header) if is_named(&header, name) => return Ok(stream::try_unfold(reader, Reader::step).boxed()),
            Some(_) => {}
        }
    }
    Err(MultipartError::NoField(name))
}

struct Reader {
    pieces: Pieces,
    buffer: BytesMut,
    /// Line break, two dashes, boundary.
    delimiter: Vec<u8>,
    ended: bool,
}

impl Reader {
    fn new(pieces: Pieces, boundary: &str) -> Self {
        // The first delimiter may stand at the very beginning, without its line break.
        Self { pieces, buffer: BytesMut::from("\r\n"), delimiter: format!("\r\n--{boundary}").into_bytes(), ended: false }
    }

    async fn more(&mut self) -> Result<(), MultipartError> {
        let piece = self.pieces.next().await.ok_or(MultipartError::Short)?.map_err(MultipartError::Body)?;
        self.buffer.extend_from_slice(&piece);
        Ok(())
    }

    /// Content that certainly belongs to the part; `None` at its end, with the delimiter consumed.
    async fn content(&mut self) -> Result<Option<Bytes>, MultipartError> {
        loop {
            if let Some(at) = find(&self.buffer, &self.delimiter) {
                if at > 0 {
                    return Ok(Some(self.buffer.split_to(at).freeze()));
                }
                let _ = self.buffer.split_to(self.delimiter.len());
                return Ok(None);
            }
            // The tail may be the beginning of a delimiter.
            let certain = (self.buffer.len() + 1).saturating_sub(self.delimiter.len());
            if certain > 0 {
                return Ok(Some(self.buffer.split_to(certain).freeze()));
            }
            self.more().await?;
        }
    }

    async fn skip_part(&mut self) -> Result<(), MultipartError> {
        while self.content().await?.is_some() {}
        Ok(())
    }

    /// The header lines after a delimiter; `None` after the last one.
    async fn header(&mut self) -> Result<Option<Bytes>, MultipartError> {
        loop {
            if self.buffer.starts_with(b"--") {
                return Ok(None);
            }
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let header = self.buffer.split_to(at).freeze();
                let _ = self.buffer.split_to(4);
                // So that an empty part's delimiter is found, which shares its line break with the header's end.
                let mut rest = BytesMut::from("\r\n");
                if self.buffer.starts_with(&self.delimiter[2..]) {
                    rest.unsplit(self.buffer.split());
                    self.buffer = rest;
                }
                return Ok(Some(header));
            }
            if self.buffer.len() > HEADER_BYTES_MAX {
                return Err(MultipartError::Malformed);
            }
            self.more().await?;
        }
    }

    async fn step(mut self) -> Result<Option<(Bytes, Self)>, MultipartError> {
        if self.ended {
            return Ok(None);
        }
        match self.content().await? {
            Some(content) => Ok(Some((content, self))),
            None => {
                self.ended = true;
                Ok(None)
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Whether the part's `Content-Disposition` names the field.
fn is_named(header: &[u8], name: &str) -> bool {
    let text = String::from_utf8_lossy(header);
    let disposition = text.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    disposition.is_some_and(|value| {
        value.split(';').skip(1).any(|parameter| {
            let Some((key, given)) = parameter.split_once('=') else { return false };
            key.trim().eq_ignore_ascii_case("name") && given.trim().trim_matches('"') == name
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use futures_util::TryStreamExt;

    use super::{super::upload, *};

    /// The field `file` of a body that arrives in pieces of `step` bytes.
    async fn file(body: &str, step: usize) -> Result<String, MultipartError> {
        let parts: Vec<Result<Bytes, std::io::Error>> =
            body.as_bytes().chunks(step).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        let (pieces, _) = upload::pieces(Body::from_stream(stream::iter(parts)), usize::MAX, Duration::from_secs(5));
        let content: Vec<Bytes> = field(pieces, "XyZ", "file").await?.try_collect().await?;
        Ok(String::from_utf8(content.concat()).expect("text"))
    }

    const BODY: &str = "preamble\r\n--XyZ\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nfile\r\n--XyZ\r\ncontent-disposition: form-data; \
                        name=\"file\"; filename=\"users.csv\"\r\nContent-Type: text/csv\r\n\r\nid,name\r\n1,--XyZ\r\n\r\n--Xy\r\n--XyZ--\r\n";

    #[tokio::test]
    async fn the_field_is_found_however_the_body_is_cut_into_pieces() {
        for step in 1..BODY.len() {
            assert_eq!(file(BODY, step).await.as_deref(), Ok("id,name\r\n1,--XyZ\r\n\r\n--Xy"), "pieces of {step}");
        }
    }

    #[tokio::test]
    async fn an_empty_field_is_empty() {
        let body = "--XyZ\r\nContent-Disposition: form-data; name=file\r\n\r\n\r\n--XyZ--";
        assert_eq!(file(body, 3).await.as_deref(), Ok(""));
        let body = "--XyZ\r\nContent-Disposition: form-data; name=file\r\n\r\n--XyZ--";
        assert_eq!(file(body, 200).await.as_deref(), Ok(""));
    }

    #[tokio::test]
    async fn a_body_without_the_field_or_its_end_is_an_error() {
        assert_eq!(
            file("--XyZ\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--XyZ--", 7).await,
            Err(MultipartError::NoField("file"))
        );
        assert_eq!(file("--XyZ--", 7).await, Err(MultipartError::NoField("file")));
        assert_eq!(file(&BODY[..BODY.len() - 20], 7).await, Err(MultipartError::Short));
        assert_eq!(file("", 7).await, Err(MultipartError::Short));
        assert_eq!(file("id,username\n1,a", 7).await, Err(MultipartError::Short));
    }

    #[tokio::test]
    async fn an_endless_part_header_is_refused() {
        let body = format!("--XyZ\r\n{}", "x".repeat(HEADER_BYTES_MAX * 2));
        assert_eq!(file(&body, 1000).await, Err(MultipartError::Malformed));
    }

    #[test]
    fn the_boundary_is_read_from_the_content_type() {
        assert_eq!(boundary("multipart/form-data; boundary=abc").as_deref(), Some("abc"));
        assert_eq!(boundary("multipart/form-data; charset=utf-8; Boundary=\"a b\"").as_deref(), Some("a b"));
        for wrong in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\u{7f}"] {
            assert_eq!(boundary(wrong), None);
        }
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "b".repeat(71))), None);
    }
}
