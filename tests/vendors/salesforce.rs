//! Reading Salesforce over REST: discovery, SOQL, cursors, replication, limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tributary::demo::salesforce::{self, Cell, Options, Running};

use super::{Client, Got};

pub(crate) const ROOT: &str = "/services/data/v62.0";

pub(crate) async fn start(change: impl FnOnce(&mut Options)) -> (Running, Client) {
    let mut options = Options::default();
    change(&mut options);
    let running = salesforce::start(options).await.unwrap();
    let client = Client::new(&running.base_url, &running.control.open_session());
    (running, client)
}

pub(crate) fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn ask(client: &Client, resource: &str, soql: &str) -> Got {
    client.get(&format!("{ROOT}/{resource}?q={}", encode(soql))).await
}

async fn ids(client: &Client, soql: &str) -> BTreeSet<String> {
    let got = ask(client, "query", soql).await;
    assert_eq!(got.status, 200, "{soql}: {}", got.text);
    let page = got.json();
    assert_eq!(page["done"], true);
    page["records"].as_array().unwrap().iter().map(|record| record["Id"].as_str().unwrap().into()).collect()
}

fn stamp(millis: i64) -> String {
    chrono::DateTime::from_timestamp_millis(millis).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[tokio::test]
async fn a_query_is_read_page_by_page_to_the_end() {
    let (running, client) = start(|options| options.page_rows = 100).await;
    let soql =
        "SELECT Id, Name, Amount, IsDeleted, SystemModstamp, Account.Name, Owner.Name FROM Opportunity";
    let mut page = ask(&client, "query", soql).await.json();
    assert_eq!(page["totalSize"], 250);
    let mut amounts = BTreeMap::new();
    loop {
        for record in page["records"].as_array().unwrap() {
            assert_eq!(record["attributes"]["type"], "Opportunity");
            assert_eq!(record["Account"]["attributes"]["type"], "Account");
            assert!(record["SystemModstamp"].as_str().unwrap().ends_with(".000+0000"));
            assert!(record["Owner"]["Name"].is_string());
            let amount = record["Amount"].as_f64();
            assert!(amounts.insert(record["Id"].as_str().unwrap().to_string(), amount).is_none());
        }
        if page["done"] == true {
            assert!(page.get("nextRecordsUrl").is_none());
            break;
        }
        page = client.get(page["nextRecordsUrl"].as_str().unwrap()).await.json();
    }
    let truth: BTreeMap<_, _> = running
        .control
        .live("Opportunity")
        .into_iter()
        .map(|one| match &one.fields["Amount"] {
            Cell::Number(digits) => (one.id, Some(digits.parse::<f64>().unwrap())),
            _ => (one.id, None),
        })
        .collect();
    assert_eq!(amounts, truth);
    assert_eq!(running.control.traffic().calls("GET /query/{cursor}"), 2);
}

#[tokio::test]
async fn wide_rows_make_short_pages_and_cursors_end_after_two_days() {
    let (running, client) = start(|options| options.page_characters = 2_000).await;
    let page = ask(&client, "query", "SELECT Id, Name FROM Opportunity").await.json();
    assert!(page["records"].as_array().unwrap().len() < 30);
    let next = page["nextRecordsUrl"].as_str().unwrap();
    assert_eq!(client.get(next).await.status, 200);
    assert_eq!(client.get(&format!("{next}?batchSize=10")).await.status, 400);
    assert_eq!(
        client.get(&format!("{ROOT}/query/01gxx0000000000AAA-2000")).await.json()[0]["errorCode"],
        "INVALID_QUERY_LOCATOR"
    );
    running.control.clock().advance(Duration::from_secs(2 * 86_400));
    let client = Client::new(&running.base_url, &running.control.open_session());
    assert_eq!(client.get(next).await.json()[0]["errorCode"], "INVALID_QUERY_LOCATOR");
}

#[tokio::test]
async fn conditions_mean_what_they_mean_at_salesforce() {
    let (running, client) = start(|options| options.size.accounts = 1).await;
    let control = &running.control;
    let make = |name: &str, employees: Option<u32>, regions: &str| {
        let employees = employees.map_or(Cell::Null, |n| Cell::number(n.to_string()));
        let fields =
            [("Name", Cell::from(name)), ("NumberOfEmployees", employees), ("Regions__c", regions.into())];
        control.create("Account", &fields).unwrap()
    };
    let (a, b, c) =
        (make("Acme's", Some(10), "North;West"), make("beta_1", Some(9), "South"), make("Gamma", None, ""));
    let set = |ids: &[&String]| ids.iter().map(|id| id.to_string()).collect::<BTreeSet<_>>();
    let query = async |condition: &str| {
        let soql =
            format!("SELECT Id FROM Account WHERE ({condition}) AND Id IN ('{a}','{b}','{}')", &c[..15]);
        ids(&client, &soql).await
    };
    assert_eq!(query("Name = 'ACME\\'S'").await, set(&[&a]));
    assert_eq!(query("Name LIKE 'ac%'").await, set(&[&a]));
    assert_eq!(query("Name LIKE 'beta\\_1'").await, set(&[&b]));
    assert_eq!(query("NumberOfEmployees > 9").await, set(&[&a]));
    assert_eq!(query("NumberOfEmployees != 9").await, set(&[&a, &c]), "unlike SQL");
    assert_eq!(query("NumberOfEmployees = null").await, set(&[&c]));
    assert_eq!(query("NOT NumberOfEmployees = null").await, set(&[&a, &b]));
    assert_eq!(query("Regions__c INCLUDES ('North;West','South')").await, set(&[&a, &b]));
    assert_eq!(query("Regions__c EXCLUDES ('North')").await, set(&[&b, &c]));
    assert_eq!(query("Name IN ('gamma') OR NumberOfEmployees <= 9").await, set(&[&b, &c]));
    assert_eq!(query("CreatedDate = TODAY").await, set(&[&a, &b, &c]));
    assert_eq!(query("CreatedDate < LAST_N_DAYS:30").await, set(&[]));
    let counted = ask(&client, "query", "SELECT COUNT() FROM Account").await.json();
    assert_eq!((&counted["totalSize"], &counted["records"]), (&json!(4), &json!([])));
    let ordered = ask(
        &client,
        "query",
        "SELECT Name FROM Account ORDER BY NumberOfEmployees DESC NULLS LAST, Id LIMIT 2 OFFSET 1",
    )
    .await;
    assert_eq!(ordered.json()["records"][0]["Name"], "Acme's");
}

#[tokio::test]
async fn numbers_and_compounds_are_written_as_salesforce_writes_them() {
    let (running, client) = start(|_| {}).await;
    let fields = [
        ("Name", Cell::from("Big")),
        ("AnnualRevenue", Cell::number("350000000")),
        ("BillingCity", "Oslo".into()),
    ];
    let id = running.control.create("Account", &fields).unwrap();
    let got = ask(
        &client,
        "query",
        &format!("SELECT AnnualRevenue, BillingAddress, NumberOfEmployees FROM Account WHERE Id = '{id}'"),
    )
    .await;
    assert!(got.text.contains("\"AnnualRevenue\":3.5E8"), "{}", got.text);
    assert_eq!(got.json()["records"][0]["BillingAddress"]["city"], "Oslo");
    assert!(got.json()["records"][0]["NumberOfEmployees"].is_null());
}

#[tokio::test]
async fn what_salesforce_refuses_is_refused_by_its_code() {
    let (running, client) = start(|_| {}).await;
    for (soql, code) in [
        ("SELECT Id FROM Unicorn", "INVALID_TYPE"),
        ("SELECT Id FROM OpportunityChangeEvent", "INVALID_TYPE"),
        ("SELECT Foo__c FROM Account", "INVALID_FIELD"),
        ("SELECT Nobody.Name FROM Account", "INVALID_FIELD"),
        ("SELECT Id, Id FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE SystemModstamp > '2026-01-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE NumberOfEmployees = '5'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE NumberOfEmployees LIKE '5'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Name INCLUDES ('x')", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Name IS NULL", "MALFORMED_QUERY"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM ContentDocumentLink", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account ORDER BY Description", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account OFFSET 2001", "MALFORMED_QUERY"),
    ] {
        let got = ask(&client, "query", soql).await;
        assert_eq!((got.status, got.json()[0]["errorCode"].as_str().unwrap()), (400, code), "{soql}");
    }
    // A plus sign that is not encoded is a blank.
    let plain = "SELECT+Id+FROM+Account+WHERE+CreatedDate+>+2026-01-01T00:00:00+00:00";
    assert_eq!(
        client.get(&format!("{ROOT}/query?q={plain}")).await.json()[0]["errorCode"],
        "MALFORMED_QUERY"
    );
    let encoded = plain.replace("00+00:00", "00%2B00:00");
    assert_eq!(client.get(&format!("{ROOT}/query?q={encoded}")).await.status, 200);
    let long = format!("SELECT Id FROM Account WHERE Name IN ('{}')", vec!["x".repeat(40); 400].join("','"));
    assert_eq!(ask(&client, "query", &long).await.status, 414);
    let composite = json!({ "compositeRequest": [{ "method": "GET", "referenceId": "q", "url": format!("{ROOT}/query?q={}", encode(&long)) }] });
    let got = client.post(&format!("{ROOT}/composite"), &composite).await.json();
    assert_eq!(got["compositeResponse"][0]["httpStatusCode"], 200, "a body has room for it");
    assert_eq!(client.get("/services/data/v12.0/sobjects").await.status, 404);
    assert_eq!(client.get("/services/data").await.json().as_array().unwrap().len(), 18);
    assert!(running.control.set_field_visible("Account", "Industry", false));
    let got = ask(&client, "query", "SELECT Industry FROM Account").await;
    assert!(
        got.json()[0]["message"]
            .as_str()
            .unwrap()
            .starts_with("No such column 'Industry' on entity 'Account'")
    );
    assert!(!client.get(&format!("{ROOT}/sobjects/Account/describe")).await.text.contains("\"Industry\""));
    assert!(running.control.set_object_visible("Lead", false));
    assert_eq!(
        client.get(&format!("{ROOT}/sobjects/Lead/describe")).await.json()[0]["errorCode"],
        "NOT_FOUND"
    );
    assert_eq!(ask(&client, "query", "SELECT Id FROM Lead").await.json()[0]["errorCode"], "INVALID_TYPE");
}

#[tokio::test]
async fn describe_tells_objects_and_fields() {
    let (running, client) = start(|_| {}).await;
    let listed = client.get(&format!("{ROOT}/sobjects")).await.json();
    let names: Vec<_> = listed["sobjects"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["queryable"] == true)
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"Opportunity")
            && names.contains(&"Invoice__c")
            && !names.contains(&"OpportunityChangeEvent")
    );
    let got = client.get(&format!("{ROOT}/sobjects/opportunity/describe")).await;
    let field = |name: &str| {
        let described = got.json();
        described["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap().clone()
    };
    assert_eq!((&field("Amount")["precision"], &field("Amount")["scale"]), (&json!(18), &json!(2)));
    assert_eq!(field("OwnerId")["referenceTo"], json!(["User", "Group"]));
    assert_eq!(field("ExpectedRevenue")["calculated"], true);
    assert_eq!(field("Name")["nameField"], true);
    let batch = json!({ "haltOnError": false, "batchRequests": [
        { "method": "GET", "url": format!("{ROOT}/sobjects/Account/describe") },
        { "method": "GET", "url": "v62.0/sobjects/Unicorn/describe" },
    ] });
    let batched = client.post(&format!("{ROOT}/composite/batch"), &batch).await.json();
    assert_eq!(batched["hasErrors"], true);
    assert_eq!(batched["results"][0]["result"]["name"], "Account");
    assert_eq!(batched["results"][1]["statusCode"], 404);
    let since = "Sun, 06 Nov 2044 08:49:37 GMT";
    let conditional = reqwest::Client::new()
        .get(format!("{}{ROOT}/sobjects/Account/describe", running.base_url))
        .header("authorization", format!("Bearer {}", running.control.open_session()))
        .header("if-modified-since", since);
    assert_eq!(conditional.send().await.unwrap().status(), 304);
}

#[tokio::test]
async fn deletions_are_told_by_query_all_and_by_the_feed_and_purged_ones_by_the_feed_alone() {
    let (running, client) = start(|_| {}).await;
    let control = &running.control;
    let live = control.live("Account");
    let (deleted, purged, unshared) = (&live[0].id, &live[1].id, &live[2].id);
    let now = control.clock().millis();
    assert!(control.delete("Account", deleted) && !control.delete("Account", deleted));
    assert!(control.purge("Account", purged) && control.unshare("Account", unshared));
    let soql = format!(
        "SELECT Id, IsDeleted FROM Account WHERE IsDeleted = true AND SystemModstamp >= {}",
        stamp(now - 1_000)
    );
    assert_eq!(ask(&client, "query", &soql).await.json()["totalSize"], 0);
    let all = ask(&client, "queryAll", &soql).await.json();
    assert_eq!((&all["totalSize"], &all["records"][0]["Id"]), (&json!(1), &json!(deleted)));
    let feed = |from: i64, to: i64| {
        format!("{ROOT}/sobjects/Account/deleted/?start={}&end={}", encode(&stamp(from)), encode(&stamp(to)))
    };
    let got = client.get(&feed(now - 600_000, now + 600_000)).await.json();
    let told: BTreeSet<_> =
        got["deletedRecords"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(told, BTreeSet::from([deleted.as_str(), purged.as_str()]));
    assert!(got["latestDateCovered"].as_str().unwrap().ends_with("+0000"));
    for (from, to) in [(now, now), (now - 16 * 86_400_000, now), (now + 600_000, now + 1_200_000)] {
        assert_eq!(client.get(&feed(from, to)).await.json()[0]["errorCode"], "INVALID_REPLICATION_DATE");
    }
    assert!(control.undelete("Account", deleted));
    assert!(ids(&client, "SELECT Id FROM Account").await.contains(deleted));
    assert!(control.delete("Account", deleted));
    control.clock().advance(Duration::from_secs(16 * 86_400));
    let client = Client::new(&running.base_url, &control.open_session());
    assert_eq!(
        ask(&client, "queryAll", "SELECT Id FROM Account WHERE IsDeleted = true").await.json()["totalSize"],
        0
    );
}

#[tokio::test]
async fn merging_deletes_the_loser_and_names_the_winner() {
    let (running, client) = start(|_| {}).await;
    let live = running.control.live("Contact");
    let (winner, loser) = (&live[0].id, &live[1].id);
    assert!(running.control.merge("Contact", winner, loser));
    let got = ask(
        &client,
        "queryAll",
        &format!("SELECT IsDeleted, MasterRecordId FROM Contact WHERE Id = '{loser}'"),
    )
    .await
    .json();
    assert_eq!(
        (&got["records"][0]["IsDeleted"], &got["records"][0]["MasterRecordId"]),
        (&json!(true), &json!(winner))
    );
    assert_eq!(running.control.live("Contact").len(), live.len() - 1);
}

#[tokio::test]
async fn a_long_transaction_is_seen_late_and_holds_the_covered_date_back() {
    let (running, client) = start(|_| {}).await;
    let control = &running.control;
    let started = control.clock().millis();
    let late = control.create_late("Account", &[("Name", "Late".into())], Duration::from_secs(10)).unwrap();
    control.clock().advance(Duration::from_secs(2));
    let soon = control.create("Account", &[("Name", "Soon".into())]).unwrap();
    let since = format!("SELECT Id FROM Account WHERE SystemModstamp >= {}", stamp(started));
    assert_eq!(ids(&client, &since).await, BTreeSet::from([soon.clone()]));
    let feed = format!(
        "{ROOT}/sobjects/Account/updated/?start={}&end={}",
        encode(&stamp(started - 600_000)),
        encode(&stamp(started + 600_000))
    );
    let got = client.get(&feed).await.json();
    assert_eq!(got["latestDateCovered"].as_str().unwrap()[..19], stamp(started)[..19]);
    control.clock().advance(Duration::from_secs(10));
    assert_eq!(ids(&client, &since).await, BTreeSet::from([late, soon]));
    let got = client.get(&feed).await.json();
    assert!(got["latestDateCovered"].as_str().unwrap()[..19] > stamp(started)[..19]);
}

#[tokio::test]
async fn formulas_move_without_the_stamp() {
    let (running, _) = start(|_| {}).await;
    let before = running.control.live("Opportunity");
    running.control.clock().advance(Duration::from_secs(86_400));
    let after = running.control.live("Opportunity");
    assert_eq!(before[0].fields["SystemModstamp"], after[0].fields["SystemModstamp"]);
    assert_ne!(before[0].fields["Days_Open__c"], after[0].fields["Days_Open__c"]);
}

#[tokio::test]
async fn calls_are_counted_told_and_end() {
    let (running, client) = start(|options| options.daily_calls = 100).await;
    let got = client.get(&format!("{ROOT}/limits")).await;
    assert_eq!(got.header("sforce-limit-info"), "api-usage=1/100; api-bursts=1/750");
    assert_eq!(got.json()["DailyApiRequests"], json!({ "Max": 100, "Remaining": 99 }));
    running.control.use_calls(99);
    let got = client.get(&format!("{ROOT}/limits")).await;
    assert_eq!((got.status, got.json()[0]["errorCode"].as_str().unwrap()), (403, "REQUEST_LIMIT_EXCEEDED"));
    running.control.clock().advance(Duration::from_secs(25 * 3_600));
    let client = Client::new(&running.base_url, &running.control.open_session());
    assert_eq!(client.get(&format!("{ROOT}/limits")).await.status, 200);
}
