//! A table shaped like a CRM's opportunities in a PostgreSQL of its own, and a server linked to it.

use std::process::Command;

use crate::support::postgres::{self, Database};
use crate::support::server::Server;

/// psql on the source.
pub(crate) fn on_source(source: &Database, arguments: &[&str]) {
    let status = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &source.url()])
        .args(arguments)
        .status()
        .unwrap();
    assert!(status.success(), "{arguments:?}");
}

pub(crate) fn load(source: &Database, rows: u64) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/opportunity.sql");
    on_source(source, &["-v", &format!("rows={rows}"), "-f", file]);
    on_source(source, &["-c", "CHECKPOINT"]);
}

/// Links the source under a name.
pub(crate) fn connect(server: &Server, name: &str, source: &Database) {
    let settings = format!(
        r#"{{"host":"127.0.0.1","port":{},"database":"{}","user":"{}","sslmode":"disable"}}"#,
        source.port,
        source.name,
        postgres::USER
    );
    server.rows(&[
        &format!("CALL connect('postgresql', name => '{name}', settings => '{settings}')"),
        &format!("CALL set_secret('{name}', 'password', '{}')", postgres::PASSWORD),
    ]);
}

pub(crate) fn link(server: &Server, source: &Database) {
    connect(server, "crm", source);
    server.rows(&[
        "CALL add_object('crm', 'public.opportunity', unique_fields => 'id', cursor_field => 'updated_at')",
    ]);
}
