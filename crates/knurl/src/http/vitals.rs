//! Where a connection stands, since when, and when its patience ends.
//!
//! Promised: on the path of a request this costs a handful of relaxed loads and stores and two reads of the coarse clock; no timer is
//! armed, no memory taken. Reader ([`super::wire`]), service and deadline ([`super::connection`]) run in one task: the atomics only
//! make it shareable.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;

use crate::config::HttpConfig;

/// Of a request that is not GET or HEAD, so much of the head is kept to judge its framing by. A longer head is refused anyway.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The longest body that hyper can count; the two numbers above it mean something else there.
const BODY_BYTES_MAX: u64 = u64::MAX - 2;

/// What a connection may wait for, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) first_byte_ms: u64,
    pub(super) header_ms: u64,
    pub(super) idle_ms: u64,
    pub(super) write_ms: u64,
}

impl Patience {
    pub(super) fn of(config: &HttpConfig) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        Self {
            first_byte_ms: ms(config.first_byte_timeout),
            header_ms: ms(config.header_timeout),
            idle_ms: ms(config.idle_timeout),
            write_ms: ms(config.write_timeout),
        }
    }
}

/// What a peer was too slow with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    FirstByte,
    Header,
    Idle,
    Write,
}

const FIRST_BYTE: u8 = 0;
const HEADER: u8 = 1;
const SERVING: u8 = 2;
const IDLE: u8 = 3;

#[derive(Debug)]
pub(super) struct Vitals {
    phase: AtomicU8,
    since_ms: AtomicU64,
    /// When the peer stopped taking what we write; 0: it takes it.
    blocked_since_ms: AtomicU64,
    /// Whether the request line of the head that is being read has ended: tells 414 from 431.
    line_ended: AtomicBool,
    /// Whether the last answer may have been given before its request's body was read: only refusals are.
    unread_body: AtomicBool,
    head_kept: AtomicBool,
    head: Mutex<Vec<u8>>,
}

impl Vitals {
    pub(super) fn new() -> Self {
        Self {
            phase: AtomicU8::new(FIRST_BYTE),
            since_ms: AtomicU64::new(coarse_ms()),
            blocked_since_ms: AtomicU64::new(0),
            line_ended: AtomicBool::new(false),
            unread_body: AtomicBool::new(false),
            head_kept: AtomicBool::new(false),
            head: Mutex::default(),
        }
    }

    /// Bytes came in.
    pub(super) fn read(&self, bytes: &[u8]) {
        let Some(&first) = bytes.first() else { return };
        match self.phase.load(Relaxed) {
            SERVING => return,
            HEADER => {}
            _ => {
                self.phase.store(HEADER, Relaxed);
                self.since_ms.store(coarse_ms(), Relaxed);
                self.line_ended.store(false, Relaxed);
                // Redirects are GET or HEAD and must not pay for this.
                self.head_kept.store(!matches!(first, b'G' | b'H'), Relaxed);
            }
        }
        if !self.line_ended.load(Relaxed) {
            self.line_ended.store(bytes.contains(&b'\n'), Relaxed);
        }
        if self.head_kept.load(Relaxed) {
            let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
            let room = HEAD_BYTES_MAX.saturating_sub(head.len());
            head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// Bytes went out.
    pub(super) fn wrote(&self) {
        self.blocked_since_ms.store(0, Relaxed);
        if self.phase.load(Relaxed) == IDLE {
            // The tail of a long answer: the connection is not idle yet.
            self.since_ms.store(coarse_ms(), Relaxed);
        }
    }

    /// The peer takes nothing just now.
    pub(super) fn blocked(&self) {
        if self.blocked_since_ms.load(Relaxed) == 0 {
            self.blocked_since_ms.store(coarse_ms(), Relaxed);
        }
    }

    /// A head is complete, its request is being served. Returns what was kept of the head.
    pub(super) fn begin(&self) -> Vec<u8> {
        self.phase.store(SERVING, Relaxed);
        if !self.head_kept.swap(false, Relaxed) {
            return Vec::new();
        }
        std::mem::take(&mut *self.head.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The answer is on its way.
    pub(super) fn end(&self) {
        self.since_ms.store(coarse_ms(), Relaxed);
        self.phase.store(IDLE, Relaxed);
    }

    pub(super) fn answered(&self, has_body: bool, status: StatusCode) {
        self.unread_body.store(has_body && (status.is_client_error() || status.is_server_error()), Relaxed);
    }

    pub(super) fn may_have_unread_body(&self) -> bool {
        self.unread_body.load(Relaxed)
    }

    pub(super) fn request_line_ended(&self) -> bool {
        self.line_ended.load(Relaxed)
    }

    /// Whether the head that was kept declares a body longer than hyper has a number for: it says then that the head is too large.
    pub(super) fn declares_endless_body(&self) -> bool {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        head.split(|byte| *byte == b'\n').any(|line| {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
            let (name, value) = (&line[..colon], str::from_utf8(&line[colon + 1..]).unwrap_or_default());
            name.eq_ignore_ascii_case(b"content-length") && value.trim().parse().is_ok_and(|len: u64| len > BODY_BYTES_MAX)
        })
    }

    /// When, by [`coarse_ms`], the peer will have been too slow, and with what. `None`: it is our turn.
    pub(super) fn deadline(&self, patience: &Patience) -> Option<(u64, Wait)> {
        let blocked = self.blocked_since_ms.load(Relaxed);
        if blocked != 0 {
            return Some((blocked.saturating_add(patience.write_ms), Wait::Write));
        }
        let (after_ms, wait) = match self.phase.load(Relaxed) {
            FIRST_BYTE => (patience.first_byte_ms, Wait::FirstByte),
            HEADER => (patience.header_ms, Wait::Header),
            SERVING => return None,
            _ => (patience.idle_ms, Wait::Idle),
        };
        Some((self.since_ms.load(Relaxed).saturating_add(after_ms), wait))
    }
}

/// The monotonic clock as the kernel's last tick left it: a fifth of the price of the exact one. That is [`COARSE_LAG_MS`] ago at most, but
/// where ticks come late: on a virtual machine that was not scheduled. Never 0.
pub(super) fn coarse_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    let ms = now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000);
    let ms = u64::try_from(ms).unwrap_or(0);
    #[cfg(test)]
    let ms = ms.saturating_sub(COARSE_BEHIND_MS.load(Relaxed));
    ms.max(1)
}

/// Ticks that are late, for tests.
#[cfg(test)]
pub(super) static COARSE_BEHIND_MS: AtomicU64 = AtomicU64::new(0);

/// A kernel that ticks 100 times a second, doubled.
pub(super) const COARSE_LAG_MS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { first_byte_ms: 1, header_ms: 10, idle_ms: 100, write_ms: 1_000 };

    fn wait(vitals: &Vitals) -> Option<Wait> {
        vitals.deadline(&PATIENCE).map(|(_, wait)| wait)
    }

    #[test]
    fn every_phase_of_a_request_has_its_own_patience() {
        let vitals = Vitals::new();
        assert_eq!(wait(&vitals), Some(Wait::FirstByte));
        vitals.read(b"GET /a");
        assert_eq!(wait(&vitals), Some(Wait::Header));
        assert!(!vitals.request_line_ended());
        vitals.read(b" HTTP/1.1\r\n\r\n");
        assert!(vitals.request_line_ended());
        assert!(vitals.begin().is_empty(), "nothing of a GET is kept");
        assert_eq!(wait(&vitals), None);
        vitals.blocked();
        assert_eq!(wait(&vitals), Some(Wait::Write));
        vitals.wrote();
        vitals.end();
        assert_eq!(wait(&vitals), Some(Wait::Idle));
    }

    #[test]
    fn a_header_that_trickles_in_gains_no_time() {
        let vitals = Vitals::new();
        vitals.read(b"G");
        let deadline = vitals.deadline(&PATIENCE);
        std::thread::sleep(Duration::from_millis(2 * COARSE_LAG_MS));
        vitals.read(b"E");
        assert_eq!(vitals.deadline(&PATIENCE), deadline);
    }

    #[test]
    fn the_head_of_a_post_is_kept_within_its_bound() {
        let vitals = Vitals::new();
        vitals.read(b"POST / HTTP/1.1\r\n");
        for _ in 0..20 {
            vitals.read(&[b'x'; 8_192]);
        }
        assert_eq!(vitals.begin().len(), HEAD_BYTES_MAX);
    }
}
