//! Limits counted for all nodes together: the arithmetic of [`knurl_core::rate`], on Redis' own clock, in one round trip.
//!
//! Promised: the same verdict as [`Quota::take`] gives on the same mark at the same time. A key holds a hash that was there already, and
//! lives until its bucket is full. Refused: deciding what to do while Redis is away.

use knurl_core::rate::{Quota, Verdict};

use super::{
    Redis, Unavailable,
    script::{Arg, Run, Script},
};
use crate::telemetry::redis::Asked;

const TEXT: &str = include_str!("lua/limit.lua");
static TAKE: Script = Script::new(TEXT, || redis::Script::new(TEXT).get_hash().to_owned());

#[derive(Clone, Debug)]
pub struct SharedLimits {
    redis: Redis,
}

/// What Redis said, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub verdict: Verdict,
    /// How far ahead of now the mark stands.
    pub ahead_us: u64,
    /// By Redis' clock.
    pub now_us: u64,
}

impl SharedLimits {
    pub(super) fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// One request of `subject`, a word and a number that together name one bucket of the fleet.
    pub async fn take(&self, subject: (&str, u64), quota: &Quota) -> Result<Counted, Unavailable> {
        let inner = &*self.redis.inner;
        let key = format!("{}:limit:{}:{:016x}", inner.config.prefix, subject.0, subject.1);
        let args = [Arg::Number(quota.interval_us()), Arg::Number(quota.depth_us())];
        let answer = inner.run(Asked::Count, &Run { script: &TAKE, key: key.as_bytes(), args: &args }).await?;
        let Ok((allowed, ahead_us, now_us)) = redis::from_redis_value::<(bool, u64, u64)>(answer) else {
            return Err(Unavailable::Nonsense);
        };
        Ok(Counted { verdict: quota.verdict(allowed, ahead_us), ahead_us, now_us })
    }
}
