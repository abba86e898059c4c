//! Overrides: what an admin says that a field of a record holds, kept apart from synced data.

use std::collections::BTreeMap;

use super::Micros;

/// A correction of one field of one record. It belongs to the releases from `from_release` on, until the one that ends
/// it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Override {
    /// Grows by one.
    pub id: i64,
    /// The object.
    pub object_id: String,
    /// `connection.object` then.
    pub object: String,
    /// The record: the values of the unique fields as text, by stored column.
    pub key: BTreeMap<String, String>,
    /// Stored column of the field, which no renaming changes.
    pub column: String,
    /// Name of the field then.
    pub field: String,
    /// What readers see, as text; `None` for NULL.
    pub value: Option<String>,
    /// What the source had said by then.
    pub old_value: Option<String>,
    /// Who said so.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Micros,
    /// When it ends by itself.
    pub expires_at: Option<Micros>,
    /// The first release that shows it.
    pub from_release: i64,
    /// The first release that does not show it any more.
    pub to_release: Option<i64>,
    /// How it ended.
    pub end: Option<End>,
}

/// How an override ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct End {
    /// In one word.
    pub how: Ended,
    /// When.
    pub at: Micros,
    /// Who ended it; `None` for the clock.
    pub by: Option<String>,
    /// Why, as told by that person.
    pub reason: Option<String>,
}

/// Why an override is none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// A person took it back.
    Cleared,
    /// A newer one of the same field took its place.
    Replaced,
    /// Its time was up.
    Expired,
    /// The object was dropped.
    Dropped,
}

impl Ended {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Cleared => "cleared",
            Ended::Replaced => "replaced",
            Ended::Expired => "expired",
            Ended::Dropped => "dropped",
        }
    }
}

impl std::str::FromStr for Ended {
    type Err = crate::error::Error;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Ended::Cleared, Ended::Replaced, Ended::Expired, Ended::Dropped]
            .into_iter()
            .find(|ended| ended.as_str() == word)
            .ok_or_else(|| crate::error::Error::internal(format!("no override ends as `{word}`")))
    }
}
