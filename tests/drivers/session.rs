//! Settings, transactions, prepared statements, COPY and what changes nothing: as PostgreSQL answers them.

use super::psql::{on_both, same_on_both, same_script};

#[test]
fn settings_are_checked_and_shown_alike() {
    same_script(
        "SET work_mem='8MB'; SHOW work_mem; SET work_mem='x'; SET work_mem='8XB'; SET work_mem=1; SET work_mem='99999999999';
         SET work_mem = '1.5 MB'; SHOW work_mem; SET work_mem = '0x100000'; SHOW work_mem; SET work_mem = 1, 2; RESET work_mem;
         SET statement_timeout='1500'; SHOW statement_timeout; SET statement_timeout='2 min'; SHOW statement_timeout;
         SET statement_timeout=-1; SET statement_timeout='1.5s'; SHOW statement_timeout; SET statement_timeout='1x';
         RESET statement_timeout; SHOW statement_timeout;
         SET bytea_output=foo; SET bytea_output=ESCAPE; SHOW bytea_output; RESET bytea_output;
         SET enable_seqscan=foo; SET enable_seqscan=of; SHOW enable_seqscan; SET enable_seqscan=o; SET enable_seqscan TO DEFAULT;
         SET random_page_cost='abc'; SET random_page_cost=-1; SET random_page_cost=1.50; SHOW random_page_cost; RESET random_page_cost;
         SET server_version='x'; SET max_connections=5; SET archive_command='x'; SET ignore_system_indexes=on; SET is_superuser=on;
         SET a.b=1; SHOW a.b; RESET a.b; SHOW a.b; SHOW x.y; RESET x.y; SHOW x.y; SET \"a b.c\"=1; SET a.b.c='q'; SHOW a.b.c;
         SET nosuch=1; RESET nosuch; SET bogus TO DEFAULT; SHOW bogus;
         SELECT current_setting('nosuch'); SELECT current_setting('nosuch', true); SELECT current_setting(NULL);
         SELECT set_config('a.b','x',true); SHOW a.b; SELECT set_config('work_mem',NULL,false); SELECT set_config(NULL,'x',false);
         BEGIN; SELECT set_config('a.b','x',true); SHOW a.b; COMMIT; SHOW a.b;
         SELECT set_config(name, '9MB', false) FROM (VALUES ('work_mem'), ('maintenance_work_mem')) v(name); SHOW maintenance_work_mem;
         SELECT set_config(name, '7MB', false) FROM (VALUES ('work_mem')) v(name) WHERE false; SHOW work_mem; RESET ALL;
         SET datestyle='sql, dmy'; SHOW datestyle; SET datestyle=german; SHOW datestyle; SET datestyle='foo'; SET datestyle='iso,sql';
         SET datestyle='ymd'; SHOW datestyle; SET datestyle = DEFAULT; SHOW datestyle; SET datestyle TO postgres, european; SHOW datestyle;
         SET datestyle='us, noneuropean'; SHOW datestyle; SET datestyle='mdy,dmy'; RESET datestyle;
         SET intervalstyle='SQL_Standard'; SHOW intervalstyle; RESET intervalstyle;
         SET client_encoding='xx'; SET client_encoding='unicode'; SHOW client_encoding; SET NAMES; SHOW client_encoding;
         SET client_min_messages=debug; SHOW client_min_messages; SET client_min_messages=fatal; SET client_min_messages=info;
         SHOW client_min_messages; RESET client_min_messages;
         SET synchronous_commit=true; SHOW synchronous_commit; SET backslash_quote=yes; SHOW backslash_quote; RESET ALL;
         SET search_path = \"$user\", public, 'A b'; SHOW search_path; SET search_path=''; SHOW search_path;
         SET search_path='a, \"B c\"'; SHOW search_path; SET search_path TO 'x','y'; SHOW search_path; RESET search_path;
         SET application_name = 'é'; SHOW application_name; RESET application_name;
         SET lc_numeric = 'nowhere'; SET default_tablespace = 'nowhere'; SET default_table_access_method = 'x';
         SET search_path TO 'a b'; SHOW search_path; SELECT set_config('search_path', 'a b', false); RESET search_path;
         SHOW server_version_num; SHOW lc_collate; SHOW lc_ctype; SHOW server_encoding; SHOW max_identifier_length; SHOW block_size;
         SHOW integer_datetimes; SHOW standard_conforming_strings; SHOW in_hot_standby; SHOW seed; SHOW role; SHOW is_superuser;
         SHOW unix_socket_permissions; SHOW wal_segment_size; SHOW default_text_search_config; SHOW DateStyle; SHOW IntervalStyle;",
    );
    let [expected, found] =
        on_both(&["-A", "-F", "\t", "-c", "SHOW datestyle", "-c", "show TIMEZONE", "-c", "SHOW search_PATH"]);
    assert_eq!(found, expected, "the column has the name as PostgreSQL writes it");
}

#[test]
fn every_setting_is_listed_alike() {
    // What a machine, a cluster and its tests set differs; what a setting is does not.
    let listed = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains('|') && !line.starts_with("tributary."));
        lines.map(|line| line.to_string()).collect()
    };
    let what = "name, unit, category, short_desc, extra_desc, context, vartype, min_val, max_val, enumvals";
    let [expected, _] = on_both(&[
        "-A",
        "-t",
        "-c",
        &format!("SELECT {what} FROM pg_show_all_settings() ORDER BY lower(name)"),
    ]);
    let [_, found] = on_both(&[
        "-A",
        "-t",
        "-c",
        &format!("SELECT {what} FROM pg_show_all_settings() ORDER BY lower(name)"),
    ]);
    for (found, expected) in listed(&found.0).iter().zip(listed(&expected.0)) {
        assert_eq!(*found, expected);
    }
    assert_eq!(listed(&found.0).len(), listed(&expected.0).len(), "{}", found.1);
    assert!(listed(&found.0).len() > 350);
    let [expected, found] = on_both(&["-A", "-t", "-c", "SHOW ALL"]).map(|(text, _)| {
        listed(&text).iter().map(|line| line.split('|').next().unwrap().to_string()).collect::<Vec<_>>()
    });
    assert_eq!(found, expected);
}

#[test]
fn transactions_are_begun_ended_and_described_alike() {
    same_script(
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SET transaction_isolation='serializable'; SHOW transaction_isolation;
         SET transaction_read_only=on; SHOW transaction_read_only; SET LOCAL work_mem='1MB';
         BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY; SHOW TRANSACTION ISOLATION LEVEL; SHOW transaction_read_only;
         SET TRANSACTION READ WRITE; SELECT count(*) FROM many; SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
         SET TRANSACTION READ WRITE; SET TRANSACTION DEFERRABLE; COMMIT;
         BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY DEFERRABLE; SHOW transaction_isolation; SHOW transaction_deferrable;
         SHOW transaction_read_only; COMMIT AND CHAIN; SHOW transaction_isolation; ROLLBACK AND CHAIN; SHOW transaction_isolation;
         ROLLBACK AND NO CHAIN; COMMIT AND CHAIN; ROLLBACK AND CHAIN;
         BEGIN READ ONLY; SELECT count(*) FROM many; SET TRANSACTION READ WRITE; ROLLBACK;
         BEGIN; SET TRANSACTION FOO; ROLLBACK;
         SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY; SHOW default_transaction_isolation;
         SHOW default_transaction_read_only; BEGIN; SHOW transaction_isolation; ROLLBACK; RESET ALL; SHOW default_transaction_isolation;
         SET TRANSACTION SNAPSHOT 'x';
         BEGIN; SAVEPOINT a; RELEASE b; ROLLBACK; BEGIN; ROLLBACK TO b; ROLLBACK; SAVEPOINT a; ROLLBACK TO a; RELEASE a;
         BEGIN; SAVEPOINT a; SAVEPOINT a; RELEASE a; ROLLBACK TO a; RELEASE SAVEPOINT a; ROLLBACK TO SAVEPOINT a; COMMIT;
         BEGIN; SAVEPOINT s; SELECT 1/0; SELECT 1; SAVEPOINT t; RELEASE s; ROLLBACK TO s; SELECT 2; COMMIT;
         ABORT; END; COMMIT; BEGIN; BEGIN; COMMIT; START TRANSACTION READ WRITE, ISOLATION LEVEL READ UNCOMMITTED; SHOW transaction_isolation; END WORK;
         BEGIN; SET work_mem = '5MB'; SAVEPOINT a; SET LOCAL work_mem = '6MB'; ROLLBACK TO a; SHOW work_mem; COMMIT; SHOW work_mem;
         DISCARD ALL; DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES; DISCARD FOO; BEGIN; DISCARD ALL; ROLLBACK; SHOW work_mem;",
    );
}

#[test]
fn prepared_statements_are_kept_and_run_alike() {
    same_script(
        "PREPARE p AS SELECT $1::int + 1; EXECUTE p(41); PREPARE p AS SELECT 1; EXECUTE p; EXECUTE p(1, 2); EXECUTE q;
         PREPARE t(int, text) AS SELECT id FROM many WHERE id = $1 AND name = $2; EXECUTE t(5, 'row 5'); EXECUTE t('6', 'row 6');
         DEALLOCATE p; EXECUTE p(1); DEALLOCATE nosuch; DEALLOCATE PREPARE t; DEALLOCATE ALL; EXECUTE t(1, 'x');
         PREPARE l AS SELECT id FROM many ORDER BY id LIMIT $1 OFFSET $2; EXECUTE l(2, 3);
         PREPARE a AS SELECT count(*) FROM many WHERE id = ANY($1); EXECUTE a('{1,2,3}'); EXECUTE a(array[7]);
         PREPARE c AS SELECT coalesce($1, 'nothing'); EXECUTE c(NULL); EXECUTE c('x');
         PREPARE lone AS SELECT $1; EXECUTE lone('text');
         EXPLAIN EXECUTE nosuch; DEALLOCATE ALL;",
    );
}

#[test]
fn copies_are_written_alike() {
    let queries = [
        "every_type",
        "every_type (id, a_text, a_bytea, texts)",
        "(SELECT id, a_text, NULL AS nothing, a_numeric FROM every_type ORDER BY id)",
        "(SELECT a_text FROM every_type ORDER BY id)",
    ];
    let options = [
        "",
        "WITH CSV",
        "WITH CSV HEADER",
        "CSV HEADER DELIMITER ';' NULL '-' QUOTE '''' ESCAPE '\\' FORCE QUOTE *",
        "(FORMAT csv, HEADER true, FORCE_QUOTE (a_text), NULL 'NULL')",
        "(FORMAT csv, QUOTE '|', ESCAPE '!')",
        "(FORMAT text, DELIMITER '|', NULL '')",
        "(DELIMITER ',', HEADER)",
        "WITH (FORMAT csv, FORCE_QUOTE *, ENCODING 'UTF8')",
    ];
    for query in queries {
        for options in options {
            let sql = format!("COPY {query} TO STDOUT {options}");
            let out = same_on_both(&["-c", &sql]);
            assert!(out.lines().count() >= 3, "{sql}: {out}");
        }
    }
    let binary = "COPY (SELECT id, a_boolean, a_bigint, a_double, a_numeric, a_text, a_date, a_timestamptz, integers \
                  FROM every_type ORDER BY id) TO STDOUT (FORMAT binary)";
    let both = super::psql::raw_on_both(&["-c", binary]);
    assert!(both[0] == both[1] && both[0].starts_with(b"PGCOPY\n\xff\r\n\0"), "{both:?}");
    same_script(
        "COPY every_type TO STDOUT (FORMAT foo); COPY every_type TO STDOUT (FOO); COPY every_type TO STDOUT (FORMAT csv, FORMAT csv);
         COPY every_type TO STDOUT (DELIMITER 'ab'); COPY every_type TO STDOUT (DELIMITER 'a'); COPY every_type TO STDOUT (DELIMITER E'\\n');
         COPY every_type TO STDOUT (NULL E'a\\nb'); COPY every_type TO STDOUT (QUOTE 'x'); COPY every_type TO STDOUT (ESCAPE 'x');
         COPY every_type TO STDOUT (FORCE_QUOTE *); COPY every_type TO STDOUT (FORMAT csv, FORCE_NULL (id));
         COPY every_type TO STDOUT (FORMAT csv, FORCE_NOT_NULL (id)); COPY every_type TO STDOUT (FORMAT csv, DELIMITER '\"');
         COPY every_type TO STDOUT (FORMAT csv, NULL ',x'); COPY every_type TO STDOUT (FORMAT csv, NULL '\"');
         COPY every_type TO STDOUT (FORMAT binary, DELIMITER ','); COPY every_type TO STDOUT (FORMAT binary, NULL 'x');
         COPY every_type TO STDOUT (FORMAT binary, HEADER); COPY every_type TO STDOUT (HEADER match); COPY every_type TO STDOUT (HEADER maybe);
         COPY every_type TO STDOUT (FORMAT csv, FORCE_QUOTE (nosuch)); COPY every_type TO STDOUT (ENCODING 'nosuch');
         COPY nosuch TO STDOUT; COPY (SELECT nosuch FROM many) TO STDOUT; COPY every_type (nosuch) TO STDOUT; COPY many TO;
         COPY BINARY nosuch TO STDOUT;",
    );
}

#[test]
fn values_are_written_in_each_style_alike() {
    let mut script = String::new();
    for style in [
        "ISO, DMY",
        "SQL, MDY",
        "SQL, DMY",
        "SQL, YMD",
        "Postgres, MDY",
        "Postgres, DMY",
        "German",
        "ISO, YMD",
    ] {
        for zone in ["UTC", "Europe/Berlin", "America/Sao_Paulo", "<+05:30>-05:30"] {
            script += &format!("SET datestyle = '{style}'; SET timezone = '{zone}';\n");
            script += "SELECT a_date, a_timestamp, a_timestamptz FROM every_type ORDER BY id;
                SELECT array[a_timestamptz], array[a_date] FROM every_type ORDER BY id; COPY (SELECT a_timestamptz FROM every_type ORDER BY id) TO STDOUT;\n";
        }
    }
    script += "RESET ALL;\n";
    for style in ["postgres", "postgres_verbose", "sql_standard", "iso_8601"] {
        script += &format!("SET intervalstyle = '{style}';\n");
        for interval in [
            "1 year 2 months",
            "3 days 4 hours 5 minutes 6 seconds",
            "-4 hours -5 minutes -1 seconds",
            "-1 years -2 months 3 days -4 hours -5 minutes -6.5 seconds",
            "1 day -1 seconds",
            "0",
            "1 month 1 second",
        ] {
            script += &format!("SELECT interval '{interval}';\n");
        }
    }
    for digits in ["-15", "-3", "0", "1", "3"] {
        script += &format!(
            "SET extra_float_digits = {digits}; SELECT a_real, a_double, a_double / 3 FROM every_type ORDER BY id; SELECT 1.0::float8 / 3, 123456789.123::float8, 1e20::float8, 0.1::float4;\n"
        );
    }
    script += "SET bytea_output = 'escape'; SELECT a_bytea FROM every_type ORDER BY id; SELECT decode('5c00ff41', 'hex');";
    same_script(&script);
}

/// The users differ: there the superuser, here one who may only read.
#[test]
fn what_changes_nothing_is_answered_as_to_a_reader() {
    let reader = |text: &str| {
        let [_, found] = on_both(&["-A", "-t", "-v", "VERBOSITY=verbose", "-c", text]);
        format!("{}{}", found.0, found.1.lines().next().unwrap_or_default())
    };
    for (text, expected) in [
        (
            "VACUUM many",
            "VACUUM\nWARNING:  01000: skipping \"many\" --- only table or database owner can vacuum it",
        ),
        ("VACUUM (FULL, VERBOSE) crm.many, every_type(id)", "VACUUM\nWARNING:  01000: skipping \"many\""),
        (
            "ANALYZE many(id)",
            "ANALYZE\nWARNING:  01000: skipping \"many\" --- only table or database owner can analyze it",
        ),
        ("VACUUM", "VACUUM\n"),
        ("VACUUM nosuch", "ERROR:  42P01: relation \"nosuch\" does not exist"),
        ("VACUUM (FOO) many", "ERROR:  42601: unrecognized VACUUM option \"foo\""),
        ("LOCK many", "ERROR:  25P01: LOCK TABLE can only be used in transaction blocks"),
        ("COMMENT ON TABLE many IS 'x'", "ERROR:  42501: must be owner of table many"),
        ("COMMENT ON COLUMN crm.many.id IS NULL", "ERROR:  42501: must be owner of relation many"),
        ("COMMENT ON TABLE nosuch IS 'x'", "ERROR:  42P01: relation \"nosuch\" does not exist"),
        ("DO $$ begin end $$", "ERROR:  42704: language \"plpgsql\" does not exist"),
        (
            "CREATE TEMP TABLE x (a int)",
            "ERROR:  42501: permission denied to create temporary tables in database \"company\"",
        ),
        ("CREATE TEMP TABLE x AS SELECT 1", "ERROR:  42501: permission denied to create temporary tables"),
        (
            "CREATE UNLOGGED TABLE x (a int)",
            "ERROR:  25006: cannot execute CREATE TABLE in a read-only transaction",
        ),
        ("UPDATE many SET id = 1", "ERROR:  25006: cannot execute UPDATE in a read-only transaction"),
        ("DELETE FROM many", "ERROR:  25006: cannot execute DELETE in a read-only transaction"),
        ("TRUNCATE many", "ERROR:  25006: cannot execute TRUNCATE TABLE in a read-only transaction"),
        ("DROP TABLE many", "ERROR:  25006: cannot execute DROP TABLE in a read-only transaction"),
        (
            "CREATE MATERIALIZED VIEW v AS SELECT 1",
            "ERROR:  25006: cannot execute CREATE MATERIALIZED VIEW in a read-only transaction",
        ),
        (
            "SELECT * FROM many FOR UPDATE",
            "ERROR:  25006: cannot execute SELECT FOR UPDATE in a read-only transaction",
        ),
        ("EXPLAIN DELETE FROM many", "ERROR:  25006: cannot execute DELETE in a read-only transaction"),
        ("COPY many FROM STDIN", "ERROR:  25006: cannot execute COPY FROM in a read-only transaction"),
        (
            "COPY many TO '/tmp/x'",
            "ERROR:  42501: must be superuser or have privileges of the pg_write_server_files role to COPY to a file",
        ),
        (
            "COPY many TO PROGRAM 'x'",
            "ERROR:  42501: must be superuser or have privileges of the pg_execute_server_program role to COPY to or from an external program",
        ),
        (
            "CHECKPOINT",
            "ERROR:  42501: must be superuser or have privileges of pg_checkpoint to do CHECKPOINT",
        ),
    ] {
        let found = reader(text);
        assert!(found.starts_with(expected), "{text}\n{found}");
    }
    let [_, found] = on_both(&[
        "-A",
        "-t",
        "-c",
        "BEGIN",
        "-c",
        "LOCK TABLE many, ONLY every_type IN ACCESS SHARE MODE NOWAIT",
        "-c",
        "VACUUM many",
        "-c",
        "ROLLBACK",
        "-c",
        "BEGIN",
        "-c",
        "LOCK many IN SHARE ROW EXCLUSIVE MODE",
        "-c",
        "ROLLBACK",
        "-c",
        "BEGIN",
        "-c",
        "LOCK many IN foo MODE",
        "-c",
        "ROLLBACK",
    ]);
    assert_eq!(found.0, "BEGIN\nLOCK TABLE\nROLLBACK\nBEGIN\nROLLBACK\nBEGIN\nROLLBACK\n");
    assert_eq!(found.1, "ERROR:  25001\nERROR:  42501\nERROR:  42601\n");
}

#[test]
fn plans_are_shown_as_postgresql_shows_them() {
    let explain = |sql: &str| {
        let [_, found] = on_both(&["-A", "-t", "-c", sql]);
        assert!(found.1.is_empty(), "{sql}: {}", found.1);
        found.0
    };
    let text = explain("EXPLAIN SELECT name FROM many m WHERE id > 10 ORDER BY name DESC LIMIT 3");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("Limit  (cost=") && lines[0].contains(" rows=3 width="), "{text}");
    let scan =
        lines.iter().find(|line| line.contains("Seq Scan on many m")).unwrap_or_else(|| panic!("{text}"));
    assert!(scan.trim_start().starts_with("->  Seq Scan on many m  (cost=0.00.."), "{text}");
    assert!(text.contains("Sort Key: name") && text.contains("Filter: (id > 10)"), "{text}");
    let plain = explain("EXPLAIN (COSTS OFF) SELECT count(*), name FROM many GROUP BY name");
    assert!(
        plain.contains("HashAggregate") && plain.contains("Group Key: name") && !plain.contains("cost="),
        "{plain}"
    );
    let ran = explain("EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM many WHERE id <= 10");
    assert!(ran.contains("(actual rows=10 loops=1)") && ran.contains("Execution Time: "), "{ran}");
    let ran = explain("EXPLAIN ANALYZE SELECT sum(b.id + a.id) FROM many a JOIN every_type b ON a.id = b.id");
    assert!(
        ran.contains("Hash Join") && ran.contains("Hash Cond: (") && ran.contains("actual time="),
        "{ran}"
    );
    for (sql, rows) in [("SELECT * FROM many", 100_000), ("SELECT 1", 1)] {
        let json: serde_json::Value =
            serde_json::from_str(&explain(&format!("EXPLAIN (FORMAT JSON) {sql}"))).unwrap();
        let plan = &json[0]["Plan"];
        assert_eq!(plan["Plan Rows"], rows, "{json}");
        let kind = if rows == 1 { "Result" } else { "Seq Scan" };
        assert_eq!(plan["Node Type"], kind, "{json}");
    }
    let json = explain(
        "EXPLAIN (FORMAT JSON, ANALYZE, VERBOSE) SELECT m.name FROM crm.many m JOIN every_type USING (id) ORDER BY 1",
    );
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let mut scans = Vec::new();
    let mut nodes = vec![&json[0]["Plan"]];
    while let Some(node) = nodes.pop() {
        if node["Node Type"] == "Seq Scan" {
            scans.push((
                node["Relation Name"].as_str().unwrap(),
                node["Alias"].as_str().unwrap(),
                &node["Schema"],
            ));
        }
        nodes.extend(node["Plans"].as_array().into_iter().flatten());
    }
    scans.sort_by_key(|scan| scan.0);
    assert_eq!(scans, [("every_type", "every_type", &"crm".into()), ("many", "m", &"crm".into())]);
    assert!(json[0]["Execution Time"].is_number() && json[0]["Planning Time"].is_number(), "{json}");
    let prepared = "PREPARE p AS SELECT * FROM many WHERE id = $1; EXPLAIN EXECUTE p(5)";
    assert!(explain(prepared).contains("Seq Scan on many"));
    same_script(
        "EXPLAIN (FOO) SELECT 1; EXPLAIN (FORMAT foo) SELECT 1; EXPLAIN (ANALYZE maybe) SELECT 1; EXPLAIN (TIMING) SELECT 1;
         EXPLAIN (WAL) SELECT 1; EXPLAIN (COSTS OFF) SELECT nosuch; EXPLAIN; EXPLAIN EXECUTE nosuch;",
    );
}
