//! A sync that can be trusted: what it removes is explained, what is suspicious waits for a person, and what fails
//! takes nothing away.

mod definition;
mod gate;
mod held;
mod refilter;
mod resume;
mod scripts;
mod settings;
mod vendors;
mod visibility;

use crate::conformance::vendor::Vendor;
use crate::support::folder::folder_of_this_run;
use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;
use tributary::demo::{hubspot, salesforce};

/// A server with a PostgreSQL as the connection `crm`.
async fn linked(sql: &str) -> (Database, Server) {
    let database = postgres::database().await;
    database.execute(sql).await;
    let server = Server::start();
    link(&server, &database);
    (database, server)
}

/// A server with a simulated vendor as the connection `crm`, its object adopted under its own name.
fn linked_to(vendor: &Vendor) -> Server {
    let folder = tempfile::tempdir_in(folder_of_this_run("tributary-test-trust")).unwrap().keep();
    let config = folder.join("tributary.toml");
    let connector = vendor.connector();
    std::fs::write(&config, format!("[connector_base]\n{connector} = \"{}\"\n", vendor.base())).unwrap();
    let server = Server::builder().args(&["--config", config.to_str().unwrap()]).start();
    server.rows(&[&format!("CALL connect('{connector}', name => 'crm')")]);
    match vendor {
        Vendor::HubSpot(_) => {
            server.rows(&[&format!("CALL set_secret('crm', 'token', '{}')", hubspot::PRIVATE_TOKEN)]);
        }
        Vendor::Salesforce(_) => {
            server.rows(&[
                &format!("CALL set_secret('crm', 'client_id', '{}')", salesforce::CLIENT_ID),
                &format!("CALL set_secret('crm', 'client_secret', '{}')", salesforce::CLIENT_SECRET),
            ]);
        }
    }
    let (object, fields) = vendor.object();
    let few = fields.join(",");
    server.rows(&[
        &format!("CALL add_object('crm', '{object}', name => 'deal')"),
        &format!("CALL set_fields('crm', 'deal', fields => '{few}')"),
    ]);
    server
}

/// Status, and rows inserted, updated, deleted and there, of the newest run.
fn newest(server: &Server) -> (String, [u64; 4]) {
    let row = server.rows(&[
        "SELECT status, inserted, updated, deleted, rows FROM tributary.run ORDER BY id DESC LIMIT 1",
    ]);
    let mut parts = row.split('|');
    let status = parts.next().unwrap().to_string();
    (status, std::array::from_fn(|_| parts.next().unwrap().parse().unwrap()))
}

/// How many removals of the newest run are listed, by reason.
fn reasons(server: &Server) -> String {
    server.rows(&[
        "SELECT reason, count(*) FROM tributary.removal WHERE run = (SELECT max(id) FROM tributary.run)
         GROUP BY reason ORDER BY reason",
    ])
}

fn count(server: &Server) -> u64 {
    server.rows(&["SELECT count(*) FROM crm.deal"]).parse().unwrap()
}

/// Fails unless `text` has every one of `words`.
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is missing from: {text}");
    }
}
