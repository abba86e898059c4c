//! Pages of a large company stay small, whatever they list. How long they take is measured in `benches/console.rs`.

use super::demonstration;
use super::routes::{OPEN, routes};
use super::visitor::Visitor;
use crate::support::large::{self, BESIDE, KEY, OBJECTS, PAGES};

/// Bytes of a page.
const MOST_BYTES: usize = 500_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_of_a_large_company_is_small() {
    let server = tokio::task::spawn_blocking(demonstration).await.unwrap();
    server.rows(BESIDE);
    let (status, again) = server.stop();
    assert!(status.success(), "{status}");
    large::fill(&again.data_directory()).await;
    let server = tokio::task::spawn_blocking(|| again.start()).await.unwrap();
    let counted = server.rows(&[
        "SELECT (SELECT count(*) FROM tributary.object), (SELECT count(*) FROM tributary.run WHERE id > 1000000), \
         (SELECT count(*) FROM tributary.field WHERE object = 'object_1')",
    ]);
    assert!(counted.ends_with("|200"), "{counted}");
    let of_objects: i64 = counted.split('|').next().unwrap().parse().unwrap();
    assert!(of_objects > OBJECTS, "{counted}");
    let mut wrong = Vec::new();
    let admin = Visitor::admin(&server).await;
    let key = server.rows(&[KEY]);
    for (_, path) in PAGES {
        let page = admin.get(&path.replace("KEY", &key)).await;
        println!("{path}: {} kB, {} ms", page.bytes.len() / 1_000, page.took.as_millis());
        if page.status != 200 || page.bytes.len() > MOST_BYTES {
            wrong.push(format!("{path}: {} with {} bytes", page.status, page.bytes.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let is_asked = |path: &str| PAGES.iter().any(|(route, _)| *route == path) || OPEN.contains(&path);
    let left_out: Vec<_> = routes()
        .into_iter()
        .filter(|route| route.reads && !is_asked(&route.path))
        .map(|route| route.path)
        .collect();
    assert_eq!(left_out, ["/syncs/{sync}/live"], "a stream of events is no page");
}
