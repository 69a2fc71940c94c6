//! Knurl, the shipped binary, as a library so that its tests and fuzz targets can reach it.
//!
//! The arrows (held by `tests/tidy.rs`): `main -> cli -> {app, transfer, config}`; `app -> everything below`;
//! `http -> resolve, clicks (recorder handle only), transfer, store trait`; `jobs -> clicks, resolve, store`;
//! `clicks -> spool, store`; everything may use `telemetry` and `config`. Only `app` points at `http`.

pub mod app;
pub mod cli;
pub mod clicks;
pub mod config;
pub mod http;
pub mod jobs;
pub mod resolve;
pub mod telemetry;
pub mod transfer;
