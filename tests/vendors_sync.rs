//! From a simulated vendor to rows in psql: connect, adopt, sync, change, sync again.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tributary::demo::{Fault, Size, hubspot, salesforce};

use crate::support::folder::folder_of_this_run;
use crate::support::server::Server;
use crate::support::signing::{PRIVATE_KEY, public_key};

/// A server that reaches its connectors where the simulated vendors are.
fn server(connector: &str, base: &str) -> Server {
    let folder = tempfile::tempdir_in(folder_of_this_run("tributary-test-vendors")).unwrap().keep();
    let config = folder.join("tributary.toml");
    std::fs::write(&config, format!("[connector_base]\n{connector} = \"{base}\"\n")).unwrap();
    Server::builder().args(&["--config", config.to_str().unwrap()]).start()
}

#[tokio::test(flavor = "multi_thread")]
async fn deals_of_hubspot_are_rows_after_a_sync() {
    let options = hubspot::Options { limits: hubspot::Limits::none(), ..hubspot::Options::default() };
    let vendor = hubspot::start(options).await.unwrap();
    let server = server("hubspot", &vendor.base_url);
    let linked = server.rows(&[
        "CALL connect('hubspot', name => 'crm')",
        &format!("CALL set_secret('crm', 'token', '{}')", hubspot::PRIVATE_TOKEN),
        "CALL add_object('crm', 'deal')",
        "CALL add_object('crm', 'deal_stage')",
        "CALL add_object('crm', 'owner')",
        "CALL add_object('crm', 'deal_to_contact')",
    ]);
    assert!(linked.contains("|connected|"), "{linked}");
    let planned = server.rows(&["CALL plan_sync('crm', 'diff', object => 'deal')"]);
    // 250 deals in three pages, and the question itself.
    assert_eq!(planned, "crm.deal|full|250|4|read in full: this is its first sync");
    let synced = server.rows(&["CALL sync('crm', 'full')"]);
    assert!(!synced.contains("failed"), "{synced}");
    let calls = "SELECT calls, expected_calls FROM tributary.run WHERE object = 'crm.deal'";
    assert_eq!(server.rows(&[calls]), "4|4");
    let volatile = "SELECT count(*) > 0 FROM tributary.field WHERE object = 'deal' AND volatile AND selected";
    assert_eq!(server.rows(&[volatile]), "t");
    let deals = vendor.control.live("deals");
    let count = |server: &Server, table: &str| -> usize {
        server.rows(&[&format!("SELECT count(*) FROM crm.{table}")]).trim().parse().unwrap()
    };
    assert_eq!(count(&server, "deal"), deals.len());
    assert_eq!(count(&server, "owner"), vendor.control.owners().len());
    let pairs: usize =
        deals.iter().map(|deal| vendor.control.associated(("deals", deal.id), "contacts").len()).sum();
    assert_eq!(count(&server, "deal_to_contact"), pairs);
    assert!(count(&server, "deal_stage") > 2);

    vendor.control.update("deals", deals[0].id, &[("amount", "12345678901234567.89")]);
    vendor.control.archive("deals", deals[1].id);
    vendor.control.merge("deals", deals[2].id, deals[3].id);
    vendor.control.create("deals", &[("dealname", "new 'é\"")]).unwrap();
    vendor.control.clock().advance(Duration::from_secs(180));
    let said = server.psql(&["CALL sync('crm', 'diff', object => 'deal')"]);
    let (synced, told) = (String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap());
    assert!(synced.contains("|diff|succeeded"), "{synced}");
    assert!(told.contains("calls of the API") && told.contains("a diff does not see these change"), "{told}");
    let gone = "SELECT deleted, merged, left_filter FROM tributary.run ORDER BY id DESC LIMIT 1";
    assert_eq!(server.rows(&[gone]), "2|1|0");
    assert_eq!(count(&server, "deal"), vendor.control.live("deals").len());
    let amount = server.rows(&[&format!("SELECT amount FROM crm.deal WHERE id = '{}'", deals[0].id)]);
    assert_eq!(amount.trim(), "12345678901234567.890000000");
    // A second diff finds the same rows, and changes nothing.
    let again = server.rows(&["CALL sync('crm', 'diff', object => 'deal')"]);
    assert!(!server.said().contains("not mirrored"), "{}", server.said());
    let fields: Vec<_> = again.trim().split('|').collect();
    assert_eq!((fields[5], fields[6], fields[7]), ("0", "0", "0"), "{again}");

    // A state that is lost and rebuilt still knows whose rows these are.
    let account = "SELECT account FROM tributary.connection";
    let before = server.rows(&[account]);
    assert!(before.starts_with("hubspot/"), "{before}");
    let data = server.data.clone();
    let (_, again) = server.stop();
    for file in std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("state.db") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let recover =
        Command::new(env!("CARGO_BIN_EXE_tributary")).arg("recover").arg("--data").arg(&data).output();
    assert!(recover.unwrap().status.success());
    let server = again.start();
    assert_eq!(server.rows(&[account]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn opportunities_of_salesforce_come_in_bulk_and_by_pages() {
    let vendor = salesforce::start(salesforce::Options::default()).await.unwrap();
    let server = server("salesforce", &vendor.base_url);
    let linked = server.rows(&[
        "CALL connect('salesforce', name => 'sf')",
        &format!("CALL set_secret('sf', 'client_id', '{}')", salesforce::CLIENT_ID),
        &format!("CALL set_secret('sf', 'client_secret', '{}')", salesforce::CLIENT_SECRET),
        "CALL add_object('sf', 'Opportunity')",
        "CALL set_import('sf', 'opportunity', filter => 'amount > 100000')",
    ]);
    assert!(linked.contains("|connected|"), "{linked}");
    let synced = server.rows(&["CALL sync('sf', 'full')"]);
    assert!(synced.contains("|full|succeeded"), "{synced}");
    let large = |live: &salesforce::Live| match live.fields.get("Amount") {
        Some(salesforce::Cell::Number(digits)) => digits.parse::<f64>().unwrap() > 100_000.0,
        _ => false,
    };
    let expected = vendor.control.live("Opportunity").iter().filter(|live| large(live)).count();
    let rows = server.rows(&["SELECT count(*) FROM sf.opportunity"]);
    assert_eq!(rows.trim().parse::<usize>().unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_statement_logs_in() {
    let users = vec!["admin@org1.example".to_string()];
    let signer = salesforce::Signer { client_id: "an app".into(), public_key: public_key(), users };
    let options = salesforce::Options { signers: vec![signer], ..salesforce::Options::default() };
    let vendor = salesforce::start(options).await.unwrap();
    let server = server("salesforce", &vendor.base_url);
    let linked = server.rows(&[
        "CALL connect('salesforce', name => 'sf')",
        "CALL set_secret('sf', 'consumer_key', 'an app')",
        "CALL set_secret('sf', 'username', 'admin@org1.example')",
        &format!("CALL set_secret('sf', 'private_key', '{PRIVATE_KEY}')"),
    ]);
    assert!(linked.contains("|connected|admin@org1.example"), "{linked}");
    server.rows(&["CALL add_object('sf', 'Account')"]);
    let synced = server.rows(&["CALL sync('sf', 'full')"]);
    assert!(synced.contains("|full|succeeded"), "{synced}");
    let rows = server.rows(&["SELECT count(*) FROM sf.account"]);
    assert_eq!(rows.trim().parse::<usize>().unwrap(), vendor.control.live("Account").len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_pages_loses_nothing() {
    let size = Size { deals: 3_000, ..Size::default() };
    let options = hubspot::Options { size, limits: hubspot::Limits::none(), ..hubspot::Options::default() };
    let vendor = hubspot::start(options).await.unwrap();
    let mut server = server("hubspot", &vendor.base_url);
    server.rows(&[
        "CALL connect('hubspot', name => 'crm')",
        &format!("CALL set_secret('crm', 'token', '{}')", hubspot::PRIVATE_TOKEN),
        "CALL add_object('crm', 'deal')",
    ]);
    server.rows(&["CALL sync('crm', 'full')"]);
    let seen = |server: &Server| server.rows(&["SELECT count(*), sum(amount) FROM crm.deal"]);
    for (call, path, pages) in [
        ("CALL sync('crm', 'full')", "GET /crm/v3/objects/deals", 12),
        ("CALL sync('crm', 'diff')", "/batch/read", 3),
        ("CALL sync('crm', 'diff')", "GET /crm/v3/objects/deals", 0),
    ] {
        let before = seen(&server);
        for deal in vendor.control.live("deals").iter().take(900) {
            vendor.control.update("deals", deal.id, &[("amount", "17.25")]);
        }
        vendor.control.create("deals", &[("dealname", "new"), ("amount", "3.5")]).unwrap();
        vendor.control.clock().advance(Duration::from_secs(180));
        // The vendor never ends this answer, so that the kill comes in the middle of the read.
        let (reached, control) = (Arc::new(AtomicBool::new(false)), vendor.control.clone());
        let there = reached.clone();
        vendor.control.traffic().before(path, pages, move || {
            control.traffic().fail_next_at(path, 1, Fault::Stalled);
            there.store(true, Ordering::SeqCst);
        });
        let mut client =
            server.client("psql").args(["-X", "-c", call]).stderr(Stdio::null()).spawn().unwrap();
        while !reached.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let again = server.kill();
        client.wait().unwrap();
        vendor.control.traffic().heal();
        server = again.start();
        assert_eq!(seen(&server), before, "{call}: what was there before is there");
        let ended = server.rows(&["SELECT cause FROM tributary.run ORDER BY id DESC LIMIT 1"]);
        assert!(ended.starts_with("interrupted"), "{call}: {ended}");
        let synced = server.rows(&["CALL sync('crm', 'diff')"]);
        assert!(synced.contains("|diff|succeeded"), "{synced}");
        let live = vendor.control.live("deals");
        let sum: f64 =
            live.iter().filter_map(|deal| deal.properties.get("amount")?.parse::<f64>().ok()).sum();
        let after = seen(&server);
        let (count, total) = after.split_once('|').unwrap();
        assert_eq!(count.parse::<usize>().unwrap(), live.len());
        assert!((total.parse::<f64>().unwrap() - sum).abs() < 0.001, "{after} is not {sum}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_revoked_ends_the_sync_and_asks_for_a_person() {
    let options = hubspot::Options { limits: hubspot::Limits::none(), ..hubspot::Options::default() };
    let vendor = hubspot::start(options).await.unwrap();
    let server = server("hubspot", &vendor.base_url);
    let token = format!("CALL set_secret('crm', 'token', '{}')", hubspot::PRIVATE_TOKEN);
    server.rows(&["CALL connect('hubspot', name => 'crm')", &token]);
    server.rows(&["CALL add_object('crm', 'company')", "CALL add_object('crm', 'deal')", "CALL sync('crm')"]);
    let seen = ["SELECT count(*) FROM crm.company", "SELECT count(*) FROM crm.deal"];
    let before = server.rows(&seen);
    vendor.control.revoke(hubspot::PRIVATE_TOKEN);
    vendor.control.traffic().reset();
    let error = server.error("CALL sync('crm', 'full')");
    assert!(error.contains("28000: sync of crm.company failed: the source refuses the token"), "{error}");
    assert!(error.contains("HINT:  set another one with `CALL set_secret(...)`"), "{error}");
    assert_eq!(vendor.control.traffic().total(), 1, "no further calls");
    let causes = server.rows(&["SELECT cause FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    assert_eq!(causes, "not read: the source refuses the login of this connection");
    let status = "SELECT status, identity IS NOT NULL FROM tributary.connection";
    assert_eq!(server.rows(&[status]), "needs you|t");
    assert_eq!(server.rows(&seen), before, "what was read is there");
    // Another token with fewer rights: what it may not read is told in words, the rest is read.
    let scopes = ["crm.objects.deals.read", "crm.schemas.deals.read", "oauth"];
    let other = vendor.control.private_app(&scopes);
    server.rows(&[&format!("CALL set_secret('crm', 'token', '{other}')")]);
    server.rows(&["CALL accept_visibility('crm')"]);
    let said = server.psql(&["CALL sync('crm', 'full')"]);
    let (rows, told) = (String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap());
    assert!(
        rows.contains("|crm.company|full|failed|") && rows.contains("|crm.deal|full|succeeded|"),
        "{rows}"
    );
    assert!(told.contains("missing: crm.objects.companies.read"), "{told}");
    assert_eq!(server.rows(&[status]), "connected|t");
    assert_eq!(server.rows(&seen), before);
    // Refused in the middle, after another failure, it asks for a person all the same.
    let control = vendor.control.clone();
    vendor.control.traffic().before("/objects/deals", 0, move || assert!(control.revoke(&other)));
    server.psql(&["CALL sync('crm', 'full')"]);
    assert_eq!(server.rows(&[status]), "needs you|t");
}
