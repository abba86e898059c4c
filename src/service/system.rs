//! The system as tables, past releases, rights and logins: what the query engine and the wire ask the service.

mod rows;
mod tables;
mod trust;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::runtime_env::RuntimeEnv;

use super::cells::{Cell, Columns, batch, schema, time};
use super::release::Fate;
use super::user::AUDITOR;
use super::{App, alert, explain, health, overrides, release_field, statement};
use crate::error::{Error, Kind, Result};
use crate::model::{Alert, Grant, Object, Release, ReleaseObject, Run, Statement, now_micros};
use crate::query::{AsOf, CatalogFacts, SessionUser, SystemTable, SystemTables, Tables};
use rows::{connector_row, dropped_row, period_row, release_objects, release_row, run_row};

use tables::TABLES;

/// How many of the newest runs, syncs, releases and audit rows are shown.
const SHOWN: i64 = 10_000;

/// Answers the query engine from state and snapshots.
pub struct Catalog {
    app: Arc<App>,
    tables: Vec<SystemTable>,
}

impl Catalog {
    /// The catalog of `app`.
    pub fn new(app: Arc<App>) -> Arc<Self> {
        let table = |(name, columns): &(&str, Columns)| SystemTable {
            name: name.to_string(),
            schema: schema(columns),
        };
        Arc::new(Catalog { app, tables: TABLES.iter().map(table).collect() })
    }
}

#[async_trait::async_trait]
impl Tables for Catalog {
    async fn provider(&self, object: &ReleaseObject) -> Result<Arc<dyn TableProvider>> {
        if object.version == statement::NOT_YET {
            return Ok(Arc::new(without_rows(object)));
        }
        self.app.table_of(object).await
    }

    async fn difference(
        &self,
        from: &ReleaseObject,
        to: &ReleaseObject,
    ) -> Result<(Arc<dyn TableProvider>, Arc<dyn TableProvider>)> {
        self.app.difference_of(from, to).await
    }

    fn register(&self, env: &RuntimeEnv) {
        self.app.warehouse.register(env);
    }
}

#[async_trait::async_trait]
impl SystemTables for Catalog {
    fn tables(&self) -> &[SystemTable] {
        &self.tables
    }

    async fn rows(&self, table: &str, who: &SessionUser) -> Result<RecordBatch> {
        self.rows_about(table, who, About::All).await
    }

    async fn rows_where(
        &self,
        table: &str,
        who: &SessionUser,
        column: &str,
        value: i64,
    ) -> Result<RecordBatch> {
        let about = match (table, column) {
            ("run", "id") | ("removal" | "quarantine" | "misfit" | "gate_result", "run") => About::Run(value),
            ("release_object", "release") => About::Release(value),
            _ => About::All,
        };
        self.rows_about(table, who, about).await
    }

    async fn release(&self, as_of: &AsOf) -> Result<Arc<Release>> {
        Ok(Arc::new(self.app.release_as_of(as_of).await?))
    }

    async fn hold(&self, release: i64) -> Result<bool> {
        self.app.hold(release).await
    }

    async fn catalog_version(&self) -> Result<i64> {
        self.app.state.catalog_version().await
    }

    async fn catalog(&self, release: &Release) -> Result<CatalogFacts> {
        super::catalog::facts(&self.app, release, TABLES).await
    }

    fn history_schema(&self) -> SchemaRef {
        schema(explain::COLUMNS)
    }

    async fn history(&self, who: &SessionUser, object: &str, key: &[String]) -> Result<RecordBatch> {
        let sight = Sight::of(&self.app, who).await?;
        let rows = explain::rows(&self.app, object, key, sight.is_admin, |c, o| sight.reads(c, o)).await?;
        batch(explain::COLUMNS, rows)
    }

    async fn bytes(&self, object: &ReleaseObject) -> Result<u64> {
        let table = self.app.warehouse.table(&object.connection, &object.object_id);
        Ok(table.at(object.version).await?.bytes())
    }

    async fn may_read(&self, who: &SessionUser, connection: &str, object: &str) -> Result<bool> {
        Ok(Sight::of(&self.app, who).await?.reads(connection, object))
    }
}

/// Which rows of a table are wanted, as far as that makes fewer to be loaded.
#[derive(Clone, Copy)]
enum About {
    All,
    Run(i64),
    Release(i64),
}

/// What a user may see.
struct Sight {
    is_admin: bool,
    /// May look at the system as a whole, as an admin does: what is set and what was done, but no rows of sources.
    sees_all: bool,
    grants: Vec<Grant>,
}

impl Sight {
    async fn of(app: &App, who: &SessionUser) -> Result<Self> {
        if who.is_admin {
            return Ok(Sight { is_admin: true, sees_all: true, grants: Vec::new() });
        }
        let user = app.state.user(&who.name).await?;
        let sees_all = user.is_some_and(|user| user.role == AUDITOR);
        Ok(Sight { is_admin: false, sees_all, grants: app.state.grants_of(&who.name).await? })
    }

    /// Whether what is known of an object may be seen.
    fn sees(&self, connection: &str, object: &str) -> bool {
        self.sees_all || self.reads(connection, object)
    }

    /// Whether the rows of an object may be read.
    fn reads(&self, connection: &str, object: &str) -> bool {
        let covers = |grant: &Grant| {
            grant.connection == connection && grant.object.as_deref().is_none_or(|granted| granted == object)
        };
        self.is_admin || self.grants.iter().any(covers)
    }

    /// What concerns the server as a whole is for admins.
    fn is_told(&self, alert: &Alert) -> bool {
        match (&alert.condition.connection, &alert.condition.object) {
            (Some(connection), Some(object)) => self.sees(connection, object),
            (Some(connection), None) => self.sees_some_of(connection),
            (None, _) => self.sees_all,
        }
    }

    /// Whether a full name is that of something it sees.
    fn sees_named(&self, name: &str) -> bool {
        let plain = |text: &str| text.trim_matches('"').to_string();
        let (connection, object) = name.split_once('.').unwrap_or((name, ""));
        self.sees(&plain(connection), &plain(object))
    }

    fn sees_some_of(&self, connection: &str) -> bool {
        self.sees_all || self.grants.iter().any(|grant| grant.connection == connection)
    }
}

impl Catalog {
    async fn rows_about(&self, table: &str, who: &SessionUser, about: About) -> Result<RecordBatch> {
        let Some((_, columns)) = TABLES.iter().find(|(name, _)| *name == table) else {
            return Err(Error::new(Kind::NotFound, format!("relation \"tributary.{table}\" does not exist")));
        };
        let sight = Sight::of(&self.app, who).await?;
        let rows = match table {
            "connector" => self.app.connectors.list().iter().map(|info| self.connector(info)).collect(),
            "connection" => self.connections(&sight).await?,
            "object" => self.objects(&sight).await?,
            "dropped_object" => {
                let dropped = self.app.state.dropped_objects().await?;
                dropped.iter().filter(|_| sight.sees_all).map(dropped_row).collect()
            }
            "field" => self.fields(&sight).await?,
            "run" => self.runs(&sight, about).await?,
            "sync" => self.syncs(&sight).await?,
            "release" => {
                let fate = Fate::load(&self.app, now_micros()).await?;
                let releases = self.app.state.releases(SHOWN).await?;
                releases.iter().map(|release| release_row(release, &sight, &fate)).collect()
            }
            "release_object" => {
                let releases = match about {
                    About::Release(id) => self.app.state.release(id).await?.into_iter().collect(),
                    _ => self.app.state.releases(SHOWN).await?,
                };
                releases.iter().flat_map(|release| release_objects(release, &sight)).collect()
            }
            "release_field" => release_field::rows(&self.app.state.spans().await?, |c, o| sight.sees(c, o)),
            "override" => overrides::rows(&self.app, SHOWN, |c, o| sight.sees(c, o)).await?,
            "erasure" => self.erasures(&sight).await?,
            "period" => self.app.state.periods().await?.into_iter().map(period_row).collect(),
            "visibility" => trust::visibility(&self.app, &sight).await?,
            "removal" | "quarantine" | "misfit" | "gate" | "gate_result" => {
                let (mut objects, mut runs) =
                    (self.visible_objects(&sight).await?, self.visible_runs(&sight, about).await?);
                if matches!(table, "quarantine" | "misfit") {
                    // These hold values of records.
                    objects.retain(|object| sight.reads(&object.connection, &object.name));
                    let read: HashSet<_> = objects.iter().map(|object| object.id.clone()).collect();
                    runs.retain(|run| sight.is_admin || read.contains(&run.object_id));
                }
                trust::rows(&self.app, table, objects, runs, &sight).await?
            }
            "health" => {
                let seen = |row: &health::Row| match &row.object {
                    Some(object) => sight.sees(&row.connection, object),
                    None => sight.sees_some_of(&row.connection),
                };
                let rows = health::rows(&self.app).await?;
                rows.into_iter().filter(seen).map(health::Row::cells).collect()
            }
            "alert" => {
                let alerts = self.app.state.alerts(SHOWN).await?;
                alerts.into_iter().filter(|alert| sight.is_told(alert)).map(alert::row).collect()
            }
            "statement" => statement::rows(&self.app, |name| sight.sees(Statement::SCHEMA, name)).await?,
            "statement_run" => self.statement_runs(&sight).await?,
            "batch" => super::batch::rows(&self.app).await?,
            "batch_step" => super::batch::step_rows(&self.app, |name| sight.sees_named(name)).await?,
            "setting" => self.settings().await?,
            "user" => self.users(&sight, who).await?,
            "grant" => self.grants(&sight, who).await?,
            "session" => self.sessions(&sight, who),
            _ => self.audit(&sight).await?,
        };
        batch(columns, rows)
    }

    fn connector(&self, info: &crate::source::ConnectorInfo) -> Vec<Cell> {
        connector_row(info, self.app.redirect_uri(&info.name).ok(), self.app.is_registered(&info.name))
    }

    async fn connections(&self, sight: &Sight) -> Result<Vec<Vec<Cell>>> {
        let connections = self.app.state.connections().await?;
        let visible = connections.into_iter().filter(|connection| sight.sees_some_of(&connection.name));
        let (health, late) = (self.app.state.health().await?, self.app.state.late_after().await?);
        let secrets = if sight.is_admin { self.app.state.secret_fields().await? } else { HashMap::default() };
        let row = |connection: crate::model::Connection| {
            let whole = health.iter().find(|h| h.connection_id == connection.id && h.object_id.is_none());
            // How a source is reached is nobody's business but an admin's.
            let settings = sight.is_admin.then(|| connection.settings.to_string());
            vec![
                connection.name.into(),
                connection.connector.into(),
                connection.status.into(),
                connection.identity.into(),
                connection.account.into(),
                settings.into(),
                time(connection.created_at),
                whole.map(|whole| whole.state.as_str().to_string()).into(),
                late.get(&connection.id).copied().into(),
                time(connection.connected_at),
                secrets.get(&connection.id).cloned().into(),
            ]
        };
        let mut rows = Vec::new();
        for connection in visible {
            // Somebody else, who waits to be accepted.
            let review = self.app.state.review(connection.id).await?;
            let mut cells = row(connection);
            let (login, before) = review.map(|review| (review.login, review.before)).unzip();
            cells.extend([login.into(), before.into()]);
            rows.push(cells);
        }
        Ok(rows)
    }

    async fn visible_objects(&self, sight: &Sight) -> Result<Vec<Object>> {
        let mut objects = self.app.state.objects().await?;
        objects.retain(|object| sight.sees(&object.connection, &object.name));
        Ok(objects)
    }

    async fn objects(&self, sight: &Sight) -> Result<Vec<Vec<Cell>>> {
        let newest = self.app.state.newest_release().await?;
        let synced = self.app.state.last_published().await?;
        let telling = self.app.state.telling_runs().await?;
        let published = |object: &Object| {
            let mut published = newest.iter().flat_map(|release| &release.objects);
            published.find(|published| published.object_id == object.id)
        };
        let row = |object: Object| {
            let import = &object.import;
            let (state, reason) = trust::standing(&object, published(&object), &telling);
            let name_field = object.fields.iter().find(|field| field.is_name).map(|field| field.name.clone());
            vec![
                object.connection.as_str().into(),
                object.name.as_str().into(),
                object.api.as_str().into(),
                object.label.as_str().into(),
                object.key().join(",").into(),
                name_field.into(),
                import.cursor.clone().into(),
                import.filter.clone().into(),
                import.max_rows.and_then(|rows| i64::try_from(rows).ok()).into(),
                import.frequency.as_str().into(),
                import.delete_all_before_sync.into(),
                i64::from(import.max_loss_percent).into(),
                import.new_fields.as_str().into(),
                published(&object).map(|published| published.rows).into(),
                time(synced.get(&object.id).copied()),
                time(object.created_at),
                state.into(),
                reason.into(),
                import.required.into(),
            ]
        };
        Ok(self.visible_objects(sight).await?.into_iter().map(row).collect())
    }

    async fn fields(&self, sight: &Sight) -> Result<Vec<Vec<Cell>>> {
        let objects = self.visible_objects(sight).await?;
        let rows = objects.iter().flat_map(|object| {
            object.fields.iter().map(|field| {
                vec![
                    object.connection.as_str().into(),
                    object.name.as_str().into(),
                    field.name.as_str().into(),
                    field.api.as_str().into(),
                    field.label.as_str().into(),
                    field.data_type.to_string().into(),
                    field.native_type.as_str().into(),
                    field.selected.into(),
                    field.key_position.map(i64::from).into(),
                    field.is_name.into(),
                    field.volatile.into(),
                    field.note.clone().into(),
                    field.column.as_str().into(),
                ]
            })
        });
        Ok(rows.collect())
    }

    async fn statement_runs(&self, sight: &Sight) -> Result<Vec<Vec<Cell>>> {
        let batches = self.app.state.batches(SHOWN).await?;
        let batches: HashMap<i64, String> = batches.into_iter().map(|batch| (batch.id, batch.name)).collect();
        let mut runs = self.app.state.statement_runs(SHOWN).await?;
        runs.retain(|run| sight.sees(Statement::SCHEMA, &run.statement));
        Ok(runs.into_iter().map(|run| statement::run_row(run, &batches)).collect())
    }

    async fn settings(&self) -> Result<Vec<Vec<Cell>>> {
        let set = self.app.schedule().await?;
        let schedule = set.map(|set| format!("{} {}", set.schedule.time(), set.schedule.zone()));
        Ok(vec![
            vec![
                "retention_days".into(),
                self.app.state.retention_days().await?.to_string().into(),
                "days for which a release is kept after the next one replaced it".into(),
            ],
            vec![
                "schedule".into(),
                schedule.unwrap_or_else(|| "off".into()).into(),
                "local time and time zone of the nightly batch".into(),
            ],
        ])
    }

    async fn visible_runs(&self, sight: &Sight, about: About) -> Result<Vec<Run>> {
        let mut runs = match about {
            About::Run(id) => self.app.state.run(id).await?.into_iter().collect(),
            _ => self.app.state.runs(SHOWN).await?,
        };
        if !sight.sees_all {
            let objects = self.visible_objects(sight).await?;
            let visible: HashSet<_> = objects.iter().map(|object| object.id.as_str()).collect();
            runs.retain(|run| visible.contains(run.object_id.as_str()));
        }
        Ok(runs)
    }

    async fn runs(&self, sight: &Sight, about: About) -> Result<Vec<Vec<Cell>>> {
        let names = self.app.state.object_names().await?;
        let live = self.app.syncer.live();
        let row = |run: Run| {
            let (object, ongoing) = (names.get(&run.object_id).cloned(), live.of(run.id));
            run_row(run, object, ongoing)
        };
        Ok(self.visible_runs(sight, about).await?.into_iter().map(row).collect())
    }

    /// Syncs of which the user may see at least one run.
    async fn syncs(&self, sight: &Sight) -> Result<Vec<Vec<Cell>>> {
        let runs = self.visible_runs(sight, About::All).await?;
        let row = |sync: crate::model::Sync| {
            let runs: Vec<_> = runs.iter().filter(|run| run.sync_id == sync.id).collect();
            let is_over = runs.iter().all(|run| run.ended_at.is_some());
            let succeeded = runs.iter().filter(|run| run.status.starts_with("succeeded")).count();
            (!runs.is_empty()).then(|| {
                vec![
                    sync.id.into(),
                    sync.mode.into(),
                    sync.actor.into(),
                    time(sync.started_at),
                    time(runs.iter().filter_map(|run| run.ended_at).max().filter(|_| is_over)),
                    (runs.len() as i64).into(),
                    (succeeded as i64).into(),
                ]
            })
        };
        Ok(self.app.state.syncs(SHOWN).await?.into_iter().filter_map(row).collect())
    }

    async fn erasures(&self, sight: &Sight) -> Result<Vec<Vec<Cell>>> {
        if !sight.sees_all {
            return Err(Error::new(Kind::Denied, "permission denied for table erasure"));
        }
        let row = |entry: crate::state::ErasureEntry| {
            vec![
                entry.id.into(),
                entry.object.into(),
                time(entry.at),
                entry.actor.into(),
                entry.reason.into(),
                entry.pending.is_none().into(),
                entry.rows.into(),
                entry.files.into(),
                entry.releases.into(),
            ]
        };
        Ok(self.app.state.erasures().await?.into_iter().map(row).collect())
    }

    async fn users(&self, sight: &Sight, who: &SessionUser) -> Result<Vec<Vec<Cell>>> {
        let mut users = self.app.state.users().await?;
        users.retain(|user| sight.sees_all || user.name == who.name);
        Ok(users
            .into_iter()
            .map(|user| vec![user.name.into(), user.role.into(), user.enabled.into()])
            .collect())
    }

    async fn grants(&self, sight: &Sight, who: &SessionUser) -> Result<Vec<Vec<Cell>>> {
        let mut grants = self.app.state.grants().await?;
        grants.retain(|grant| sight.sees_all || grant.user == who.name);
        Ok(grants
            .into_iter()
            .map(|grant| vec![grant.user.into(), grant.connection.into(), grant.object.into()])
            .collect())
    }

    fn sessions(&self, sight: &Sight, who: &SessionUser) -> Vec<Vec<Cell>> {
        let sessions = self.app.sessions.get().map(|sessions| sessions.list()).unwrap_or_default();
        let visible = sessions.into_iter().filter(|session| sight.sees_all || session.user == who.name);
        let row = |session: super::LiveSession| {
            vec![
                session.id.into(),
                session.user.into(),
                session.address.into(),
                time(session.since),
                session.active.into(),
            ]
        };
        visible.map(row).collect()
    }

    async fn audit(&self, sight: &Sight) -> Result<Vec<Vec<Cell>>> {
        if !sight.sees_all {
            return Err(Error::new(Kind::Denied, "permission denied for table audit"));
        }
        let entries = self.app.state.audits(SHOWN).await?;
        let row = |entry: crate::state::AuditEntry| {
            vec![
                time(entry.at),
                entry.actor.into(),
                entry.verb.into(),
                entry.arguments.into(),
                entry.outcome.into(),
            ]
        };
        Ok(entries.into_iter().map(row).collect())
    }
}

/// The table of a statement that was never computed.
fn without_rows(object: &ReleaseObject) -> EmptyTable {
    let field = |field: &crate::model::ObjectField| Field::new(&field.name, field.data_type.arrow(), true);
    EmptyTable::new(Arc::new(Schema::new(object.fields.iter().map(field).collect::<Vec<_>>())))
}
