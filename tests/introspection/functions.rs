//! Functions and casts over the catalog.

use super::*;

/// Statements with one value each.
#[test]
fn names_and_numbers_lead_to_each_other() {
    for (sql, expected) in [
        ("SELECT 'crm.opportunity'::regclass", "opportunity"),
        ("SELECT 'opportunity'::regclass::oid = 'crm.opportunity'::regclass::oid", "t"),
        ("SELECT oid::regclass FROM pg_class WHERE relname = 'opportunity_pkey'", "opportunity_pkey"),
        ("SELECT 'pg_catalog.pg_class'::regclass::oid", "1259"),
        ("SELECT 1259::regclass", "pg_class"),
        ("SELECT 'information_schema.tables'::regclass", "information_schema.tables"),
        ("SELECT '16383'::regclass", "16383"),
        ("SELECT to_regclass('crm.nothing') IS NULL", "t"),
        ("SELECT to_regclass('crm.opportunity')", "opportunity"),
        ("SELECT 'int4'::regtype", "integer"),
        ("SELECT '{int,text}'::regtype[]", "{integer,text}"),
        ("SELECT 'crm.opportunity'::regtype", "opportunity"),
        ("SELECT to_regtype('timestamp(3) with time zone')", "timestamp with time zone"),
        ("SELECT 'upper(text)'::regprocedure::oid", "871"),
        ("SELECT 'boolin'::regproc", "boolin"),
        ("SELECT 'admin'::regrole", "admin"),
        ("SELECT 'crm'::regnamespace", "crm"),
        ("SELECT format_type(1700, 1179654)", "numeric(18,2)"),
        ("SELECT format_type(1043, 44), format_type(1042, -1), format_type(NULL, 1)", "character varying(40)|bpchar|"),
        ("SELECT pg_get_userbyid(10), pg_get_userbyid(7)", "tributary|unknown (OID=7)"),
        ("SELECT current_schema, current_schemas(true)", "public|{pg_catalog,public}"),
        ("SELECT pg_encoding_to_char(encoding) FROM pg_database", "UTF8"),
        ("SELECT quote_ident('select'), quote_ident('a b'), quote_ident('plain')", "\"select\"|\"a b\"|plain"),
        ("SELECT pg_size_pretty(10239::bigint), pg_size_pretty(10240::bigint)", "10239 bytes|10 kB"),
        ("SELECT pg_size_pretty(1536000000::bigint), pg_size_pretty(-20480::bigint)", "1465 MB|-20 kB"),
        ("SELECT pg_size_bytes('1.5 GB')", "1610612736"),
        ("SELECT pg_get_indexdef('crm.line_pkey'::regclass)",
            "CREATE UNIQUE INDEX line_pkey ON crm.line USING btree (opportunity, number)"),
        ("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'line_pkey'",
            "PRIMARY KEY (opportunity, number)"),
        ("SELECT obj_description('crm.opportunity'::regclass), col_description('crm.opportunity'::regclass, 3)",
            "Deals|Amount in EUR"),
        ("SELECT pg_relation_size('crm.opportunity') > 0, pg_database_size(current_database()) > 0", "t|t"),
        ("SELECT pg_get_serial_sequence('crm.opportunity', 'id') IS NULL", "t"),
        ("SELECT reltuples, relkind FROM pg_class WHERE relname = 'opportunity'", "100|r"),
        ("SELECT n_live_tup, last_analyze IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'opportunity'", "100|t"),
        ("SELECT indkey[0], indkey[1], indkey FROM pg_index WHERE indexrelid = 'crm.line_pkey'::regclass", "1|2|1 2"),
        ("SELECT tableoid::regclass FROM pg_am LIMIT 1", "pg_am"),
        ("SELECT c.tableoid::regclass FROM crm.line AS c LIMIT 1", "line"),
        ("SELECT attname FROM pg_attribute a JOIN pg_index i ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
          WHERE i.indrelid = 'crm.line'::regclass ORDER BY attnum LIMIT 1", "opportunity"),
        ("SELECT pg_table_is_visible('crm.line'::regclass), pg_table_is_visible('pg_class'::regclass)", "t|t"),
        ("SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid() AND usename = current_user", "1"),
        ("SELECT count(*) > 400 FROM pg_timezone_names", "t"),
    ] {
        assert_eq!(BOTH.server.rows(&[sql]), expected, "{sql}");
    }
}

#[test]
fn the_search_path_decides_what_needs_its_schema() {
    let last = |sql: &str| {
        let rows = BOTH.server.rows(&["SET search_path = crm", sql]);
        rows.lines().last().unwrap().to_string()
    };
    assert_eq!(last("SELECT current_schema()"), "crm");
    assert_eq!(last("SELECT current_schemas(false)"), "{crm}");
    assert_eq!(last("SELECT 'crm.line'::regclass"), "line");
}

#[test]
fn mistakes_are_told_as_postgresql_tells_them() {
    for (sql, state) in [
        ("SELECT 'crm.nothing'::regclass", "42P01"),
        ("SELECT 'nothing'::regtype", "42704"),
        ("SELECT 'nothing'::regproc", "42883"),
        ("SELECT 'upper'::regproc", "42725"),
        ("SELECT 'nobody'::regrole", "42704"),
        ("SELECT 'nowhere'::regnamespace", "3F000"),
        ("SELECT 'x'::oid", "22P02"),
        ("SELECT pg_get_serial_sequence('crm.line', 'nothing')", "42703"),
        ("SELECT pg_size_bytes('1 XB')", "22023"),
        ("SELECT * FROM pg_catalog.nothing", "42P01"),
        ("SELECT nothing FROM pg_class", "42703"),
    ] {
        let said = BOTH.server.error(sql);
        assert!(said.contains(state), "{sql}\n{said}");
    }
}
