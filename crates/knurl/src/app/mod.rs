//! Start in order, run, stop in reverse.
