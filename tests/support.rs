//! What the tests share: real servers started on free ports, and clients for them.

use server::Server;

pub(crate) mod buckets;
pub(crate) mod company;
pub(crate) mod folder;
pub(crate) mod google;
pub(crate) mod large;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod seen;
pub(crate) mod server;
pub(crate) mod signing;
pub(crate) mod tools;
pub(crate) mod wire;

/// Links a source database to a server as the connection `crm` and proves the login, all through psql.
pub(crate) fn link(server: &Server, source: &postgres::Database) {
    let settings = format!(
        r#"{{"host":"127.0.0.1","port":{},"database":"{}","user":"{}","sslmode":"disable"}}"#,
        source.port,
        source.name,
        postgres::USER
    );
    let linked = server.rows(&[
        &format!("CALL connect('postgresql', name => 'crm', settings => '{settings}')"),
        &format!("CALL set_secret('crm', 'password', '{}')", postgres::PASSWORD),
    ]);
    assert!(linked.contains("|connected|"), "{linked}");
}

/// A login with the role that most people have.
pub(crate) fn analyst(name: &str) -> tributary::model::User {
    let (name, role, verifier) = (name.into(), "analyst".into(), "v".into());
    tributary::model::User { name, role, verifier, enabled: true, browser_verifier: None }
}
