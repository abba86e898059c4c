//! Answers that nobody should send, from a server over HTTP to what psql shows.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::server::{Said, Server as Vendor};
use crate::support::folder::folder_of_this_run;
use crate::support::server::Server;

/// An API whose fields are listed by itself, and whose one list has one page.
const MANIFEST: &str = r#"
name: odd
label: Odd
docs: https://api.odd
auth:
  - bearer: { ask: { token: Token }, token: "{secret.token}" }
whoami: { request: { get: /me }, account: /id, user: /name }
http: { base: https://api.odd, message: [/message] }
types: { text: text, int: int, decimal: decimal, float: float, date: date, time: timestamp, list: list, bool: bool }
objects: { known: { thing: { label: Thing } } }
fields:
  discover: { request: { get: /fields }, records: /fields, name: [/name], label: /label, type: [/type] }
  key: [id]
read:
  list: { request: { get: /things, query: { fields: "{fields}" } }, records: /things }
"#;

/// What the API says.
#[derive(Clone, Default)]
struct Api(std::sync::Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    /// Names and types.
    fields: Vec<(String, &'static str)>,
    things: Vec<u8>,
}

impl Api {
    fn set_fields(&self, fields: &[(&str, &'static str)]) {
        self.0.lock().unwrap().fields = fields.iter().map(|(name, kind)| (name.to_string(), *kind)).collect();
    }

    fn set(&self, things: Value) {
        self.set_bytes(json!({"things": things}).to_string().into_bytes());
    }

    fn set_bytes(&self, body: Vec<u8>) {
        self.0.lock().unwrap().things = body;
    }

    async fn start(&self) -> Vendor {
        let api = self.clone();
        Vendor::start(move |asked| match asked.path.as_str() {
            "/fields" => {
                let fields = &api.0.lock().unwrap().fields;
                let field =
                    |(name, kind): &(String, &str)| json!({"name": name, "label": name, "type": kind});
                json!({"fields": fields.iter().map(field).collect::<Vec<_>>()}).into()
            }
            "/things" => Said(200, Vec::new(), api.0.lock().unwrap().things.clone()),
            _ => json!({"id": "7", "name": "anna"}).into(),
        })
        .await
    }
}

/// A server that knows the connector, linked and with the object.
fn linked(vendor: &Vendor, key: &str) -> Server {
    let folder = tempfile::tempdir_in(folder_of_this_run("tributary-test-odd")).unwrap().keep();
    std::fs::create_dir(folder.join("catalog")).unwrap();
    std::fs::write(folder.join("catalog/odd.yaml"), MANIFEST).unwrap();
    let config = folder.join("tributary.toml");
    std::fs::write(&config, format!("[connector_base]\nodd = \"{}\"\n", vendor.base)).unwrap();
    let catalog = folder.join("catalog");
    let arguments = ["--config", config.to_str().unwrap(), "--catalog", catalog.to_str().unwrap()];
    let server = Server::builder().args(&arguments).start();
    server.rows(&[
        "CALL connect('odd')",
        "CALL set_secret('odd', 'token', 't')",
        &format!("CALL add_object('odd', 'thing', unique_fields => '{key}')"),
    ]);
    server
}

const SYNC: &str = "CALL sync('odd', 'full')";
const LAST: &str = "SELECT status, rows_read, inserted, updated, deleted, duplicates, null_keys, misfits
    FROM tributary.run ORDER BY id DESC LIMIT 1";

#[tokio::test(flavor = "multi_thread")]
async fn fields_come_go_and_change_their_types() {
    let api = Api::default();
    api.set_fields(&[("id", "text"), ("name", "text"), ("size", "int")]);
    api.set(json!([{"id": "1", "name": "a", "size": 5}, {"id": "2", "name": "b", "size": 6}]));
    let vendor = api.start().await;
    let server = linked(&vendor, "id");
    server.rows(&[SYNC]);
    // A new field is offered, and told; what is imported stays as it is.
    api.set_fields(&[("id", "text"), ("name", "text"), ("size", "int"), ("colour", "text")]);
    server.rows(&[SYNC]);
    let told = server.rows(&["SELECT warnings FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    assert!(told.contains("`colour` is new at the source and not imported"), "{told}");
    assert_eq!(server.rows(&["SELECT * FROM odd.thing ORDER BY id"]), "1|a|5\n2|b|6");
    // A field that is gone reads NULL for what is read now.
    api.set_fields(&[("id", "text"), ("size", "int"), ("colour", "text")]);
    api.set(json!([{"id": "1", "size": 5}, {"id": "2", "size": 7}]));
    server.rows(&[SYNC]);
    let told = server.rows(&["SELECT status, warnings FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    assert!(told.starts_with("succeeded with warnings|"), "{told}");
    assert!(told.contains("`name` is gone from the source and reads NULL"), "{told}");
    assert_eq!(server.rows(&["SELECT * FROM odd.thing ORDER BY id"]), "1||5\n2||7");
    // A type that holds every old value is taken over.
    api.set_fields(&[("id", "text"), ("size", "decimal")]);
    api.set(json!([{"id": "1", "size": 5.25}, {"id": "2", "size": 7}]));
    server.rows(&[SYNC]);
    let wide = server.rows(&["SELECT id, size FROM odd.thing ORDER BY id"]);
    assert_eq!(wide, "1|5.250000000\n2|7.000000000");
    // One that does not is not: the table stays, and somebody is told what to do.
    api.set_fields(&[("id", "text"), ("size", "date")]);
    let error = server.error(SYNC);
    assert!(error.contains("changed its type from numeric(38,9) to date"), "{error}");
    assert!(error.contains("HINT:") && error.contains("refresh => true"), "{error}");
    assert_eq!(server.rows(&["SELECT id, size FROM odd.thing ORDER BY id"]), wide);
    // Without its key it is no table.
    api.set_fields(&[("size", "decimal"), ("ids", "text")]);
    let error = server.error(SYNC);
    assert!(
        error.contains("key field `id` of `odd.thing` is gone from the source (did you mean `ids`?)"),
        "{error}"
    );
    assert_eq!(server.rows(&["SELECT id, size FROM odd.thing ORDER BY id"]), wide);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_become_plain_ones_and_none_is_lost() {
    let long = "x".repeat(10_000);
    let names =
        ["id", "Amount", "amount", "__proto__", "a\"b", "select", "🎉", &long, "'; DROP TABLE deal; --"];
    let api = Api::default();
    api.set_fields(&names.map(|name| (name, "text")));
    let record: serde_json::Map<_, _> =
        names.iter().map(|name| (name.to_string(), json!(format!("<{name}>")))).collect();
    api.set(json!([record]));
    let vendor = api.start().await;
    let server = linked(&vendor, "id");
    server.rows(&[SYNC]);
    let fields = server.rows(&["SELECT name FROM tributary.field WHERE object = 'thing' ORDER BY 1"]);
    let fields: Vec<_> = fields.lines().collect();
    assert_eq!(fields.len(), names.len(), "{fields:?}");
    let plain = |name: &&&str| {
        name.len() <= 63 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    assert_eq!(fields.iter().filter(plain).count(), names.len(), "{fields:?}");
    // Every value is under the name that was made of its field's.
    for name in names {
        let quoted = name.replace('\'', "''");
        let column = server.rows(&[&format!(
            "SELECT name FROM tributary.field WHERE object = 'thing' AND source_field = '{quoted}'"
        )]);
        assert_eq!(server.rows(&[&format!("SELECT \"{column}\" FROM odd.thing")]), format!("<{name}>"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_twice_and_no_key_are_counted_and_told() {
    let api = Api::default();
    api.set_fields(&[("id", "text"), ("part", "int"), ("name", "text")]);
    api.set(json!([
        {"id": "1", "part": 1, "name": "early"}, {"id": "1", "part": 2, "name": "other"},
        {"id": "1", "part": 1, "name": "late"}, {"id": null, "part": 1, "name": "nobody"},
        {"part": 2, "name": "nobody"}, {"id": "2", "name": "half"}
    ]));
    let vendor = api.start().await;
    let server = linked(&vendor, "id, part");
    let said = server.psql(&[SYNC]);
    let notices = String::from_utf8(said.stderr).unwrap();
    assert!(notices.contains("1 rows had the key of a later row"), "{notices}");
    assert!(notices.contains("3 rows had an empty key field"), "{notices}");
    assert_eq!(server.rows(&[LAST]), "succeeded with warnings|6|2|0|0|1|3|0");
    let rows = "1|1|late\n1|2|other";
    assert_eq!(server.rows(&["SELECT * FROM odd.thing ORDER BY id, part"]), rows);
    // The same answer gives the same table, and changes nothing.
    server.rows(&[SYNC]);
    assert_eq!(server.rows(&[LAST]), "succeeded with warnings|6|0|0|0|1|3|0");
    assert_eq!(server.rows(&["SELECT * FROM odd.thing ORDER BY id, part"]), rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_exact_or_null_and_counted() {
    let api = Api::default();
    api.set_fields(&[
        ("id", "text"),
        ("whole", "int"),
        ("money", "decimal"),
        ("ratio", "float"),
        ("day", "date"),
        ("at", "time"),
    ]);
    let body = r#"{"things": [
        {"id": "a", "whole": 9007199254740993, "money": 12345678901234567890123456789.123456789, "ratio": 0.1,
            "day": "9999-12-31", "at": "2024-02-29T23:59:59.999999+05:30"},
        {"id": "b", "whole": "9223372036854775807", "money": "-0.0", "ratio": "NaN", "day": "0001-01-01", "at": "1614110929603"},
        {"id": "c", "whole": 9223372036854775808, "money": "NaN", "ratio": "-Infinity", "day": "0000-00-00", "at": "2024-01-01T24:00:00Z"},
        {"id": "d", "whole": 7.5, "money": 1e40, "ratio": "x", "day": "2023-02-29", "at": "12024-01-01T00:00:00Z"},
        {"id": "e", "whole": "", "money": "", "ratio": null, "at": "2024-06-30T23:59:60Z"}
    ]}"#;
    api.set_bytes(body.into());
    let vendor = api.start().await;
    let server = linked(&vendor, "id");
    server.rows(&["SET timezone = 'UTC'", SYNC]);
    let rows = server.rows(&["SELECT id, whole, money, ratio, day, at FROM odd.thing ORDER BY id"]);
    let expected = [
        "a|9007199254740993|12345678901234567890123456789.123456789|0.1|9999-12-31|2024-02-29 18:29:59.999999+00",
        "b|9223372036854775807|0.000000000|NaN|0001-01-01|2021-02-23 20:08:49.603+00",
        "c|||-Infinity||",
        "d|||||",
        "e|||||",
    ];
    assert_eq!(rows.lines().collect::<Vec<_>>(), expected);
    // c: 4, d: 5 and e: 1 do not fit; nothing, null and the empty text are NULL without being counted.
    assert_eq!(server.rows(&[LAST]), "succeeded with warnings|5|5|0|0|0|0|10");
    let told = server.rows(&["SELECT warnings FROM tributary.run ORDER BY id DESC LIMIT 1"]);
    for part in ["`money`", "`NaN`", "`day`", "`0000-00-00`", "`whole`", "`9223372036854775808`"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_reach_every_client_whatever_bytes_came() {
    let api = Api::default();
    api.set_fields(&[("id", "text"), ("name", "text")]);
    let mut body = br#"{"things": [{"id": "1", "name": "a"#.to_vec();
    body.push(0xff);
    body.extend_from_slice(
        br#"b"}, {"id": "2", "name": "nul\u0000l"}, {"id": "3", "name": "\ud83dhalf"},
        {"id": "4", "name": "line\nfeed \"quoted\" \\ \u202eright to left"}, {"id": "5", "name": ""#,
    );
    body.resize(body.len() + (16 << 20) + 1, b'x');
    body.extend_from_slice(br#""}]}"#);
    api.set_bytes(body);
    let vendor = api.start().await;
    let server = linked(&vendor, "id");
    server.rows(&[SYNC]);
    let rows = server.rows(&["SELECT name FROM odd.thing WHERE id IN ('1', '2', '3') ORDER BY id"]);
    assert_eq!(rows, "a\u{fffd}b\nnul\u{fffd}l\n\u{fffd}half");
    let text = server.rows(&["SELECT name FROM odd.thing WHERE id = '4'"]);
    assert_eq!(text, "line\nfeed \"quoted\" \\ \u{202e}right to left");
    assert_eq!(server.rows(&["SELECT name IS NULL FROM odd.thing WHERE id = '5'"]), "t");
    assert_eq!(server.rows(&[LAST]), "succeeded with warnings|5|5|0|0|0|0|4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_must_wait_says_until_when() {
    let refused = Mutex::new(1);
    let vendor = Vendor::start(move |asked| match asked.path.as_str() {
        "/fields" => json!({"fields": [{"name": "id", "label": "id", "type": "text"}]}).into(),
        "/things" => match std::mem::replace(&mut *refused.lock().unwrap(), 0) {
            0 => json!({"things": [{"id": "1"}]}).into(),
            _ => Said(429, vec![("retry-after", "4".into())], Vec::new()),
        },
        _ => json!({"id": "7"}).into(),
    })
    .await;
    let server = linked(&vendor, "id");
    let client =
        server.client("psql").args(["-X", "-c", SYNC]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let cause = "SELECT status || ' ' || cause FROM tributary.run ORDER BY id DESC LIMIT 1";
    let mut seen = String::new();
    for _ in 0..40 {
        seen = server.rows(&[cause]);
        if seen.contains("waiting") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(seen.starts_with("running waiting: the source allows calls again at "), "{seen}");
    let told = String::from_utf8(client.wait_with_output().unwrap().stderr).unwrap();
    assert!(told.contains("odd.thing: waiting: the source allows calls again at "), "{told}");
    assert_eq!(server.rows(&["SELECT status, cause FROM tributary.run"]), "succeeded|");
    assert_eq!(server.rows(&["SELECT id FROM odd.thing"]), "1");
}
