//! Encryption: real clients, required and refused.

use std::process::Command;
use std::sync::Arc;

use tributary::pg::Tls;

use crate::support::wire::*;

/// A fresh certificate for localhost; the folder has to outlive its use.
pub(super) fn certificate() -> (tempfile::TempDir, Arc<Tls>) {
    let folder = tempfile::tempdir().unwrap();
    let generated = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("server.crt"), folder.path().join("server.key"));
    std::fs::write(&certificate, generated.cert.pem()).unwrap();
    std::fs::write(&key, generated.signing_key.serialize_pem()).unwrap();
    let tls = Tls::load(&certificate, &key).unwrap();
    (folder, tls)
}

/// Runs psql with a connection string; what it prints, and whether it succeeded.
async fn psql(wire: &Wire, options: &str, sql: &str) -> (bool, String) {
    let conninfo = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user={USER} dbname={DATABASE} {options}",
        wire.port
    );
    let mut command = Command::new(crate::support::postgres::binaries().join("psql"));
    command.args(["-X", "-At", "-c", sql, &conninfo]).env("PGPASSWORD", PASSWORD);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn psql_logs_in_over_tls_and_binds_its_login_to_it() {
    let (folder, tls) = certificate();
    let wire = start(|config| config.tls = Some(tls)).await;
    let root = folder.path().join("server.crt");
    let options = format!("sslmode=verify-full sslrootcert={} channel_binding=require", root.display());
    let (succeeded, text) = psql(&wire, &options, "").await;
    assert!(succeeded, "{text}");
    let (succeeded, text) = psql(&wire, "sslmode=disable channel_binding=disable", "").await;
    assert!(succeeded, "{text}");
    let (succeeded, text) = psql(&wire, "sslmode=disable channel_binding=require", "").await;
    assert!(!succeeded && text.contains("channel binding"), "{text}");
}

#[tokio::test]
async fn where_tls_is_required_nothing_else_is_answered() {
    let (_folder, tls) = certificate();
    let wire = start(|config| {
        config.tls = Some(tls);
        config.require_tls = true;
    })
    .await;
    let (succeeded, text) = psql(&wire, "sslmode=disable", "").await;
    assert!(!succeeded && text.contains("is not encrypted"), "{text}");
    let (succeeded, text) = psql(&wire, "sslmode=require", "").await;
    assert!(succeeded, "{text}");
}

#[tokio::test]
async fn a_server_without_certificate_says_so() {
    let wire = start(|_| {}).await;
    let (succeeded, text) = psql(&wire, "sslmode=require", "").await;
    assert!(!succeeded && text.contains("does not support SSL"), "{text}");
}
