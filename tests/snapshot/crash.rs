//! What is left after a writer that did not finish, came second, or lost its lease.

use super::*;
use tributary::error::Kind;

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_given_up_at_any_point_changes_nothing() {
    let store = Store::new();
    let table = store.table();
    let (first, _) = replace(&table, 1, &[numbered((0..100).map(|i| (i, i)))]).await;

    let mut writer = table.replace(&deal()).await.unwrap();
    writer.write(0, numbered([(1, 2)])).await.unwrap();
    drop(writer);
    let mut writer = table.upsert(&deal()).await.unwrap();
    writer.write(0, numbered([(1, 2)])).await.unwrap();
    drop(writer.prepare().await.unwrap());
    let mut writer = table.upsert(&deal()).await.unwrap();
    writer.write(0, numbered([(200, 2)])).await.unwrap();
    writer.delete(numbered_keys(&[5])).await.unwrap();
    let runs = store.files("runs").len();
    writer.prepare().await.unwrap().discard().await.unwrap();
    assert_eq!(store.files("runs").len(), runs, "a discarded write removes its files");

    let other = store.reopened().table("1", "deal").latest().await.unwrap().unwrap();
    assert_eq!((other.version(), other.rows()), (first.version(), 100));
    let (next, _) = upsert(&table, 2, numbered([(0, -1)]), &[99]).await;
    assert_eq!((next.version(), next.rows()), (1, 99));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_the_second_is_worked_out_again() {
    let store = Store::new();
    let (mine, theirs) = (store.table(), store.reopened().table("1", "deal"));
    replace(&mine, 1, &[numbered((0..10).map(|i| (i, i)))]).await;
    let start = async |table: &Table, rows: RecordBatch, deleted: &[i64]| {
        let mut writer = table.upsert(&deal()).await.unwrap();
        writer.write(0, rows).await.unwrap();
        writer.delete(numbered_keys(deleted)).await.unwrap();
        writer.prepare().await.unwrap()
    };
    let first = start(&mine, numbered([(1, 100), (20, 20)]), &[2]).await;
    let second = start(&theirs, numbered([(1, 200), (20, 21), (30, 30)]), &[2, 3]).await;
    assert_eq!((second.counts().inserted, second.counts().deleted), (2, 2));
    first.commit(commit(2)).await.unwrap();
    let last = second.commit(commit(3)).await.unwrap();
    let mut expected = model((4..10).map(|i| (i, i)));
    expected.extend(model([(0, 0), (1, 200), (20, 21), (30, 30)]));
    assert_eq!((last.version(), content(&store, &last).await), (2, expected));

    // A replacement removes what came in between, and a merge lands on top of a replacement.
    let mut writer = mine.replace(&deal()).await.unwrap();
    writer.write(0, numbered([(7, 7)])).await.unwrap();
    let full = writer.prepare().await.unwrap();
    let merge = start(&theirs, numbered([(7, 8), (40, 40)]), &[1]).await;
    upsert(&theirs, 4, numbered([(50, 50)]), &[]).await;
    full.commit(commit(5)).await.unwrap();
    let last = merge.commit(commit(6)).await.unwrap();
    assert_eq!(content(&store, &last).await, model([(7, 8), (40, 40)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_lose_no_rows() {
    let store = Store::new();
    replace(&store.table(), 1, &[numbered([])]).await;
    let mut writers = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let table = store.reopened().table("1", "deal");
        writers.spawn(async move {
            for round in 0..8 {
                let id = worker * 100 + round;
                // Every worker also fights for one row.
                let mut writer = table.upsert(&deal()).await.unwrap();
                writer.write(0, numbered([(id, id), (9999, id)])).await.unwrap();
                let same_fence = Commit { fence: 1, ..commit(id) };
                writer.prepare().await.unwrap().commit(same_fence).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let last = store.table().latest().await.unwrap().unwrap();
    assert_eq!((last.version(), last.rows()), (32, 33));
    assert_eq!(content(&store, &last).await.len(), 33);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_fence_is_refused() {
    let store = Store::new();
    let table = store.table();
    replace(&table, 7, &[numbered([(1, 1)])]).await;
    for upserts in [true, false] {
        let mut writer = match upserts {
            true => table.upsert(&deal()).await.unwrap(),
            false => table.replace(&deal()).await.unwrap(),
        };
        writer.write(0, numbered([(1, 2)])).await.unwrap();
        let refused = writer.prepare().await.unwrap().commit(commit(6)).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Conflict, "{refused:?}");
        assert!(refused.detail().unwrap().contains("fence 6 is older than 7"), "{refused:?}");
    }
    let last = table.latest().await.unwrap().unwrap();
    assert_eq!((last.version(), content(&store, &last).await), (0, model([(1, 1)])));
    assert_eq!(store.files("base").len(), 1, "the refused files are gone");
    assert!(store.files("runs").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_vacuum_took_from_a_writer_that_stood_still_is_not_committed() {
    let store = Store::new();
    let table = store.table();
    replace(&table, 1, &[numbered([(1, 1)])]).await;
    for upserts in [true, false] {
        let mut writer = match upserts {
            true => table.upsert(&deal()).await.unwrap(),
            false => table.replace(&deal()).await.unwrap(),
        };
        writer.write(0, numbered([(2, 2)])).await.unwrap();
        let prepared = writer.prepare().await.unwrap();
        // Meanwhile another process cleans up, after a grace period that is over.
        let others = store.reopened().table("1", "deal");
        let keep = Keep { versions: BTreeSet::new(), newest: true, since: now_micros() };
        let mut garbage = others.garbage(&keep).await.unwrap();
        assert!(garbage.files > 0, "{garbage:?}");
        assert!(others.remove(&mut garbage).await.unwrap());
        let refused = prepared.commit(commit(5)).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Conflict, "{refused:?}");
        assert!(refused.what().contains("cleaned up before it was committed"), "{refused:?}");
        let last = store.reopened().table("1", "deal").latest().await.unwrap().unwrap();
        assert_eq!(content(&store, &last).await, model([(1, 1)]));
        assert_eq!(last.content(), 0, "the same rows as ever");
    }
    // What was looked at before others committed is looked at again.
    let mut writer = table.upsert(&deal()).await.unwrap();
    writer.write(0, numbered([(3, 3)])).await.unwrap();
    let prepared = writer.prepare().await.unwrap();
    let keep = Keep { versions: BTreeSet::new(), newest: true, since: now_micros() };
    let mut garbage = table.garbage(&keep).await.unwrap();
    prepared.commit(commit(6)).await.unwrap();
    assert!(!table.remove(&mut garbage).await.unwrap());
    let last = table.latest().await.unwrap().unwrap();
    assert_eq!(content(&store, &last).await, model([(1, 1), (3, 3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_kept_once() {
    let store = Store::new();
    let mut release =
        tributary::model::Release { id: 3, published_at: 1, cause: "sync 1".into(), objects: vec![] };
    store.warehouse.put_release(&release).await.unwrap();
    store.warehouse.put_release(&release).await.unwrap();
    let path = store.folder.path().join("acme/releases/00000000000000000003.json");
    let kept: tributary::model::Release = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(kept, release);
    release.cause = "sync 2".into();
    let refused = store.warehouse.put_release(&release).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
}
