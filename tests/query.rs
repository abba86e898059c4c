//! Statements through a session, without the wire.

mod call;
mod like_postgres;
mod names;
mod parameters;
mod refused;
mod release;
mod session;
mod work;
