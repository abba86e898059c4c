//! Reading HubSpot: lists, single records, batches, associations, discovery, limits, failures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tributary::demo::hubspot::{self, Limits, Options, PRIVATE_TOKEN, Running};
use tributary::demo::{Fault, Size};

use super::Client;

pub(crate) async fn start(change: impl FnOnce(&mut Options)) -> (Running, Client) {
    let mut options = Options { limits: Limits::none(), ..Options::default() };
    change(&mut options);
    let running = hubspot::start(options).await.unwrap();
    let client = Client::new(&running.base_url, PRIVATE_TOKEN);
    (running, client)
}

#[tokio::test]
async fn a_list_returns_every_record_once_in_order_with_the_wanted_properties() {
    let (running, client) = start(|_| {}).await;
    let mut found = BTreeMap::new();
    let mut path = "/crm/v3/objects/deals?limit=100&properties=amount,dealname,no_such_property".to_string();
    loop {
        let page = client.get(&path).await.json();
        for record in page["results"].as_array().unwrap() {
            let id: u64 = record["id"].as_str().unwrap().parse().unwrap();
            assert!(found.last_key_value().is_none_or(|(last, _)| *last < id));
            let names: Vec<_> = record["properties"].as_object().unwrap().keys().collect();
            assert_eq!(names, ["amount", "dealname", "createdate", "hs_lastmodifieddate", "hs_object_id"]);
            found.insert(id, record["properties"]["amount"].as_str().map(String::from));
        }
        let Some(after) = page["paging"]["next"]["after"].as_str() else { break };
        path = format!("/crm/v3/objects/deals?limit=100&properties=amount,dealname&after={after}");
        assert!(page["paging"]["next"]["link"].as_str().unwrap().contains("after="));
    }
    let live = running.control.live("deals");
    let truth: BTreeMap<_, _> =
        live.into_iter().map(|d| (d.id, d.properties.get("amount").cloned())).collect();
    assert_eq!(found, truth);
    assert!(found.values().any(Option::is_none), "some deals have no amount yet");
    assert_eq!(running.control.traffic().calls("GET /crm/v3/objects/{type}"), 3);
}

#[tokio::test]
async fn the_same_company_exists_in_every_run() {
    let (one, _) = start(|_| {}).await;
    let (two, _) = start(|_| {}).await;
    let (other, _) = start(|options| options.seed = 2).await;
    assert_eq!(one.control.live("deals"), two.control.live("deals"));
    assert_ne!(one.control.live("deals"), other.control.live("deals"));
    assert_ne!(one.control.live("deals"), one.control.other_portal().live("deals"));
}

#[tokio::test]
async fn the_dated_paths_mean_the_same() {
    let (_running, client) = start(|_| {}).await;
    for (v3, dated) in [
        ("/crm/v3/objects/deals?limit=2", "/crm/objects/2026-03/deals?limit=2"),
        ("/crm/v3/owners", "/crm/owners/2026-03"),
        ("/account-info/v3/details", "/account-info/2026-03/details"),
    ] {
        let (old, new) = (client.get(v3).await, client.get(dated).await);
        assert_eq!((old.status, new.status), (200, 200), "{dated}: {}", new.text);
        assert_eq!(old.json()["results"][0]["id"], new.json()["results"][0]["id"]);
    }
}

#[tokio::test]
async fn bad_requests_are_refused_by_the_vendors_envelope() {
    let (_running, client) = start(|_| {}).await;
    for (path, status, category) in [
        ("/crm/v3/objects/deals?limit=101", 400, "VALIDATION_ERROR"),
        ("/crm/v3/objects/deals?limit=0", 400, "VALIDATION_ERROR"),
        ("/crm/v3/objects/deals?limit=ten", 400, "VALIDATION_ERROR"),
        ("/crm/v3/objects/deals?limit=51&propertiesWithHistory=amount", 400, "VALIDATION_ERROR"),
        ("/crm/v3/objects/deals?after=abc", 400, "VALIDATION_ERROR"),
        ("/crm/v3/objects/deals?archived=maybe", 400, "VALIDATION_ERROR"),
        ("/crm/v3/objects/unicorns", 400, "VALIDATION_ERROR"),
        ("/crm/v3/objects/car", 400, "VALIDATION_ERROR"),
        ("/crm/v3/objects/deals/1", 404, "OBJECT_NOT_FOUND"),
        ("/crm/v3/properties/unicorns", 400, "VALIDATION_ERROR"),
        ("/crm/v3/owners/1", 404, "OBJECT_NOT_FOUND"),
    ] {
        let got = client.get(path).await;
        assert_eq!((got.status, got.json()["category"].as_str().unwrap()), (status, category), "{path}");
        assert_eq!(got.json()["status"], "error");
        assert!(got.json()["correlationId"].as_str().unwrap().len() > 30);
    }
    let long = format!("/crm/v3/objects/deals?properties={}", "x".repeat(16_300));
    assert_eq!(client.get(&long).await.status, 414);
    assert_eq!(client.get("/nowhere").await.status, 404);
}

#[tokio::test]
async fn logins_are_refused_for_the_vendors_reasons() {
    let (running, _) = start(|_| {}).await;
    let ask = async |token: &str| {
        let got = Client::new(&running.base_url, token).get("/crm/v3/objects/deals").await;
        let category =
            if got.status == 530 { String::new() } else { got.json()["category"].as_str().unwrap().into() };
        (got.status, category, got.text)
    };
    let (status, category, _) = ask("").await;
    assert_eq!((status, category.as_str()), (401, "INVALID_AUTHENTICATION"));
    let (status, category, text) = ask("pat-eu1-unknown-token").await;
    assert_eq!((status, category.as_str()), (401, "EXPIRED_AUTHENTICATION"));
    assert!(text.contains("day(s) ago"), "{text}");
    assert_eq!(ask("short").await.0, 530);
    let token = running.control.private_app(&["crm.objects.contacts.read"]);
    let (status, category, text) = ask(&token).await;
    assert_eq!((status, category.as_str()), (403, "MISSING_SCOPES"));
    assert!(text.contains("crm.objects.deals.read"), "{text}");
    assert!(running.control.revoke(&token));
    assert_eq!(ask(&token).await.0, 401);
}

#[tokio::test]
async fn archived_records_leave_the_list_for_the_bin_and_the_bin_after_90_days() {
    let (running, client) = start(|_| {}).await;
    let control = &running.control;
    let id = control.live("deals")[3].id;
    assert!(control.archive("deals", id));
    assert_eq!(client.get(&format!("/crm/v3/objects/deals/{id}")).await.status, 404);
    let bin = client.get("/crm/v3/objects/deals?archived=true").await.json();
    assert_eq!(bin["results"].as_array().unwrap().len(), 1);
    assert_eq!(bin["results"][0]["id"], id.to_string());
    assert!(bin["results"][0]["archivedAt"].is_string());
    assert_eq!(client.get(&format!("/crm/v3/objects/deals/{id}?archived=true")).await.status, 200);
    let back = control.live("deals").len();
    assert!(control.restore("deals", id));
    assert_eq!(control.live("deals").len(), back + 1);
    assert!(control.archive("deals", id));
    control.clock().advance(Duration::from_secs(91 * 86_400));
    let bin = client.get("/crm/v3/objects/deals?archived=true").await.json();
    assert!(bin["results"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_merged_record_vanishes_and_its_number_leads_to_the_winner() {
    let (running, client) = start(|_| {}).await;
    let control = &running.control;
    let contacts = control.live("contacts");
    let (winner, loser) = (contacts[0].id, contacts[1].id);
    assert!(control.merge("contacts", winner, loser));
    assert!(!control.merge("contacts", winner, loser), "only once");
    let bin = client.get("/crm/v3/objects/contacts?archived=true").await.json();
    assert!(bin["results"].as_array().unwrap().is_empty(), "no trace in the bin");
    let read =
        client.get(&format!("/crm/v3/objects/contacts/{loser}?properties=hs_merged_object_ids")).await.json();
    assert_eq!(read["id"], winner.to_string());
    assert_eq!(read["properties"]["hs_merged_object_ids"], loser.to_string());
    assert_eq!(control.live("contacts").len(), contacts.len() - 1);
}

#[tokio::test]
async fn a_batch_reads_at_most_a_hundred_and_names_what_is_missing() {
    let (running, client) = start(|_| {}).await;
    let ids: Vec<_> =
        running.control.live("deals").iter().map(|deal| json!({ "id": deal.id.to_string() })).collect();
    let path = "/crm/v3/objects/deals/batch/read";
    let got = client.post(path, &json!({ "inputs": ids[..100], "properties": ["amount"] })).await;
    assert_eq!((got.status, got.json()["results"].as_array().unwrap().len()), (200, 100));
    let got = client.post(path, &json!({ "inputs": ids[..101] })).await;
    assert_eq!(got.status, 400);
    let got = client.post(path, &json!({ "inputs": [ids[0], { "id": "1" }] })).await;
    assert_eq!(got.status, 207);
    assert_eq!(got.json()["results"].as_array().unwrap().len(), 1);
    assert_eq!(got.json()["errors"][0]["context"]["ids"], json!(["1"]));
    let got = client.post_text(path, "text/plain", r#"{"inputs":[{"id":"1"}]}"#).await;
    assert_eq!(got.status, 415);
    assert_eq!(client.post_text(path, "application/json", "{").await.status, 400);
    let by_mail = running.control.live("contacts")[0].properties["email"].clone();
    let body = json!({ "inputs": [{ "id": by_mail }], "idProperty": "email" });
    assert_eq!(client.post("/crm/v3/objects/contacts/batch/read", &body).await.status, 200);
}

#[tokio::test]
async fn associations_are_read_in_bulk_and_inline() {
    let (running, client) = start(|_| {}).await;
    let control = &running.control;
    let deals = control.live("deals");
    let (first, lonely) = (deals[0].id, control.create("deals", &[("dealname", "lonely")]).unwrap());
    let body = json!({ "inputs": [{ "id": first.to_string() }, { "id": lonely.to_string() }] });
    let got = client.post("/crm/v4/associations/deals/companies/batch/read", &body).await;
    assert_eq!(got.status, 207);
    let company = control.associated(("deals", first), "companies")[0];
    let result = &got.json()["results"][0];
    assert_eq!(
        (&result["from"]["id"], &result["to"][0]["toObjectId"]),
        (&json!(first.to_string()), &json!(company))
    );
    let dated = client.post("/crm/associations/2026-03/deals/companies/batch/read", &body).await.json();
    assert_eq!(dated["results"][0]["to"][0]["toObjectId"], json!(company.to_string()));
    let inline =
        client.get(&format!("/crm/v3/objects/deals/{first}?associations=companies,contacts")).await.json();
    assert_eq!(inline["associations"]["companies"]["results"][0]["id"], company.to_string());
    for number in 0..501 {
        let contact = control.create("contacts", &[("firstname", &format!("c{number}"))]).unwrap();
        control.associate(("deals", lonely), ("contacts", contact), None);
    }
    let body = json!({ "inputs": [{ "id": lonely.to_string() }] });
    let path = "/crm/v4/associations/deals/contacts/batch/read";
    let page = client.post(path, &body).await.json();
    assert_eq!(page["results"][0]["to"].as_array().unwrap().len(), 500);
    let after = page["results"][0]["paging"]["next"]["after"].as_str().unwrap();
    let rest =
        client.post(path, &json!({ "inputs": [{ "id": lonely.to_string(), "after": after }] })).await.json();
    assert_eq!(rest["results"][0]["to"].as_array().unwrap().len(), 1);
    control.dissociate(("deals", first), ("companies", company));
    assert!(control.associated(("deals", first), "companies").is_empty());
}

#[tokio::test]
async fn discovery_tells_types_properties_owners_pipelines_and_the_account() {
    let (running, client) = start(|_| {}).await;
    let properties = client.get("/crm/v3/properties/deals").await.json();
    let of = |name: &str| {
        let listed = properties["results"].as_array().unwrap().clone();
        listed.into_iter().find(|property| property["name"] == name).unwrap()
    };
    assert_eq!(
        (&of("amount")["type"], &of("amount")["numberDisplayHint"]),
        (&json!("number"), &json!("currency"))
    );
    assert_eq!(of("days_to_close")["calculated"], true);
    assert_eq!(of("dealstage")["options"][4]["label"], "Closed Won");
    assert!(of("signed_on").get("hubspotDefined").is_none());
    let schemas = client.get("/crm-object-schemas/v3/schemas").await.json();
    assert_eq!(schemas["results"][0]["objectTypeId"], "2-12345678");
    let cars = client.get("/crm/v3/objects/2-12345678?properties=plate").await.json();
    assert_eq!(cars["results"].as_array().unwrap().len(), 10);
    let active = client.get("/crm/v3/owners?limit=5").await.json();
    assert_eq!(active["results"].as_array().unwrap().len(), 5);
    assert!(active["paging"]["next"]["after"].is_string());
    let archived = client.get("/crm/v3/owners?archived=true").await.json();
    assert_eq!(archived["results"][0]["archived"], true);
    let pipelines = client.get("/crm/v3/pipelines/deals").await.json();
    assert_eq!(pipelines["results"][0]["stages"][5]["id"], "closedlost");
    let account = client.get("/account-info/v3/details").await.json();
    assert_eq!(account["portalId"], running.control.portal_id());
    assert!(running.control.archive_property("deals", "signed_on"));
    let names = client.get("/crm/v3/properties/deals").await.text;
    assert!(!names.contains("signed_on"));
}

#[tokio::test]
async fn sensitive_properties_need_their_scope() {
    let (running, client) = start(|_| {}).await;
    assert!(!client.get("/crm/v3/properties/contacts").await.text.contains("tax_number"));
    assert_eq!(client.get("/crm/v3/properties/contacts?dataSensitivity=sensitive").await.status, 403);
    let read = "/crm/v3/objects/contacts?properties=tax_number&limit=1";
    assert!(client.get(read).await.json()["results"][0]["properties"].get("tax_number").is_none());
    let token =
        running.control.private_app(&["crm.objects.contacts.read", "crm.objects.contacts.sensitive.read.v2"]);
    let client = Client::new(&running.base_url, &token);
    assert!(
        client.get("/crm/v3/properties/contacts?dataSensitivity=sensitive").await.text.contains("tax_number")
    );
    assert!(client.get(read).await.json()["results"][0]["properties"]["tax_number"].is_string());
}

#[tokio::test]
async fn budgets_are_kept_and_told() {
    let limits = Limits { ten_seconds: Some(3), search_second: Some(2), day: Some(6) };
    let (running, client) = start(|options| options.limits = limits).await;
    for left in ["2", "1", "0"] {
        let got = client.get("/crm/v3/objects/deals?limit=1").await;
        assert_eq!((got.status, got.header("x-hubspot-ratelimit-remaining")), (200, left));
        assert_eq!(got.header("x-hubspot-ratelimit-interval-milliseconds"), "10000");
    }
    let got = client.get("/crm/v3/objects/deals?limit=1").await;
    assert_eq!((got.status, got.json()["policyName"].as_str().unwrap()), (429, "TEN_SECONDLY_ROLLING"));
    for status in [200, 200, 429] {
        let got = client.post("/crm/v3/objects/deals/search", &json!({})).await;
        assert_eq!(got.status, status);
        assert_eq!(got.header("x-hubspot-ratelimit-remaining"), "", "the search tells no budget");
    }
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(client.post("/crm/v3/objects/deals/search", &json!({})).await.status, 200);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    let got = client.post("/crm/v3/objects/deals/search", &json!({})).await;
    assert_eq!((got.status, got.json()["policyName"].as_str().unwrap()), (429, "DAILY"));
    running.control.clock().advance(Duration::from_secs(86_400));
    assert_eq!(client.post("/crm/v3/objects/deals/search", &json!({})).await.status, 200);
}

#[tokio::test]
async fn planned_failures_happen_once_and_calls_are_kept() {
    let (running, client) = start(|options| options.size = Size { deals: 30, ..Size::default() }).await;
    let traffic = running.control.traffic();
    let path = "/crm/v3/objects/deals?limit=30";
    traffic.fail_next(1, Fault::Status(502));
    assert_eq!(client.get(path).await.status, 502);
    traffic.fail_next(1, Fault::RateLimited { retry_after: Some(7), daily: false });
    let got = client.get(path).await;
    assert_eq!((got.status, got.header("retry-after")), (429, "7"));
    traffic.fail_next(1, Fault::Truncated);
    assert!(client.try_get(path).await.is_err());
    traffic.fail_next(1, Fault::HalfJson);
    let half = client.get(path).await;
    assert!(half.status == 200 && serde_json::from_str::<serde_json::Value>(&half.text).is_err());
    traffic.fail_next(1, Fault::LoginPage);
    assert!(client.get(path).await.text.contains("Sign in"));
    traffic.fail_next(1, Fault::Bomb(1 << 20));
    let (packed, unpacked) = compressed(&running, path).await;
    assert!(packed < 4_096 && unpacked.len() == 1 << 20);
    assert_eq!(String::from_utf8(compressed(&running, path).await.1).unwrap(), client.get(path).await.text);
    traffic.fail_next_at("POST", 1, Fault::Status(500));
    assert_eq!(client.get(path).await.status, 200);
    traffic.heal();
    traffic.fail_next(1, Fault::Slow(Duration::from_millis(150)));
    let started = std::time::Instant::now();
    assert_eq!(client.get(path).await.status, 200);
    assert!(started.elapsed() >= Duration::from_millis(150));
    let control = running.control.clone();
    traffic.before("GET /crm/v3/objects/deals", 1, move || {
        control.create("deals", &[("dealname", "between")]);
    });
    assert_eq!(client.get(path).await.json()["results"].as_array().unwrap().len(), 30);
    let second = client.get("/crm/v3/objects/deals?limit=100").await.json();
    assert_eq!(second["results"].as_array().unwrap().len(), 31);
    let log = traffic.log();
    assert_eq!(log.len() as u64, traffic.total());
    assert_eq!((log[0].status, log[0].uri.as_str()), (502, path));
}

#[tokio::test]
async fn business_goes_on_while_it_is_kept() {
    let (running, _) = start(|_| {}).await;
    let before: BTreeSet<_> = running.control.live("deals").iter().map(|deal| format!("{deal:?}")).collect();
    let business = running.control.keep_busy(Duration::from_millis(5));
    let changed =
        || running.control.live("deals").iter().filter(|deal| !before.contains(&format!("{deal:?}"))).count();
    let started = std::time::Instant::now();
    while changed() < 10 {
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(business);
}

/// Length of the compressed body of an answer, and the body.
async fn compressed(running: &Running, path: &str) -> (usize, Vec<u8>) {
    let request = reqwest::Client::new().get(format!("{}{path}", running.base_url));
    let request =
        request.header("accept-encoding", "gzip").header("authorization", format!("Bearer {PRIVATE_TOKEN}"));
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let packed = response.bytes().await.unwrap();
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed.as_ref()), &mut unpacked).unwrap();
    (packed.len(), unpacked)
}
