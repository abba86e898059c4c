//! Rights on single fields and masks: what somebody may not see comes to light in no way.

mod fields;
mod masks;

use tokio_postgres::{Client, NoTls};

use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

const PASSWORD: &str = "a long enough password";

/// People with a salary, as the connection `hr` has them. `secret` values are those that must not be seen.
const EMPLOYEES: &str =
    "CREATE TABLE employee (id int PRIMARY KEY, name text, team text, salary numeric(10,2), iban text,
         updated_at timestamptz NOT NULL DEFAULT now());
     CREATE INDEX ON employee (updated_at);
     INSERT INTO employee SELECT i, 'name ' || i, 'team ' || i % 3, 7000 + i, 'DE' || 7700000 + i
         FROM generate_series(1, 50) i";

/// Parts of every value of the salaries and accounts of [`EMPLOYEES`].
const SECRET: [&str; 3] = ["70", "DE77", "77000"];

/// A server with employees, and `ann`, who may log in and read nothing yet.
async fn staffed() -> (Database, Server) {
    let database = postgres::database().await;
    database.execute(EMPLOYEES).await;
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    link(&server, &database);
    server.rows(&[
        "CALL add_object('crm', 'public.employee', cursor_field => 'updated_at')",
        "CALL sync('crm', 'full')",
        &format!("CREATE USER ann PASSWORD '{PASSWORD}'"),
    ]);
    (database, server)
}

async fn ann(server: &Server) -> Client {
    let (client, connection) = server.config_of("ann", PASSWORD).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// All values of the rows, one row a line; or the SQLSTATE and the message.
async fn told(client: &Client, sql: &str) -> Result<String, (String, String)> {
    let messages = client.simple_query(sql).await.map_err(|error| {
        let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
        (error.code().code().to_string(), error.message().to_string())
    })?;
    let row = |message: &tokio_postgres::SimpleQueryMessage| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            let cells = (0..row.len()).map(|at| row.get(at).unwrap_or("NULL"));
            Some(cells.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    Ok(messages.iter().filter_map(row).collect::<Vec<_>>().join("\n"))
}

fn denied() -> Result<String, (String, String)> {
    Err(("42501".into(), "permission denied for table employee".into()))
}
