//! A body that is read piece by piece, within bounds: of all its bytes, of the time each piece may take, and of the time they take together.

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
use tokio::time::Instant;

/// Whoever sends less than this for long holds a place and does not mean to be done: such a body may be waited for as long as for one piece,
/// and no longer. The slowest telephone line sends more.
const BYTES_PER_S_MIN: u32 = 1024;

/// Why reading ended before the body did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cut {
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not come in time")]
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
    /// For one piece.
    piece_timeout: Duration,
    /// What is left of it for the next one. Bytes that come give it back.
    patience: Duration,
}

pub(super) fn pieces(body: Body, bytes_max: usize, piece_timeout: Duration) -> (Pieces, Ending) {
    let ending = Ending::default();
    let noted = ending.clone();
    let reading = Reading { body, bytes_left: bytes_max, bytes_max, piece_timeout, patience: piece_timeout };
    let pieces = stream::try_unfold(reading, Reading::step).inspect(move |piece| {
        if let Err(cut) = piece {
            noted.0.get_or_init(|| *cut);
        }
    });
    (pieces.boxed(), ending)
}

impl Reading {
    async fn step(mut self) -> Result<Option<(Bytes, Self)>, Cut> {
        let begun = Instant::now();
        let frame = tokio::time::timeout(self.patience, self.body.frame()).await.map_err(|_| Cut::TooSlow)?;
        let Some(frame) = frame else { return Ok(None) };
        // Trailers are not looked at.
        let piece = frame.map_err(|_| Cut::Broken)?.into_data().unwrap_or_default();
        let earned = Duration::from_secs(1).saturating_mul(u32::try_from(piece.len()).unwrap_or(u32::MAX)) / BYTES_PER_S_MIN;
        self.patience = self.patience.saturating_sub(begun.elapsed()).saturating_add(earned).min(self.piece_timeout);
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

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_cut_and_one_that_is_slow_is_not() {
        for (bytes, pause_ms, whole) in [(1, 3_000, false), (1_000, 3_000, false), (3_072, 3_000, true), (60_000, 19_000, true)] {
            let drops = stream::unfold(0, move |n| async move {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                (n < 100).then(|| (Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes])), n + 1))
            });
            let (pieces, ending) = pieces(Body::from_stream(drops), usize::MAX, Duration::from_secs(20));
            let read: Result<Vec<_>, _> = pieces.try_collect().await;
            assert_eq!(
                (read.is_ok(), ending.cut()),
                (whole, (!whole).then_some(Cut::TooSlow)),
                "{bytes} bytes every {pause_ms} ms"
            );
        }
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_cut() {
        let stalled = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(stalled, 5).await, (Err(Cut::TooSlow), Some(Cut::TooSlow)));
    }
}
