//! Ways to page and to ask for changes, and answers that lead nowhere.

use std::io::Write;

use tributary::error::Kind;

use super::server::Said;
use super::*;

/// Two pages of two and one of one.
fn slice(from: usize, size: usize) -> Vec<serde_json::Value> {
    things(from.min(5)..(from + size).min(5))
}

#[tokio::test]
async fn every_way_to_page_reads_everything() {
    let server = Server::start(|asked| {
        let link = |from: usize| format!("<{{base}}/link?from={from}>; rel=\"next\"");
        match asked.path.as_str() {
            "/none" => json!({"r": things(0..5)}).into(),
            "/offset" => json!({"r": slice(asked.number("offset").unwrap(), asked.number("limit").unwrap()), "total": 5}).into(),
            "/number" => json!({"r": slice((asked.number("page").unwrap() - 1) * 2, 2)}).into(),
            "/seek" => json!({"r": slice(asked.number("after").map_or(0, |after| after + 1), 2)}).into(),
            "/token" => {
                let from = asked.number("token").unwrap_or(0);
                json!({"r": slice(from, 2), "next": if from < 4 { json!(from + 2) } else { json!(null) }}).into()
            }
            "/link" => {
                let from = asked.number("from").unwrap_or(0);
                let headers = if from < 4 { vec![("link", link(from + 2))] } else { Vec::new() };
                Said(200, headers, json!({"r": slice(from, 2)}).to_string().into_bytes())
            }
            "/url" => {
                let from = asked.number("from").unwrap_or(0);
                let next = if from < 4 { json!(format!("/url?from={}", from + 2)) } else { json!(null) };
                json!({"r": slice(from, 2), "next": next}).into()
            }
            _ => json!({"id": "me"}).into(),
        }
    })
    .await;
    for (path, query, page) in [
        ("/none", "", "none"),
        (
            "/offset",
            "offset: \"{page.offset}\", limit: \"{page.size}\"",
            "{ offset: { size: 2, total: /total } }",
        ),
        ("/number", "page: \"{page.number}\"", "{ number: { size: 2 } }"),
        ("/seek", "after: \"{page.after}\"", "{ seek: { key: /id, size: 2 } }"),
        ("/token", "token: \"{page.token}\"", "{ token: { at: /next } }"),
        ("/link", "", "{ link: {} }"),
        ("/url", "", "{ link: { at: /next } }"),
    ] {
        let read = format!(
            "list:\n  request: {{ get: {path}, query: {{ {query} }} }}\n  records: /r\n  page: {page}"
        );
        let pages =
            pages(&reading(&server, &read), What::Full).await.unwrap_or_else(|e| panic!("{path}: {e:?}"));
        assert_eq!(ids(&pages), named(0..5), "{path}");
    }
}

const TOKENS: &str = "list:\n  request: { get: /list, query: { token: \"{page.token}\" } }\n  records: /r\n  page: { token: { at: /next } }\n  total: /total";

async fn failing(answer: impl Fn(&server::Asked) -> Said + Send + Sync + 'static) -> tributary::error::Error {
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/me" => json!({"id": "me"}).into(),
        _ => answer(asked),
    })
    .await;
    pages(&reading(&server, TOKENS), What::Full).await.unwrap_err()
}

#[tokio::test]
async fn answers_that_lead_nowhere_end_the_read() {
    let error = failing(|_| json!({"r": things(0..2), "next": "again"}).into()).await;
    assert!(error.what().contains("repeats a page"), "{error:?}");
    let error =
        failing(|asked| json!({"r": [], "next": asked.number("token").unwrap_or(0) + 1}).into()).await;
    assert!(error.what().contains("10 pages without a record"), "{error:?}");
    let error = failing(|_| json!({"r": things(0..2), "total": 3}).into()).await;
    assert!(error.what().contains("announced 3 records and sent 2"), "{error:?}");
    let error = failing(|_| Said(302, vec![("location", "http://127.0.0.1:1/".into())], Vec::new())).await;
    assert!(error.what().contains("HTTP 302"), "{error:?}");
    let error = failing(|_| Said(400, Vec::new(), br#"{"message": "no such column"}"#.to_vec())).await;
    assert_eq!(error.detail(), Some("no such column"));
}

#[tokio::test]
async fn answers_over_a_limit_are_refused() {
    let deep = format!("{{\"r\": [{{\"id\": \"1\", \"name\": {}1{}}}]}}", "[".repeat(500), "]".repeat(500));
    let error = failing(move |_| Said(200, Vec::new(), deep.clone().into_bytes())).await;
    assert!(error.what().contains("over the limit"), "{error:?}");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..40 {
        encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let error = failing(move |_| Said(200, vec![("content-encoding", "gzip".into())], bomb.clone())).await;
    assert_eq!(error.kind(), Kind::Limit, "{error:?}");
    let large = vec![b' '; (64 << 20) + 1];
    let error = failing(move |_| Said(200, Vec::new(), large.clone())).await;
    assert!(error.what().contains("larger than 64 MiB"), "{error:?}");
}

#[tokio::test]
async fn links_to_other_hosts_are_not_followed() {
    let other = Server::start(|_| json!({"r": []}).into()).await;
    let elsewhere = other.base.replace("127.0.0.1", "127.0.0.2");
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/me" => json!({"id": "me"}).into(),
        _ => json!({"r": things(0..1), "next": format!("{elsewhere}/steal")}).into(),
    })
    .await;
    let read = "list:\n  request: { get: /list }\n  records: /r\n  page: { link: { at: /next } }";
    let error = pages(&reading(&server, read), What::Full).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error:?}");
    assert!(other.log().is_empty());
}

#[tokio::test]
async fn changed_keys_are_read_and_what_is_not_found_is_gone() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/list" => json!({"r": things(0..3)}).into(),
        "/changed" => json!({"r": [{"id": "1"}, {"id": "2"}, {"id": "7"}]}).into(),
        "/get" => {
            let asked: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
            assert!(asked["ids"].as_array().unwrap().len() <= 2, "{asked}");
            let found = asked["ids"].as_array().unwrap().iter().filter(|id| **id != "2");
            let thing = |id: &serde_json::Value| json!({"id": id, "name": "new"});
            json!({"r": found.map(thing).collect::<Vec<_>>()}).into()
        }
        _ => json!({"id": "me"}).into(),
    })
    .await;
    let read = "list: { request: { get: /list }, records: /r }\nchanges:\n  request: { get: /changed, query: { since: \"{since}\" } }\n  records: /r\n  key: [/id]\n  since: { format: epoch_ms, overlap: 1m }\nget:\n  request: { post: /get, body: { ids: \"{keys}\" } }\n  records: /r\n  max: 2";
    let source = reading(&server, read);
    let full = pages(&source, What::Full).await.unwrap();
    let diff = pages(&source, What::Since(watermark(&full))).await.unwrap();
    assert_eq!((ids(&diff), gone(&diff)), (vec!["1".to_string(), "7".into()], vec!["2".to_string()]));
    let since = server.log().iter().find_map(|asked| asked.query.get("since").cloned());
    // The source's clock, a minute earlier.
    assert_eq!(since.as_deref(), Some("1795654740000"));
}

#[tokio::test]
async fn delta_links_lead_from_one_read_to_the_next() {
    let server =
        Server::start(|asked| match (asked.path.as_str(), asked.query.get("delta").map(String::as_str)) {
            ("/list", None) => json!({"r": things(0..2), "link": "{base}/list?delta=a"}).into(),
            ("/list", Some("a")) => {
                let changed =
                    json!([{"id": "1", "name": "new"}, {"id": "0", "removed": {"reason": "deleted"}}]);
                json!({"r": changed, "link": "{base}/list?delta=b"}).into()
            }
            ("/list", _) => json!({"r": [], "link": "{base}/list?delta=c"}).into(),
            _ => json!({"id": "me"}).into(),
        })
        .await;
    let read = "list: { request: { get: /list }, records: /r, next: /link }\nquery:\n  request: { get: \"{since}\" }\n  records: /r\n  next: /link\n  since: { format: opaque }\n  deleted: { when: { at: /removed } }";
    let source = reading(&server, read);
    let full = pages(&source, What::Full).await.unwrap();
    assert_eq!(ids(&full), named(0..2));
    let first = pages(&source, What::Since(watermark(&full))).await.unwrap();
    assert_eq!((ids(&first), gone(&first)), (vec!["1".to_string()], vec!["0".to_string()]));
    pages(&source, What::Since(watermark(&first))).await.unwrap();
    let deltas: Vec<_> = server.log().iter().filter_map(|asked| asked.query.get("delta").cloned()).collect();
    assert_eq!(deltas, ["a", "b"]);
}

#[tokio::test]
async fn a_feed_that_forgot_asks_for_everything() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/list" => json!({"r": things(0..2)}).into(),
        "/deleted" => json!({"r": [{"id": "9", "at": "2026-11-26T00:30:00Z"}, {"id": "8", "at": "2026-11-01T00:00:00Z"}], "from": "2026-11-25T00:00:00Z"}).into(),
        _ => json!({"id": "me"}).into(),
    })
    .await;
    let read = "list: { request: { get: /list }, records: /r }\ndeleted:\n  request: { get: /deleted }\n  records: /r\n  deleted_at: /at\n  complete_from: /from\n  since: { format: rfc3339, overlap: 1h }";
    let source = reading(&server, read);
    let full = pages(&source, What::Full).await.unwrap();
    let deleted = pages(&source, What::DeletedSince(watermark(&full))).await.unwrap();
    assert_eq!(gone(&deleted), ["9"]);
    let long_ago = Watermark(json!({"until": 1_700_000_000_000_000_i64}));
    let error = pages(&source, What::DeletedSince(long_ago)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error:?}");
    let error = pages(&source, What::DeletedSince(Watermark(json!("x")))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error:?}");
}
