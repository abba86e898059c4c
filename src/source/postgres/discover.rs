//! What there is to adopt: objects with their suggested keys, names and cursors; fields with their types.

use std::collections::HashMap;

use super::columns::{self, Column, Relation};
use super::connect::{Session, text};
use super::failure;
use super::name::{ObjectName, quote};
use super::types::{Kept, kept};
use crate::error::Result;
use crate::model::FieldType;
use crate::source::{FieldInfo, ObjectInfo};

/// Values looked at to choose the scale of a `numeric` without precision.
const SAMPLE_ROWS: u32 = 50_000;

/// Names that people give to the field that names a record, best first.
const NAMES: [&str; 5] = ["name", "title", "label", "full_name", "email"];
/// Names that people give to the time of the last change.
const CURSORS: [&str; 14] = [
    "updated_at",
    "modified_at",
    "last_modified_at",
    "last_updated_at",
    "changed_at",
    "updated_on",
    "modified_on",
    "last_modified",
    "last_modified_date",
    "last_updated",
    "system_modstamp",
    "date_modified",
    "updated",
    "modified",
];

/// Every table, view and so on that the login role may read, system schemas and partitions left out.
pub(crate) async fn objects(session: &mut Session) -> Result<Vec<ObjectInfo>> {
    let failed = |error| failure::running(None, error);
    let version = session.version;
    let relations = session.query(&objects_sql()).await.map_err(failed)?;
    let columns = session.query(&candidates_sql()).await.map_err(failed)?;
    let keys = session.query(&keys_sql(version)).await.map_err(failed)?;

    let mut names: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut cursors: HashMap<&str, Vec<&str>> = HashMap::new();
    for row in &columns {
        let (Some(oid), Some(column)) = (text(row, 0), text(row, 1)) else { continue };
        let found = if text(row, 2) == Some("t") { &mut names } else { &mut cursors };
        found.entry(oid).or_default().push(column);
    }
    // One row a key column, the best key of a table first.
    let mut suggested: HashMap<&str, (&str, Vec<String>)> = HashMap::new();
    for row in &keys {
        let (Some(oid), Some(index), Some(column)) = (text(row, 0), text(row, 1), text(row, 2)) else {
            continue;
        };
        let (best, fields) = suggested.entry(oid).or_insert_with(|| (index, Vec::new()));
        if *best == index {
            fields.push(column.to_string());
        }
    }
    Ok(relations
        .iter()
        .map(|row| {
            let oid = text(row, 0).unwrap_or_default();
            let name = text(row, 2).unwrap_or_default();
            let object = ObjectName { schema: text(row, 1).unwrap_or_default().into(), name: name.into() };
            let rows: Option<i64> = text(row, 4).and_then(|rows| rows.parse().ok());
            // Before PostgreSQL 14, zero also means that nobody counted yet.
            let is_unknown = |rows: i64| rows < 0 || (rows == 0 && version < 140_000);
            ObjectInfo {
                name: None,
                api: object.api(),
                label: text(row, 5).filter(|label| !label.trim().is_empty()).unwrap_or(name).to_string(),
                kind: kind(text(row, 3)).to_string(),
                estimated_rows: rows.filter(|rows| !is_unknown(*rows)),
                suggested_key: suggested.remove(oid).map(|(_, fields)| fields).unwrap_or_default(),
                suggested_name: best(names.get(oid), &NAMES),
                suggested_cursor: best(cursors.get(oid), &CURSORS),
            }
        })
        .collect())
}

fn kind(relkind: Option<&str>) -> &'static str {
    match relkind {
        Some("v") => "view",
        Some("m") => "materialized view",
        Some("f") => "foreign table",
        Some("p") => "partitioned table",
        _ => "table",
    }
}

/// The first of the wanted names that a column has, however it is written (`UpdatedAt`, `updated_at`).
fn best(columns: Option<&Vec<&str>>, wanted: &[&str]) -> Option<String> {
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let columns = columns?;
    wanted
        .iter()
        .find_map(|wanted| columns.iter().find(|column| plain(column) == plain(wanted)))
        .map(|column| (*column).to_string())
}

const READABLE: &str = "c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition \
    AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
    AND has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')";

fn objects_sql() -> String {
    format!(
        "SELECT c.oid, n.nspname, c.relname, c.relkind, \
           CASE WHEN c.relkind IN ('r', 'm', 'p') THEN c.reltuples::bigint END, obj_description(c.oid, 'pg_class') \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {READABLE} ORDER BY n.nspname, c.relname"
    )
}

/// Text columns that may name a record (true), timestamps that may be cursors (false).
fn candidates_sql() -> String {
    format!(
        "SELECT c.oid, a.attname, t.typcategory = 'S' \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         WHERE {READABLE} AND (t.typcategory = 'S' OR t.oid IN (1114, 1184)) \
           AND has_column_privilege(c.oid, a.attnum, 'SELECT') ORDER BY c.oid, a.attnum"
    )
}

/// Columns of unique indexes that identify every row: no predicate, no expression, not deferrable, no NULLs. The
/// primary key comes first, then the index with the fewest columns.
fn keys_sql(version: u32) -> String {
    let (key_columns, nulls_collide) = (
        if version >= 110_000 { "i.indnkeyatts" } else { "i.indnatts" },
        if version >= 150_000 { "i.indnullsnotdistinct" } else { "false" },
    );
    format!(
        "SELECT c.oid, i.indexrelid, a.attname \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_index i ON i.indrelid = c.oid \
         CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, position) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum \
         WHERE {READABLE} AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL \
           AND i.indexprs IS NULL AND k.position <= {key_columns} \
           AND (i.indisprimary OR {nulls_collide} OR NOT EXISTS (\
             SELECT 1 FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS o (attnum, position) \
             JOIN pg_catalog.pg_attribute b ON b.attrelid = c.oid AND b.attnum = o.attnum \
             WHERE o.position <= {key_columns} AND NOT b.attnotnull)) \
         ORDER BY c.oid, i.indisprimary DESC, {key_columns}, i.indexrelid, k.position"
    )
}

/// The fields of one object with the types in which they are kept.
pub(crate) async fn fields(session: &mut Session, name: &ObjectName) -> Result<Vec<FieldInfo>> {
    let relation = columns::relation(session, name).await?;
    let columns = columns::columns(session, &relation).await?;
    let decided: Vec<_> = columns.iter().map(|column| kept(&column.base, &column.native)).collect();
    let open = || {
        let undecided = |kept: &Kept| matches!(kept, Kept::BySample { .. });
        columns
            .iter()
            .zip(&decided)
            .filter(move |(_, kept)| undecided(kept))
            .map(|(column, kept)| (column, matches!(kept, Kept::BySample { list: true })))
    };
    let mut samples = sample(session, &relation, open()).await.into_iter();
    let cents = match decided.iter().any(|kept| matches!(kept, Kept::Money { .. })) {
        true => money_scale(session).await?,
        false => 2,
    };
    let list = |is_list: bool, element| {
        if is_list { FieldType::List(Box::new(element)) } else { element }
    };
    Ok(columns
        .iter()
        .zip(decided.clone())
        .map(|(column, kept)| {
            let (data_type, note) = match kept {
                Kept::As(data_type, note) => (data_type, note),
                Kept::Money { list: is_list } => (list(is_list, FieldType::Decimal(20, cents)), None),
                Kept::BySample { list: is_list } => {
                    let (element, note) = by_sample(samples.next().flatten());
                    (list(is_list, element), Some(note))
                }
            };
            FieldInfo {
                api: column.name.clone(),
                label: column.label.clone(),
                data_type,
                native_type: column.native.clone(),
                not_null: column.not_null,
                note,
                volatile: false,
            }
        })
        .collect())
}

/// Digits before and after the point that the sampled values need.
#[derive(Debug, Clone, Copy)]
struct Digits {
    whole: i32,
    fraction: i32,
}

fn by_sample(digits: Option<Digits>) -> (FieldType, String) {
    const REST: &str = "values that do not fit become NULL and are counted";
    let Some(Digits { whole, fraction }) = digits else {
        let note = format!("the source declares no precision and has no values yet to learn it from; {REST}");
        return (FieldType::Decimal(38, 10), note);
    };
    if whole + fraction > 36 || fraction > 18 {
        let note = format!(
            "kept as text: the source declares no precision, and its values need {whole} digits before and \
             {fraction} after the point"
        );
        return (FieldType::Text, note);
    }
    let scale = fraction.clamp(2, 18);
    let note =
        format!("the source declares no precision; {scale} digits after the point hold its values; {REST}");
    (FieldType::Decimal(38, scale as i8), note)
}

/// What the values of `numeric` columns without precision look like, one answer a column. An object too slow to be
/// sampled is treated as one without values.
async fn sample(
    session: &mut Session,
    relation: &Relation,
    columns: impl Iterator<Item = (&Column, bool)> + Clone,
) -> Vec<Option<Digits>> {
    let count = columns.clone().count();
    if count == 0 {
        return Vec::new();
    }
    let names: Vec<_> = columns.clone().map(|(column, _)| quote(&column.name)).collect();
    let measures: Vec<_> = columns
        .enumerate()
        .map(|(index, (_, is_list))| {
            let value = quote(&format!("v{index}"));
            // A list is measured by its elements.
            let values = if is_list { format!("unnest({value})") } else { value };
            format!(
                "(SELECT max(scale(n)) || ' ' || max(length(split_part(abs(n)::text, '.', 1))) \
                 FROM (SELECT {values} AS n FROM sample) s WHERE n::text NOT IN ('NaN', 'Infinity', '-Infinity'))"
            )
        })
        .collect();
    let selected: Vec<_> =
        names.iter().enumerate().map(|(index, name)| format!("{name} AS \"v{index}\"")).collect();
    let sql = format!(
        "SET statement_timeout = '20s'; WITH sample AS (SELECT {} FROM {} {}) SELECT {}; \
         RESET statement_timeout",
        selected.join(", "),
        relation.name.sql(),
        sampling(relation),
        measures.join(", ")
    );
    let rows = match session.query(&sql).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(object = %relation.name.api(), %error, "numeric fields could not be sampled");
            return vec![None; count];
        }
    };
    let answers = rows.first();
    (0..count)
        .map(|column| {
            let (fraction, whole) = text(answers?, column)?.split_once(' ')?;
            Some(Digits { whole: whole.parse().ok()?, fraction: fraction.parse().ok()? })
        })
        .collect()
}

/// Large tables are sampled everywhere, not only where they begin.
fn sampling(relation: &Relation) -> String {
    let wanted = f64::from(SAMPLE_ROWS);
    match relation.kind {
        'r' | 'm' | 'p' if relation.estimated_rows > 2.0 * wanted => {
            let percent = 100.0 * wanted / relation.estimated_rows;
            format!("TABLESAMPLE SYSTEM ({percent:.6}) REPEATABLE (1)")
        }
        // The estimate may be old, and a view has none.
        _ => format!("LIMIT {}", 2 * SAMPLE_ROWS),
    }
}

/// The server's locale decides how many digits `money` has after the point.
async fn money_scale(session: &mut Session) -> Result<i8> {
    let sql = "SELECT scale(0::money::numeric)";
    let rows = session.query(sql).await.map_err(|error| failure::running(None, error))?;
    Ok(rows.first().and_then(|row| text(row, 0)?.parse().ok()).unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_of_a_bare_numeric_follows_its_values() {
        let digits = |whole, fraction| by_sample(Some(Digits { whole, fraction })).0;
        assert_eq!(digits(7, 0), FieldType::Decimal(38, 2));
        assert_eq!(digits(12, 4), FieldType::Decimal(38, 4));
        assert_eq!(digits(18, 18), FieldType::Decimal(38, 18));
        assert_eq!(digits(30, 10), FieldType::Text);
        assert_eq!(digits(1, 25), FieldType::Text);
        assert_eq!(by_sample(None).0, FieldType::Decimal(38, 10));
    }

    #[test]
    fn suggestions_see_through_spelling() {
        let columns = vec!["created_at", "LastModifiedDate"];
        assert_eq!(best(Some(&columns), &CURSORS).as_deref(), Some("LastModifiedDate"));
        assert_eq!(best(None, &NAMES), None);
    }
}
