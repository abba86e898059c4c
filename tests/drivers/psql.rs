//! psql: what it prints must be, character by character, what it prints for PostgreSQL.

use std::process::Command;

use super::{BOTH, to_source};

/// Standard output and standard error of psql for the same arguments on PostgreSQL and on tributary.
pub(super) fn on_both(arguments: &[&str]) -> [(String, String); 2] {
    let run = |mut command: Command| {
        command.args(["-X", "-v", "VERBOSITY=sqlstate"]).args(arguments).env("PGTZ", "UTC");
        let out = command.output().expect("run scripts/test, it installs psql");
        (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    let both = &*BOTH;
    [run(to_source(&both.source, "psql")), run(both.server.client("psql"))]
}

/// What psql writes, byte by byte, for PostgreSQL and for tributary.
pub(super) fn raw_on_both(arguments: &[&str]) -> [Vec<u8>; 2] {
    let both = &*BOTH;
    [to_source(&both.source, "psql"), both.server.client("psql")].map(|mut command| {
        let out = command.args(["-X"]).args(arguments).env("PGTZ", "UTC").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    })
}

pub(super) fn same_on_both(arguments: &[&str]) -> String {
    let [expected, found] = on_both(arguments);
    let first_difference = expected.0.lines().zip(found.0.lines()).find(|(a, b)| a != b);
    assert!(
        found == expected,
        "{arguments:?}\nfirst difference: {first_difference:?}\nstderr: {:?} instead of {:?}",
        found.1,
        expected.1
    );
    found.0
}

#[test]
fn values_of_every_type_are_printed_alike() {
    for format in ["-A", "-x", "--csv"] {
        same_on_both(&[format, "-c", "SELECT * FROM every_type ORDER BY id"]);
    }
}

#[test]
fn variables_stand_for_values() {
    let sql = "\\set wanted 77600.55\n\\set text 'Zoë'\nSELECT id, a_numeric FROM every_type WHERE a_numeric = :wanted \
               AND a_text LIKE :'text' || '%';";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), sql).unwrap();
    let out = same_on_both(&["-f", file.path().to_str().unwrap()]);
    assert!(out.contains("77600.55"), "{out}");
}

#[test]
fn a_prepared_statement_takes_parameters_of_every_type() {
    let columns = [
        ("a_boolean", "boolean", "true"),
        ("a_smallint", "smallint", "-2"),
        ("an_integer", "integer", "3"),
        ("a_bigint", "bigint", "4000000000"),
        ("a_real", "real", "1.5"),
        ("a_double", "double precision", "2.25"),
        ("a_numeric", "numeric", "77600.55"),
        ("a_text", "text", "E'Zoë said \"hi\", \\\\ and 🙂\\nbye'"),
        ("a_date", "date", "'2024-02-29'"),
        ("a_timestamp", "timestamp", "'2024-02-29 13:14:15.678901'"),
        ("a_timestamptz", "timestamptz", "'2024-02-29 14:14:15.678901+01'"),
    ];
    for (column, data_type, value) in columns {
        let out = same_on_both(&[
            "-A",
            "-t",
            "-c",
            &format!("PREPARE p({data_type}) AS SELECT id FROM every_type WHERE {column} = $1"),
            "-c",
            &format!("EXECUTE p({value})"),
            "-c",
            "DEALLOCATE p",
        ]);
        assert!(out.contains("\n1\n"), "{column}: {out}");
    }
}

#[test]
fn many_rows_arrive_complete_and_in_order() {
    let query = "SELECT id, name, amount, changed FROM many ORDER BY id";
    let plain = same_on_both(&["-A", "-t", "-c", query]);
    assert_eq!(plain.lines().count(), 100_000);
    let copied = same_on_both(&["-c", &format!("COPY ({query}) TO STDOUT")]);
    assert_eq!(copied.lines().count(), 100_000);
}

#[test]
fn after_an_error_the_next_query_answers() {
    let out = same_on_both(&["-A", "-t", "-c", "SELECT no_such_column FROM many", "-c", "SELECT 1"]);
    assert_eq!(out, "1\n");
    let [expected, found] = on_both(&["-A", "-t", "-c", "SELECT 1; SELECT 1/0; SELECT 2"]);
    assert_eq!(found, expected);
}

#[test]
fn a_query_is_described_without_running() {
    same_on_both(&["-A", "-c", "SELECT id, a_numeric, a_text, a_timestamptz FROM every_type \\gdesc"]);
}

/// Runs a script on both; statements that fail do not end it.
pub(super) fn same_script(script: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let [expected, found] = on_both(&["-A", "-t", "-f", file.path().to_str().unwrap()]);
    let difference = |expected: &str, found: &str| {
        let differs = expected.lines().zip(found.lines()).position(|(a, b)| a != b);
        let lines =
            |text: &str| text.lines().skip(differs.unwrap_or(0)).take(4).collect::<Vec<_>>().join("\n");
        format!("PostgreSQL:\n{}\ntributary:\n{}", lines(expected), lines(found))
    };
    assert!(found.0 == expected.0, "{}\nstderr:\n{}", difference(&expected.0, &found.0), found.1);
    assert!(found.1 == expected.1, "{}", difference(&expected.1, &found.1));
    found.0
}

#[test]
fn cursors_go_where_they_go_in_postgresql() {
    let out = same_script(
        "DECLARE c CURSOR FOR SELECT 1;
         BEGIN;
         DECLARE c NO SCROLL CURSOR FOR SELECT id, name FROM many ORDER BY id;
         FETCH c; FETCH NEXT FROM c; FETCH 3 FROM c; FETCH FORWARD 2 IN c; FETCH RELATIVE 2 FROM c;
         FETCH ABSOLUTE 20 FROM c; FETCH 0 FROM c;
         ROLLBACK;
         BEGIN;
         DECLARE c NO SCROLL CURSOR FOR SELECT id FROM many ORDER BY id;
         MOVE 5 FROM c; FETCH 1 FROM c; MOVE FORWARD ALL FROM c; FETCH c; FETCH ALL c; MOVE 0 c; MOVE c;
         SAVEPOINT s; FETCH BACKWARD 1 FROM c; ROLLBACK TO s;
         DECLARE c CURSOR FOR SELECT 1; ROLLBACK TO s;
         FETCH nowhere; ROLLBACK TO s;
         CLOSE nowhere; ROLLBACK TO s;
         DECLARE d CURSOR FOR SELECT 1/(id - id) FROM many; FETCH d; ROLLBACK TO s;
         DECLARE inner_one CURSOR FOR VALUES (1), (2); FETCH inner_one; ROLLBACK TO s; FETCH inner_one; ROLLBACK TO s;
         CLOSE c; FETCH c;
         COMMIT;
         BEGIN;
         DECLARE s SCROLL CURSOR FOR SELECT id FROM many WHERE id <= 10 ORDER BY id;
         FETCH LAST s; FETCH PRIOR s; FETCH BACKWARD 3 FROM s; FETCH FIRST s; FETCH ABSOLUTE -3 FROM s; FETCH 0 FROM s;
         FETCH RELATIVE -2 FROM s; FETCH BACKWARD ALL FROM s; FETCH c; ROLLBACK;
         BEGIN;
         DECLARE s INSENSITIVE SCROLL CURSOR WITHOUT HOLD FOR SELECT id FROM many WHERE id <= 4 ORDER BY id;
         FETCH ALL FROM s; FETCH NEXT FROM s; FETCH PRIOR FROM s; MOVE BACKWARD 2 FROM s; FETCH FORWARD ALL FROM s;
         FETCH ABSOLUTE 0 FROM s; FETCH -1 FROM s; FETCH 2 FROM s; MOVE ABSOLUTE 9 s; MOVE LAST s; FETCH RELATIVE 0 s;
         CLOSE ALL; FETCH s;
         ROLLBACK;
         BEGIN;
         DECLARE h CURSOR WITH HOLD FOR SELECT id FROM many WHERE id <= 5 ORDER BY id; DECLARE n CURSOR FOR SELECT 1;
         FETCH 2 FROM h; COMMIT; FETCH n; FETCH 2 FROM h; CLOSE h; FETCH h;
         BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT 1; ROLLBACK; FETCH h;
         DECLARE alone CURSOR WITH HOLD FOR SELECT 7; FETCH alone; DISCARD ALL; FETCH alone;
         FETCH FORWARD x y; FETCH; DECLARE c CURSOR FOR INSERT; CLOSE;",
    );
    assert!(out.contains("20|row 20") && out.contains("MOVE 99994"), "{out}");
}

#[test]
fn rows_come_in_pieces_when_psql_asks_so() {
    let out = same_script("\\set FETCH_COUNT 999\nSELECT id, name, amount FROM many ORDER BY id;\nSELECT 1;");
    assert_eq!(out.lines().count(), 100_001);
}

#[test]
fn several_statements_in_one_text_are_one_transaction() {
    for text in [
        "SELECT 1; SELECT now() = now(); SELECT 2",
        "SET work_mem = '8MB'; SELECT 1/0",
        "SET LOCAL work_mem = '8MB'; SHOW work_mem",
        "SET work_mem = '8MB'; ROLLBACK; SHOW work_mem",
        "SET work_mem = '8MB'; COMMIT; SET work_mem = '9MB'; SELECT 1/0",
        "SELECT 1; BEGIN; SELECT 2; COMMIT; SELECT 3",
        "SET work_mem = '8MB'; BEGIN; ROLLBACK; SHOW work_mem",
        "BEGIN; SELECT 1; SELECT 1/0; COMMIT; SELECT 2",
        "SAVEPOINT x; SELECT 1",
        "DECLARE c CURSOR FOR SELECT id FROM many ORDER BY id; FETCH 2 FROM c",
        "COMMIT; SELECT 1",
        "SELECT 1; DISCARD ALL",
        "CLOSE ALL; UNLISTEN *; RESET ALL;",
        "SELECT 1; SELECT FROM WHERE",
    ] {
        same_on_both(&["-A", "-c", text, "-c", "SHOW work_mem", "-c", "SELECT 1"]);
    }
}

#[test]
fn times_are_read_and_shown_in_the_zone_of_the_session() {
    let mut script = String::from("SHOW TimeZone; SELECT now() = current_timestamp;\n");
    for zone in [
        "'Europe/Berlin'",
        "'america/new_york'",
        "'Asia/Kolkata'",
        "-7",
        "'UTC'",
        "'+05:30'",
        "'Australia/Lord_Howe'",
    ] {
        script += &format!("SET TIME ZONE {zone}; SHOW TimeZone;\n");
        script += "SELECT id, a_timestamptz, a_timestamptz::text, a_timestamptz::date, a_timestamptz::timestamp FROM every_type ORDER BY id;
            SELECT timestamptz '2024-07-01 12:00', '2024-01-01'::timestamptz, '2024-07-01 12:00 PST'::timestamptz, '2024-07-01 12:00 Asia/Tokyo'::timestamptz;
            SELECT timestamptz '2024-03-31 02:30', timestamptz '2024-10-27 02:30', date '2024-07-01'::timestamptz, timestamp '2024-11-03 01:30'::timestamptz;
            SELECT timestamp '2024-07-01 12:00' AT TIME ZONE 'Europe/Berlin', timestamptz '2024-07-01 12:00' AT TIME ZONE 'America/New_York',
                timestamptz '2024-07-01 12:00+00' AT TIME ZONE 'cest', timestamptz '2024-07-01 12:00+00' AT TIME ZONE '+02', date '2024-07-01' AT TIME ZONE 'UTC';
            SELECT a_timestamptz AT TIME ZONE 'Asia/Tokyo', a_timestamp AT TIME ZONE 'Asia/Tokyo' FROM every_type ORDER BY id;
            SELECT date_trunc('day', changed), date_trunc('hour', changed), date_trunc('week', changed), date_trunc('quarter', changed), date_trunc('day', changed, 'Asia/Tokyo') FROM many WHERE id = 50000;
            SELECT extract(hour FROM changed), extract(dow FROM changed), extract(epoch FROM changed), extract(timezone FROM changed), date_part('hour', changed), extract(second FROM changed) FROM many WHERE id = 50000;
            SELECT date_trunc('day', changed) AS day, count(*) FROM many GROUP BY 1 ORDER BY 1;
            SELECT count(*) FROM many WHERE changed >= '2024-01-01 12:00' AND changed < '2024-01-01 13:00';
            SELECT count(*) FROM many WHERE changed BETWEEN '2024-01-01 12:00' AND '2024-01-01 13:00';
            SELECT count(*) FROM many WHERE changed >= date '2024-01-02';
            SELECT count(*) FROM many WHERE changed < timestamp '2024-01-01 05:00:00';
            SELECT count(*) FROM many WHERE changed::date = '2024-01-01' AND changed IN ('2024-01-01 12:00', '2024-01-01 14:00');
            SELECT coalesce(a_timestamptz, '2024-07-01') FROM every_type ORDER BY id;
            SELECT timestamptz '2024-03-30 12:00' + interval '1 day', timestamptz '2024-03-31 12:00' - interval '1 month', interval '24 hours' + timestamptz '2024-03-30 12:00';
            SELECT timestamptz '2024-07-01 12:00' = timestamp '2024-07-01 12:00', timestamptz '2024-07-01 00:00' = date '2024-07-01', timestamptz '2024-07-01' > date '2024-07-02';
            SELECT current_date = now()::date, localtimestamp = now()::timestamp;
            SELECT min(changed), max(changed) FROM many;\n";
    }
    script += "SET TIME ZONE 'nowhere'; SELECT now() AT TIME ZONE 'nowhere'; SELECT '2024-01-01 00:00 nowhere'::timestamptz;
        SELECT date_trunc('dai', now()); SELECT extract(dai FROM now()); SELECT extract(hour FROM date '2024-01-01');
        SET TIME ZONE 'PST'; SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE; SHOW TimeZone; SET TIME ZONE DEFAULT;
        BEGIN; SET LOCAL TIME ZONE 'Asia/Tokyo'; SELECT timestamptz '2024-07-01 12:00+00'; COMMIT; SELECT timestamptz '2024-07-01 12:00+00';
        PREPARE p AS SELECT timestamptz '2024-07-01 12:00+00'; EXECUTE p; SET TIME ZONE 'Asia/Tokyo'; EXECUTE p;
        COPY (SELECT changed FROM many WHERE id = 1) TO STDOUT;
        SELECT extract(year FROM date '2024-02-29'), extract(isoyear FROM date '2024-12-30'), extract(week FROM date '2024-12-30'), extract(doy FROM date '2024-12-31'), extract(century FROM date '2001-01-01'), extract(decade FROM date '1999-01-01'), extract(epoch FROM date '2024-01-01');
        SELECT extract(epoch FROM interval '1 day 2 hours'), extract(day FROM interval '40 days'), date_part('minute', interval '90 minutes'), extract(milliseconds FROM timestamp '2024-01-01 00:00:01.5');
        SELECT date_trunc('month', date '2024-07-03'), date_trunc('year', timestamp '2024-07-03 22:30'), date_trunc('decade', timestamp '2024-07-03 22:30'), date_trunc('century', timestamp '2024-07-03 22:30');";
    let out = same_script(&script);
    assert!(out.contains("2024-03-31 03:30:00+02"), "{out}");
}

#[test]
fn what_is_no_statement_is_told_with_its_place() {
    for text in [
        "SELECT FROM WHERE",
        "SELECT 1 2",
        "SELECT * FROM many WHERE",
        "selct 1",
        "SELECT (1",
        "SELECT 1, FROM many",
        "SELECT * form many",
        "SELECT count( FROM many",
        "SELECT * FROM many ORDER id",
        "SELECT * FROM many GROUP name",
        "SELECT * FROM WHERE id = 1",
        "SELECT * FROM many WHERE id = = 1",
        "SELECT * FROM many o JOIN",
        "SELECT id FROM many WHERE AND true",
        "SELECT 1 +",
        "SELECT )",
        "SELECT 1; SELECT FROM WHERE; SELECT 2",
        "SELECT order FROM many",
        "SELECT 1 UNION",
        "FETCH",
    ] {
        let [expected, found] = on_both(&["-A", "-t", "-v", "VERBOSITY=default", "-c", text]);
        assert_eq!(found, expected, "{text}");
    }
    let [_, found] = on_both(&["-c", "SELECT 1 FROM many a JOIN many b WHERE true"]);
    assert_eq!(found.1, "ERROR:  42601\n");
    for text in ["SELECT 1 IS DISTINCT FROM 2", "SELECT extract(year FROM date '2024-01-01')"] {
        same_on_both(&["-A", "-t", "-c", text]);
    }
}
