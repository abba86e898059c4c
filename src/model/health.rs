//! How connections stand, and what people are told about it.

use super::Micros;
use crate::error::{Error, Kind};

/// An enumeration that is kept and shown as words.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word for people and for the state.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(word: &str) -> Result<Self, Error> {
                let found = $name::ALL.iter().find(|known| known.as_str() == word);
                found.copied().ok_or_else(|| {
                    let what = concat!("the state holds an unknown ", stringify!($name));
                    Error::new(Kind::Corrupt, format!("{what}: `{word}`"))
                })
            }
        }
    };
}

words! {
    /// What an error is about, as far as it decides who is told and when it is over.
    Fault {
        /// The source refuses the login: only a person helps.
        Login = "login",
        /// The source cannot be reached or is overloaded.
        Reach = "unreachable",
        /// The calls that the source allows are used up for now.
        Quota = "quota",
        /// No space is left on our own disk.
        Disk = "disk",
        /// Somebody else works on the same thing.
        Busy = "busy",
        /// Cancelled by a person or by the end of the server.
        Cancelled = "cancelled",
        /// Anything else.
        Other = "other",
    }
}

impl Fault {
    /// What `error` is about.
    pub fn of(error: &Error) -> Self {
        match (error.kind(), error.sqlstate(), error.is_of_source()) {
            (Kind::Unauthenticated, _, true) => Fault::Login,
            (Kind::Limit, "53400", true) => Fault::Quota,
            (Kind::Unavailable, _, true) => Fault::Reach,
            (_, "53100", false) => Fault::Disk,
            (Kind::Conflict, "55P03", false) => Fault::Busy,
            (Kind::Cancelled, _, false) => Fault::Cancelled,
            _ => Fault::Other,
        }
    }
}

words! {
    /// How something stands. The worse, the greater.
    State {
        /// Works.
        Green = "green",
        /// Works in part, or needs attention soon.
        Amber = "amber",
        /// Nothing can be synced.
        Red = "red",
    }
}

words! {
    /// Who can do something about it.
    Turn {
        /// It passes by itself, or nothing is wrong.
        Nobody = "nobody",
        /// Whoever logs in at the source.
        User = "user",
        /// An admin, here or at the source.
        Admin = "admin",
        /// The operator of the source.
        Vendor = "vendor",
    }
}

words! {
    /// How much an alert matters.
    Severity {
        /// Data still comes, or comes in part.
        Warning = "warning",
        /// Data does not come.
        Critical = "critical",
    }
}

/// What a check found, of a connection or of one object of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The connection.
    pub connection_id: i64,
    /// The object; `None` for the connection as a whole.
    pub object_id: Option<String>,
    /// How it stands.
    pub state: State,
    /// What the cause is about; `None` when there is none.
    pub fault: Option<Fault>,
    /// The cause without the source's own words, which may quote a record.
    pub summary: Option<String>,
    /// Why it is not green.
    pub cause: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Who can do that.
    pub turn: Turn,
    /// Since when it stands so.
    pub since: Micros,
    /// When it was looked at.
    pub checked_at: Micros,
}

/// Something that is wrong and that people should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Names the cause: the same cause again is the same alert.
    pub cause: String,
    /// How much it matters.
    pub severity: Severity,
    /// Name of the connection it is about.
    pub connection: Option<String>,
    /// SQL name of the object it is about.
    pub object: Option<String>,
    /// The run that told it.
    pub run_id: Option<i64>,
    /// One sentence that may leave the company: no words of the source, no values.
    pub summary: String,
    /// Everything that is known.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Who can do that.
    pub turn: Turn,
}

/// A condition that was noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Grows by one.
    pub id: i64,
    /// What is wrong.
    pub condition: Condition,
    /// When it was noticed.
    pub raised_at: Micros,
    /// When the cause was gone.
    pub cleared_at: Option<Micros>,
    /// When somebody said that they know.
    pub acknowledged_at: Option<Micros>,
    /// Who that was.
    pub acknowledged_by: Option<String>,
    /// When the first message about it left.
    pub sent_at: Option<Micros>,
    /// Why a message about it has not left yet.
    pub send_error: Option<String>,
}

words! {
    /// What a message tells.
    Event {
        /// Something is wrong.
        Raised = "raised",
        /// It is over.
        Resolved = "resolved",
    }
}

/// A message that waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub alert: Alert,
    /// What it tells.
    pub event: Event,
    /// How often it was tried.
    pub tries: u32,
}
