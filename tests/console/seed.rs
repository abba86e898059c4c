//! The first day of a company, in a browser.

use tributary::demo::hubspot::{self, CLIENT_ID, CLIENT_SECRET, Limits, RegisteredApp};

use super::browse;
use crate::oauth::{server, web_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_day() {
    let options =
        hubspot::Options { limits: Limits::none(), apps: Vec::new(), ..hubspot::Options::default() };
    let vendor = hubspot::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let builder = server("hubspot", &vendor.base_url, (CLIENT_ID, CLIENT_SECRET), folder.path());
    let start = || builder.env("TRIBUTARY_ADMIN_PASSWORD", "").start();
    let server = tokio::task::block_in_place(start);
    vendor.control.register(RegisteredApp {
        client_id: CLIENT_ID.into(),
        client_secret: CLIENT_SECRET.into(),
        redirect_uris: vec![format!("{}/oauth/callback/hubspot", web_of(&server))],
    });
    let said = server.said();
    let setup =
        said.lines().find(|line| line.contains("/setup/")).unwrap().split_whitespace().last().unwrap();
    tokio::task::block_in_place(|| browse("seed", &server, &[("SETUP", setup)]));

    let (client, connection) = server
        .config_of("ann", "ann reads on sundays")
        .connect(tokio_postgres::NoTls)
        .await
        .expect("the analyst whom the admin added may log in");
    tokio::spawn(connection);
    let sql = "SELECT count(*), count(title), min(amount) > 1000 FROM hubspot.opportunity";
    let row = client.query_one(sql, &[]).await.unwrap();
    let (rows, titles, is_filtered): (i64, i64, bool) = (row.get(0), row.get(1), row.get(2));
    assert!(rows > 0 && titles > 0 && is_filtered, "{rows} {titles} {is_filtered}");
    assert!(rows < vendor.control.live("deals").len() as i64);
    assert_eq!(vendor.control.refresh_tokens().len(), 1, "the first login was revoked");
}
