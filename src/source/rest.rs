//! Source systems behind an HTTP API, as their manifest declares them.

pub mod token;
