//! tributary links a company's source systems, keeps every object as Parquet snapshots, and serves
//! consistent, immutable releases of all of them as SQL.

pub mod error;
pub mod filter;
pub mod model;
pub mod secret;
pub mod source;
