//! Who is told of batches.

use super::WebhookTo;
use crate::error::{Error, Kind, Result};

/// What one of the places may say of batches. Every key of `[batch]` is listed here.
#[derive(Clone, Default, PartialEq, Eq, serde::Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSettings {
    /// URL that is told, as signed JSON, when the release of a batch is there and when a batch has ended
    #[arg(
        id = "batch_webhook_url",
        long = "batch-webhook-url",
        env = "TRIBUTARY_BATCH_WEBHOOK_URL",
        hide_env_values = true
    )]
    pub webhook_url: Option<String>,
    /// What that JSON is signed with
    #[arg(
        id = "batch_webhook_secret",
        long = "batch-webhook-secret",
        env = "TRIBUTARY_BATCH_WEBHOOK_SECRET",
        hide_env_values = true
    )]
    pub webhook_secret: Option<String>,
}

impl std::fmt::Debug for BatchSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchSettings").finish_non_exhaustive()
    }
}

impl BatchSettings {
    pub(super) fn or(self, fallback: BatchSettings) -> BatchSettings {
        BatchSettings {
            webhook_url: self.webhook_url.or(fallback.webhook_url),
            webhook_secret: self.webhook_secret.or(fallback.webhook_secret),
        }
    }

    pub(super) fn resolve(self) -> Result<Option<WebhookTo>> {
        let missing = match (self.webhook_url, self.webhook_secret) {
            (None, None) => return Ok(None),
            (Some(url), Some(secret)) => return Ok(Some(WebhookTo { url, secret })),
            (None, _) => "webhook_url",
            (_, None) => "webhook_secret",
        };
        Err(Error::new(Kind::Invalid, format!("the webhook of [batch] needs `{missing}` too"))
            .with_hint("`tributary serve --help` lists the settings"))
    }
}
