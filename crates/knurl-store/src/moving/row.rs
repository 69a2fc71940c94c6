//! A row as both dialects tell it, and what two lists of rows have in common.
//!
//! Promised: two rows are equal exactly where every value is, whatever database each comes from; a [`Tally`] is the same in whatever order
//! and in how many pieces its rows were added.

use std::cmp::Ordering;

use sha2::{Digest, Sha256};

use super::part::Part;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

pub type Row = Vec<Value>;

/// What leads to a row: the first column, and the second where it is needed (else 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lead {
    pub a: i64,
    pub b: i64,
}

impl Lead {
    pub const FIRST: Self = Self { a: i64::MIN, b: i64::MIN };
    pub const LAST: Self = Self { a: i64::MAX, b: i64::MAX };

    pub fn of(part: Part, row: &Row) -> Self {
        let int = |column| match row.get(column) {
            Some(Value::Int(value)) => *value,
            _ => 0,
        };
        Self { a: int(0), b: if part.leads() == 2 { int(1) } else { 0 } }
    }

    /// The last one before it: what follows it and goes up to this one is this one alone.
    pub fn before(self, part: Part) -> Self {
        if part.leads() == 2 { Self { b: self.b.saturating_sub(1), ..self } } else { Self { a: self.a.saturating_sub(1), b: 0 } }
    }
}

/// Rows after the first lead, up to and with the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub after: Lead,
    pub to: Lead,
}

impl Span {
    pub const WHOLE: Self = Self { after: Lead::FIRST, to: Lead::LAST };

    pub fn at(part: Part, lead: Lead) -> Self {
        Self { after: lead.before(part), to: lead }
    }
}

/// Rows and the sum of their hashes: as good as a hash of all of them in order, and rows may be added from any side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub rows: u64,
    sum: [u64; 4],
}

impl Tally {
    pub fn of(rows: &[Row]) -> Self {
        let mut tally = Self::default();
        let mut bytes = Vec::with_capacity(1024);
        for row in rows {
            tally.rows += 1;
            tally.add_hash(hash(row, &mut bytes));
        }
        tally
    }

    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.add_hash(other.sum);
    }

    fn add_hash(&mut self, hash: [u64; 4]) {
        for (lane, part) in self.sum.iter_mut().zip(hash) {
            *lane = lane.wrapping_add(part);
        }
    }

    pub fn hex(&self) -> String {
        self.sum.iter().map(|lane| format!("{lane:016x}")).collect()
    }
}

/// Every value with its type and length, as in a backup's hashes.
fn hash(row: &Row, bytes: &mut Vec<u8>) -> [u64; 4] {
    bytes.clear();
    let mut tagged = |tag: u8, value: &[u8]| {
        bytes.push(tag);
        bytes.extend((value.len() as u64).to_le_bytes());
        bytes.extend(value);
    };
    for value in row {
        match value {
            Value::Null => tagged(0, &[]),
            Value::Int(value) => tagged(1, &value.to_le_bytes()),
            Value::Text(text) => tagged(3, text.as_bytes()),
            Value::Bytes(bytes) => tagged(4, bytes),
        }
    }
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    let mut lanes = [0; 4];
    for (lane, bytes) in lanes.iter_mut().zip(digest.as_chunks::<8>().0) {
        *lane = u64::from_le_bytes(*bytes);
    }
    lanes
}

/// What makes `theirs` into `ours`.
#[derive(Debug, Default)]
pub struct Changes {
    /// Rows that are to go.
    pub gone: Vec<Row>,
    /// Rows as they are to be, with nothing in their place so far.
    pub new: Vec<Row>,
    /// Rows as they are to be, in the place of others.
    pub changed: Vec<Row>,
}

impl Changes {
    /// Both in the part's order.
    pub fn between(part: Part, ours: Vec<Row>, theirs: Vec<Row>) -> Self {
        let mut changes = Self::default();
        let mut theirs = theirs.into_iter().peekable();
        for row in ours {
            while let Some(before) = theirs.next_if(|other| compare(part, other, &row) == Ordering::Less) {
                changes.gone.push(before);
            }
            match theirs.next_if(|other| compare(part, other, &row) == Ordering::Equal) {
                Some(same) if same == row => {}
                Some(_) => changes.changed.push(row),
                None => changes.new.push(row),
            }
        }
        changes.gone.extend(theirs);
        changes
    }

    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty() && self.changed.is_empty()
    }

    pub fn len(&self) -> usize {
        self.gone.len() + self.new.len() + self.changed.len()
    }
}

fn compare(part: Part, a: &Row, b: &Row) -> Ordering {
    a[..part.order()].cmp(&b[..part.order()])
}

/// A page that stopped at its limit may have stopped among rows that belong together: the last of them are left for the next page. `None`:
/// it has all there is up to the end of what was asked for.
pub fn complete_up_to(part: Part, rows: &[Row], limit: usize) -> Option<Lead> {
    let last = Lead::of(part, rows.last().filter(|_| rows.len() >= limit)?);
    let before = rows.iter().rev().map(|row| Lead::of(part, row)).find(|lead| *lead != last);
    // All of them belong together: there are more than a page holds, and whoever asked asks again for them alone.
    Some(before.unwrap_or(last.before(part)))
}

/// Rows up to the lead.
pub fn cut(part: Part, rows: &mut Vec<Row>, to: Lead) {
    let kept = rows.partition_point(|row| Lead::of(part, row) <= to);
    rows.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(link: i64, clicks: i64) -> Row {
        vec![Value::Int(link), Value::Int(clicks), Value::Int(0), Value::Int(0)]
    }

    fn referrer(link: i64, day: i64, host: &str) -> Row {
        vec![Value::Int(link), Value::Int(day), Value::Text(host.into()), Value::Int(1)]
    }

    #[test]
    fn changes_are_what_went_what_came_and_what_is_otherwise() {
        let changes = Changes::between(
            Part::Totals,
            vec![total(1, 5), total(3, 7), total(4, 1)],
            vec![total(0, 1), total(1, 5), total(2, 2), total(3, 6), total(9, 9)],
        );
        assert_eq!(changes.gone, [total(0, 1), total(2, 2), total(9, 9)]);
        assert_eq!((changes.new, changes.changed), (vec![total(4, 1)], vec![total(3, 7)]));
        assert!(Changes::between(Part::Totals, vec![total(1, 5)], vec![total(1, 5)]).is_empty());
    }

    #[test]
    fn a_tally_does_not_depend_on_order_or_pieces_but_on_every_value() {
        let (a, b) = (total(1, 5), total(2, 6));
        let mut pieces = Tally::of(std::slice::from_ref(&b));
        pieces.add(&Tally::of(std::slice::from_ref(&a)));
        assert_eq!(Tally::of(&[a.clone(), b.clone()]), pieces);
        assert_ne!(Tally::of(&[total(1, 6), total(2, 5)]), pieces);
        let (null, empty) = (vec![Value::Null], vec![Value::Text(String::new())]);
        assert_ne!(Tally::of(&[null]), Tally::of(&[empty]));
        assert_eq!(pieces.hex().len(), 64);
    }

    #[test]
    fn a_full_page_ends_before_the_rows_it_may_have_torn_apart() {
        let rows = [referrer(1, 1, "a"), referrer(1, 2, "a"), referrer(1, 2, "b")];
        let lead = |a, b| Lead { a, b };
        assert_eq!(complete_up_to(Part::Referrers, &rows, 4), None);
        assert_eq!(complete_up_to(Part::Referrers, &rows, 3), Some(lead(1, 1)));
        assert_eq!(complete_up_to(Part::Referrers, &rows[1..], 2), Some(lead(1, 1)), "nothing but the torn: nothing is complete");
        let mut page = rows.to_vec();
        cut(Part::Referrers, &mut page, lead(1, 1));
        assert_eq!(page, rows[..1]);
        assert_eq!(complete_up_to(Part::Totals, &[total(7, 1), total(8, 1)], 2), Some(lead(7, 0)));
    }
}
