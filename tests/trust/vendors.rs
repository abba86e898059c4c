//! What vendors tell of records that are gone, reads that break off, and records that a read leaves out.

use std::sync::Arc;

use tributary::demo::Fault;

use super::{count, linked_to, newest, reasons, says};
use crate::conformance::vendor::Vendor;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_sync_of_hubspot_tells_deleted_from_merged_and_filtered() {
    let vendor = Vendor::start("hubspot", 3).await;
    let Vendor::HubSpot(running) = &vendor else { panic!() };
    let server = linked_to(&vendor);
    server.rows(&["CALL set_import('crm', 'deal', filter => 'amount > 1000')", "CALL sync('crm', 'full')"]);
    let is_large = |live: &tributary::demo::hubspot::Live| {
        live.properties.get("amount").is_some_and(|amount| amount.parse::<f64>().unwrap() > 1000.0)
    };
    let large: Vec<_> = running.control.live("deals").into_iter().filter(is_large).collect();
    assert_eq!(count(&server), large.len() as u64);
    running.control.archive("deals", large[0].id);
    running.control.archive("deals", large[1].id);
    running.control.merge("deals", large[2].id, large[3].id);
    running.control.update("deals", large[4].id, &[("amount", "5")]);
    // One that vanishes without a trace is not seen any more, and that is all that can be said.
    running.control.purge("deals", large[5].id);
    vendor.settle();
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(reasons(&server), "deleted|2\nleft the filter|1\nmerged into|1\nnot visible to this login|1");
    let merged = "SELECT key, merged_into FROM tributary.removal WHERE reason = 'merged into'";
    let expected = format!("{{\"id\":\"{}\"}}|{}", large[3].id, large[2].id);
    assert_eq!(server.rows(&[merged]), expected);
    let run = "SELECT deleted, merged, left_filter, not_visible, unknown FROM tributary.run ORDER BY id DESC LIMIT 1";
    assert_eq!(server.rows(&[run]), "5|1|1|1|0");
    let warned = server.rows(&["SELECT warnings FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    says(&warned, &["1 records of `crm.deal` are not visible to this login any more"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_shared_no_more_are_told_apart_from_deleted_ones() {
    let vendor = Vendor::start("salesforce", 3).await;
    let Vendor::Salesforce(running) = &vendor else { panic!() };
    let server = linked_to(&vendor);
    server.rows(&["CALL sync('crm', 'full')"]);
    let live = running.control.live("Opportunity");
    running.control.delete("Opportunity", &live[0].id);
    running.control.delete("Opportunity", &live[1].id);
    running.control.purge("Opportunity", &live[1].id);
    for record in &live[2..5] {
        running.control.unshare("Opportunity", &record.id);
    }
    vendor.settle();
    // A diff is told of deletions and not of what it cannot see.
    server.rows(&["CALL sync('crm', 'diff')"]);
    assert_eq!(reasons(&server), "deleted|2");
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(reasons(&server), "not visible to this login|3");
    assert_eq!(count(&server), vendor.truth().len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_any_page_takes_nothing_away() {
    for name in ["hubspot", "salesforce"] {
        let vendor = Arc::new(Vendor::start(name, 5).await);
        let server = linked_to(&vendor);
        server.rows(&["CALL sync('crm', 'full')"]);
        let everything = "SELECT count(*), sum(amount), min(id), max(id) FROM crm.deal";
        let before = server.rows(&[everything]);
        // What there is would be less by now, but a failed run must not say so.
        let (path, mut random) = (vendor.list_path(), rand::SeedableRng::seed_from_u64(9));
        for _ in 0..20 {
            vendor.happen(crate::conformance::vendor::Event::Delete, &mut random, &mut Vec::new());
        }
        vendor.settle();
        for mode in ["full", "diff"] {
            for page in 0..8 {
                let there = vendor.clone();
                let fault = match page % 3 {
                    0 => Fault::Status(403),
                    1 => Fault::Replace { status: 404, content_type: "text/html", body: "<html>gone".into() },
                    _ => Fault::RateLimited { retry_after: None, daily: true },
                };
                let path = if mode == "full" { path } else { "" };
                let at = path.to_string();
                vendor.traffic().before(path, page, move || there.traffic().fail_next_at(&at, 1_000, fault));
                let synced = server.psql(&[&format!("CALL sync('crm', '{mode}')")]);
                let reached = !synced.status.success();
                vendor.traffic().heal();
                if !reached {
                    break;
                }
                assert_eq!(newest(&server).0, "failed", "{name} {mode} {page}");
                assert_eq!(server.rows(&[everything]), before, "{name}: {mode}, page {page}");
            }
            let rows = server.rows(&[everything]);
            if rows != before {
                // The fault was beyond the last page: this one succeeded.
                assert_eq!(count(&server), vendor.truth().len() as u64, "{name} {mode}");
                break;
            }
        }
        server.rows(&["CALL sync('crm', 'diff')"]);
        assert_eq!(count(&server), vendor.truth().len() as u64, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_a_read_leaves_out_stay_and_a_short_read_is_held() {
    let vendor = Vendor::start("hubspot", 5).await;
    let server = linked_to(&vendor);
    server.rows(&["CALL sync('crm', 'full')"]);
    let all = count(&server);
    // The vendor ends after the first page and says that this is all.
    let body = |rows: usize| {
        let Vendor::HubSpot(running) = &vendor else { panic!() };
        let live = running.control.live("deals").into_iter().take(rows);
        let record = |deal: tributary::demo::hubspot::Live| {
            serde_json::json!({
                "id": deal.id.to_string(), "properties": deal.properties, "archived": false,
                "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
            })
        };
        serde_json::json!({ "results": live.map(record).collect::<Vec<_>>() }).to_string()
    };
    let short =
        |rows: usize| Fault::Replace { status: 200, content_type: "application/json", body: body(rows) };
    vendor.traffic().fail_next_at("GET /crm/v3/objects/deals", 1, short(100));
    let synced = server.rows(&["CALL sync('crm', 'full')"]);
    says(&synced, &["|held|", "the source counts 250 records of `crm.deal` and 100 arrived"]);
    assert_eq!(count(&server), all);
    // What is missing was asked for, and is there.
    let warned = server.rows(&["SELECT warnings, deleted FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    says(&warned, &["150 records that the read left out are there all the same and stay", "|0"]);
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(newest(&server).1, [0, 0, 0, all]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mass_drop_at_a_vendor_is_held() {
    for name in ["hubspot", "salesforce"] {
        for (mode, percent) in [("diff", 35), ("full", 60), ("diff", 100)] {
            let vendor = Vendor::start(name, 11).await;
            let server = linked_to(&vendor);
            server.rows(&["CALL sync('crm', 'full')"]);
            let all = count(&server);
            for key in vendor.truth().keys().take((all * percent).div_ceil(100) as usize) {
                match &vendor {
                    Vendor::HubSpot(running) => {
                        assert!(running.control.archive("deals", key.parse().unwrap()))
                    }
                    Vendor::Salesforce(running) => assert!(running.control.delete("Opportunity", key)),
                }
            }
            vendor.settle();
            let synced = server.rows(&[&format!("CALL sync('crm', '{mode}')")]);
            says(&synced, &["|held|"]);
            assert_eq!(count(&server), all, "{name} {mode} {percent}");
            server.rows(&["CALL approve(object => 'deal')"]);
            assert_eq!(count(&server), vendor.truth().len() as u64);
        }
    }
}
