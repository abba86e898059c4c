//! Flipped bits and cut files: the right answer or an error that names the file, never a wrong answer.

use std::path::Path;

use datafusion::error::DataFusionError;
use tributary::error::Error;

use super::*;

/// What reading everything at two moments gives, as it is or as the words of the error.
async fn read(folder: &Path) -> Result<Vec<BTreeMap<String, i64>>, String> {
    let warehouse = Warehouse::open(folder.to_str().unwrap(), "acme").unwrap();
    let table = warehouse.table("1", "deal");
    let words = |error: Error| format!("{} {error}", error.sqlstate());
    let newest = table.latest().await.map_err(words)?.ok_or("XX001 the table is gone")?;
    let mut found = Vec::new();
    for snapshot in [newest, table.at(3).await.map_err(words)?] {
        let context = context_of(&warehouse, &snapshot, 2);
        let rows = context.sql("SELECT id, amount FROM t").await.unwrap().collect().await;
        let rows = rows.map_err(|error| words(translated(error)))?;
        let rows = rows.iter().flat_map(texts);
        found.push(rows.map(|row| (row[0].clone(), row[1].parse().unwrap())).collect());
    }
    Ok(found)
}

/// The error of ours in one of the engine's.
fn translated(error: DataFusionError) -> Error {
    tributary::query::translate(error)
}

/// A table with files of every kind: base, runs, vectors, commits, a checkpoint with its pointer and checksum.
async fn small_warehouse() -> Store {
    let store = Store::new();
    let table = store.table();
    replace(&table, 1, &[numbered((0..3000).map(|i| (i, i)))]).await;
    for run in 2..14 {
        upsert(&table, run, numbered((0..20).map(|i| (i * 150 + run, -run))), &[run * 7]).await;
    }
    let checkpoint = store.path().join("_delta_log/_last_checkpoint");
    for _ in 0..200 {
        if checkpoint.exists() {
            return store;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no checkpoint was written");
}

fn stored(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(stored(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_never_a_wrong_answer() {
    let store = small_warehouse().await;
    let expected = read(store.folder.path()).await.unwrap();
    let mut random = random(7);
    let (mut told, mut right): (BTreeMap<String, usize>, BTreeMap<String, usize>) = Default::default();
    for path in stored(&store.path()) {
        let kind = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_string();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        let whole = std::fs::read(&path).unwrap();
        let length = whole.len() as i64;
        // The first and the last bytes matter most to a reader; the rest is tried here and there.
        let mut places = vec![0, length - 1, length - 6, length / 2];
        places.extend((0..4).map(|_| pick(&mut random, length)));
        let mut damages = Vec::new();
        for at in places {
            let mut damaged = whole.clone();
            damaged[at.max(0) as usize] ^= 1 << pick(&mut random, 8);
            damages.push(damaged);
        }
        damages.push(whole[..whole.len() / 2].to_vec());
        for damaged in damages {
            std::fs::write(&path, &damaged).unwrap();
            match read(store.folder.path()).await {
                Ok(found) => {
                    assert!(found == expected, "{} gave a wrong answer", path.display());
                    *right.entry(kind.clone()).or_default() += 1;
                }
                Err(words) => {
                    assert!(
                        words.starts_with("XX001") && words.contains(&name),
                        "{}: {words}",
                        path.display()
                    );
                    *told.entry(kind.clone()).or_default() += 1;
                }
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    println!("told: {told:?}, right all the same: {right:?}");
    for kind in ["base", "runs", "dv", "_delta_log"] {
        assert!(told.get(kind).is_some_and(|times| *times > 5), "{kind}: {told:?}");
    }
    assert_eq!(read(store.folder.path()).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_is_done_without() {
    let store = small_warehouse().await;
    let expected = read(store.folder.path()).await.unwrap();
    for name in [
        "00000000000000000010.checkpoint.parquet",
        "_sum.00000000000000000010.checkpoint.parquet",
        "_last_checkpoint",
    ] {
        let path = store.path().join("_delta_log").join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 4;
        std::fs::write(&path, &damaged).unwrap();
        assert_eq!(read(store.folder.path()).await.as_ref(), Ok(&expected), "{name} flipped");
        std::fs::remove_file(&path).unwrap();
        if name != "00000000000000000010.checkpoint.parquet" {
            assert_eq!(read(store.folder.path()).await.as_ref(), Ok(&expected), "{name} gone");
        }
        std::fs::write(&path, &whole).unwrap();
    }
    // A commit that a checkpoint covers is not needed for the newest version.
    let again = store.reopened().table("1", "deal");
    upsert(&again, 20, numbered([(1, 1)]), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_every_damaged_file() {
    let store = small_warehouse().await;
    let versions = std::collections::BTreeSet::from([3, 12]);
    let checked = store.reopened().table("1", "deal").check(&versions).await.unwrap();
    assert!(checked.damage.is_empty() && checked.files > 20, "{checked:?}");
    let mut expected = Vec::new();
    for kind in ["base", "runs", "_delta_log"] {
        let path = store
            .files(kind)
            .into_iter()
            .filter(|path| !path.to_str().unwrap().contains("_sum."))
            .min()
            .unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        expected.push(path.file_name().unwrap().to_str().unwrap().to_string());
    }
    let checked = store.reopened().table("1", "deal").check(&versions).await.unwrap();
    for name in &expected {
        assert!(checked.damage.iter().any(|damage| damage.what.contains(name)), "{name} in {checked:?}");
    }
}
