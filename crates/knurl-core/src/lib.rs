//! The pure part of Knurl: what a link, a code, a target, a click and a user *are*.
//!
//! Promised: nothing here does I/O, reads a clock, or knows of HTTP or SQL. Time and randomness come in as arguments, so every
//! function can be tested at any instant and with any luck.

pub mod agent;
pub mod click;
pub mod event;
pub mod key;
pub mod link;
pub mod page;
pub mod rate;
pub mod short_code;
pub mod sketch;
pub mod stats;
pub mod target;
pub mod time;
pub mod user;
pub mod visitor;

pub use click::Click;
pub use event::{Event, EventId, EventType};
pub use link::{Link, LinkId};
pub use page::Page;
pub use short_code::ShortCode;
pub use target::Target;
pub use time::UnixMillis;
pub use user::{User, UserId};
