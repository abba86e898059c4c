//! What the pages needed and SQL got.

use std::time::Duration;

use super::demonstration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_object_comes_back_with_its_rows() {
    let server = demonstration();
    let count = || server.rows(&["SELECT count(*) FROM demo.opportunity"]);
    let before = count();
    server.rows(&[
        "CALL set_import('demo', 'opportunity', filter => 'amount > 0', max_rows => 1000000)",
        "CALL drop_object('demo', 'opportunity')",
    ]);
    assert!(server.error("SELECT 1 FROM demo.opportunity").contains("42P01"));
    let dropped = "SELECT connection, name, dropped_by FROM tributary.dropped_object";
    assert_eq!(server.rows(&[dropped]), "demo|opportunity|admin");
    assert!(server.error("CALL undrop_object('demo', 'oportunity')").contains("did you mean `opportunity`?"));
    server.rows(&["CALL undrop_object('demo', 'opportunity')"]);
    assert_eq!((count(), server.rows(&[dropped])), (before, String::new()));
    let kept = "SELECT filter, max_rows FROM tributary.object WHERE name = 'opportunity'";
    assert_eq!(server.rows(&[kept]), "amount > 0|1000000");
    let synced = server.rows(&["CALL sync('demo', 'full', object => 'opportunity')"]);
    assert!(synced.contains("|succeeded|"), "{synced}");

    // Adopted anew under the same name: it is another one, and the old one stays dropped.
    server.rows(&["CALL drop_object('demo', 'opportunity')", "CALL add_object('demo', 'opportunity')"]);
    assert!(server.error("CALL undrop_object('demo', 'opportunity')").contains("is adopted again"));
    assert!(server.rows(&[dropped]).contains("opportunity"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_and_keys_are_tried_before_they_are_saved() {
    let server = demonstration();
    let all: i64 = server.rows(&["SELECT count(*) FROM demo.owner"]).parse().unwrap();
    let found = server.rows(&["CALL check_filter('demo', 'owner', '')"]);
    assert!(found.starts_with(&format!("{all}|t|")), "{found}");
    let key = server.rows(&["SELECT unique_fields FROM tributary.object WHERE name = 'owner'"]);
    let one = server.rows(&[&format!("CALL check_filter('demo', 'owner', '{key} = 1')")]);
    assert!(one.starts_with("1|t|") || one.starts_with("0|t|"), "{one}");
    assert!(server.error("CALL check_filter('demo', 'owner', 'nothing > 1')").contains("nothing"));
    let unique = server.rows(&[&format!("CALL check_key('demo', 'owner', '{key}')")]);
    assert_eq!(unique, format!("{all}|t|0|0|"));
    let stages = server.rows(&["CALL check_key('demo', 'opportunity', 'stage', n => 100)"]);
    let cells: Vec<_> = stages.lines().next().unwrap().split('|').collect();
    assert_eq!((cells[0], cells[1]), ("100", "f"), "{stages}");
    assert!(cells[3].parse::<i64>().unwrap() > 50 && stages.contains("stage"), "{stages}");
    let unchanged = "SELECT filter IS NULL, unique_fields FROM tributary.object WHERE name = 'owner'";
    assert_eq!(server.rows(&[unchanged]), format!("t|{key}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_is_not_waited_for_tells_how_far_it_is() {
    let server = demonstration();
    let begun = server.rows(&["CALL sync('demo', 'full', object => 'opportunity, owner', wait => false)"]);
    let runs: Vec<_> = begun.lines().map(|line| line.split('|').collect::<Vec<_>>()).collect();
    assert_eq!(runs.len(), 2, "{begun}");
    assert!(runs.iter().all(|run| run[3] == "running"), "{begun}");
    let ask = format!("SELECT status FROM tributary.run WHERE id IN ({}, {})", runs[0][0], runs[1][0]);
    for _ in 0..300 {
        if server.rows(&[&ask]) == "succeeded\nsucceeded" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{}", server.rows(&["SELECT * FROM tributary.run ORDER BY id DESC LIMIT 2"]));
}
