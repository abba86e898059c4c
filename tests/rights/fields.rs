//! `GRANT SELECT (field) ON connection.object`, as PostgreSQL has it.

use super::{ann, denied, staffed, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_granted_columns_may_be_named() {
    let (_database, server) = staffed().await;
    server.rows(&["GRANT SELECT (id, team) ON crm.employee TO ann"]);
    let ann = ann(&server).await;
    assert_eq!(told(&ann, "SELECT id, team FROM employee WHERE id = 7").await.unwrap(), "7|team 1");
    assert_eq!(told(&ann, "SELECT count(*) FROM employee").await.unwrap(), "50");
    assert_eq!(told(&ann, "SELECT max(id) FROM crm.employee WHERE team = 'team 1'").await.unwrap(), "49");
    for refused in [
        "SELECT * FROM employee",
        "SELECT e FROM employee e",
        "SELECT salary FROM employee",
        "SELECT id FROM employee WHERE salary > 7010",
        "SELECT id FROM employee ORDER BY salary LIMIT 1",
        "SELECT max(salary) FROM employee",
        "SELECT count(salary) FROM employee",
        "SELECT team FROM employee GROUP BY team HAVING min(salary) > 0",
        "SELECT a.id FROM employee a JOIN employee b ON a.salary = b.salary",
        "SELECT id FROM employee NATURAL JOIN (SELECT 7001.00 AS salary) s",
        "SELECT id FROM (SELECT * FROM employee) e WHERE salary = 7001",
        "WITH e AS (SELECT id, salary FROM employee) SELECT id FROM e WHERE salary IS NOT NULL",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM employee WHERE salary = 7001)",
        "COPY employee TO STDOUT",
        "COPY (SELECT iban FROM employee) TO STDOUT",
        "SELECT row_to_json(e) FROM employee e",
        "EXPLAIN SELECT salary FROM employee",
        "SET tributary.as_of = '1'; SELECT salary FROM employee",
    ] {
        assert_eq!(told(&ann, refused).await, denied(), "{refused}");
        told(&ann, "RESET tributary.as_of").await.unwrap();
    }
    let diff = told(&ann, "SELECT op, id, old, new FROM diff('crm.employee', 1, 1)").await.unwrap();
    assert_eq!(diff, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_tells_of_rights_on_columns() {
    let (_database, server) = staffed().await;
    server.rows(&["GRANT SELECT (id, team) ON crm.employee TO ann"]);
    let ann = ann(&server).await;
    for (sql, answer) in [
        ("SELECT has_table_privilege('crm.employee', 'SELECT')", "f"),
        ("SELECT has_any_column_privilege('crm.employee', 'SELECT')", "t"),
        ("SELECT has_column_privilege('crm.employee', 'team', 'SELECT')", "t"),
        ("SELECT has_column_privilege('crm.employee', 'salary', 'SELECT')", "f"),
        (
            "SELECT string_agg(column_name, ',') FROM information_schema.columns WHERE table_name = 'employee'",
            "id,team",
        ),
        (
            "SELECT grantee, column_name, privilege_type FROM information_schema.column_privileges \
             WHERE table_name = 'employee' ORDER BY 2",
            "ann|id|SELECT\nann|team|SELECT",
        ),
        (
            "SELECT attacl FROM pg_attribute WHERE attrelid = 'crm.employee'::regclass AND attname = 'team'",
            "{ann=r/tributary}",
        ),
        (
            "SELECT \"user\", connection, object, field FROM tributary.\"grant\" ORDER BY field",
            "ann|crm|employee|id\nann|crm|employee|team",
        ),
        ("SELECT name FROM tributary.object", "employee"),
    ] {
        assert_eq!(told(&ann, sql).await.as_deref(), Ok(answer), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_on_columns_follow_names_and_end() {
    let (_database, server) = staffed().await;
    server.rows(&["GRANT SELECT (id, team) ON crm.employee TO ann"]);
    let ann = ann(&server).await;
    let prepared = ann.prepare("SELECT team FROM employee WHERE id = 7").await.unwrap();
    assert_eq!(ann.query(&prepared, &[]).await.unwrap().len(), 1);
    server.rows(&[
        "CALL rename_field('crm', 'employee', 'team', 'squad')",
        "CALL rename_object('crm', 'employee', 'person')",
    ]);
    assert_eq!(told(&ann, "SELECT squad FROM person WHERE id = 7").await.unwrap(), "team 1");
    assert_eq!(told(&ann, "SELECT salary FROM person").await.unwrap_err().0, "42501");
    // Without a new release: a prepared statement does not outlive the right.
    let prepared = ann.prepare("SELECT squad FROM person WHERE id = 7").await.unwrap();
    assert_eq!(ann.query(&prepared, &[]).await.unwrap().len(), 1);
    server.rows(&["REVOKE SELECT (squad) ON crm.person FROM ann"]);
    let error = ann.query(&prepared, &[]).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().code().code(), "42501", "{error}");
    assert_eq!(told(&ann, "SELECT id FROM person WHERE id = 7").await.unwrap(), "7");
    server.rows(&["GRANT SELECT (squad) ON crm.person TO ann", "REVOKE SELECT ON crm.person FROM ann"]);
    assert_eq!(told(&ann, "SELECT id FROM person").await.unwrap_err().0, "42501");
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.\"grant\""]), "0");

    assert!(server.error("GRANT SELECT (wage) ON crm.person TO ann").contains("42703"));
    assert!(server.error("GRANT SELECT (id) ON ALL TABLES IN SCHEMA crm TO ann").contains("0LP01"));
    assert!(server.error("GRANT SELECT (id ON crm.person TO ann").contains("42601"));
}
