//! What there is to adopt.

use super::*;
use crate::support::postgres::database;

#[tokio::test]
async fn objects_come_with_suggestions() {
    let database = database().await;
    database
        .execute(
            "CREATE TABLE deal (id bigint PRIMARY KEY, title text, name text, created_at timestamptz, \"UpdatedAt\" timestamptz); \
             COMMENT ON TABLE deal IS 'Deals'; COMMENT ON COLUMN deal.name IS 'Deal name'; \
             INSERT INTO deal SELECT i FROM generate_series(1, 1000) i; ANALYZE deal; \
             CREATE TABLE quota (user_id int NOT NULL, period date NOT NULL, amount numeric, note text); \
             CREATE UNIQUE INDEX ON quota (note); CREATE UNIQUE INDEX ON quota (period, user_id) INCLUDE (amount); \
             CREATE UNIQUE INDEX ON quota (user_id) WHERE note IS NULL; \
             CREATE TABLE loose (email text UNIQUE, updated_at date); \
             CREATE VIEW v AS SELECT * FROM deal; CREATE TEMP TABLE hidden (id int)",
        )
        .await;
    let source = source(&database);
    let objects = source.objects().await.unwrap();
    let names: Vec<_> = objects.iter().map(|object| (object.api.as_str(), object.kind.as_str())).collect();
    assert_eq!(
        names,
        [
            ("public.deal", "table"),
            ("public.loose", "table"),
            ("public.quota", "table"),
            ("public.v", "view")
        ]
    );
    let deal = &objects[0];
    assert_eq!(deal.label, "Deals");
    assert_eq!(deal.estimated_rows, Some(1000));
    assert_eq!(deal.suggested_key, ["id"]);
    assert_eq!(deal.suggested_name.as_deref(), Some("name"));
    assert_eq!(deal.suggested_cursor.as_deref(), Some("UpdatedAt"));
    let loose = &objects[1];
    assert_eq!(loose.estimated_rows, None);
    assert_eq!(loose.suggested_key, [""; 0], "NULLs may repeat");
    assert_eq!((loose.suggested_name.as_deref(), loose.suggested_cursor.as_deref()), (Some("email"), None));
    assert_eq!(objects[2].suggested_key, ["period", "user_id"], "included columns are no part of the key");
    assert_eq!(objects[3].estimated_rows, None);

    let fields = source.fields("deal").await.unwrap();
    assert_eq!((fields[2].api.as_str(), fields[2].label.as_str()), ("name", "Deal name"));
    assert_eq!((fields[0].native_type.as_str(), fields[0].not_null), ("bigint", true));
    assert!(source.can("deal").await.unwrap().since);
    assert!(source.can("nothing").await.is_err());
}

#[tokio::test]
async fn the_login_is_named() {
    let database = database().await;
    let source = source(&database);
    let identity = source.whoami().await.unwrap();
    assert_eq!(identity.user, USER);
    assert!(identity.account.ends_with(&format!("/{}", database.name)), "{identity:?}");
    assert!(identity.server.starts_with("PostgreSQL "));
    let shown = format!(
        "{:?}",
        tributary::source::postgres::PostgresSource::new(&settings(&database), Some(PASSWORD.into()))
            .unwrap()
    );
    assert!(!shown.contains(PASSWORD) && shown.contains("127.0.0.1"));
}

#[tokio::test]
async fn the_scale_of_a_bare_numeric_is_learned_from_everywhere() {
    let database = database().await;
    database
        .execute(
            "CREATE TABLE t AS SELECT i AS id, CASE WHEN i > 1500000 THEN 1.2345 ELSE 1.5 END::numeric AS n, \
             NULL::numeric AS none FROM generate_series(1, 2000000) i; ANALYZE t",
        )
        .await;
    let source = source(&database);
    let fields = source.fields("t").await.unwrap();
    assert_eq!(fields[1].data_type.to_string(), "numeric(38,4)");
    assert!(fields[1].note.as_deref().unwrap().contains("no precision"));
    assert_eq!(fields[2].data_type.to_string(), "numeric(38,10)");
}

#[tokio::test]
async fn a_login_sees_what_it_may_read() {
    let database = database().await;
    let user = format!("{}_reader", database.name);
    database
        .execute(&format!(
            "CREATE ROLE {user} LOGIN PASSWORD 'pw'; CREATE TABLE open (id int, secret text); INSERT INTO open VALUES (1, 's'); \
             CREATE TABLE closed (id int); CREATE SCHEMA inner_schema; CREATE TABLE inner_schema.t (id int); \
             GRANT SELECT ON inner_schema.t TO {user}; GRANT SELECT (id) ON open TO {user}; \
             CREATE TABLE part (id int, owner text); ALTER TABLE part ENABLE ROW LEVEL SECURITY; \
             CREATE POLICY own ON part USING (owner = current_user); INSERT INTO part VALUES (1, '{user}'), (2, 'x'); \
             GRANT SELECT ON part TO {user}"
        ))
        .await;
    let mut settings = settings(&database);
    settings["user"] = json!(user);
    let secrets = HashMap::from([("password".to_string(), "pw".to_string())]);
    let source = connectors().open("postgresql", &settings, &secrets, None).unwrap();
    let objects: Vec<_> = source.objects().await.unwrap().into_iter().map(|object| object.api).collect();
    assert_eq!(objects, ["public.open", "public.part"]);
    let read = everything(&*source, "open").await;
    assert_eq!(rows(&*source, read).await, [["1"]], "only the granted column");
    let error = failure(&*source, full("closed", &[("id", "integer")])).await;
    assert_eq!(error.sqlstate(), "42501");
    assert!(error.hint().unwrap().contains("GRANT SELECT ON \"public\".\"closed\""));
    let part = everything(&*source, "part").await;
    assert!(source.warnings(&part).await.unwrap()[0].contains("row level security"));
    assert_eq!(firsts(&*source, part).await, ["1"]);
}

#[tokio::test]
async fn costly_and_blind_cursors_are_warned_about() {
    let database = database().await;
    database
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, u timestamptz); INSERT INTO t VALUES (1, now()), (2, NULL)",
        )
        .await;
    let source = source(&database);
    let read = with_cursor(full("t", &[("id", "integer")]), "u");
    let warnings = source.warnings(&read).await.unwrap();
    assert!(warnings[0].contains("no index begins with the cursor `u`"), "{warnings:?}");
    assert!(warnings[1].contains("no value in the cursor `u`"), "{warnings:?}");
    let clean = with_cursor(full("t", &[("id", "integer")]), "id");
    assert_eq!(source.warnings(&clean).await.unwrap(), [""; 0]);
}
