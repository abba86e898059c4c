//! The system as tables, past releases, rights and logins: what the query engine and the wire ask the service.

mod objects;
mod releases;
mod rows;
mod runs;
mod sight;
mod tables;
mod trust;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_optimizer::PhysicalOptimizerRule;

use super::cells::{Cell, Columns, batch, schema, time};
use super::{App, alert, explain, health, overrides, release_field, statement};
use crate::error::{Error, Kind, Result};
use crate::model::{Alert, FieldMask, Grant, ObjectField, Release, ReleaseObject, Statement};
use crate::query::{AsOf, CatalogFacts, Hidden, SessionUser, SystemTable, SystemTables, Tables, Wanted};
use rows::{connector_row, dropped_row, period_row};

pub(super) use sight::{NOT_TOLD, Named, Sight};
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

    fn rules(&self) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        self.app.warehouse.rules()
    }
}

#[async_trait::async_trait]
impl SystemTables for Catalog {
    fn tables(&self) -> &[SystemTable] {
        &self.tables
    }

    async fn rows(&self, table: &str, who: &SessionUser) -> Result<RecordBatch> {
        self.rows_where(table, who, &Wanted::default()).await
    }

    async fn rows_where(&self, table: &str, who: &SessionUser, wanted: &Wanted) -> Result<RecordBatch> {
        let Some((_, columns)) = TABLES.iter().find(|(name, _)| *name == table) else {
            return Err(Error::new(Kind::NotFound, format!("relation \"tributary.{table}\" does not exist")));
        };
        let sight = Sight::of(&self.app, who).await?;
        batch(columns, self.rows_seen(table, who, &sight, wanted).await?)
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
        let rows = explain::rows(&self.app, object, key, &sight).await?;
        batch(explain::COLUMNS, rows)
    }

    async fn bytes(&self, object: &ReleaseObject) -> Result<u64> {
        let table = self.app.warehouse.table(&object.connection, &object.object_id);
        Ok(table.at(object.version).await?.bytes())
    }

    async fn may_read(&self, who: &SessionUser, connection: &str, object: &str) -> Result<bool> {
        Ok(Sight::of_rows(&self.app, who).await?.reads(connection, object))
    }

    async fn hidden(&self, who: &SessionUser, object: &ReleaseObject) -> Result<Vec<Option<Hidden>>> {
        let sight = Sight::of_fields(&self.app, who).await?;
        let named = Named::of(object);
        Ok(object.fields.iter().map(|field| sight.hidden(named, &field.api)).collect())
    }
}

impl Catalog {
    async fn rows_seen(
        &self,
        table: &str,
        who: &SessionUser,
        sight: &Sight,
        wanted: &Wanted,
    ) -> Result<Vec<Vec<Cell>>> {
        Ok(match table {
            "connector" => self.app.connectors.list().iter().map(|info| self.connector(info)).collect(),
            "connection" => self.connections(sight, wanted).await?,
            "object" => self.objects(sight, wanted).await?,
            "dropped_object" => {
                let dropped = self.app.state.dropped_objects().await?;
                dropped.iter().filter(|_| sight.sees_all).map(dropped_row).collect()
            }
            "field" => self.fields(sight, wanted).await?,
            "run" => self.runs(sight, wanted).await?,
            "sync" => self.syncs(sight, wanted).await?,
            "release" => self.releases(sight, wanted).await?,
            "release_object" => self.release_objects(sight, wanted).await?,
            "release_field" => release_field::rows(&self.app.state.spans().await?, |c, o| sight.sees(c, o)),
            "override" => overrides::rows(&self.app, SHOWN, sight).await?,
            "erasure" => self.erasures(sight).await?,
            "period" => self.app.state.periods().await?.into_iter().map(period_row).collect(),
            "visibility" => trust::visibility(&self.app, sight).await?,
            "removal" | "quarantine" | "misfit" | "gate_result" => self.of_runs(table, sight, wanted).await?,
            "gate" => self.gates(sight, wanted).await?,
            "health" => {
                let seen = |row: &health::Row| match &row.object {
                    Some(object) => sight.sees(&row.connection, object),
                    None => sight.sees_some_of(&row.connection),
                };
                let hidden = self.hidden_names(sight).await?;
                let mut rows = health::rows(&self.app).await?;
                rows.retain(seen);
                for row in &mut rows {
                    let object = row.object.clone().unwrap_or_default();
                    if row.health.cause.is_some() && hidden.contains(&(row.connection.clone(), object)) {
                        row.health.cause = Some(NOT_TOLD.into());
                    }
                }
                rows.into_iter().map(health::Row::cells).collect()
            }
            "alert" => {
                let mut alerts = self.app.state.alerts(SHOWN).await?;
                alerts.retain(|alert| sight.is_told(alert));
                self.without_values(&mut alerts, sight).await?;
                alerts.into_iter().map(alert::row).collect()
            }
            "statement" => statement::rows(&self.app, |name| sight.sees(Statement::SCHEMA, name)).await?,
            "statement_run" => self.statement_runs(sight).await?,
            "batch" => super::batch::rows(&self.app).await?,
            "batch_step" => {
                let hidden = self.hidden_names(sight).await?;
                super::batch::step_rows(&self.app, |name| sight.sees_named(name), &hidden).await?
            }
            "setting" => self.settings().await?,
            "user" => self.users(sight, who).await?,
            "grant" => self.grants(sight, who).await?,
            "mask" => self.masks(sight).await?,
            "session" => self.sessions(sight, who),
            _ => self.audit(sight).await?,
        })
    }

    /// The objects, as connections call them, of which some values must not be told.
    async fn hidden_names(&self, sight: &Sight) -> Result<HashSet<(String, String)>> {
        if sight.hides_nothing() {
            return Ok(HashSet::new());
        }
        let objects = self.app.state.objects_named(None, None, false).await?;
        let hidden = objects.into_iter().filter(|object| sight.hides(Named::now(object), None));
        Ok(hidden.map(|object| (object.connection, object.name)).collect())
    }

    /// Takes the causes out of alerts that may tell of hidden values.
    async fn without_values(&self, alerts: &mut [Alert], sight: &Sight) -> Result<()> {
        let hidden = self.hidden_names(sight).await?;
        for Alert { condition, .. } in alerts {
            let named = condition.connection.clone().zip(condition.object.clone());
            if named.is_some_and(|named| hidden.contains(&named)) {
                condition.text = NOT_TOLD.into();
            }
        }
        Ok(())
    }

    fn connector(&self, info: &crate::source::ConnectorInfo) -> Vec<Cell> {
        connector_row(info, self.app.redirect_uri(&info.name).ok(), self.app.is_registered(&info.name))
    }

    async fn connections(&self, sight: &Sight, wanted: &Wanted) -> Result<Vec<Vec<Cell>>> {
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
            let ends = match wanted.reads("login_ends_at") {
                // What cannot be opened is told by a look at the connection.
                true => self.app.access_ends(connection.id).await.ok().flatten(),
                false => None,
            };
            let mut cells = row(connection);
            let (login, before) = review.map(|review| (review.login, review.before)).unzip();
            cells.extend([login.into(), before.into(), time(ends)]);
            rows.push(cells);
        }
        Ok(rows)
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
        let of_fields = grants.iter().filter(|grant| grant.field.is_some());
        let objects = of_fields.filter_map(|grant| Some((grant.connection.clone(), grant.object.clone()?)));
        let known = self.fields_of(objects.collect()).await?;
        let row = |grant: Grant| {
            let of = known.iter().find(|of| grant.is_of(&of.connection, &of.object));
            let field = grant.field.clone().map(|field| of.map_or(field.clone(), |of| of.name(&field)));
            vec![grant.user.into(), grant.connection.into(), grant.object.into(), field.into()]
        };
        Ok(grants.into_iter().map(row).collect())
    }

    /// The masks on objects and statements that there are and may be seen.
    async fn masks(&self, sight: &Sight) -> Result<Vec<Vec<Cell>>> {
        let masks = self.app.state.masks().await?;
        let is_masked = |id: &String| masks.iter().any(|mask| mask.object_id == *id);
        let mut objects = HashSet::new();
        if !masks.is_empty() {
            let heads = self.visible_heads(sight).await?.into_iter();
            objects.extend(heads.filter(|o| is_masked(&o.id)).map(|o| (o.connection, o.name)));
            let statements = self.app.state.statements().await?.into_iter();
            let named =
                statements.filter(|s| is_masked(&s.id)).map(|s| (Statement::SCHEMA.to_string(), s.name));
            objects.extend(named);
        }
        let known = self.fields_of(objects).await?;
        let row = |mask: FieldMask| {
            let of = known.iter().find(|of| of.id == mask.object_id)?;
            sight.sees(&of.connection, &of.object).then(|| {
                vec![
                    of.connection.as_str().into(),
                    of.object.as_str().into(),
                    of.name(&mask.field).into(),
                    mask.mask.as_str().into(),
                ]
            })
        };
        Ok(masks.into_iter().filter_map(row).collect())
    }

    /// The fields of objects and statements, which are told by connection and name.
    async fn fields_of(&self, objects: HashSet<(String, String)>) -> Result<Vec<Fields>> {
        let mut known = Vec::new();
        for (connection, object) in objects {
            let found = match connection == Statement::SCHEMA {
                true => {
                    let mut found = self.app.state.statements().await?.into_iter();
                    found.find(|found| found.name == object).map(|found| (found.id, found.fields))
                }
                false => {
                    let found = self.app.state.objects_named(Some(&connection), Some(&object), true).await?;
                    found.into_iter().next().map(|found| (found.id, found.fields))
                }
            };
            known.extend(found.map(|(id, fields)| Fields { id, connection, object, fields }));
        }
        Ok(known)
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

/// The fields of an object or a statement.
struct Fields {
    id: String,
    connection: String,
    object: String,
    fields: Vec<ObjectField>,
}

impl Fields {
    /// What a field is called now; the source's own name where it is none any more.
    fn name(&self, api: &str) -> String {
        let field = self.fields.iter().find(|field| field.api == api);
        field.map_or(api.to_string(), |field| field.name.clone())
    }
}

/// The table of a statement that was never computed.
fn without_rows(object: &ReleaseObject) -> EmptyTable {
    let field = |field: &crate::model::ObjectField| Field::new(&field.name, field.data_type.arrow(), true);
    EmptyTable::new(Arc::new(Schema::new(object.fields.iter().map(field).collect::<Vec<_>>())))
}
