//! The REST contract, from outside: every endpoint, every riddle, every quirk of the lists.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod test_app;

#[path = "contract/auth.rs"]
mod auth;
#[path = "contract/bulk.rs"]
mod bulk;
#[path = "contract/codes.rs"]
mod codes;
#[path = "contract/documented.rs"]
mod documented;
#[path = "contract/emptied.rs"]
mod emptied;
#[path = "contract/endpoints.rs"]
mod endpoints;
#[path = "contract/events.rs"]
mod events;
#[path = "contract/idempotency.rs"]
mod idempotency;
#[path = "contract/lists.rs"]
mod lists;
#[path = "contract/riddles.rs"]
mod riddles;
#[path = "contract/stats.rs"]
mod stats;
#[path = "contract/vanished.rs"]
mod vanished;
#[path = "contract/versions.rs"]
mod versions;
