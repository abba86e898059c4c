//! Real drivers against the real server. Every script runs against PostgreSQL first: what it expects is what
//! PostgreSQL answers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::support;
use crate::support::postgres::{self, Database};
use crate::support::server::Server;

mod compare;
mod psql;
mod session;
mod sqlx;

const JDBC: &str = "/usr/share/java/postgresql.jar";

/// One source and one server for all drivers.
pub(crate) struct Both {
    pub(crate) source: Database,
    pub(crate) server: Server,
}

pub(crate) static BOTH: LazyLock<Both> = LazyLock::new(|| {
    // A thread of its own: the caller may be within a runtime already.
    std::thread::spawn(prepare).join().unwrap()
});

fn prepare() -> Both {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let source = runtime.block_on(async {
        let source = postgres::database().await;
        source.execute(include_str!("drivers/source.sql")).await;
        source
    });
    let server = Server::start();
    support::link(&server, &source);
    let found = server.rows(&["CALL discover('crm')"]);
    assert!(found.contains("public.every_type") && found.contains("public.many"), "{found}");
    server.rows(&[
        "CALL add_object('crm', 'public.every_type', unique_fields => 'id')",
        "CALL add_object('crm', 'public.many', unique_fields => 'id', name_field => 'name')",
        "CALL sync('crm', 'full')",
    ]);
    assert_eq!(server.rows(&["SELECT count(*) FROM crm.many"]), "100000");
    Both { source, server }
}

/// Leads libpq, and what follows its rules, to the source itself.
pub(crate) fn to_source(source: &Database, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .envs([("PGHOST", "127.0.0.1"), ("PGUSER", postgres::USER), ("PGPASSWORD", postgres::PASSWORD)])
        .env("PGPORT", source.port.to_string())
        .env("PGDATABASE", &source.name)
        .stdin(Stdio::null());
    command
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers").join(name)
}

/// Where `scripts/setup test` puts the Python and Node drivers.
pub(crate) fn installed(path: &str) -> PathBuf {
    let found = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("drivers").join(path);
    assert!(found.exists(), "{} is missing: run scripts/test, it installs the drivers", found.display());
    found
}

/// Runs a script against PostgreSQL and against tributary.
fn passes_on_both(program: &Path, arguments: &[&Path]) {
    let both = &*BOTH;
    for (place, mut command) in
        [("PostgreSQL", to_source(&both.source, program)), ("tributary", both.server.client(program))]
    {
        command.args(arguments).env("TZ", "UTC").env("NODE_PATH", installed("node_modules"));
        let out = command.output().unwrap_or_else(|error| {
            panic!(
                "{} did not start ({error}): run scripts/test, it installs what is needed",
                program.display()
            )
        });
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(
            out.status.success() && said.starts_with("passed "),
            "{arguments:?} on {place}:\n{said}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        println!("{place}: {said}");
    }
}

#[test]
fn psycopg_3() {
    passes_on_both(&installed("venv/bin/python"), &[&script("psycopg3.py")]);
}

#[test]
fn asyncpg() {
    passes_on_both(&installed("venv/bin/python"), &[&script("asyncpg_driver.py")]);
}

#[test]
fn node_postgres() {
    installed("node_modules/pg");
    passes_on_both(Path::new("node"), &[&script("node_postgres.js")]);
}

#[test]
fn postgres_js() {
    installed("node_modules/postgres");
    passes_on_both(Path::new("node"), &[&script("postgres_js.js")]);
}

#[test]
fn psycopg2_pg8000_pandas_polars_connectorx_adbc_duckdb_pgcli() {
    passes_on_both(&installed("venv/bin/python"), &[&script("clients.py")]);
}

#[test]
fn dbt() {
    passes_on_both(&installed("venv/bin/python"), &[&script("dbt_project.py")]);
}

/// Each of its ways to send a statement, from several clients at once.
#[test]
fn pgbench() {
    let both = &*BOTH;
    let found = std::fs::read_dir("/usr/lib/postgresql").unwrap().flatten();
    let program = found.map(|version| version.path().join("bin/pgbench")).find(|path| path.exists());
    let program = program.expect("pgbench comes with the server of PostgreSQL: run scripts/test");
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("lookup.sql");
    std::fs::write(
        &script,
        "\\set id random(1, 100000)\nSELECT amount AS found FROM many WHERE id = :id \\gset\n\
         SELECT 1 / CASE WHEN :found::numeric = (:id::bigint * 7919 % 1000003)::numeric / 100 THEN 1 ELSE 0 END;\n",
    )
    .unwrap();
    for mode in ["simple", "extended", "prepared"] {
        let mut command = both.server.client(&program);
        let out = command
            .args(["-n", "-M", mode, "-c", "4", "-j", "2", "-t", "50", "-f"])
            .arg(&script)
            .output()
            .unwrap();
        let (said, wrong) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(
            out.status.success() && said.contains("actually processed: 200/200"),
            "{mode}: {said}{wrong}"
        );
    }
}

/// lib/pq and pgx, as Debian has them.
#[test]
fn go() {
    let source = "/usr/share/gocode";
    assert!(Path::new(source).exists(), "{source} is missing: run scripts/test, it installs what is needed");
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("pq");
    let out = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(script("pq.go"))
        .envs([("GO111MODULE", "off"), ("GOPATH", source), ("GOFLAGS", "")])
        .env("GOCACHE", folder.path().join("cache"))
        .output()
        .unwrap_or_else(|error| panic!("go did not start ({error}): run scripts/test, it installs it"));
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    passes_on_both(&program, &[]);
}

#[test]
fn jdbc() {
    assert!(Path::new(JDBC).exists(), "{JDBC} is missing: run scripts/test, it installs what is needed");
    // Without a locale Java would read its source as ASCII.
    let utf8 = Path::new("-Dfile.encoding=UTF-8");
    passes_on_both(Path::new("java"), &[utf8, Path::new("-cp"), Path::new(JDBC), &script("Jdbc.java")]);
}
