//! What tools ask about the company: `pg_catalog`, `information_schema`, psql's commands, reflection.

use std::process::Command;
use std::sync::LazyLock;

use crate::drivers::{installed, to_source};
use crate::support;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

mod functions;
mod oids;
mod psql;
mod reflection;
mod rights;
mod same_relations;
mod subqueries;
mod wide;

/// One source and one server for all tests of this module.
struct Both {
    source: Database,
    server: Server,
}

static BOTH: LazyLock<Both> = LazyLock::new(|| std::thread::spawn(prepare).join().unwrap());

/// Made so that the real PostgreSQL has the same tables as the company.
const SOURCE: &str = "
    CREATE SCHEMA crm;
    CREATE TABLE crm.opportunity (id bigint PRIMARY KEY, name text, amount numeric(18,2), is_won boolean,
        closed date, changed timestamptz, tags text[]);
    CREATE TABLE crm.line (opportunity bigint, number integer, price numeric(10,4), PRIMARY KEY (opportunity, number));
    INSERT INTO crm.opportunity SELECT n, 'Deal ' || n, n * 1.5, n % 2 = 0, '2026-01-01', '2026-01-01', '{a,b}'
        FROM generate_series(1, 100) AS n;
    INSERT INTO crm.line VALUES (1, 1, 2.5), (1, 2, 3.5), (2, 1, 4.5);
    COMMENT ON TABLE crm.opportunity IS 'Deals';
    COMMENT ON COLUMN crm.opportunity.amount IS 'Amount in EUR';";

fn prepare() -> Both {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let source = runtime.block_on(async {
        let source = postgres::database().await;
        source.execute(SOURCE).await;
        source
    });
    let server = Server::start();
    support::link(&server, &source);
    server.rows(&[
        "CALL discover('crm')",
        "CALL add_object('crm', 'crm.opportunity', unique_fields => 'id')",
        "CALL add_object('crm', 'crm.line', unique_fields => 'opportunity,number')",
        "CALL set_label('crm', 'opportunity', label => 'Deals')",
        "CALL set_label('crm', 'opportunity', field => 'amount', label => 'Amount in EUR')",
        "CALL sync('crm', 'full')",
        "CREATE USER ada PASSWORD 'Tr1butary: analyst'",
        "CREATE USER bob PASSWORD 'Tr1butary: analyst'",
        "GRANT SELECT ON crm.opportunity TO ada",
    ]);
    Both { source, server }
}

/// psql as an analyst.
fn as_user(user: &str) -> Command {
    let mut command = BOTH.server.client("psql");
    command.args(["-X", "-A", "-t", "-v", "VERBOSITY=verbose"]);
    command.env("PGUSER", user).env("PGPASSWORD", "Tr1butary: analyst");
    command
}

/// Rows that an analyst gets.
fn rows_of(user: &str, sql: &str) -> String {
    let out = as_user(user).args(["-c", sql]).output().unwrap();
    assert!(out.status.success(), "{sql}\n{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim_end().to_string()
}
