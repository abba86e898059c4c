//! All behaviour tests, in one binary: linking dominates their build time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code)]

mod query;
mod support;
mod wire;
