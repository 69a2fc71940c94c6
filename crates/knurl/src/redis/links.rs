//! Links cached for all nodes (the tier between the replica and the database).
//!
//! Promised: a value can be put only with a [`Lease`] that was taken before the link was looked up and that no [`Links::forget`] has
//! ended since, and never over a newer version. So what is looked up slowly cannot bring back what has changed meanwhile, and an emptied
//! Redis, whose leases are gone too, takes nothing that was looked up before. A look never gives what was looked up before this node
//! began to watch, nor what another life of the server left (a restart from an old dump, a replica that became the master): either may
//! lack a forget. A forget that does not arrive makes this node distrust all that was looked up before. "No such link" is never kept.
//!
//! Refused: knowing of changes. Whoever follows them forgets each on each node, as often as it likes: that is what mends a forget that
//! was lost with the process that owed it. Without such a follower a stale value is bounded by `redis.links_ttl_s` alone.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use knurl_core::{LinkId, ShortCode};
use knurl_store::replica::Facts;
use redis::Value;

use super::{
    Inner, Redis, Unavailable, record,
    script::{Arg, Run, script},
};
use crate::{
    chance,
    telemetry::redis::{Asked, Came, Found},
};

/// How long a look-up may take to be cached, and how long a version is remembered without a value. Several times the database's deadline.
const LEASE: Duration = Duration::from_secs(10);
/// Lua's numbers hold so many bits.
const LEASE_BITS: u32 = 52;

script!(GET, "link_get");
script!(PUT, "link_put");
script!(FORGET, "link_forget");

/// What a redirect needs of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedLink {
    pub id: LinkId,
    pub version: i64,
    pub facts: Facts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    Hit(CachedLink),
    /// Not known here. With the lease, what the database says now may be put; without one there is no use in it.
    Miss(Option<Lease>),
}

/// Leave to put one link, looked up after this was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    domain: String,
    code: ShortCode,
    number: u64,
    life: u64,
}

/// Whether others are told of a change: by who makes it, not by who repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    Everybody,
    Nobody,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Links {
    redis: Redis,
}

impl Links {
    pub(super) fn new(redis: Redis) -> Self {
        Self { redis }
    }

    pub async fn get(&self, domain: &str, code: &ShortCode) -> Result<Looked, Unavailable> {
        let inner = &*self.redis.inner;
        let before = inner.trust.seen();
        let Some(since_us) = before.since_us else {
            if !self.redis.is_connected() {
                inner.metrics.redis.called(Asked::Get, Came::NotAsked);
                return Err(Unavailable::Away);
            }
            inner.metrics.redis.looked(Found::Miss);
            return Ok(Looked::Miss(None));
        };
        let number = chance::number() >> (u64::BITS - LEASE_BITS);
        let args = [Arg::Number(before.life), Arg::Number(since_us), Arg::Number(number.max(1)), Arg::Number(millis(LEASE))];
        let answer = inner.run(Asked::Get, &Run { script: &GET, key: &self.key(domain, code), args: &args }).await?;
        let looked = match answer {
            // It may be of before the change that made us distrust.
            _ if inner.trust.seen() != before => Looked::Miss(None),
            Value::BulkString(bytes) => match record::decode(domain, code, &bytes) {
                Some(link) => Looked::Hit(link),
                None => {
                    inner.metrics.redis.looked(Found::Undecodable);
                    return Ok(Looked::Miss(None));
                }
            },
            Value::Int(number) => {
                let number = u64::try_from(number).ok().filter(|number| *number > 0);
                let lease = |number| Lease { domain: domain.to_owned(), code: code.clone(), number, life: before.life };
                Looked::Miss(number.map(lease))
            }
            _ => return Err(Unavailable::Nonsense),
        };
        inner.metrics.redis.looked(if matches!(looked, Looked::Hit(_)) { Found::Hit } else { Found::Miss });
        Ok(looked)
    }

    /// Whether it was kept. Where not, somebody has changed the link since, or knows better.
    pub async fn put(&self, lease: &Lease, link: &CachedLink) -> Result<bool, Unavailable> {
        let inner = &*self.redis.inner;
        let Lease { domain, code, number, life } = lease;
        let value = record::encode(domain, code, link);
        let ttl_ms = millis(inner.config.links_ttl);
        let args = [Arg::Number(*life), Arg::Number(*number), Arg::Signed(link.version), Arg::Bytes(&value), Arg::Number(ttl_ms)];
        let answer = inner.run(Asked::Put, &Run { script: &PUT, key: &self.key(domain, code), args: &args }).await?;
        let is_kept = answer == Value::Int(1);
        if !is_kept {
            inner.metrics.redis.puts_refused.inc();
        }
        Ok(is_kept)
    }

    /// To be called after every change of a link, with the version it has become, and again by every node that follows the changes. What
    /// is as new as that stays. Not needed for a link that was just made: what does not exist is not kept.
    pub async fn forget(&self, domain: &str, code: &ShortCode, version: i64, tell: Tell) -> Result<(), Unavailable> {
        let inner = &*self.redis.inner;
        let life = inner.trust.seen().life;
        let (channel, news) = match tell {
            Tell::Everybody => (inner.pushes.channel(&inner.config.prefix), inner.pushes.news(domain, code, version)),
            Tell::Nobody => (String::new(), String::new()),
        };
        let args = [
            Arg::Number(life),
            Arg::Signed(version),
            Arg::Number(millis(LEASE)),
            Arg::Bytes(channel.as_bytes()),
            Arg::Bytes(news.as_bytes()),
        ];
        let answer = inner.run(Asked::Forget, &Run { script: &FORGET, key: &self.key(domain, code), args: &args }).await;
        // Also where the connection reached another life than the one we gave: what it left is distrusted on connecting.
        if answer.is_err() {
            self.distrust();
        }
        answer.map(drop)
    }

    /// Nothing that was looked up before now is believed by this node any more: after changes too many to be told one by one, or unknown
    /// ones.
    pub fn distrust(&self) {
        let inner = &*self.redis.inner;
        inner.metrics.redis.distrusted.inc();
        inner.trust.lose();
        inner.wake.notify_one();
    }

    /// The code first: it has no colon, whatever the domain may have.
    fn key(&self, domain: &str, code: &ShortCode) -> Vec<u8> {
        format!("{}:link:{code}:{domain}", self.redis.inner.config.prefix, code = code.as_str()).into_bytes()
    }
}

impl Inner {
    /// After [`Links::distrust`]: from the server's present on.
    pub(super) async fn trust_again(&self) {
        let seen = self.trust.seen();
        if seen.since_us.is_some() {
            return;
        }
        let asked = self.call(Asked::Ping, async |live| live.time_us().await.map(|at_us| Value::Int(at_us.cast_signed()))).await;
        if let Ok(Value::Int(at_us)) = asked {
            self.trust.regain(&seen, at_us.cast_unsigned());
        }
    }
}

/// What this node believes of what it finds.
#[derive(Debug, Default)]
pub(super) struct Trust {
    seen: Mutex<Seen>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Grows with every change.
    number: u64,
    /// Of the server that was last connected to; see `connect::Live`.
    life: u64,
    /// By its clock: what was looked up later. `None`: nothing.
    since_us: Option<u64>,
}

impl Trust {
    fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// The same life as before: whatever was forgotten meanwhile without success has been distrusted already.
    pub(super) fn connected(&self, life: u64, at_us: u64) {
        let mut seen = self.lock();
        if seen.life != life || seen.since_us.is_none() {
            *seen = Seen { number: seen.number + 1, life, since_us: Some(at_us) };
        }
    }

    fn lose(&self) {
        let mut seen = self.lock();
        *seen = Seen { number: seen.number + 1, since_us: None, ..*seen };
    }

    /// Unless something happened since `before`.
    fn regain(&self, before: &Seen, at_us: u64) {
        let mut seen = self.lock();
        if *seen == *before {
            *seen = Seen { number: seen.number + 1, since_us: Some(at_us), ..*seen };
        }
    }

    /// A thread that panicked inside left whole values behind: every change is one assignment.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
