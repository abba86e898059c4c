//! Everybody may read the catalog; what it says of rights is what holds.

use super::*;

#[test]
fn the_catalog_lists_all_tables_and_the_standards_views_those_one_may_read() {
    let tables =
        "SELECT relname FROM pg_class WHERE relnamespace = 'crm'::regnamespace AND relkind = 'r' ORDER BY 1";
    let seen = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'crm' ORDER BY 1";
    for user in ["ada", "bob"] {
        assert_eq!(rows_of(user, tables), "line\nopportunity", "{user}");
    }
    assert_eq!(rows_of("ada", seen), "opportunity");
    assert_eq!(rows_of("bob", seen), "");
    assert_eq!(BOTH.server.rows(&[seen]), "line\nopportunity");
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'crm'";
    assert_eq!(rows_of("ada", columns), "7");
    let keys = "SELECT column_name FROM information_schema.key_column_usage WHERE table_name = 'opportunity'";
    assert_eq!(rows_of("ada", keys), "id");
}

#[test]
fn privileges_are_the_granted_ones() {
    for (user, sql, expected) in [
        ("ada", "SELECT has_table_privilege('crm.opportunity', 'SELECT')", "t"),
        ("ada", "SELECT has_table_privilege('crm.opportunity', 'INSERT')", "f"),
        ("ada", "SELECT has_table_privilege('crm.opportunity', 'INSERT, SELECT')", "t"),
        ("ada", "SELECT has_table_privilege('crm.line', 'SELECT')", "f"),
        ("ada", "SELECT has_table_privilege('bob', 'crm.opportunity', 'SELECT')", "f"),
        ("ada", "SELECT has_table_privilege('admin', 'crm.line', 'SELECT')", "t"),
        ("ada", "SELECT has_table_privilege('pg_catalog.pg_class', 'SELECT')", "t"),
        ("ada", "SELECT has_table_privilege(0, 'SELECT') IS NULL", "t"),
        ("ada", "SELECT has_column_privilege('crm.opportunity', 'amount', 'SELECT')", "t"),
        ("ada", "SELECT has_schema_privilege('crm', 'USAGE')", "t"),
        ("bob", "SELECT has_schema_privilege('crm', 'USAGE')", "f"),
        ("ada", "SELECT has_database_privilege(current_database(), 'CONNECT')", "t"),
        ("ada", "SELECT has_database_privilege(current_database(), 'CREATE')", "f"),
        ("ada", "SELECT has_table_privilege('tributary.object', 'SELECT')", "t"),
        ("ada", "SELECT has_table_privilege('tributary.audit', 'SELECT')", "f"),
        ("ada", "SELECT pg_has_role('bob', 'USAGE')", "f"),
        (
            "ada",
            "SELECT relacl FROM pg_class WHERE oid = 'crm.opportunity'::regclass",
            "{tributary=arwdDxt/tributary,ada=r/tributary}",
        ),
        (
            "ada",
            "SELECT grantee::regrole, privilege_type FROM pg_class, aclexplode(relacl)
                 WHERE relname = 'opportunity' AND grantee <> 10",
            "ada|SELECT",
        ),
    ] {
        assert_eq!(rows_of(user, sql), expected, "{user}: {sql}");
    }
    let fails = |sql: &str, state: &str| {
        let out = as_user("ada").args(["-c", sql]).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).to_string();
        assert!(said.contains(state), "{sql}\n{said}");
    };
    fails("SELECT has_table_privilege('crm.nothing', 'SELECT')", "42P01");
    fails("SELECT has_table_privilege('nobody', 'crm.line', 'SELECT')", "42704");
    fails("SELECT has_table_privilege('crm.line', 'EAT')", "22023");
    fails("SELECT * FROM pg_authid", "42501");
    fails("SELECT * FROM crm.line", "42501");
}

/// The catalog is kept between statements: a change must be seen by the next one, in every session.
#[test]
fn a_change_is_seen_at_once() {
    let server = Server::demo();
    let acl = "SELECT relacl FROM pg_class WHERE oid = 'demo.owner'::regclass";
    let comment = "SELECT obj_description('demo.owner'::regclass, 'pg_class')";
    assert_eq!(server.rows(&[acl]), "");
    server.rows(&["CREATE USER eve PASSWORD 'Tr1butary: analyst'", "GRANT SELECT ON demo.owner TO eve"]);
    assert!(server.rows(&[acl]).contains("eve=r/tributary"));
    server.rows(&["CALL set_label('demo', 'owner', label => 'Those who own')"]);
    assert_eq!(server.rows(&[comment]), "Those who own");
    server.rows(&["REVOKE SELECT ON demo.owner FROM eve"]);
    assert_eq!(server.rows(&[acl]), "");
}
