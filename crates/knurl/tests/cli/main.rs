//! The command line as people and scripts meet it: the real binary, in directories of its own.
#![allow(clippy::unwrap_used, reason = "test code outside a #[test] function")]

mod beside_server;
mod config;
mod copies;
mod destinations;
mod doctor;
mod health;
mod knurl;
mod links;
mod moving;
mod open_files;
mod people;
mod postgres;
mod reference;
mod transfer;
