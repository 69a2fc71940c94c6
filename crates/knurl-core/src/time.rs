//! Instants as the API writes them and as the store keeps them: UTC milliseconds since 1970.

/// Milliseconds since 1970-01-01T00:00:00Z, negative before. Valid range: years 0000 to 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 86_400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time; write YYYY-MM-DD HH:MM:SS or RFC 3339")]
pub struct TimeError;

impl UnixMillis {
    /// Accepts `YYYY-MM-DD HH:MM:SS`, `YYYY-MM-DD`, and RFC 3339 with or without zone (UTC where none is given).
    pub fn parse(_text: &str) -> Result<Self, TimeError> {
        todo!("core")
    }

    /// `2026-04-03T12:00:00`: the form of the root routes.
    pub fn to_contract(self) -> String {
        todo!("core")
    }

    /// `2026-04-03T12:00:00Z`: the form under `/api/v1`.
    pub fn to_rfc3339(self) -> String {
        todo!("core")
    }

    /// `2026-04-03 12:00:00`: the form of the CSV files.
    pub fn to_csv(self) -> String {
        todo!("core")
    }

    /// Hours since 1970, rounded down.
    pub fn hour(self) -> i64 {
        self.0.div_euclid(HOUR_MS)
    }

    /// Days since 1970, rounded down.
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }
}
