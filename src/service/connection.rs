//! Connections: link, unlink, look around.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Actor, App, shorten};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{Connection, check_name};
use crate::secret::Secret;
use crate::source::{ConnectorInfo, Identity, ObjectInfo, Source};

/// Names that are schemas of the product itself or of PostgreSQL.
/// Schemas of our own, and folders beside those of connections in the storage.
const RESERVED: &[&str] = &[
    "tributary",
    "statement",
    "pg_catalog",
    "information_schema",
    "public",
    "access",
    "catalog",
    "releases",
];

/// Secrets of an app that is registered with a vendor.
const APPLICATION: &[&str] = &["client_id", "client_secret"];

/// An object at the source, and whether it is adopted.
pub(super) struct Discovered {
    pub(super) info: ObjectInfo,
    /// SQL name of the object, when it is adopted.
    pub(super) adopted: Option<String>,
}

/// How a login ended.
pub(super) struct LoggedIn {
    pub(super) connection: Connection,
    /// Why the source could not be asked.
    pub(super) trouble: Option<Error>,
    /// It may be somebody else than before, who is to be accepted first.
    pub(super) is_other: bool,
}

impl App {
    /// Makes a connection. Where the connector needs no secret, it is logged in at once; where people log in at the
    /// vendor, one that exists is found, to be logged in again.
    pub(super) async fn connect(
        &self,
        actor: &Actor,
        connector: &str,
        name: Option<&str>,
        settings: Option<&str>,
    ) -> Result<Connection> {
        let name = name.unwrap_or(connector);
        let arguments = serde_json::json!({ "connector": connector, "name": name }).to_string();
        self.audited(actor, "connect", &arguments, async {
            let info = self.connectors.info(connector)?;
            check_name("a connection", name)?;
            if RESERVED.contains(&name) {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("`{name}` cannot be the name of a connection"),
                )
                .with_hint(format!("reserved names: {}", RESERVED.join(", "))));
            }
            let given = settings.is_some();
            let settings = parse_settings(settings)?;
            refuse_secrets_in_settings(info, &settings)?;
            if let Some(known) = self.to_log_in_again(connector, name, given.then_some(&settings)).await? {
                return Ok(known);
            }
            let source = self.connectors.open(connector, &settings, &HashMap::new(), None)?;
            let mut connection = self.state.create_connection(name, connector, &settings).await?;
            self.mirror_connection(&connection).await;
            if info.secrets.is_empty() {
                connection = self.log_in(connection, source.as_ref()).await?.0;
                self.check_soon(connection.id).await?;
            }
            Ok(connection)
        })
        .await
    }

    /// The connection of that name, where a new login by OAuth is all that was asked for.
    async fn to_log_in_again(
        &self,
        connector: &str,
        name: &str,
        settings: Option<&serde_json::Value>,
    ) -> Result<Option<Connection>> {
        let known = self.state.connection(name).await?.filter(|known| known.connector == connector);
        let known = known.filter(|known| settings.is_none_or(|settings| *settings == known.settings));
        Ok(known.filter(|_| self.connectors.logs_in_by_oauth(connector)))
    }

    /// Keeps a secret sealed and proves the login with it. A login that the source refuses keeps the old secret.
    /// Where the source cannot be reached the new one is kept, and what is returned says why.
    pub(super) async fn set_secret(
        &self,
        actor: &Actor,
        connection: &str,
        field: &str,
        value: Secret,
    ) -> Result<LoggedIn> {
        let arguments = serde_json::json!({ "connection": connection, "field": shorten(field) }).to_string();
        self.audited(actor, "set_secret", &arguments, async {
            let connection = self.connection(connection).await?;
            let info = self.connectors.info(&connection.connector)?;
            if !info.secrets.iter().any(|known| known == field) {
                let suggestion = did_you_mean(field, info.secrets.iter().map(|known| &**known));
                let what =
                    format!("`{}` has no secret `{}`{suggestion}", connection.connector, shorten(field));
                let hint = match info.secrets.as_slice() {
                    [] => "this connector needs no secret".to_string(),
                    secrets => format!("secrets of this connector: {}", secrets.join(", ")),
                };
                return Err(Error::new(Kind::Invalid, what).with_hint(hint));
            }
            let mut secrets = self.secrets(&connection, info).await?;
            let before = secrets.insert(field.to_string(), value.expose().to_string());
            let is_new = before.is_none_or(|before| before != value.expose());
            let source = self.connectors.open(&connection.connector, &connection.settings, &secrets, None)?;
            let mut other = false;
            let (connection, trouble) = match self.log_in(connection.clone(), source.as_ref()).await {
                Ok((connection, identity)) => {
                    other = self.note_identity(&connection, &identity, is_new).await?;
                    (connection, None)
                }
                // Those of the app alone log nobody in.
                Err(_)
                    if APPLICATION.contains(&field)
                        && self.connectors.logs_in_by_oauth(&connection.connector) =>
                {
                    (connection, None)
                }
                Err(error) if error.kind() == Kind::Unavailable => (connection, Some(error)),
                Err(error) => {
                    // The login that was there before may be as good as ever.
                    self.check_soon(connection.id).await?;
                    return Err(error);
                }
            };
            let version =
                self.state.secret(connection.id, field).await?.map_or(1, |(version, _)| version + 1);
            let sealed = self.keyring.seal(&self.company, connection.id, field, version, &value)?;
            self.state.put_secret(connection.id, field, version, &sealed).await?;
            // What a person granted before would go on to be used instead.
            if !APPLICATION.contains(&field)
                && trouble.is_none()
                && let Some(error) = self.end_grant(&connection).await?
            {
                tracing::warn!(error = ?error, connection.name = %connection.name, "a replaced login could not be revoked");
            }
            self.forget_tokens(connection.id);
            self.check_soon(connection.id).await?;
            Ok(LoggedIn { connection, trouble, is_other: other })
        })
        .await
    }

    /// Changes settings of a connection: what is left out stays, null takes one away. Where somebody is logged in, the
    /// source must answer under the new settings and hold the same account, or nothing changes.
    pub(super) async fn set_connection(
        &self,
        actor: &Actor,
        connection: &str,
        settings: &str,
    ) -> Result<LoggedIn> {
        let arguments = serde_json::json!({ "connection": connection }).to_string();
        self.audited(actor, "set_connection", &arguments, async {
            let mut connection = self.connection(connection).await?;
            let info = self.connectors.info(&connection.connector)?;
            let changes = parse_settings(Some(settings))?;
            refuse_secrets_in_settings(info, &changes)?;
            merge(&mut connection.settings, &changes);
            let source = self.open(&connection).await?;
            let mut is_other = false;
            if connection.identity.is_some() {
                let unchanged = |error: Error| match error.hint() {
                    Some(_) => error,
                    None => {
                        error.with_hint("nothing was changed: the source must answer under the new settings")
                    }
                };
                let identity = source.whoami().await.map_err(unchanged)?;
                self.same_account(&connection, &identity)?;
                connection = self.logged_in(connection, &identity).await?;
                is_other = self.note_identity(&connection, &identity, true).await?;
            }
            self.state.set_connection_settings(connection.id, &connection.settings).await?;
            self.mirror_settings(&connection).await;
            self.forget_tokens(connection.id);
            self.check_soon(connection.id).await?;
            Ok(LoggedIn { connection, trouble: None, is_other })
        })
        .await
    }

    /// Everything at the source that this login may read.
    pub(super) async fn discover(&self, actor: &Actor, connection: &str) -> Result<Vec<Discovered>> {
        let arguments = serde_json::json!({ "connection": connection }).to_string();
        self.audited(actor, "discover", &arguments, async {
            let connection = self.connection(connection).await?;
            let infos = self.open(&connection).await?.objects().await?;
            self.note_objects(&connection, infos.iter().map(|info| info.api.as_str())).await?;
            let adopted = self.state.objects_of(connection.id).await?;
            let adopted: HashMap<_, _> =
                adopted.into_iter().map(|object| (object.api, object.name)).collect();
            let with_name = |info: ObjectInfo| Discovered { adopted: adopted.get(&info.api).cloned(), info };
            Ok(infos.into_iter().map(with_name).collect())
        })
        .await
    }

    /// Revokes a login at the vendor and forgets the secrets. Objects, snapshots and releases stay readable. The second
    /// value says why the vendor could not be told.
    pub(super) async fn disconnect(
        &self,
        actor: &Actor,
        connection: &str,
    ) -> Result<(Connection, Option<Error>)> {
        let arguments = serde_json::json!({ "connection": connection }).to_string();
        self.audited(actor, "disconnect", &arguments, async {
            let mut connection = self.connection(connection).await?;
            let trouble = self.end_grant(&connection).await?;
            self.state.drop_secrets(connection.id).await?;
            self.state.set_connection_status(connection.id, "not connected", None).await?;
            self.check_soon(connection.id).await?;
            connection.status = "not connected".into();
            connection.identity = None;
            Ok((connection, trouble))
        })
        .await
    }

    /// Removes a connection and its objects from the newest release on. Past releases stay readable.
    pub(super) async fn drop_connection(&self, actor: &Actor, connection: &str) -> Result<Connection> {
        let arguments = serde_json::json!({ "connection": connection }).to_string();
        self.audited(actor, "drop_connection", &arguments, async {
            let connection = self.connection(connection).await?;
            let objects = self.state.objects_of(connection.id).await?;
            let removed: Vec<_> = objects.iter().map(|object| object.id.clone()).collect();
            for object in &objects {
                self.state.drop_object(&object.id).await?;
            }
            if let Some(error) = self.end_grant(&connection).await? {
                tracing::warn!(error = ?error, connection.name = %connection.name, "a login could not be revoked");
            }
            self.state.drop_secrets(connection.id).await?;
            self.state.drop_connection(connection.id).await?;
            self.mirror_dropped(Some(connection.id), &objects).await;
            self.publish_definition(&format!("drop_connection {}", connection.name), &[], &removed).await?;
            Ok(connection)
        })
        .await
    }

    /// The source of a connection, with its secrets.
    pub(super) async fn open(&self, connection: &Connection) -> Result<Arc<dyn Source>> {
        let info = self.connectors.info(&connection.connector)?;
        let secrets = self.secrets(connection, info).await?;
        let tokens = self.grant_tokens(connection).await?;
        self.connectors.open(&connection.connector, &connection.settings, &secrets, tokens)
    }

    /// The source of a connection, for a look that waits for nothing long.
    pub(super) async fn open_to_look(&self, connection: &Connection) -> Result<Arc<dyn Source>> {
        let info = self.connectors.info(&connection.connector)?;
        let secrets = self.secrets(connection, info).await?;
        let tokens = self.grant_tokens(connection).await?;
        self.connectors.open_to_look(&connection.connector, &connection.settings, &secrets, tokens)
    }

    pub(super) async fn secrets(
        &self,
        connection: &Connection,
        info: &ConnectorInfo,
    ) -> Result<HashMap<String, String>> {
        let mut secrets = HashMap::new();
        for field in info.secrets.iter().map(|field| &**field) {
            if let Some((version, sealed)) = self.state.secret(connection.id, field).await? {
                let secret = self.keyring.unseal(&self.company, connection.id, field, version, &sealed)?;
                secrets.insert(field.to_string(), secret.expose().to_string());
            }
        }
        Ok(secrets)
    }

    async fn log_in(&self, connection: Connection, source: &dyn Source) -> Result<(Connection, Identity)> {
        let checked = source.whoami().await;
        let identity = match checked.and_then(|who| self.same_account(&connection, &who).map(|()| who)) {
            Ok(identity) => identity,
            Err(error) => {
                let status = if error.kind() == Kind::Unavailable { "retrying" } else { "needs you" };
                self.state.set_connection_status(connection.id, status, None).await?;
                return Err(error);
            }
        };
        Ok((self.logged_in(connection, &identity).await?, identity))
    }
}

fn parse_settings(text: Option<&str>) -> Result<serde_json::Value> {
    let Some(text) = text else { return Ok(serde_json::json!({})) };
    let invalid = |what: String| {
        Error::new(Kind::Invalid, what).with_hint(r#"write them as {"host": "db.example.com", "port": 5432}"#)
    };
    // The text is not quoted: people paste secrets into it.
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| invalid(format!("the settings are not JSON: {error}")))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(invalid("the settings are not a JSON object".into())),
    }
}

/// Puts `changes` into settings; null takes one out.
fn merge(settings: &mut serde_json::Value, changes: &serde_json::Value) {
    let (Some(settings), Some(changes)) = (settings.as_object_mut(), changes.as_object()) else { return };
    for (name, value) in changes {
        match value.is_null() {
            true => settings.remove(name),
            false => settings.insert(name.clone(), value.clone()),
        };
    }
}

fn refuse_secrets_in_settings(info: &ConnectorInfo, settings: &serde_json::Value) -> Result<()> {
    match info.secrets.iter().find(|field| settings.get(&***field).is_some()) {
        None => Ok(()),
        Some(field) => Err(Error::new(Kind::Invalid, format!("`{field}` is a secret, not a setting"))
            .with_hint(format!("CALL set_secret('<connection>', '{field}', '...') keeps it sealed"))),
    }
}
