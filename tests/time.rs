//! The past: naming it, keeping it, cleaning it up, comparing it.

use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

mod as_of;
mod vacuum;

/// A source with deals.
async fn source(rows: u32) -> Database {
    let database = postgres::database().await;
    database
        .execute(&format!(
            "CREATE TABLE deal (id bigint PRIMARY KEY, name text, stage text, amount numeric(18,2),
                 updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO deal SELECT i, 'Deal ' || i, 'Open', i * 1.25 FROM generate_series(1, {rows}) i;
             CREATE INDEX ON deal (updated_at);
             ANALYZE;"
        ))
        .await;
    database
}

/// A server that has synced the deals once: release 1.
async fn served(rows: u32) -> (Database, Server) {
    let database = source(rows).await;
    let server = Server::start();
    link(&server, &database);
    server.rows(&[
        "CALL add_object('crm', 'public.deal', unique_fields => 'id', name_field => 'name', \
             cursor_field => 'updated_at')",
        "CALL sync('crm', 'full')",
    ]);
    (database, server)
}

/// Changes the source and syncs the change.
async fn change(database: &Database, server: &Server, statement: &str, mode: &str) {
    database.execute(statement).await;
    server.rows(&[&format!("CALL sync('crm', '{mode}', force => true, reason => 'test')")]);
}

/// The last line that psql printed.
fn last(server: &Server, statements: &[&str]) -> String {
    server.rows(statements).lines().last().unwrap_or_default().to_string()
}
