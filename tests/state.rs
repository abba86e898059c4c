//! State: one suite, run on an SQLite file and on a real PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use tributary::error::Kind;
use tributary::model::{
    FieldType, Grant, ImportSettings, Object, ObjectField, ReleaseObject, User, now_micros,
};
use tributary::state::State;

use crate::support::postgres;

/// Where a state lives; both are made for one test.
enum Home {
    File(tempfile::TempDir),
    Server(postgres::Database),
}

impl Home {
    async fn both() -> [Home; 2] {
        [Home::File(tempfile::tempdir().unwrap()), Home::Server(postgres::database().await)]
    }

    fn url(&self) -> String {
        match self {
            Home::File(folder) => format!("sqlite://{}/state.db", folder.path().display()),
            Home::Server(database) => database.url(),
        }
    }

    async fn open(&self) -> State {
        State::open(&self.url()).await.unwrap()
    }
}

fn object(id: &str, connection_id: i64, name: &str) -> Object {
    Object {
        id: id.into(),
        connection_id,
        connection: "crm".into(),
        name: name.into(),
        api: format!("public.{name}"),
        label: "Ein Deal – mit „Zeichen“".into(),
        fields: vec![field("id")],
        import: ImportSettings { filter: Some("id > 1".into()), ..ImportSettings::default() },
        schema_version: 1,
        created_at: now_micros(),
    }
}

fn field(name: &str) -> ObjectField {
    ObjectField {
        api: name.into(),
        name: name.into(),
        label: name.into(),
        data_type: FieldType::Decimal(18, 2),
        native_type: "numeric(18,2)".into(),
        note: None,
        selected: true,
        key_position: Some(0),
        is_name: false,
    }
}

fn published(object_id: &str, name: &str, version: i64) -> ReleaseObject {
    ReleaseObject {
        object_id: object_id.into(),
        connection: "crm".into(),
        name: name.into(),
        version,
        rows: 10 * version,
        fields: vec![field("id")],
    }
}

fn versions(release: &tributary::model::Release) -> Vec<(String, i64)> {
    release.objects.iter().map(|object| (object.name.clone(), object.version)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_read_back_as_they_were_written_and_survive_a_restart() {
    for home in Home::both().await {
        let state = home.open().await;
        let settings = serde_json::json!({ "host": "x", "port": 5432 });
        let connection = state.create_connection("crm", "postgresql", &settings).await.unwrap();
        let twice = state.create_connection("crm", "postgresql", &settings).await.unwrap_err();
        assert_eq!((twice.kind(), twice.what()), (Kind::AlreadyExists, "connection `crm` exists already"));
        state.set_connection_status(connection.id, "connected", Some("ada")).await.unwrap();
        let deal = object("o1", connection.id, "deal");
        state.add_object(&deal).await.unwrap();
        assert_eq!(
            state.add_object(&object("o2", connection.id, "deal")).await.unwrap_err().kind(),
            Kind::AlreadyExists
        );
        state.put_secret(connection.id, "password", 1, &[0, 255, 7]).await.unwrap();
        state.put_secret(connection.id, "password", 2, &[1]).await.unwrap();
        drop(state);

        let state = home.open().await;
        let connection = state.connection("crm").await.unwrap().unwrap();
        assert_eq!((connection.identity.as_deref(), &connection.settings), (Some("ada"), &settings));
        assert_eq!(state.objects_of(connection.id).await.unwrap(), vec![deal.clone()]);
        assert_eq!(state.secret(connection.id, "password").await.unwrap(), Some((2, vec![1])));

        let renamed = Object { name: "opportunity".into(), ..deal };
        state.update_object(&renamed, 1).await.unwrap();
        assert_eq!(state.update_object(&renamed, 1).await.unwrap_err().kind(), Kind::Conflict);
        assert_eq!(state.objects().await.unwrap()[0].schema_version, 2);
        state.drop_object("o1").await.unwrap();
        state.drop_secrets(connection.id).await.unwrap();
        state.drop_connection(connection.id).await.unwrap();
        assert!(state.connections().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_are_gap_free_and_each_reads_as_it_was_published() {
    for home in Home::both().await {
        let state = home.open().await;
        assert!(state.newest_release().await.unwrap().is_none());
        let (_, runs) = state.start_sync("full", "ada", &[("a".into(), "crm.deal".into())]).await.unwrap();
        let changes = [published("a", "deal", 1), published("b", "owner", 1)];
        state.publish("sync 1", &changes, &[], &[runs[0].id]).await.unwrap();
        assert_eq!(state.run(runs[0].id).await.unwrap().unwrap().release, Some(1));
        let between = now_micros();
        state.publish("batch 2026-10-31", &[published("a", "deal", 2)], &[], &[]).await.unwrap();
        let third =
            state.publish("drop", &[published("a", "opportunity", 2)], &["b".into()], &[]).await.unwrap();
        assert_eq!(versions(&third), [("opportunity".to_string(), 2)]);

        let first = state.release(1).await.unwrap().unwrap();
        assert_eq!(first.objects, changes);
        assert_eq!(state.release_at(between).await.unwrap().unwrap(), first);
        assert!(state.release_at(0).await.unwrap().is_none());
        let batch = state.release_by_cause("batch 2026-10-31").await.unwrap().unwrap();
        assert_eq!(versions(&batch), [("deal".to_string(), 2), ("owner".to_string(), 1)]);
        for limit in [1, 2, 10] {
            let listed = state.releases(limit).await.unwrap();
            assert_eq!(listed.len(), limit.min(3) as usize);
            for release in listed {
                assert_eq!(state.release(release.id).await.unwrap().unwrap(), release);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_at_the_same_time_lose_nothing() {
    for home in Home::both().await {
        let state = Arc::new(home.open().await);
        let tasks: Vec<_> = (0..16)
            .map(|i| {
                let state = state.clone();
                tokio::spawn(async move {
                    let object = published(&format!("o{i}"), &format!("t{i:02}"), 1);
                    state.publish("sync", &[object], &[], &[]).await.unwrap().id
                })
            })
            .collect();
        let mut ids = Vec::new();
        for task in tasks {
            ids.push(task.await.unwrap());
        }
        ids.sort_unstable();
        assert_eq!(ids, (1..=16).collect::<Vec<_>>());
        assert_eq!(state.newest_release().await.unwrap().unwrap().objects.len(), 16);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_holds_a_lease_and_fences_only_grow() {
    let long = Duration::from_secs(60);
    for home in Home::both().await {
        let state = Arc::new(home.open().await);
        let tasks: Vec<_> = (0..8)
            .map(|i| {
                let state = state.clone();
                tokio::spawn(async move { state.acquire_lease("o", &format!("p{i}"), long).await.unwrap() })
            })
            .collect();
        let mut won = Vec::new();
        for task in tasks {
            won.extend(task.await.unwrap());
        }
        assert_eq!(won, [1]);
        assert!(state.renew_lease("o", 1, long).await.unwrap());
        state.release_lease("o", 1).await.unwrap();
        assert!(!state.renew_lease("o", 1, long).await.unwrap());
        assert_eq!(state.acquire_lease("o", "p9", Duration::ZERO).await.unwrap(), Some(2));
        assert_eq!(state.acquire_lease("o", "p9", long).await.unwrap(), Some(3));
        // What an earlier holder says changes nothing.
        state.release_lease("o", 2).await.unwrap();
        assert_eq!(state.acquire_lease("o", "p1", long).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_without_a_living_process_are_ended_at_the_next_start() {
    for home in Home::both().await {
        let state = home.open().await;
        let objects = [("a".to_string(), "crm.a".to_string()), ("b".to_string(), "crm.b".to_string())];
        let (sync, mut runs) = state.start_sync("diff", "ada", &objects).await.unwrap();
        assert_eq!((sync, runs[0].id, runs[1].id), (1, 1, 2));
        state.acquire_lease("b", "alive", Duration::from_secs(60)).await.unwrap();
        assert_eq!(state.interrupt_running("interrupted").await.unwrap(), 1);
        let ended = state.run(1).await.unwrap().unwrap();
        assert_eq!((ended.status.as_str(), ended.cause.as_deref()), ("failed", Some("interrupted")));
        let mut run = runs.remove(1);
        run.status = "succeeded".into();
        run.ended_at = Some(now_micros());
        run.counts.read = 7;
        run.counts.warnings = vec!["a \"quoted\" one".into()];
        state.finish_run(&run).await.unwrap();
        assert_eq!(state.runs(10).await.unwrap()[1], run);
        assert!(state.last_published().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_and_audit() {
    for home in Home::both().await {
        let state = home.open().await;
        let ada = User { name: "ada".into(), role: "analyst".into(), verifier: "v".into(), enabled: true };
        state.put_user(&ada).await.unwrap();
        state.put_user(&User { role: "admin".into(), ..ada.clone() }).await.unwrap();
        assert_eq!(state.user("ada").await.unwrap().unwrap().role, "admin");
        let grant = |object: Option<&str>| Grant {
            user: "ada".into(),
            connection: "crm".into(),
            object: object.map(str::to_string),
        };
        for object in [None, Some("deal"), Some("deal"), Some("owner")] {
            state.grant(&grant(object)).await.unwrap();
        }
        assert_eq!(
            state.grants_of("ada").await.unwrap(),
            [grant(None), grant(Some("deal")), grant(Some("owner"))]
        );
        state.revoke(&grant(Some("deal"))).await.unwrap();
        assert_eq!(state.grants().await.unwrap().len(), 2);
        state.revoke(&grant(None)).await.unwrap();
        assert!(state.grants().await.unwrap().is_empty());
        state.grant(&grant(None)).await.unwrap();
        state.drop_user("ada").await.unwrap();
        assert!(state.users().await.unwrap().is_empty() && state.grants().await.unwrap().is_empty());
        state.audit("ada", "sync", "{}", "done").await.unwrap();
        state.audit("ada", "sync", "{}", "42501: no").await.unwrap();
        let audits = state.audits(1).await.unwrap();
        assert_eq!((audits.len(), audits[0].outcome.as_str()), (1, "42501: no"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_and_a_second_process_are_refused() {
    for home in Home::both().await {
        drop(home.open().await);
        let statement = "INSERT INTO migrations (version, applied_at) VALUES (99, 0)";
        match &home {
            Home::Server(database) => database.execute(statement).await,
            Home::File(folder) => {
                sqlx::any::install_default_drivers();
                let url = format!("sqlite://{}/state.db", folder.path().display());
                let pool = sqlx::AnyPool::connect(&url).await.unwrap();
                sqlx::query(statement).execute(&pool).await.unwrap();
                pool.close().await;
            }
        }
        let error = State::open(&home.url()).await.err().unwrap();
        assert!(error.kind() == Kind::Unsupported && error.what().contains("version 99"), "{error:?}");
    }
    let home = Home::File(tempfile::tempdir().unwrap());
    let _first = home.open().await;
    let error = State::open(&home.url()).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Conflict);
    let error = State::open("mysql://user:canary@host/db").await.err().unwrap();
    assert!(!format!("{error:?}").contains("canary"));
}
