//! Time: checks once a day wherever a server was, and messages once an hour. The clock is the test's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tributary::alert::{Channel, Notice, NoticeEvent};
use tributary::catalog::Catalog;
use tributary::demo::Fault;
use tributary::demo::hubspot::{self, PRIVATE_TOKEN};
use tributary::error::{Error, Kind, Result};
use tributary::model::{Alert, Micros, now_micros};
use tributary::secret::Keyring;
use tributary::service::App;
use tributary::snapshot::Warehouse;
use tributary::source::{Connectors, rest};
use tributary::state::State;

use super::vendor;
use crate::support::postgres;

const MINUTE: Micros = 60_000_000;
const HOUR: Micros = 60 * MINUTE;
const DAY: Micros = 24 * HOUR;
const WHOAMI: &str = "GET /account-info/v3/details";

/// Remembers what it was given; refuses as long as it is told to.
struct Notebook {
    name: &'static str,
    pages: Mutex<Vec<(i64, NoticeEvent, String)>>,
    is_full: Mutex<bool>,
}

impl Notebook {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Notebook { name, pages: Mutex::default(), is_full: Mutex::default() })
    }

    fn read(&self) -> Vec<(i64, NoticeEvent)> {
        self.pages.lock().iter().map(|(alert, event, _)| (*alert, *event)).collect()
    }
}

#[async_trait::async_trait]
impl Channel for Notebook {
    fn name(&self) -> &'static str {
        self.name
    }

    fn gathers(&self) -> bool {
        false
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn deliver(&self, _: &str, notices: &[Notice]) -> Result<()> {
        if *self.is_full.lock() {
            return Err(Error::new(Kind::Unavailable, "the notebook is full"));
        }
        let page = |notice: &Notice| (notice.alert, notice.event, notice.text.clone());
        self.pages.lock().extend(notices.iter().map(page));
        Ok(())
    }
}

/// A server without its clock.
struct Node {
    app: Arc<App>,
    state: Arc<State>,
}

impl Node {
    async fn start(
        state: &str,
        folder: &Path,
        vendor: &hubspot::Running,
        channels: &[Arc<Notebook>],
    ) -> Self {
        let state = Arc::new(State::open(state).await.unwrap());
        let keyring = Keyring::open(&folder.join("key")).unwrap();
        let warehouse = Warehouse::open(folder.join("snapshots").to_str().unwrap(), "acme").unwrap();
        let bases = [("hubspot".to_string(), vendor.base_url.clone())].into();
        let options = rest::Options { bases, ..rest::Options::default() };
        let connectors = Connectors::new(Catalog::embedded().unwrap(), options).unwrap();
        let lease = Duration::from_secs(30);
        let app = App::new("acme".into(), state.clone(), keyring, warehouse, connectors, lease);
        app.alert_by(channels.iter().map(|channel| channel.clone() as Arc<dyn Channel>).collect());
        Node { app, state }
    }

    /// When the only connection is checked next.
    async fn due(&self) -> Micros {
        self.state.checks().await.unwrap()[&1].unwrap()
    }

    /// Everything that goes on by itself, once.
    async fn turn(&self, now: Micros, channels: &[Arc<Notebook>]) {
        self.app.check_due(now).await.unwrap();
        self.app.raise_and_clear(now).await.unwrap();
        for channel in channels {
            self.app.send_due(channel.as_ref(), now).await.unwrap();
        }
    }

    /// A check at a moment of the test's choosing, and what follows from it. No other check comes by itself.
    async fn check_at(&self, now: Micros, channels: &[Arc<Notebook>]) {
        self.state.set_check(1, now).await.unwrap();
        self.turn(now, channels).await;
        self.state.set_check(1, now + 1_000 * DAY).await.unwrap();
    }

    async fn open(&self) -> Vec<Alert> {
        self.state.open_alerts().await.unwrap()
    }
}

/// The next answer to who is logged in is no good.
fn spoil(vendor: &hubspot::Running) {
    let body = r#"{"message":"not today"}"#.to_string();
    let fault = Fault::Replace { status: 400, content_type: "application/json", body };
    vendor.control.traffic().fail_next_at("/account-info", 1, fault);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_nodes_checks_once_a_day_whatever_restarts() {
    let (vendor, database) = (vendor().await, postgres::database().await);
    let folder = tempfile::tempdir().unwrap();
    let start = async || Node::start(&database.url(), folder.path(), &vendor, &[]).await;
    let (first, second) = (start().await, start().await);
    first.app.set_up_vendor("hubspot", &[("token", PRIVATE_TOKEN)], &["deal"]).await.unwrap();
    // The new secret is checked at once.
    assert!(first.due().await <= now_micros());
    first.turn(now_micros(), &[]).await;
    let mut due = first.due().await;
    assert!(due > now_micros() && due <= now_micros() + DAY, "{due}");
    let calls = || vendor.control.traffic().calls(WHOAMI);
    for day in 0..5 {
        let before = calls();
        for early in [DAY - MINUTE, HOUR, 1] {
            first.turn(due - early, &[]).await;
            second.turn(due - early, &[]).await;
        }
        assert_eq!(calls(), before, "day {day}: nothing is due yet");
        let third = start().await;
        let at = due + day * 7 * HOUR / 2;
        tokio::join!(first.turn(at, &[]), second.turn(at, &[]), third.turn(at, &[]));
        for late in [0, 1, HOUR] {
            start().await.turn(at + late, &[]).await;
            second.turn(at + late, &[]).await;
        }
        assert_eq!(calls(), before + 1, "day {day}: once, whoever does it");
        let next = first.due().await;
        assert_eq!(next, due + DAY, "day {day}: at the same time of day");
        due = next;
    }
    // A server that was off for days catches up once.
    let before = calls();
    first.turn(due + 10 * DAY + HOUR, &[]).await;
    first.turn(due + 10 * DAY + 2 * HOUR, &[]).await;
    assert_eq!(calls(), before + 1);
    assert_eq!(first.due().await, due + 11 * DAY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_that_comes_and_goes_is_told_once_an_hour() {
    let (vendor, folder, notebook) =
        (vendor().await, tempfile::tempdir().unwrap(), Notebook::new("notebook"));
    let state = format!("sqlite://{}/state.db", folder.path().display());
    let channels = [notebook.clone()];
    let node = Node::start(&state, folder.path(), &vendor, &channels).await;
    node.app.set_up_vendor("hubspot", &[("token", PRIVATE_TOKEN)], &["deal"]).await.unwrap();
    let began = now_micros() + DAY;
    use NoticeEvent::{Raised, Resolved};
    spoil(&vendor);
    node.check_at(began, &channels).await;
    assert_eq!(notebook.read(), [(1, Raised)]);
    let open = node.open().await;
    assert_eq!((open.len(), open[0].condition.cause.as_str()), (1, "connection/1"));
    assert!(
        open[0].condition.text.contains("not today") && !notebook.pages.lock()[0].2.contains("not today")
    );
    // It lasts: nothing new to say, however often it is looked at.
    for minutes in [1, 30, 90] {
        spoil(&vendor);
        node.check_at(began + minutes * MINUTE, &channels).await;
    }
    assert_eq!(notebook.read(), [(1, Raised)]);
    node.check_at(began + 100 * MINUTE, &channels).await;
    assert_eq!(notebook.read(), [(1, Raised), (1, Resolved)]);
    assert!(node.open().await.is_empty());
    // It comes again soon, stays, and is told when an hour has passed since it was told last.
    let again = began + 200 * MINUTE;
    for (at, alert) in [(again, 2), (again + 20 * MINUTE, 3)] {
        spoil(&vendor);
        node.check_at(at, &channels).await;
        assert_eq!(node.open().await[0].id, alert);
        if alert == 2 {
            node.check_at(at + 10 * MINUTE, &channels).await;
        }
    }
    let so_far = [(1, Raised), (1, Resolved), (2, Raised), (2, Resolved)];
    node.turn(again + 59 * MINUTE, &channels).await;
    assert_eq!(notebook.read(), so_far);
    node.turn(again + 61 * MINUTE, &channels).await;
    assert_eq!(notebook.read()[4..], [(3, Raised)]);
    // One that is over before its hour has come is not told at all, not even that it is over.
    node.check_at(again + 65 * MINUTE, &channels).await;
    spoil(&vendor);
    node.check_at(again + 70 * MINUTE, &channels).await;
    node.check_at(again + 80 * MINUTE, &channels).await;
    node.turn(again + 5 * HOUR, &channels).await;
    assert_eq!(notebook.read()[4..], [(3, Raised), (3, Resolved)]);
    assert_eq!(node.state.alerts(100).await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_fails_is_told_by_the_others_and_gets_what_it_missed() {
    let (vendor, folder) = (vendor().await, tempfile::tempdir().unwrap());
    let channels = [Notebook::new("dead"), Notebook::new("alive")];
    let [dead, alive] = &channels;
    let state = format!("sqlite://{}/state.db", folder.path().display());
    let node = Node::start(&state, folder.path(), &vendor, &channels).await;
    node.app.set_up_vendor("hubspot", &[("token", PRIVATE_TOKEN)], &["deal"]).await.unwrap();
    *dead.is_full.lock() = true;
    vendor.control.revoke(PRIVATE_TOKEN);
    use NoticeEvent::{Raised, Resolved};
    let began = now_micros() + DAY;
    node.check_at(began, &channels).await;
    assert_eq!((dead.read(), alive.read()), (vec![], vec![(1, Raised)]));
    let alert = &node.open().await[0];
    assert_eq!((alert.send_error.as_deref(), alert.sent_at), (Some("the notebook is full"), Some(began)));
    // It is tried again with growing pauses: after one second not yet, after a minute it is the third time.
    let tries = async || node.state.due_messages("dead", i64::MAX / 2, 0).await.unwrap()[0].tries;
    node.turn(began + 1_000_000, &channels).await;
    assert_eq!(tries().await, 1);
    node.turn(began + 11 * MINUTE / 60, &channels).await;
    node.turn(began + MINUTE, &channels).await;
    assert_eq!(tries().await, 3);
    node.turn(began + MINUTE + 1, &channels).await;
    let told = alive.pages.lock().last().unwrap().clone();
    assert_eq!((told.0, told.1, told.2.as_str()), (2, Raised, "alerts do not leave by `dead`"));
    for minute in 2..600 {
        node.turn(began + minute * MINUTE, &channels).await;
    }
    assert_eq!(alive.read().len(), 2, "once");
    assert!((12..20).contains(&tries().await), "at least hourly, no storm: {}", tries().await);
    *dead.is_full.lock() = false;
    node.turn(began + 700 * MINUTE, &channels).await;
    node.turn(began + 701 * MINUTE, &channels).await;
    assert_eq!(dead.read(), [(1, Raised)]);
    assert_eq!(alive.read(), [(1, Raised), (2, Raised), (2, Resolved)]);
    // The next start tells nothing again.
    drop(node);
    let node = Node::start(&state, folder.path(), &vendor, &channels).await;
    node.turn(began + 800 * MINUTE, &channels).await;
    assert_eq!((dead.read().len(), alive.read().len()), (1, 3));
}
