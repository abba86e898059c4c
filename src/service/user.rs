//! People: logins and what they may read.

use super::{Actor, App, shorten};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{FieldType, Grant, Mask, ObjectField, Statement, User, check_name};
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

    /// Lets a user read one object, one field of it, or (with `object` `None`) all objects of a connection.
    pub(super) async fn grant(&self, actor: &Actor, grant: &Grant) -> Result<()> {
        self.audited(actor, "grant", &describe(grant), async {
            self.state.grant(&self.checked_grant(grant).await?).await
        })
        .await
    }

    /// Takes a right back.
    pub(super) async fn revoke(&self, actor: &Actor, grant: &Grant) -> Result<()> {
        self.audited(actor, "revoke", &describe(grant), async {
            self.state.revoke(&self.checked_grant(grant).await?).await
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

    /// The right with its field as the source calls it. What it is about must be there.
    async fn checked_grant(&self, grant: &Grant) -> Result<Grant> {
        self.user(&grant.user).await?;
        let Some(object) = &grant.object else {
            if grant.connection != Statement::SCHEMA {
                self.connection(&grant.connection).await?;
            }
            return Ok(grant.clone());
        };
        let (_, fields) = self.fields_of(&grant.connection, object).await?;
        let field = match &grant.field {
            Some(name) => Some(field_named(&grant.connection, object, &fields, name)?.api.clone()),
            None => None,
        };
        Ok(Grant { field, ..grant.clone() })
    }

    /// The id of an object, or of a statement, and its fields.
    async fn fields_of(&self, connection: &str, object: &str) -> Result<(String, Vec<ObjectField>)> {
        if connection == Statement::SCHEMA {
            let statement = self.statement(object).await?;
            return Ok((statement.id, statement.fields));
        }
        let connection = self.connection(connection).await?;
        let object = self.object(&connection, object).await?;
        Ok((object.id, object.fields))
    }

    /// Sets what a field shows to those who were not granted it by itself; `none` takes the mask away. Returns the
    /// name of the field.
    pub(super) async fn set_mask(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
        field: &str,
        mask: &str,
    ) -> Result<String> {
        let arguments = serde_json::json!({
            "connection": shorten(connection), "object": shorten(object), "field": shorten(field), "mask": shorten(mask),
        });
        self.audited(actor, "set_mask", &arguments.to_string(), async {
            let mask: Option<Mask> = if mask == "none" { None } else { Some(mask.parse()?) };
            let (id, fields) = self.fields_of(connection, object).await?;
            let field = field_named(connection, object, &fields, field)?;
            if mask.is_some() && field.key_position.is_some() {
                let what = format!("field `{}` is a unique field and cannot be masked", field.name);
                return Err(Error::new(Kind::Invalid, what).with_hint(format!(
                    "records are told apart by it; grant the other fields alone: GRANT SELECT (...) ON {connection}.{object} TO ..."
                )));
            }
            if mask == Some(Mask::Partial) && field.data_type != FieldType::Text {
                let what = format!("field `{}` is of type {} and has no first character", field.name, field.data_type);
                return Err(Error::new(Kind::Invalid, what).with_hint("for other types than text use `hidden`"));
            }
            self.state.set_mask(&id, &field.api, mask).await?;
            Ok(field.name.clone())
        })
        .await
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

/// The field of that name, or one that the source calls so.
fn field_named<'a>(
    connection: &str,
    object: &str,
    fields: &'a [ObjectField],
    name: &str,
) -> Result<&'a ObjectField> {
    let found = fields.iter().find(|field| field.name == name);
    found.or_else(|| fields.iter().find(|field| field.api == name)).ok_or_else(|| {
        let suggestion = did_you_mean(name, fields.iter().map(|field| field.name.as_str()));
        let what = format!(
            "column \"{}\" of relation \"{}.{}\" does not exist{suggestion}",
            shorten(name),
            shorten(connection),
            shorten(object)
        );
        Error::new(Kind::NotFound, what).with_sqlstate("42703")
    })
}

fn describe(grant: &Grant) -> String {
    let object = grant.object.as_deref().unwrap_or("*");
    let field = grant.field.as_deref().map(|field| format!(" ({})", shorten(field))).unwrap_or_default();
    format!(
        "select{field} on {}.{} for {}",
        shorten(&grant.connection),
        shorten(object),
        shorten(&grant.user)
    )
}
