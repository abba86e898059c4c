//! A state from before there were checks and alerts.

use sqlx::any::AnyPoolOptions;
use tributary::model::{Condition, Severity, Turn, now_micros};
use tributary::state::State;

use crate::support::postgres;

const BEFORE: &[&str] = &[
    include_str!("../../src/state/migrations/001.sql"),
    include_str!("../../src/state/migrations/002.sql"),
    include_str!("../../src/state/migrations/003.sql"),
    include_str!("../../src/state/migrations/004.sql"),
    include_str!("../../src/state/migrations/005.sql"),
];

/// What an older server left: a connection, an object, and runs of it.
const ROWS: &[&str] = &[
    "CREATE TABLE migrations (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)",
    "INSERT INTO migrations (version, applied_at) VALUES (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)",
    "INSERT INTO connections (id, name, connector, settings, status, created_at)
         VALUES (1, 'crm', 'hubspot', '{}', 'connected', 1)",
    "INSERT INTO objects VALUES ('o', 1, 'deal', 'deals', 'Deal', '[]', '{}', 1, 1)",
    "INSERT INTO syncs (id, mode, actor, started_at) VALUES (1, 'full', 'ada', 1)",
    "INSERT INTO runs (id, sync_id, object_id, object, mode, status, started_at, ended_at, counts, cause)
         VALUES (1, 1, 'o', 'crm.deal', 'full', 'succeeded', 1, 2, '{}', NULL),
                (2, 1, 'o', 'crm.deal', 'full', 'failed', 3, 4, '{}', 'no luck'),
                (3, 1, 'o', 'crm.deal', 'full', 'cancelled', 5, 6, '{}', NULL),
                (4, 1, 'gone', 'crm.gone', 'full', 'failed', 7, 8, '{}', 'of no object any more')",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_is_brought_up_to_date_with_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let database = postgres::database().await;
    sqlx::any::install_default_drivers();
    for (raw, url) in [
        (format!("sqlite://{}?mode=rwc", file.display()), format!("sqlite://{}", file.display())),
        (database.url(), database.url()),
    ] {
        let pool = AnyPoolOptions::new().max_connections(1).connect(&raw).await.unwrap();
        let tables = BEFORE.iter().flat_map(|migration| migration.split(";\n"));
        for statement in tables.chain(ROWS.iter().copied()).filter(|text| !text.trim().is_empty()) {
            sqlx::query(statement)
                .execute(&pool)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        pool.close().await;

        let state = State::open(&url).await.unwrap();
        let connection = state.connection("crm").await.unwrap().unwrap();
        assert_eq!(state.checks().await.unwrap()[&connection.id], None, "nobody has said when");
        assert!(state.health().await.unwrap().is_empty() && state.late_after().await.unwrap().is_empty());
        let runs = state.telling_runs().await.unwrap();
        assert_eq!(runs.iter().map(|run| (run.id, run.fault)).collect::<Vec<_>>(), [(2, None)]);
        assert_eq!(state.runs(10).await.unwrap().len(), 4);

        // Alerts are numbered from one, and of one cause there is one.
        let condition = |cause: &str| Condition {
            cause: cause.into(),
            severity: Severity::Critical,
            connection: Some("crm".into()),
            object: None,
            run_id: Some(2),
            summary: "no luck".into(),
            text: "no luck".into(),
            remedy: None,
            turn: Turn::Admin,
        };
        let now = now_micros();
        assert_eq!(state.raise_alert(&condition("a"), &["mail"], now).await.unwrap(), Some(1));
        assert_eq!(state.raise_alert(&condition("a"), &["mail"], now).await.unwrap(), None);
        assert_eq!(state.raise_alert(&condition("b"), &[], now).await.unwrap(), Some(2));
        assert_eq!(state.due_messages("mail", now, 0).await.unwrap().len(), 1);
        assert!(state.clear_alert(1, now).await.unwrap() && !state.clear_alert(1, now).await.unwrap());
        assert_eq!(state.due_messages("mail", now, 0).await.unwrap(), [], "who was not told needs no end");
        // A backup of it holds all of that.
        let dump = state.dump().await.unwrap();
        let other = tempfile::tempdir().unwrap();
        let copy = State::open(&format!("sqlite://{}/state.db", other.path().display())).await.unwrap();
        copy.load(&dump.text).await.unwrap();
        assert_eq!(copy.alerts(10).await.unwrap(), state.alerts(10).await.unwrap());
        state.drop_object("o").await.unwrap();
        state.drop_connection(connection.id).await.unwrap();
    }
}
