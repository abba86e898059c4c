//! Where alerts are sent.

use crate::error::{Error, Kind, Result};

/// Where alerts are sent. Nowhere is a valid answer: they are in `tributary.alert` all the same.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Alerts {
    /// By e-mail.
    pub mail: Option<MailTo>,
    /// The URL of an incoming webhook of Slack, or of what takes the same.
    pub slack_url: Option<String>,
    /// To a program.
    pub webhook: Option<WebhookTo>,
}

/// A mail server and who gets mail.
#[derive(Clone, PartialEq, Eq)]
pub struct MailTo {
    /// With user and password.
    pub url: String,
    /// The sender.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
}

/// A program that is told.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookTo {
    /// Where it is.
    pub url: String,
    /// What messages to it are signed with.
    pub secret: String,
}

impl std::fmt::Debug for WebhookTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // All of it may hold secrets.
        f.debug_struct("WebhookTo").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // All of it may hold secrets.
        f.debug_struct("Alerts")
            .field("mail", &self.mail.is_some())
            .field("slack", &self.slack_url.is_some())
            .field("webhook", &self.webhook.is_some())
            .finish()
    }
}

/// What one of the places may say of alerts. Every key of `[alerts]` is listed here.
#[derive(Clone, Default, PartialEq, Eq, serde::Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSettings {
    /// Mail server: smtps://user:password@host, or smtp://user:password@host:587 with STARTTLS
    #[arg(long = "alert-smtp-url", env = "TRIBUTARY_ALERT_SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<String>,
    /// Sender of alerts by mail
    #[arg(long = "alert-mail-from", env = "TRIBUTARY_ALERT_MAIL_FROM")]
    pub mail_from: Option<String>,
    /// Who gets alerts by mail; several with commas between
    #[arg(long = "alert-mail-to", env = "TRIBUTARY_ALERT_MAIL_TO", value_delimiter = ',')]
    pub mail_to: Option<Vec<String>>,
    /// Incoming webhook of Slack, or of what takes {"text": ...} like it
    #[arg(long = "alert-slack-url", env = "TRIBUTARY_ALERT_SLACK_URL", hide_env_values = true)]
    pub slack_url: Option<String>,
    /// URL that gets each alert as signed JSON
    #[arg(long = "alert-webhook-url", env = "TRIBUTARY_ALERT_WEBHOOK_URL", hide_env_values = true)]
    pub webhook_url: Option<String>,
    /// What that JSON is signed with
    #[arg(long = "alert-webhook-secret", env = "TRIBUTARY_ALERT_WEBHOOK_SECRET", hide_env_values = true)]
    pub webhook_secret: Option<String>,
}

impl std::fmt::Debug for AlertSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlertSettings").finish_non_exhaustive()
    }
}

impl AlertSettings {
    pub(super) fn or(self, fallback: AlertSettings) -> AlertSettings {
        AlertSettings {
            smtp_url: self.smtp_url.or(fallback.smtp_url),
            mail_from: self.mail_from.or(fallback.mail_from),
            mail_to: self.mail_to.or(fallback.mail_to),
            slack_url: self.slack_url.or(fallback.slack_url),
            webhook_url: self.webhook_url.or(fallback.webhook_url),
            webhook_secret: self.webhook_secret.or(fallback.webhook_secret),
        }
    }

    pub(super) fn resolve(self) -> Result<Alerts> {
        let incomplete = |missing: &str, of: &str| {
            Error::new(Kind::Invalid, format!("{of} of [alerts] needs `{missing}` too"))
                .with_hint("`tributary serve --help` lists the settings")
        };
        let mail = match (self.smtp_url, self.mail_from, self.mail_to) {
            (None, None, None) => None,
            (Some(url), Some(from), Some(to)) if !to.is_empty() => Some(MailTo { url, from, to }),
            (None, ..) => return Err(incomplete("smtp_url", "mail")),
            (_, None, _) => return Err(incomplete("mail_from", "mail")),
            _ => return Err(incomplete("mail_to", "mail")),
        };
        let webhook = match (self.webhook_url, self.webhook_secret) {
            (None, None) => None,
            (Some(url), Some(secret)) => Some(WebhookTo { url, secret }),
            (None, _) => return Err(incomplete("webhook_url", "the webhook")),
            (_, None) => return Err(incomplete("webhook_secret", "the webhook")),
        };
        Ok(Alerts { mail, slack_url: self.slack_url, webhook })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_together_is_asked_for() {
        let some = |text: &str| Some(text.to_string());
        let mail = || AlertSettings {
            smtp_url: some("smtps://u:hunter2@host"),
            mail_from: some("a@b.example"),
            mail_to: Some(vec!["c@d.example".into()]),
            ..AlertSettings::default()
        };
        assert!(mail().resolve().unwrap().mail.is_some());
        assert!(!format!("{:?} {:?}", mail(), mail().resolve().unwrap()).contains("hunter2"));
        for (incomplete, missing) in [
            (AlertSettings { smtp_url: None, ..mail() }, "smtp_url"),
            (AlertSettings { mail_from: None, ..mail() }, "mail_from"),
            (AlertSettings { mail_to: Some(Vec::new()), ..mail() }, "mail_to"),
            (AlertSettings { webhook_url: some("https://x"), ..AlertSettings::default() }, "webhook_secret"),
            (AlertSettings { webhook_secret: some("s"), ..AlertSettings::default() }, "webhook_url"),
        ] {
            let error = incomplete.resolve().unwrap_err();
            assert!(error.what().contains(missing), "{error}");
        }
    }
}
