//! Results are published with exactly what they were computed on, whatever was published in between.

use tributary::model::{ImportSettings, Object, ReleaseObject, Statement, now_micros};
use tributary::state::State;

fn published(id: &str, connection: &str, version: i64) -> ReleaseObject {
    let (object_id, connection, name) = (id.to_string(), connection.to_string(), id.to_string());
    ReleaseObject { object_id, connection, name, version, rows: version, fields: Vec::new(), overrides: None }
}

/// Names and versions of a release's objects.
fn held(release: &tributary::model::Release) -> Vec<(&str, i64)> {
    release.objects.iter().map(|object| (object.name.as_str(), object.version)).collect()
}

#[tokio::test]
async fn a_sync_between_a_batch_and_its_results_mixes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(&format!("sqlite://{}", folder.path().join("state.db").display())).await.unwrap();
    let connection = state.create_connection("crm", "demo", &serde_json::json!({})).await.unwrap();
    for name in ["deal", "owner"] {
        let object = Object {
            id: name.into(),
            connection_id: connection.id,
            connection: "crm".into(),
            name: name.into(),
            api: name.into(),
            label: name.into(),
            fields: Vec::new(),
            import: ImportSettings::default(),
            schema_version: 1,
            created_at: now_micros(),
        };
        state.add_object(&object).await.unwrap();
    }
    let statement = Statement {
        id: "pay".into(),
        name: "pay".into(),
        query: "SELECT 1 AS a".into(),
        unique_fields: Vec::new(),
        description: None,
        required: true,
        time_zone: "UTC".into(),
        keep_days: None,
        fields: Vec::new(),
        version: 1,
        created_at: now_micros(),
        created_by: "test".into(),
    };
    state.add_statement(&statement).await.unwrap();
    let deals = |version| [published("deal", "crm", version)];
    let both = [published("deal", "crm", 1), published("owner", "crm", 1)];
    let base = state.publish("batch 2026-10-31", &both, &[], &[]).await.unwrap();

    // Nothing came between: one release.
    let results = [published("pay", "statement", 1)];
    let cause = "statements of batch 2026-10-31";
    let one = state.publish_results(cause, base.id, &results, &[]).await.unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(held(&one[0]), [("deal", 1), ("owner", 1), ("pay", 1)]);

    // The next night: a sync publishes deals, and another drops the owners, while the statement is computed.
    let base = state.publish("batch 2026-11-01", &deals(2), &[], &[]).await.unwrap();
    state.publish("sync 9", &deals(3), &["owner".to_string()], &[]).await.unwrap();
    let results = [published("pay", "statement", 2)];
    let cause = "statements of batch 2026-11-01";
    let two = state.publish_results(cause, base.id, &results, &[]).await.unwrap();
    assert_eq!(two.len(), 2);
    let (exact, newest) = ([("deal", 2), ("owner", 1), ("pay", 2)], [("deal", 3), ("pay", 2)]);
    assert_eq!((held(&two[0]), held(&two[1])), (exact.to_vec(), newest.to_vec()));

    // As it was told it is kept: by the batch's name the exact one, for everybody else the newest.
    let named = state.release_by_cause("batch 2026-11-01").await.unwrap().unwrap();
    assert_eq!((named.id, held(&named)), (two[0].id, exact.to_vec()));
    let served = state.newest_release().await.unwrap().unwrap();
    assert_eq!((served.id, held(&served)), (two[1].id, newest.to_vec()));
    let before = state.release_by_cause("batch 2026-10-31").await.unwrap().unwrap();
    assert_eq!(held(&before), [("deal", 1), ("owner", 1), ("pay", 1)]);
    // And what is published next goes on from the newest.
    let next = state.publish("sync 10", &deals(4), &[], &[]).await.unwrap();
    assert_eq!(held(&next), [("deal", 4), ("pay", 2)]);
}
