//! All behaviour tests, in one binary: linking dominates their build time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
// A lock held while a test waits is held by that test alone.
#![allow(dead_code, clippy::await_holding_lock)]

mod architecture;
mod bad_input;
mod catalog;
mod conformance;
mod console;
mod dialect;
mod diff;
mod disk;
mod drift;
mod drivers;
mod entrance;
mod erase;
mod health;
mod introspection;
mod kill;
mod night;
mod oauth;
mod open_format;
mod optimize;
mod overrides;
mod query;
mod recovery;
mod rest;
mod rights;
mod simulation;
mod snapshot;
mod source_postgres;
mod spine;
mod state;
mod stores;
mod support;
mod time;
mod trust;
mod vendors;
mod vendors_sync;
mod wire;
