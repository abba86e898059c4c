//! Whatever a record holds, pages show it as text, and no spreadsheet runs it.

use super::server;
use super::visitor::Visitor;
use crate::support;
use crate::support::postgres;
use crate::support::server::Server;

/// Each would do something where it is taken for more than a text.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'-alert(1)-'",
    "javascript:alert(1)",
    "=HYPERLINK(\"http://evil.example\",\"click\")",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1+1)",
    "\tx",
    "&lt;b&gt; &amp;",
    "{{7*7}} ${7*7} <%= 7*7 %>",
];
/// Hebrew, and a mark that turns what follows around.
const RIGHT_TO_LEFT: &str = "\u{202e}שלום עולם";

/// What must never stand in a page as it is.
const NEVER: &[&str] = &["<script>alert", "<img src=x", "onerror=alert(1)>"];

/// A server whose records, names and labels are as bad as they come.
async fn stage() -> (Server, postgres::Database) {
    let source = postgres::database().await;
    let long = "long ".repeat(2_000);
    let texts = HOSTILE.iter().copied().chain([RIGHT_TO_LEFT, long.as_str()]).enumerate();
    let rows: Vec<_> =
        texts.map(|(at, text)| format!("({at}, '{}', -{at}.5)", text.replace('\'', "''"))).collect();
    source
        .execute(&format!(
            "CREATE TABLE public.deal (id int PRIMARY KEY, name text, \"<b>x</b>\" numeric(8,2));
             COMMENT ON TABLE public.deal IS '<script>alert(1)</script>';
             COMMENT ON COLUMN public.deal.name IS '<img src=x onerror=alert(1)>';
             INSERT INTO public.deal VALUES {};",
            rows.join(", ")
        ))
        .await;
    let server = tokio::task::spawn_blocking(server).await.unwrap();
    support::link(&server, &source);
    server.rows(&[
        "CALL discover('crm')",
        "CALL add_object('crm', 'public.deal', unique_fields => 'id')",
        "CALL sync('crm', 'full')",
        "CALL create_statement('hostile', $$SELECT id, name, '<script>alert(1)</script>' AS \"<script>alert(1)</script>\" \
         FROM crm.deal$$, unique_fields => 'id', description => '<script>alert(1)</script>')",
        "CALL compute()",
        "CALL override('crm.deal', '3', 'name', '<script>alert(1)</script>', reason => '<img src=x onerror=alert(1)>')",
        "CALL freeze('2026-10', reason => '<script>alert(1)</script>')",
    ]);
    (server, source)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_record_holds_is_text() {
    let (server, _source) = stage().await;
    let admin = Visitor::admin(&server).await;
    let hostile = url::form_urlencoded::byte_serialize(HOSTILE[1].as_bytes()).collect::<String>();
    let mut paths: Vec<String> = [
        "/",
        "/runs",
        "/runs/1",
        "/releases",
        "/releases/1",
        "/releases/diff?from=1&to=latest",
        "/releases/diff?from=1&to=latest&object=crm.deal",
        "/statements",
        "/statements/hostile",
        "/statements/hostile?tab=query",
        "/statements/hostile?tab=history",
        "/statements/hostile/edit",
        "/overrides",
        "/overrides/record?object=crm.deal&key=3",
        "/explain?object=crm.deal&key=3",
        "/objects",
        "/objects/crm/deal",
        "/objects/crm/deal/preview",
        "/connections/crm",
        "/connections/crm/objects",
        "/alerts",
        "/audit",
        "/query",
    ]
    .map(String::from)
    .into();
    // What an address says comes back in many pages.
    for path in [
        "/runs?object=",
        "/query?sql=",
        "/query?as_of=",
        "/explain?key=1&object=",
        "/releases/diff?to=1&from=",
    ] {
        paths.push(format!("{path}{hostile}"));
    }
    for path in paths {
        let page = admin.get(&path).await;
        let text = page.text();
        assert!(page.status < 500 && page.status != 404, "{path}: {} {text}", page.status);
        for never in NEVER {
            assert!(!text.contains(never), "{path} has {never}");
        }
    }
    let query = admin.post("/query", &[("sql", "SELECT * FROM crm.deal ORDER BY id")]).await;
    let text = query.text();
    assert_eq!(query.status, 200, "{text}");
    assert!(query.bytes.len() < 500_000, "{} bytes", query.bytes.len());
    for never in NEVER {
        assert!(!text.contains(never), "the result has {never}");
    }
    assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && text.contains(RIGHT_TO_LEFT), "{text}");
    assert!(text.contains("dir=\"auto\""), "each text has its own direction");
    let drawn = [("sql", "SELECT name, id FROM crm.deal"), ("chart", "bar"), ("x", "0"), ("y", "1")];
    let drawn = admin.post("/query", &drawn).await.text();
    assert!(drawn.contains("<rect") && NEVER.iter().all(|never| !drawn.contains(never)), "{drawn}");
    let refused = admin.post("/query", &[("sql", HOSTILE[0])]).await;
    assert_eq!(refused.status, 422);
    assert!(NEVER.iter().all(|never| !refused.text().contains(never)), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spreadsheet_runs_what_a_record_holds() {
    let (server, _source) = stage().await;
    let admin = Visitor::admin(&server).await;
    let sql = "SELECT id, name, \"<b>x</b>\" AS \"=1+1\" FROM crm.deal ORDER BY id";
    let sql = sql.replace("\"<b>x</b>\"", &format!("\"{}\"", numeric_field(&server)));
    let file = admin.post("/query/download", &[("sql", &sql), ("format", "csv")]).await;
    assert_eq!(file.status, 200, "{}", file.text());
    assert!(file.header("content-type").starts_with("text/csv"), "{}", file.header("content-type"));
    assert!(file.header("content-disposition").starts_with("attachment; filename=\"tributary-"));
    let mut reader = csv::ReaderBuilder::new().from_reader(file.bytes.as_slice());
    let headers: Vec<_> = reader.headers().unwrap().iter().map(String::from).collect();
    assert_eq!(headers, ["id", "name", "'=1+1"]);
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), HOSTILE.len() + 2);
    for (record, text) in records.iter().zip(HOSTILE) {
        let (name, number) = (&record[1], &record[2]);
        if record[0].parse::<usize>().unwrap() == 3 {
            assert_eq!(name, HOSTILE[0], "corrected");
            continue;
        }
        match text.starts_with(['=', '+', '-', '@', '\t']) {
            true => assert_eq!(name, format!("'{text}")),
            false => assert_eq!(name, *text),
        }
        assert!(number.parse::<f64>().unwrap() <= 0.0, "numbers stay numbers: {number}");
    }
    assert_eq!(records.last().unwrap()[1].len(), 10_000, "nothing is cut");

    let parquet = admin.post("/query/download", &[("sql", &sql), ("format", "parquet")]).await;
    assert_eq!((parquet.status, &parquet.bytes[..4]), (200, b"PAR1".as_slice()));
    let bytes = bytes::Bytes::from(parquet.bytes);
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let rows: usize = reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, HOSTILE.len() + 2);

    for sql in ["CALL compute()", "SET search_path = crm", "SELECT 1; SELECT 2"] {
        let refused = admin.post("/query/download", &[("sql", sql), ("format", "csv")]).await;
        assert_eq!(refused.status, 422, "{sql}");
        assert!(refused.text().contains("only a statement that gives rows"), "{}", refused.text());
    }
    let late = [("sql", "SELECT id, 1 / (id - 12) FROM crm.deal ORDER BY id"), ("format", "csv")];
    let failed = admin.post("/query/download", &late).await;
    assert!(failed.status == 422 && failed.text().contains("division by zero"), "{}", failed.text());
}

/// What the field with the bad name is called here.
fn numeric_field(server: &Server) -> String {
    server.rows(&["SELECT name FROM tributary.field WHERE connection = 'crm' AND type LIKE 'numeric%'"])
}
