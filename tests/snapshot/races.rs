//! Two processes at one table: every version is made by one of them, and nothing is lost.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use super::*;

/// Commits of both processes together; the variable sets another number.
fn races() -> i64 {
    std::env::var("TRIBUTARY_RACES").map_or(200, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_make_the_same_version() {
    let store = Store::new();
    replace(&store.table(), 1, &[numbered([])]).await;
    let each = races() / 2;
    let racers: Vec<_> = (0..2)
        .map(|racer| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "snapshot::races::racer", "--ignored", "--nocapture"])
                .env("TRIBUTARY_RACE", format!("{racer}|{each}|{}", store.folder.path().display()))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut made = Vec::new();
    for racer in racers {
        let out = racer.wait_with_output().unwrap();
        let said = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success(), "{said}");
        made.extend(said.lines().filter_map(|line| line.strip_prefix("made ")?.parse::<i64>().ok()));
    }
    let newest = store.reopened().table("1", "deal").latest().await.unwrap().unwrap();
    assert_eq!(made.len() as i64, 2 * each);
    assert_eq!(made.iter().copied().collect::<BTreeSet<_>>(), (1..=2 * each).collect());
    assert_eq!(newest.version(), 2 * each);
    // One row of each commit, and the one all fight for.
    assert_eq!(content(&store, &newest).await.len() as i64, 2 * each + 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "one of the processes of two_processes_never_make_the_same_version"]
async fn racer() {
    let Ok(race) = std::env::var("TRIBUTARY_RACE") else { return };
    let [racer, each, folder] = race.splitn(3, '|').collect::<Vec<_>>().try_into().unwrap();
    let (racer, each): (i64, i64) = (racer.parse().unwrap(), each.parse().unwrap());
    let table = Warehouse::open(folder, "acme").unwrap().table("1", "deal");
    for round in 0..each {
        let id = 10 + 2 * round + racer;
        let made = loop {
            let mut writer = table.upsert(&deal()).await.unwrap();
            writer.write(0, numbered([(1, id), (id, racer)])).await.unwrap();
            let same_fence = Commit { fence: 1, ..commit(id) };
            match writer.prepare().await.unwrap().commit(same_fence).await {
                Ok(made) => break made,
                // The other one was faster every time; whoever asks again has a chance again.
                Err(error) if error.sqlstate() == "55P03" => {}
                Err(error) => panic!("{error:?}"),
            }
        };
        println!("made {}", made.version());
    }
}
