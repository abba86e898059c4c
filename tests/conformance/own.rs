//! What one vendor alone has: budgets of a day, fields and objects that a login may not see, late transactions.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tributary::demo::salesforce::{self, Cell};
use tributary::error::Kind;

use super::vendor::Vendor;
use super::{assert_same, replica};

async fn salesforce(change: impl FnOnce(&mut salesforce::Options)) -> (Vendor, salesforce::Control) {
    let mut options = salesforce::Options { page_rows: 20, ..salesforce::Options::default() };
    change(&mut options);
    let running = salesforce::start(options).await.unwrap();
    let control = running.control.clone();
    (Vendor::Salesforce(running), control)
}

#[tokio::test]
async fn the_calls_of_a_day_are_left_to_others_too() {
    // Thirteen pages, of which a run may fetch a quarter of the day's forty calls.
    let (vendor, _) = salesforce(|options| options.daily_calls = 40).await;
    let mut replica = replica(&vendor);
    let error = replica.full().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Limit, "{error:?}");
    assert!(error.what().contains("this run has used 25% of the daily API calls"), "{error:?}");
    assert!(replica.table.is_empty());
    // When others have used four fifths of them, none is made once that was told.
    let (vendor, control) = salesforce(|options| options.daily_calls = 1_000).await;
    control.use_calls(799);
    let source = vendor.source();
    source.fields("Account").await.unwrap();
    vendor.traffic().reset();
    let error = source.fields("Opportunity").await.unwrap_err();
    assert!(error.what().contains("80% of the daily API calls of Salesforce are used up"), "{error:?}");
    assert!(error.detail().is_some_and(|told| told.contains("of 1000 calls")), "{error:?}");
    assert_eq!(vendor.traffic().total(), 0);
}

#[tokio::test]
async fn what_a_login_may_not_see_is_told_in_words() {
    let (vendor, control) = salesforce(|_| ()).await;
    let mut replica = replica(&vendor);
    replica.full().await.unwrap();
    let before = replica.table.clone();
    // The field is hidden after it was described.
    let read = replica.read(tributary::source::What::Full).await.unwrap();
    assert!(control.set_field_visible("Opportunity", "Amount", false));
    let pages: Vec<_> = futures::StreamExt::collect(replica.source.read(read)).await;
    let error = pages.into_iter().find_map(Result::err).unwrap();
    assert!(error.detail().is_some_and(|told| told.contains("No such column 'Amount'")), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("field-level security")), "{error:?}");
    // Once the object is hidden it does not exist.
    assert!(control.set_object_visible("Opportunity", false));
    let error = vendor.source().fields("Opportunity").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error:?}");
    assert_eq!(replica.table, before);
}

#[tokio::test]
async fn late_transactions_and_purged_records_are_seen() {
    let (vendor, control) = salesforce(|_| ()).await;
    let mut replica = replica(&vendor);
    replica.full().await.unwrap();
    // Stamped now and visible in ten seconds, when others with later stamps were read already.
    let fields = [
        ("Name", Cell::from("Late")),
        ("StageName", "Prospecting".into()),
        ("Amount", Cell::number("5.25".to_string())),
        ("CloseDate", Cell::date("2026-01-31")),
    ];
    let late = control.create_late("Opportunity", &fields, Duration::from_secs(10)).unwrap();
    vendor.clock().advance(Duration::from_secs(5));
    vendor.create("On time", &mut StdRng::seed_from_u64(1));
    replica.diff().await.unwrap();
    assert!(!replica.table.contains_key(&late));
    vendor.clock().advance(Duration::from_secs(30));
    replica.diff().await.unwrap();
    assert!(replica.table.contains_key(&late));
    // A record that left the recycle bin is in the log of deletions only.
    assert!(control.purge("Opportunity", &late));
    vendor.settle();
    replica.diff().await.unwrap();
    assert_same(&replica.table, &vendor.truth(), "purged");
}
