//! State: one suite, run on an SQLite file and on a real PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use tributary::error::Kind;
use tributary::model::{
    FieldType, Grant, ImportSettings, Object, ObjectField, Period, ReleaseObject, User, now_micros,
};
use tributary::state::{ErasureEntry, State};

use crate::support::{analyst, postgres};

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
        column: name.into(),
        label: name.into(),
        data_type: FieldType::Decimal(18, 2),
        native_type: "numeric(18,2)".into(),
        note: None,
        selected: true,
        key_position: Some(0),
        is_name: false,
        volatile: false,
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
        overrides: None,
    }
}

/// Adopts objects of a connection `crm` under `(id, name)`.
async fn adopt(state: &State, objects: &[(&str, &str)]) -> i64 {
    let connection = match state.connection("crm").await.unwrap() {
        Some(connection) => connection,
        None => state.create_connection("crm", "postgresql", &serde_json::json!({})).await.unwrap(),
    };
    for (id, name) in objects {
        state.add_object(&object(id, connection.id, name)).await.unwrap();
    }
    connection.id
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
        let crm = adopt(&state, &[("a", "deal"), ("b", "owner")]).await;
        let (_, runs) = state.start_sync("full", "ada", &[("a".into(), "crm.deal".into())]).await.unwrap();
        let changes = [published("a", "deal", 1), published("b", "owner", 1)];
        state.publish("sync 1", &changes, &[], &[runs[0].id]).await.unwrap();
        assert_eq!(state.run(runs[0].id).await.unwrap().unwrap().release, Some(1));
        let between = now_micros();
        state.publish("batch 2026-10-31", &[published("a", "deal", 2)], &[], &[]).await.unwrap();
        state
            .update_object(&Object { name: "opportunity".into(), ..object("a", crm, "deal") }, 1)
            .await
            .unwrap();
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
        for i in 0..16 {
            adopt(&state, &[(&format!("o{i}"), &format!("t{i:02}"))]).await;
        }
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

/// A sync publishes at its end; the world may have moved on since it began.
#[tokio::test(flavor = "multi_thread")]
async fn the_definitions_have_the_last_word_over_what_a_long_sync_publishes() {
    for home in Home::both().await {
        let state = home.open().await;
        let crm = adopt(&state, &[("a", "deal"), ("b", "owner")]).await;
        let wide = ReleaseObject { fields: vec![field("id"), field("salary")], ..published("a", "deal", 1) };
        let both = Object { fields: wide.fields.clone(), ..object("a", crm, "deal") };
        state.update_object(&both, 1).await.unwrap();
        let first =
            state.publish("sync 1", &[wide.clone(), published("b", "owner", 1)], &[], &[]).await.unwrap();
        assert_eq!(first.objects, [wide.clone(), published("b", "owner", 1)]);

        // Renamed, a field taken away, the other object dropped: then comes what the sync had read before.
        let hidden = ObjectField { selected: false, ..field("salary") };
        let renamed = Object { name: "sale".into(), fields: vec![field("id"), hidden], ..both.clone() };
        state.update_object(&renamed, 2).await.unwrap();
        state.drop_object("b").await.unwrap();
        state.publish("drop", &[], &["b".into()], &[]).await.unwrap();
        let late = [ReleaseObject { version: 2, ..wide }, published("b", "owner", 2)];
        let third = state.publish("sync 2", &late, &[], &[]).await.unwrap();
        assert_eq!(third.objects, [ReleaseObject { rows: 10, ..published("a", "sale", 2) }]);
        assert_eq!(state.release(1).await.unwrap().unwrap(), first, "what was published stays as it was");

        // Two syncs of one object that end in the other order.
        state.publish("sync 4", &[published("a", "sale", 4)], &[], &[]).await.unwrap();
        let fifth = state.publish("sync 3", &[published("a", "sale", 3)], &[], &[]).await.unwrap();
        assert_eq!((fifth.id, versions(&fifth)), (5, vec![("sale".to_string(), 4)]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_catches_up_with_definitions_whose_publication_was_cut_off() {
    for home in Home::both().await {
        let state = home.open().await;
        let crm = adopt(&state, &[("a", "deal"), ("b", "owner"), ("c", "quota")]).await;
        let all = [published("a", "deal", 1), published("b", "owner", 1), published("c", "quota", 1)];
        state.publish("sync 1", &all, &[], &[]).await.unwrap();
        state.update_object(&Object { name: "sale".into(), ..object("a", crm, "deal") }, 1).await.unwrap();
        state.drop_object("b").await.unwrap();
        let next = state.publish("sync 2", &[published("c", "quota", 2)], &[], &[]).await.unwrap();
        assert_eq!(versions(&next), [("quota".to_string(), 2), ("sale".to_string(), 1)]);
        assert_eq!(state.newest_release().await.unwrap().unwrap(), next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_are_removed_unless_somebody_needs_them() {
    for home in Home::both().await {
        let state = home.open().await;
        adopt(&state, &[("a", "deal")]).await;
        for version in 0..5 {
            state.publish("sync", &[published("a", "deal", version)], &[], &[]).await.unwrap();
        }
        let period = |name: &str, release| Period {
            name: name.into(),
            release,
            frozen_at: now_micros(),
            frozen_by: "root".into(),
            reason: None,
        };
        state.freeze(&period("q1", 2)).await.unwrap();
        let again = state.freeze(&period("q1", 3)).await.unwrap_err();
        assert_eq!(
            (again.sqlstate(), again.what().contains("it holds release 2")),
            ("42710", true),
            "{again:?}"
        );
        let minute = Duration::from_secs(60);
        assert!(state.hold_release(3, minute).await.unwrap());
        // Release 5 is the newest, 2 is frozen, and with several nodes one of them reads 3.
        let removed = state.remove_releases(&[1, 2, 3, 5]).await.unwrap();
        assert_eq!(removed, if state.is_shared() { vec![1] } else { vec![1, 3] });
        assert_eq!(state.held_releases().await.unwrap(), if state.is_shared() { vec![3] } else { vec![] });
        assert!(!state.hold_release(1, minute).await.unwrap());
        assert_eq!(state.freeze(&period("late", 1)).await.unwrap_err().sqlstate(), "22023");
        assert!(state.removed_at(1).await.unwrap().is_some() && state.removed_at(4).await.unwrap().is_none());

        // An announcement ends by itself.
        state.hold_release(3, Duration::ZERO).await.unwrap();
        state.remove_releases(&[3]).await.unwrap();
        assert!(state.removed_at(3).await.unwrap().is_some());
        assert_eq!(state.unfreeze("q1").await.unwrap().unwrap().release, 2);
        assert_eq!(state.unfreeze("q1").await.unwrap(), None);
        assert_eq!(state.remove_releases(&[2]).await.unwrap(), [2]);
        assert_eq!(state.retention_days().await.unwrap(), 30);
        state.set_retention_days(90).await.unwrap();
        drop(state);
        assert_eq!(home.open().await.retention_days().await.unwrap(), 90);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_follow_an_object_and_end_with_it() {
    for home in Home::both().await {
        let state = home.open().await;
        let crm = adopt(&state, &[("a", "deal"), ("b", "owner")]).await;
        state.put_user(&analyst("ada")).await.unwrap();
        let grant = |object: Option<&str>| Grant {
            user: "ada".into(),
            connection: "crm".into(),
            object: object.map(str::to_string),
            field: None,
        };
        state.grant(&grant(Some("deal"))).await.unwrap();
        state.grant(&grant(Some("owner"))).await.unwrap();
        state.grant(&grant(Some("sale"))).await.unwrap();
        let renamed = Object { name: "sale".into(), ..object("a", crm, "deal") };
        state.update_object(&renamed, 1).await.unwrap();
        assert_eq!(state.grants().await.unwrap(), [grant(Some("owner")), grant(Some("sale"))]);
        state.update_object(&renamed, 2).await.unwrap();
        assert_eq!(state.grants().await.unwrap().len(), 2, "a change that keeps the name keeps the rights");

        state.drop_object("a").await.unwrap();
        assert_eq!(state.grants().await.unwrap(), [grant(Some("owner"))]);
        state.drop_object("b").await.unwrap();
        state.grant(&grant(None)).await.unwrap();
        state.drop_connection(crm).await.unwrap();
        assert!(state.grants().await.unwrap().is_empty(), "another connection of that name inherits nothing");
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
        state.stay(Duration::from_secs(60)).await.unwrap();
        assert_eq!(state.interrupt_running("interrupted").await.unwrap(), 0);
        if state.is_shared() {
            let other = home.open().await;
            other.stay(Duration::from_secs(60)).await.unwrap();
            let (_, theirs) = other.start_sync("diff", "ada", &objects).await.unwrap();
            assert_eq!(
                state.interrupt_running("interrupted").await.unwrap(),
                0,
                "a living node keeps its runs"
            );
            other.leave().await.unwrap();
            assert_eq!(state.interrupt_running("interrupted").await.unwrap(), 2);
            let ended = state.run(theirs[0].id).await.unwrap().unwrap();
            assert_eq!(ended.status, "failed");
        }
        state.leave().await.unwrap();
        assert_eq!(state.interrupt_running("interrupted").await.unwrap(), 2);
        let ended = state.run(1).await.unwrap().unwrap();
        assert_eq!((ended.status.as_str(), ended.cause.as_deref()), ("failed", Some("interrupted")));
        let mut run = runs.remove(1);
        run.status = "succeeded".into();
        run.ended_at = Some(now_micros());
        run.counts.read = 7;
        run.counts.warnings = vec!["a \"quoted\" one".into()];
        state.finish_run(&run).await.unwrap();
        assert_eq!(state.run(run.id).await.unwrap().unwrap(), run);
        assert!(state.last_published().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_whose_end_could_not_be_recorded_are_ended() {
    for home in Home::both().await {
        let state = home.open().await;
        adopt(&state, &[("a", "deal"), ("b", "owner"), ("c", "quota")]).await;
        state.stay(Duration::from_secs(60)).await.unwrap();
        let mut syncs = Vec::new();
        for id in ["a", "b", "c"] {
            syncs.push(state.start_sync("full", "root", &[(id.into(), id.into())]).await.unwrap());
        }
        let later = now_micros() + 1;
        state.publish("sync 2", &[published("b", "owner", 0)], &[], &[syncs[1].1[0].id]).await.unwrap();
        let before = later - 60_000_000;
        assert_eq!(state.end_forgotten_runs(&[], before).await.unwrap(), 0, "these have just begun");
        assert_eq!(state.end_forgotten_runs(&[syncs[2].0], later).await.unwrap(), 2);
        let runs = state.runs(10).await.unwrap();
        let statuses: Vec<_> = runs.iter().map(|run| run.status.as_str()).collect();
        assert_eq!(statuses, ["failed", "succeeded with warnings", "running"]);
        assert!(runs[0].cause.as_ref().unwrap().contains("away"), "{:?}", runs[0].cause);
        assert_eq!(state.end_forgotten_runs(&[syncs[2].0], later).await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_and_audit() {
    for home in Home::both().await {
        let state = home.open().await;
        let ada = analyst("ada");
        state.put_user(&ada).await.unwrap();
        state.put_user(&User { role: "admin".into(), ..ada.clone() }).await.unwrap();
        assert_eq!(state.user("ada").await.unwrap().unwrap().role, "admin");
        let grant = |object: Option<&str>| Grant {
            user: "ada".into(),
            connection: "crm".into(),
            object: object.map(str::to_string),
            field: None,
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

/// Several nodes share a PostgreSQL; a file has one owner.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together() {
    for home in Home::both().await {
        let url = home.url();
        let mut opened = Vec::new();
        if let Home::File(_) = &home {
            opened.push(State::open(&url).await);
        }
        opened.extend(futures::future::join_all((0..3).map(|_| State::open(&url))).await);
        let refused: Vec<_> = opened.iter().filter_map(|state| state.as_ref().err()).collect();
        match home {
            Home::Server(_) => assert!(refused.is_empty(), "{refused:?}"),
            Home::File(folder) => {
                assert_eq!(refused.len(), 3);
                for error in refused {
                    assert_eq!(error.kind(), Kind::Conflict);
                    let detail =
                        format!("process {} holds `{}/lock`", std::process::id(), folder.path().display());
                    assert_eq!(error.detail(), Some(detail.as_str()));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_explained_without_the_password() {
    let database = postgres::database().await;
    let wrong_password = database.url().replace("correct", "canary");
    let missing = format!("{}_missing", database.url());
    let unreachable = format!("postgres://u:canary@127.0.0.1:{}/x", postgres::free_port());
    for (url, kind) in [
        (wrong_password.as_str(), Kind::Unauthenticated),
        (&missing, Kind::NotFound),
        (&unreachable, Kind::Unavailable),
        ("postgres://u:canary@[x", Kind::Invalid),
        ("sqlite://", Kind::Invalid),
        ("sqlite:///dev/null/state.db", Kind::Invalid),
        ("state.db", Kind::Invalid),
    ] {
        let started = std::time::Instant::now();
        let error = State::open(url).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{url} took {:?}", started.elapsed());
    }
    let error = State::open(&unreachable).await.err().unwrap();
    assert!(error.what().contains("`127.0.0.1:"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    std::fs::write(&file, "no database, whatever its name says; long enough to be looked at. ".repeat(20))
        .unwrap();
    let error = State::open(&format!("sqlite://{}", file.display())).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Corrupt, "{error:?}");
    assert!(error.what().contains(&file.display().to_string()), "{error}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_file_may_lie_anywhere_and_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for name in ["a b", "c#d", "e%41f", "ü", "g?h=i", "new/deep"] {
        let home = folder.path().join(name);
        let url = format!("sqlite://{}/state.db", home.display());
        let state = State::open(&url).await.unwrap();
        adopt(&state, &[("a", "deal")]).await;
        for file in ["state.db", "state.db-wal"] {
            let mode = std::fs::metadata(home.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
        }
        drop(state);
        let state = State::open(&url).await.unwrap();
        assert_eq!(state.objects().await.unwrap().len(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_kept_and_what_releases_and_runs_say_is_corrected() {
    for home in Home::both().await {
        let state = home.open().await;
        let crm = adopt(&state, &[("a", "deal"), ("b", "owner")]).await;
        for version in 1..=3 {
            state.publish("sync", &[published("a", "deal", version)], &[], &[]).await.unwrap();
        }
        let id = state.next_erasure().await.unwrap();
        let entry = ErasureEntry {
            id,
            connection_id: crm,
            api: "public.deal".into(),
            object: "crm.deal".into(),
            fields: vec!["id".into()],
            digest: "d".into(),
            secret: "s".into(),
            at: 7,
            actor: "ada".into(),
            reason: "asked".into(),
            pending: Some(vec![0, 255]),
            rows: None,
            files: None,
            releases: None,
        };
        state.begin_erasure(&entry).await.unwrap();
        assert_eq!(state.erasures().await.unwrap(), std::slice::from_ref(&entry));
        assert_eq!(state.erasures_of(crm, "public.owner").await.unwrap(), []);

        // Version 2 had the record, version 1 did not; version 3 was never counted.
        assert_eq!(state.correct_rows("a", &[(1, 10), (2, 19)]).await.unwrap(), [2]);
        let rows = |release: tributary::model::Release| release.objects[0].rows;
        assert_eq!(rows(state.release(1).await.unwrap().unwrap()), 10);
        assert_eq!(rows(state.release(2).await.unwrap().unwrap()), 19);
        assert_eq!(state.correct_rows("a", &[(1, 10), (2, 19)]).await.unwrap(), [0; 0]);

        let objects = [("a".to_string(), "crm.deal".to_string())];
        let (_, mut runs) = state.start_sync("full", "ada", &objects).await.unwrap();
        runs[0].counts.warnings = vec!["field `x` has values, for example `canary`".into(), "other".into()];
        state.finish_run(&runs[0]).await.unwrap();
        state.drop_samples("a").await.unwrap();
        let run = state.run(runs[0].id).await.unwrap().unwrap();
        assert_eq!(run.counts.warnings, ["field `x` has values", "other"]);

        state.end_erasure(id, 4, 2, 1).await.unwrap();
        state.forget_changes().await.unwrap();
        let done = ErasureEntry { pending: None, rows: Some(4), files: Some(2), releases: Some(1), ..entry };
        assert_eq!(state.erasures_of(crm, "public.deal").await.unwrap(), [done]);
        if let Home::File(folder) = &home {
            for file in std::fs::read_dir(folder.path()).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                assert!(!bytes.windows(6).any(|window| window == b"canary"));
            }
        }
    }
}
