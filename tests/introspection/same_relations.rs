//! The relations of the catalog and their columns are those of a real PostgreSQL 15.

use std::collections::BTreeMap;

use super::*;

/// `schema.relation` with its columns, each with its type, from the catalog itself.
const COLUMNS: &str = "
    SELECT n.nspname || '.' || c.relname, c.relkind::text, a.attnum::int4, a.attname::text, a.atttypid::int8,
           a.atttypmod, a.attnotnull
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v') AND a.attnum > 0
    ORDER BY 1, 3";

type Relations = BTreeMap<String, Vec<String>>;

async fn listed(client: &tokio_postgres::Client) -> Relations {
    let mut relations = Relations::new();
    for row in client.query(COLUMNS, &[]).await.unwrap() {
        let (name, kind, number): (String, String, i32) = (row.get(0), row.get(1), row.get(2));
        let (column, oid, modifier, not_null): (String, i64, i32, bool) =
            (row.get(3), row.get(4), row.get(5), row.get(6));
        let entry = format!("{kind} {number} {column} {oid} {modifier} {not_null}");
        relations.entry(name).or_default().push(entry);
    }
    relations
}

/// Differences that are meant, one a line: `schema.relation column expected found`.
const EXPECTED: &str = include_str!("differences.txt");

#[tokio::test(flavor = "multi_thread")]
async fn every_relation_has_the_columns_of_postgresql() {
    let both = &*BOTH;
    let (theirs, ours) = (both.source.connect().await, both.server.connect().await);
    let (expected, found) = (listed(&theirs).await, listed(&ours).await);
    assert!(expected.len() > 200, "{}", expected.len());
    for (name, columns) in &expected {
        assert_eq!(found.get(name), Some(columns), "{name}");
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
}

/// What a client is told of the columns when it asks for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn every_relation_is_described_as_postgresql_does() {
    let both = &*BOTH;
    let (theirs, ours) = (both.source.connect().await, both.server.connect().await);
    let mut differences = Vec::new();
    for name in listed(&theirs).await.keys() {
        let sql = format!("SELECT * FROM {name}");
        let describe = |statement: &tokio_postgres::Statement| {
            let columns = statement.columns().iter();
            columns.map(|column| (column.name().to_string(), column.type_().oid())).collect::<Vec<_>>()
        };
        let expected = describe(&theirs.prepare(&sql).await.unwrap());
        let found = ours.prepare(&sql).await;
        let found = describe(&found.unwrap_or_else(|error| panic!("{name}: {error:?}")));
        assert_eq!(expected.len(), found.len(), "{name}");
        for ((column, expected), (found_name, found)) in expected.iter().zip(&found) {
            assert_eq!(column, found_name, "{name}");
            if expected != found {
                differences.push(format!("{name} {column} {expected} {found}"));
            }
        }
    }
    let meant: Vec<_> = EXPECTED.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(differences, meant);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_relation_can_be_read_in_either_format() {
    let both = &*BOTH;
    let (theirs, ours) = (both.source.connect().await, both.server.connect().await);
    for name in listed(&theirs).await.keys() {
        let sql = format!("SELECT * FROM {name}");
        ours.simple_query(&sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        ours.query(&sql, &[]).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}

/// Rows that are the same in every PostgreSQL, compared by their text.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_every_postgresql_are_here_too() {
    let both = &*BOTH;
    let (theirs, ours) = (both.source.connect().await, both.server.connect().await);
    let kept = |rows: Vec<tokio_postgres::SimpleQueryMessage>| {
        let rows = rows.into_iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_string)).collect::<Vec<_>>())
            }
            _ => None,
        });
        rows.collect::<Vec<_>>()
    };
    for sql in [
        "SELECT oid, typname, typlen, typbyval, typtype, typcategory, typelem, typarray, typinput, typoutput::text,
             typreceive::regproc, typsend::oid, format_type(oid, NULL), format_type(oid, -1), oid::regtype AS name
         FROM pg_type WHERE oid < 10000 ORDER BY oid",
        "SELECT oid, oid::regprocedure AS name, proname, prokind, prorettype::regtype, proargtypes, proargnames,
             pg_get_function_arguments(oid), pg_get_function_identity_arguments(oid), pg_get_function_result(oid),
             obj_description(oid, 'pg_proc')
         FROM pg_proc WHERE oid < 10000 ORDER BY oid",
        "SELECT oid, oid::regoperator AS name, oprcode, oprrest, obj_description(oid, 'pg_operator')
         FROM pg_operator ORDER BY oid",
        "SELECT * FROM pg_am ORDER BY oid",
        "SELECT * FROM pg_cast ORDER BY oid",
        "SELECT * FROM pg_amop ORDER BY oid",
        "SELECT * FROM pg_range ORDER BY rngtypid",
        "SELECT aggfnoid, aggkind, aggtransfn, aggfinalfn, agginitval FROM pg_aggregate ORDER BY aggfnoid::oid",
        "SELECT indexrelid::regclass, indrelid::regclass, indkey, indclass, indisunique, indisprimary,
             pg_get_indexdef(indexrelid), pg_get_indexdef(indexrelid, 1, true)
         FROM pg_index WHERE indexrelid < 10000 ORDER BY indexrelid",
        "SELECT conname, contype, conrelid::regclass, conkey, pg_get_constraintdef(oid) FROM pg_constraint
         WHERE connamespace = 'pg_catalog'::regnamespace ORDER BY conname",
        "SELECT viewname, definition, pg_get_viewdef(('pg_catalog.' || viewname)::regclass) = definition
         FROM pg_views WHERE schemaname = 'pg_catalog' ORDER BY viewname",
        "SELECT * FROM information_schema.sql_features ORDER BY feature_id, sub_feature_id",
        "SELECT word, catcode, catdesc FROM pg_get_keywords() ORDER BY 1",
        "SELECT table_name, column_name, ordinal_position, is_nullable, data_type, character_maximum_length,
             character_octet_length, numeric_precision, numeric_precision_radix, numeric_scale, datetime_precision,
             collation_name, domain_name, udt_schema, udt_name, dtd_identifier, is_identity, is_generated
         FROM information_schema.columns WHERE table_schema IN ('pg_catalog', 'information_schema')
         ORDER BY table_schema, table_name, ordinal_position",
        "SELECT specific_name, routine_name, routine_type, data_type, type_udt_name, routine_body, is_deterministic,
             is_null_call, security_type, external_language
         FROM information_schema.routines WHERE specific_schema = 'pg_catalog'
             AND routine_name NOT LIKE 'plpgsql%' ORDER BY specific_name",
        "SELECT specific_name, ordinal_position, parameter_mode, parameter_name, data_type, udt_name
         FROM information_schema.parameters WHERE specific_schema = 'pg_catalog'
             AND specific_name NOT LIKE 'plpgsql%' ORDER BY specific_name, ordinal_position",
    ] {
        let expected = kept(theirs.simple_query(sql).await.unwrap());
        let found = kept(ours.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error:?}")));
        assert!(expected.len() > 5, "{sql}");
        let different = expected.iter().zip(&found).find(|(a, b)| a != b);
        assert!(different.is_none(), "{sql}\n{different:?}");
        assert_eq!(expected.len(), found.len(), "{sql}");
    }
}
