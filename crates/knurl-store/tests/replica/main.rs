//! The replica against a real PostgreSQL: what it copies, when it tells, what it refuses to believe.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod changes;
mod damage;
mod first_copy;
mod node;
mod other_database;
mod removed;
