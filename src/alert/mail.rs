//! E-mail through an SMTP server.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use url::Url;

use super::text::{body, subject};
use super::{Channel, Notice};
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

/// Servers that delay their greeting are given this.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest line of a subject that is worth showing.
const SUBJECT: usize = 160;

/// Where mail goes.
#[derive(Debug)]
pub struct MailSettings {
    /// `smtps://user:password@host` (TLS from the start, port 465) or `smtp://...` (TLS by STARTTLS, port 587; none
    /// towards this machine).
    pub url: Secret,
    /// The sender.
    pub from: String,
    /// At least one.
    pub to: Vec<String>,
}

/// A mail server and who gets mail.
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Mail {
    /// Checks the settings; reaches out to nobody yet.
    pub fn new(settings: &MailSettings) -> Result<Self> {
        if settings.to.is_empty() {
            return Err(Error::new(Kind::Invalid, "alerts have a mail server and nobody to send mail to")
                .with_hint("set `mail_to` of [alerts], for example [\"ops@example.com\"]"));
        }
        let to = settings.to.iter().map(|address| mailbox("mail_to", address)).collect::<Result<_>>()?;
        Ok(Mail { transport: transport(&settings.url)?, from: mailbox("mail_from", &settings.from)?, to })
    }
}

fn mailbox(key: &str, address: &str) -> Result<Mailbox> {
    address.parse().map_err(|_| {
        let shown: String = address.chars().take(80).collect();
        Error::new(Kind::Invalid, format!("`{shown}` in `{key}` of [alerts] is no mail address"))
            .with_hint("write ops@example.com or Operations <ops@example.com>")
    })
}

fn transport(url: &Secret) -> Result<AsyncSmtpTransport<Tokio1Executor>> {
    // The URL is not quoted: it holds the password.
    let invalid = |why: &str| {
        Error::new(Kind::Invalid, format!("`smtp_url` of [alerts] {why}")).with_hint(
            "write smtps://user:password@mail.example.com or smtp://user:password@mail.example.com:587",
        )
    };
    let url = Url::parse(url.expose()).map_err(|_| invalid("is no URL"))?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| invalid("names no host"))?;
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let tls = || {
        TlsParameters::new(host.trim_matches(['[', ']']).to_string())
            .map_err(|error| Error::internal("the TLS of mail cannot be set up").with_source(error))
    };
    let (tls, port) = match url.scheme() {
        "smtps" => (Tls::Wrapper(tls()?), 465),
        // Never only where it is offered: whoever is in between could take the offer away.
        "smtp" if !is_local => (Tls::Required(tls()?), 587),
        "smtp" => (Tls::None, 25),
        _ => return Err(invalid("is neither smtps nor smtp")),
    };
    let decoded = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        decoded.map(|text| text.into_owned()).map_err(|_| invalid("has a user or password that is no UTF-8"))
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.trim_matches(['[', ']']))
        .port(url.port().unwrap_or(port))
        .tls(tls)
        .hello_name(ClientId::default())
        .timeout(Some(LIMIT));
    if let Some(password) = url.password() {
        builder = builder.credentials(Credentials::new(decoded(url.username())?, decoded(password)?));
    }
    Ok(builder.build())
}

#[async_trait::async_trait]
impl Channel for Mail {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn gathers(&self) -> bool {
        true
    }

    fn limit(&self) -> Duration {
        LIMIT
    }

    async fn deliver(&self, company: &str, notices: &[Notice]) -> Result<()> {
        let subject: String =
            subject(company, notices).chars().filter(|c| !c.is_control()).take(SUBJECT).collect();
        let builder = Message::builder().from(self.from.clone()).subject(subject).date_now();
        let builder = self.to.iter().cloned().fold(builder, MessageBuilder::to);
        // The same message again, after an answer that got lost, is known by its id.
        let builder = builder.message_id(Some(self.id(company, notices)));
        let message = builder
            .header(ContentType::TEXT_PLAIN)
            .body(body(notices))
            .map_err(|error| Error::internal("a mail cannot be written").with_source(error))?;
        self.transport.send(message).await.map(|_| ()).map_err(failed)
    }
}

impl Mail {
    fn id(&self, company: &str, notices: &[Notice]) -> String {
        let parts: Vec<_> =
            notices.iter().map(|notice| format!("{}-{}", notice.alert, notice.event.as_str())).collect();
        let digest = <sha2::Sha256 as sha2::Digest>::digest(format!("{company} {}", parts.join(" ")));
        let digest: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("<{digest}@{}>", self.from.email.domain())
    }
}

/// The server's own words name no password, so its answer is told.
fn failed(error: lettre::transport::smtp::Error) -> Error {
    let why = match error.status() {
        Some(code) => format!("the mail server refuses the message ({code})"),
        None if error.is_timeout() => "the mail server does not answer in time".into(),
        None if error.is_tls() => "no secure connection to the mail server".into(),
        None => "the mail server cannot be reached".into(),
    };
    Error::new(Kind::Unavailable, why).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, from: &str, to: &[&str]) -> MailSettings {
        let to = to.iter().map(ToString::to_string).collect();
        MailSettings { url: Secret::new(url.into()), from: from.into(), to }
    }

    #[tokio::test]
    async fn mistakes_are_told_without_the_password() {
        let good = "smtps://me:hunter2@mail.example.com";
        assert!(Mail::new(&settings(good, "a@b.example", &["Ops <c@d.example>"])).is_ok());
        for (url, from, to) in [
            ("https://me:hunter2@mail.example.com", "a@b.example", &["c@d.example"][..]),
            ("smtp:hunter2", "a@b.example", &["c@d.example"]),
            ("hunter2", "a@b.example", &["c@d.example"]),
            (good, "nobody", &["c@d.example"]),
            (good, "a@b.example", &[]),
            (good, "a@b.example", &["c@d.example, e@f.example"]),
        ] {
            let error = Mail::new(&settings(url, from, to)).err().unwrap();
            assert!(error.kind() == Kind::Invalid && error.hint().is_some(), "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
