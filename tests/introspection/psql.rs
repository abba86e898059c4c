//! psql's own commands: none fails, and where they tell of what every PostgreSQL has, they print what it prints.

use super::*;
use crate::support::server::{ADMIN, ADMIN_PASSWORD};

/// Standard output and standard error of psql for a command.
fn run(mut command: Command, argument: &str) -> (String, String) {
    command.args(["-X", "-c", argument]);
    let out = command.output().expect("run scripts/test, it installs psql");
    (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap())
}

/// What tells of the company, or of the server itself.
const OWN: &[&str] = &[
    r"\l",
    r"\l+",
    r"\dn",
    r"\dn+",
    r"\dt",
    r"\dt+",
    r"\dt *.*",
    r"\d",
    r"\d+",
    r"\di",
    r"\di+",
    r"\du",
    r"\du+",
    r"\dg",
    r"\dp",
    r"\z",
    r"\z crm.*",
    r"\db",
    r"\db+",
    r"\dconfig",
    r"\dconfig+",
    r"\dconfig *",
    r"\conninfo",
    r"\dS",
    r"\dtS+",
    r"\dO pg_catalog.*",
    r"\d crm.*",
    r"\d+ crm.*",
    r"\dx",
    r"\dx+",
    r"\dL",
    r"\dL+",
    r"\dd",
    r"\dT+ crm.*",
    r"\d tributary.*",
    r"\df tributary.*",
    r"\df+ tributary.*",
];

/// What tells of PostgreSQL.
const SAME: &[&str] = &[
    r"\dv",
    r"\dm",
    r"\ds",
    r"\df pg_catalog.upper",
    r"\df+ pg_catalog.upper",
    r"\df pg_catalog.*",
    r"\da",
    r"\da pg_catalog.sum",
    r"\da pg_catalog.*",
    r"\dT",
    r"\dT+",
    r"\dT pg_catalog.*",
    r"\dD",
    r"\dD+",
    r"\dC",
    r"\dC+",
    r"\do",
    r"\do pg_catalog.*",
    r"\ddp",
    r"\drds",
    r"\dy",
    r"\dy+",
    r"\dF",
    r"\dF+ pg_catalog.simple",
    r"\dFd",
    r"\dFd+",
    r"\dFp",
    r"\dFp+",
    r"\dFt",
    r"\dFt+",
    r"\dRs",
    r"\dRs+",
    r"\des",
    r"\des+",
    r"\det",
    r"\det+",
    r"\dew",
    r"\dew+",
    r"\deu",
    r"\deu+",
    r"\dO",
    r"\dO+",
    r"\dA",
    r"\dA+",
    r"\dP",
    r"\dP+",
    r"\dE",
    r"\dl",
    r"\lo_list",
    r"\dc",
    r"\dc+",
    r"\dc pg_catalog.*",
    r"\dfa",
    r"\dfp",
    r"\dfw",
    r"\dft",
    r"\dfn",
    r"\sf pg_catalog.pg_sleep_for",
    r"\sf+ pg_catalog.pg_sleep_for",
    r"\sf pg_catalog.nextval",
    r"\sv pg_catalog.pg_tables",
    r"\sv+ pg_catalog.pg_user",
    r"\d pg_catalog.pg_class",
    r"\d+ pg_catalog.pg_tables",
    r"\d pg_catalog.pg_class_oid_index",
    r"\d pg_catalog.pg_roles",
    r"\d+ pg_catalog.pg_am",
    r"\dRp",
    // Tables of the company: the source has the same ones.
    r"\d crm.opportunity",
    r"\d crm.line",
    r"\d crm.line_pkey",
    r"\d nothing",
    r"\dt crm.nothing",
];

#[test]
fn no_command_fails() {
    // Somebody who may read one table finds as many commands at work.
    for (user, password) in [(ADMIN, ADMIN_PASSWORD), ("ada", "Tr1butary: analyst")] {
        for command in OWN.iter().chain(SAME) {
            let mut psql = BOTH.server.client("psql");
            psql.envs([("PGUSER", user), ("PGPASSWORD", password)]);
            let (out, said) = run(psql, command);
            let is_fine = !said.contains("ERROR") && !said.contains("FATAL");
            assert!(is_fine, "{user}: {command}\n{out}\n{said}");
        }
    }
}

#[test]
fn what_every_postgresql_has_is_printed_alike() {
    for command in SAME {
        let expected = run(to_source(&BOTH.source, "psql"), command);
        let found = run(BOTH.server.client("psql"), command);
        // The test cluster's owner has another name, and its collation is not the plain one.
        let plain = |(out, said): (String, String)| {
            let lines = out.lines().map(|line| line.replace(postgres::USER, "tributary"));
            let words =
                lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").replace('-', ""));
            let kept = words.filter(|line| !line.contains("plpgsql") && !line.ends_with(" rows)"));
            let mut kept: Vec<_> = kept.collect();
            if *command == r"\dFp+" {
                // The one of them whose query leaves the order open.
                kept.sort();
            }
            (kept, said)
        };
        let (expected, found) = (plain(expected), plain(found));
        let different = expected.0.iter().zip(&found.0).find(|(a, b)| a != b);
        assert!(expected == found, "{command}: {different:?}\n{}", found.1);
    }
}

#[test]
fn tables_are_described_with_types_keys_and_comments() {
    let (out, _) = run(BOTH.server.client("psql"), r"\d+ crm.opportunity");
    for expected in [
        "Table \"crm.opportunity\"",
        " id      | bigint                   |           | not null |",
        " amount  | numeric(18,2)            |           |          |         | main     |             |              | Amount in EUR",
        " tags    | text[]  ",
        "\"opportunity_pkey\" PRIMARY KEY, btree (id)",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
    let (out, _) = run(BOTH.server.client("psql"), r"\dt+ crm.*");
    let row = out.lines().find(|line| line.contains("opportunity")).unwrap_or_else(|| panic!("{out}"));
    assert!(row.contains("Deals") && row.contains("permanent") && !row.contains(" 0 bytes"), "{out}");
    let (out, _) = run(BOTH.server.client("psql"), r"\dp crm.*");
    assert!(out.contains("ada=r/tributary"), "{out}");
    let (out, _) = run(BOTH.server.client("psql"), r"\du");
    assert!(out.contains("admin") && out.contains("Superuser") && out.contains("ada"), "{out}");
    let (out, _) = run(BOTH.server.client("psql"), r"\df tributary.set_label");
    assert!(out.contains("proc") && out.contains("IN connection text"), "{out}");
}
