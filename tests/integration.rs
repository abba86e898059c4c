//! All behaviour tests, in one binary: linking dominates their build time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

mod architecture;
mod bad_input;
mod drivers;
mod snapshot;
mod source_postgres;
mod spine;
mod state;
mod support;
mod wire;
