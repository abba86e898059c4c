use super::{Guest, demonstration};
use crate::support::server::Server;

const PASSWORD: &str = "a long enough password";

async fn rows(server: &Server, user: &str, sql: &str) -> Result<usize, String> {
    let (client, connection) = server.config_of(user, PASSWORD).connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.query(sql, &[]).await.map(|rows| rows.len()).map_err(|error| {
        error.as_db_error().map_or(error.to_string(), |error| error.code().code().to_string())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_sees_the_system_and_no_rows() {
    let server = demonstration();
    server.rows(&[
        &format!("CREATE USER ann PASSWORD '{PASSWORD}'"),
        &format!("CREATE USER tom PASSWORD '{PASSWORD}'"),
        "CALL set_role('tom', 'auditor')",
    ]);
    for (sql, of_analyst) in [
        ("SELECT * FROM tributary.audit", Err("42501".to_string())),
        ("SELECT * FROM tributary.user WHERE name <> current_user", Ok(0)),
        ("SELECT * FROM tributary.connection", Ok(0)),
        ("SELECT * FROM tributary.object", Ok(0)),
        ("SELECT * FROM tributary.run", Ok(0)),
    ] {
        assert_eq!(rows(&server, "ann", sql).await, of_analyst, "{sql}");
        let found = rows(&server, "tom", sql).await;
        assert!(found.as_ref().is_ok_and(|rows| *rows > 0), "{sql}: {found:?}");
    }
    for sql in [
        "SELECT * FROM demo.opportunity",
        "CALL sync('demo', 'diff')",
        "CREATE USER eve PASSWORD 'long enough to be one'",
    ] {
        assert_eq!(rows(&server, "tom", sql).await, Err("42501".into()), "{sql}");
    }
    assert_eq!(
        rows(&server, "tom", "SELECT settings FROM tributary.connection WHERE settings IS NOT NULL").await,
        Ok(0)
    );
    server.rows(&["GRANT SELECT ON demo.owner TO tom"]);
    assert!(rows(&server, "tom", "SELECT * FROM demo.owner").await.unwrap() > 0, "what is granted is read");

    let (ann, tom) =
        (Guest::logged_in(&server, "ann", PASSWORD).await, Guest::logged_in(&server, "tom", PASSWORD).await);
    for (path, of_ann, of_tom) in [
        ("/connectors", 403, 200),
        ("/connectors/demo", 403, 403),
        ("/connections/demo", 403, 200),
        ("/connections/demo/objects", 403, 403),
        ("/connections/demo/sync", 403, 403),
        ("/objects", 200, 200),
        ("/objects/demo/opportunity", 404, 200),
        ("/objects/demo/opportunity/import", 404, 200),
        ("/objects/demo/opportunity/preview", 403, 403),
        ("/people", 403, 200),
        ("/people/ann", 403, 200),
        ("/audit", 403, 200),
        ("/account", 200, 200),
    ] {
        assert_eq!(ann.get(path).await.status, of_ann, "{path}");
        let page = tom.get(path).await;
        assert_eq!(page.status, of_tom, "{path}: {}", page.text);
    }
    for path in [
        "/connections/demo/disconnect",
        "/objects/demo/opportunity/drop",
        "/people/ann/role",
        "/people/ann/drop",
    ] {
        assert_eq!(tom.post(path, &[("role", "admin")]).await.status, 403, "{path}");
    }
    let last = server.error("CALL set_role('admin', 'auditor')");
    assert!(last.contains("is the last admin"), "{last}");
    assert!(server.error("CALL set_role('ann', 'king')").contains("unknown role `king`"));
    server.rows(&["CALL set_role('ann', 'admin')"]);
    assert_eq!(ann.get("/account").await.status, 303, "a session does not outlive the role it began with");
}
