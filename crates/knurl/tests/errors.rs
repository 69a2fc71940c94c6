//! Every way to fail, walked: each is problem+json with a code of the table, the request id of the header, and nothing internal.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod test_app;

#[path = "errors/documented.rs"]
mod documented;
#[path = "errors/faults.rs"]
mod faults;
#[path = "errors/hostile.rs"]
mod hostile;
#[path = "errors/overload.rs"]
mod overload;
#[path = "errors/requests.rs"]
mod requests;
