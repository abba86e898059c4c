//! One object as the catalog describes it: what it is, and its columns with domains and arrays resolved.

use tokio_postgres::SimpleQueryRow;

use super::connect::{Session, text};
use super::failure;
use super::name::{ObjectName, literal};
use crate::error::{Error, Kind, Result, did_you_mean};

/// A table, view, materialised view, foreign table or partitioned table.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) oid: u32,
    pub(crate) name: ObjectName,
    /// `pg_class.relkind`.
    pub(crate) kind: char,
    /// Whether SELECT is granted on the whole, not only on some columns.
    pub(crate) whole: bool,
    /// `pg_class.reltuples`; below zero when nobody counted.
    pub(crate) estimated_rows: f64,
    /// Whether row level security hides rows from this login.
    pub(crate) hides_rows: bool,
}

/// A column of an object.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The comment, else the name.
    pub(crate) label: String,
    /// The type as PostgreSQL writes it.
    pub(crate) native: String,
    pub(crate) not_null: bool,
    pub(crate) base: Base,
}

/// The type behind domains and arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) oid: u32,
    /// `pg_type.typtype`: `b` base, `c` composite, `e` enum, `r` range, `m` multirange, `p` pseudo.
    pub(crate) kind: char,
    /// Type modifier, -1 when there is none.
    pub(crate) modifier: i32,
    /// How many levels of arrays lie around it.
    pub(crate) arrays: u8,
}

/// Finds an object by its name.
pub(crate) async fn relation(session: &mut Session, name: &ObjectName) -> Result<Relation> {
    let sql = format!(
        "SELECT c.oid, c.relkind, has_table_privilege(c.oid, 'SELECT'), has_any_column_privilege(c.oid, 'SELECT'), \
         has_schema_privilege(n.oid, 'USAGE'), row_security_active(c.oid), c.reltuples \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = {} AND c.relkind IN ('r', 'v', 'm', 'f', 'p')",
        literal(&name.schema),
        literal(&name.name)
    );
    let api = name.api();
    let rows = session.query(&sql).await.map_err(|error| failure::running(Some(&api), error))?;
    let Some(row) = rows.first() else {
        return Err(unknown(session, name).await);
    };
    let granted = |column| text(row, column) == Some("t");
    if !granted(4) || !granted(3) {
        return Err(Error::new(Kind::Denied, format!("the source does not let us read `{api}`")).with_hint(format!(
            "the database administrator must run: GRANT USAGE ON SCHEMA {} TO \"{user}\"; GRANT SELECT ON {} TO \
             \"{user}\"",
            super::name::quote(&name.schema),
            name.sql(),
            user = session.user(),
        )));
    }
    Ok(Relation {
        oid: parse(row, 0)?,
        name: name.clone(),
        kind: text(row, 1).and_then(|kind| kind.chars().next()).unwrap_or('r'),
        whole: granted(2),
        hides_rows: granted(5),
        estimated_rows: parse(row, 6)?,
    })
}

async fn unknown(session: &mut Session, name: &ObjectName) -> Error {
    let api = name.api();
    let sql = "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname NOT LIKE 'pg\\_%' \
               AND n.nspname <> 'information_schema' LIMIT 10000";
    let names: Vec<String> = match session.query(sql).await {
        Ok(rows) => rows
            .iter()
            .filter_map(|row| {
                Some(ObjectName { schema: text(row, 0)?.into(), name: text(row, 1)?.into() }.api())
            })
            .collect(),
        Err(_) => Vec::new(),
    };
    let suggestion = did_you_mean(&api, names.iter().map(String::as_str));
    Error::new(Kind::NotFound, format!("`{api}` does not exist at the source{suggestion}"))
        .with_sqlstate("42P01")
        .with_hint(
            "discover lists what the login role may read; a dropped or renamed table must be adopted again",
        )
}

/// The columns of an object that the login role may read, in column order.
pub(crate) async fn columns(session: &mut Session, relation: &Relation) -> Result<Vec<Column>> {
    let sql = columns_sql(relation.oid);
    let api = relation.name.api();
    let rows = session.query(&sql).await.map_err(|error| failure::running(Some(&api), error))?;
    rows.iter().map(column).collect()
}

/// Every step of the recursion goes one domain or array inwards; the deepest one is the base type.
fn columns_sql(oid: u32) -> String {
    format!(
        "WITH RECURSIVE col AS (\
           SELECT a.attnum, a.attname, a.attnotnull, a.atttypid, a.atttypmod, \
                  pg_catalog.format_type(a.atttypid, a.atttypmod) AS native, \
                  pg_catalog.col_description(a.attrelid, a.attnum) AS label \
           FROM pg_catalog.pg_attribute a \
           WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped \
             AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')\
         ), step AS (\
           SELECT attnum, atttypid AS typ, atttypmod AS modifier, 0 AS arrays, 0 AS depth, attnotnull AS required \
           FROM col \
           UNION ALL \
           SELECT s.attnum, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END, \
                  CASE WHEN t.typtype = 'd' AND s.modifier < 0 THEN t.typtypmod ELSE s.modifier END, \
                  s.arrays + CASE WHEN t.typtype = 'd' THEN 0 ELSE 1 END, s.depth + 1, \
                  s.required OR (s.arrays = 0 AND t.typtype = 'd' AND t.typnotnull) \
           FROM step s JOIN pg_catalog.pg_type t ON t.oid = s.typ \
           WHERE t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0)\
         ) \
         SELECT DISTINCT ON (c.attnum) c.attname, c.label, c.native, s.required, t.oid, t.typtype, s.modifier, s.arrays \
         FROM col c JOIN step s USING (attnum) JOIN pg_catalog.pg_type t ON t.oid = s.typ \
         ORDER BY c.attnum, s.depth DESC"
    )
}

fn column(row: &SimpleQueryRow) -> Result<Column> {
    let name = text(row, 0).unwrap_or_default().to_string();
    Ok(Column {
        label: text(row, 1).filter(|label| !label.trim().is_empty()).unwrap_or(&name).to_string(),
        name,
        native: text(row, 2).unwrap_or_default().to_string(),
        not_null: text(row, 3) == Some("t"),
        base: Base {
            oid: parse(row, 4)?,
            kind: text(row, 5).and_then(|kind| kind.chars().next()).unwrap_or('b'),
            modifier: parse(row, 6)?,
            arrays: parse(row, 7)?,
        },
    })
}

/// A number of a text row.
pub(crate) fn parse<T: std::str::FromStr>(row: &SimpleQueryRow, column: usize) -> Result<T> {
    let value = text(row, column).unwrap_or_default();
    value
        .parse()
        .map_err(|_| Error::internal(format!("the source answered `{value}` where a number was expected")))
}
