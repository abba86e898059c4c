//! Reading an object: one snapshot, one or several COPY streams, pages.
//!
//! The order of the steps is what makes a read exact:
//! 1. look at the clock and the open transactions (the watermark of this read, see [`super::cursor`]),
//! 2. begin a transaction and lock the table against rewriting (`TRUNCATE` and `ALTER TABLE` do not respect
//!    snapshots),
//! 3. read the columns: this takes the snapshot, and binds the select list to the columns as they are now,
//! 4. for large tables, export the snapshot to further sessions, each with a range of the table's pages,
//! 5. COPY; a stream without its trailer is an error,
//! 6. at the very end, one empty page that carries the watermark.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::CopyOutStream;

use super::columns::{self, Relation, parse};
use super::connect::{Connector, Session, text};
use super::cursor::{self, Position};
use super::decode::{Decoded, Decoder};
use super::failure;
use super::name::{ObjectName, literal, quote};
use super::plan::{Part, Plan, Unit, divide, find, qualified};
use crate::error::{Error, Result};
use crate::source::{Page, Read, What};

/// Tables below this size are read by one stream.
const PARALLEL_BYTES: u64 = 64 * 1024 * 1024;
/// Pages that may wait for whoever takes them.
const PAGES_AHEAD: usize = 4;
/// A stream that brought so much since the last pause brings more soon.
const STREAMING_BYTES: usize = 64 * 1024;
/// In this time a quick server sends some hundred kilobytes, which the socket holds.
const PAUSE: Duration = Duration::from_micros(500);

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A read as a stream of pages. It starts with the first poll; dropping it ends the work here and at the server.
pub(crate) enum Reading {
    Waiting(Box<Option<(Connector, Read)>>),
    Running { pages: mpsc::Receiver<Result<Page>> },
}

impl Reading {
    pub(crate) fn new(connector: Connector, read: Read) -> Self {
        Reading::Waiting(Box::new(Some((connector, read))))
    }
}

impl Stream for Reading {
    type Item = Result<Page>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Page>>> {
        if let Reading::Waiting(start) = &mut *self {
            let Some((connector, read)) = start.take() else { return Poll::Ready(None) };
            let (sender, pages) = mpsc::channel(PAGES_AHEAD);
            let connector = connector.closing_on(Handle::current());
            on_own_thread(sender, move |sender| async move {
                if let Err(error) = run(&connector, &read, &sender).await {
                    // Nobody listens any more: the error interests nobody.
                    sender.send(Err(error)).await.ok();
                }
            });
            *self = Reading::Running { pages };
        }
        match &mut *self {
            Reading::Running { pages } => pages.poll_recv(cx),
            Reading::Waiting(_) => Poll::Ready(None),
        }
    }
}

type Pages = mpsc::Sender<Result<Page>>;

/// Does the work on a thread of its own, where the connection and whoever decodes its rows take turns without waking
/// each other: a server sends eight kilobytes at a time. It ends early when nobody takes the pages any more.
fn on_own_thread<T, F>(
    pages: Pages,
    work: impl FnOnce(Pages) -> F + Send + 'static,
) -> JoinHandle<Result<Option<T>>>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::internal("a reader cannot start").with_source(error))?;
        let listener = pages.clone();
        let ended = runtime.block_on(async {
            tokio::select! {
                done = work(pages) => Some(done),
                () = listener.closed() => None,
            }
        });
        // A name that is being looked up is not waited for.
        runtime.shutdown_background();
        Ok(ended)
    })
}

async fn run(connector: &Connector, read: &Read, pages: &Pages) -> Result<()> {
    let name = ObjectName::parse(&read.object)?;
    let mut session = connector.open().await?;
    let relation = columns::relation(&mut session, &name).await?;
    let (position, condition) = start(connector, &mut session, &relation, read).await?;
    begin(&mut session, &relation).await?;
    let columns = columns::columns(&mut session, &relation).await?;
    let plan = Plan::new(read, &relation, &columns, condition)?;
    let asked = vec![plan.asked(&qualified(&name.schema, &name.name))];
    let (lanes, snapshot) = parts(connector, &mut session, &relation, read).await?;

    let shared = Arc::new(Shared { plan, schema: read.schema(), limit: read.max_rows, object: name.api() });
    let mut lanes = lanes.into_iter().enumerate();
    let first = lanes.next().map(|(_, parts)| parts).unwrap_or_default();
    let mut others = Vec::new();
    for (lane, parts) in lanes {
        let (connector, shared) = (connector.clone(), Arc::clone(&shared));
        let snapshot = snapshot.clone().unwrap_or_default();
        others.push(on_own_thread(pages.clone(), move |pages| async move {
            let mut session = connector.open().await?;
            let sql = format!("{BEGIN}; SET TRANSACTION SNAPSHOT {}", literal(&snapshot));
            session.query(&sql).await.map_err(|error| failure::running(Some(&shared.object), error))?;
            shared.copy(&mut session, lane, &parts, &pages).await
        }));
    }
    // The other sessions live on this one's snapshot: it stays open until all have ended.
    let mut capped = shared.copy(&mut session, 0, &first, pages).await?;
    for lane in others {
        let ended =
            lane.await.map_err(|error| Error::internal("a reader ended badly").with_source(error))??;
        // Without a listener there is nobody to tell.
        capped |= ended.transpose()?.unwrap_or(true);
    }
    let watermark = match position {
        // Rows were left out: a diff that starts here would never see them.
        Some(position) if !capped => Some(position.watermark()?),
        _ => None,
    };
    let rows = RecordBatch::new_empty(Arc::clone(&shared.schema));
    pages.send(Ok(Page { watermark, capped, asked, ..Page::of(0, rows) })).await.ok();
    Ok(())
}

/// The watermark of this read, and the condition of a diff.
async fn start(
    connector: &Connector,
    session: &mut Session,
    relation: &Relation,
    read: &Read,
) -> Result<(Option<Position>, Option<String>)> {
    let overlap = connector.settings().overlap;
    let cursor = match (&read.what, &read.cursor) {
        (What::Keys, _) | (What::Full, None) => return Ok((None, None)),
        (What::Get(keys), _) => return Ok((None, Some(one_of(read, keys)))),
        (What::DeletedSince(_), _) => return Err(Error::internal("PostgreSQL lists no deleted rows")),
        (What::Full | What::Since(_), Some(cursor)) => cursor,
        (What::Since(_), None) => {
            return Err(Error::internal(format!(
                "a diff of `{}` without a cursor was asked for",
                read.object
            )));
        }
    };
    let columns = columns::columns(session, relation).await?;
    let column = find(relation, &columns, cursor)?;
    let (previous, condition) = match &read.what {
        What::Since(watermark) => {
            let previous = Position::parse(watermark, cursor, cursor::kind(column)?)?;
            let condition = previous.condition(overlap)?;
            (Some(previous), Some(condition))
        }
        _ => (None, None),
    };
    let position = cursor::look(session, relation, column, overlap, previous.as_ref()).await?;
    Ok((Some(position), condition))
}

/// The condition that a row has one of these keys. Constants without a type take that of their column.
fn one_of(read: &Read, keys: &[Vec<String>]) -> String {
    let columns: Vec<_> = read.key.iter().map(|name| quote(name)).collect();
    let row = |key: &Vec<String>| {
        let values: Vec<_> = key.iter().map(|value| literal(value)).collect();
        format!("({})", values.join(", "))
    };
    match keys {
        [] => "false".into(),
        keys => {
            format!("({}) IN ({})", columns.join(", "), keys.iter().map(row).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Begins the transaction whose first query will take the snapshot. LOCK takes none: what it waits for is seen.
async fn begin(session: &mut Session, relation: &Relation) -> Result<()> {
    let can_lock = relation.whole && matches!(relation.kind, 'r' | 'p');
    let lock = format!("; LOCK TABLE {} IN ACCESS SHARE MODE", relation.name.sql());
    let sql = format!("{BEGIN}{}", if can_lock { &lock } else { "" });
    session.query(&sql).await.map_err(|error| failure::running(Some(&relation.name.api()), error))?;
    Ok(())
}

/// Who reads what: one list of parts a lane. With more than one lane also the snapshot they share.
async fn parts(
    connector: &Connector,
    session: &mut Session,
    relation: &Relation,
    read: &Read,
) -> Result<(Vec<Vec<Part>>, Option<String>)> {
    let whole = || (vec![vec![Part { table: relation.name.sql(), pages: None }]], None);
    let lanes = connector.settings().parallel;
    let is_divisible = matches!(relation.kind, 'r' | 'm' | 'p');
    let reads_all = read.max_rows.is_none() && !matches!(read.what, What::Since(_) | What::Get(_));
    // A range of pages costs a whole scan before PostgreSQL 14.
    let by_page = session.version >= 140_000;
    if lanes < 2 || !is_divisible || !reads_all || (relation.kind != 'p' && !by_page) {
        return Ok(whole());
    }
    let api = relation.name.api();
    let failed = |error| failure::running(Some(&api), error);
    let rows = session.query(&leaves_sql(relation)).await.map_err(failed)?;
    let mut units = Vec::with_capacity(rows.len());
    let mut bytes = 0;
    for row in &rows {
        // The parent's rights and policies do not hold for a partition read by its own name.
        if text(row, 4) != Some("t") || (relation.kind == 'p' && relation.hides_rows) {
            return Ok(whole());
        }
        let (schema, name) = (text(row, 0).unwrap_or_default(), text(row, 1).unwrap_or_default());
        units.push(Unit { table: qualified(schema, name), pages: parse(row, 2)? });
        bytes += parse::<u64>(row, 3)?;
    }
    if bytes < PARALLEL_BYTES {
        return Ok(whole());
    }
    let lanes = divide(&units, lanes, by_page);
    if lanes.len() < 2 {
        return Ok((lanes, None));
    }
    let rows = session.query("SELECT pg_export_snapshot()").await.map_err(failed)?;
    let snapshot = rows.first().and_then(|row| text(row, 0)).map(str::to_string);
    Ok((lanes, snapshot))
}

/// The tables that hold the rows: the table itself, or the leaves of a partitioned one, with pages, bytes, and
/// whether they may be read by name.
fn leaves_sql(relation: &Relation) -> String {
    let oid = relation.oid;
    format!(
        "WITH RECURSIVE leaf AS (SELECT {oid}::oid AS oid UNION ALL \
           SELECT i.inhrelid FROM leaf JOIN pg_catalog.pg_class p USING (oid) \
           JOIN pg_catalog.pg_inherits i ON i.inhparent = leaf.oid WHERE p.relkind = 'p') \
         SELECT n.nspname, c.relname, \
           (pg_relation_size(c.oid) / current_setting('block_size')::bigint)::bigint, pg_relation_size(c.oid), \
           c.relkind IN ('r', 'm') AND has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') \
             OR c.oid = {oid} \
         FROM leaf JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind <> 'p' ORDER BY c.oid"
    )
}

/// What all lanes of a read share.
struct Shared {
    plan: Plan,
    schema: SchemaRef,
    limit: Option<u64>,
    object: String,
}

impl Shared {
    /// Reads `parts` one after the other; tells whether there were more rows than wanted.
    async fn copy(&self, session: &mut Session, lane: usize, parts: &[Part], pages: &Pages) -> Result<bool> {
        let mut decoder = Decoder::new(Arc::clone(&self.schema), &self.plan.codecs, self.limit);
        let failed = |error| failure::running(Some(&self.object), error);
        for part in parts {
            session.set_busy(true);
            let stream = session.client.copy_out(&self.plan.copy_sql(part)).await.map_err(failed)?;
            let mut stream = std::pin::pin!(stream);
            let mut since_pause = 0;
            while let Some(bytes) = next(&mut stream, &mut since_pause).await {
                decoder.feed(&bytes.map_err(failed)?)?;
                while let Some(decoded) = decoder.page()? {
                    send(pages, lane, decoded).await;
                }
            }
            while let Some(decoded) = decoder.finish()? {
                send(pages, lane, decoded).await;
            }
            session.set_busy(false);
        }
        if let Some(decoded) = decoder.rest()? {
            send(pages, lane, decoded).await;
        }
        Ok(decoder.is_capped())
    }
}

/// The next bytes of a stream. While many come, a reader that finds none sleeps a little instead of being woken for
/// every eight kilobytes, which would cost the server and us more than the bytes do. The thread is this lane's own.
async fn next(
    stream: &mut Pin<&mut CopyOutStream>,
    since_pause: &mut usize,
) -> Option<Result<Bytes, tokio_postgres::Error>> {
    // Of two polls without a result the second comes after the connection has looked at its socket.
    for is_last in [false, true] {
        if let Poll::Ready(found) = futures::poll!(stream.next()) {
            *since_pause += found.as_ref().and_then(|bytes| bytes.as_ref().ok()).map_or(0, Bytes::len);
            return found;
        }
        match is_last {
            false => tokio::task::yield_now().await,
            true if *since_pause >= STREAMING_BYTES => std::thread::sleep(PAUSE),
            true => {}
        }
    }
    *since_pause = 0;
    stream.next().await
}

/// Waiting here is what holds the source back.
async fn send(pages: &Pages, lane: usize, decoded: Decoded) {
    let Decoded { rows, misfits } = decoded;
    // When nobody listens any more, this task is about to be aborted.
    pages.send(Ok(Page { misfits, ..Page::of(lane, rows) })).await.ok();
}
