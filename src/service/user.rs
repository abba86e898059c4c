//! People: logins and what they may read.

use super::{Actor, App, shorten};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{Grant, Statement, User, check_name};
use crate::password;
use crate::secret::Secret;

/// Who may look at the system as a whole and at rows that are granted only.
pub(super) const AUDITOR: &str = "auditor";
const ROLES: [&str; 3] = ["admin", "analyst", AUDITOR];

impl App {
    /// Makes a login.
    pub async fn create_user(
        &self,
        actor: &Actor,
        name: &str,
        password: &str,
        is_admin: bool,
        enabled: bool,
    ) -> Result<()> {
        self.audited(actor, "create_user", name, async {
            check_name("a user", name)?;
            if self.state.user(name).await?.is_some() {
                return Err(Error::new(Kind::AlreadyExists, format!("user `{name}` exists already")));
            }
            let role = if is_admin { "admin" } else { "analyst" };
            let (verifier, browser_verifier) = self.verifiers(name, password).await?;
            let browser_verifier = Some(browser_verifier);
            let user = User { name: name.into(), role: role.into(), verifier, enabled, browser_verifier };
            self.state.put_user(&user).await
        })
        .await
    }

    /// Changes the password, the role or whether a login is allowed; what is `None` stays. People may change their own
    /// password.
    pub async fn alter_user(
        &self,
        actor: &Actor,
        name: &str,
        password: Option<&str>,
        is_admin: Option<bool>,
        enabled: Option<bool>,
    ) -> Result<()> {
        let is_own = actor.name == name && is_admin.is_none() && enabled.is_none();
        // Whoever may do it: the audit tells who did.
        let may = Actor { is_admin: actor.is_admin || (is_own && password.is_some()), ..actor.clone() };
        self.audited(&may, "alter_user", name, async {
            let mut user = self.user(name).await?;
            if let Some(password) = password {
                let (verifier, browser_verifier) = self.verifiers(name, password).await?;
                user.verifier = verifier;
                user.browser_verifier = Some(browser_verifier);
            }
            if is_admin == Some(false) || enabled == Some(false) {
                self.keep_an_admin(name).await?;
            }
            if let Some(is_admin) = is_admin {
                user.role = if is_admin { "admin" } else { "analyst" }.into();
            }
            user.enabled = enabled.unwrap_or(user.enabled);
            self.state.put_user(&user).await?;
            // A session keeps the rights it began with.
            if is_admin.is_some() || enabled == Some(false) {
                self.end_sessions(name);
            }
            // Whoever had the old password may be in a browser with it.
            self.state.drop_browser_sessions_of(name).await
        })
        .await
    }

    /// Gives a login another role.
    pub(super) async fn set_role(&self, actor: &Actor, name: &str, role: &str) -> Result<User> {
        self.audited(actor, "set_role", &format!("{} {}", shorten(name), shorten(role)), async {
            let mut user = self.user(name).await?;
            let known = ROLES.into_iter().find(|known| *known == role).ok_or_else(|| {
                Error::new(Kind::Invalid, format!("unknown role `{}`", shorten(role)))
                    .with_hint(format!("accepted are {}", ROLES.join(", ")))
            })?;
            if known != "admin" {
                self.keep_an_admin(name).await?;
            }
            user.role = known.into();
            self.state.put_user(&user).await?;
            // A session keeps the rights it began with.
            self.end_sessions(name);
            self.state.drop_browser_sessions_of(name).await?;
            Ok(user)
        })
        .await
    }

    /// Removes a login and its grants.
    pub(super) async fn drop_user(&self, actor: &Actor, name: &str) -> Result<()> {
        self.audited(actor, "drop_user", name, async {
            self.user(name).await?;
            self.keep_an_admin(name).await?;
            self.state.drop_user(name).await?;
            self.end_sessions(name);
            Ok(())
        })
        .await
    }

    /// Lets a user read one object, or (with `object` `None`) all objects of a connection.
    pub(super) async fn grant(&self, actor: &Actor, grant: &Grant) -> Result<()> {
        self.audited(actor, "grant", &describe(grant), async {
            self.check_grant(grant).await?;
            self.state.grant(grant).await
        })
        .await
    }

    /// Takes a right back.
    pub(super) async fn revoke(&self, actor: &Actor, grant: &Grant) -> Result<()> {
        self.audited(actor, "revoke", &describe(grant), async {
            self.check_grant(grant).await?;
            self.state.revoke(grant).await
        })
        .await
    }

    /// Sets a password; a login that does not exist yet becomes an admin.
    pub async fn set_password(&self, actor: &Actor, name: &str, password: &str) -> Result<()> {
        match self.state.user(name).await? {
            Some(_) => self.alter_user(actor, name, Some(password), None, Some(true)).await,
            None => self.create_user(actor, name, password, true, true).await,
        }
    }

    /// Whether anybody can log in yet.
    pub async fn has_users(&self) -> Result<bool> {
        Ok(!self.state.users().await?.is_empty())
    }

    /// The login of that name, where it is allowed.
    pub async fn login(&self, name: &str) -> Result<Option<User>> {
        Ok(self.state.user(name).await?.filter(|user| user.enabled))
    }

    /// Leaves an audit row for an attempt to log in.
    pub async fn note_login(&self, name: &str, address: &str, succeeded: bool) -> Result<()> {
        let outcome = if succeeded { "done" } else { "28P01: password authentication failed" };
        self.state.audit(&shorten(name), "login", address, outcome).await
    }

    /// Leaves an audit row of rows that leave as a file, to be called before the first of them does. `statement` holds
    /// no secret.
    pub async fn note_download(&self, name: &str, statement: &str, format: &str) -> Result<()> {
        let statement: String = statement.chars().take(4_000).collect();
        self.state.audit(name, "download", &format!("{format}: {statement}"), "done").await
    }

    fn end_sessions(&self, user: &str) {
        if let Some(sessions) = self.sessions.get() {
            sessions.end(user);
        }
    }

    /// What the wire and browsers are checked by.
    async fn verifiers(&self, name: &str, password: &str) -> Result<(String, String)> {
        password::check_choice(password, name)?;
        let password = Secret::new(password.to_string());
        self.hashing(move || {
            let hash = password::browser_hash(password.expose())?;
            Ok((password::Verifier::derive(password.expose()), hash))
        })
        .await
    }

    async fn check_grant(&self, grant: &Grant) -> Result<()> {
        self.user(&grant.user).await?;
        if grant.connection == Statement::SCHEMA {
            return match &grant.object {
                None => Ok(()),
                Some(name) => self.statement(name).await.map(drop),
            };
        }
        let connection = self.connection(&grant.connection).await?;
        match &grant.object {
            None => Ok(()),
            Some(object) => self.object(&connection, object).await.map(drop),
        }
    }

    async fn user(&self, name: &str) -> Result<User> {
        if let Some(user) = self.state.user(name).await? {
            return Ok(user);
        }
        let users = self.state.users().await?;
        let suggestion = did_you_mean(name, users.iter().map(|user| user.name.as_str()));
        let what = format!("role \"{}\" does not exist{suggestion}", shorten(name));
        Err(Error::new(Kind::NotFound, what))
    }

    async fn keep_an_admin(&self, name: &str) -> Result<()> {
        let users = self.state.users().await?;
        let other_admin = users.iter().any(|user| user.role == "admin" && user.enabled && user.name != name);
        let is_admin = users.iter().any(|user| user.role == "admin" && user.name == name);
        if other_admin || !is_admin {
            return Ok(());
        }
        Err(Error::new(Kind::Invalid, format!("`{name}` is the last admin"))
            .with_hint("make another admin first"))
    }
}

fn describe(grant: &Grant) -> String {
    let object = grant.object.as_deref().unwrap_or("*");
    format!("select on {}.{} for {}", shorten(&grant.connection), shorten(object), shorten(&grant.user))
}
