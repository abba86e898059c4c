//! PostgreSQL as a source system, versions 10 and later: read only, over binary COPY.
//!
//! `connect` opens sessions, `discover` lists what there is, `read` reads it: `cursor` finds the bounds of a diff,
//! `plan` writes the statements, `decode` turns their answers into Arrow.

mod columns;
mod connect;
mod cursor;
mod decode;
mod discover;
mod failure;
mod filter;
mod name;
mod plan;
mod read;
mod settings;
mod tls;
mod types;

use futures::StreamExt;
use futures::stream::BoxStream;

use self::connect::{Connector, text};
pub use self::filter::filter_sql;
use self::name::{ObjectName, quote};
use self::settings::{Password, Settings};
use crate::error::{Kind, Result};
use crate::source::{
    Capabilities, ConnectorInfo, FieldInfo, Identity, LoginInfo, ObjectInfo, Page, Read, Source, What,
};

/// What people see of this connector.
pub(crate) fn connector() -> ConnectorInfo {
    ConnectorInfo {
        name: "postgresql".into(),
        label: "PostgreSQL".into(),
        settings: settings::SETTINGS.to_vec(),
        secrets: vec!["password".into()],
        logins: vec![LoginInfo::asking("password", &[("password", "Password")])],
        docs: Some("https://www.postgresql.org/docs/current/client-authentication.html".into()),
    }
}

/// One PostgreSQL database. Every call opens a session of its own and closes it.
pub struct PostgresSource {
    connector: Connector,
}

impl std::fmt::Debug for PostgresSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSource").field("settings", self.connector.settings()).finish_non_exhaustive()
    }
}

impl PostgresSource {
    /// Checks the settings; reaches out to nobody yet.
    pub fn new(settings: &serde_json::Value, password: Option<String>) -> Result<Self> {
        let settings = Settings::parse(settings)?;
        Ok(PostgresSource { connector: Connector::new(settings, password.map(Password::new))? })
    }
}

#[async_trait::async_trait]
impl Source for PostgresSource {
    async fn whoami(&self) -> Result<Identity> {
        let mut session = self.connector.open().await?;
        let sql = "SELECT current_database(), session_user, current_setting('server_version'), \
                   pg_is_in_recovery(), current_setting('TimeZone')";
        let rows = session.query(sql).await.map_err(|error| failure::running(None, error))?;
        let value = |column| rows.first().and_then(|row| text(row, column)).unwrap_or_default().to_string();
        let settings = self.connector.settings();
        // Not every login may read the system identifier; the address is the next best.
        let system = session.query("SELECT system_identifier FROM pg_catalog.pg_control_system()").await;
        let system = system.ok().and_then(|rows| Some(text(rows.first()?, 0)?.to_string()));
        let standby = if value(3) == "t" { " (standby)" } else { "" };
        Ok(Identity {
            account: format!("{}/{}", system.unwrap_or_else(|| settings.address()), value(0)),
            user: value(1),
            server: format!("PostgreSQL {}{standby}", value(2)),
        })
    }

    async fn objects(&self) -> Result<Vec<ObjectInfo>> {
        let mut session = self.connector.open().await?;
        discover::objects(&mut session).await
    }

    async fn fields(&self, object: &str) -> Result<Vec<FieldInfo>> {
        let name = ObjectName::parse(object)?;
        let mut session = self.connector.open().await?;
        discover::fields(&mut session, &name).await
    }

    async fn can(&self, object: &str) -> Result<Capabilities> {
        let name = ObjectName::parse(object)?;
        let mut session = self.connector.open().await?;
        let relation = columns::relation(&mut session, &name).await?;
        let columns = columns::columns(&mut session, &relation).await?;
        Ok(Capabilities {
            since: columns.iter().any(|column| cursor::kind(column).is_ok()),
            keys: true,
            deleted: false,
            get: true,
            hides: relation.hides_rows,
            filters_kept: false,
        })
    }

    fn read(&self, read: Read) -> BoxStream<'static, Result<Page>> {
        read::Reading::new(self.connector.clone(), read).boxed()
    }

    async fn notes(&self, read: &Read) -> Result<Vec<String>> {
        let said = read.filter.as_ref().map(filter_sql).transpose()?;
        Ok(said.map(|said| format!("PostgreSQL is told WHERE {said}")).into_iter().collect())
    }

    async fn warnings(&self, read: &Read) -> Result<Vec<String>> {
        let name = ObjectName::parse(&read.object)?;
        let mut session = self.connector.open().await?;
        let relation = columns::relation(&mut session, &name).await?;
        let mut warnings = Vec::new();
        if relation.hides_rows {
            warnings.push(format!(
                "row level security of `{}` hides rows from user `{}`; they are missing here too",
                read.object,
                session.user()
            ));
        }
        let is_by_key = matches!(read.what, What::Keys | What::Get(_));
        let (Some(cursor), false) = (&read.cursor, is_by_key) else { return Ok(warnings) };
        let columns = columns::columns(&mut session, &relation).await?;
        let column = plan::find(&relation, &columns, cursor)?;
        let mut is_indexed = true;
        if matches!(relation.kind, 'r' | 'p' | 'm') {
            let sql = format!(
                "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a \
                 ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
                 WHERE i.indrelid = {} AND i.indisvalid AND i.indpred IS NULL AND a.attname = {})",
                relation.oid,
                name::literal(cursor)
            );
            let rows =
                session.query(&sql).await.map_err(|error| failure::running(Some(&read.object), error))?;
            is_indexed = rows.first().and_then(|row| text(row, 0)) != Some("f");
            if !is_indexed {
                warnings.push(format!(
                    "no index begins with the cursor `{cursor}`: every diff reads the whole table"
                ));
            }
        }
        // Without an index this looks through the whole table, which a diff must not.
        if !column.not_null && (is_indexed || read.what == What::Full) {
            let sql = format!(
                "SET statement_timeout = '5s'; SELECT EXISTS (SELECT 1 FROM {} WHERE {} IS NULL)",
                relation.name.sql(),
                quote(cursor)
            );
            let has_null = match session.query(&sql).await {
                Ok(rows) => rows.first().and_then(|row| text(row, 0)) == Some("t"),
                Err(error) => match failure::running(Some(&read.object), error) {
                    error if error.kind() == Kind::Limit => false,
                    error => return Err(error),
                },
            };
            if has_null {
                warnings.push(format!(
                    "some rows have no value in the cursor `{cursor}`: only full syncs see changes of them"
                ));
            }
        }
        Ok(warnings)
    }
}
