//! The search of HubSpot: filters, caps, order, lag.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::Client;
use super::hubspot::start;

const PATH: &str = "/crm/v3/objects/deals/search";

async fn find(client: &Client, object: &str, filters: Value) -> BTreeSet<u64> {
    let body = json!({ "filterGroups": [{ "filters": filters }], "limit": 200,
        "sorts": [{ "propertyName": "hs_object_id", "direction": "ASCENDING" }] });
    let got = client.post(&format!("/crm/v3/objects/{object}/search"), &body).await;
    assert_eq!(got.status, 200, "{}", got.text);
    let page = got.json();
    let ids: BTreeSet<u64> = page["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["id"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(page["total"].as_u64().unwrap() >= ids.len() as u64);
    ids
}

#[tokio::test]
async fn more_than_ten_thousand_records_of_one_millisecond_are_read_by_seeking() {
    let (running, client) = start(|options| options.size.deals = 0).await;
    let control = &running.control;
    control.clock().freeze();
    for number in 0..10_450 {
        control.create("deals", &[("dealname", &format!("d{number}"))]);
    }
    let millis = control.clock().millis().to_string();
    let mut found = BTreeSet::new();
    let mut after = 0;
    let mut last = 0_u64;
    let search = |after: usize, last: u64| {
        json!({ "limit": 200, "after": after.to_string(), "properties": ["hs_object_id"],
            "sorts": [{ "propertyName": "hs_object_id", "direction": "ASCENDING" }],
            "filterGroups": [{ "filters": [
                { "propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": millis },
                { "propertyName": "hs_lastmodifieddate", "operator": "LTE", "value": millis },
                { "propertyName": "hs_object_id", "operator": "GT", "value": last.to_string() },
            ] }] })
    };
    while after < 10_000 {
        let page = client.post(PATH, &search(after, last)).await.json();
        assert_eq!(page["total"], 10_450);
        found.extend(
            page["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r["id"].as_str().unwrap().parse::<u64>().unwrap()),
        );
        after += 200;
    }
    let refused = client.post(PATH, &search(10_000, last)).await;
    assert_eq!((refused.status, found.len()), (400, 10_000));
    last = *found.last().unwrap();
    for after in [0, 200, 400] {
        let page = client.post(PATH, &search(after, last)).await.json();
        assert_eq!(page["total"], 450);
        assert_eq!(page["paging"]["next"]["after"].is_string(), after < 400);
        found.extend(
            page["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r["id"].as_str().unwrap().parse::<u64>().unwrap()),
        );
    }
    let truth: BTreeSet<_> = control.live("deals").iter().map(|deal| deal.id).collect();
    assert_eq!(found, truth);
}

#[tokio::test]
async fn changes_reach_the_search_after_its_lag_and_the_list_at_once() {
    let (running, client) = start(|options| options.index_lag = Duration::from_secs(30)).await;
    let control = &running.control;
    let id = control.live("deals")[0].id;
    let by_name = json!([{ "propertyName": "dealname", "operator": "EQ", "value": "renamed" }]);
    control.update("deals", id, &[("dealname", "Renamed")]);
    assert!(find(&client, "deals", by_name.clone()).await.is_empty());
    let read = client.get(&format!("/crm/v3/objects/deals/{id}?properties=dealname")).await.json();
    assert_eq!(read["properties"]["dealname"], "Renamed");
    control.clock().advance(Duration::from_secs(31));
    assert_eq!(find(&client, "deals", by_name.clone()).await, BTreeSet::from([id]));
    control.archive("deals", id);
    assert_eq!(find(&client, "deals", by_name.clone()).await.len(), 1, "the index does not know yet");
    control.clock().advance(Duration::from_secs(31));
    assert!(find(&client, "deals", by_name).await.is_empty());
}

#[tokio::test]
async fn filters_mean_what_they_mean_at_hubspot() {
    let (running, client) = start(|options| options.size.deals = 0).await;
    let control = &running.control;
    let make = |name: &str, amount: &str, stage: &str| {
        control.create("deals", &[("dealname", name), ("amount", amount), ("dealstage", stage)]).unwrap()
    };
    let big = make("Big Deal", "1000.50", "closedwon");
    let small = make("small deal", "9", "closedlost");
    let none = control.create("deals", &[("dealname", "Nothing yet")]).unwrap();
    let one = async |property: &str, operator: &str, rest: Value| {
        let mut filter = json!({ "propertyName": property, "operator": operator });
        for (key, value) in rest.as_object().unwrap() {
            filter[key] = value.clone();
        }
        find(&client, "deals", json!([filter])).await
    };
    let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(one("amount", "GT", json!({ "value": "9" })).await, set(&[big]));
    assert_eq!(
        one("amount", "BETWEEN", json!({ "value": "9", "highValue": "1000.5" })).await,
        set(&[big, small])
    );
    assert_eq!(one("amount", "NEQ", json!({ "value": "9" })).await, set(&[big, none]), "unlike SQL");
    assert_eq!(one("amount", "HAS_PROPERTY", json!({})).await, set(&[big, small]));
    assert_eq!(one("amount", "NOT_HAS_PROPERTY", json!({})).await, set(&[none]));
    assert_eq!(one("dealname", "EQ", json!({ "value": "BIG DEAL" })).await, set(&[big]));
    assert_eq!(one("dealname", "IN", json!({ "values": ["big deal"] })).await, set(&[big]));
    assert_eq!(one("dealname", "IN", json!({ "values": ["Big Deal"] })).await, set(&[]), "needs lower case");
    assert_eq!(one("dealstage", "EQ", json!({ "value": "CLOSEDWON" })).await, set(&[]), "options are exact");
    assert_eq!(one("dealstage", "IN", json!({ "values": ["closedwon"] })).await, set(&[big]));
    assert_eq!(one("dealname", "CONTAINS_TOKEN", json!({ "value": "dea*" })).await, set(&[big, small]));
    assert_eq!(one("hs_object_id", "GTE", json!({ "value": small.to_string() })).await, set(&[small, none]));
    let company = control.create("companies", &[("name", "Linked")]).unwrap();
    control.associate(("deals", big), ("companies", company), None);
    assert_eq!(one("associations.company", "EQ", json!({ "value": company.to_string() })).await, set(&[big]));
}

#[tokio::test]
async fn the_modified_date_of_contacts_has_another_name() {
    let (running, client) = start(|_| {}).await;
    let control = &running.control;
    let id = control.live("contacts")[0].id;
    let before = control.clock().millis().to_string();
    control.clock().advance(Duration::from_secs(60));
    control.update("contacts", id, &[("firstname", "Changed")]);
    let since = |property: &str| json!([{ "propertyName": property, "operator": "GTE", "value": before }]);
    assert_eq!(find(&client, "contacts", since("lastmodifieddate")).await, BTreeSet::from([id]));
    assert!(find(&client, "contacts", since("hs_lastmodifieddate")).await.is_empty(), "wrong in silence");
    control.update_silently("contacts", id, &[("firstname", "Quietly")]);
    let read = client.get(&format!("/crm/v3/objects/contacts/{id}")).await.json();
    assert_eq!(read["properties"]["firstname"], "Quietly");
}

#[tokio::test]
async fn what_hubspot_refuses_is_refused() {
    let (_running, client) = start(|_| {}).await;
    let filter = json!({ "propertyName": "amount", "operator": "GT", "value": "1" });
    let groups = |groups: usize, filters: usize| {
        let group = json!({ "filters": vec![filter.clone(); filters] });
        json!({ "filterGroups": vec![group; groups] })
    };
    assert_eq!(client.post(PATH, &groups(3, 6)).await.status, 200);
    let one = |filter: Value| json!({ "filterGroups": [{ "filters": [filter] }] });
    for body in [
        groups(6, 1),
        groups(1, 7),
        groups(5, 4),
        json!({ "limit": 201 }),
        json!({ "after": "x" }),
        json!({ "after": "9900", "limit": 101 }),
        json!({ "sorts": [{ "propertyName": "amount" }, { "propertyName": "dealname" }] }),
        json!({ "sorts": [{ "propertyName": "nothing" }] }),
        json!({ "sort": "amount" }),
        json!({ "query": "x".repeat(3_001) }),
        json!({ "properties": "amount" }),
        one(json!({ "propertyName": "nothing", "operator": "EQ", "value": "1" })),
        one(json!({ "propertyName": "amount", "operator": "LIKE", "value": "1" })),
        one(json!({ "propertyName": "amount", "operator": "EQ", "value": "one" })),
        one(json!({ "propertyName": "amount", "operator": "EQ", "value": 1 })),
        one(json!({ "propertyName": "amount", "operator": "EQ" })),
        one(json!({ "propertyName": "amount", "operator": "IN", "value": "1" })),
        one(json!({ "propertyName": "amount", "operator": "BETWEEN", "value": "1" })),
        one(json!({ "propertyName": "amount", "op": "EQ", "value": "1" })),
    ] {
        let got = client.post(PATH, &body).await;
        assert_eq!(
            (got.status, got.json()["category"].as_str().unwrap()),
            (400, "VALIDATION_ERROR"),
            "{body}"
        );
    }
    assert_eq!(client.post_text(PATH, "application/x-www-form-urlencoded", "limit=1").await.status, 415);
}
