//! Logging a connection in by OAuth: a link is asked for in SQL, opened in a browser, and answered by the vendor.
//!
//! Whoever opens a link gets a page first; only its button uses the link up. That makes a state for one login, bound to
//! the connection, to the admin who asked and, by a cookie, to that browser. All of them must fit when the vendor
//! sends the browser back, within ten minutes, and count once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::grant::{GrantTokens, Vault};
use super::{Actor, App};
use crate::error::{Error, Kind, Result};
use crate::model::{Connection, Micros, now_micros};
use crate::oauth::{Application, OauthClient};
use crate::secret::Secret;
use crate::source::Identity;
use crate::source::rest::token::{AccessToken, Tokens};
use crate::state::{Invitation, PendingLogin};

/// How long the link is good for that the admin opens.
const OWN_LINK: Duration = Duration::from_secs(600);
/// How long the link is good for that is sent to a colleague.
const INVITATION: Duration = Duration::from_secs(24 * 3_600);
/// How long a person may take at the vendor's page.
const LOGIN: Duration = Duration::from_secs(600);
/// What the code verifier is sealed as.
const VERIFIER: &str = "oauth verifier";

/// Where browsers reach this server, and as which apps it is registered with vendors.
#[derive(Debug, Default)]
pub struct LinkSettings {
    /// Scheme, host and port; without a slash at the end. `None` where browsers cannot reach it.
    pub public_url: Option<String>,
    /// The apps by connector.
    pub applications: HashMap<String, Application>,
}

/// Links that log a connection in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// For the admin, ten minutes.
    pub open: String,
    /// For a colleague, one day.
    pub invite: String,
}

/// What a link is for, as its page tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    /// Name of the connection.
    pub connection: String,
    /// The vendor as people know it.
    pub vendor: String,
    /// The admin who asked.
    pub actor: String,
    /// What the vendor will be asked for.
    pub scopes: Vec<String>,
    /// Scheme, host and port of the vendor's page.
    pub origin: String,
}

/// A login that begins.
#[derive(Debug)]
pub struct Accepted {
    /// The vendor's page.
    pub location: String,
    /// What the browser must keep and bring back.
    pub browser: Secret,
}

/// What the vendor sent the browser back with.
#[derive(Debug, Default)]
pub struct Returned {
    /// The state.
    pub state: Option<Secret>,
    /// The code.
    pub code: Option<Secret>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// One token, for the first look at an account.
struct OneToken(Arc<AccessToken>);

#[async_trait::async_trait]
impl Tokens for OneToken {
    async fn current(&self) -> Result<Arc<AccessToken>> {
        Ok(self.0.clone())
    }

    async fn renew(&self, _refused: &AccessToken) -> Result<Arc<AccessToken>> {
        Err(Error::new(Kind::Unauthenticated, "the source refuses the token that it has just given")
            .with_hint("its scopes may be too few: look at the app at the vendor"))
    }
}

impl App {
    /// Tells the service where browsers reach it and as which apps it is registered. Only the first call counts.
    pub fn link_with(&self, settings: LinkSettings) {
        self.links.get_or_init(|| settings);
    }

    /// Links that log a connection in; `None` where its connector knows no OAuth, no app is registered, or browsers
    /// cannot reach this server.
    pub(super) async fn links(&self, actor: &Actor, connection: &Connection) -> Result<Option<Links>> {
        let Some(base) = self.links.get().and_then(|links| links.public_url.clone()) else { return Ok(None) };
        if self.oauth_client(connection).await?.is_none() {
            return Ok(None);
        }
        let open = self.link(actor, connection, &base, OWN_LINK).await?;
        let invite = self.link(actor, connection, &base, INVITATION).await?;
        Ok(Some(Links { open, invite }))
    }

    async fn link(
        &self,
        actor: &Actor,
        connection: &Connection,
        base: &str,
        life: Duration,
    ) -> Result<String> {
        let secret = random_text();
        let invitation =
            Invitation { connection_id: connection.id, actor: actor.name.clone(), expires_at: after(life) };
        self.state.put_invitation(&digest(&secret), &invitation).await?;
        Ok(format!("{base}/connect/{}", *secret))
    }

    /// What a link is for. `None` when it is over, or never was.
    pub async fn invitation(&self, secret: &Secret) -> Result<Option<Invited>> {
        let Some(invitation) = self.state.invitation(&digest(secret.expose())).await? else {
            return Ok(None);
        };
        self.admin(&invitation.actor).await?;
        let connection = self.connection_of(invitation.connection_id).await?;
        let client = self.must_have_client(&connection).await?;
        let provider = client.provider();
        let origin = url::Url::parse(&provider.authorize)
            .map_err(|_| Error::internal("the vendor's page has no address"))?
            .origin();
        Ok(Some(Invited {
            connection: connection.name,
            vendor: provider.label.clone(),
            actor: invitation.actor,
            scopes: provider.scopes.clone(),
            origin: origin.ascii_serialization(),
        }))
    }

    /// Uses a link up and begins the login. `None` when the link is over.
    pub async fn accept(&self, secret: &Secret) -> Result<Option<Accepted>> {
        let link = digest(secret.expose());
        let Some(invitation) = self.state.invitation(&link).await? else { return Ok(None) };
        self.admin(&invitation.actor).await?;
        let connection = self.connection_of(invitation.connection_id).await?;
        let client = self.must_have_client(&connection).await?;
        let redirect_uri = self.redirect_uri(&connection.connector)?;
        let beginning = client.begin(&redirect_uri)?;
        let browser = random_text();
        let verifier = self.keyring.seal(&self.company, connection.id, VERIFIER, 0, &beginning.verifier)?;
        let login = PendingLogin {
            connection_id: connection.id,
            actor: invitation.actor,
            browser: digest(&browser),
            redirect_uri,
            verifier,
            expires_at: after(LOGIN),
        };
        let begun = self.state.accept_invitation(&link, &digest(beginning.state.expose()), &login).await?;
        let browser = Secret::new(browser.to_string());
        Ok(begun.then_some(Accepted { location: beginning.url, browser }))
    }

    /// Ends a login: the vendor sent a browser back to the address of `connector`. The grant is kept only when everything
    /// fits, the login works, and the account is the one whose rows the connection has.
    pub async fn finish_login(
        &self,
        connector: &str,
        returned: &Returned,
        browser: Option<&Secret>,
    ) -> Result<Connection> {
        let stale = || {
            Error::new(Kind::Denied, "this login is not known, over, or was finished already")
                .with_hint("ask for a new link: CALL connect(...)")
        };
        let state = returned.state.as_ref().ok_or_else(stale)?;
        let login = self.state.take_login(&digest(state.expose())).await?.ok_or_else(stale)?;
        let connection = self.connection_of(login.connection_id).await?;
        let brought = browser.map(|browser| digest(browser.expose())).unwrap_or_default();
        let is_same_browser: bool = brought.as_bytes().ct_eq(login.browser.as_bytes()).into();
        let actor = self.admin(&login.actor).await?;
        let arguments = serde_json::json!({ "connection": connection.name }).to_string();
        self.audited(&actor, "log_in", &arguments, async {
            if connection.connector != connector || !is_same_browser {
                return Err(Error::new(Kind::Denied, "this login was begun elsewhere")
                    .with_hint("open the link and finish the login in the same browser"));
            }
            self.redeem(connection, &login, returned).await
        })
        .await
    }

    async fn redeem(
        &self,
        connection: Connection,
        login: &PendingLogin,
        returned: &Returned,
    ) -> Result<Connection> {
        let client = self.must_have_client(&connection).await?;
        let label = client.provider().label.clone();
        let Some(code) = &returned.code else {
            let said: String = returned.error.as_deref().unwrap_or("no code").chars().take(100).collect();
            return Err(Error::new(Kind::Denied, format!("{label} did not agree: {said}"))
                .with_hint("ask for a new link and agree, or ask somebody who may"));
        };
        let verifier = self.keyring.unseal(&self.company, connection.id, VERIFIER, 0, &login.verifier)?;
        let redeemed = client.redeem(code, &verifier, &login.redirect_uri).await;
        let answer = redeemed.map_err(crate::oauth::Failure::into_error)?;
        let token = AccessToken {
            secret: answer.access.clone(),
            scheme: client.provider().scheme.clone(),
            kept: answer.kept.clone(),
        };
        let tokens = Arc::new(OneToken(Arc::new(token)));
        let source = self.connectors.open(
            &connection.connector,
            &connection.settings,
            &HashMap::new(),
            Some(tokens),
        )?;
        let identity = match source.whoami().await {
            Ok(identity) => self.same_account(&connection, &identity).map(|()| identity),
            Err(error) => Err(error),
        };
        let identity = match identity {
            Ok(identity) => identity,
            Err(error) => {
                // Nobody keeps this grant, so nobody else should be able to use it.
                if let Some(refresh) = &answer.refresh
                    && let Err(error) = client.revoke(&Secret::new(refresh.to_string())).await
                {
                    tracing::warn!(error = ?error, "a grant that is not kept could not be revoked");
                }
                return Err(error);
            }
        };
        self.vault().keep(connection.id, &answer).await?;
        self.forget_tokens(connection.id);
        let connection = self.logged_in(connection, &identity).await?;
        self.note_identity(&connection, &identity, true).await?;
        self.check_soon(connection.id).await?;
        Ok(connection)
    }

    /// Refuses a login as another account than the one whose rows the connection has.
    pub(super) fn same_account(&self, connection: &Connection, identity: &Identity) -> Result<()> {
        let (Some(known), Some(_)) = (&connection.account, account_of(identity)) else { return Ok(()) };
        if *known == identity.account || self.connectors.manifest(&connection.connector).is_none() {
            return Ok(());
        }
        let what = format!(
            "`{}` has the rows of the account `{known}`, and this login is one of `{}`",
            connection.name, identity.account
        );
        Err(Error::new(Kind::Conflict, what).with_hint(format!(
            "log in as a user of that account, or link the other one beside it: CALL connect('{}', name => '...')",
            connection.connector
        )))
    }

    /// Notes who is logged in.
    pub(super) async fn logged_in(
        &self,
        mut connection: Connection,
        identity: &Identity,
    ) -> Result<Connection> {
        let shown = format!("{} ({})", identity.user, identity.server);
        self.state.set_connection_status(connection.id, "connected", Some(&shown)).await?;
        let account =
            account_of(identity).filter(|_| self.connectors.manifest(&connection.connector).is_some());
        if let (None, Some(account)) = (&connection.account, account) {
            self.state.set_connection_account(connection.id, account).await?;
            connection.account = Some(account.into());
            self.mirror_connection(&connection).await;
            // The copy of settings that were changed before lacks the account.
            self.mirror_settings(&connection).await;
        }
        connection.status = "connected".into();
        connection.identity = Some(shown);
        Ok(connection)
    }

    /// The tokens of the grant of a connection; `None` where nobody logged it in by OAuth.
    pub(super) async fn grant_tokens(&self, connection: &Connection) -> Result<Option<Arc<dyn Tokens>>> {
        if self.state.oauth_grant(connection.id).await?.is_none() {
            return Ok(None);
        }
        let known = self.tokens.lock().get(&connection.id).cloned();
        if let Some(known) = known {
            return Ok(Some(known));
        }
        let client = self.must_have_client(connection).await?;
        let made = Arc::new(GrantTokens::new(self.vault(), connection.id, client));
        let shared = self.tokens.lock().entry(connection.id).or_insert(made).clone();
        Ok(Some(shared))
    }

    /// Revokes the grant of a connection at the vendor and forgets it. The error tells that the vendor still has it.
    pub(super) async fn end_grant(&self, connection: &Connection) -> Result<Option<Error>> {
        let mut trouble = None;
        let token = self.vault().refresh_token(connection.id).await.unwrap_or_default();
        if let (Some(token), Ok(Some(client))) = (token, self.oauth_client(connection).await) {
            trouble = client.revoke(&token).await.err();
        }
        self.state.drop_oauth(connection.id).await?;
        self.forget_tokens(connection.id);
        Ok(trouble)
    }

    /// Lets the next reader ask state again.
    pub(super) fn forget_tokens(&self, connection_id: i64) {
        self.tokens.lock().remove(&connection_id);
    }

    /// When the access that a person granted ends for good; `None` where it is renewed by itself, or was not granted so.
    pub(super) async fn access_ends(&self, connection_id: i64) -> Result<Option<Micros>> {
        self.vault().ends(connection_id).await
    }

    fn vault(&self) -> Vault {
        Vault::new(self.state.clone(), self.keyring.clone(), &self.company)
    }

    /// The client of the vendor's login server; `None` where there is no OAuth or no registered app.
    async fn oauth_client(&self, connection: &Connection) -> Result<Option<OauthClient>> {
        let info = self.connectors.info(&connection.connector)?;
        let secrets = self.secrets(connection, info).await?;
        let own = secrets.get("client_id").map(|id| Application {
            id: id.clone(),
            secret: secrets.get("client_secret").cloned().map(Secret::new),
        });
        let registered = || self.links.get()?.applications.get(&connection.connector).cloned();
        match own.or_else(registered) {
            Some(application) => {
                self.connectors.oauth_client(&connection.connector, &connection.settings, application)
            }
            None => Ok(None),
        }
    }

    async fn must_have_client(&self, connection: &Connection) -> Result<OauthClient> {
        self.oauth_client(connection).await?.ok_or_else(|| {
            let connector = &connection.connector;
            Error::new(Kind::Invalid, format!("no app is registered for `{connector}`")).with_hint(format!(
                "register one at the vendor and write its id and secret into [oauth.{connector}] of tributary.toml, or \
                 CALL set_secret('{}', 'client_id', '...')",
                connection.name
            ))
        })
    }

    /// Whether the settings of the server name an app that is registered with the vendor of a connector.
    pub(super) fn is_registered(&self, connector: &str) -> bool {
        self.links.get().is_some_and(|links| links.applications.contains_key(connector))
    }

    /// Where a vendor sends browsers back to.
    pub(super) fn redirect_uri(&self, connector: &str) -> Result<String> {
        let base = self.links.get().and_then(|links| links.public_url.as_deref());
        let base = base.ok_or_else(|| Error::internal("a login was begun without a public URL"))?;
        Ok(format!("{base}/oauth/callback/{connector}"))
    }

    /// The admin who asked for a link, who must still be one.
    async fn admin(&self, name: &str) -> Result<Actor> {
        let user = self.state.user(name).await?.filter(|user| user.enabled && user.role == "admin");
        match user {
            Some(user) => Ok(Actor { name: user.name, is_admin: true }),
            None => Err(Error::new(Kind::Denied, "whoever asked for this link is no admin any more")
                .with_hint("ask another admin for a link")),
        }
    }

    async fn connection_of(&self, id: i64) -> Result<Connection> {
        let found = self.state.connections().await?.into_iter().find(|connection| connection.id == id);
        found.ok_or_else(|| Error::new(Kind::NotFound, "the connection of this link is gone"))
    }
}

/// The account of a login, where the source tells one.
fn account_of(identity: &Identity) -> Option<&str> {
    Some(identity.account.as_str()).filter(|account| !account.is_empty() && !account.ends_with('/'))
}

/// 256 random bits for a URL or a cookie.
fn random_text() -> Zeroizing<String> {
    let bytes: [u8; 32] = rand::random();
    Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// What is kept of a secret that only has to be recognised.
fn digest(secret: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(secret.as_bytes()))
}

fn after(life: Duration) -> Micros {
    now_micros() + i64::try_from(life.as_micros()).unwrap_or(i64::MAX / 4)
}
