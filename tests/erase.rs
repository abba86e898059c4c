//! An erased person is in no byte that is kept, and does not come back.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::drivers::installed;
use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

const PEOPLE: &str = "CREATE TABLE person (id text PRIMARY KEY, number int, name text, salary numeric(18,2), born date,
        claim date, notes text[], updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
    INSERT INTO person SELECT 'p' || lpad(i::text, 6, '0'), i, 'Person ' || i, i * 1.25, date '1960-01-01' + i % 9000,
        date '2026-01-01', ARRAY['note ' || i] FROM generate_series(1, 20000) i";

/// The least or the largest of every column: statistics hold them.
const CANARY: &str =
    "INSERT INTO person VALUES ('zz-canary-key-7', 1987654321, 'AA Canary Name', 9876543210987.65,
    '1847-03-29', NULL, ARRAY['Canary first note'])";

/// Everything by which the person could be known, as text.
const TRACES: [&str; 8] = [
    "zz-canary-key-7",
    "1987654321",
    "AA Canary Name",
    "9876543210987.65",
    "1847-03-29",
    "Canary first note",
    "Canary second note",
    // It does not fit its type and is quoted in a warning.
    "`infinity`",
];

async fn people() -> (Database, Server) {
    let database = postgres::database().await;
    database.execute(PEOPLE).await;
    let server = Server::start();
    link(&server, &database);
    server.rows(&["CALL add_object('crm', 'public.person', unique_fields => 'id', name_field => 'name', \
               cursor_field => 'updated_at')"]);
    (database, server)
}

fn sync(server: &Server, mode: &str) -> String {
    server.rows(&[&format!("CALL sync('crm', '{mode}', object => 'person')")])
}

/// What every release answers, without the rows of `id`.
fn answers(server: &Server, without: &str) -> Vec<String> {
    let releases = server.rows(&["SELECT id FROM tributary.release ORDER BY id"]);
    let answer = |release: &str| {
        let query = "SELECT * FROM person ORDER BY id";
        let rows = server.rows(&[&format!("SET tributary.as_of = '{release}'"), query]);
        let kept: Vec<_> = rows.lines().filter(|row| !row.starts_with(&format!("{without}|"))).collect();
        kept.join("\n")
    };
    releases.lines().map(answer).collect()
}

/// Fails when a trace is left in any byte below `folder`, or in any value of a Parquet file.
fn no_trace(folder: &Path) {
    let found = hits(folder);
    assert!(found.is_empty(), "{found}");
}

fn hits(folder: &Path) -> String {
    let mut found = String::new();
    for trace in TRACES {
        let out = Command::new("grep").args(["-rlaF", "--", trace]).arg(folder).output().unwrap();
        for file in String::from_utf8_lossy(&out.stdout).lines() {
            found.push_str(&format!("{file}: {trace}\n"));
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/open_format/scan.py");
    let out =
        Command::new(installed("venv/bin/python")).arg(script).arg(folder).args(TRACES).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = String::from_utf8(out.stdout).unwrap();
    let (files, hits) = said.split_once('\n').unwrap();
    assert_ne!(files, "0 files");
    found + hits
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_in_no_byte_and_does_not_come_back() {
    let (database, server) = people().await;
    database.execute(CANARY).await;
    sync(&server, "full");
    // In a diff file of its own, deleted by a vector in the first one; and in one with others.
    for (round, change) in [
        "UPDATE person SET notes = ARRAY['Canary second note'], updated_at = clock_timestamp() WHERE number > 1000000",
        "UPDATE person SET claim = 'infinity', updated_at = clock_timestamp()
         WHERE number > 1000000 OR number % 5000 = 0",
        "UPDATE person SET name = name || '!', updated_at = clock_timestamp() WHERE number % 700 = 3",
    ]
    .iter()
    .enumerate()
    {
        database.execute(change).await;
        assert!(sync(&server, "diff").contains("|diff|succeeded"), "round {round}");
    }
    database.execute("DELETE FROM person WHERE number % 100 = 9").await;
    sync(&server, "full");
    // Enough versions for a checkpoint, whose statistics name the person too.
    for number in 0..8 {
        database
            .execute(&format!(
                "UPDATE person SET name = 'Again', updated_at = clock_timestamp() WHERE number = {number}1"
            ))
            .await;
        sync(&server, "diff");
    }
    server.rows(&[
        "CALL create_statement('headcount', $$SELECT count(*) AS people FROM crm.person$$)",
        "CALL compute()",
    ]);
    let before = hits(&server.data);
    for trace in TRACES {
        assert!(before.contains(trace), "`{trace}` was nowhere");
    }
    let expected = answers(&server, "zz-canary-key-7");
    let open = server.connect().await;
    open.batch_execute("BEGIN; SET tributary.as_of = '2'").await.unwrap();
    let prepared = open.prepare("SELECT count(*) FROM person").await.unwrap();
    open.query_one(&prepared, &[]).await.unwrap();

    // What a writer left that was killed in the middle of a file.
    let stored = Command::new("sh")
        .args(["-c", "f=$(ls -S snapshots/company/crm/*/base/*.parquet | head -1) && cp $f $f#17"])
        .current_dir(&server.data)
        .status();
    assert!(stored.unwrap().success());

    let done = server.psql(&[
        "CALL erase('crm', 'person', key => 'zz-canary-key-7', reason => 'asked on 2026-11-25', wait_secs => 2)",
    ]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("kept results of statements may show what the record said: headcount"), "{said}");
    let done = String::from_utf8(done.stdout).unwrap();
    let parts: Vec<_> = done.split('|').collect();
    // In the first file and in two of diffs at least; a compaction may have made more.
    assert!(parts[0] == "crm.person" && parts[1].parse::<u32>().unwrap() >= 3, "{done}");
    no_trace(&server.data);
    let mut now = answers(&server, "nobody");
    assert_eq!(now.len(), expected.len() + 1, "the erasure published a release");
    assert_eq!(now.last(), expected.last());
    now.pop();
    assert_eq!(now, expected);
    let counted = server.rows(&[
        "SELECT release, rows FROM tributary.release_object WHERE release IN (1, 5) ORDER BY release",
    ]);
    assert_eq!(counted, "1|20000\n5|19800");
    let erasures =
        server.rows(&["SELECT object, actor, reason, done, stored_rows >= 3 FROM tributary.erasure"]);
    assert_eq!(erasures, "crm.person|admin|asked on 2026-11-25|t|t");
    let audited = server.rows(&["SELECT arguments, outcome FROM tributary.audit WHERE verb = 'erase'"]);
    assert!(audited.contains("asked on") && audited.ends_with("|done"), "{audited}");

    database.execute("UPDATE person SET updated_at = clock_timestamp() WHERE number > 1000000").await;
    for mode in ["diff", "full", "diff"] {
        sync(&server, mode);
        let left_out = server.rows(&["SELECT erased FROM tributary.run ORDER BY id DESC LIMIT 1"]);
        assert!(["1", "0"].contains(&left_out.as_str()), "{left_out}");
        assert_eq!(server.rows(&["SELECT count(*) FROM person WHERE id LIKE 'zz%'"]), "0");
    }
    let left_out = server.rows(&["SELECT sum(erased) > 1 FROM tributary.run"]);
    assert_eq!(left_out, "t");
    no_trace(&server.data);
    let data = server.data.clone();
    let again = server.stop().1.start();
    no_trace(&data);
    assert_eq!(again.rows(&["SET tributary.as_of = '1'", "SELECT count(*) FROM person"]), "SET\n20000");
    // What is there still merges well with what comes.
    database
        .execute("UPDATE person SET salary = 1, updated_at = clock_timestamp() WHERE number <= 20000")
        .await;
    sync(&again, "diff");
    assert_eq!(
        again.rows(&["SELECT count(*), count(DISTINCT id), sum(salary) FROM person"]),
        "19800|19800|19800.00"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_an_erasure_ends_right() {
    let (database, mut server) = people().await;
    sync(&server, "full");
    for round in 0..3 {
        database
            .execute(&format!(
                "UPDATE person SET salary = {round}, updated_at = clock_timestamp() WHERE number % 50 = 1"
            ))
            .await;
        sync(&server, "diff");
    }
    let mut under_way = 0;
    for round in 0..8u64 {
        let number = round * 50 + 1;
        let id = format!("p{number:06}");
        let expected = answers(&server, &id);
        let call = format!("CALL erase('crm', 'person', key => '{id}', reason => 'test')");
        let mut caller = server.client("psql").args(["-c", &call]).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(100 + round * 60)).await;
        let builder = server.kill();
        caller.wait().unwrap();
        server = builder.start();
        let begun = server.rows(&["SELECT count(*) FROM tributary.erasure"]);
        if begun == format!("{}", round + 1) {
            under_way += 1;
        } else {
            server.rows(&[&call]);
        }
        assert_eq!(server.rows(&["SELECT count(*) FROM tributary.erasure WHERE NOT done"]), "0");
        let now = answers(&server, "nobody");
        assert_eq!(now[..expected.len()], expected, "round {round}");
        let left =
            Command::new("grep").args(["-rlaF", &format!("Person {number}\"")]).arg(&server.data).output();
        assert!(left.unwrap().stdout.is_empty());
    }
    assert!(under_way > 0, "no kill came after the beginning");
    sync(&server, "diff");
    sync(&server, "full");
    assert_eq!(server.rows(&["SELECT count(*), count(DISTINCT id) FROM person"]), "19992|19992");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_fields_and_dropped_objects_are_erased_too() {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE quota (owner int, period text, target numeric(10,2), PRIMARY KEY (owner, period));
             INSERT INTO quota SELECT i, '2026-Q' || q, i FROM generate_series(1, 50) i, generate_series(1, 4) q",
        )
        .await;
    let server = Server::start();
    link(&server, &database);
    server.rows(&["CALL add_object('crm', 'public.quota')", "CALL sync('crm', 'full')"]);
    for (key, words) in [
        ("7,2026-Q1", "owner, period"),
        ("{\"owner\": \"canary\", \"period\": \"2026-Q1\"}", "does not fit unique field `owner`"),
    ] {
        let error = server.error(&format!("CALL erase('crm', 'quota', key => '{key}', reason => 'test')"));
        assert!(error.contains("22023") && error.contains(words), "{error}");
    }
    assert!(
        server
            .error("CALL erase('crm', 'quota', key => '[7, \"2026-Q1\"]', reason => ' ')")
            .contains("reason")
    );
    server.rows(&["CALL rename_field('crm', 'quota', 'owner', 'who')"]);
    let erase =
        "CALL erase('crm', 'quota', key => '{\"who\": 7, \"period\": \"2026-Q1\"}', reason => 'test')";
    assert!(server.rows(&[erase]).starts_with("crm.quota|1|1|"));
    assert_eq!(
        server.rows(&["SET tributary.as_of = '1'", "SELECT count(*) FROM quota WHERE owner = 7"]),
        "SET\n3"
    );

    // A key of wider type is the same key.
    database.execute("ALTER TABLE quota ALTER owner TYPE bigint").await;
    server.rows(&["CALL sync('crm', 'full')"]);
    assert_eq!(server.rows(&["SELECT count(*) FROM quota"]), "199");
    let nobody = server.psql(&["CALL erase('crm', 'quota', key => '[999, \"2026-Q1\"]', reason => 'test')"]);
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no stored row has that key"));

    server.rows(&["CALL drop_object('crm', 'quota')"]);
    let erase = "CALL erase('crm', 'quota', key => '[8, \"2026-Q1\"]', reason => 'test')";
    assert!(server.rows(&[erase]).starts_with("crm.quota|2|"), "in the first and in the last full read");
    assert_eq!(
        server.rows(&["SET tributary.as_of = '1'", "SELECT count(*) FROM quota WHERE owner = 8"]),
        "SET\n3"
    );
}
