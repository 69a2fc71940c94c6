//! A fleet on this machine: nodes as child processes behind the real nginx.
pub mod front;
