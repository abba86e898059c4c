//! The verbs of connections.

use arrow::array::RecordBatch;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Asked, connection_param, optional_text, text, verb, warn};
use crate::error::Result;
use crate::model::{Connection, FieldType};
use crate::query::{NoticeSender, VerbSignature};
use crate::secret::Secret;
use crate::service::cells::{Cell, Columns, batch};
use crate::service::connection::LoggedIn;
use crate::service::{Actor, App};

const CONNECTION: Columns = &[
    ("connection", FieldType::Text),
    ("connector", FieldType::Text),
    ("status", FieldType::Text),
    ("identity", FieldType::Text),
    ("next", FieldType::Text),
];

const CONNECT: Columns = &[
    ("connection", FieldType::Text),
    ("connector", FieldType::Text),
    ("status", FieldType::Text),
    ("identity", FieldType::Text),
    ("next", FieldType::Text),
    ("open", FieldType::Text),
    ("invite", FieldType::Text),
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

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![
        verb(
            "connect",
            "links an account of a source system; `open` is the page to log in at, `invite` one for a colleague",
            CONNECT,
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
            vec![connection_param(), text("field", "which secret"), text("value", "the secret").secret()],
        ),
        verb(
            "set_connection",
            "changes how the source of a connection is reached, after trying it",
            CONNECTION,
            vec![
                connection_param(),
                text(
                    "settings",
                    "JSON object of the settings that change, without secrets; null takes one away",
                ),
            ],
        ),
        verb(
            "disconnect",
            "revokes the login of a connection at the source and forgets its secrets",
            CONNECTION,
            vec![connection_param()],
        ),
        verb(
            "drop_connection",
            "removes a connection with its objects",
            CONNECTION,
            vec![connection_param()],
        ),
        verb("discover", "lists what the login may read at the source", DISCOVERED, vec![connection_param()]),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, notices, .. } = asked;
    let connection = asked.connection();
    match call.name.as_str() {
        "connect" => {
            let connector = call.text("connector").unwrap_or_default();
            let made = app.connect(actor, connector, call.text("name"), call.text("settings")).await?;
            let links = app.links(actor, &made).await?;
            let (open, invite) = links.map(|links| (links.open, links.invite)).unzip();
            let mut row = row(app, &made)?;
            if made.status != "connected" && open.is_some() {
                row[4] = "open the page in `open`, or send the one in `invite` to a colleague".into();
            }
            row.extend([open.into(), invite.into()]);
            batch(CONNECT, vec![row])
        }
        "set_connection" => {
            let settings = call.text("settings").unwrap_or_default();
            let changed = app.set_connection(actor, connection, settings).await?;
            tell_other(notices, &changed);
            connection_row(app, &changed.connection)
        }
        "set_secret" => {
            let secret = Secret::new(call.text("value").unwrap_or_default().to_string());
            let field = call.text("field").unwrap_or_default();
            let kept = app.set_secret(actor, connection, field, secret).await?;
            if let Some(trouble) = &kept.trouble {
                warn(notices, format!("the secret is kept, but the login could not be tried: {trouble}"));
            }
            tell_other(notices, &kept);
            connection_row(app, &kept.connection)
        }
        "disconnect" => {
            let (connection, trouble) = app.disconnect(actor, connection).await?;
            if let Some(trouble) = trouble {
                warn(
                    notices,
                    format!("the login is forgotten here, but not revoked at the source: {trouble}"),
                );
            }
            connection_row(app, &connection)
        }
        "drop_connection" => connection_row(app, &app.drop_connection(actor, connection).await?),
        "discover" => discover(app, actor, connection).await,
        _ => Err(asked.unknown()),
    }
}

/// Says that somebody else is logged in.
fn tell_other(notices: &NoticeSender, logged_in: &LoggedIn) {
    if logged_in.is_other {
        warn(
            notices,
            format!(
                "this login may see other records than the one before: CALL check_visibility('{0}') compares, \
                 CALL accept_visibility('{0}') accepts; until then syncs remove no rows",
                logged_in.connection.name
            ),
        );
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

fn connection_row(app: &App, connection: &Connection) -> Result<RecordBatch> {
    batch(CONNECTION, vec![row(app, connection)?])
}

fn row(app: &App, connection: &Connection) -> Result<Vec<Cell>> {
    let next = match connection.status.as_str() {
        "connected" => format!("CALL discover('{}')", connection.name),
        _ => {
            let secret = app.connector_info(&connection.connector)?.secrets.first();
            secret
                .map(|field| format!("CALL set_secret('{}', '{field}', '...')", connection.name))
                .unwrap_or_default()
        }
    };
    Ok(vec![
        connection.name.as_str().into(),
        connection.connector.as_str().into(),
        connection.status.as_str().into(),
        connection.identity.clone().into(),
        next.into(),
    ])
}
