//! Messages that leave the server: by e-mail, to a chat, to a program.
//!
//! A channel knows where to send and how; when, and how often, is its caller's. Nothing waits long: a send that takes
//! more than its limit has failed. What is sent holds no words of a source and no values of records, and errors hold
//! neither addresses with secrets in them nor passwords.

mod mail;
mod post;
mod text;

use std::time::Duration;

pub use mail::{Mail, MailSettings};
pub use post::{Slack, Webhook};
pub use text::{Notice, NoticeEvent};

use crate::error::{Error, Kind, Result};

/// A way to reach people or programs.
#[async_trait::async_trait]
pub trait Channel: Send + Sync {
    /// Its name, for people and in the state.
    fn name(&self) -> &'static str;

    /// Whether several notices may go together in one message.
    fn gathers(&self) -> bool;

    /// How long a message may take.
    fn limit(&self) -> Duration;

    /// Sends at least one notice of `company`; one only, unless it gathers them.
    async fn deliver(&self, company: &str, notices: &[Notice]) -> Result<()>;
}

/// Sends within the channel's limit.
///
/// # Errors
/// `Unavailable` where trying again may help, which includes that nobody answers in time.
pub async fn send(channel: &dyn Channel, company: &str, notices: &[Notice]) -> Result<()> {
    match tokio::time::timeout(channel.limit(), channel.deliver(company, notices)).await {
        Ok(sent) => sent,
        Err(_) => {
            Err(Error::new(Kind::Unavailable, format!("no answer within {} s", channel.limit().as_secs())))
        }
    }
}
