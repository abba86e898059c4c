//! The entries of the Delta log that a commit consists of, as the protocol writes them.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::checksum::{self, Checksums};
use super::dv::Descriptor;
use crate::error::{Error, Result};
use crate::model::{FieldType, Micros};

/// Domain under which the log carries what only we need.
pub(crate) const DOMAIN: &str = "tributary";

const ENGINE: &str = concat!("tributary/", env!("CARGO_PKG_VERSION"));

/// What every commit says about the table beyond its files. It moves with them, atomically.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TableState {
    /// Id of the table within the log.
    pub(crate) table: String,
    /// The run that made this version.
    pub(crate) run: i64,
    /// Fence of its lease.
    pub(crate) fence: i64,
    /// Where the next diff starts.
    pub(crate) watermark: Option<Value>,
    /// Columns with their exact types.
    pub(crate) columns: Vec<(String, FieldType)>,
    /// Key columns, most significant first.
    pub(crate) key: Vec<String>,
    /// Whether the protocol of the table includes timestamps without time zone. Once it does, it stays.
    pub(crate) timestamp_ntz: bool,
    /// Rows read, inserted, updated, deleted by that run.
    pub(crate) counts: [u64; 4],
    /// The version whose rows a compaction arranged anew; `None`: the rows are this version's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<i64>,
    /// Files written before then, in microseconds, which no version had, are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) swept: Option<Micros>,
}

/// One file as an `add` or `remove` entry names it.
pub(crate) struct FileAction<'a> {
    pub(crate) path: &'a str,
    pub(crate) size: u64,
    pub(crate) modified: Micros,
    /// Statistics as JSON text; only for an `add`.
    pub(crate) stats: Option<&'a str>,
    pub(crate) deleted: Option<&'a Descriptor>,
    /// Only for an `add`.
    pub(crate) checksums: Option<&'a Checksums>,
}

/// The tag of a file under which the log keeps its checksums.
pub(crate) const CHECKSUMS: &str = "tributary.crc32";

/// The text of one commit under construction.
pub(crate) struct Entries {
    text: String,
    id: String,
    now: Micros,
    data_change: bool,
}

impl Entries {
    /// Starts the commit with who made it and why. Its random id tells our commit from another's.
    pub(crate) fn new(operation: &str, now: Micros) -> Self {
        let id = Uuid::new_v4().to_string();
        let mut entries = Entries { text: String::new(), id, now, data_change: true };
        let id = entries.id.clone();
        entries.push(&json!({"commitInfo": {
            "timestamp": now / 1000, "operation": operation, "operationParameters": {},
            "engineInfo": ENGINE, "txnId": id, "isBlindAppend": false,
        }}));
        entries
    }

    /// Starts a commit that arranges the same rows anew.
    pub(crate) fn compaction(now: Micros) -> Self {
        Entries { data_change: false, ..Entries::new("OPTIMIZE", now) }
    }

    /// The features a reader and a writer must know.
    pub(crate) fn protocol(&mut self, timestamp_ntz: bool) {
        let mut reader = vec!["deletionVectors"];
        if timestamp_ntz {
            reader.push("timestampNtz");
        }
        let mut writer = reader.clone();
        writer.push("domainMetadata");
        self.push(&json!({"protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": reader, "writerFeatures": writer,
        }}));
    }

    /// The columns.
    pub(crate) fn metadata(&mut self, table: &str, columns: &[(String, FieldType)]) {
        self.push(&json!({"metaData": {
            "id": table, "format": {"provider": "parquet", "options": {}},
            "schemaString": schema(columns).to_string(), "partitionColumns": [],
            "configuration": {"delta.enableDeletionVectors": "true"}, "createdTime": self.now / 1000,
        }}));
    }

    /// What only we need, and the run as an application transaction for outside readers.
    pub(crate) fn state(&mut self, state: &TableState) -> Result<()> {
        let text = serde_json::to_string(state)
            .map_err(|e| Error::internal("cannot write the state of a table").with_source(e))?;
        self.push(&json!({"txn": {"appId": DOMAIN, "version": state.run, "lastUpdated": self.now / 1000}}));
        self.push(&json!({"domainMetadata": {"domain": DOMAIN, "configuration": text, "removed": false}}));
        Ok(())
    }

    pub(crate) fn add(&mut self, file: &FileAction<'_>) {
        let mut add = json!({
            "path": file.path, "partitionValues": {}, "size": file.size,
            "modificationTime": file.modified / 1000, "dataChange": self.data_change,
        });
        if let Some(stats) = file.stats {
            add["stats"] = stats.into();
        }
        if let Some(checksums) = file.checksums {
            add["tags"] = json!({ CHECKSUMS: checksums.to_text() });
        }
        if let Some(deleted) = file.deleted {
            add["deletionVector"] = json!(deleted);
        }
        self.push(&json!({ "add": add }));
    }

    /// Removes a file with the vector it had: the two together are what the log calls a file.
    pub(crate) fn remove(&mut self, file: &FileAction<'_>) {
        let mut remove = json!({
            "path": file.path, "deletionTimestamp": self.now / 1000, "dataChange": self.data_change,
            "extendedFileMetadata": true, "partitionValues": {}, "size": file.size,
        });
        if let Some(deleted) = file.deleted {
            remove["deletionVector"] = json!(deleted);
        }
        self.push(&json!({ "remove": remove }));
    }

    /// Our random id of this commit.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The text of the commit with its checksum.
    pub(crate) fn into_text(self) -> Result<String> {
        checksum::seal_commit(&self.text).ok_or_else(|| Error::internal("a commit begins with no commitInfo"))
    }

    fn push(&mut self, entry: &Value) {
        // Writing to a string does not fail.
        writeln!(self.text, "{entry}").ok();
    }
}

/// The version whose rows a commit, given by its text, arranges anew; `None` when it is no compaction.
pub(crate) fn content_of(commit: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(commit).ok()?;
    let states = text.lines().filter(|line| line.starts_with(r#"{"domainMetadata""#));
    let state = |line: &str| {
        let entry: Value = serde_json::from_str(line).ok()?;
        let domain = &entry["domainMetadata"];
        let text = domain["configuration"].as_str().filter(|_| domain["domain"] == DOMAIN)?;
        serde_json::from_str::<TableState>(text).ok()
    };
    states.filter_map(state).find_map(|state| state.content)
}

/// Whether `commit`, the text of a log entry, is the one with our random id.
pub(crate) fn is_ours(commit: &[u8], id: &str) -> bool {
    let Ok(text) = std::str::from_utf8(commit) else { return false };
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .any(|entry| entry["commitInfo"]["txnId"].as_str() == Some(id))
}

fn schema(columns: &[(String, FieldType)]) -> Value {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, t)| json!({"name": name, "type": delta_type(t), "nullable": true, "metadata": {}}))
        .collect();
    json!({"type": "struct", "fields": fields})
}

fn delta_type(t: &FieldType) -> Value {
    match t {
        FieldType::Boolean => "boolean".into(),
        FieldType::Int16 => "short".into(),
        FieldType::Int32 => "integer".into(),
        FieldType::Int64 => "long".into(),
        FieldType::Float32 => "float".into(),
        FieldType::Float64 => "double".into(),
        FieldType::Decimal(precision, scale) => format!("decimal({precision},{scale})").into(),
        FieldType::Text => "string".into(),
        FieldType::Bytes => "binary".into(),
        FieldType::Date => "date".into(),
        FieldType::Timestamp => "timestamp_ntz".into(),
        FieldType::TimestampTz => "timestamp".into(),
        FieldType::List(element) => {
            json!({"type": "array", "elementType": delta_type(element), "containsNull": true})
        }
    }
}

/// Whether `columns` need the protocol's timestamps without time zone.
pub(crate) fn has_timestamp_ntz(columns: &[(String, FieldType)]) -> bool {
    columns.iter().any(|(_, t)| match t {
        FieldType::List(element) => **element == FieldType::Timestamp,
        t => *t == FieldType::Timestamp,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compaction_names_the_version_whose_rows_it_holds() {
        let mut state = TableState {
            table: "t".into(),
            run: 7,
            fence: 3,
            watermark: None,
            columns: vec![("id".into(), FieldType::Text)],
            key: vec!["id".into()],
            timestamp_ntz: false,
            counts: [0; 4],
            content: Some(41),
            swept: None,
        };
        let text = |mut entries: Entries, state: &TableState| {
            entries.state(state).unwrap();
            entries.add(&FileAction {
                path: "p",
                size: 1,
                modified: 0,
                stats: None,
                deleted: None,
                checksums: None,
            });
            entries.into_text().unwrap()
        };
        let compaction = text(Entries::compaction(0), &state);
        assert!(compaction.contains(r#""dataChange":false"#), "{compaction}");
        assert_eq!(content_of(compaction.as_bytes()), Some(41));
        state.content = None;
        let merge = text(Entries::new("MERGE", 0), &state);
        assert!(merge.contains(r#""dataChange":true"#) && !merge.contains("content"), "{merge}");
        assert_eq!(content_of(merge.as_bytes()), None);
    }
}
