//! The verb that erases.

use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Asked, connection_param, object_param, text, verb, warn};
use crate::error::{Error, Kind, Result};
use crate::model::FieldType;
use crate::query::{VerbParam, VerbSignature};
use crate::service::cells::{Columns, batch};
use crate::service::erase::Request;

const ERASED: Columns = &[
    ("object", FieldType::Text),
    ("stored_rows", FieldType::Int64),
    ("files", FieldType::Int64),
    ("releases", FieldType::Int64),
];

/// How long queries that began before may keep the old files, in seconds.
const WAIT: i64 = 60;

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![verb(
        "erase",
        "removes a record from every snapshot and release, and keeps it out of later syncs",
        ERASED,
        vec![
            connection_param(),
            object_param(),
            text("key", "value of the unique field; a JSON object or array of several").secret(),
            text("reason", "kept and shown, so it should not name the person"),
            VerbParam::optional(
                "wait_secs",
                ScalarValue::Int64(Some(WAIT)),
                "how long queries that began before may go on reading",
            ),
        ],
    )]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    erase(asked).boxed()
}

async fn erase(asked: &Asked) -> Result<RecordBatch> {
    let text = |name| asked.call.text(name).unwrap_or_default();
    let wait =
        asked.call.integer("wait_secs").and_then(|secs| u64::try_from(secs).ok()).ok_or_else(|| {
            Error::new(Kind::Invalid, "`wait_secs` cannot be negative").with_hint("accepted: 0 or more")
        })?;
    let request = Request {
        connection: asked.connection(),
        object: asked.object(),
        key: text("key"),
        reason: text("reason"),
        wait: Duration::from_secs(wait),
    };
    let done = asked.app.erase(&asked.actor, request).await?;
    let erased = &done.erased;
    if erased.rows == 0 {
        warn(&asked.notices, "no stored row has that key; it is kept out of later syncs".into());
    }
    if erased.unchecked > 0 {
        let files = erased.unchecked;
        warn(
            &asked.notices,
            format!("{files} files of older versions have no column of the key and were not checked"),
        );
    }
    if !done.statements.is_empty() {
        let names = done.statements.join(", ");
        warn(
            &asked.notices,
            format!(
                "kept results of statements may show what the record said: {names}; drop_statement and vacuum remove them"
            ),
        );
    }
    if erased.overtook_readers {
        warn(&asked.notices, "queries that began before were still reading; they may fail".into());
    }
    let row =
        vec![done.object.as_str().into(), erased.rows.into(), erased.files.into(), done.releases.into()];
    batch(ERASED, vec![row])
}
