//! Knurl, the shipped binary, as a library so that its tests and fuzz targets can reach it.
//!
//! The arrows: who may use whom. `tests/tidy.rs` reads this table and fails on an arrow that is not in it.
//!
//! ```text
//! app       -> clicks, config, http, jobs, limit, redis, resolve, telemetry, transfer
//! breaker   -> chance, telemetry
//! chance    ->
//! cli       -> app, clicks, config, redis, telemetry, transfer
//! clicks    -> chance, config, telemetry
//! config    ->
//! http      -> clicks::Recorder, clicks::Recorded, clicks::BarrierTimeout, config, limit, resolve, telemetry, transfer
//! jobs      -> clicks, config, redis, resolve, telemetry
//! limit     -> config, redis, telemetry
//! redis     -> breaker, chance, config, telemetry
//! resolve   -> breaker, chance, config, redis, telemetry
//! telemetry -> chance, config
//! transfer  -> config, telemetry
//! ```

pub mod app;
pub mod breaker;
pub mod chance;
pub mod cli;
pub mod clicks;
pub mod config;
pub mod http;
pub mod jobs;
pub mod limit;
pub mod redis;
pub mod resolve;
pub mod telemetry;
pub mod transfer;
