//! Workers: each a loop around a step.
