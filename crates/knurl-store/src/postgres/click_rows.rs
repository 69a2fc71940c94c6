//! Click events as rows of a binary COPY: header, a tuple for each click, trailer.
//!
//! Written once for a batch, whose ids are put in when they are known, in the order in which clicks came: the indexes by id and by time grow at
//! their ends (sorted by link, a batch cost PostgreSQL no less).

use crate::{click_details, store::DeliveredClick};

/// Of the column `source`. 1 is a click from an import or a client.
const FROM_SPOOL: i16 = 0;
/// The name, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: i16 = -1;
const COLUMNS: i16 = 6;
/// From a tuple's start to its id's value: the number of columns and the id's length come first.
const ID_AT: usize = 2 + 4;

#[derive(Debug)]
pub(super) struct ClickRows {
    bytes: Vec<u8>,
    /// Where the tuple of each click starts.
    starts: Vec<usize>,
}

impl ClickRows {
    pub(super) fn new(clicks: &[DeliveredClick]) -> Self {
        let mut rows =
            Self { bytes: Vec::with_capacity(HEADER.len() + clicks.len() * 384), starts: Vec::with_capacity(clicks.len()) };
        rows.bytes.extend(HEADER);
        let mut details = String::with_capacity(512);
        for delivered in clicks {
            let click = &delivered.click;
            rows.starts.push(rows.bytes.len());
            rows.bytes.extend(COLUMNS.to_be_bytes());
            rows.put(&[0; 8]);
            rows.put(&click.link_id.0.to_be_bytes());
            match click.owner {
                Some(owner) => rows.put(&owner.0.to_be_bytes()),
                None => rows.bytes.extend((-1_i32).to_be_bytes()),
            }
            rows.put(&click.at.0.to_be_bytes());
            rows.put(&FROM_SPOOL.to_be_bytes());
            rows.put(click_details::write(&mut details, delivered).as_bytes());
        }
        rows.bytes.extend(TRAILER.to_be_bytes());
        rows
    }

    /// What COPY is sent. The clicks get the ids from `first` on.
    pub(super) fn with_ids(&self, first: i64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (start, id) in self.starts.iter().zip(first..) {
            bytes[start + ID_AT..start + ID_AT + 8].copy_from_slice(&id.to_be_bytes());
        }
        bytes
    }

    fn put(&mut self, value: &[u8]) {
        self.bytes.extend((value.len() as u32).to_be_bytes());
        self.bytes.extend(value);
    }
}
