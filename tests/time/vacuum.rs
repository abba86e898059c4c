//! Clean-up: what it removes, what it leaves, and whom it never disturbs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use futures::StreamExt;

use super::{change, last, served};
use crate::support::server::Server;

const EVERYTHING: &[&str] = &["CALL set_retention(0)", "CALL vacuum(grace_hours => 0)"];

/// The folder of the only object there is.
fn folder(server: &Server) -> PathBuf {
    let connection = server.data.join("snapshots/company/crm");
    std::fs::read_dir(connection).unwrap().next().unwrap().unwrap().path()
}

/// Data and vector files on disk.
fn stored(table: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for kind in ["base", "runs", "dv"] {
        for entry in std::fs::read_dir(table.join(kind)).into_iter().flatten() {
            found.insert(format!("{kind}/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
    }
    found
}

/// The files that versions have, by replaying the log as the protocol says.
fn of_versions(table: &Path, versions: &[i64]) -> BTreeSet<String> {
    let log = |version: i64| std::fs::read_to_string(table.join(format!("_delta_log/{version:020}.json")));
    let newest = (0..).find(|version| log(*version).is_err()).unwrap() - 1;
    let mut wanted: BTreeSet<i64> = versions.iter().copied().chain([newest]).collect();
    for version in 1..=newest {
        // A compaction holds the rows of the version before it.
        if wanted.contains(&(version - 1)) && log(version).unwrap().contains(r#""dataChange":false"#) {
            wanted.insert(version);
        }
    }
    let mut files = BTreeSet::new();
    for version in &wanted {
        let mut active: BTreeMap<String, Option<String>> = BTreeMap::new();
        for number in 0..=*version {
            let text = log(number).unwrap();
            let lines: Vec<serde_json::Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            for line in lines.iter().filter(|line| line["remove"].is_object()) {
                active.remove(line["remove"]["path"].as_str().unwrap());
            }
            for line in lines.iter().filter(|line| line["add"].is_object()) {
                let vector = line["add"]["deletionVector"]["pathOrInlineDv"].as_str().map(str::to_string);
                active.insert(line["add"]["path"].as_str().unwrap().into(), vector);
            }
        }
        for (path, vector) in active {
            files.insert(path);
            files
                .extend(vector.map(|id| format!("dv/deletion_vector_{}.bin", uuid_of(&id[id.len() - 20..]))));
        }
    }
    files
}

/// A UUID in the base-85 form of the protocol.
fn uuid_of(text: &str) -> uuid::Uuid {
    const DIGITS: &str =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let value =
        |five: &[u8]| five.iter().fold(0u64, |v, c| v * 85 + DIGITS.find(char::from(*c)).unwrap() as u64);
    let bytes: Vec<u8> =
        text.as_bytes().chunks(5).flat_map(|five| (value(five) as u32).to_be_bytes()).collect();
    uuid::Uuid::from_slice(&bytes).unwrap()
}

fn versions(server: &Server) -> Vec<i64> {
    let rows = server.rows(&["SELECT version FROM tributary.release_object o JOIN tributary.release r \
                                  ON r.id = o.release WHERE r.removed_at IS NULL ORDER BY 1"]);
    rows.lines().map(|line| line.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_what_no_kept_release_needs_is_removed() {
    let (database, server) = served(5_000).await;
    let table = folder(&server);
    let touch = "UPDATE deal SET amount = amount + 1, updated_at = clock_timestamp() WHERE id % 7 = 0";
    for mode in ["diff", "diff", "full", "diff", "diff"] {
        change(&database, &server, touch, mode).await;
    }
    let sums: Vec<String> = (1..=6)
        .map(|id| {
            last(&server, &[&format!("SET tributary.as_of = {id}"), "SELECT sum(amount) FROM crm.deal"])
        })
        .collect();
    server.rows(&["CALL freeze('q1', as_of => '2')"]);
    let orphan = table.join("base/part-of-a-crashed-writer.parquet");
    std::fs::write(&orphan, "half a file").unwrap();
    let before = stored(&table);

    // By default nothing is old enough.
    let swept = server.rows(&["CALL vacuum()"]);
    assert!(swept.starts_with("crm.deal|kept|0|0|"), "{swept}");
    assert_eq!(stored(&table), before);

    server.rows(&["CALL set_retention(0)"]);
    let planned = server.rows(&["CALL vacuum(dry_run => true, grace_hours => 0)"]);
    assert_eq!(stored(&table), before, "a dry run removes nothing");
    assert_eq!(versions(&server).len(), 6);
    let swept = server.rows(&["CALL vacuum(grace_hours => 0)"]);
    assert_eq!(swept, planned, "a dry run tells what will happen");
    assert_eq!(
        server.rows(&["SELECT id, removed_at IS NULL FROM tributary.release ORDER BY id"]),
        "1|f\n2|t\n3|f\n4|f\n5|f\n6|t"
    );
    assert_eq!(stored(&table), of_versions(&table, &versions(&server)));
    assert!(!orphan.exists());
    let mirrors = std::fs::read_dir(server.data.join("snapshots/company/releases")).unwrap().count();
    assert_eq!(mirrors, 2);

    let check = |server: &Server| {
        for id in [2, 6] {
            let sum =
                last(server, &[&format!("SET tributary.as_of = {id}"), "SELECT sum(amount) FROM crm.deal"]);
            assert_eq!(sum, sums[id - 1], "release {id}");
        }
        let error = server.error("SET tributary.as_of = '4'");
        for part in [
            "22023",
            "release 4 of",
            "is no longer kept: it was removed at",
            "the nearest that is kept is release",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(server.error("SET tributary.as_of = 'sync 5'").contains("is no longer kept"));
    };
    check(&server);
    let server = server.kill().start();
    check(&server);
    assert!(server.error("CALL freeze('late', as_of => '3')").contains("is no longer kept"));
    change(&database, &server, touch, "diff").await;

    // Nothing protects release 2 any more, and 7 has replaced 6.
    server.rows(&["CALL unfreeze('q1')", "CALL vacuum(grace_hours => 0)"]);
    assert_eq!(versions(&server).len(), 1);
    assert_eq!(stored(&table), of_versions(&table, &versions(&server)));
    let ours = server.rows(&["SELECT count(*), sum(amount) FROM crm.deal"]);
    let theirs =
        database.connect().await.query_one("SELECT count(*) || '|' || sum(amount) FROM deal", &[]).await;
    assert_eq!(ours, theirs.unwrap().get::<_, String>(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_is_not_disturbed() {
    const ROWS: u32 = 200_000;
    let (database, server) = served(ROWS).await;
    // A transaction that has begun to read, and a reader outside of one that takes its time.
    let mut client = server.connect().await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT id, name, stage, amount::text FROM crm.deal", &[]).await.unwrap();
    assert_eq!(transaction.query_portal(&portal, 10).await.unwrap().len(), 10);
    let slow = server.connect().await;
    let mut copied = Box::pin(slow.copy_out("COPY (SELECT * FROM crm.deal) TO STDOUT").await.unwrap());
    let mut lines = bytes_of(copied.next().await);

    change(&database, &server, "UPDATE deal SET stage = 'Won', updated_at = clock_timestamp()", "full").await;
    server.rows(EVERYTHING);
    let status = "SELECT id, removed_at IS NULL FROM tributary.release ORDER BY id";
    assert_eq!(server.rows(&[status]), "1|t\n2|t", "release 1 is being read");
    assert_eq!(last(&server, &["SELECT count(*) FROM crm.deal WHERE stage = 'Won'"]), ROWS.to_string());

    let rest = transaction.query_portal(&portal, 0).await.unwrap();
    assert_eq!(rest.len() as u32, ROWS - 10);
    assert!(rest.iter().all(|row| row.get::<_, String>(2) == "Open"));
    let again =
        transaction.query_one("SELECT count(*) FROM crm.deal WHERE stage = 'Open'", &[]).await.unwrap();
    assert_eq!(again.get::<_, i64>(0), i64::from(ROWS));
    transaction.commit().await.unwrap();
    server.rows(EVERYTHING);
    assert_eq!(server.rows(&[status]), "1|t\n2|t", "the slow reader is still there");
    while let Some(more) = copied.next().await {
        lines += bytes_of(Some(more));
    }
    assert_eq!(lines as u32, ROWS);
    drop(copied);

    server.rows(EVERYTHING);
    assert_eq!(server.rows(&[status]), "1|f\n2|t");
    let table = folder(&server);
    assert_eq!(stored(&table), of_versions(&table, &versions(&server)));
}

fn bytes_of(chunk: Option<Result<bytes::Bytes, tokio_postgres::Error>>) -> usize {
    chunk.unwrap().unwrap().iter().filter(|byte| **byte == b'\n').count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_object_goes_with_the_last_release_that_has_it() {
    let (database, server) = served(100).await;
    database.execute("CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1)").await;
    let table = folder(&server);
    server.rows(&["CALL freeze('end', as_of => '1')", "CALL drop_object('crm', 'deal')"]);
    let swept = server.rows(&["CALL set_retention(0)", "CALL vacuum(grace_hours => 0)"]);
    assert!(swept.contains("crm.deal|dropped|0|0|"), "{swept}");
    assert_eq!(
        last(&server, &["SET tributary.as_of = 'period end'", "SELECT count(*) FROM crm.deal"]),
        "100"
    );

    server.rows(&["CALL unfreeze('end')"]);
    let young = server.rows(&["CALL vacuum()"]);
    assert!(young.contains("crm.deal|dropped|0|0|"), "{young}");
    let stranger = table.parent().unwrap().join("of-another-state/base");
    std::fs::create_dir_all(&stranger).unwrap();
    std::fs::write(stranger.join("part-1.parquet"), "x").unwrap();
    let swept = server.rows(&["CALL vacuum(grace_hours => 0)"]);
    assert!(swept.contains("crm.deal|dropped|2|") && swept.contains("|unknown|0|0|"), "{swept}");
    assert!(stored(&table).is_empty() && !table.join("_delta_log/00000000000000000000.json").exists());
    assert!(
        stranger.join("part-1.parquet").exists(),
        "a folder that this state does not know is not its to remove"
    );
    assert!(!server.rows(&["CALL vacuum(grace_hours => 0)"]).contains("crm.deal"));
}

#[test]
fn syncs_and_vacuums_at_the_same_time() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (database, server) = runtime.block_on(served(20_000));
    server.rows(&["CALL set_retention(0)"]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                server.rows(&["CALL vacuum(grace_hours => 0)"]);
            }
        });
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // Every release has all rows, and all of them from one update.
                let seen = server.rows(&["SELECT count(*), count(DISTINCT stage) FROM crm.deal"]);
                assert_eq!(seen, "20000|1");
            }
        });
        for round in 0..8 {
            let update = format!("UPDATE deal SET stage = 'Round {round}', updated_at = clock_timestamp()");
            runtime.block_on(database.execute(&update));
            let mode = if round % 2 == 0 { "full" } else { "diff" };
            server.rows(&[&format!("CALL sync('crm', '{mode}')")]);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    server.rows(EVERYTHING);
    let table = folder(&server);
    assert_eq!(stored(&table), of_versions(&table, &versions(&server)));
    assert_eq!(
        server.rows(&["SELECT count(*), min(stage), max(stage) FROM crm.deal"]),
        "20000|Round 7|Round 7"
    );
}
