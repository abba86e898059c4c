//! What a caller says about a write, and what it is told about it.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::FieldType;

/// The definition of the rows of one write. Columns may differ from those the table has now: a replacement
/// writes a new definition, an upsert may add columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteSpec {
    /// Columns in the order of the batches. The names are the names on disk.
    pub columns: Vec<(String, FieldType)>,
    /// Names of the key columns, most significant first. Empty: rows are only ever replaced all together.
    pub key: Vec<String>,
}

/// What is committed together with the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// The run that wrote them.
    pub run_id: i64,
    /// Fence of the lease under which they were written; never lower than that of the commit before.
    pub fence: i64,
    /// Where the next diff starts.
    pub watermark: Option<serde_json::Value>,
}

/// What a write counted. Row counts, not bytes, unless said.
///
/// A full write of a keyed table whose columns and key stay counts exactly. Any other replacement compares numbers,
/// not rows: it counts as updated what both versions have room for, and the difference as inserted or deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed to the writer, deletions not included.
    pub read: u64,
    /// Written as new.
    pub inserted: u64,
    /// Written over an older row.
    pub updated: u64,
    /// Found equal to the row in the table and left alone.
    pub unchanged: u64,
    /// Removed.
    pub deleted: u64,
    /// In the table afterwards.
    pub total: u64,
    /// In the table before.
    pub before: u64,
    /// Dropped because a later row of the same write had the same key.
    pub duplicates: u64,
    /// Left out because a part of the key was NULL.
    pub null_keys: u64,
    /// The keys of some of the rows left out, as text.
    pub null_key_sample: Vec<String>,
    /// Bytes of the files that the write adds to the table.
    pub bytes_written: u64,
}

impl WriteSpec {
    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        schema_of(&self.columns)
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.columns.is_empty() {
            return Err(Error::new(Kind::Invalid, "a table needs at least one column"));
        }
        let mut seen = HashSet::new();
        for (name, _) in &self.columns {
            if name.is_empty() || name.chars().any(|c| " ,;{}()\n\t=".contains(c)) {
                return Err(Error::new(Kind::Invalid, format!("column name `{name}` cannot be stored"))
                    .with_hint("a stored name has no spaces and none of , ; { } ( ) ="));
            }
            if !seen.insert(name.to_lowercase()) {
                return Err(Error::new(Kind::Invalid, format!("column `{name}` appears twice")));
            }
        }
        for (position, name) in self.key.iter().enumerate() {
            let Some((_, data_type)) = self.columns.iter().find(|(column, _)| column == name) else {
                let names = self.columns.iter().map(|(column, _)| column.as_str());
                let hint = did_you_mean(name, names);
                return Err(Error::new(Kind::Invalid, format!("unknown key column `{name}`{hint}")));
            };
            if !data_type.can_be_key() {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("column `{name}` of type `{data_type}` cannot be part of a key"),
                )
                .with_hint("key columns are boolean, integers, numeric, text, date or timestamps"));
            }
            if self.key[..position].contains(name) {
                return Err(Error::new(Kind::Invalid, format!("key column `{name}` appears twice")));
            }
        }
        Ok(())
    }
}

/// The Arrow schema that holds `columns`, in memory and on disk.
pub(crate) fn schema_of(columns: &[(String, FieldType)]) -> SchemaRef {
    Arc::new(Schema::new(
        columns.iter().map(|(name, t)| Field::new(name, t.arrow(), true)).collect::<Vec<_>>(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_that_cannot_be_stored_is_refused_by_name() {
        let spec = |columns: &[(&str, FieldType)], key: &[&str]| WriteSpec {
            columns: columns.iter().map(|(n, t)| (n.to_string(), t.clone())).collect(),
            key: key.iter().map(|k| k.to_string()).collect(),
        };
        let text = FieldType::Text;
        assert!(spec(&[("id", text.clone())], &["id"]).check().is_ok());
        for (bad, part) in [
            (spec(&[], &[]), "at least one column"),
            (spec(&[("a b", text.clone())], &[]), "`a b`"),
            (spec(&[("a", text.clone()), ("A", text.clone())], &[]), "`A` appears twice"),
            (spec(&[("ident", text.clone())], &["idemt"]), "did you mean `ident`?"),
            (spec(&[("a", FieldType::Float64)], &["a"]), "double precision"),
            (spec(&[("a", text.clone())], &["a", "a"]), "appears twice"),
        ] {
            assert!(bad.check().unwrap_err().what().contains(part), "{part}");
        }
    }
}
