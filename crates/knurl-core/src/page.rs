//! A slice of a list.

/// `limit` rows after skipping `offset`, of the rows whose id is greater than `after_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub after_id: i64,
    pub offset: u64,
    pub limit: u32,
}

impl Page {
    pub const PER_PAGE_MAX: u32 = 1_000;
    pub const UNPAGED_MAX: u32 = 10_000;

    pub fn first(limit: u32) -> Self {
        Self { after_id: 0, offset: 0, limit }
    }

    /// The page after the row `id`, by key instead of by count: constant cost however deep.
    pub fn after(id: i64, limit: u32) -> Self {
        Self { after_id: id, offset: 0, limit }
    }

    /// Page `number` (1 is the first) of `per_page` rows; both are clamped to their ranges, as the contract asks.
    pub fn numbered(number: i64, per_page: i64) -> Self {
        let limit = per_page.clamp(1, i64::from(Self::PER_PAGE_MAX)) as u32;
        let number = number.max(1) as u64;
        Self { after_id: 0, offset: (number - 1).saturating_mul(u64::from(limit)), limit }
    }
}

/// Rows of a page and how many there are in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    pub rows: Vec<T>,
    pub total: u64,
}
