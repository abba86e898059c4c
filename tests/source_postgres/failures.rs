//! What goes wrong is said clearly, once, and without the password.

use std::time::{Duration, Instant};

use tributary::error::Kind;

use super::*;
use crate::support::postgres::{database, free_port};

fn changed(database: &Database, name: &str, value: Value) -> Arc<dyn Source> {
    source_with(database, json!({ name: value }))
}

async fn refusal(source: &dyn Source) -> Error {
    let error = source.whoami().await.unwrap_err();
    let everything = format!("{error} {error:?} {:?} {:?}", error.detail(), error.hint());
    assert!(!everything.contains(PASSWORD), "the password is shown: {everything}");
    error
}

#[tokio::test]
async fn logins_that_are_refused() {
    let database = database().await;
    let wrong = HashMap::from([("password".to_string(), "wrong".to_string())]);
    let error = refusal(&*connectors().open("postgresql", &settings(&database), &wrong, None).unwrap()).await;
    assert_eq!(
        (error.kind(), error.what()),
        (
            Kind::Unauthenticated,
            format!("`127.0.0.1:{}` refuses the password of user `{USER}`", database.port).as_str()
        )
    );
    assert!(error.hint().unwrap().contains("set_secret"));

    let error =
        refusal(&*connectors().open("postgresql", &settings(&database), &HashMap::new(), None).unwrap())
            .await;
    assert_eq!(error.kind(), Kind::Unauthenticated);
    assert!(error.what().contains("none is set"), "{error}");

    let error = refusal(&*changed(&database, "database", json!("nope"))).await;
    assert_eq!(
        (error.kind(), error.what()),
        (Kind::Invalid, format!("database `nope` does not exist at `127.0.0.1:{}`", database.port).as_str())
    );
    let error = refusal(&*changed(&database, "user", json!("nobody"))).await;
    assert_eq!(error.kind(), Kind::Unauthenticated);
}

#[tokio::test]
async fn hosts_that_do_not_answer() {
    let database = database().await;
    let error = refusal(&*changed(&database, "port", json!(free_port()))).await;
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.what().contains("connection refused"), "{error}");

    let host = "no-such-host.invalid";
    let error = refusal(&*changed(&database, "host", json!(host))).await;
    assert!(error.what().contains("the host name is unknown"), "{error}");

    // A server that accepts and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let started = Instant::now();
    let source = source_with(&database, json!({"port": port, "connect_timeout_secs": 1}));
    let error = refusal(&*source).await;
    assert!(error.what().contains("no answer within 1 s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(8));

    // A server that is no PostgreSQL.
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = other.accept().await {
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
        }
    });
    let error = refusal(&*changed(&database, "port", json!(port))).await;
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
}

#[tokio::test]
async fn objects_that_are_gone() {
    let database = database().await;
    database.execute("CREATE TABLE opportunity (id int, name text); CREATE TABLE t (id int)").await;
    let source = source(&database);
    let read = everything(&*source, "public.opportunity").await;
    let error = source.fields("public.oportunity").await.unwrap_err();
    assert_eq!((error.kind(), error.sqlstate()), (Kind::NotFound, "42P01"));
    assert!(error.what().contains("did you mean `public.opportunity`?"), "{error}");

    database.execute("ALTER TABLE opportunity RENAME COLUMN name TO names").await;
    let error = failure(&*source, read.clone()).await;
    assert_eq!((error.kind(), error.sqlstate()), (Kind::Data, "42703"));
    assert!(error.what().contains("field `name` of `public.opportunity` does not exist"), "{error}");
    database.execute("DROP TABLE opportunity").await;
    let error = failure(&*source, read).await;
    assert_eq!((error.kind(), error.sqlstate()), (Kind::NotFound, "42P01"));
}

#[tokio::test]
async fn names_that_cannot_be() {
    let database = database().await;
    database.execute("CREATE TABLE t (id int)").await;
    let source = source(&database);
    let long = "x".repeat(10_240);
    for object in [long.as_str(), "", "a.b.c", "\"open"] {
        let error = failure(&*source, full(object, &[("id", "integer")])).await;
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.what().len() < 300);
        assert_eq!(source.fields(object).await.unwrap_err().kind(), Kind::Invalid);
    }
    let error = failure(&*source, full("t", &[(&long, "integer")])).await;
    assert!(error.what().contains("it has 10240 bytes"), "{error}");
    let injected = failure(&*source, full("t\"; DROP TABLE t; --", &[("id", "integer")])).await;
    assert_eq!(injected.kind(), Kind::NotFound, "{injected}");
    assert_eq!(failure(&*source, full("t", &[])).await.kind(), Kind::Invalid);
    assert_eq!(firsts(&*source, full("t", &[("id", "integer")])).await, [""; 0]);
}

#[tokio::test]
async fn a_server_that_fails_in_the_middle() {
    let database = database().await;
    database
        .execute(
            "CREATE VIEW fails AS SELECT i AS id, 1 / (100000 - i) AS q FROM generate_series(1, 200000) i; \
             CREATE VIEW slow AS SELECT i AS id, pg_sleep(5)::text AS s FROM generate_series(1, 100) i",
        )
        .await;
    let source = source(&database);
    let error = failure(&*source, full("fails", &[("id", "integer"), ("q", "integer")])).await;
    assert_eq!(error.kind(), Kind::Data, "{error:?}");
    // The source's own words may quote a record: they are beside what may be told to everybody.
    assert!(
        !error.what().contains("division") && error.detail().unwrap().contains("division by zero"),
        "{error:?}"
    );

    let impatient = source_with(&database, json!({"statement_timeout_secs": 1}));
    let error = failure(&*impatient, full("slow", &[("id", "integer"), ("s", "text")])).await;
    assert_eq!((error.kind(), error.sqlstate()), (Kind::Limit, "57014"), "{error:?}");

    // The session is ended by an administrator while rows are on their way.
    database.execute("CREATE VIEW endless AS SELECT generate_series(1, 2000000000) AS id").await;
    let mut stream = source.read(full("endless", &[("id", "integer")]));
    stream.next().await.unwrap().unwrap();
    database
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tributary' AND datname = current_database()")
        .await;
    let error = loop {
        match stream.next().await {
            Some(Ok(page)) => assert!(page.watermark.is_none()),
            Some(Err(error)) => break error,
            None => panic!("the read ended as if it were complete"),
        }
    };
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
}

#[tokio::test]
async fn a_lock_that_is_held_does_not_block_for_ever() {
    let database = database().await;
    database.execute("CREATE TABLE t (id int)").await;
    let source = source(&database);
    let holder = database.connect().await;
    holder.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let error = failure(&*source, full("t", &[("id", "integer")])).await;
    assert_eq!((error.kind(), error.sqlstate()), (Kind::Conflict, "55P03"), "{error:?}");
}

#[tokio::test]
async fn a_source_is_never_written_to() {
    let database = database().await;
    database
        .execute(
            "CREATE TABLE t (id int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING 1'; \
             CREATE VIEW writes AS SELECT f() AS id",
        )
        .await;
    let source = source(&database);
    let error = failure(&*source, full("writes", &[("id", "integer")])).await;
    assert!(error.detail().unwrap().contains("read-only transaction"), "{error:?}");
}

#[tokio::test]
async fn unknown_connectors_and_secrets() {
    let open = |connector: &str, secrets: &[&str]| {
        let secrets = secrets.iter().map(|name| (name.to_string(), "x".to_string())).collect();
        connectors()
            .open(connector, &json!({"host": "h", "database": "d", "user": "u"}), &secrets, None)
            .err()
    };
    assert!(open("postgresql", &["password"]).is_none());
    assert!(open("postgres", &[]).unwrap().what().contains("did you mean `postgresql`?"));
    assert!(open("postgresql", &["token"]).unwrap().what().contains("no secret `token`"));
    assert_eq!(connectors().list()[0].secrets, ["password"]);
}
