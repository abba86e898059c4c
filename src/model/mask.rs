//! Masks: what a field shows to those who have no right of their own to see it.

use std::str::FromStr;

use crate::error::{Error, Kind, Result};

/// What is shown in the place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// NULL.
    Hidden,
    /// The first character of a text and `***`.
    Partial,
}

impl Mask {
    /// All of them.
    pub const ALL: [Mask; 2] = [Mask::Hidden, Mask::Partial];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Mask::Hidden => "hidden",
            Mask::Partial => "partial",
        }
    }
}

impl FromStr for Mask {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Mask::ALL.into_iter().find(|mask| mask.as_str() == text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Error::new(Kind::Invalid, format!("unknown mask `{shown}`")).with_hint(
                "accepted are `hidden` (NULL), `partial` (the first character of a text) and `none`",
            )
        })
    }
}

/// A mask and the field it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMask {
    /// The object.
    pub object_id: String,
    /// The field, by the source's name.
    pub field: String,
    /// What it shows.
    pub mask: Mask,
}
