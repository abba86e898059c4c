//! Readers while everything changes: each read sees exactly one release.
//!
//! Every sync gives every row of two objects one number. A read that sees two numbers, or other numbers of rows in
//! the two objects, has seen a mix.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tributary::model::Release;
use tributary::query::{Engine, EngineConfig, SessionUser};
use tributary::service::{Catalog, Registry};
use tributary::sync::Mode;

use super::source::Row;
use super::world::{Process, World};
use crate::support::company::run;

/// Reads of an ordinary test run; `TRIBUTARY_READS` says another number.
const READS: i64 = 3_000;
const READERS: i64 = 6;
/// Of so many reads one is a statement of a session, one a transaction of two; the others read the files that
/// the release names.
const SQL_EVERY: i64 = 200;
const OBJECTS: &[&str] = &["deal", "owner"];

#[tokio::test(flavor = "multi_thread")]
async fn every_read_sees_one_release_while_syncs_and_compactions_run() {
    let reads = std::env::var("TRIBUTARY_READS").map_or(READS, |reads| reads.parse().unwrap());
    let mut world = World::new(OBJECTS).await;
    stamp(&world, 0);
    world.resume(Mode::Full).await;
    let process = world.process();
    let engine = engine(&process);
    engine.publish(Arc::new(process.state.newest_release().await.unwrap().unwrap()));
    let left = Arc::new(AtomicI64::new(reads));
    let readers = (0..READERS).map(|_| {
        let (engine, process, left) = (engine.clone(), process.clone(), left.clone());
        tokio::spawn(async move { read_until_done(&engine, &process, &left).await })
    });
    let readers: Vec<_> = readers.collect();
    let mut syncs = 0;
    while left.load(Ordering::Relaxed) > 0 && readers.iter().all(|reader| !reader.is_finished()) {
        syncs += 1;
        stamp(&world, syncs);
        let mode = if syncs % 5 == 0 { Mode::Full } else { Mode::Diff };
        let outcome = world.sync(OBJECTS, mode, false).await.unwrap();
        engine.publish(Arc::new(outcome.release.unwrap()));
        if syncs % 3 == 0 {
            process.compact(OBJECTS[syncs as usize % 2]).await.unwrap();
        }
    }
    let mut seen = BTreeSet::new();
    for reader in readers {
        seen.extend(reader.await.unwrap());
    }
    println!("{reads} reads saw {} of {syncs} releases", seen.len());
    assert!(seen.len() > 1, "nothing changed while the readers read");
}

fn engine(process: &Process) -> Arc<Engine> {
    let catalog = Catalog::new(process.app.clone());
    let config = EngineConfig::new("acme", std::env::temp_dir().join("tributary-test-spill"));
    Engine::new(config, catalog.clone(), catalog, Registry::new(process.app.clone())).unwrap()
}

/// Gives every row of the source the number; every fifth time there are other rows.
fn stamp(world: &World, number: i64) {
    let mut remote = world.remote.lock().unwrap();
    remote.clock += 1;
    let at = remote.clock;
    let rows = 20 + number / 5 % 7;
    for object in remote.objects.values_mut() {
        let row = Row { at, name: Some(number), amount: Some(number), extra: None };
        object.rows = (0..rows).map(|id| (id, row.clone())).collect();
    }
}

/// Reads until all reads are done; returns the numbers seen.
async fn read_until_done(engine: &Arc<Engine>, process: &Process, left: &AtomicI64) -> BTreeSet<i64> {
    let session = engine.session(SessionUser { name: "root".into(), is_admin: true, session_id: 1 });
    let mut seen = BTreeSet::new();
    loop {
        let turn = left.fetch_sub(1, Ordering::Relaxed);
        if turn <= 0 {
            return seen;
        }
        let number = match turn % SQL_EVERY {
            0 => statement(&session).await,
            1 => transaction(&session).await,
            _ => files(process, &engine.newest()).await,
        };
        assert!(
            seen.last().is_none_or(|last| *last <= number),
            "the past came back: {number} after {seen:?}"
        );
        seen.insert(number);
    }
}

/// One statement over both objects.
async fn statement(session: &tributary::query::Session) -> i64 {
    let sql = "SELECT count(*), min(amount), max(amount), 1 AS t FROM deal UNION ALL
               SELECT count(*), min(amount), max(amount), 2 FROM owner";
    let answer = run(session, sql).await.unwrap();
    let rows: Vec<_> = answer.rows.iter().map(|row| &row[..3]).collect();
    assert!(rows.len() == 2 && rows[0] == rows[1], "a statement saw a mix: {rows:?}");
    assert_eq!(rows[0][1], rows[0][2], "a statement saw two releases of one object");
    rows[0][1].as_ref().unwrap().parse().unwrap()
}

/// A transaction of two statements with time between them.
async fn transaction(session: &tributary::query::Session) -> i64 {
    let mut answers = Vec::new();
    run(session, "BEGIN").await.unwrap();
    for object in OBJECTS {
        let sql = format!("SELECT count(*), min(amount), max(amount) FROM {object}");
        answers.push(run(session, &sql).await.unwrap().rows);
        tokio::task::yield_now().await;
    }
    run(session, "COMMIT").await.unwrap();
    assert_eq!(answers[0], answers[1], "a transaction saw two releases");
    answers[0][0][1].as_ref().unwrap().parse().unwrap()
}

/// The files of one release, as a scan reads them.
async fn files(process: &Process, release: &Release) -> i64 {
    let mut numbers = BTreeSet::new();
    let mut counts = BTreeSet::new();
    assert_eq!(release.objects.len(), OBJECTS.len());
    for published in &release.objects {
        let rows = process.rows(published).await;
        counts.insert(rows.len());
        assert_eq!(rows.len() as i64, published.rows);
        numbers.extend(rows.into_iter().map(|row| row[3].clone()));
    }
    assert!(numbers.len() == 1 && counts.len() == 1, "release {}: {numbers:?} {counts:?}", release.id);
    numbers.pop_first().flatten().unwrap().parse().unwrap()
}
