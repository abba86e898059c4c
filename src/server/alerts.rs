//! Where this server sends alerts.

use std::sync::Arc;

use crate::alert::{Channel, Mail, MailSettings, Slack, Webhook};
use crate::config::{Alerts, WebhookTo};
use crate::error::Result;
use crate::secret::Secret;

/// The channels of the settings. A mistake in them ends the start: nobody would hear of it later.
pub(super) fn channels(alerts: &Alerts) -> Result<Vec<Arc<dyn Channel>>> {
    let mut channels: Vec<Arc<dyn Channel>> = Vec::new();
    if let Some(mail) = &alerts.mail {
        let url = Secret::new(mail.url.clone());
        let settings = MailSettings { url, from: mail.from.clone(), to: mail.to.clone() };
        channels.push(Arc::new(Mail::new(&settings)?));
    }
    if let Some(url) = &alerts.slack_url {
        channels.push(Arc::new(Slack::new(Secret::new(url.clone()))?));
    }
    if let Some(webhook) = &alerts.webhook {
        let (url, secret) = (webhook.url.clone(), webhook.secret.clone());
        channels.push(Arc::new(Webhook::new(Secret::new(url), Secret::new(secret))?));
    }
    Ok(channels)
}

/// Who is told of batches.
pub(super) fn batches(told: Option<&WebhookTo>) -> Result<Option<Webhook>> {
    let webhook = |to: &WebhookTo| {
        Webhook::of_section("batch", Secret::new(to.url.clone()), Secret::new(to.secret.clone()))
    };
    told.map(webhook).transpose()
}
