//! Links by code in a fixed amount of memory: a table of slots over logs of entries.
//!
//! Promised: it never takes more than it was given, table included; looking up takes no lock, waits for nobody unless the same shard is
//! being written at that moment, and touches one line of the table and the entry itself; what makes room is what was put in longest ago
//! and has not been asked for since (the clock algorithm); putting in does a bounded amount of work.
//! Refused: answering with half an entry. A reader copies, then looks whether somebody wrote meanwhile (a sequence lock).
//!
//! # Layout
//! A code's hash names its shard, a tag and two buckets of eight slots, one cache line each. A slot is a tag, the bit that says "asked
//! for" and the place of the entry. Entries lie in their shard's log, a ring of segments; nothing but the slot says that an entry is
//! alive, so forgetting one is clearing a slot. A ring grows by segments from the common pool until that is empty; from then on its
//! oldest entries make room.
//!
//! Buckets come into use one by one, as links do, so that few links lie close together: a bucket is split by a bit of the tags in it
//! (linear hashing), without a look at the entries and without a pause to build a larger table.
//!
//! An allocation for each link and a general cache over them (quick_cache) cost three times the memory and three times as many cache
//! misses for a lookup, which is what a redirect among millions of links spends its time on.

use std::{
    hash::{BuildHasher, Hasher},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
            fence,
        },
    },
};

use foldhash::quality::RandomState;

use super::{
    Resolved,
    entry::{CodeWords, Copied, Head, WORDS_MAX, code_at, encode},
    words::{WORD_BYTES, Words},
};

/// A shard's log grows by this much. Entries never lie across two segments.
const SEGMENT_WORDS: usize = 4096;
const SEGMENTS_MIN: usize = 2;
const SHARDS_MAX: usize = 64;
/// Fewer shards rather than shards smaller than this.
const SHARD_SEGMENTS_MIN: usize = 8;
const _: () = assert!(2 * WORDS_MAX < SEGMENT_WORDS);

/// A slot is a word: where the entry lies, whether this is its second bucket, whether it was asked for, a tag of the hash.
const BUCKET_SLOTS: usize = 8;
const TAG_AT: u32 = 40;
const ASKED: u64 = 1 << 39;
const SECOND: u64 = 1 << 38;
const PLACE: u64 = SECOND - 1;
/// Buckets of a shard that are in use from the beginning: this, or up to twice of it.
const BUCKETS_MIN: usize = 16;
/// Links of a bucket, in the mean, when the next doubling begins and when it must have ended.
const BUCKET_LINKS: (usize, usize) = (4, 6);
/// What the table gets of the memory: a slot for every 80 bytes. An entry of a 60-byte target has 96, which leaves the buckets full
/// enough to be worth their memory and empty enough not to turn links away.
const INDEX_SHARE: usize = 10;

/// Entries that were asked for and are put in again, at most, for one that is put in: bounds the time it takes to some ten microseconds.
const MOVES_MAX: usize = 64;
/// Lookups that a writer got in the way of, before the reader waits for it.
const TRIES_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Table {
    /// The slots, then the segments.
    words: Words,
    shards: Box<[Shard]>,
    shape: Shape,
    segments_taken: AtomicUsize,
    hasher: RandomState,
}

/// How memory is divided.
#[derive(Debug)]
struct Shape {
    shards: usize,
    /// Buckets of a shard before the first doubling, and how often they may double.
    buckets: usize,
    doublings_max: u32,
    segments: usize,
}

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    /// Odd while the shard is being written.
    version: AtomicU64,
    /// Of [`Buckets`].
    buckets: AtomicU64,
    log: Mutex<Log>,
}

/// The buckets of a shard that are in use.
#[derive(Clone, Copy)]
struct Buckets {
    count: usize,
    /// Doublings that are complete.
    doublings: u32,
}

impl Buckets {
    fn from_word(word: u64) -> Self {
        Self { count: (word >> 8) as usize, doublings: (word & 0xff) as u32 }
    }

    fn word(self) -> u64 {
        (self.count as u64) << 8 | u64::from(self.doublings)
    }
}

/// A ring of segments; places in it are counted in words from the beginning of the first.
#[derive(Debug, Default)]
struct Log {
    segments: Vec<usize>,
    /// Where the next entry goes.
    head: usize,
    /// The oldest entry.
    tail: usize,
    /// Words from tail to head.
    used: usize,
    /// Words ever written to.
    touched: usize,
    links: usize,
}

/// Where a code belongs.
struct Home {
    shard: usize,
    tag: u64,
    /// Of its first and second bucket: which of the buckets there were in the beginning, and bits that say which of those split off it.
    buckets: [(usize, u64); 2],
}

/// The second bucket is split off by other bits than the first, which follow from the tag.
fn second_bits(tag: u64) -> u64 {
    tag.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> TAG_AT
}

/// Ends the writing, whatever happens.
struct Writing<'a>(&'a AtomicU64);

impl<'a> Writing<'a> {
    /// Only under the shard's lock.
    fn begin(version: &'a AtomicU64) -> Self {
        version.store(version.load(Relaxed).wrapping_add(1), Relaxed);
        // No write of an entry may be seen before the odd version is.
        fence(Release);
        Self(version)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Release);
    }
}

impl Table {
    pub(super) fn new(bytes_max: u64) -> Self {
        let mut words_max = usize::try_from(bytes_max).unwrap_or(usize::MAX) / WORD_BYTES;
        loop {
            let shape = Shape::of(words_max);
            match Words::map(shape.words()) {
                Ok(words) => return Self::over(words, shape),
                Err(error) if words_max > SEGMENT_WORDS => {
                    let (error, bytes) = (&error as &dyn std::error::Error, words_max * WORD_BYTES);
                    tracing::warn!(error, bytes, "no address space for cache.bytes_max: half of it is tried");
                    words_max /= 2;
                }
                // As any allocation that fails.
                Err(error) => panic!("no memory: {error}"),
            }
        }
    }

    fn over(words: Words, shape: Shape) -> Self {
        let shards: Box<[Shard]> = (0..shape.shards).map(|_| Shard::default()).collect();
        for (n, shard) in shards.iter().enumerate() {
            shard.buckets.store(shape.first_buckets().word(), Relaxed);
            // So that none can go without.
            lock(&shard.log).segments.push(n);
        }
        Self { words, segments_taken: AtomicUsize::new(shards.len()), shards, shape, hasher: RandomState::default() }
    }

    /// The link and its epoch.
    pub(super) fn get(&self, code: &str) -> Option<(Resolved, u64)> {
        let code = CodeWords::of(code)?;
        let home = self.home(&code);
        let shard = &self.shards[home.shard];
        for _ in 0..TRIES_MAX {
            let version = shard.version.load(Acquire);
            if version.is_multiple_of(2) {
                let found = self.copy(&home, &code);
                fence(Acquire);
                if shard.version.load(Relaxed) == version {
                    return self.ask(found?);
                }
            }
            std::hint::spin_loop();
        }
        let log = lock(&shard.log);
        let found = self.copy(&home, &code);
        drop(log);
        self.ask(found?)
    }

    /// In place of what is known of this code. `epoch` in [`super::entry::EPOCH_BITS`].
    pub(super) fn insert(&self, code: &str, link: &Resolved, epoch: u64) {
        let Some(code) = CodeWords::of(code) else { return };
        let Some(entry) = encode(&code, link, epoch) else { return };
        let home = self.home(&code);
        let shard = &self.shards[home.shard];
        let mut log = lock(&shard.log);
        let _writing = Writing::begin(&shard.version);
        if let Some((slot, word)) = self.find(&home, |at| code.is_at(&self.words, at)) {
            let at = (word & PLACE) as usize;
            if Head(self.words.load(at)).words() == entry.len() {
                return self.write(at, &entry);
            }
            self.clear_slot(slot, &mut log);
        }
        let mut moves = MOVES_MAX;
        while !self.has_room(&mut log, entry.len()) {
            self.make_room(&mut log, &mut moves);
        }
        let at = self.append(&mut log, &entry);
        self.fill_slot(&home, at, &mut log);
        self.split_bucket(home.shard, log.links);
    }

    pub(super) fn remove(&self, code: &str) {
        let Some(code) = CodeWords::of(code) else { return };
        let home = self.home(&code);
        let mut log = lock(&self.shards[home.shard].log);
        if let Some((slot, _)) = self.find(&home, |at| code.is_at(&self.words, at)) {
            self.clear_slot(slot, &mut log);
        }
    }

    pub(super) fn clear(&self) {
        for (n, shard) in self.shards.iter().enumerate() {
            let mut log = lock(&shard.log);
            let _writing = Writing::begin(&shard.version);
            for bucket in 0..shard.buckets().count {
                let first = self.first_slot(n, bucket);
                (first..first + BUCKET_SLOTS).for_each(|slot| self.words.store(slot, 0));
            }
            shard.buckets.store(self.shape.first_buckets().word(), Relaxed);
            (log.head, log.tail, log.used, log.links) = (0, 0, 0, 0);
        }
    }

    pub(super) fn links(&self) -> u64 {
        self.shards.iter().map(|shard| lock(&shard.log).links as u64).sum()
    }

    /// Memory taken: the buckets in use and what the logs have ever written.
    pub(super) fn bytes(&self) -> u64 {
        let words = |shard: &Shard| shard.buckets().count * BUCKET_SLOTS + lock(&shard.log).touched;
        (self.shards.iter().map(words).sum::<usize>() * WORD_BYTES) as u64
    }

    #[inline]
    fn home(&self, code: &CodeWords) -> Home {
        let mut hasher = self.hasher.build_hasher();
        code.as_words().iter().for_each(|&word| hasher.write_u64(word));
        let hash = hasher.finish();
        let shard = (hash >> 58) as usize & (self.shards.len() - 1);
        let tag = hash >> 32 & 0xff_ffff;
        let first = |part: u32| ((u64::from(part) * self.shape.buckets as u64) >> 32) as usize;
        let part = hash as u32;
        Home { shard, tag, buckets: [(first(part), tag), (first(part.wrapping_mul(0x9e37_79b1)), second_bits(tag))] }
    }

    /// The first slot of a home's bucket, among the buckets now in use.
    #[inline]
    fn bucket(&self, home: &Home, which: usize, in_use: Buckets) -> usize {
        let (first, bits) = home.buckets[which];
        let among = |doublings: u32| first + self.shape.buckets * (bits as usize & ((1 << doublings) - 1));
        let split = among(in_use.doublings + 1);
        let bucket = if split < in_use.count { split } else { among(in_use.doublings) };
        self.first_slot(home.shard, bucket)
    }

    /// Buckets of all shards lie in turn, so that those in use lie together.
    fn first_slot(&self, shard: usize, bucket: usize) -> usize {
        (bucket * self.shape.shards + shard) * BUCKET_SLOTS
    }

    /// The slot, and what it says, whose entry is the wanted one, of those that could be. Only under the shard's lock, or to be believed
    /// only if nobody wrote meanwhile.
    #[inline]
    fn find(&self, home: &Home, is_it: impl Fn(usize) -> bool) -> Option<(usize, u64)> {
        let in_use = self.shards[home.shard].buckets();
        for which in 0..2 {
            let first = self.bucket(home, which, in_use);
            // Every slot is looked at, with no branch until one fits.
            let Some(slots) = self.words.get(first..).and_then(<[_]>::first_chunk::<BUCKET_SLOTS>) else { continue };
            let words = slots.each_ref().map(|slot| slot.load(Relaxed));
            let mut fitting = (0..BUCKET_SLOTS).fold(0_u32, |set, n| set | u32::from(words[n] >> TAG_AT == home.tag) << n);
            while fitting != 0 {
                let n = fitting.trailing_zeros() as usize;
                let word = words[n % BUCKET_SLOTS];
                if word != 0 && is_it((word & PLACE) as usize) {
                    return Some((first + n, word));
                }
                fitting &= fitting - 1;
            }
        }
        None
    }

    #[inline]
    fn copy(&self, home: &Home, code: &CodeWords) -> Option<(usize, u64, Copied)> {
        let (slot, word) = self.find(home, |at| code.is_at(&self.words, at))?;
        Some((slot, word, Copied::from(&self.words, (word & PLACE) as usize, code)))
    }

    #[inline]
    fn ask(&self, (slot, word, copied): (usize, u64, Copied)) -> Option<(Resolved, u64)> {
        if word & ASKED == 0 {
            // If the slot has changed since, it is somebody else's business.
            let _ = self.words[slot].compare_exchange(word, word | ASKED, Relaxed, Relaxed);
        }
        let epoch = copied.epoch();
        copied.believed().map(|link| (link, epoch))
    }

    fn fill_slot(&self, home: &Home, at: usize, log: &mut Log) {
        let in_use = self.shards[home.shard].buckets();
        let word = home.tag << TAG_AT | at as u64;
        log.links += 1;
        for (which, second) in [(0, 0), (1, SECOND)] {
            let first = self.bucket(home, which, in_use);
            if let Some(free) = self.free_slot(first).or_else(|| self.moved_over(first, in_use)) {
                return self.words.store(free, word | second);
            }
        }
        // There is no room, which only targets much shorter than usual bring about: one of the first bucket goes.
        let first = self.bucket(home, 0, in_use);
        let unasked = (first..first + BUCKET_SLOTS).find(|&slot| self.words.load(slot) & ASKED == 0);
        let victim = unasked.unwrap_or(first + at % BUCKET_SLOTS);
        self.clear_slot(victim, log);
        self.words.store(victim, word);
    }

    fn free_slot(&self, first: usize) -> Option<usize> {
        (first..first + BUCKET_SLOTS).find(|&slot| self.words.load(slot) == 0)
    }

    /// A slot of a full bucket whose entry found room in its other one.
    fn moved_over(&self, first: usize, in_use: Buckets) -> Option<usize> {
        (first..first + BUCKET_SLOTS).find(|&slot| {
            let word = self.words.load(slot);
            let Some(home) = self.home_of_entry((word & PLACE) as usize) else { return false };
            let other = self.bucket(&home, usize::from(word & SECOND == 0), in_use);
            let Some(free) = self.free_slot(other) else { return false };
            self.words.store(free, word ^ SECOND);
            true
        })
    }

    fn clear_slot(&self, slot: usize, log: &mut Log) {
        self.words.store(slot, 0);
        log.links -= 1;
    }

    /// Brings one more bucket into use, if there are links enough for it.
    fn split_bucket(&self, shard: usize, links: usize) {
        let mut in_use = self.shards[shard].buckets();
        let whole = self.shape.buckets << in_use.doublings;
        let (begins, ends) = BUCKET_LINKS;
        let wanted = whole + links.saturating_sub(whole * begins) / (ends - begins);
        if in_use.count >= wanted || in_use.doublings == self.shape.doublings_max {
            return;
        }
        let (old, new) = (self.first_slot(shard, in_use.count - whole), self.first_slot(shard, in_use.count));
        for n in 0..BUCKET_SLOTS {
            let word = self.words.load(old + n);
            let tag = word >> TAG_AT;
            let bits = if word & SECOND == 0 { tag } else { second_bits(tag) };
            if bits >> in_use.doublings & 1 == 1 {
                self.words.store(old + n, 0);
                self.words.store(new + n, word);
            }
        }
        in_use.count += 1;
        in_use.doublings += u32::from(in_use.count == 2 * whole);
        self.shards[shard].buckets.store(in_use.word(), Relaxed);
    }

    fn write(&self, at: usize, entry: &[u64]) {
        for (n, &word) in entry.iter().enumerate() {
            self.words.store(at + n, word);
        }
    }

    /// The word in the mapping of a place in a log.
    fn at(&self, log: &Log, place: usize) -> usize {
        self.shape.index_words() + log.segments[place / SEGMENT_WORDS] * SEGMENT_WORDS + place % SEGMENT_WORDS
    }

    /// Whether so many words are free at the head, in one segment. Takes a segment from the pool where it can.
    fn has_room(&self, log: &mut Log, words: usize) -> bool {
        loop {
            if log.head == log.capacity() {
                match self.take_segment() {
                    Some(segment) => log.segments.push(segment),
                    None => log.head = 0,
                }
            }
            let rest = SEGMENT_WORDS - log.head % SEGMENT_WORDS;
            let free = log.capacity() - log.used;
            if words <= rest {
                return words <= free;
            }
            if free < rest {
                return false;
            }
            // Marked as skipped: no entry begins with 0.
            self.words.store(self.at(log, log.head), 0);
            log.advance(rest);
        }
    }

    fn take_segment(&self) -> Option<usize> {
        let next = |taken: usize| (taken < self.shape.segments).then_some(taken + 1);
        self.segments_taken.fetch_update(Relaxed, Relaxed, next).ok()
    }

    /// Only after [`Table::has_room`].
    fn append(&self, log: &mut Log, entry: &[u64]) -> usize {
        let at = self.at(log, log.head);
        self.write(at, entry);
        log.advance(entry.len());
        at
    }

    /// The oldest entry goes, or, if it was asked for, begins anew.
    fn make_room(&self, log: &mut Log, moves: &mut usize) {
        let at = self.at(log, log.tail);
        let head = Head(self.words.load(at));
        if head.0 == 0 {
            return log.retire(SEGMENT_WORDS - log.tail % SEGMENT_WORDS);
        }
        let slot = self.slot_of_entry(at);
        let entry: Vec<u64> = (0..head.words()).map(|n| self.words.load(at + n)).collect();
        log.retire(entry.len());
        let Some(slot) = slot else { return };
        let word = self.words.load(slot);
        if word & ASKED != 0 && *moves > 0 && self.has_room(log, entry.len()) {
            *moves -= 1;
            let at = self.append(log, &entry);
            return self.words.store(slot, word & !ASKED & !PLACE | at as u64);
        }
        self.clear_slot(slot, log);
    }

    /// `None`: the entry is dead.
    fn slot_of_entry(&self, at: usize) -> Option<usize> {
        let home = self.home_of_entry(at)?;
        self.find(&home, |place| place == at).map(|(slot, _)| slot)
    }

    fn home_of_entry(&self, at: usize) -> Option<Home> {
        let code = code_at(&self.words, at);
        Some(self.home(&CodeWords::of(std::str::from_utf8(&code).ok()?)?))
    }

    /// As the kernel counts.
    #[cfg(test)]
    pub(super) fn resident_bytes(&self) -> u64 {
        self.words.resident_bytes()
    }
}

impl Log {
    fn capacity(&self) -> usize {
        self.segments.len() * SEGMENT_WORDS
    }

    fn advance(&mut self, words: usize) {
        self.head += words;
        self.used += words;
        self.touched = self.touched.max(self.head);
    }

    fn retire(&mut self, words: usize) {
        self.tail += words;
        self.used -= words;
        if self.used == 0 {
            (self.head, self.tail) = (0, 0);
        } else if self.tail == self.capacity() {
            self.tail = 0;
        }
    }
}

impl Shard {
    fn buckets(&self) -> Buckets {
        Buckets::from_word(self.buckets.load(Relaxed))
    }
}

impl Shape {
    fn of(words_max: usize) -> Self {
        let index = words_max / INDEX_SHARE;
        let segments = ((words_max - index) / SEGMENT_WORDS).max(SEGMENTS_MIN);
        let shards = (segments / SHARD_SEGMENTS_MIN).clamp(1, SHARDS_MAX);
        // The largest power of two that is not more: a shard is picked by bits of the hash.
        let shards = 1 << shards.ilog2();
        let buckets_max = (index / BUCKET_SLOTS / shards).max(1);
        let doublings_max = (buckets_max / BUCKETS_MIN).max(1).ilog2().min(u64::BITS - TAG_AT);
        Self { shards, buckets: buckets_max >> doublings_max, doublings_max, segments }
    }

    fn first_buckets(&self) -> Buckets {
        Buckets { count: self.buckets, doublings: 0 }
    }

    fn index_words(&self) -> usize {
        self.shards * (self.buckets << self.doublings_max) * BUCKET_SLOTS
    }

    fn words(&self) -> usize {
        self.index_words() + self.segments * SEGMENT_WORDS
    }
}

/// A thread that panicked while it wrote left at worst a link behind that cannot be found.
fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
