//! All of Knurl's SQL.
//!
//! Promised: one method is one business fact and one transaction; what a method acknowledged is on disk (SQLite: WAL with
//! `synchronous=FULL`; PostgreSQL: `synchronous_commit` never off; both group-committed); `None` means "never existed", an outage is
//! [`StoreError::Unavailable`], never `None`.
//! Refused: HTTP, clocks (time is an argument), policy (what may be a target or a code was decided before).

mod click_details;
mod clicked;
mod error;
pub mod faulty;
mod json;
mod link_events;
pub mod moving;
pub mod once;
pub mod postgres;
pub mod replica;
mod roll_up;
pub mod sqlite;
mod store;
mod there;
pub mod witness;

pub use error::{Conflict, Reference, StoreError};
pub use store::*;
