//! A body that is read piece by piece, within bounds: of all its bytes, and of the time each piece may take.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use http_body_util::BodyExt;

/// Why reading ended before the body did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cut {
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the next piece of the body did not come in time")]
    TooSlow,
    #[error("the body broke off")]
    Broken,
}

pub(super) type Pieces = BoxStream<'static, Result<Bytes, Cut>>;

/// Remembers why the pieces ended: what reads them wraps the error beyond recognition.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending(Arc<OnceLock<Cut>>);

impl Ending {
    pub(super) fn cut(&self) -> Option<Cut> {
        self.0.get().copied()
    }
}

struct Reading {
    body: Body,
    bytes_left: usize,
    bytes_max: usize,
    piece_timeout: Duration,
}

pub(super) fn pieces(body: Body, bytes_max: usize, piece_timeout: Duration) -> (Pieces, Ending) {
    let ending = Ending::default();
    let noted = ending.clone();
    let reading = Reading { body, bytes_left: bytes_max, bytes_max, piece_timeout };
    let pieces = stream::try_unfold(reading, Reading::step).inspect(move |piece| {
        if let Err(cut) = piece {
            noted.0.get_or_init(|| *cut);
        }
    });
    (pieces.boxed(), ending)
}

impl Reading {
    async fn step(mut self) -> Result<Option<(Bytes, Self)>, Cut> {
        let frame = tokio::time::timeout(self.piece_timeout, self.body.frame()).await.map_err(|_| Cut::TooSlow)?;
        let Some(frame) = frame else { return Ok(None) };
        // Trailers are not looked at.
        let piece = frame.map_err(|_| Cut::Broken)?.into_data().unwrap_or_default();
        self.bytes_left = self.bytes_left.checked_sub(piece.len()).ok_or(Cut::TooLarge(self.bytes_max))?;
        Ok(Some((piece, self)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    async fn read(body: Body, bytes_max: usize) -> (Result<Vec<Bytes>, Cut>, Option<Cut>) {
        let (pieces, ending) = pieces(body, bytes_max, Duration::from_millis(20));
        (pieces.try_collect().await, ending.cut())
    }

    #[tokio::test]
    async fn a_body_within_the_bound_is_read_whole() {
        assert_eq!(read(Body::from("12345"), 5).await, (Ok(vec![Bytes::from("12345")]), None));
    }

    #[tokio::test]
    async fn a_body_beyond_the_bound_is_cut() {
        assert_eq!(read(Body::from("123456"), 5).await, (Err(Cut::TooLarge(5)), Some(Cut::TooLarge(5))));
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_cut() {
        let stalled = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(stalled, 5).await, (Err(Cut::TooSlow), Some(Cut::TooSlow)));
    }
}
