//! The PostgreSQL wire protocol.

mod encode;
mod frame;
mod parameter;
mod types;
