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

#[cfg(test)]
mod tests {
    use knurl_core::time::DAY_MS;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    #[test]
    fn a_visitor_is_the_same_until_midnight_utc_and_another_after_it() {
        let book = SaltBook::new(100, Salt([1; 16]), Some(Salt([2; 16])));
        let at = |ms: i64| book.visitor(UnixMillis(ms), CLIENT, Some(b"agent"));
        let (midnight, next) = (101 * DAY_MS, 102 * DAY_MS);
        assert_eq!(at(100 * DAY_MS), at(midnight - 1));
        assert_ne!(at(midnight - 1), at(midnight));
        assert_eq!(at(midnight), at(next - 1));
        assert_eq!(at(midnight), Salt([2; 16]).visitor(CLIENT, Some(b"agent")), "tomorrow's salt was there before tomorrow");
    }

    #[test]
    fn without_the_store_every_day_has_a_salt_of_its_own_that_stays() {
        for book in [SaltBook::unshared(), SaltBook::new(100, Salt([1; 16]), None), SaltBook::new(i64::MAX, Salt([1; 16]), None)] {
            let days: std::collections::BTreeSet<[u8; 16]> = (101..131).map(|day| book.of(day).0).collect();
            assert_eq!(days.len(), 30);
            assert_eq!(book.of(101), book.of(101));
        }
        assert_ne!(SaltBook::unshared().of(101), SaltBook::unshared().of(101));
    }
}
