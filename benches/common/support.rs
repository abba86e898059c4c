//! The servers and clients of the tests.

#[path = "../../tests/support/folder.rs"]
pub(crate) mod folder;
#[path = "../../tests/support/large.rs"]
pub(crate) mod large;
#[path = "../../tests/support/postgres.rs"]
pub(crate) mod postgres;
#[path = "../../tests/support/server.rs"]
pub(crate) mod server;
#[path = "../../tests/support/tools.rs"]
pub(crate) mod tools;
