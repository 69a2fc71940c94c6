//! The command line as people and scripts meet it: the real binary, in directories of its own.

mod beside_server;
mod config;
mod copies;
mod doctor;
mod knurl;
mod links;
mod people;
mod reference;
mod transfer;
