//! `tributary.as_of` in all its forms, and periods.

use std::path::Path;
use std::process::Command;

use super::{change, last, served};
use crate::support::server::{ADMIN, ADMIN_PASSWORD, COMPANY, Server};

const SUM: &str = "SELECT sum(amount) FROM crm.deal";

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {errors}");
    String::from_utf8(out.stdout).unwrap().trim().to_string()
}

/// Releases 1, 2 and 3 of four deals, in which the first is worth 1.25, 10 and 20.
async fn three_releases() -> (crate::support::postgres::Database, Server) {
    let (database, server) = served(4).await;
    for amount in [10, 20] {
        let update =
            format!("UPDATE deal SET amount = {amount}, updated_at = clock_timestamp() WHERE id = 1");
        change(&database, &server, &update, "diff").await;
    }
    (database, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_the_past_is_named_in_every_form() {
    let (_database, server) = three_releases().await;
    server.rows(&["CALL freeze('2026-Q1', as_of => 'release 2', reason => 'closed')"]);
    let at = |id: i64| {
        server.rows(&[&format!("SELECT published_at::text FROM tributary.release WHERE id = {id}")])
    };
    for (as_of, sum) in [
        ("1", "12.50"),
        ("release 1", "12.50"),
        ("sync 2", "21.25"),
        (at(2).as_str(), "21.25"),
        ("period 2026-q1", "21.25"),
        ("Period 2026-Q1", "21.25"),
        ("latest", "31.25"),
    ] {
        let set = format!("SET tributary.as_of = '{as_of}'");
        assert_eq!(last(&server, &[&set, SUM]), sum, "{as_of}");
        assert_eq!(last(&server, &[&set, "SHOW tributary.as_of"]), as_of);
        let options = format!("-c tributary.as_of={}", as_of.replace(' ', "\\ "));
        let mut psql = server.client("psql");
        psql.args(["-XAt", "-c", SUM]).env("PGOPTIONS", &options);
        assert_eq!(output(&mut psql), sum, "{options}");
    }

    // A time without a zone is in that of the session.
    let tokyo = "SET timezone = 'Asia/Tokyo'";
    let local = last(&server, &[tokyo, "SELECT published_at::text FROM tributary.release WHERE id = 2"]);
    let local = local.strip_suffix("+09").unwrap();
    let set = format!("SET tributary.as_of = '{local}'");
    assert_eq!(last(&server, &[tokyo, &set, SUM]), "21.25");

    let first = at(1);
    for (as_of, parts) in [
        ("99", vec!["22023", "there is no release 99", "kept are releases 1 of", "to 3 of"]),
        (
            "2001-01-01",
            vec!["22023", "no release yet at 2001-01-01 00:00:00+00", "the first is release 1", &first[..19]],
        ),
        ("batch 2026-10-31", vec!["22023", "there is no release of `batch 2026-10-31`"]),
        ("sync 77", vec!["22023", "sync 77"]),
        ("period 2026-09", vec!["22023", "nothing is frozen as period `2026-09`", "frozen periods: 2026-q1"]),
        ("whenever", vec!["22023", "accepted are latest"]),
        ("9999-01-01", vec!["22023", "9999-01-01 00:00:00+00 is still to come"]),
    ] {
        let error = server.error(&format!("SET tributary.as_of = '{as_of}'"));
        parts.iter().for_each(|part| assert!(error.contains(part), "{as_of}: {part}: {error}"));
    }
    // As a connection option the statement fails that would read it.
    let mut psql = server.client("psql");
    psql.args(["-XAt", "-v", "VERBOSITY=verbose", "-c", SUM]).env("PGOPTIONS", "-c tributary.as_of=99");
    let out = psql.output().unwrap();
    assert!(String::from_utf8_lossy(&out.stderr).contains("there is no release 99"), "{out:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_take_it_from_their_connection_string() {
    let (_database, server) = three_releases().await;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut python = server.client(target.join("drivers/venv/bin/python"));
    python.args([
        "-c",
        "import psycopg; print(psycopg.connect(options='-c tributary.as_of=2')\
             .execute('SELECT sum(amount) FROM crm.deal').fetchone()[0])",
    ]);
    assert_eq!(output(&mut python), "21.25");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/AsOf.java");
    let url = format!(
        "jdbc:postgresql://127.0.0.1:{}/{COMPANY}?user={ADMIN}&options=-c%20tributary.as_of=sync%5C%201",
        server.port
    );
    let mut java = Command::new("java");
    java.args(["-cp", "/usr/share/java/postgresql.jar"]).arg(script).args([&url, ADMIN_PASSWORD, SUM]);
    assert_eq!(output(&mut java), "12.50");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_with_its_portals_stays_in_its_release() {
    let (database, server) = three_releases().await;
    let mut client = server.connect().await;
    let transaction = client.transaction().await.unwrap();
    let query = transaction.prepare("SELECT amount::text FROM crm.deal ORDER BY id").await.unwrap();
    let portal = transaction.bind(&query, &[]).await.unwrap();
    let amount = |rows: &[tokio_postgres::Row]| rows[0].get::<_, String>(0);
    assert_eq!(amount(&transaction.query_portal(&portal, 1).await.unwrap()), "20.00");
    change(&database, &server, "UPDATE deal SET amount = 7, updated_at = clock_timestamp()", "diff").await;
    let rest = transaction.query_portal(&portal, 0).await.unwrap();
    assert_eq!((rest.len(), amount(&rest).as_str()), (3, "2.50"));
    assert_eq!(amount(&transaction.query(&query, &[]).await.unwrap()), "20.00");
    transaction.commit().await.unwrap();
    let query = client.prepare("SELECT amount::text FROM crm.deal ORDER BY id").await.unwrap();
    assert_eq!(amount(&client.query(&query, &[]).await.unwrap()), "7.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_is_frozen_once() {
    let (_database, server) = three_releases().await;
    let frozen = server.rows(&["CALL freeze('2026-10', reason => 'payroll')"]);
    assert!(frozen.starts_with("2026-10|3|") && frozen.ends_with("|admin|payroll"), "{frozen}");
    let again = server.error("CALL freeze('2026-10', as_of => '1')");
    for part in
        ["42710", "period `2026-10` is frozen already: it holds release 3", "`admin` froze it: payroll"]
    {
        assert!(again.contains(part), "{part}: {again}");
    }
    server.rows(&["CALL freeze('first', as_of => 'sync 1')", "CALL freeze('also-first', as_of => '1')"]);
    assert_eq!(
        server.rows(&["SELECT id, frozen, kept_until IS NULL FROM tributary.release ORDER BY id"]),
        "1|also-first, first|t\n2||f\n3|2026-10|t"
    );
    assert_eq!(
        server.rows(&["SELECT name, release, frozen_by, reason FROM tributary.period ORDER BY name"]),
        "2026-10|3|admin|payroll\nalso-first|1|admin|\nfirst|1|admin|"
    );
    assert!(server.rows(&["CALL unfreeze('2026-10', reason => 'wrong month')"]).starts_with("2026-10|3|"));
    assert!(server.error("CALL unfreeze('2026-10')").contains("nothing is frozen as period `2026-10`"));
    assert!(server.error("CALL freeze('a b')").contains("is no name for a period"));
    assert!(server.error("CALL freeze('x', as_of => '99')").contains("there is no release 99"));
    assert_eq!(
        server.rows(&[
            "SELECT verb, count(*) FROM tributary.audit WHERE verb LIKE '%freeze' GROUP BY 1 ORDER BY 1"
        ]),
        "freeze|6\nunfreeze|2"
    );
    assert_eq!(server.rows(&["SELECT value FROM tributary.setting WHERE name = 'retention_days'"]), "30");
    assert_eq!(server.rows(&["CALL set_retention(days => 90)"]), "90");
    assert_eq!(
        server.rows(&["SELECT id FROM tributary.release WHERE kept_until > now() + interval '89 days'"]),
        "2"
    );
    assert!(server.error("CALL set_retention(-1)").contains("22023"));
}
