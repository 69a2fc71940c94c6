//! Hints: news of an edit, so that nodes whose feed is away forget sooner.
//!
//! Promised: a queue of [`HINTS_MAX`]; what does not fit is dropped and counted. A lost hint changes nothing but time: every node hears of
//! every change by its feed as well.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use knurl_core::ShortCode;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::{Notify, mpsc};

use crate::telemetry::{Metrics, redis::Hint as Counted};

/// Edits heard of and not acted on yet.
const HINTS_MAX: usize = 1_024;

/// This link has become this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    pub domain: String,
    pub code: ShortCode,
    pub version: i64,
}

/// The hints of other nodes, as they come.
#[derive(Debug)]
pub struct Hints {
    received: mpsc::Receiver<Hint>,
    arrived: Arc<Notify>,
}

impl Hints {
    /// The oldest that has not been taken.
    pub fn take(&mut self) -> Option<Hint> {
        self.received.try_recv().ok()
    }

    /// Resolves when there may be some.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

/// What Redis sends unasked.
#[derive(Clone, Debug)]
pub(super) struct Pushes {
    pub(super) inner: Arc<Taking>,
}

#[derive(Debug)]
pub(super) struct Taking {
    listener: ArcSwapOption<Listener>,
    /// Tells our own news from others'.
    node: u64,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Listener {
    sender: mpsc::Sender<Hint>,
    arrived: Arc<Notify>,
}

impl Pushes {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { inner: Arc::new(Taking { listener: ArcSwapOption::empty(), node: rand::random(), metrics }) }
    }

    pub(super) fn listen(&self) -> Hints {
        let (sender, received) = mpsc::channel(HINTS_MAX);
        let arrived = Arc::new(Notify::new());
        self.inner.listener.store(Some(Arc::new(Listener { sender, arrived: Arc::clone(&arrived) })));
        Hints { received, arrived }
    }

    pub(super) fn channel(&self, prefix: &str) -> String {
        format!("{prefix}:edits")
    }

    /// `NODE VERSION CODE DOMAIN`: only the last may hold a blank, or nothing.
    pub(super) fn news(&self, domain: &str, code: &ShortCode, version: i64) -> String {
        format!("{:x} {version} {} {domain}", self.inner.node, code.as_str())
    }
}

impl Taking {
    /// Never waits: it runs where the connection is read.
    pub(super) fn take(&self, push: &PushInfo) {
        if push.kind != PushKind::Message {
            return;
        }
        let counted = match push.data.as_slice() {
            [_, Value::BulkString(news)] => match parse(news) {
                Some((node, _)) if node == self.node => return,
                Some((_, hint)) => self.pass(hint),
                None => Counted::Unreadable,
            },
            _ => Counted::Unreadable,
        };
        self.metrics.redis.hint(counted);
    }

    fn pass(&self, hint: Hint) -> Counted {
        match self.listener.load().as_ref() {
            Some(listener) if listener.sender.try_send(hint).is_ok() => {
                listener.arrived.notify_one();
                Counted::Received
            }
            _ => Counted::Dropped,
        }
    }
}

fn parse(news: &[u8]) -> Option<(u64, Hint)> {
    let mut parts = std::str::from_utf8(news).ok()?.splitn(4, ' ');
    let node = u64::from_str_radix(parts.next()?, 16).ok()?;
    let version = parts.next()?.parse().ok()?;
    let code = ShortCode::parse(parts.next()?).ok()?;
    Some((node, Hint { domain: parts.next()?.to_owned(), code, version }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(data: &[&[u8]]) -> PushInfo {
        PushInfo { kind: PushKind::Message, data: data.iter().map(|part| Value::BulkString(part.to_vec())).collect() }
    }

    #[test]
    fn news_of_others_arrives_our_own_does_not_and_nothing_else_passes() {
        let (ours, theirs) = (Pushes::new(Arc::default()), Pushes::new(Arc::default()));
        let mut hints = ours.listen();
        let code = ShortCode::parse("abc").unwrap();
        for news in [ours.news("", &code, 1), theirs.news("sho.rt", &code, 7), theirs.news("", &code, 8)] {
            ours.inner.take(&push(&[b"channel", news.as_bytes()]));
        }
        for nonsense in [&b"nonsense"[..], b"1 2 a/b ", b"1 x abc ", b"\xff", b""] {
            ours.inner.take(&push(&[b"channel", nonsense]));
        }
        ours.inner.take(&push(&[]));
        let expected = [("sho.rt", 7), ("", 8)];
        for (domain, version) in expected {
            assert_eq!(hints.take(), Some(Hint { domain: domain.to_owned(), code: code.clone(), version }));
        }
        let metrics = &ours.inner.metrics.redis;
        assert_eq!((metrics.hints(Counted::Received), metrics.hints(Counted::Unreadable)), (2, 6));
    }

    #[test]
    fn more_than_fit_are_dropped_and_counted() {
        let (ours, theirs) = (Pushes::new(Arc::default()), Pushes::new(Arc::default()));
        let _hints = ours.listen();
        let news = theirs.news("", &ShortCode::parse("abc").unwrap(), 1);
        for _ in 0..HINTS_MAX + 10 {
            ours.inner.take(&push(&[b"channel", news.as_bytes()]));
        }
        assert_eq!(ours.inner.metrics.redis.hints(Counted::Dropped), 10);
    }
}
