//! The catalog of a large company.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tributary::model::{FieldType, ObjectField, Release, ReleaseObject};

use crate::support::company::{Company, run};

const OBJECTS: usize = 300;
const FIELDS: usize = 200;

fn release() -> Release {
    let field = |place: usize| ObjectField {
        api: format!("Field{place}"),
        name: format!("field_{place}"),
        column: format!("field_{place}"),
        label: format!("Field {place}"),
        data_type: if place.is_multiple_of(2) { FieldType::Int64 } else { FieldType::Decimal(18, 2) },
        native_type: "number".into(),
        note: None,
        selected: true,
        key_position: (place == 0).then_some(0),
        is_name: false,
        volatile: false,
    };
    let object = |place: usize| ReleaseObject {
        object_id: format!("object-{place}"),
        connection: "wide".into(),
        name: format!("object_{place}"),
        version: 1,
        rows: 1_000,
        fields: (0..FIELDS).map(field).collect(),
        overrides: None,
    };
    Release { id: 2, published_at: 0, cause: "sync 2".into(), objects: (0..OBJECTS).map(object).collect() }
}

/// The statements that tools begin with. The bound is far above what a build with optimisation takes, and far below
/// what a plan takes that compares everything with everything.
#[tokio::test(flavor = "multi_thread")]
async fn what_tools_begin_with_takes_no_time() {
    let company = Company::new();
    company.engine.publish(Arc::new(release()));
    let session = company.admin();
    for (sql, rows) in [
        ("SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c
              LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relname OPERATOR(pg_catalog.~) '^(object_7)$' COLLATE pg_catalog.default
              AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3", 1),
        ("SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
              (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d
               WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull,
              (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t
               WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation)
          FROM pg_catalog.pg_attribute a
          WHERE a.attrelid = 'wide.object_7'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum", FIELDS),
        ("SELECT n.nspname, c.relname, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END,
              pg_catalog.pg_get_userbyid(c.relowner)
          FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('r','p','v','m','S','f','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast'
              AND n.nspname <> 'information_schema' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2", OBJECTS),
        ("SELECT nsp.nspname, cls.relname, att.attname, att.atttypid::regtype::text, att.atthasdef,
              pg_catalog.pg_get_expr(def.adbin, def.adrelid, true)
          FROM pg_catalog.pg_attribute att INNER JOIN pg_catalog.pg_class cls ON att.attrelid = cls.oid
              INNER JOIN pg_catalog.pg_namespace nsp ON cls.relnamespace = nsp.oid
              LEFT OUTER JOIN pg_attrdef def ON def.adrelid = att.attrelid AND def.adnum = att.attnum
          WHERE cls.relkind = ANY (ARRAY['r']) AND nspname = 'wide' AND NOT att.attisdropped AND att.attnum > 0
          ORDER BY 1, 2, att.attnum", OBJECTS * FIELDS),
        ("SELECT column_name, data_type, udt_name FROM information_schema.columns
          WHERE table_schema = 'wide' AND table_name = 'object_7' ORDER BY ordinal_position", FIELDS),
        ("SELECT tc.table_name, kcu.column_name FROM information_schema.table_constraints tc
              JOIN information_schema.key_column_usage kcu ON kcu.constraint_name = tc.constraint_name
                  AND kcu.table_name = tc.table_name
          WHERE tc.constraint_type = 'PRIMARY KEY' AND tc.table_schema = 'wide'", OBJECTS),
    ] {
        for time in ["first", "again"] {
            let started = Instant::now();
            let answer = run(&session, sql).await.unwrap();
            let took = started.elapsed();
            eprintln!("{time}: {took:?} {}", &sql[..60]);
            assert_eq!(answer.rows.len(), rows, "{sql}");
            assert!(took < Duration::from_secs(30), "{took:?}\n{sql}");
        }
    }
}
