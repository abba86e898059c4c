//! One error for the whole product: what went wrong, for whom, and what to do about it.
//!
//! A message is lower-case, names the object, quotes the value in backticks and says what is accepted. The
//! [`Kind`] decides the SQLSTATE, whether trying again can help, and whose turn it is.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A named thing does not exist.
    NotFound,
    /// A named thing exists already.
    AlreadyExists,
    /// A value, setting or argument is not acceptable.
    Invalid,
    /// The user lacks a right in tributary.
    Denied,
    /// A login (to tributary or to a source) was refused.
    Unauthenticated,
    /// The other side cannot be reached or is overloaded; trying again may help.
    Unavailable,
    /// Somebody else holds the object or changed it first.
    Conflict,
    /// Cancelled by a person or by a deadline.
    Cancelled,
    /// A limit of memory, disk, size or number was reached.
    Limit,
    /// Not supported.
    Unsupported,
    /// Stored data is damaged.
    Corrupt,
    /// The data of the source does not keep what its definition promises (keys, types).
    Data,
    /// A defect of tributary.
    Internal,
}

impl Kind {
    /// The SQLSTATE that stands for this kind where no more exact one was given.
    pub fn sqlstate(self) -> &'static str {
        match self {
            Kind::NotFound => "42704",
            Kind::AlreadyExists => "42710",
            Kind::Invalid => "22023",
            Kind::Denied => "42501",
            Kind::Unauthenticated => "28000",
            Kind::Unavailable => "08006",
            Kind::Conflict => "55P03",
            Kind::Cancelled => "57014",
            Kind::Limit => "53200",
            Kind::Unsupported => "0A000",
            Kind::Corrupt => "XX001",
            Kind::Data => "22000",
            Kind::Internal => "XX000",
        }
    }

    /// Whether the same call may succeed when tried again unchanged.
    pub fn is_retryable(self) -> bool {
        matches!(self, Kind::Unavailable | Kind::Conflict)
    }
}

/// An error that a person reads. `Display` is the message alone; detail, hint and position travel beside it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    sqlstate: Option<&'static str>,
    what: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<u32>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    is_of_source: bool,
}

impl Error {
    /// An error of `kind` saying `what`: lower-case, no trailing period, values in backticks.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            sqlstate: None,
            what: what.into(),
            detail: None,
            hint: None,
            position: None,
            source: None,
            is_of_source: false,
        }))
    }

    /// A defect of tributary itself.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(Kind::Internal, what)
    }

    /// Replaces the kind's SQLSTATE by a more exact one.
    pub fn with_sqlstate(mut self, sqlstate: &'static str) -> Self {
        self.0.sqlstate = Some(sqlstate);
        self
    }

    /// Adds a second sentence with the facts.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds what the reader can do.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets the 1-based character position in the query text.
    pub fn with_position(mut self, position: u32) -> Self {
        self.0.position = Some(position);
        self
    }

    /// Takes the position away: the text that it counts in is not the one that the reader sent.
    pub fn take_position(&mut self) -> Option<u32> {
        self.0.position.take()
    }

    /// Keeps the underlying error for the log. It is never shown to a client.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says that a source system gave this error.
    pub fn of_source(mut self) -> Self {
        self.0.is_of_source = true;
        self
    }

    /// Whether a source system gave this error, and not our own storage, state or code.
    pub fn is_of_source(&self) -> bool {
        self.0.is_of_source
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The SQLSTATE sent to a client.
    pub fn sqlstate(&self) -> &'static str {
        self.0.sqlstate.unwrap_or(self.0.kind.sqlstate())
    }

    /// The message alone.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// The facts beside the message.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// What the reader can do.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// 1-based character position in the query text.
    pub fn position(&self) -> Option<u32> {
        self.0.position
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} [{}]: {}", self.0.kind, self.sqlstate(), self.0.what)?;
        if let Some(detail) = &self.0.detail {
            write!(f, " ({detail})")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "; hint: {hint}")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, "; caused by: {source}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

/// Appends ` (did you mean `x`?)` when one of `candidates` is close to `given`.
pub fn did_you_mean<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(given, c), c))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| format!(" (did you mean `{c}`?)"))
        .unwrap_or_default()
}
