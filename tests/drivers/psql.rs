//! psql: what it prints must be, character by character, what it prints for PostgreSQL.

use std::process::Command;

use super::{BOTH, to_source};

/// Standard output and standard error of psql for the same arguments on PostgreSQL and on tributary.
fn on_both(arguments: &[&str]) -> [(String, String); 2] {
    let run = |mut command: Command| {
        command.args(["-X", "-v", "VERBOSITY=sqlstate"]).args(arguments).env("PGTZ", "UTC");
        let out = command.output().expect("run scripts/test, it installs psql");
        (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    let both = &*BOTH;
    [run(to_source(&both.source, "psql")), run(both.server.client("psql"))]
}

fn same_on_both(arguments: &[&str]) -> String {
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
