//! `CALL set_mask`: a masked value is not told by a query, nor by anything beside it.

use super::{PASSWORD, SECRET, ann, staffed, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mask_holds_in_every_query() {
    let (database, server) = staffed().await;
    database
        .execute("UPDATE employee SET salary = salary + 1, iban = 'DE77x', updated_at = now() WHERE id = 7")
        .await;
    server.rows(&[
        "CALL sync('crm', 'diff')",
        "GRANT SELECT ON crm.employee TO ann",
        "CALL set_mask('crm', 'employee', 'salary', 'hidden')",
        "CALL set_mask('crm', 'employee', 'iban', 'partial')",
    ]);
    let ann = ann(&server).await;
    for (sql, answer) in [
        ("SELECT id, name, salary, iban FROM employee WHERE id = 7", "7|name 7|NULL|D***"),
        ("SELECT count(*), count(salary), count(iban) FROM employee", "50|0|50"),
        (
            "SELECT min(salary), max(salary), sum(salary), min(iban), max(iban) FROM employee",
            "NULL|NULL|NULL|D***|D***",
        ),
        ("SELECT count(*) FROM employee WHERE salary > 0", "0"),
        ("SELECT count(*) FROM employee WHERE salary IS NULL", "50"),
        ("SELECT count(*) FROM employee WHERE iban = 'DE7700001'", "0"),
        ("SELECT count(*) FROM employee WHERE iban LIKE 'DE%'", "0"),
        ("SELECT count(DISTINCT iban) FROM employee", "1"),
        ("SELECT count(*) FROM employee a JOIN (VALUES (7001.00), (7002.00)) v(s) ON a.salary = v.s", "0"),
        ("SELECT id FROM employee WHERE id IN (3, 5) ORDER BY salary, id DESC", "5\n3"),
        ("SELECT id FROM employee WHERE id IN (3, 5) ORDER BY iban, id DESC", "5\n3"),
        ("SELECT rank() OVER (ORDER BY salary) FROM employee WHERE id IN (3, 5)", "1\n1"),
        ("SELECT salary FROM (SELECT * FROM crm.employee) e WHERE id = 3", "NULL"),
        ("SELECT e.salary::text || 'x' FROM employee e WHERE id = 3", "NULL"),
        ("SELECT coalesce(salary, -1) = -1 FROM employee WHERE id = 3", "t"),
        ("SELECT row_to_json(e)->>'salary' FROM employee e WHERE id = 3", "NULL"),
    ] {
        assert_eq!(told(&ann, sql).await.as_deref(), Ok(answer), "{sql}");
    }
    told(&ann, "SET tributary.as_of = '1'").await.unwrap();
    let then = told(&ann, "SELECT salary, iban FROM employee WHERE id = 7").await;
    assert_eq!(then.as_deref(), Ok("NULL|D***"), "what is past is masked, too");
    told(&ann, "RESET tributary.as_of").await.unwrap();
    let prepared = ann.prepare("SELECT salary::float8 FROM employee WHERE id = $1").await.unwrap();
    let row = ann.query_one(&prepared, &[&7_i32]).await.unwrap();
    assert_eq!(row.get::<_, Option<f64>>(0), None);
    for whole in [
        "SELECT * FROM employee",
        "EXPLAIN ANALYZE SELECT * FROM employee WHERE salary > 7010",
        "SELECT * FROM diff('crm.employee', 1, 2)",
        "SELECT * FROM tributary.explain('crm.employee', '7')",
        "SELECT * FROM tributary.run",
        "SELECT * FROM tributary.object",
        "SELECT * FROM pg_stats",
    ] {
        let found = told(&ann, whole).await.unwrap();
        for value in [SECRET[1], "7007.00", "7008.00"] {
            assert!(!found.contains(value), "{whole} tells {value}:\n{found}");
        }
    }
    let copied =
        copied(&ann, "COPY (SELECT id, salary, iban FROM employee ORDER BY id LIMIT 1) TO STDOUT").await;
    assert_eq!(copied, "1\t\\N\tD***\n");
    // Admins see what there is, and so does whoever was granted the field by itself.
    assert_eq!(server.rows(&["SELECT salary, iban FROM employee WHERE id = 7"]), "7008.00|DE77x");
    server.rows(&["GRANT SELECT (salary) ON crm.employee TO ann"]);
    assert_eq!(told(&ann, "SELECT salary, iban FROM employee WHERE id = 7").await.unwrap(), "7008.00|D***");
    server.rows(&["CALL set_mask('crm', 'employee', 'iban', 'none')"]);
    assert_eq!(told(&ann, "SELECT salary, iban FROM employee WHERE id = 7").await.unwrap(), "7008.00|DE77x");
    let audit = "SELECT count(*) FROM tributary.audit WHERE verb = 'set_mask' AND outcome = 'done'";
    assert_eq!(server.rows(&[audit]), "3");
}

async fn copied(client: &tokio_postgres::Client, sql: &str) -> String {
    use futures::TryStreamExt;
    let chunks: Vec<_> = client.copy_out(sql).await.unwrap().try_collect().await.unwrap();
    String::from_utf8(chunks.concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_beside_the_rows_tells_a_masked_value() {
    let (database, server) = staffed().await;
    server.rows(&[
        "CALL set_gate('crm', 'employee', rule => 'sum', field => 'salary', max => 5)",
        "CALL sync('crm', 'full')",
        "GRANT SELECT ON crm.employee TO ann",
        "CALL override('crm.employee', '7', 'salary', '7070.70', reason => 'a raise')",
        "CALL override('crm.employee', '7', 'name', 'Anna', reason => 'married')",
        &format!("CREATE USER tom PASSWORD '{PASSWORD}'"),
        "CALL set_role('tom', 'auditor')",
    ]);
    database.execute("UPDATE employee SET salary = salary * 2, updated_at = now()").await;
    let held = server.rows(&["CALL sync('crm', 'full')"]);
    assert!(held.contains("|held|") && held.contains("the sum of `salary`"), "{held}");
    let tables = [
        "SELECT * FROM tributary.override",
        "SELECT * FROM tributary.run",
        "SELECT * FROM tributary.object",
        "SELECT * FROM tributary.gate_result",
        "SELECT * FROM tributary.alert",
        "SELECT * FROM tributary.batch_step",
        "SELECT * FROM tributary.misfit",
        "SELECT * FROM tributary.quarantine",
        "SELECT * FROM tributary.health",
        "SELECT * FROM tributary.explain('crm.employee', '7')",
    ];
    let ann = ann(&server).await;
    let (tom, connection) = server.config_of("tom", PASSWORD).connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    // The sum of all salaries, before and after; what the override says and what it replaced.
    let values = ["351275", "702550", "7070.70", "7007.00"];
    let mut open = String::new();
    for table in tables {
        open += &told(&ann, table).await.unwrap();
    }
    for value in values {
        assert!(open.contains(value), "{value} is told where nothing is masked:\n{open}");
    }
    server.rows(&["CALL set_mask('crm', 'employee', 'salary', 'hidden')"]);
    for (who, client) in [("ann", &ann), ("tom", &tom)] {
        for table in tables {
            let Ok(found) = told(client, table).await else { continue };
            for value in values {
                assert!(!found.contains(value), "{table} tells {who} {value}:\n{found}");
            }
        }
    }
    let overrides =
        told(&ann, "SELECT field, value, old_value FROM tributary.override ORDER BY field").await.unwrap();
    assert_eq!(overrides, "name|Anna|name 7\nsalary|NULL|NULL");
    let run = told(&ann, "SELECT cause FROM tributary.run ORDER BY id DESC LIMIT 1").await.unwrap();
    assert!(run.starts_with("not told"), "{run}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_masked_is_refused_in_words() {
    let (_database, server) = staffed().await;
    for (call, words) in [
        ("CALL set_mask('crm', 'employee', 'id', 'hidden')", "is a unique field and cannot be masked"),
        ("CALL set_mask('crm', 'employee', 'salary', 'partial')", "has no first character"),
        ("CALL set_mask('crm', 'employee', 'salary', 'gone')", "unknown mask `gone`"),
        ("CALL set_mask('crm', 'employee', 'wage', 'hidden')", "column \"wage\""),
        ("CALL set_mask('crm', 'employe', 'salary', 'hidden')", "did you mean"),
    ] {
        let error = server.error(call);
        assert!(error.contains(words), "{call}: {error}");
    }
    server.rows(&["CALL set_mask('crm', 'employee', 'salary', 'hidden')"]);
    let shown = "SELECT connection, object, field, mask FROM tributary.mask";
    assert_eq!(server.rows(&[shown]), "crm|employee|salary|hidden");
    assert_eq!(server.rows(&["SELECT mask FROM tributary.field WHERE name = 'salary'"]), "hidden");
    // It belongs to the field, whatever that is called, and stays through a drop.
    server.rows(&[
        "CALL rename_field('crm', 'employee', 'salary', 'wage')",
        "CALL drop_object('crm', 'employee')",
        "CALL undrop_object('crm', 'employee')",
        "GRANT SELECT ON ALL TABLES IN SCHEMA crm TO ann",
    ]);
    assert_eq!(server.rows(&[shown]), "crm|employee|wage|hidden");
    assert_eq!(
        told(&ann(&server).await, "SELECT count(wage), count(*) FROM employee").await.unwrap(),
        "0|50"
    );
}
