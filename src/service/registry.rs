//! The verbs as SQL sees them: one table of names, arguments and results, one dispatch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::cells::{Cell, Columns, batch, schema};
use super::object::{Adoption, FieldsChange, ImportChange};
use super::sync::Wanted;
use super::{Actor, App};
use crate::error::{Error, Kind, Result};
use crate::model::{Connection, FieldType, Grant, Object, Run};
use crate::query::{
    AdminStatement, GrantTarget, Notice, NoticeSender, SessionUser, VerbCall, VerbParam, VerbSignature, Verbs,
};
use crate::secret::Secret;
use crate::sync::Outcome;

const CONNECTION: Columns = &[
    ("connection", FieldType::Text),
    ("connector", FieldType::Text),
    ("status", FieldType::Text),
    ("identity", FieldType::Text),
    ("next", FieldType::Text),
];

const DISCOVERED: Columns = &[
    ("object", FieldType::Text),
    ("label", FieldType::Text),
    ("kind", FieldType::Text),
    ("estimated_rows", FieldType::Int64),
    ("suggested_key", FieldType::Text),
    ("suggested_name_field", FieldType::Text),
    ("suggested_cursor_field", FieldType::Text),
    ("adopted_as", FieldType::Text),
];

const OBJECT: Columns = &[
    ("object", FieldType::Text),
    ("source_object", FieldType::Text),
    ("fields", FieldType::Int64),
    ("unique_fields", FieldType::Text),
    ("name_field", FieldType::Text),
    ("cursor_field", FieldType::Text),
    ("filter", FieldType::Text),
];

const RUN: Columns = &[
    ("run", FieldType::Int64),
    ("object", FieldType::Text),
    ("mode", FieldType::Text),
    ("status", FieldType::Text),
    ("read", FieldType::Int64),
    ("inserted", FieldType::Int64),
    ("updated", FieldType::Int64),
    ("deleted", FieldType::Int64),
    ("rows", FieldType::Int64),
    ("duplicates", FieldType::Int64),
    ("null_keys", FieldType::Int64),
    ("misfits", FieldType::Int64),
    ("release", FieldType::Int64),
    ("milliseconds", FieldType::Int64),
    ("cause", FieldType::Text),
    ("remedy", FieldType::Text),
];

const CANCELLED: Columns = &[("sync", FieldType::Int64), ("status", FieldType::Text)];

/// The verbs of a service, for the query engine.
pub struct Registry {
    app: Arc<App>,
    signatures: Vec<VerbSignature>,
}

impl Registry {
    /// All verbs of `app`.
    pub fn new(app: Arc<App>) -> Arc<Self> {
        Arc::new(Registry { app, signatures: signatures() })
    }
}

fn text(name: &str, doc: &str) -> VerbParam {
    VerbParam::required(name, DataType::Utf8, doc)
}

fn optional_text(name: &str, doc: &str) -> VerbParam {
    VerbParam::optional(name, ScalarValue::Utf8(None), doc)
}

fn flag(name: &str, doc: &str) -> VerbParam {
    VerbParam::optional(name, ScalarValue::Boolean(Some(false)), doc)
}

fn verb(name: &str, help: &str, result: Columns, params: Vec<VerbParam>) -> VerbSignature {
    VerbSignature { name: name.into(), params, result: schema(result), admin_only: true, help: help.into() }
}

fn signatures() -> Vec<VerbSignature> {
    let connection = || text("connection", "name of the connection");
    let object = || text("object", "name of the object, or the source's own");
    vec![
        verb(
            "connect",
            "links an account of a source system",
            CONNECTION,
            vec![
                text("connector", "kind of source system"),
                optional_text(
                    "name",
                    "name of the connection and SQL schema; the connector's name by default",
                ),
                optional_text("settings", "JSON object, without secrets"),
            ],
        ),
        verb(
            "set_secret",
            "keeps a secret of a connection sealed and proves the login with it",
            CONNECTION,
            vec![connection(), text("field", "which secret"), text("value", "the secret").secret()],
        ),
        verb("disconnect", "forgets the secrets of a connection", CONNECTION, vec![connection()]),
        verb("drop_connection", "removes a connection with its objects", CONNECTION, vec![connection()]),
        verb("discover", "lists what the login may read at the source", DISCOVERED, vec![connection()]),
        verb(
            "add_object",
            "adopts an object of the source as a table",
            OBJECT,
            vec![
                connection(),
                text("object", "the source's own name, as listed by discover"),
                optional_text("unique_fields", "the key, comma-separated; by default the source's"),
                optional_text("name_field", "the field that names a record"),
                optional_text("name", "name of the table"),
                optional_text("cursor_field", "the field that grows with every change; diffs read by it"),
            ],
        ),
        verb(
            "rename_object",
            "gives a table another name",
            OBJECT,
            vec![connection(), object(), text("new_name", "the new name")],
        ),
        verb("drop_object", "removes a table; past releases keep it", OBJECT, vec![connection(), object()]),
        verb(
            "set_fields",
            "chooses fields, key and name field",
            OBJECT,
            vec![
                connection(),
                object(),
                optional_text("fields", "the selected fields, comma-separated; the rest is deselected"),
                optional_text("unique_fields", "the key, comma-separated"),
                optional_text("name_field", "the field that names a record"),
                flag("refresh", "take names and types from the source again"),
            ],
        ),
        verb(
            "set_import",
            "changes how an object is imported; an empty text clears",
            OBJECT,
            vec![
                connection(),
                object(),
                optional_text("cursor_field", "the field that grows with every change"),
                optional_text("filter", "SQL condition over the fields"),
                VerbParam::optional(
                    "max_rows",
                    ScalarValue::Int64(None),
                    "stop after so many rows; 0 clears",
                ),
                optional_text("frequency", "daily or manual"),
                VerbParam::optional(
                    "delete_all_before_sync",
                    ScalarValue::Boolean(None),
                    "every sync replaces all rows",
                ),
                VerbParam::optional(
                    "max_loss_percent",
                    ScalarValue::Int64(None),
                    "a sync that would lose more is held",
                ),
            ],
        ),
        verb(
            "sync",
            "reads objects from their source and publishes a release",
            RUN,
            vec![
                connection(),
                VerbParam::optional("mode", ScalarValue::from("diff"), "diff or full"),
                optional_text("object", "one object; all by default"),
                flag("force", "publish although rows would be lost"),
            ],
        ),
        verb(
            "cancel",
            "cancels a running sync",
            CANCELLED,
            vec![VerbParam::required("run", DataType::Int64, "number of one of its runs")],
        ),
    ]
}

#[async_trait::async_trait]
impl Verbs for Registry {
    fn describe(&self) -> &[VerbSignature] {
        &self.signatures
    }

    async fn call(
        &self,
        who: &SessionUser,
        call: VerbCall,
        notices: NoticeSender,
        cancel: CancellationToken,
    ) -> Result<RecordBatch> {
        let actor = actor(who);
        let app = &self.app;
        let connection = call.text("connection").unwrap_or_default();
        let object = call.text("object").unwrap_or_default();
        match call.name.as_str() {
            "connect" => {
                let connector = call.text("connector").unwrap_or_default();
                let made = app.connect(&actor, connector, call.text("name"), call.text("settings")).await?;
                connection_row(&made)
            }
            "set_secret" => {
                let secret = Secret::new(call.text("value").unwrap_or_default().to_string());
                let field = call.text("field").unwrap_or_default();
                let (connection, trouble) = app.set_secret(&actor, connection, field, secret).await?;
                if let Some(trouble) = trouble {
                    warn(
                        &notices,
                        format!("the secret is kept, but the login could not be tried: {trouble}"),
                    );
                }
                connection_row(&connection)
            }
            "disconnect" => connection_row(&app.disconnect(&actor, connection).await?),
            "drop_connection" => connection_row(&app.drop_connection(&actor, connection).await?),
            "discover" => discover(app, &actor, connection).await,
            "add_object" => {
                let adoption = Adoption {
                    name: call.text("name").map(str::to_string),
                    unique_fields: names(call.text("unique_fields")),
                    name_field: call.text("name_field").map(str::to_string),
                    cursor_field: call.text("cursor_field").map(str::to_string),
                };
                object_row(&app.add_object(&actor, connection, object, adoption).await?)
            }
            "rename_object" => {
                let new_name = call.text("new_name").unwrap_or_default();
                object_row(&app.rename_object(&actor, connection, object, new_name).await?)
            }
            "drop_object" => object_row(&app.drop_object(&actor, connection, object).await?),
            "set_fields" => {
                let change = FieldsChange {
                    selected: names(call.text("fields")),
                    unique_fields: names(call.text("unique_fields")),
                    name_field: call.text("name_field").map(str::to_string),
                    refresh: call.boolean("refresh").unwrap_or(false),
                };
                object_row(&app.set_fields(&actor, connection, object, change).await?)
            }
            "set_import" => {
                let change = import_change(&call);
                object_row(&app.set_import(&actor, connection, object, change).await?)
            }
            "sync" => sync(app, &actor, &call, notices, cancel).await,
            "cancel" => {
                let sync = app.cancel(&actor, call.integer("run").unwrap_or_default()).await?;
                batch(CANCELLED, vec![vec![sync.into(), "cancelling".into()]])
            }
            name => Err(Error::internal(format!("procedure `{name}` is declared but not dispatched"))),
        }
    }

    async fn statement(&self, who: &SessionUser, statement: AdminStatement) -> Result<String> {
        let actor = actor(who);
        let app = &self.app;
        let tag = match statement {
            AdminStatement::CreateUser { name, password, admin, login } => {
                let password = password.ok_or_else(|| password_needed(&name))?;
                app.create_user(&actor, &name, password.reveal(), admin, login).await?;
                "CREATE ROLE"
            }
            AdminStatement::AlterUser { name, password, admin, login } => {
                let password = password.as_ref().map(|password| password.reveal());
                app.alter_user(&actor, &name, password, admin, login).await?;
                "ALTER ROLE"
            }
            AdminStatement::DropUser { name, if_exists } => {
                match app.drop_user(&actor, &name).await {
                    Err(error) if if_exists && error.kind() == Kind::NotFound => {}
                    result => result?,
                }
                "DROP ROLE"
            }
            AdminStatement::Grant { targets, users } => {
                for grant in grants(&targets, &users) {
                    app.grant(&actor, &grant).await?;
                }
                "GRANT"
            }
            AdminStatement::Revoke { targets, users } => {
                for grant in grants(&targets, &users) {
                    app.revoke(&actor, &grant).await?;
                }
                "REVOKE"
            }
        };
        Ok(tag.into())
    }
}

fn actor(who: &SessionUser) -> Actor {
    Actor { name: who.name.clone(), is_admin: who.is_admin }
}

fn password_needed(name: &str) -> Error {
    Error::new(Kind::Invalid, format!("user `{name}` needs a password"))
        .with_hint(format!("CREATE USER {name} PASSWORD '...'"))
}

fn grants(targets: &[GrantTarget], users: &[String]) -> Vec<Grant> {
    let grant = |user: &String, target: &GrantTarget| Grant {
        user: user.clone(),
        connection: target.connection.clone(),
        object: target.object.clone(),
    };
    users.iter().flat_map(|user| targets.iter().map(move |target| grant(user, target))).collect()
}

/// Comma-separated names.
fn names(text: Option<&str>) -> Option<Vec<String>> {
    Some(text?.split(',').map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).collect())
}

fn import_change(call: &VerbCall) -> ImportChange {
    ImportChange {
        cursor_field: call.text("cursor_field").map(str::to_string),
        filter: call.text("filter").map(str::to_string),
        max_rows: call.integer("max_rows"),
        frequency: call.text("frequency").map(str::to_string),
        delete_all_before_sync: call.boolean("delete_all_before_sync"),
        max_loss_percent: call.integer("max_loss_percent"),
    }
}

async fn discover(app: &App, actor: &Actor, connection: &str) -> Result<RecordBatch> {
    let found = app.discover(actor, connection).await?;
    let rows = found.into_iter().map(|found| {
        let key = Some(found.info.suggested_key.join(",")).filter(|key| !key.is_empty());
        vec![
            found.info.api.into(),
            found.info.label.into(),
            found.info.kind.into(),
            found.info.estimated_rows.into(),
            key.into(),
            found.info.suggested_name.into(),
            found.info.suggested_cursor.into(),
            found.adopted.into(),
        ]
    });
    batch(DISCOVERED, rows.collect())
}

async fn sync(
    app: &Arc<App>,
    actor: &Actor,
    call: &VerbCall,
    notices: NoticeSender,
    cancel: CancellationToken,
) -> Result<RecordBatch> {
    let wanted = Wanted {
        connection: call.text("connection").unwrap_or_default(),
        mode: call.text("mode").unwrap_or_default(),
        object: call.text("object"),
        force: call.boolean("force").unwrap_or(false),
    };
    let (progress, mut told) = mpsc::unbounded_channel::<crate::sync::Progress>();
    let forward = notices.clone();
    let forwarding = tokio::spawn(async move {
        while let Some(progress) = told.recv().await {
            // The client may have gone; the sync goes on.
            forward.send(Notice::new(format!("{}: {}", progress.object, progress.message))).ok();
        }
    });
    let outcome = app.sync(actor, &wanted, progress, cancel).await;
    forwarding.await.ok();
    let outcome = outcome?;
    report_trouble(&outcome, &notices)?;
    batch(RUN, outcome.runs.iter().map(run_row).collect())
}

/// A sync of which nothing succeeded is an error; otherwise what went wrong is a warning beside the rows.
fn report_trouble(outcome: &Outcome, notices: &NoticeSender) -> Result<()> {
    let failed = |run: &&Run| ["failed", "cancelled"].contains(&run.status.as_str());
    if let Some(run) =
        outcome.runs.iter().find(failed).filter(|_| outcome.runs.iter().all(|run| failed(&run)))
    {
        let kind = if run.status == "cancelled" { Kind::Cancelled } else { Kind::Data };
        let cause = run.cause.clone().unwrap_or_else(|| "the sync failed".into());
        let error = Error::new(kind, format!("sync of {} {}: {cause}", run.object, run.status))
            .with_detail(format!("run {} in tributary.run; the last release stays", run.id));
        return Err(match &run.remedy {
            Some(remedy) => error.with_hint(remedy),
            None => error,
        });
    }
    for run in outcome.runs.iter().filter(|run| run.status != "succeeded") {
        let cause = run.cause.clone().unwrap_or_else(|| run.counts.warnings.join("; "));
        warn(notices, format!("{}: {}: {cause}", run.object, run.status));
    }
    Ok(())
}

fn warn(notices: &NoticeSender, message: String) {
    // The client may have gone; what happened is in the run.
    notices.send(Notice::warning("01000", message)).ok();
}

fn connection_row(connection: &Connection) -> Result<RecordBatch> {
    let next = match connection.status.as_str() {
        "connected" => format!("CALL discover('{}')", connection.name),
        _ => {
            let secret = super::connection::connector_info(&connection.connector)?.secrets.first();
            secret
                .map(|field| format!("CALL set_secret('{}', '{field}', '...')", connection.name))
                .unwrap_or_default()
        }
    };
    let row = vec![
        connection.name.as_str().into(),
        connection.connector.as_str().into(),
        connection.status.as_str().into(),
        connection.identity.clone().into(),
        next.into(),
    ];
    batch(CONNECTION, vec![row])
}

fn object_row(object: &Object) -> Result<RecordBatch> {
    let name_field = object.fields.iter().find(|field| field.is_name).map(|field| field.name.clone());
    let row = vec![
        object.full_name().into(),
        object.api.as_str().into(),
        (object.selected().count() as i64).into(),
        object.key().join(",").into(),
        name_field.into(),
        object.import.cursor.clone().into(),
        object.import.filter.clone().into(),
    ];
    batch(OBJECT, vec![row])
}

fn run_row(run: &Run) -> Vec<Cell> {
    let counts = &run.counts;
    vec![
        run.id.into(),
        run.object.as_str().into(),
        run.mode.as_str().into(),
        run.status.as_str().into(),
        counts.read.into(),
        counts.inserted.into(),
        counts.updated.into(),
        counts.deleted.into(),
        counts.total.into(),
        counts.duplicates.into(),
        counts.null_keys.into(),
        counts.misfits.into(),
        run.release.into(),
        run.ended_at.map(|ended| (ended - run.started_at) / 1000).into(),
        run.cause.clone().into(),
        run.remedy.clone().into(),
    ]
}
