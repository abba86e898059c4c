//! Batches: once a night whatever ends in between, one after the other, cancelled by whoever waits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tributary::catalog::Catalog as Connectors;
use tributary::model::{Micros, now_micros};
use tributary::query::{Engine, EngineConfig};
use tributary::secret::Keyring;
use tributary::service::{Actor, App, Catalog, Registry};
use tributary::snapshot::Warehouse;
use tributary::source::{self, rest};
use tributary::state::State;

use super::{last, until};
use crate::support::folder::folder_of_this_run;
use crate::support::server::Server;

const HOUR: Micros = 3_600_000_000;

/// A server without its clock, over the demonstration's source.
struct Node {
    app: Arc<App>,
    state: Arc<State>,
}

/// So long a process may be away; what dies in the test is soon known to be dead.
const LEASE: Duration = Duration::from_secs(2);

impl Node {
    /// A process over a state that survives it.
    async fn start(state: &Arc<State>, folder: &Path, lease: Duration) -> Self {
        let keyring = Keyring::open(&folder.join("key")).unwrap();
        let warehouse = Warehouse::open(folder.join("snapshots").to_str().unwrap(), "acme").unwrap();
        let connectors =
            source::Connectors::new(Connectors::embedded().unwrap(), rest::Options::default()).unwrap();
        let app = App::new("acme".into(), state.clone(), keyring, warehouse, connectors, lease);
        let catalog = Catalog::new(app.clone());
        let sizes = EngineConfig::new("acme", folder.join("spill"));
        let config = EngineConfig { threads: 1, max_running: 2, ..sizes };
        let engine = Engine::new(config, catalog.clone(), catalog, Registry::new(app.clone())).unwrap();
        app.serve_with(engine);
        app.start().await.unwrap();
        Node { app, state: state.clone() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_has_one_batch_whatever_ends_in_between() {
    let folder = tempfile::tempdir_in(folder_of_this_run("tributary-test-night")).unwrap();
    let actor = Actor::system();
    let url = format!("sqlite://{}", folder.path().join("state.db").display());
    let state = Arc::new(State::open(&url).await.unwrap());
    Node::start(&state, folder.path(), Duration::from_secs(60)).await.app.set_up_demo().await.unwrap();
    let node = Node::start(&state, folder.path(), LEASE).await;
    let now = now_micros();
    let begun = node.app.set_schedule(&actor, Some("02:30"), Some("Europe/Berlin"), now).await.unwrap();
    let (_, next) = begun.unwrap();
    let mut due = next.unwrap();
    assert!(due > now && due <= now + 25 * HOUR);
    assert_eq!(node.app.enter_due(now).await.unwrap(), Some(due), "not before its time");
    assert!(node.state.batches(9).await.unwrap().is_empty());
    let mut node = Some(node);
    // Nights that are interrupted after ever longer; the last ones are not.
    for (night, pause) in (1..).zip([0, 40, 150, 300, 60_000]) {
        let mut interrupted = 0;
        loop {
            let running = match node.take() {
                Some(node) => node,
                None => Node::start(&state, folder.path(), LEASE).await,
            };
            // Asked again and again, as by several wakes.
            running.app.enter_due(due + 1).await.unwrap();
            running.app.enter_due(due + HOUR).await.unwrap();
            let work = running.app.carry_out_batches();
            // Each time it comes a little further.
            let pause = Duration::from_millis(pause + 250 * interrupted);
            let ended = tokio::time::timeout(pause, work).await;
            if let Ok(done) = ended {
                done.unwrap();
                let batches = running.state.batches(99).await.unwrap();
                if batches.last().unwrap().ended_at.is_none() {
                    // The lease of the dead one has not run out.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    node = Some(running);
                    continue;
                }
                assert_eq!(batches.len(), night, "one a night");
                let newest = batches.last().unwrap();
                assert_eq!((newest.status.as_str(), newest.started_by.as_str()), ("succeeded", "schedule"));
                node = Some(running);
                break;
            }
            interrupted += 1;
            assert!(interrupted < 100, "it never ends");
        }
        due += 24 * HOUR;
    }
    let node = node.unwrap();
    // Each published once, and no step was done twice.
    let batches = node.state.batches(99).await.unwrap();
    let headers = node.state.release_headers().await.unwrap();
    for batch in &batches {
        let cause = format!("batch {}", batch.name);
        assert_eq!(headers.iter().filter(|header| header.cause == cause).count(), 1, "{cause}");
        assert_eq!(Some(&batch.name), batch.night.as_ref());
        let steps = node.state.batch_steps(batch.id).await.unwrap();
        assert_eq!(steps.len(), 4);
        assert!(steps.iter().all(|step| step.status == "succeeded"), "{steps:?}");
    }
    // Nine days without a server: the newest night is made up for, late and once.
    let late = due + 9 * 24 * HOUR + 5 * HOUR;
    node.app.enter_due(late).await.unwrap();
    node.app.enter_due(late + HOUR).await.unwrap();
    let entered = node.state.batches(99).await.unwrap();
    assert_eq!(entered.len(), batches.len() + 1);
    assert_eq!(entered.last().unwrap().started_by, "catch-up");
    // Off is off.
    node.app.set_schedule(&actor, Some("off"), None, late).await.unwrap();
    assert_eq!(node.app.enter_due(late + 48 * HOUR).await.unwrap(), None);
    let error = node.app.set_schedule(&actor, Some("02:00"), Some("Mars/Olympus"), late).await.err().unwrap();
    assert!(error.what().contains("there is no time zone `Mars/Olympus`"), "{error}");
}

#[test]
fn batches_queue_and_whoever_waits_may_cancel() {
    let server = Server::demo();
    server.rows(&["CALL create_statement('s', $$SELECT count(*) AS deals FROM demo.opportunity$$)"]);
    for _ in 0..3 {
        assert!(server.rows(&["CALL run_batch(wait => false)"]).contains("|queued|"));
    }
    let row = server.rows(&["CALL run_batch()"]);
    assert!(row.contains("|call|admin|succeeded|"), "{row}");
    let order = "SELECT bool_and(a.ended_at <= b.started_at), count(*) FROM tributary.batch a \
        JOIN tributary.batch b ON b.id = a.id + 1";
    assert_eq!(last(&server, &[order]), "t|3");
    // One release each, and one with its results.
    let releases = "SELECT count(*) FILTER (WHERE cause LIKE 'batch %'), \
        count(*) FILTER (WHERE cause LIKE 'statements of batch %') FROM tributary.release";
    assert_eq!(last(&server, &[releases]), "4|4");
    assert!(
        server.error("CALL set_schedule('02:00', 'Europe/Berlim')").contains("did you mean `Europe/Berlin`?")
    );
    assert!(server.error("CALL set_schedule('2 am', 'UTC')").contains("22007"));
    server.rows(&["CALL set_schedule('02:00', 'Europe/Berlin')"]);
    assert_eq!(
        server.rows(&["SELECT value FROM tributary.setting WHERE name = 'schedule'"]),
        "02:00 Europe/Berlin"
    );

    // A manual sync between the release of a batch and its statements leaves both exact: the statements are computed
    // on the batch's, and the newest release has what is newest of everything.
    let batch = last(&server, &["SELECT name FROM tributary.batch ORDER BY id DESC LIMIT 1"]);
    let exact = format!(
        "SELECT (SELECT count(*) FROM demo.opportunity) = (SELECT deals FROM statement.s) AS same, \
         current_setting('tributary.as_of') = 'batch {batch}'"
    );
    assert_eq!(last(&server, &[&format!("SET tributary.as_of = 'batch {batch}'"), &exact]), "t|t");

    // Ctrl-C, while it waits behind another.
    let cancelled = server.psql(&["SET statement_timeout = '50ms'", "CALL run_batch()"]);
    let said = String::from_utf8_lossy(&cancelled.stderr).into_owned();
    assert!(!cancelled.status.success() && said.contains("57014"), "{said}");
    let status = "SELECT status FROM tributary.batch ORDER BY id DESC LIMIT 1";
    until("it has ended", || last(&server, &[status]) == "cancelled");
    assert!(server.rows(&["CALL run_batch()"]).contains("|succeeded|"));
    // In the middle of one the server is asked to stop: it goes on after the next start.
    server.rows(&["CALL run_batch(wait => false)"]);
    let (_, builder) = server.stop();
    let server = builder.start();
    until("it is carried on", || last(&server, &[status]) == "succeeded");
}
