//! A click's life on the real store and the real disk, with every fault we can cause in between.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod audited;
mod barrier;
mod blind;
mod delivery;
mod faulty_disk;
mod full;
mod jobs;
mod model;
mod power_loss;
mod synced;
mod world;
