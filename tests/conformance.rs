//! One list of tests that every connector of the catalog passes, run against simulated vendors over real HTTP.

mod replica;
mod vendor;

use std::time::Duration;

use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tributary::demo::Fault;
use tributary::error::Kind;
use tributary::model::{Comparison, FieldType, Filter, Literal};
use tributary::source::What;

use replica::Replica;
use vendor::{Event, Vendor};

const VENDORS: [&str; 2] = ["hubspot", "salesforce"];

/// Runs a test against every vendor.
async fn each(test: impl AsyncFn(Vendor)) {
    for name in VENDORS {
        test(Vendor::start(name, 7).await).await;
    }
}

fn replica(vendor: &Vendor) -> Replica {
    let (object, fields) = vendor.object();
    Replica::new(vendor.source(), object, &fields)
}

/// Both tables are the same; otherwise the records are told that are not.
fn assert_same(kept: &replica::Table, truth: &replica::Table, when: &str) {
    let differing: Vec<_> =
        kept.keys().chain(truth.keys()).filter(|key| kept.get(*key) != truth.get(*key)).collect();
    let told = differing.iter().map(|key| format!("{key}: {:?} is {:?}", kept.get(*key), truth.get(*key)));
    assert!(differing.is_empty(), "{when}: {}", told.collect::<Vec<_>>().join("\n"));
}

/// `amount > 100000`
async fn large(vendor: &Vendor) -> Filter {
    let (object, [.., amount]) = vendor.object();
    let fields = vendor.source().fields(object).await.unwrap();
    let data_type = fields.into_iter().find(|field| field.api == amount).unwrap().data_type;
    Filter::Compare {
        field: amount.into(),
        data_type,
        op: Comparison::Greater,
        literal: Literal::Number("100000".into()),
    }
}

#[tokio::test]
async fn the_login_and_the_objects_are_told() {
    each(async |vendor| {
        let source = vendor.source();
        let identity = source.whoami().await.unwrap();
        assert!(identity.account.starts_with(vendor.connector()), "{identity:?}");
        let (object, [key, name, ..]) = vendor.object();
        let objects = source.objects().await.unwrap();
        let mut info = objects.into_iter().find(|info| info.api == object).unwrap();
        let fields = source.fields(object).await.unwrap();
        source.suggest(&mut info, &fields);
        assert_eq!(info.suggested_key, [key]);
        assert_eq!(info.suggested_name.as_deref(), Some(name));
        let cursor = info.suggested_cursor.unwrap();
        assert!(fields.iter().any(|field| field.api == cursor && field.data_type == FieldType::TimestampTz));
        assert!(fields.iter().any(|field| field.volatile), "{} computes some fields", vendor.connector());
        let can = source.can(object).await.unwrap();
        assert!(can.since && can.keys && can.deleted);
        let error = source.fields("nothing_like_it").await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
    })
    .await;
}

#[tokio::test]
async fn full_reads_every_page() {
    each(async |vendor| {
        let mut replica = replica(&vendor);
        let synced = replica.full().await.unwrap();
        assert!(synced.rows > 200, "more than one page");
        assert_eq!((synced.misfits, synced.is_capped), (0, false));
        assert_same(&replica.table, &vendor.truth(), vendor.connector());
    })
    .await;
}

#[tokio::test]
async fn diff_equals_full() {
    for name in VENDORS {
        for seed in 0..4 {
            let vendor = Vendor::start(name, seed).await;
            let mut random = StdRng::seed_from_u64(seed);
            let mut replica = replica(&vendor);
            replica.full().await.unwrap();
            let mut deleted = Vec::new();
            for round in 0..4 {
                // Bulk changes of one moment, and changes while pages are read.
                if random.random_bool(0.3) {
                    vendor.clock().freeze();
                }
                for _ in 0..random.random_range(0..30) {
                    let events = [
                        Event::Create,
                        Event::Update,
                        Event::Update,
                        Event::Delete,
                        Event::Restore,
                        Event::Merge,
                    ];
                    vendor.happen(events[random.random_range(0..events.len())], &mut random, &mut deleted);
                    if random.random_bool(0.2) {
                        vendor.clock().advance(Duration::from_secs(random.random_range(1..900)));
                    }
                }
                vendor.clock().thaw();
                if random.random_bool(0.5) {
                    replica.diff().await.unwrap();
                }
                vendor.settle();
                let synced = replica.diff().await.unwrap();
                assert!(!synced.is_full);
                assert_same(&replica.table, &vendor.truth(), &format!("{name}, seed {seed}, round {round}"));
            }
        }
    }
}

#[tokio::test]
async fn deletes_and_merges_are_pruned() {
    each(async |vendor| {
        let mut replica = replica(&vendor);
        replica.full().await.unwrap();
        let mut random = StdRng::seed_from_u64(1);
        let mut deleted = Vec::new();
        for event in [Event::Delete, Event::Delete, Event::Merge, Event::Merge] {
            vendor.happen(event, &mut random, &mut deleted);
        }
        vendor.settle();
        let synced = replica.diff().await.unwrap();
        assert_same(&replica.table, &vendor.truth(), vendor.connector());
        if vendor.connector() == "hubspot" {
            assert_eq!(synced.merged.len(), 2, "{:?}", synced.merged);
            assert!(synced.merged.iter().all(|(_, into)| replica.table.contains_key(into)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_watermark_that_the_source_does_not_reach_back_to_means_everything() {
    each(async |vendor| {
        let mut replica = replica(&vendor);
        replica.full().await.unwrap();
        vendor.clock().advance(Duration::from_secs(120 * 86_400));
        let synced = replica.diff().await.unwrap();
        assert!(synced.is_full);
        assert_same(&replica.table, &vendor.truth(), vendor.connector());
    })
    .await;
}

#[tokio::test]
async fn filters_mean_the_same_here_and_there() {
    each(async |vendor| {
        let is_large = |values: &Vec<Option<String>>| {
            values[2].as_ref().is_some_and(|amount| amount.parse::<f64>().unwrap() > 100_000.0)
        };
        let truth = || -> replica::Table {
            vendor.truth().into_iter().filter(|(_, values)| is_large(values)).collect()
        };
        let mut replica = replica(&vendor);
        replica.filter = Some(large(&vendor).await);
        vendor.settle();
        vendor.traffic().reset();
        replica.full().await.unwrap();
        assert!(!truth().is_empty() && truth().len() < vendor.truth().len());
        assert_same(&replica.table, &truth(), vendor.connector());
        let told = vendor
            .traffic()
            .log()
            .iter()
            .any(|call| call.uri.contains("100000") || call.body.contains("100000"));
        assert!(told, "the source is told the filter");
        let mut random = StdRng::seed_from_u64(3);
        for _ in 0..60 {
            vendor.happen(Event::Update, &mut random, &mut Vec::new());
        }
        vendor.settle();
        let synced = replica.diff().await.unwrap();
        assert!(synced.left_filter > 0);
        assert_same(&replica.table, &truth(), vendor.connector());
    })
    .await;
}

#[tokio::test]
async fn max_records_stops() {
    each(async |vendor| {
        let mut replica = replica(&vendor);
        replica.max_rows = Some(120);
        vendor.traffic().reset();
        let synced = replica.full().await.unwrap();
        assert!(synced.is_capped && replica.table.len() == 120);
        replica.max_rows = Some(1_000_000);
        assert!(!replica.full().await.unwrap().is_capped);
        assert_same(&replica.table, &vendor.truth(), vendor.connector());
    })
    .await;
}

#[tokio::test]
async fn unselected_fields_are_never_requested() {
    each(async |vendor| {
        let (object, [key, name, ..]) = vendor.object();
        let mut replica = Replica::new(vendor.source(), object, &[key, name]);
        vendor.traffic().reset();
        replica.full().await.unwrap();
        vendor.settle();
        replica.diff().await.unwrap();
        let stage = vendor.object().1[2];
        for call in vendor.traffic().log() {
            assert!(!call.uri.contains(stage) && !call.body.contains(stage), "{call:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn refusals_for_too_many_calls_are_waited_for_as_told() {
    // Salesforce tells no time to wait; what its words mean is tested with the rules.
    let vendor = Vendor::start("hubspot", 7).await;
    let fault = Fault::RateLimited { retry_after: Some(1), daily: false };
    vendor.traffic().fail_next_at(vendor.list_path(), 1, fault);
    let mut replica = replica(&vendor);
    let started = std::time::Instant::now();
    replica.full().await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(replica.table, vendor.truth());
    let daily = Fault::RateLimited { retry_after: None, daily: true };
    vendor.traffic().fail_next_at(vendor.list_path(), 1, daily);
    let error = replica.full().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Limit, "{error}");
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_once() {
    let vendor = Vendor::start("salesforce", 7).await;
    let Vendor::Salesforce(running) = &vendor else { panic!() };
    let mut replica = replica(&vendor);
    let control = running.control.clone();
    vendor.traffic().before("/services/data/v62.0/query/", 0, move || control.end_sessions());
    vendor.traffic().reset();
    replica.full().await.unwrap();
    assert_eq!(replica.table, vendor.truth());
    let refused = vendor.traffic().log().iter().filter(|call| call.status == 401).count();
    assert_eq!(refused, 1);
    // A fixed token that is refused asks for a person.
    let vendor = Vendor::start("hubspot", 7).await;
    let Vendor::HubSpot(running) = &vendor else { panic!() };
    let source = vendor.source();
    running.control.revoke(tributary::demo::hubspot::PRIVATE_TOKEN);
    let error = source.whoami().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated, "{error:?}");
}

#[tokio::test]
async fn trouble_that_passes_is_waited_out() {
    each(async |vendor| {
        for fault in [
            Fault::Status(503),
            Fault::Status(502),
            Fault::Truncated,
            Fault::HalfJson,
            Fault::LoginPage,
            Fault::Slow(Duration::from_millis(50)),
        ] {
            vendor.traffic().fail_next_at(vendor.list_path(), 2, fault.clone());
            let mut replica = replica(&vendor);
            replica.full().await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            assert_eq!(replica.table, vendor.truth(), "{fault:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_stays_broken_prunes_nothing() {
    each(async |vendor| {
        let mut replica = replica(&vendor);
        replica.full().await.unwrap();
        let before = replica.table.clone();
        for (fault, part) in [
            (Fault::Status(500), "trouble"),
            (Fault::Truncated, "breaks off"),
            (Fault::HalfJson, "cannot be read"),
            (Fault::LoginPage, "not JSON (HTML"),
            (Fault::Bomb(24 << 20), "within the limit"),
        ] {
            vendor.traffic().fail_next_at(vendor.list_path(), 50, fault.clone());
            let error = replica.full().await.err().unwrap_or_else(|| panic!("{fault:?} is no answer"));
            assert!(error.to_string().contains(part), "{fault:?}: {error:?}");
            assert_eq!(replica.table, before);
            vendor.traffic().heal();
        }
    })
    .await;
}

#[tokio::test]
async fn cancel_stops_within_a_page() {
    each(async |vendor| {
        let replica = replica(&vendor);
        let read = replica.read(What::Full).await.unwrap();
        vendor.traffic().reset();
        let mut pages = replica.source.read(read);
        vendor.traffic().fail_next_at(vendor.list_path(), 1, Fault::Stalled);
        let waiting = tokio::time::timeout(Duration::from_millis(300), pages.next()).await;
        assert!(waiting.is_err());
        drop(pages);
        let before = vendor.traffic().total();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(vendor.traffic().total(), before);
    })
    .await;
}

#[tokio::test]
async fn changes_between_pages_are_seen_by_this_read_or_the_next() {
    for name in VENDORS {
        for seed in 0..3 {
            let vendor = std::sync::Arc::new(Vendor::start(name, seed).await);
            let mut replica = replica(&vendor);
            let there = vendor.clone();
            vendor.traffic().before(vendor.list_path(), 1, move || {
                let mut random = StdRng::seed_from_u64(seed);
                for event in
                    [Event::Create, Event::Update, Event::Delete, Event::Update, Event::Merge, Event::Delete]
                {
                    there.happen(event, &mut random, &mut Vec::new());
                }
            });
            replica.full().await.unwrap();
            vendor.settle();
            replica.diff().await.unwrap();
            assert_same(&replica.table, &vendor.truth(), &format!("{name}, seed {seed}"));
        }
    }
}

#[tokio::test]
async fn fields_that_do_not_fit_into_one_request_are_joined_by_key() {
    each(async |vendor| {
        let source = vendor.source_of(&|manifest| {
            let limit = tributary::catalog::manifest::FieldLimit { max: Some(2), max_bytes: None };
            let read = &mut manifest.read;
            for list in [&mut read.list, &mut read.query].into_iter().flatten() {
                list.fields = Some(limit.clone());
            }
            if let Some(get) = &mut read.get {
                get.fields = Some(limit.clone());
                get.max = 70;
            }
        });
        let (object, fields) = vendor.object();
        let mut replica = Replica::new(source, object, &fields);
        replica.full().await.unwrap();
        assert_same(&replica.table, &vendor.truth(), vendor.connector());
        let mut random = StdRng::seed_from_u64(5);
        for event in [Event::Update, Event::Create, Event::Delete] {
            vendor.happen(event, &mut random, &mut Vec::new());
        }
        vendor.settle();
        replica.diff().await.unwrap();
        assert_same(&replica.table, &vendor.truth(), vendor.connector());
    })
    .await;
}
