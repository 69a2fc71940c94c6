//! The salts under which visitors are hashed: one for each UTC day, shared through the store, thrown away after its day.

use std::net::IpAddr;

use knurl_core::{UnixMillis, visitor::Salt};

/// Today's salt and tomorrow's, so that midnight needs no database.
#[derive(Clone, Copy, Debug)]
pub struct SaltBook {
    today: (i64, Salt),
    tomorrow: Option<Salt>,
}

impl SaltBook {
    pub fn new(day: i64, today: Salt, tomorrow: Option<Salt>) -> Self {
        Self { today: (day, today), tomorrow }
    }

    /// Before the store was asked: random, known to this process alone. Its day is one that no click falls on, so every day's salt is
    /// derived from it.
    pub fn unshared() -> Self {
        Self::new(i64::MIN, fresh(), None)
    }

    /// Of any day: the shared one where it is here, else derived, so that counting goes on (a visitor may then be counted once for each
    /// derivation).
    pub fn of(&self, day: i64) -> Salt {
        let (today, salt) = self.today;
        if day == today {
            return salt;
        }
        match self.tomorrow {
            Some(tomorrow) if today.checked_add(1) == Some(day) => tomorrow,
            _ => salt.derive(day),
        }
    }

    /// The day is the click's own: one that was asked before midnight and recorded after it counts where it belongs.
    pub fn visitor(&self, at: UnixMillis, client: IpAddr, user_agent: Option<&[u8]>) -> u64 {
        self.of(at.day()).visitor(client, user_agent)
    }
}

/// 128 random bits.
pub fn fresh() -> Salt {
    Salt(rand::random())
}
