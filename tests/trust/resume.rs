//! Full reads that break off: the next run asks for the rest only, and has what a fresh one would have.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tributary::catalog::manifest::Manifest;
use tributary::demo::Fault;
use tributary::source::{Page, Resume, What};

use super::{count, linked_to, newest, says};
use crate::conformance::replica::{Replica, Table, plain};
use crate::conformance::vendor::{Event, Vendor};
use crate::support::server::Server;

/// The rows as the vendor tells them.
async fn kept(server: &Server, vendor: &Vendor) -> Table {
    let names = match vendor {
        Vendor::HubSpot(_) => "id, dealname, dealstage, amount",
        Vendor::Salesforce(_) => "id, name, stage_name, amount",
    };
    let rows =
        server.connect().await.query(&format!("SELECT {names}::text FROM crm.deal"), &[]).await.unwrap();
    let row = |row: &tokio_postgres::Row| {
        let values = (1..4).map(|at| {
            let text = row.get::<_, Option<String>>(at);
            if at == 3 { text.map(|text| plain(&text)) } else { text }
        });
        (row.get::<_, String>(0), values.collect::<Vec<_>>())
    };
    rows.iter().map(row).collect()
}

/// Calls for pages of the full read, by what only they ask for.
fn pages_asked(vendor: &Vendor) -> usize {
    let is_page = |uri: &str| match vendor {
        Vendor::HubSpot(_) => uri.starts_with("/crm/v3/objects/deals?") && uri.contains("archived=false"),
        // The first page is a query with its text; the count and the changes are others.
        Vendor::Salesforce(_) => {
            uri.starts_with("/services/data/v62.0/query/")
                || uri.starts_with("/services/data/v62.0/query?") && !uri.contains("count")
        }
    };
    vendor.traffic().log().iter().filter(|call| call.status == 200 && is_page(&call.uri)).count()
}

fn change(vendor: &Vendor, seed: u64) {
    let (mut random, mut deleted) = (StdRng::seed_from_u64(seed), Vec::new());
    for event in [Event::Update, Event::Delete, Event::Create, Event::Merge, Event::Restore, Event::Update] {
        for _ in 0..4 {
            vendor.happen(event, &mut random, &mut deleted);
        }
    }
    vendor.settle();
}

pub(super) fn dies_at(vendor: &Arc<Vendor>, page: usize) {
    let path = match &**vendor {
        Vendor::HubSpot(_) => "GET /crm/v3/objects/deals",
        Vendor::Salesforce(_) => "GET /services/data/v62.0/query",
    };
    // The count of Salesforce goes the same way.
    let skip = page + usize::from(matches!(**vendor, Vendor::Salesforce(_)));
    let there = vendor.clone();
    vendor.traffic().before(path, skip, move || {
        there.traffic().fail_next_at("", 1_000, Fault::RateLimited { retry_after: None, daily: true });
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_broke_off_is_gone_on_with() {
    for name in ["hubspot", "salesforce"] {
        for page in [1, 4, 8] {
            let vendor = Arc::new(Vendor::in_pages(name, 20 + page as u64, 900).await);
            let server = linked_to(&vendor);
            dies_at(&vendor, page);
            assert!(!server.psql(&["CALL sync('crm', 'full')"]).status.success());
            vendor.traffic().heal();
            let broken =
                server.rows(&["SELECT id, status, warnings FROM tributary.run ORDER BY id DESC LIMIT 1"]);
            says(&broken, &["|failed|", &format!("{} records are kept", page * 100)]);
            change(&vendor, page as u64);
            let planned = server.rows(&["CALL plan_sync('crm', 'full')"]);
            says(&planned, &[&format!("goes on with run 1, which broke off after {} records", page * 100)]);
            vendor.traffic().reset();
            let synced = server.rows(&["CALL sync('crm', 'full')"]);
            assert!(synced.contains("|full|succeeded"), "{name} {page}: {synced}");
            let asked = pages_asked(&vendor);
            assert!((9 - page..=10 - page).contains(&asked), "{name} {page}: asked for {asked} pages");
            let resumed = "SELECT resumed_from FROM tributary.run ORDER BY id DESC LIMIT 1";
            assert_eq!(server.rows(&[resumed]), "1", "{name} {page}");
            assert_eq!(kept(&server, &vendor).await, vendor.truth(), "{name} {page}");
            for mode in ["diff", "full"] {
                server.rows(&[&format!("CALL sync('crm', '{mode}')")]);
                let (status, [inserted, updated, deleted, _]) = newest(&server);
                assert!(status.starts_with("succeeded"), "{status}");
                assert_eq!([inserted, updated, deleted], [0, 0, 0], "{name} {page} {mode}");
            }
            assert_eq!(server.rows(&[resumed]), "", "what reached its end is not gone on with");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_something_else_begins_anew() {
    let vendor = Arc::new(Vendor::in_pages("hubspot", 3, 500).await);
    let server = linked_to(&vendor);
    let breaks = |mode: &str| {
        dies_at(&vendor, 3);
        assert!(!server.psql(&[&format!("CALL sync('crm', '{mode}')")]).status.success());
        vendor.traffic().heal();
    };
    let resumed = "SELECT coalesce(resumed_from, 0) FROM tributary.run ORDER BY id DESC LIMIT 1";
    breaks("full");
    server.rows(&[
        "CALL set_fields('crm', 'deal', fields => 'id,dealname,amount')",
        "CALL sync('crm', 'full')",
    ]);
    assert_eq!((server.rows(&[resumed]), count(&server)), ("0".into(), 500));
    // A place that the vendor does not know any more.
    breaks("full");
    let gone = Fault::Replace { status: 400, content_type: "application/json", body: "{}".into() };
    vendor.traffic().fail_next_at("GET /crm/v3/objects/deals", 1, gone);
    let said = server.psql(&["CALL sync('crm', 'full')"]);
    assert!(said.status.success(), "{said:?}");
    says(&String::from_utf8(said.stderr).unwrap(), &["everything is read anew"]);
    assert_eq!((server.rows(&[resumed]), count(&server)), ("0".into(), 500));
    // Fields that change without anybody telling are of one read, unless a diff was asked for.
    server.rows(&["CALL set_fields('crm', 'deal', fields => 'id,amount,days_to_close')"]);
    breaks("diff");
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(server.rows(&[resumed]), "0");
    // Somebody who was erased is in nothing that is kept.
    server.rows(&["CALL set_fields('crm', 'deal', fields => 'id,amount')"]);
    breaks("full");
    let one = vendor.truth().into_keys().next().unwrap();
    server.rows(&[&format!("CALL erase('crm', 'deal', key => '{one}', reason => 'asked for it')")]);
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!((server.rows(&[resumed]), count(&server)), ("0".into(), 499));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_read_costs_the_newest_pages() {
    let vendor = Arc::new(Vendor::in_pages("hubspot", 3, 6_000).await);
    let mut server = linked_to(&vendor);
    let path = "GET /crm/v3/objects/deals";
    // What is older than two seconds by now is kept.
    vendor.traffic().before(path, 25, || std::thread::sleep(Duration::from_millis(2_500)));
    let reached = Arc::new(AtomicBool::new(false));
    let (there, at) = (reached.clone(), vendor.clone());
    vendor.traffic().before(path, 50, move || {
        at.traffic().fail_next_at(path, 1, Fault::Stalled);
        there.store(true, Ordering::SeqCst);
    });
    let mut caller = server
        .client("psql")
        .args(["-X", "-c", "CALL sync('crm', 'full')"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !reached.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let again = server.kill();
    caller.wait().unwrap();
    vendor.traffic().heal();
    server = again.start();
    change(&vendor, 9);
    vendor.traffic().reset();
    let synced = server.rows(&["CALL sync('crm', 'full')"]);
    assert!(synced.contains("|full|succeeded"), "{synced}");
    let asked = pages_asked(&vendor);
    assert!((10..=41).contains(&asked), "asked for {asked} of 60 pages");
    assert_eq!(server.rows(&["SELECT resumed_from FROM tributary.run ORDER BY id DESC LIMIT 1"]), "1");
    assert_eq!(kept(&server, &vendor).await, vendor.truth());
}

/// The pages of a full read, until it ends or breaks off.
async fn read(replica: &Replica, resume: Resume) -> (Vec<Page>, bool) {
    let mut read = replica.read(What::Full).await.unwrap();
    read.resume = resume;
    let mut stream = replica.source.read(read);
    let mut pages = Vec::new();
    while let Some(page) = stream.next().await {
        match page {
            Ok(page) => pages.push(page),
            Err(_) => return (pages, false),
        }
    }
    (pages, true)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_a_job_is_fetched_on() {
    let vendor = Arc::new(Vendor::in_pages("salesforce", 5, 700).await);
    let in_parts = |manifest: &mut Manifest| {
        let bulk = manifest.read.bulk.as_mut().unwrap();
        bulk.above_rows = 1;
        if let tributary::catalog::manifest::Page::Token(page) = &mut bulk.page {
            page.size = Some(100);
        }
    };
    let (object, fields) = vendor.object();
    for part in [1, 5] {
        let replica = Replica::new(vendor.source_of(&in_parts), object, &fields);
        let there = vendor.clone();
        vendor.traffic().before("/results", part, move || {
            there.traffic().fail_next_at("", 1_000, Fault::RateLimited { retry_after: None, daily: true });
        });
        let (pages, is_whole) = read(&replica, Resume::Begin).await;
        vendor.traffic().heal();
        assert!(!is_whole, "{part}");
        let from = pages.last().unwrap().from.clone().unwrap();
        let before: usize = pages.iter().map(|page| page.rows.num_rows()).sum();
        assert_eq!(before, part * 100);
        vendor.traffic().reset();
        let (rest, is_whole) = read(&replica, Resume::From(from)).await;
        assert!(is_whole);
        let after: usize = rest.iter().map(|page| page.rows.num_rows()).sum();
        assert_eq!(before + after, 700);
        let started = vendor.traffic().log().iter().any(|call| call.endpoint.starts_with("POST"));
        assert!(!started, "no second job");
        let Vendor::Salesforce(running) = &*vendor else { panic!() };
        assert!(running.control.jobs().is_empty(), "a job that is read is removed");
    }
}
