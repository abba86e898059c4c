//! From a simulated vendor to rows in psql: connect, adopt, sync, change, sync again.

use std::time::Duration;

use tributary::demo::{hubspot, salesforce};

use crate::support::folder::folder_of_this_run;
use crate::support::server::Server;

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
    let synced = server.rows(&["CALL sync('crm', 'full')"]);
    assert!(!synced.contains("failed"), "{synced}");
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
    let synced = server.rows(&["CALL sync('crm', 'diff', object => 'deal')"]);
    assert!(synced.contains("|diff|succeeded"), "{synced}");
    assert_eq!(count(&server, "deal"), vendor.control.live("deals").len());
    let amount = server.rows(&[&format!("SELECT amount FROM crm.deal WHERE id = '{}'", deals[0].id)]);
    assert_eq!(amount.trim(), "12345678901234567.890000000");
    // A second diff finds the same rows, and changes nothing.
    let again = server.rows(&["CALL sync('crm', 'diff', object => 'deal')"]);
    let fields: Vec<_> = again.trim().split('|').collect();
    assert_eq!((fields[5], fields[6], fields[7]), ("0", "0", "0"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn opportunities_of_salesforce_come_in_bulk_and_by_pages() {
    let vendor = salesforce::start(salesforce::Options::default()).await.unwrap();
    let server = server("salesforce", &vendor.login_url);
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
