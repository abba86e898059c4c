//! Libraries that build themselves a picture of the database.

use std::path::Path;

use super::*;

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/introspection").join(name)
}

/// What a script prints about PostgreSQL and about tributary.
fn on_both(program: &Path, arguments: &[&Path]) -> [String; 2] {
    let run = |mut command: Command| {
        let out = command.args(arguments).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    [run(to_source(&BOTH.source, program)), run(BOTH.server.client(program))]
}

#[test]
fn sqlalchemy_reflects_the_same_tables() {
    let [expected, found] = on_both(&installed("venv/bin/python"), &[&script("reflect.py")]);
    assert!(expected.contains("opportunity_pkey") && expected.contains("Deals"), "{expected}");
    assert_eq!(found, expected);
}

#[test]
fn jdbc_lists_the_same_tables_columns_and_keys() {
    let jar = Path::new("/usr/share/java/postgresql.jar");
    let arguments = [Path::new("-cp"), jar, &script("Reflect.java")];
    let [expected, found] = on_both(Path::new("java"), &arguments);
    assert!(expected.contains("opportunity_pkey"), "{expected}");
    // Here there are tables of the system, too, and each is a type.
    let own = BOTH
        .server
        .rows(&["SELECT table_name FROM information_schema.tables WHERE table_schema = 'tributary'"]);
    let own: Vec<_> = own.lines().map(|table| format!("_{table} 2003")).collect();
    let found: Vec<_> = found.lines().filter(|line| !own.iter().any(|own| line.trim() == own)).collect();
    assert_eq!(found, expected.lines().collect::<Vec<_>>());
}
