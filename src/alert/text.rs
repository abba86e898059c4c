//! What messages say.

use serde::Serialize;

/// What a notice tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeEvent {
    /// Something is wrong.
    Raised,
    /// It is over.
    Resolved,
}

impl NoticeEvent {
    /// The word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeEvent::Raised => "raised",
            NoticeEvent::Resolved => "resolved",
        }
    }
}

/// One thing that people should hear of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What it tells.
    pub event: NoticeEvent,
    /// Number of the alert.
    pub alert: i64,
    /// Names the cause, for programs.
    pub cause: String,
    /// `warning` or `critical`.
    pub severity: &'static str,
    /// Name of the connection.
    pub connection: Option<String>,
    /// Name of the object.
    pub object: Option<String>,
    /// Number of the run.
    pub run: Option<i64>,
    /// One sentence.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Who can do that: `admin`, `user`, `vendor`, `nobody`.
    pub turn: &'static str,
    /// When it was noticed, in RFC 3339.
    pub raised_at: String,
    /// When it was over, in RFC 3339.
    pub cleared_at: Option<String>,
}

impl Notice {
    /// One line: what happened to what.
    pub(super) fn headline(&self) -> String {
        match self.event {
            NoticeEvent::Raised => format!("{}: {}", self.severity, self.text),
            NoticeEvent::Resolved => format!("resolved: {}", self.text),
        }
    }

    /// A few lines with all that is known.
    pub(super) fn paragraph(&self) -> String {
        let mut lines = vec![self.headline()];
        if self.event == NoticeEvent::Raised {
            lines.extend(self.remedy.iter().map(|remedy| format!("What to do: {remedy}")));
            lines.push(match self.turn {
                "nobody" => "It should pass by itself.".into(),
                "user" => "Whose turn: whoever logs in at the source.".into(),
                "vendor" => "Whose turn: the operator of the source.".into(),
                turn => format!("Whose turn: {turn}."),
            });
        }
        lines.push(match &self.cleared_at {
            Some(cleared) if self.event == NoticeEvent::Resolved => {
                format!("Alert {}, from {} to {cleared}.", self.alert, self.raised_at)
            }
            _ => format!("Alert {}, since {}.", self.alert, self.raised_at),
        });
        let details = match self.run {
            Some(run) => format!("SELECT * FROM tributary.run WHERE id = {run};"),
            None => format!("SELECT * FROM tributary.alert WHERE id = {};", self.alert),
        };
        lines.push(format!("Details: {details}"));
        lines.join("\n")
    }
}

/// What several notices are about, in one line.
pub(super) fn subject(company: &str, notices: &[Notice]) -> String {
    match notices {
        [] => format!("[tributary {company}]"),
        [one] => format!("[tributary {company}] {}", one.headline()),
        [first, rest @ ..] => format!("[tributary {company}] {} (and {} more)", first.headline(), rest.len()),
    }
}

/// All of them, one after the other.
pub(super) fn body(notices: &[Notice]) -> String {
    notices.iter().map(Notice::paragraph).collect::<Vec<_>>().join("\n\n")
}
