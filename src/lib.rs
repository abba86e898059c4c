//! tributary links a company's source systems, keeps every object as Parquet snapshots, and serves
//! consistent, immutable releases of all of them as SQL.

pub mod alert;
pub mod backoff;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod demo;
pub mod error;
pub mod filter;
pub mod model;
pub mod oauth;
pub mod password;
pub mod pg;
pub mod query;
pub mod secret;
pub mod server;
pub mod service;
pub mod snapshot;
pub mod source;
pub mod state;
pub mod sync;
pub mod web;
