//! Every route as the sources declare it, asked by everybody who must not get further than they may.

use std::fs;
use std::path::{Path, PathBuf};

use super::server;
use super::visitor::{ANALYST, ANALYST_PASSWORD, Page, Visitor};

/// What people reach who are not logged in, each for a reason of its own and with tests of its own.
pub(super) const OPEN: &[&str] = &[
    "/login",
    "/setup/{token}",
    "/health",
    "/metrics",
    "/connect/{link}",
    "/oauth/callback/{connector}",
    "/assets/{version}/{name}",
];

/// What everybody may send who is logged in.
const FOR_ALL: &[&str] = &["/logout", "/account", "/query", "/query/download"];

/// What only people see who may look at the system as a whole.
const OF_SYSTEM: &[&str] = &["/connectors", "/connections", "/people", "/audit"];

/// A path with the methods that it takes.
pub(super) struct Route {
    pub(super) path: String,
    pub(super) reads: bool,
    pub(super) writes: bool,
}

impl Route {
    /// With something in every place.
    fn example(&self) -> String {
        let part = |part: &str| if part.starts_with('{') { "1".to_string() } else { part.to_string() };
        self.path.split('/').map(part).collect::<Vec<_>>().join("/")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_further_than_they_may() {
    let server = tokio::task::spawn_blocking(server).await.unwrap();
    server.rows(&[&format!("CREATE USER {ANALYST} PASSWORD '{ANALYST_PASSWORD}'")]);
    let (stranger, analyst, admin) =
        (Visitor::stranger(&server), Visitor::analyst(&server).await, Visitor::admin(&server).await);
    let routes = routes();
    assert!(routes.len() > 40, "{} routes were found", routes.len());
    for name in OPEN.iter().chain(FOR_ALL) {
        assert!(routes.iter().any(|route| route.path == *name), "there is no route {name}");
    }
    let mut wrong = Vec::new();
    let mut expect = |who: &str, path: &str, page: &Page, is_right: bool| {
        if !is_right {
            wrong.push(format!("{who} {path}: {} {}", page.status, page.header("location")));
        }
        for (header, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
        ] {
            if page.header(header) != value {
                wrong.push(format!("{who} {path}: {header} is `{}`", page.header(header)));
            }
        }
        if !page.header("content-security-policy").starts_with("default-src 'self'") {
            wrong.push(format!("{who} {path}: {}", page.header("content-security-policy")));
        }
    };
    for route in routes.iter().filter(|route| !OPEN.contains(&route.path.as_str())) {
        let path = route.example();
        if route.reads {
            let page = stranger.get(&path).await;
            let is_sent_away = page.status == 303 && page.header("location") == "/login";
            expect("a stranger reads", &path, &page, is_sent_away && page.bytes.is_empty());
            let page = analyst.get(&path).await;
            let is_of_system =
                OF_SYSTEM.iter().any(|begin| path == *begin || path.starts_with(&format!("{begin}/")));
            let is_right = if is_of_system { [403, 404].contains(&page.status) } else { page.status < 500 };
            expect("an analyst reads", &path, &page, is_right);
            let page = admin.get(&path).await;
            expect("an admin reads", &path, &page, page.status < 500 && page.status != 403);
        }
        if route.writes {
            let page = stranger.post(&path, &[]).await;
            expect("a stranger sends", &path, &page, page.status == 401);
            for who in [&analyst, &admin] {
                let page = who.post_from(&path, &[], Some(&who.web), &stranger.token).await;
                expect("somebody with a wrong token sends", &path, &page, page.status == 403);
                let token = if who.token == admin.token { &analyst.token } else { &admin.token };
                let page = who.post_from(&path, &[], Some(&who.web), token).await;
                expect("somebody with another's token sends", &path, &page, page.status == 403);
                let page = who.post_from(&path, &[], Some("https://evil.example"), &who.token).await;
                expect("another page sends", &path, &page, page.status == 403);
                let page = who.post_from(&path, &[], Some("null"), &who.token).await;
                expect("a page without an origin sends", &path, &page, page.status == 403);
                let page = who.post_from(&path, &[], None, &who.token).await;
                expect("a program sends", &path, &page, page.status == 403);
            }
            if !FOR_ALL.contains(&route.path.as_str()) {
                let page = analyst.post(&path, &[]).await;
                expect("an analyst sends", &path, &page, page.status == 403);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let changed = server.rows(&[
        "SELECT DISTINCT verb FROM tributary.audit WHERE verb NOT LIKE '%log%' AND outcome = 'done'",
    ]);
    assert_eq!(changed.trim(), "create_user", "nothing was done by all this");
    let out = analyst.post("/logout", &[]).await;
    assert_eq!((out.status, analyst.get("/").await.status), (303, 303));
}

/// Every `.route("path", get(...).post(...))` in the sources of the console.
pub(super) fn routes() -> Vec<Route> {
    let mut found = Vec::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        for (at, _) in text.match_indices(".route(") {
            let inside = within(&text[at + ".route(".len()..]);
            let path = inside.split('"').nth(1).unwrap_or_else(|| panic!("{}: {inside}", file.display()));
            let handlers = &inside[inside.find("\",").unwrap() + 2..];
            let takes = |method: &str| {
                let mut places = handlers.match_indices(method);
                places.any(|(at, _)| !handlers[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
            };
            let route = Route { path: path.into(), reads: takes("get("), writes: takes("post(") };
            assert!(route.reads || route.writes, "{path}: {handlers}");
            found.push(route);
        }
    }
    found
}

/// What stands before the parenthesis that closes.
fn within(text: &str) -> &str {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth == 0 {
            return &text[..at];
        }
    }
    panic!("a route without an end: {text}");
}

fn sources(src: &Path) -> Vec<PathBuf> {
    let mut found = vec![src.join("web.rs")];
    let mut folders = vec![src.join("web")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|kind| kind == "rs") => found.push(path),
                false => {}
            }
        }
    }
    found
}
