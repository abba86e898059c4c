//! Statements: queries whose results are kept as tables of schema `statement`, with the release they read.

mod compute;
mod graph;
mod table;
mod verify;

use std::collections::HashSet;
use std::sync::Arc;

use super::turn::Turn;
use super::{Actor, App, list, shorten};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{
    FieldType, Micros, ObjectField, Release, ReleaseObject, Schedule, Statement, check_name, now_micros,
    unique_machine_name,
};
use crate::query::{Engine, Kept, KeptQuery};

pub(super) use compute::{Computation, clock, wait_for};
pub(super) use graph::order;
pub(super) use table::{COLUMNS, RUN_COLUMNS, rows, run_row};
pub(super) use verify::Verified;

/// The version of a result that is not there yet: such a table has columns and no rows.
pub(super) const NOT_YET: i64 = -1;
const MOST_KEEP_DAYS: i64 = 36_500;

/// What a person says of a statement; what is left out stays as it is, or is the default.
#[derive(Debug, Default)]
pub(super) struct Definition {
    pub(super) query: Option<String>,
    pub(super) unique_fields: Option<Vec<String>>,
    /// An empty text clears.
    pub(super) description: Option<String>,
    pub(super) required: Option<bool>,
    pub(super) time_zone: Option<String>,
    /// 0 keeps for good.
    pub(super) keep_days: Option<i64>,
}

/// A statement and the full names of what it reads.
pub(super) struct Defined {
    pub(super) statement: Statement,
    pub(super) reads: Vec<String>,
}

impl App {
    /// Adds a statement. Its result can be read after it was computed.
    pub(super) async fn create_statement(
        &self,
        actor: &Actor,
        name: &str,
        definition: Definition,
    ) -> Result<Defined> {
        let arguments = arguments(name, &definition);
        self.audited(actor, "create_statement", &arguments, async {
            check_name("a statement", name)?;
            let siblings = self.state.statements().await?;
            if siblings.iter().any(|statement| statement.name == name) {
                let what = format!("statement `{name}` exists already");
                return Err(Error::new(Kind::AlreadyExists, what)
                    .with_sqlstate("42P07")
                    .with_hint(format!("CALL alter_statement('{name}', ...) changes it")));
            }
            let zone = self.schedule().await?.map_or("UTC", |set| set.schedule.zone());
            let mut statement = Statement {
                id: uuid::Uuid::now_v7().simple().to_string(),
                name: name.to_string(),
                query: String::new(),
                unique_fields: Vec::new(),
                description: None,
                required: true,
                time_zone: zone.to_string(),
                keep_days: None,
                fields: Vec::new(),
                version: 1,
                created_at: now_micros(),
                created_by: actor.name.clone(),
            };
            apply(&mut statement, definition)?;
            let reads = self.define_statement(&mut statement, &siblings).await?;
            self.state.add_statement(&statement).await?;
            self.mirror_statement(&statement).await;
            Ok(Defined { statement, reads })
        })
        .await
    }

    /// Changes a statement. Its last result stays until it is computed again.
    pub(super) async fn alter_statement(
        &self,
        actor: &Actor,
        name: &str,
        definition: Definition,
    ) -> Result<Defined> {
        let arguments = arguments(name, &definition);
        self.audited(actor, "alter_statement", &arguments, async {
            let mut statement = self.statement(name).await?;
            apply(&mut statement, definition)?;
            let siblings = self.state.statements().await?;
            let reads = self.define_statement(&mut statement, &siblings).await?;
            self.state.update_statement(&statement).await?;
            statement.version += 1;
            self.mirror_statement(&statement).await;
            self.watch.alerts.notify_one();
            Ok(Defined { statement, reads })
        })
        .await
    }

    /// Gives a statement another name. Past releases keep the old one; past results stay its own.
    pub(super) async fn rename_statement(
        &self,
        actor: &Actor,
        name: &str,
        new_name: &str,
    ) -> Result<Statement> {
        let arguments = serde_json::json!({ "name": shorten(name), "new_name": shorten(new_name) });
        self.audited(actor, "rename_statement", &arguments.to_string(), async {
            let statement = self.statement(name).await?;
            check_name("a statement", new_name)?;
            // What is computed meanwhile would be published under the old name.
            let turn = Turn::try_take(&self.state, compute::LEASE, self.lease).await?;
            let turn = turn.ok_or_else(|| {
                Error::new(Kind::Conflict, "statements are being computed")
                    .with_hint("rename it when the computation has ended")
            })?;
            let renamed = self.rename_alone(&statement, new_name).await;
            turn.give_back().await;
            self.watch.alerts.notify_one();
            renamed
        })
        .await
    }

    /// Renames while nobody computes.
    async fn rename_alone(&self, statement: &Statement, new_name: &str) -> Result<Statement> {
        let siblings = self.state.statements().await?;
        let readers = self.readers_of(statement, &siblings).await?;
        if !readers.is_empty() {
            let what = format!("cannot rename {}: other statements read it", statement.full_name());
            return Err(Error::new(Kind::Conflict, what)
                .with_sqlstate("2BP01")
                .with_detail(format!("read by {}", readers.join(", ")))
                .with_hint("their queries name it: alter those to read something else first"));
        }
        let version = statement.version + 1;
        let renamed = Statement { name: new_name.to_string(), version, ..statement.clone() };
        self.state.rename_statement(statement, new_name).await?;
        self.mirror_statement(&renamed).await;
        let newest = self.state.newest_release().await?;
        let published = newest.iter().flat_map(|release| &release.objects);
        let published = published.filter(|object| object.object_id == statement.id);
        let changes: Vec<_> =
            published.map(|object| ReleaseObject { name: new_name.to_string(), ..object.clone() }).collect();
        let cause = format!("rename_statement {} to {new_name}", statement.name);
        self.publish_definition(&cause, &changes, &[]).await?;
        self.state.catalog_changed().await?;
        Ok(renamed)
    }

    /// Full names of the statements that read one.
    async fn readers_of(&self, statement: &Statement, siblings: &[Statement]) -> Result<Vec<String>> {
        let release = self.drafted(siblings, None).await?;
        let mut readers = Vec::new();
        for other in siblings.iter().filter(|other| other.id != statement.id) {
            // What cannot be read at all does not read this.
            let reads = self.reads_of(other, &release).await.unwrap_or_default();
            if reads.iter().any(|object| object.object_id == statement.id) {
                readers.push(other.full_name());
            }
        }
        Ok(readers)
    }

    /// Removes a statement from the newest release on. Past releases stay readable for as long as they are kept.
    pub(super) async fn drop_statement(&self, actor: &Actor, name: &str) -> Result<Statement> {
        let arguments = serde_json::json!({ "name": shorten(name) }).to_string();
        self.audited(actor, "drop_statement", &arguments, async {
            let statement = self.statement(name).await?;
            let siblings = self.state.statements().await?;
            let readers = self.readers_of(&statement, &siblings).await?;
            if !readers.is_empty() {
                let what = format!("cannot drop {}: other statements read it", statement.full_name());
                return Err(Error::new(Kind::Conflict, what)
                    .with_sqlstate("2BP01")
                    .with_detail(format!("read by {}", readers.join(", ")))
                    .with_hint("alter or drop those first"));
            }
            self.state.drop_statement(&statement).await?;
            self.mirror_statement_dropped(&statement).await;
            let cause = format!("drop_statement {}", statement.name);
            self.publish_definition(&cause, &[], std::slice::from_ref(&statement.id)).await?;
            self.watch.alerts.notify_one();
            Ok(statement)
        })
        .await
    }

    /// The statement of that name, or an error that names the nearest one.
    pub(super) async fn statement(&self, name: &str) -> Result<Statement> {
        let known = self.state.statements().await?;
        let short = name.strip_prefix("statement.").unwrap_or(name);
        if let Some(found) = known.iter().find(|statement| statement.name == short) {
            return Ok(found.clone());
        }
        let suggestion = did_you_mean(short, known.iter().map(|statement| statement.name.as_str()));
        let hint = match known.is_empty() {
            true => "there is no statement yet: CALL create_statement('name', $$SELECT ...$$)".to_string(),
            false => format!("statements: {}", list(known.iter().map(|statement| statement.name.as_str()))),
        };
        Err(Error::new(Kind::NotFound, format!("unknown statement `{}`{suggestion}", shorten(name)))
            .with_hint(hint))
    }

    /// Checks a definition against the newest release and sets its columns; the full names of what it reads.
    async fn define_statement(
        &self,
        statement: &mut Statement,
        siblings: &[Statement],
    ) -> Result<Vec<String>> {
        let others: Vec<_> = siblings.iter().filter(|other| other.id != statement.id).cloned().collect();
        let release = self.drafted(&others, Some(statement)).await?;
        let reads = self.reads_of(statement, &release).await.map_err(|error| of_query(statement, error))?;
        let mut edges = vec![graph::Node::new(statement, &reads)];
        for other in &others {
            // One that cannot be read any more holds nobody up; its next computation tells why.
            let reads = self.reads_of(other, &release).await.unwrap_or_default();
            edges.push(graph::Node::new(other, &reads));
        }
        order(edges)?;
        let kept = self.kept(statement, release).await.map_err(|error| of_query(statement, error))?;
        statement.fields = fields(statement, kept.columns())?;
        Ok(reads.iter().map(full_name).collect())
    }

    /// The newest release with all statements in it: those without a result have columns and no rows.
    pub(super) async fn drafted(
        &self,
        statements: &[Statement],
        new: Option<&Statement>,
    ) -> Result<Arc<Release>> {
        let newest = self.engine()?.newest();
        let mut release = Release::clone(&newest);
        let published = |id: &str| newest.objects.iter().any(|object| object.object_id == id);
        for statement in statements.iter().chain(new).filter(|statement| !published(&statement.id)) {
            release.objects.push(placeholder(statement));
        }
        Ok(Arc::new(release))
    }

    /// What a statement reads of a release.
    pub(super) async fn reads_of(
        &self,
        statement: &Statement,
        release: &Arc<Release>,
    ) -> Result<Vec<ReleaseObject>> {
        self.engine()?.reads(&asked(statement, release.clone(), release.published_at)).await
    }

    async fn kept(&self, statement: &Statement, release: Arc<Release>) -> Result<Kept> {
        let at = release.published_at;
        self.engine()?.kept(&asked(statement, release, at)).await
    }

    pub(super) fn engine(&self) -> Result<&Arc<Engine>> {
        self.engine.get().ok_or_else(|| Error::internal("there is no engine to run a query"))
    }
}

fn asked(statement: &Statement, release: Arc<Release>, at: Micros) -> KeptQuery {
    KeptQuery { sql: statement.query.clone(), release, zone: statement.time_zone.clone(), at }
}

/// An error of a statement's query: where it is cannot be shown in the text of the call.
fn of_query(statement: &Statement, mut error: Error) -> Error {
    let at = error.take_position().map(|position| format!(", at character {position}")).unwrap_or_default();
    match error.detail() {
        Some(_) => error,
        None => error.with_detail(format!("in the query of statement `{}`{at}", statement.name)),
    }
}

fn placeholder(statement: &Statement) -> ReleaseObject {
    ReleaseObject {
        object_id: statement.id.clone(),
        connection: Statement::SCHEMA.into(),
        name: statement.name.clone(),
        version: NOT_YET,
        rows: 0,
        fields: statement.fields.clone(),
        overrides: None,
    }
}

pub(super) fn full_name(object: &ReleaseObject) -> String {
    let quoted = crate::model::quote_ident;
    format!("{}.{}", quoted(&object.connection), quoted(&object.name))
}

fn arguments(name: &str, definition: &Definition) -> String {
    serde_json::json!({
        "name": shorten(name), "query": definition.query, "unique_fields": definition.unique_fields,
        "description": definition.description, "required": definition.required,
        "time_zone": definition.time_zone, "keep_days": definition.keep_days,
    })
    .to_string()
}

fn apply(statement: &mut Statement, definition: Definition) -> Result<()> {
    if let Some(query) = definition.query {
        statement.query = query.trim().trim_end_matches(';').trim_end().to_string();
    }
    if let Some(unique_fields) = definition.unique_fields {
        statement.unique_fields = unique_fields;
    }
    if let Some(description) = definition.description {
        statement.description = Some(description).filter(|text| !text.trim().is_empty());
    }
    if let Some(required) = definition.required {
        statement.required = required;
    }
    if let Some(zone) = definition.time_zone {
        statement.time_zone = Schedule::parse("00:00", &zone)?.zone().to_string();
    }
    if let Some(days) = definition.keep_days {
        if !(0..=MOST_KEEP_DAYS).contains(&days) {
            return Err(Error::new(Kind::Invalid, format!("`keep_days` cannot be {days}"))
                .with_hint(format!("accepted: 1 to {MOST_KEEP_DAYS}; 0 keeps results for good")));
        }
        statement.keep_days = Some(days).filter(|days| *days > 0);
    }
    Ok(())
}

/// The columns of a result as fields. A name keeps its stored column as long as its type stays.
pub(super) fn fields(statement: &Statement, columns: &[(String, FieldType)]) -> Result<Vec<ObjectField>> {
    let mut key = statement.unique_fields.iter();
    if let Some(unknown) = key.find(|name| columns.iter().all(|(column, _)| column != *name)) {
        let close = did_you_mean(unknown, columns.iter().map(|(column, _)| column.as_str()));
        let what = format!("the result of `{}` has no column `{}`{close}", statement.name, shorten(unknown));
        return Err(Error::new(Kind::NotFound, what).with_sqlstate("42703").with_hint(format!(
            "unique_fields are columns of the result: {}",
            list(columns.iter().map(|(column, _)| column.as_str()))
        )));
    }
    let is_kept = |field: &&ObjectField| {
        columns.iter().any(|(name, data_type)| *name == field.name && *data_type == field.data_type)
    };
    // Of a column that is gone or has another type nothing is read into one of the same name.
    let mut taken: HashSet<String> = statement.fields.iter().map(|field| field.column.clone()).collect();
    let mut fields = Vec::with_capacity(columns.len());
    for (name, data_type) in columns {
        let known = statement.fields.iter().filter(is_kept).find(|field| field.name == *name);
        let column = known.map_or_else(|| unique_machine_name(name, &taken), |known| known.column.clone());
        taken.insert(column.clone());
        let key_position = statement.unique_fields.iter().position(|unique| unique == name);
        if key_position.is_some() && !data_type.can_be_key() {
            let what = format!("column `{name}` is of type {data_type} and cannot be a unique field");
            return Err(Error::new(Kind::Invalid, what)
                .with_hint("unique fields are boolean, integers, numeric, text, date or timestamps"));
        }
        fields.push(ObjectField {
            api: name.clone(),
            name: name.clone(),
            column,
            label: name.clone(),
            data_type: data_type.clone(),
            native_type: data_type.to_string(),
            note: None,
            selected: true,
            key_position: key_position.and_then(|position| u32::try_from(position).ok()),
            is_name: false,
            volatile: false,
        });
    }
    Ok(fields)
}
