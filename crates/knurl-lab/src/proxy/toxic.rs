//! A toxic: one way in which a connection goes bad, in Toxiproxy's names and JSON.
//!
//! Pure: [`Treatment`] says what becomes of a chunk (when it goes, in which pieces, whether the connection ends with it), and somebody
//! else waits and writes. `down` is no toxic but a proxy that is not enabled, as there. One is ours: `cut_at_pattern`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dice::Dice;

/// Waits longer than this are no fault but a mistake.
const WAIT_MS_MAX: u64 = 3_600_000;
const PATTERN_BYTES_MAX: usize = 256;
/// With a bandwidth, pieces are as long as this many of them make a second.
const PIECES_A_SECOND: u64 = 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client to the server.
    Upstream,
    /// From the server to the client.
    #[default]
    Downstream,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "attributes", rename_all = "snake_case")]
pub enum ToxicKind {
    /// Every chunk goes `latency` ms later, give or take `jitter`.
    Latency {
        latency: u64,
        #[serde(default)]
        jitter: u64,
    },
    /// KB a second.
    Bandwidth { rate: u64 },
    /// The end of the stream goes on `delay` ms later.
    SlowClose { delay: u64 },
    /// Nothing goes through; after `timeout` ms the connection is closed, with 0 when the toxic is removed.
    Timeout { timeout: u64 },
    /// The connection is reset after `timeout` ms.
    ResetPeer {
        #[serde(default)]
        timeout: u64,
    },
    /// Chunks are cut into pieces of `average_size` bytes, give or take `size_variation`, `delay` us apart.
    Slicer {
        average_size: u64,
        #[serde(default)]
        size_variation: u64,
        #[serde(default)]
        delay: u64,
    },
    /// The connection is closed after so many bytes.
    LimitData { bytes: u64 },
    /// A chunk that completes `pattern` (ASCII case aside) is swallowed and the connection reset, with this probability at each one.
    /// Downstream with PostgreSQL's `COMMIT\0` it is the commit that happened and whose reply was lost.
    CutAtPattern {
        pattern: String,
        #[serde(default = "one")]
        probability: f64,
    },
}

fn one() -> f64 {
    1.0
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Toxic {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub stream: Direction,
    /// The share of connections it applies to.
    #[serde(default = "one")]
    pub toxicity: f64,
    #[serde(flatten)]
    pub kind: ToxicKind,
}

impl Toxic {
    /// For all connections, under its default name.
    pub fn new(stream: Direction, kind: ToxicKind) -> Self {
        let mut toxic = Self { name: String::new(), stream, toxicity: 1.0, kind };
        toxic.name = toxic.default_name();
        toxic
    }

    /// `latency_downstream`.
    pub fn default_name(&self) -> String {
        let kind = match self.kind {
            ToxicKind::Latency { .. } => "latency",
            ToxicKind::Bandwidth { .. } => "bandwidth",
            ToxicKind::SlowClose { .. } => "slow_close",
            ToxicKind::Timeout { .. } => "timeout",
            ToxicKind::ResetPeer { .. } => "reset_peer",
            ToxicKind::Slicer { .. } => "slicer",
            ToxicKind::LimitData { .. } => "limit_data",
            ToxicKind::CutAtPattern { .. } => "cut_at_pattern",
        };
        let stream = if self.stream == Direction::Upstream { "upstream" } else { "downstream" };
        format!("{kind}_{stream}")
    }

    /// What is wrong with it.
    pub fn fault(&self) -> Option<&'static str> {
        let share = |share: f64| (0.0..=1.0).contains(&share);
        let waits = match &self.kind {
            ToxicKind::Latency { latency, jitter } => [*latency, *jitter],
            ToxicKind::SlowClose { delay: wait }
            | ToxicKind::Timeout { timeout: wait }
            | ToxicKind::ResetPeer { timeout: wait } => [*wait, 0],
            ToxicKind::Slicer { delay, .. } => [*delay / 1000, 0],
            ToxicKind::Bandwidth { .. } | ToxicKind::LimitData { .. } | ToxicKind::CutAtPattern { .. } => [0, 0],
        };
        if !share(self.toxicity) {
            return Some("toxicity is a share: 0 to 1");
        }
        if waits.iter().any(|wait| *wait > WAIT_MS_MAX) {
            return Some("waits are an hour at most");
        }
        match &self.kind {
            ToxicKind::Bandwidth { rate: 0 } => Some("a rate is at least 1 KB a second"),
            ToxicKind::Slicer { average_size: 0, .. } => Some("an average size is at least 1 byte"),
            ToxicKind::CutAtPattern { pattern, .. } if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX => {
                Some("a pattern has 1 to 256 bytes")
            }
            ToxicKind::CutAtPattern { probability, .. } if !share(*probability) => Some("a probability is a share: 0 to 1"),
            _ => None,
        }
    }

    /// How long after it began to apply it ends the connection by itself.
    pub(super) fn ends_after(&self) -> Option<(Duration, Cut)> {
        match self.kind {
            ToxicKind::Timeout { timeout } if timeout > 0 => Some((Duration::from_millis(timeout), Cut::Close)),
            ToxicKind::ResetPeer { timeout } => Some((Duration::from_millis(timeout), Cut::Reset)),
            _ => None,
        }
    }
}

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Close,
    Reset,
}

/// What becomes of one chunk.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Treated {
    /// From its arrival.
    pub(super) after: Duration,
    /// Lengths of what is written, one after the other.
    pub(super) pieces: Vec<usize>,
    /// After each piece.
    pub(super) gaps: Vec<Duration>,
    /// After the pieces.
    pub(super) cut: Option<Cut>,
}

/// What toxics remember of one direction of one connection.
#[derive(Debug)]
pub(super) struct Treatment {
    dice: Dice,
    passed_bytes: u64,
    /// The end of what passed, where a pattern may have begun.
    tail: Vec<u8>,
    /// Something was swallowed: what comes later would make no sense.
    pub(super) has_swallowed: bool,
}

impl Treatment {
    pub(super) fn new(dice: Dice) -> Self {
        Self { dice, passed_bytes: 0, tail: Vec::new(), has_swallowed: false }
    }

    pub(super) fn of(&mut self, chunk: &[u8], toxics: &[Toxic]) -> Treated {
        let mut treated = Treated::default();
        let mut len = chunk.len();
        let mut rate = None;
        let mut slices = None;
        for toxic in toxics {
            match &toxic.kind {
                ToxicKind::Latency { latency, jitter } => treated.after += self.latency(*latency, *jitter),
                ToxicKind::Bandwidth { rate: kb } => rate = Some(rate.map_or(kb * 1000, |other: u64| other.min(kb * 1000))),
                ToxicKind::Slicer { average_size, size_variation, delay } => {
                    slices = Some((*average_size, *size_variation, *delay));
                }
                ToxicKind::Timeout { .. } => {
                    self.has_swallowed = true;
                    return Treated::default();
                }
                ToxicKind::LimitData { bytes } => {
                    let left = bytes.saturating_sub(self.passed_bytes);
                    if left <= len as u64 {
                        len = left as usize;
                        treated.cut = Some(Cut::Close);
                    }
                }
                ToxicKind::CutAtPattern { pattern, probability } => {
                    if self.completes(chunk, pattern.as_bytes()) && self.dice.unit() < *probability {
                        return Treated { cut: Some(Cut::Reset), ..Treated::default() };
                    }
                }
                ToxicKind::SlowClose { .. } | ToxicKind::ResetPeer { .. } => {}
            }
        }
        self.remember(&chunk[..len]);
        self.cut_up(&mut treated, len, slices, rate);
        treated
    }

    fn latency(&mut self, latency: u64, jitter: u64) -> Duration {
        let swing = self.dice.between(0, 2 * jitter);
        Duration::from_millis((latency + swing).saturating_sub(jitter))
    }

    fn cut_up(&mut self, treated: &mut Treated, len: usize, slices: Option<(u64, u64, u64)>, rate: Option<u64>) {
        let mut left = len as u64;
        while left > 0 {
            let (size, gap_us) = match slices {
                Some((average, variation, delay)) => {
                    (self.dice.between(average.saturating_sub(variation).max(1), average + variation), delay)
                }
                None => (left, 0),
            };
            let size = rate.map_or(size, |rate| size.min((rate / PIECES_A_SECOND).max(1))).min(left);
            let pace = rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(size as f64 / rate as f64));
            treated.pieces.push(size as usize);
            treated.gaps.push(pace + Duration::from_micros(gap_us));
            left -= size;
        }
    }

    fn completes(&self, chunk: &[u8], pattern: &[u8]) -> bool {
        let seen = [&self.tail[self.tail.len() - self.tail.len().min(pattern.len() - 1)..], chunk].concat();
        seen.windows(pattern.len()).any(|window| window.eq_ignore_ascii_case(pattern))
    }

    fn remember(&mut self, passed: &[u8]) {
        self.passed_bytes += passed.len() as u64;
        self.tail.extend_from_slice(&passed[passed.len().saturating_sub(PATTERN_BYTES_MAX)..]);
        self.tail.drain(..self.tail.len().saturating_sub(PATTERN_BYTES_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn treatment() -> Treatment {
        Treatment::new(Dice::new(1, &[]))
    }

    fn down(kind: ToxicKind) -> Toxic {
        Toxic::new(Direction::Downstream, kind)
    }

    #[test]
    fn without_a_toxic_a_chunk_goes_whole_and_at_once() {
        let treated = treatment().of(b"abc", &[]);
        assert_eq!(treated, Treated { pieces: vec![3], gaps: vec![Duration::ZERO], ..Treated::default() });
    }

    #[test]
    fn toxiproxys_json_is_read_and_written() {
        let text = r#"{"name":"slow","stream":"upstream","toxicity":0.5,"type":"latency","attributes":{"latency":100,"jitter":5}}"#;
        let toxic: Toxic = serde_json::from_str(text).unwrap();
        let kind = ToxicKind::Latency { latency: 100, jitter: 5 };
        assert_eq!(toxic, Toxic { name: "slow".to_owned(), stream: Direction::Upstream, toxicity: 0.5, kind });
        assert_eq!(serde_json::to_string(&toxic).unwrap(), text);
        let short: Toxic = serde_json::from_str(r#"{"type":"reset_peer","attributes":{}}"#).unwrap();
        assert_eq!((short.default_name().as_str(), short.toxicity), ("reset_peer_downstream", 1.0));
    }

    #[test]
    fn latency_stays_within_its_jitter_and_uses_it() {
        let mut treatment = treatment();
        let toxic = [down(ToxicKind::Latency { latency: 100, jitter: 30 })];
        let waits: Vec<u128> = (0..1000).map(|_| treatment.of(b"x", &toxic).after.as_millis()).collect();
        assert_eq!((waits.iter().min(), waits.iter().max()), (Some(&70), Some(&130)));
    }

    #[test]
    fn a_slicer_loses_no_byte_and_a_bandwidth_paces_them() {
        let mut treatment = treatment();
        let slicer = down(ToxicKind::Slicer { average_size: 10, size_variation: 3, delay: 50 });
        let treated = treatment.of(&[0; 1000], std::slice::from_ref(&slicer));
        assert_eq!(treated.pieces.iter().sum::<usize>(), 1000);
        assert!(treated.pieces.len() > 70 && treated.pieces.iter().all(|piece| *piece <= 13), "{:?}", treated.pieces);
        let treated = treatment.of(&[0; 3000], &[slicer, down(ToxicKind::Bandwidth { rate: 1 })]);
        let took: Duration = treated.gaps.iter().sum();
        assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "{took:?}");
    }

    #[test]
    fn a_limit_is_exact_over_chunks() {
        let mut treatment = treatment();
        let toxic = [down(ToxicKind::LimitData { bytes: 5 })];
        assert_eq!(treatment.of(b"abc", &toxic).cut, None);
        let last = treatment.of(b"def", &toxic);
        assert_eq!((last.pieces, last.cut), (vec![2], Some(Cut::Close)));
    }

    #[test]
    fn a_pattern_is_seen_across_chunks_and_its_end_is_swallowed() {
        let toxic = [down(ToxicKind::CutAtPattern { pattern: "COMMIT\0".to_owned(), probability: 1.0 })];
        let mut treatment = treatment();
        assert_eq!(treatment.of(b"BEGIN\0", &toxic).cut, None);
        assert_eq!(treatment.of(b"..Com", &toxic).cut, None);
        let cut = treatment.of(b"mit\0ready", &toxic);
        assert_eq!((cut.pieces.len(), cut.cut), (0, Some(Cut::Reset)));
    }

    #[test]
    fn a_probability_is_kept_about() {
        let toxic = [down(ToxicKind::CutAtPattern { pattern: "x".to_owned(), probability: 0.25 })];
        let mut treatment = treatment();
        let cuts = (0..4000).filter(|_| treatment.of(b"x", &toxic).cut.is_some()).count();
        assert!((800..1200).contains(&cuts), "{cuts}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(down(ToxicKind::Bandwidth { rate: 0 }).fault().is_some());
        assert!(down(ToxicKind::Latency { latency: WAIT_MS_MAX + 1, jitter: 0 }).fault().is_some());
        assert!(down(ToxicKind::CutAtPattern { pattern: String::new(), probability: 1.0 }).fault().is_some());
        assert!(Toxic { toxicity: 2.0, ..down(ToxicKind::LimitData { bytes: 0 }) }.fault().is_some());
        assert!(down(ToxicKind::Timeout { timeout: 0 }).fault().is_none());
    }
}
