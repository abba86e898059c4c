//! Object stores: whole syncs against real servers, with what goes wrong on the way to them.

use std::time::{Duration, Instant};

use crate::support::buckets::{Bucket, Kind};
use crate::support::link;
use crate::support::postgres::{self, Database};
use crate::support::proxy::{Fault, Seen};
use crate::support::server::Server;

mod google;
mod nodes;

/// Deals with changes to come.
async fn source() -> Database {
    let database = postgres::database().await;
    database
        .execute(
            "CREATE TABLE deal (id int PRIMARY KEY, amount numeric(18,2),
                 updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
             INSERT INTO deal SELECT i, i * 1.25 FROM generate_series(1, 2000) i;
             CREATE INDEX ON deal (updated_at); ANALYZE",
        )
        .await;
    database
}

fn adopt(server: &Server, database: &Database) {
    link(server, database);
    server.rows(&["CALL add_object('crm', 'public.deal', cursor_field => 'updated_at')"]);
}

async fn change(database: &Database) {
    database
        .execute(
            "UPDATE deal SET amount = amount + 1, updated_at = clock_timestamp() WHERE id % 70 = 0;
             INSERT INTO deal SELECT max(id) + 1, 5 FROM deal",
        )
        .await;
}

async fn truth(database: &Database) -> String {
    let row = database
        .connect()
        .await
        .query_one("SELECT count(*) || '|' || sum(amount) || '|' || count(DISTINCT id) FROM deal", &[])
        .await
        .unwrap();
    row.get(0)
}

fn seen(server: &Server) -> String {
    server.rows(&["SELECT count(*), sum(amount), count(DISTINCT id) FROM deal"])
}

/// Full, diff, restart, diff, read, and the past.
async fn whole_flow(bucket: &Bucket) {
    let database = source().await;
    let server = bucket.used_by(Server::builder()).start();
    adopt(&server, &database);
    let synced = server.rows(&["CALL sync('crm','full')"]);
    assert!(synced.contains("crm.deal|full|succeeded|2000|2000|"), "{synced}");
    let first = truth(&database).await;
    assert_eq!(seen(&server), first);
    // Enough versions for a checkpoint.
    for _ in 0..11 {
        change(&database).await;
        let synced = server.rows(&["CALL sync('crm','diff')"]);
        assert!(synced.contains("crm.deal|diff|succeeded|"), "{synced}");
    }
    assert_eq!(seen(&server), truth(&database).await);
    let server = server.kill().start();
    assert_eq!(seen(&server), truth(&database).await);
    change(&database).await;
    server.rows(&["CALL sync('crm','diff')"]);
    assert_eq!(seen(&server), truth(&database).await);
    server.rows(&["CALL sync('crm','full')"]);
    assert_eq!(seen(&server), truth(&database).await);
    let then = server
        .rows(&["SET tributary.as_of = '1'", "SELECT count(*), sum(amount), count(DISTINCT id) FROM deal"]);
    assert_eq!(then, format!("SET\n{first}"));
    // An erasure writes stored files and log entries anew, and keeps the record out of the next sync.
    let erased = server.rows(&["CALL erase('crm', 'deal', key => '1999', reason => 'test', wait_secs => 1)"]);
    assert!(erased.starts_with("crm.deal|"), "{erased}");
    database.execute("UPDATE deal SET updated_at = clock_timestamp() WHERE id = 1999").await;
    server.rows(&["CALL sync('crm','diff')"]);
    for release in ["1", "5", ""] {
        let as_of = format!("SET tributary.as_of = '{release}'");
        let found = server.rows(&[&as_of, "SELECT count(*) FROM deal WHERE id IN (1998, 1999)"]);
        assert_eq!(found, "SET\n1", "as of `{release}`");
    }
    assert!(!server.said().contains("storage cannot be used"), "{}", server.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_holds_a_warehouse() {
    whole_flow(&Bucket::new(Kind::S3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_holds_a_warehouse() {
    whole_flow(&Bucket::new(Kind::Azure)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_holds_a_warehouse() {
    whole_flow(&Bucket::new(Kind::Google)).await;
}

/// Every so many requests something else goes wrong.
fn troubled(every: usize) -> impl FnMut(&Seen) -> Option<Fault> + Send + 'static {
    let faults = [
        Fault::SlowDown,
        Fault::LostAnswer,
        Fault::Broken,
        Fault::Delay(Duration::from_millis(300)),
        Fault::Cut,
        Fault::TooMany,
    ];
    let mut count = 0;
    move |_| {
        count += 1;
        (count % every == 0).then(|| faults[count / every % faults.len()])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_hiccups_costs_time_and_nothing_else() {
    for kind in [Kind::S3, Kind::Azure, Kind::Google] {
        let bucket = Bucket::new(kind);
        bucket.proxy.rule(troubled(4));
        whole_flow(&bucket).await;
        assert!(bucket.proxy.injected() > 30, "{} of {}", bucket.proxy.injected(), bucket.proxy.requests());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_one_commit() {
    for kind in [Kind::S3, Kind::Google] {
        lose_commits(&Bucket::new(kind)).await;
    }
}

async fn lose_commits(bucket: &Bucket) {
    let database = source().await;
    let server = bucket.used_by(Server::builder()).start();
    adopt(&server, &database);
    server.rows(&["CALL sync('crm','full')"]);
    // What is lost twice in a row, what comes back as 503 although it was done, what is never done.
    for faults in [
        vec![Fault::LostAnswer],
        vec![Fault::LostAnswer, Fault::LostAnswer],
        vec![Fault::Cut, Fault::LostAnswer],
        vec![Fault::SlowDown, Fault::SlowDown, Fault::LostAnswer, Fault::Broken],
    ] {
        change(&database).await;
        let before: i64 = version(&server);
        let mut left = faults.clone().into_iter();
        bucket.proxy.rule(move |seen| seen.is_commit().then(|| left.next()).flatten());
        let synced = server.rows(&["CALL sync('crm','diff')"]);
        bucket.proxy.heal();
        assert!(synced.contains("|diff|succeeded|"), "{faults:?}: {synced}");
        assert_eq!((version(&server), seen(&server)), (before + 1, truth(&database).await), "{faults:?}");
    }
}

fn version(server: &Server) -> i64 {
    server
        .rows(&["SELECT version FROM tributary.release_object ORDER BY release DESC LIMIT 1"])
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_write_or_expires_fails_the_run_by_name() {
    for (kind, fault, words) in [
        (Kind::S3, Fault::Denied, "has no right to"),
        (Kind::S3, Fault::Expired, "has expired"),
        (Kind::Google, Fault::Denied, "has no right to"),
        (Kind::Google, Fault::LoggedOut, "is not let in to"),
    ] {
        let bucket = Bucket::new(kind);
        let database = source().await;
        let server = bucket.used_by(Server::builder()).start();
        adopt(&server, &database);
        server.rows(&["CALL sync('crm','full')"]);
        let before = truth(&database).await;
        // At each of the first writes of a sync, the last of which is the commit.
        for nth in 0..3 {
            change(&database).await;
            let mut writes = 0;
            bucket.proxy.rule(move |seen| {
                writes += usize::from(seen.method == "PUT");
                (seen.method == "PUT" && writes > nth).then_some(fault)
            });
            let error = server.error("CALL sync('crm','diff')");
            for part in ["42501", words, &bucket.name, "operator", "nothing that was committed is lost"] {
                assert!(error.contains(part), "`{part}` is missing from: {error}");
            }
            assert_eq!(seen(&server), before, "reading goes on");
            bucket.proxy.heal();
        }
        let synced = server.rows(&["CALL sync('crm','diff')"]);
        assert!(synced.contains("|diff|succeeded|"), "{synced}");
        assert_eq!(seen(&server), truth(&database).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_missing_or_read_only_is_told_at_start() {
    for (kind, url) in [(Kind::S3, "s3://no-such-bucket/x"), (Kind::Google, "gs://no-such-bucket/x")] {
        let bucket = Bucket::new(kind);
        let missing = bucket.login(Server::builder()).args(&["--storage", url]).start();
        until(|| missing.said().contains(&format!("the bucket of the storage `{url}` does not exist")));
        assert_eq!(missing.rows(&["SELECT 1"]), "1");
        bucket.proxy.rule(|seen| (seen.method == "PUT").then_some(Fault::Denied));
        let read_only = bucket.used_by(Server::builder()).start();
        until(|| {
            let said = read_only.said();
            said.contains("storage cannot be used") && said.contains("has no right to")
        });
    }
    let error = Server::builder().args(&["--storage", "ftp://x/y"]).try_start().err().unwrap().said;
    assert!(error.contains("ftp://x/y") && error.contains("s3://bucket/prefix"), "{error}");
}

/// Waits for something that must come.
fn until(mut has_come: impl FnMut() -> bool) {
    let started = Instant::now();
    while !has_come() {
        assert!(started.elapsed() < Duration::from_secs(60), "it did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}
