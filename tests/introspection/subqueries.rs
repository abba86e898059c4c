//! Subqueries that refer outside of themselves, and sets taken apart: what the tools' statements are made of, with the
//! answers of the source itself.

use super::*;

#[test]
fn they_give_what_postgresql_gives() {
    for sql in [
        // In a select list: without an aggregate, by other conditions than equality, twice, within each other.
        "SELECT id, (SELECT l.price FROM crm.line l WHERE l.opportunity = o.id AND l.number = 1) FROM crm.opportunity o
         WHERE id < 5 ORDER BY id",
        "SELECT id, (SELECT count(*) FROM crm.line l WHERE l.opportunity < o.id) FROM crm.opportunity o WHERE id < 5
         ORDER BY id",
        "SELECT id, (SELECT count(*) FROM crm.line l WHERE l.opportunity = o.id),
             (SELECT max(price) FROM crm.line l WHERE l.opportunity <= o.id AND l.number < o.id)
         FROM crm.opportunity o WHERE id < 5 ORDER BY id",
        "SELECT id, (SELECT l.price FROM crm.line l WHERE l.opportunity = o.id ORDER BY price DESC LIMIT 1)
         FROM crm.opportunity o WHERE id < 5 ORDER BY id",
        "SELECT id, (SELECT sum((SELECT o.amount * l.price)) FROM crm.line l WHERE l.opportunity = o.id)
         FROM crm.opportunity o WHERE id < 4 ORDER BY id",
        "SELECT id, EXISTS (SELECT 1 FROM crm.line l WHERE l.opportunity = o.id AND l.price > o.amount)
         FROM crm.opportunity o WHERE id < 5 ORDER BY id",
        "SELECT id, EXISTS (SELECT 1 FROM crm.line l WHERE l.opportunity < o.id LIMIT 1) FROM crm.opportunity o
         WHERE id < 4 ORDER BY id",
        "SELECT id, ARRAY(SELECT number FROM crm.line l WHERE l.opportunity = o.id ORDER BY number DESC)
         FROM crm.opportunity o WHERE id < 4 ORDER BY id",
        "SELECT ARRAY(SELECT DISTINCT opportunity FROM crm.line WHERE number > 9)",
        "SELECT id, (SELECT name FROM crm.opportunity i WHERE i.id = o.id UNION ALL SELECT 'x' WHERE o.id > 500)
         FROM crm.opportunity o WHERE id < 4 ORDER BY id",
        "SELECT id, (SELECT name FROM crm.opportunity i WHERE i.id <= o.id ORDER BY amount DESC LIMIT 1 OFFSET 1)
         FROM crm.opportunity o WHERE id < 4 ORDER BY id",
        "SELECT id, (WITH RECURSIVE steps(n, depth) AS (
                 SELECT o.id, 0 UNION ALL SELECT i.id - 1, s.depth + 1 FROM crm.opportunity i, steps s
                 WHERE i.id = s.n AND i.id > 1)
             SELECT count(*) FROM steps)
         FROM crm.opportunity o WHERE id < 5 ORDER BY id",
        // In a condition, and grouped.
        "SELECT id FROM crm.opportunity o WHERE amount > (SELECT l.price FROM crm.line l
             WHERE l.opportunity = o.id AND l.number = 2) ORDER BY id",
        "SELECT is_won, count((SELECT l.price FROM crm.line l WHERE l.opportunity = o.id AND l.number = 1))
         FROM crm.opportunity o GROUP BY is_won ORDER BY 1",
        // Beside the table.
        "SELECT o.id, t.tag, t.place FROM crm.opportunity o, unnest(o.tags) WITH ORDINALITY AS t(tag, place)
         WHERE o.id < 3 ORDER BY 1, 3",
        "SELECT o.id, n FROM crm.opportunity o CROSS JOIN LATERAL generate_series(1, o.id) AS n WHERE o.id < 4
         ORDER BY 1, 2",
        "SELECT o.id, x.price FROM crm.opportunity o LEFT JOIN LATERAL (SELECT price FROM crm.line l
             WHERE l.opportunity = o.id ORDER BY price DESC LIMIT 1) AS x ON true WHERE o.id < 5 ORDER BY 1",
        "SELECT o.id, x.n FROM crm.opportunity o, LATERAL (SELECT count(*) AS n FROM crm.line l
             WHERE l.opportunity = o.id) AS x WHERE o.id < 4 ORDER BY 1",
        "SELECT * FROM unnest(ARRAY['a','b']) WITH ORDINALITY AS t(x, n) ORDER BY n",
        "SELECT id, generate_subscripts(tags, 1) FROM crm.opportunity WHERE id < 3 ORDER BY 1, 2",
        // What is written in full.
        "SELECT id FROM crm.opportunity WHERE name OPERATOR(pg_catalog.~) '^Deal 1$' COLLATE pg_catalog.default",
        "SELECT pg_catalog.upper(name) FROM crm.opportunity WHERE id OPERATOR(pg_catalog.=) 1",
    ] {
        let ask = |mut command: Command| {
            let out = command.args(["-X", "-A", "-t", "-c", sql]).output().unwrap();
            (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
        };
        let (expected, found) = (ask(to_source(&BOTH.source, "psql")), ask(BOTH.server.client("psql")));
        assert_eq!(found, expected, "{sql}");
    }
}

#[test]
fn more_than_one_row_for_a_value_is_an_error() {
    let sql = "SELECT (SELECT l.price FROM crm.line l WHERE l.opportunity = o.id) FROM crm.opportunity o WHERE id < 3";
    let said = BOTH.server.error(sql);
    assert!(said.contains("21000") && said.contains("more than one row returned"), "{said}");
}
