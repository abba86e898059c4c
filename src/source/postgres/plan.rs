//! What one read asks the server for: expressions, conditions, and the parts it is divided into.

use super::columns::{Column, Relation};
use super::filter;
use super::name::{check_column, quote};
use super::types::{Codec, transfer};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::FieldType;
use crate::source::Read;

/// A part of an object that one COPY reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Qualified and quoted name of the table.
    pub(crate) table: String,
    /// First page, and the page behind the last one; the last part of a table is open-ended.
    pub(crate) pages: Option<(u64, Option<u64>)>,
}

/// A table whose pages can be divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) table: String,
    pub(crate) pages: u64,
}

/// The read's select list, in the order of its fields.
#[derive(Debug)]
pub(crate) struct Plan {
    expressions: Vec<String>,
    pub(crate) codecs: Vec<Codec>,
    conditions: Vec<String>,
    limit: Option<u64>,
}

impl Plan {
    /// Binds the fields and the filter of `read` to the columns as they are now. `condition` is the diff's own.
    pub(crate) fn new(
        read: &Read,
        relation: &Relation,
        columns: &[Column],
        condition: Option<String>,
    ) -> Result<Self> {
        if read.fields.is_empty() {
            return Err(Error::new(Kind::Invalid, format!("no field of `{}` is selected", read.object)));
        }
        let mut expressions = Vec::with_capacity(read.fields.len());
        let mut codecs = Vec::with_capacity(read.fields.len());
        for field in &read.fields {
            let (expression, codec) = bind(relation, columns, &field.api, &field.data_type)?;
            expressions.push(expression);
            codecs.push(codec);
        }
        let mut conditions: Vec<_> = condition.into_iter().collect();
        if let Some(tree) = &read.filter {
            conditions.push(filter::compile(tree, &|field, data_type| {
                let expression = bind(relation, columns, field, data_type)?.0;
                // Enums and identifiers travel as they are, but are compared as the texts they become.
                Ok(if *data_type == FieldType::Text { format!("{expression}::text") } else { expression })
            })?);
        }
        // One more than wanted tells whether there are more.
        let limit = read.max_rows.map(|rows| rows.saturating_add(1).min(i64::MAX as u64));
        Ok(Plan { expressions, codecs, conditions, limit })
    }

    /// The statement that reads `part`.
    pub(crate) fn copy_sql(&self, part: &Part) -> String {
        let mut conditions = self.conditions.clone();
        if let Some((first, end)) = part.pages {
            conditions.push(format!("ctid >= '({first},0)'::tid"));
            conditions.extend(end.map(|end| format!("ctid < '({end},0)'::tid")));
        }
        let mut sql = format!("COPY (SELECT {} FROM {}", self.expressions.join(", "), part.table);
        if !conditions.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&conditions.join(" AND "));
        }
        if let Some(limit) = self.limit {
            sql.push_str(&format!(" LIMIT {limit}"));
        }
        sql.push_str(") TO STDOUT (FORMAT binary)");
        sql
    }

    /// What is asked for of a whole table, for people.
    pub(crate) fn asked(&self, table: &str) -> String {
        self.copy_sql(&Part { table: table.to_string(), pages: None })
    }
}

/// The column of a field, which may have been dropped or renamed since it was discovered.
pub(crate) fn find<'a>(relation: &Relation, columns: &'a [Column], field: &str) -> Result<&'a Column> {
    check_column(field)?;
    columns.iter().find(|column| column.name == field).ok_or_else(|| {
        let suggestion = did_you_mean(field, columns.iter().map(|column| column.name.as_str()));
        Error::new(
            Kind::Data,
            format!("field `{field}` of `{}` does not exist at the source{suggestion}", relation.name.api()),
        )
        .with_sqlstate("42703")
        .with_hint(
            "the column was dropped, renamed, or is hidden from the login role; discover again and change the \
             object's fields",
        )
    })
}

fn bind(
    relation: &Relation,
    columns: &[Column],
    field: &str,
    data_type: &FieldType,
) -> Result<(String, Codec)> {
    let column = find(relation, columns, field)?;
    transfer(&column.name, &column.base, data_type).ok_or_else(|| {
        Error::new(
            Kind::Data,
            format!(
                "field `{field}` of `{}` is `{}` at the source and cannot be read as `{data_type}`",
                relation.name.api(),
                column.native
            ),
        )
        .with_sqlstate("42804")
        .with_hint("its type was changed at the source; discover again and change the field's type")
    })
}

/// Divides tables among `lanes` readers: every lane gets a contiguous stretch of about the same number of pages, in
/// order. Without `by_page`, whole tables only.
pub(crate) fn divide(units: &[Unit], lanes: usize, by_page: bool) -> Vec<Vec<Part>> {
    let total: u64 = units.iter().map(|unit| unit.pages.max(1)).sum();
    let lanes = lanes.max(1) as u64;
    let mut parts = vec![Vec::new(); lanes as usize];
    let mut before = 0;
    for unit in units {
        let after = before + unit.pages.max(1);
        for (lane, parts) in (0..lanes).zip(&mut parts) {
            let (first, end) = (total * lane / lanes, total * (lane + 1) / lanes);
            if by_page {
                let (from, to) = (first.max(before), end.min(after));
                if from < to {
                    let tail = (to < after).then_some(to - before);
                    let pages = (from > before || tail.is_some()).then_some((from - before, tail));
                    parts.push(Part { table: unit.table.clone(), pages });
                }
            } else if (first..end).contains(&(before + (after - before) / 2)) {
                parts.push(Part { table: unit.table.clone(), pages: None });
            }
        }
        before = after;
    }
    parts.retain(|parts| !parts.is_empty());
    parts
}

/// `schema.table` as SQL needs it.
pub(crate) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote(schema), quote(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(table: &str, pages: u64) -> Unit {
        Unit { table: table.into(), pages }
    }

    /// Every page of every unit is read exactly once, and the last part of each is open-ended.
    fn check(units: &[Unit], lanes: usize, by_page: bool) {
        let parts: Vec<_> = divide(units, lanes, by_page).into_iter().flatten().collect();
        let mut parts = parts.iter();
        for unit in units {
            let mut page = 0;
            loop {
                let part = parts.next().unwrap();
                assert_eq!(part.table, unit.table);
                let (first, end) = part.pages.unwrap_or((0, None));
                assert_eq!(first, page);
                match end {
                    Some(end) => page = end,
                    None => break,
                }
            }
        }
        assert!(parts.next().is_none());
    }

    #[test]
    fn every_page_is_read_once() {
        for lanes in 1..=8 {
            for by_page in [false, true] {
                check(&[unit("a", 100)], lanes, by_page);
                check(&[unit("a", 0)], lanes, by_page);
                check(&[unit("a", 1), unit("b", 1), unit("c", 0)], lanes, by_page);
                check(&[unit("a", 7), unit("b", 1000), unit("c", 3), unit("d", 500)], lanes, by_page);
            }
        }
        let two = divide(&[unit("a", 100)], 2, true);
        assert_eq!(two[0], [Part { table: "a".into(), pages: Some((0, Some(50))) }]);
        assert_eq!(two[1], [Part { table: "a".into(), pages: Some((50, None)) }]);
        assert_eq!(divide(&[unit("a", 100)], 1, true), [[Part { table: "a".into(), pages: None }]]);
    }
}
