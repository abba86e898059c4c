//! What a sync must pass before its rows are published, and what it found.

use std::collections::BTreeMap;

use super::Micros;

/// The rules of one object beside the share of rows it may lose. `None` switches a rule off.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateRules {
    /// By how many percentage points the share of NULLs of a field may grow.
    pub null_points: Option<u32>,
    /// The same for single fields, by their API names.
    pub null_points_of: BTreeMap<String, Option<u32>>,
    /// Share of the rows of a full read that may have the key of another one.
    pub duplicate_percent: Option<u32>,
    /// Share of the records that the source counted which a full read may lack.
    pub missing_percent: Option<u32>,
    /// By how many percent the sum of a field may move, by API names.
    pub sum_percent_of: BTreeMap<String, u32>,
}

impl Default for GateRules {
    fn default() -> Self {
        GateRules {
            null_points: Some(20),
            null_points_of: BTreeMap::new(),
            duplicate_percent: Some(10),
            missing_percent: Some(1),
            sum_percent_of: BTreeMap::new(),
        }
    }
}

/// A kind of rule, by the word that people use for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Rows lost.
    Rows,
    /// More NULLs in a field.
    Nulls,
    /// Rows with the key of another.
    Duplicates,
    /// Fewer rows than the source counts.
    Count,
    /// A sum that moved.
    Sum,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 5] = [Rule::Rows, Rule::Nulls, Rule::Duplicates, Rule::Count, Rule::Sum];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Rows => "rows",
            Rule::Nulls => "nulls",
            Rule::Duplicates => "duplicates",
            Rule::Count => "count",
            Rule::Sum => "sum",
        }
    }

    /// What it looks at, for people.
    pub fn description(self) -> &'static str {
        match self {
            Rule::Rows => "percent of the rows that a sync may remove",
            Rule::Nulls => "percentage points by which the share of NULLs of a field may grow",
            Rule::Duplicates => "percent of the rows of a full read that may have the key of another row",
            Rule::Count => "percent of the records counted by the source that a full read may lack",
            Rule::Sum => "percent by which the sum of the field may move",
        }
    }
}

/// What one rule found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    /// Which rule.
    pub rule: Rule,
    /// SQL name of the field it is about.
    pub field: Option<String>,
    /// What was measured in the published snapshot, or what was expected.
    pub before: String,
    /// What was measured in the new one.
    pub after: String,
    /// The limit, in the unit of the rule.
    pub limit: u32,
    /// Whether the new one is within it.
    pub passed: bool,
}

/// Why a record is not in the table any more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It was deleted at the source.
    Deleted,
    /// It was merged into the record of this key.
    MergedInto(String),
    /// It is there, and the filter does not hold for it.
    LeftFilter,
    /// The source does not show it, and did not delete it.
    NotVisible,
    /// The source cannot tell.
    Unknown,
}

impl Reason {
    /// In words.
    pub fn as_str(&self) -> &'static str {
        match self {
            Reason::Deleted => "deleted",
            Reason::MergedInto(_) => "merged into",
            Reason::LeftFilter => "left the filter",
            Reason::NotVisible => "not visible to this login",
            Reason::Unknown => "unknown",
        }
    }

    /// The key of the record that it was merged into.
    pub fn into_key(&self) -> Option<&str> {
        match self {
            Reason::MergedInto(key) => Some(key),
            _ => None,
        }
    }
}

/// A record that a run removed, or would remove if somebody approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The run.
    pub run_id: i64,
    /// The object.
    pub object_id: String,
    /// Its key as a JSON object.
    pub key: String,
    /// Why, in the words of [`Reason::as_str`].
    pub reason: String,
    /// The key of the record that it was merged into.
    pub merged_into: Option<String>,
}

/// A row that a run set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The run.
    pub run_id: i64,
    /// The object.
    pub object_id: String,
    /// Why.
    pub reason: String,
    /// The row as a JSON object.
    pub record: String,
}

/// Values of one field that did not fit its type and read NULL.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MisfitCount {
    /// SQL name of the field.
    pub field: String,
    /// How many.
    pub count: u64,
    /// One of them; `None` when records were erased from the object since, of one of which it may be.
    pub sample: Option<String>,
}

/// A login that waits to be accepted: it may see other records than the one before.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Review {
    /// Who is logged in.
    pub login: String,
    /// Whose view was accepted last.
    pub before: String,
    /// Since when.
    pub at: Micros,
}

/// Something that a login shows and the one before did not, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visible {
    /// `object`, `field` or `key`.
    pub kind: String,
    /// The source's own name of the object.
    pub object: String,
    /// The field, or the key as a JSON object.
    pub name: Option<String>,
    /// `gained` or `lost`.
    pub change: String,
}
