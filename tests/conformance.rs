//! One list of tests that every connector of the catalog passes, run against simulated vendors over real HTTP.

mod own;
pub(crate) mod replica;
pub(crate) mod vendor;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tributary::demo::{Fault, salesforce};
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

/// Scripts of an ordinary test run, for each vendor; `TRIBUTARY_SEEDS` says another number.
const SCRIPTS: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn diff_equals_full() {
    let scripts = std::env::var("TRIBUTARY_SEEDS").map_or(SCRIPTS, |text| text.parse().unwrap());
    for name in VENDORS {
        for seed in 0..scripts {
            script(name, seed).await;
        }
    }
}

/// Random changes and diffs, after each of which the table is the vendor's truth.
async fn script(name: &str, seed: u64) {
    let vendor = Arc::new(Vendor::start(name, seed).await);
    let mut random = StdRng::seed_from_u64(seed);
    let mut replica = replica(&vendor);
    replica.full().await.unwrap();
    let deleted = Arc::new(Mutex::new(Vec::new()));
    for round in 0..4 {
        // Bulk changes of one moment.
        if random.random_bool(0.3) {
            vendor.clock().freeze();
        }
        for _ in 0..random.random_range(0..30) {
            vendor.anything(&mut random, &mut deleted.lock());
            if random.random_bool(0.2) {
                vendor.clock().advance(Duration::from_secs(random.random_range(1..900)));
            }
        }
        vendor.clock().thaw();
        if random.random_bool(0.5) {
            // A diff while records change, whose pages the vendor may answer late or not at all.
            let (there, gone, mut dice) = (vendor.clone(), deleted.clone(), StdRng::from_rng(&mut random));
            vendor.traffic().before("", random.random_range(0..4), move || {
                for _ in 0..dice.random_range(1..8) {
                    there.anything(&mut dice, &mut gone.lock());
                }
            });
            if random.random_bool(0.3) {
                let faults = [Fault::Status(503), Fault::Truncated, Fault::HalfJson];
                let fault = faults[random.random_range(0..faults.len())].clone();
                vendor.traffic().fail_next(random.random_range(1..3), fault);
            }
            replica.diff().await.unwrap_or_else(|error| panic!("{name}, seed {seed}: {error:?}"));
            vendor.traffic().heal();
        }
        vendor.settle();
        let synced = replica.diff().await.unwrap();
        assert!(!synced.is_full);
        assert_same(&replica.table, &vendor.truth(), &format!("{name}, seed {seed}, round {round}"));
    }
}

#[tokio::test]
async fn a_diff_survives_more_than_ten_thousand_records_of_one_moment() {
    // HubSpot's search ends at 10,000 results; Salesforce's stamps have whole seconds.
    for name in VENDORS {
        let vendor = Vendor::start(name, 7).await;
        let mut replica = replica(&vendor);
        replica.full().await.unwrap();
        vendor.settle();
        vendor.clock().freeze();
        let mut random = StdRng::seed_from_u64(1);
        for number in 0..10_500 {
            vendor.create(&format!("Imported {number}"), &mut random);
        }
        vendor.clock().thaw();
        vendor.settle();
        let synced = replica.diff().await.unwrap();
        assert!(synced.rows >= 10_500 && !synced.is_full, "{}", synced.rows);
        assert_same(&replica.table, &vendor.truth(), name);
    }
}

#[tokio::test]
async fn calls_are_those_that_were_expected() {
    for name in VENDORS {
        let vendor = Vendor::of_size(name, 9_000).await;
        let mut replica = replica(&vendor);
        let check = |synced: &replica::Synced, rows: u64, what: &str| {
            let expected = synced.expected.unwrap();
            assert!(expected.rows >= rows, "{name}: {what}: {expected:?}");
            let (expected, made) = (expected.calls, synced.calls);
            assert!(expected.abs_diff(made) * 20 <= made, "{name}: {what}: {expected} calls, {made} made");
        };
        let synced = replica.full().await.unwrap();
        check(&synced, vendor.truth().len() as u64, "full");
        vendor.settle();
        let mut random = StdRng::seed_from_u64(1);
        for number in 0..6_000 {
            vendor.create(&format!("New {number}"), &mut random);
        }
        vendor.settle();
        let synced = replica.diff().await.unwrap();
        // The list of what was deleted is one call more: nothing tells before how long it is.
        check(&replica::Synced { calls: synced.calls - 1, ..synced }, 6_000, "diff");
        assert_same(&replica.table, &vendor.truth(), name);
    }
}

#[tokio::test]
async fn everything_comes_by_a_job_from_a_number_of_records_on() {
    let vendor = Vendor::start("salesforce", 7).await;
    let Vendor::Salesforce(running) = &vendor else { panic!() };
    let source = vendor.source_of(&|manifest| {
        if let Some(bulk) = &mut manifest.read.bulk {
            bulk.above_rows = 100;
            let tributary::catalog::manifest::Page::Token(page) = &mut bulk.page else { panic!() };
            page.size = Some(70);
        }
    });
    let (object, fields) = vendor.object();
    let mut replica = Replica::new(source, object, &fields);
    vendor.traffic().reset();
    replica.full().await.unwrap();
    assert_same(&replica.table, &vendor.truth(), "bulk");
    let results = |call: &tributary::demo::Call| call.uri.contains("/results");
    assert!(vendor.traffic().log().iter().filter(|call| results(call)).count() > 3, "result parts");
    assert_eq!(running.control.jobs(), [], "a job that is read is removed");
    // A diff goes on from there.
    vendor.create("afterwards", &mut StdRng::seed_from_u64(1));
    vendor.settle();
    assert!(!replica.diff().await.unwrap().is_full);
    assert_same(&replica.table, &vendor.truth(), "after bulk");
    // A job that fails is told, and its table stays.
    let before = replica.table.clone();
    running.control.fail_next_job("out of storage");
    let error = replica.full().await.unwrap_err();
    assert!(error.detail().is_some_and(|told| told.contains("out of storage")), "{error:?}");
    assert_eq!(replica.table, before);
}

#[tokio::test]
async fn a_diff_that_is_too_much_for_one_query_is_halved() {
    let options = salesforce::Options { page_rows: 100, query_rows: 300, ..salesforce::Options::default() };
    let vendor = Vendor::Salesforce(salesforce::start(options).await.unwrap());
    let mut replica = replica(&vendor);
    replica.full().await.unwrap();
    vendor.settle();
    let mut random = StdRng::seed_from_u64(1);
    for number in 0..900 {
        vendor.create(&format!("New {number}"), &mut random);
        vendor.clock().advance(Duration::from_secs(2));
    }
    vendor.settle();
    let synced = replica.diff().await.unwrap();
    assert!(!synced.is_full);
    assert_same(&replica.table, &vendor.truth(), "halved");
    // What happened in one second cannot be halved.
    vendor.clock().freeze();
    for number in 0..400 {
        vendor.create(&format!("At once {number}"), &mut random);
    }
    vendor.clock().thaw();
    vendor.settle();
    let error = replica.diff().await.unwrap_err();
    assert!(error.what().contains("is too much for Salesforce"), "{error:?}");
}

#[tokio::test]
async fn types_round_trip() {
    each(async |vendor| {
        let (object, [key, ..]) = vendor.object();
        let fields = vendor.source().fields(object).await.unwrap();
        let others: Vec<_> = fields.iter().filter(|field| field.api != key).collect();
        let names: Vec<_> =
            std::iter::once(key).chain(others.iter().map(|field| field.api.as_str())).collect();
        let mut replica = Replica::new(vendor.source(), object, &names);
        let synced = replica.full().await.unwrap();
        assert_eq!(synced.misfits, 0);
        let truth = vendor.values();
        assert_eq!(replica.table.len(), truth.len());
        let mut types = std::collections::BTreeSet::new();
        for (id, values) in &truth {
            for (field, kept) in others.iter().zip(&replica.table[id]) {
                let expected = values.get(&field.api).map(|value| canonical(value, &field.data_type));
                assert_eq!(*kept, expected, "{} {id}.{} {}", vendor.connector(), field.api, field.data_type);
                types.extend(kept.is_some().then(|| field.data_type.to_string()));
            }
        }
        assert!(types.len() >= 5, "{types:?}");
    })
    .await;
}

/// A vendor's value as the table shows it.
fn canonical(value: &str, data_type: &FieldType) -> String {
    match data_type {
        FieldType::TimestampTz => {
            let moment = chrono::DateTime::parse_from_rfc3339(value).unwrap().to_utc();
            moment.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
        }
        FieldType::Decimal(..) => replica::plain(value),
        FieldType::List(_) => format!("[{}]", value.split(';').collect::<Vec<_>>().join(", ")),
        _ => value.to_string(),
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
            // Half an answer, and then neither more nor an end.
            Fault::Stalled,
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
            let vendor = Arc::new(Vendor::start(name, seed).await);
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
