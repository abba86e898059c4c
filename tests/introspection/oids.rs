//! Oids are kept: a client that has learnt one may use it after a restart.

use crate::support::server::Server;

const OIDS: &str = "
    SELECT 'class', relname::text, oid FROM pg_class WHERE oid >= 16384
    UNION ALL SELECT 'type', typname::text, oid FROM pg_type WHERE oid >= 16384
    UNION ALL SELECT 'schema', nspname::text, oid FROM pg_namespace WHERE oid >= 16384
    UNION ALL SELECT 'constraint', conname::text, oid FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT 'role', rolname::text, oid FROM pg_roles WHERE oid >= 16384
    UNION ALL SELECT 'procedure', proname::text, oid FROM pg_proc WHERE oid >= 16384
    ORDER BY 1, 2";

#[test]
fn oids_are_the_same_after_a_restart_and_never_used_twice() {
    let server = Server::demo();
    let before = server.rows(&[OIDS]);
    assert!(before.lines().count() > 60, "{before}");
    let mut oids: Vec<_> = before.lines().map(|line| line.rsplit('|').next().unwrap()).collect();
    oids.sort_unstable();
    let count = oids.len();
    oids.dedup();
    assert_eq!(oids.len(), count, "an oid is used twice");
    let dropped = server.rows(&["SELECT 'demo.account'::regclass::oid"]);
    let server = server.kill().start();
    assert_eq!(server.rows(&[OIDS]), before);
    // What comes later gets others, also in the place of something that went.
    server.rows(&["CALL drop_object('demo', 'account')", "CREATE USER later PASSWORD 'Tr1butary: later'"]);
    server.rows(&["CALL add_object('demo', 'account')", "CALL sync('demo', 'full')"]);
    assert_ne!(server.rows(&["SELECT 'demo.account'::regclass::oid"]), dropped);
    let later = server.rows(&["SELECT oid FROM pg_roles WHERE rolname = 'later'"]);
    assert!(!oids.contains(&later.as_str()), "{later}");
}
