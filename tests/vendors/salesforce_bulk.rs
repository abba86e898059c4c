//! The Bulk API 2.0 of Salesforce.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::Client;
use super::salesforce::{ROOT, start};

async fn create(client: &Client, operation: &str, soql: &str) -> String {
    let got =
        client.post(&format!("{ROOT}/jobs/query"), &json!({ "operation": operation, "query": soql })).await;
    assert_eq!((got.status, got.json()["state"].as_str().unwrap()), (200, "UploadComplete"), "{}", got.text);
    got.json()["id"].as_str().unwrap().into()
}

async fn wait(client: &Client, id: &str) -> (String, usize) {
    for polls in 1.. {
        let state = client.get(&format!("{ROOT}/jobs/query/{id}")).await.json()["state"]
            .as_str()
            .unwrap()
            .to_string();
        if !["UploadComplete", "InProgress"].contains(&state.as_str()) {
            return (state, polls);
        }
    }
    unreachable!()
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(String::from).collect()).collect()
}

#[tokio::test]
async fn a_job_is_polled_and_its_file_fetched_in_parts() {
    let (running, client) = start(|_| {}).await;
    let id =
        create(&client, "query", "SELECT Id, Account.Name, Amount, SystemModstamp FROM Opportunity").await;
    let results = format!("{ROOT}/jobs/query/{id}/results?maxRecords=100");
    assert_eq!(client.get(&results).await.json()[0]["errorCode"], "INVALIDJOBSTATE");
    assert_eq!(wait(&client, &id).await, ("JobComplete".into(), 2));
    let mut found = Vec::new();
    let mut locator = String::new();
    let mut parts = 0;
    while locator != "null" {
        let path = if locator.is_empty() { results.clone() } else { format!("{results}&locator={locator}") };
        let got = client.get(&path).await;
        assert_eq!(got.header("content-type"), "text/csv");
        let part = rows(&got.text);
        assert_eq!(part[0], ["Id", "Account.Name", "Amount", "SystemModstamp"]);
        assert_eq!(got.header("sforce-numberofrecords"), (part.len() - 1).to_string());
        found.extend(part[1..].iter().map(|row| row[0].clone()));
        assert!(part[1][3].ends_with(".000Z"), "unlike JSON");
        locator = got.header("sforce-locator").to_string();
        parts += 1;
    }
    let ids: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!((parts, found.len(), ids.len()), (3, 250, 250));
    assert_ne!(found, ids.into_iter().collect::<Vec<_>>(), "in no order");
    assert_eq!(client.get(&results.replace("v62.0", "v61.0")).await.status, 409);
    assert_eq!(client.get(&format!("{results}&locator=bad")).await.status, 400);
    assert_eq!(client.request("DELETE", &format!("{ROOT}/jobs/query/{id}"), &json!({})).await.status, 204);
    assert!(running.control.jobs().is_empty());
    assert_eq!(client.get(&results).await.status, 404);
}

#[tokio::test]
async fn texts_survive_the_file() {
    let (running, client) = start(|options| options.bulk_polls = 0).await;
    let id = create(&client, "query", "SELECT Id, Description, NumberOfEmployees FROM Account").await;
    assert_eq!(wait(&client, &id).await.0, "JobComplete");
    let got = client.get(&format!("{ROOT}/jobs/query/{id}/results")).await;
    let rows = rows(&got.text);
    let truth = running.control.live("Account");
    for row in &rows[1..] {
        let one = truth.iter().find(|one| one.id == row[0]).unwrap();
        let text = match &one.fields["Description"] {
            tributary::demo::salesforce::Cell::Text(text) => text.as_str(),
            _ => "",
        };
        assert_eq!(row[1], text);
    }
    assert!(rows.iter().any(|row| row[1].contains('\n') && row[1].contains('"')));
    assert!(rows.iter().any(|row| row[2].ends_with(".0")) && rows.iter().any(|row| !row[2].contains('.')));
}

#[tokio::test]
async fn what_the_bulk_api_refuses_is_refused() {
    let (_running, client) = start(|_| {}).await;
    let path = format!("{ROOT}/jobs/query");
    for (soql, code) in [
        ("SELECT Id FROM CaseStatus", "INVALIDENTITY"),
        ("SELECT BillingAddress FROM Account", "FEATURENOTENABLED"),
        ("SELECT COUNT() FROM Account", "API_ERROR"),
        ("SELECT FIELDS(ALL) FROM Account LIMIT 10", "API_ERROR"),
        ("SELECT Id FROM Account OFFSET 5", "API_ERROR"),
        ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account GROUP BY Name", "MALFORMED_QUERY"),
        ("SELECT Foo__c FROM Account", "INVALID_FIELD"),
    ] {
        let got = client.post(&path, &json!({ "operation": "query", "query": soql })).await;
        assert_eq!((got.status, got.json()[0]["errorCode"].as_str().unwrap()), (400, code), "{soql}");
    }
    for body in [
        json!({ "operation": "insert", "query": "SELECT Id FROM Account" }),
        json!({ "operation": "query" }),
        json!({ "operation": "query", "query": "SELECT Id FROM Account", "contentType": "JSON" }),
    ] {
        assert_eq!(client.post(&path, &body).await.status, 400, "{body}");
    }
    assert_eq!(client.post_text(&path, "text/plain", "{}").await.status, 415);
}

#[tokio::test]
async fn jobs_fail_are_aborted_and_forgotten() {
    let (running, client) = start(|_| {}).await;
    running.control.fail_next_job("QUERY_TIMEOUT: Your query request was running for too long.");
    let failed = create(&client, "query", "SELECT Id FROM Account").await;
    assert_eq!(wait(&client, &failed).await.0, "Failed");
    let described = client.get(&format!("{ROOT}/jobs/query/{failed}")).await.json();
    assert!(described["errorMessage"].as_str().unwrap().starts_with("QUERY_TIMEOUT"));
    let aborted = create(&client, "queryAll", "SELECT Id FROM Account").await;
    let path = format!("{ROOT}/jobs/query/{aborted}");
    assert_eq!(client.request("DELETE", &path, &json!({})).await.status, 400, "it is under way");
    assert_eq!(
        client.request("PATCH", &path, &json!({ "state": "Aborted" })).await.json()["state"],
        "Aborted"
    );
    running.control.clock().advance(Duration::from_secs(8 * 86_400));
    let client = Client::new(&running.base_url, &running.control.open_session());
    assert_eq!(client.get(&path).await.status, 404);
}

#[tokio::test]
async fn query_all_brings_deleted_rows_too() {
    let (running, client) = start(|options| options.bulk_polls = 0).await;
    let gone = running.control.live("Account")[0].id.clone();
    assert!(running.control.delete("Account", &gone));
    for (operation, expected) in [("query", 39), ("queryAll", 40)] {
        let id = create(&client, operation, "SELECT Id, IsDeleted FROM Account").await;
        wait(&client, &id).await;
        let got = client.get(&format!("{ROOT}/jobs/query/{id}/results")).await;
        assert_eq!(rows(&got.text).len() - 1, expected);
        assert_eq!(got.text.contains(&gone), operation == "queryAll");
    }
}
