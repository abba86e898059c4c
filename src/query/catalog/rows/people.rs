//! Roles, and the database.

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use crate::query::catalog::acl::OWNER_NAME;
use crate::query::catalog::build::{Cell, Rows};
use crate::query::catalog::live::{Catalog, Row};
use crate::query::catalog::shape::Shape;
use crate::query::catalog::{DATABASE, OWNER};

/// UTF8
pub(in crate::query::catalog) const ENCODING: i64 = 6;

pub(super) fn of(catalog: &Catalog, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    let make = match shape.name {
        "pg_authid" => logins,
        "pg_roles" => roles,
        "pg_user" | "pg_shadow" => users,
        "pg_group" => groups,
        "pg_database" => database,
        _ => return Ok(None),
    };
    make(catalog, shape).map(Some)
}

/// What must never be shown, not even as a digest.
const PASSWORD: &str = "********";

fn logins(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "oid",
            "rolname",
            "rolsuper",
            "rolinherit",
            "rolcreaterole",
            "rolcreatedb",
            "rolcanlogin",
            "rolreplication",
            "rolbypassrls",
            "rolconnlimit",
        ],
    );
    let mut push = |oid: i64, name: &str, is_admin: bool, can_login: bool| {
        rows.push(&[
            oid.into(),
            name.into(),
            is_admin.into(),
            true.into(),
            is_admin.into(),
            false.into(),
            can_login.into(),
            false.into(),
            is_admin.into(),
            (-1).into(),
        ]);
    };
    push(OWNER, OWNER_NAME, true, false);
    for role in &catalog.facts.roles {
        push(role.oid.into(), &role.name, role.is_admin, role.can_login);
    }
    rows.finish()
}

fn roles(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let same = [
        "rolname",
        "rolsuper",
        "rolinherit",
        "rolcreaterole",
        "rolcreatedb",
        "rolcanlogin",
        "rolreplication",
        "rolbypassrls",
        "rolconnlimit",
        "oid",
        "rolpassword",
    ];
    let mut rows = Rows::new(shape, &same);
    for role in catalog.all("pg_authid")? {
        let flags = same[1..8].iter().map(|name| Cell::Bool(role.is(name)));
        let name = Cell::Owned(role.text("rolname").to_string());
        let rest = [role.oid("rolconnlimit").into(), role.oid("oid").into(), PASSWORD.into()];
        rows.push(&[name].into_iter().chain(flags).chain(rest).collect::<Vec<_>>());
    }
    rows.finish()
}

fn with_login(catalog: &Catalog, can_login: bool) -> Result<Vec<Row>> {
    let mut roles = catalog.all("pg_authid")?;
    roles.retain(|role| role.is("rolcanlogin") == can_login);
    Ok(roles)
}

fn users(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let given = ["usename", "usesysid", "usecreatedb", "usesuper", "userepl", "usebypassrls", "passwd"];
    let mut rows = Rows::new(shape, &given);
    for role in with_login(catalog, true)? {
        rows.push(&[
            role.text("rolname").into(),
            role.oid("oid").into(),
            role.is("rolcreatedb").into(),
            role.is("rolsuper").into(),
            role.is("rolreplication").into(),
            role.is("rolbypassrls").into(),
            PASSWORD.into(),
        ]);
    }
    rows.finish()
}

fn groups(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["groname", "grosysid", "grolist"]);
    for role in with_login(catalog, false)? {
        let members = catalog.find_all("pg_auth_members", "roleid", role.oid("oid"))?;
        let members: Vec<i64> = members.iter().map(|row| row.oid("member")).collect();
        rows.push(&[role.text("rolname").into(), role.oid("oid").into(), members.into()]);
    }
    rows.finish()
}

fn database(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "oid",
            "datname",
            "datdba",
            "encoding",
            "datlocprovider",
            "datistemplate",
            "datallowconn",
            "datconnlimit",
            "datfrozenxid",
            "datminmxid",
            "dattablespace",
            "datcollate",
            "datctype",
        ],
    );
    rows.push(&[
        DATABASE.into(),
        (&catalog.company).into(),
        OWNER.into(),
        ENCODING.into(),
        "c".into(),
        false.into(),
        true.into(),
        (-1).into(),
        3_i64.into(),
        1_i64.into(),
        // pg_default
        1663.into(),
        "C".into(),
        "C".into(),
    ]);
    rows.finish()
}
