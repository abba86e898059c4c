//! `has_..._privilege`: who may do what.

use datafusion::common::Result;

use super::Gives::Bool;
use super::names::oid_of;
use super::{Spec, Value, spec, undefined};
use crate::error::{Error, Kind};
use crate::query::catalog::acl::rights;
use crate::query::catalog::live::Row;
use crate::query::catalog::scope::Scope;

macro_rules! checks {
    ($($name:literal $object:ident;)*) => {
        pub(in crate::query::catalog) const ALL: &[Spec] = &[
            $(spec($name, (2, 3), Bool, |scope, values| check(scope, values, &$object)),)*
            spec("has_column_privilege", (3, 4), Bool, column),
            spec("has_any_column_privilege", (2, 3), Bool, any_column),
            spec("pg_has_role", (2, 3), Bool, member),
            spec("has_parameter_privilege", (2, 3), Bool, |scope, values| {
                let (user, _) = user(scope, values, 2)?;
                scope.is_admin(user).map(Value::Bool)
            }),
        ];
    };
}

checks! {
    "has_table_privilege" TABLE;
    "has_sequence_privilege" TABLE;
    "has_schema_privilege" SCHEMA;
    "has_database_privilege" DATABASE;
    "has_function_privilege" FUNCTION;
    "has_type_privilege" TYPE;
    "has_language_privilege" LANGUAGE;
    "has_tablespace_privilege" TABLESPACE;
    "has_foreign_data_wrapper_privilege" WRAPPER;
    "has_server_privilege" SERVER;
}

/// A kind of things that rights are on.
struct Object {
    relation: &'static str,
    name: &'static str,
    acl: &'static str,
    /// The type that reads its names; empty where a name is all there is.
    reg: &'static str,
    what: &'static str,
    /// What everybody may do where no rights were given.
    everybody: &'static [&'static str],
    accepted: &'static [&'static str],
}

const TABLE: Object = Object {
    relation: "pg_class",
    name: "relname",
    acl: "relacl",
    reg: "regclass",
    what: "relation",
    everybody: &[],
    accepted: &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "RULE", "USAGE"],
};
const COLUMN: Object = Object {
    relation: "pg_attribute",
    name: "attname",
    acl: "attacl",
    reg: "",
    what: "column",
    everybody: &[],
    accepted: &["SELECT", "INSERT", "UPDATE", "REFERENCES"],
};
const SCHEMA: Object = Object {
    relation: "pg_namespace",
    name: "nspname",
    acl: "nspacl",
    reg: "",
    what: "schema",
    everybody: &[],
    accepted: &["CREATE", "USAGE"],
};
const DATABASE: Object = Object {
    relation: "pg_database",
    name: "datname",
    acl: "datacl",
    reg: "",
    what: "database",
    everybody: &["CONNECT", "TEMPORARY", "TEMP"],
    accepted: &["CREATE", "CONNECT", "TEMPORARY", "TEMP"],
};
const FUNCTION: Object = Object {
    relation: "pg_proc",
    name: "proname",
    acl: "proacl",
    reg: "regprocedure",
    what: "function",
    everybody: &["EXECUTE"],
    accepted: &["EXECUTE"],
};
const TYPE: Object = Object {
    relation: "pg_type",
    name: "typname",
    acl: "typacl",
    reg: "regtype",
    what: "type",
    everybody: &["USAGE"],
    accepted: &["USAGE"],
};
const LANGUAGE: Object = Object {
    relation: "pg_language",
    name: "lanname",
    acl: "lanacl",
    reg: "",
    what: "language",
    everybody: &["USAGE"],
    accepted: &["USAGE"],
};
const TABLESPACE: Object = Object {
    relation: "pg_tablespace",
    name: "spcname",
    acl: "spcacl",
    reg: "",
    what: "tablespace",
    everybody: &[],
    accepted: &["CREATE"],
};
const WRAPPER: Object = Object {
    relation: "pg_foreign_data_wrapper",
    name: "fdwname",
    acl: "fdwacl",
    reg: "",
    what: "foreign-data wrapper",
    everybody: &[],
    accepted: &["USAGE"],
};
const SERVER: Object = Object {
    relation: "pg_foreign_server",
    name: "srvname",
    acl: "srvacl",
    reg: "",
    what: "server",
    everybody: &[],
    accepted: &["USAGE"],
};

/// The role that is asked about, and how many arguments it took: without one it is the session's.
fn user(scope: &Scope, values: &[Value], others: usize) -> Result<(i64, usize)> {
    if values.len() == others {
        return Ok((scope.role(&scope.who.name)?.unwrap_or_default(), 0));
    }
    let role = match &values[0] {
        Value::Text(name) if name == "public" => 0,
        Value::Text(name) => {
            let missing = || undefined(format!("role \"{name}\" does not exist"));
            scope.role(name)?.ok_or_else(missing)?
        }
        other => other.int(),
    };
    Ok((role, 1))
}

fn check(scope: &Scope, values: &[Value], object: &Object) -> Result<Value> {
    let (role, skipped) = user(scope, values, 2)?;
    let wanted = wanted(values[skipped + 1].str(), object.accepted)?;
    let Some(row) = row(scope, object, &values[skipped])? else { return Ok(Value::Null) };
    allowed(scope, role, object, &row, &wanted).map(Value::Bool)
}

/// The thing that is meant: by number NULL where there is none, by name an error.
fn row(scope: &Scope, object: &Object, value: &Value) -> Result<Option<Row>> {
    let oid = match value {
        Value::Text(name) if !object.reg.is_empty() => oid_of(scope, object.reg, name)?,
        Value::Text(name) => {
            let found = scope.catalog.find(object.relation, object.name, name.as_str())?;
            let state = if object.what == "schema" {
                "3F000"
            } else if object.what == "database" {
                "3D000"
            } else {
                "42704"
            };
            let missing = || {
                let what = format!("{} \"{name}\" does not exist", object.what);
                Error::new(Kind::NotFound, what).with_sqlstate(state)
            };
            return Ok(Some(found.ok_or_else(missing)?));
        }
        other => other.int(),
    };
    scope.catalog.find(object.relation, "oid", oid)
}

/// The privileges in a text, each with whether it must be one that can be handed on.
fn wanted(text: &str, accepted: &[&str]) -> Result<Vec<(String, bool)>> {
    let one = |part: &str| {
        let upper = part.trim().to_uppercase();
        let (name, can_grant) = match upper.strip_suffix(" WITH GRANT OPTION") {
            Some(name) => (name.trim().to_string(), true),
            None => (upper, false),
        };
        if accepted.contains(&name.as_str()) {
            return Ok((if name == "TEMP" { "TEMPORARY".into() } else { name }, can_grant));
        }
        let what = format!("unrecognized privilege type: \"{}\"", part.trim());
        Err(Error::new(Kind::Invalid, what).with_sqlstate("22023").into())
    };
    text.split(',').map(one).collect()
}

fn allowed(scope: &Scope, role: i64, object: &Object, row: &Row, wanted: &[(String, bool)]) -> Result<bool> {
    if scope.is_admin(role)? {
        return Ok(true);
    }
    let name = match role {
        0 => String::new(),
        role => match scope.catalog.find("pg_authid", "oid", role)? {
            Some(row) => row.text("rolname").to_string(),
            None => return Err(undefined(format!("role with OID {role} does not exist"))),
        },
    };
    let held: Vec<_> = match row.texts(object.acl) {
        Some(items) => items
            .iter()
            .filter_map(|item| rights(item))
            .flatten()
            .filter(|right| right.grantee.is_empty() || (right.grantee == name && role != 0))
            .map(|right| (right.privilege, right.can_grant))
            .collect(),
        None => object.everybody.iter().map(|privilege| (*privilege, false)).collect(),
    };
    let has = |(privilege, can_grant): &(String, bool)| {
        held.iter().any(|(held, grantable)| held == privilege && (*grantable || !can_grant))
    };
    Ok(wanted.iter().any(has))
}

/// `has_column_privilege([user,] table, column, privilege)`: a right on the table, or on the column itself.
fn column(scope: &Scope, values: &[Value]) -> Result<Value> {
    let (role, skipped) = user(scope, values, 3)?;
    let wanted = wanted(values[skipped + 2].str(), COLUMN.accepted)?;
    let Some(table) = row(scope, &TABLE, &values[skipped])? else { return Ok(Value::Null) };
    let columns = scope.catalog.find_all("pg_attribute", "attrelid", table.oid("oid"))?;
    let is_it = |row: &&Row| match &values[skipped + 1] {
        Value::Text(name) => row.text("attname") == name,
        other => row.oid("attnum") == other.int(),
    };
    let Some(column) = columns.iter().find(is_it) else {
        return match &values[skipped + 1] {
            Value::Text(name) => {
                let table = table.text("relname");
                let what = format!("column \"{name}\" of relation \"{table}\" does not exist");
                Err(Error::new(Kind::NotFound, what).with_sqlstate("42703").into())
            }
            _ => Ok(Value::Null),
        };
    };
    let is_allowed =
        allowed(scope, role, &TABLE, &table, &wanted)? || allowed(scope, role, &COLUMN, column, &wanted)?;
    Ok(Value::Bool(is_allowed))
}

/// `has_any_column_privilege([user,] table, privilege)`
fn any_column(scope: &Scope, values: &[Value]) -> Result<Value> {
    let (role, skipped) = user(scope, values, 2)?;
    let wanted = wanted(values[skipped + 1].str(), COLUMN.accepted)?;
    let Some(table) = row(scope, &TABLE, &values[skipped])? else { return Ok(Value::Null) };
    let mut is_allowed = allowed(scope, role, &TABLE, &table, &wanted)?;
    for column in scope.catalog.find_all("pg_attribute", "attrelid", table.oid("oid"))? {
        is_allowed = is_allowed || allowed(scope, role, &COLUMN, &column, &wanted)?;
    }
    Ok(Value::Bool(is_allowed))
}

/// `pg_has_role([user,] role, privilege)`: an admin is a member of every role, everybody of his own.
fn member(scope: &Scope, values: &[Value]) -> Result<Value> {
    let (role, skipped) = user(scope, values, 2)?;
    wanted(values[skipped + 1].str(), &["MEMBER", "USAGE"])?;
    let of = match &values[skipped] {
        Value::Text(name) => {
            let missing = || undefined(format!("role \"{name}\" does not exist"));
            scope.role(name)?.ok_or_else(missing)?
        }
        other => other.int(),
    };
    Ok(Value::Bool(role == of || scope.is_admin(role)?))
}
