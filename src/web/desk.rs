//! SQL as a person: everything that a page shows or does goes through it, so that rights, audit and messages are those
//! of SQL.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{
    DataType, Int16Type, Int32Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use chrono_tz::Tz;
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::error::{Error, Kind, Result};
use crate::model::Micros;
use crate::query::{self, Engine, Execution, Notice, NoticeSender, ScalarValue, Session, SessionUser, Zone};

/// The most rows that a page reads; what is beyond them is not fetched.
pub(super) const MOST_ROWS: usize = 10_000;
/// How long a query of a page may take.
const TIMEOUT: &str = "30s";

/// The engine as one person may use it.
#[derive(Clone)]
pub(super) struct Desk {
    engine: Arc<Engine>,
    who: SessionUser,
}

/// What a call gave.
pub(super) struct Called {
    /// What was said beside the result.
    pub(super) notices: Vec<Notice>,
    /// The result.
    pub(super) rows: Rows,
}

impl Desk {
    pub(super) fn new(engine: Arc<Engine>, name: &str, is_admin: bool) -> Self {
        // No client of the wire has this number.
        Desk { engine, who: SessionUser { name: name.into(), is_admin, session_id: 0 } }
    }

    /// A session of its own, for statements that belong together or set something.
    pub(super) fn session(&self) -> Session {
        self.engine.session(self.who.clone())
    }

    /// The rows of a query: at most [`MOST_ROWS`].
    pub(super) async fn rows(&self, sql: &str, parameters: Vec<ScalarValue>) -> Result<Rows> {
        let session = self.session();
        session.set_startup("statement_timeout", TIMEOUT)?;
        let (notices, _) = mpsc::unbounded_channel();
        run(&session, sql, parameters, notices, MOST_ROWS).await
    }

    /// Runs a statement that gives no rows, such as `CREATE USER`.
    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        let (notices, _) = mpsc::unbounded_channel();
        run(&self.session(), sql, Vec::new(), notices, MOST_ROWS).await.map(drop)
    }

    /// `CALL verb(name => value, ...)`; returns when it has ended. It goes on when the browser goes away.
    pub(super) async fn call(&self, verb: &str, arguments: &[(&str, ScalarValue)]) -> Result<Called> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let rows = self.call_telling(verb, arguments, sender).await?;
        let mut notices = Vec::new();
        while let Ok(notice) = receiver.try_recv() {
            notices.push(notice);
        }
        Ok(Called { notices, rows })
    }

    /// The same, with what is said on the way sent to `notices` at once.
    pub(super) async fn call_telling(
        &self,
        verb: &str,
        arguments: &[(&str, ScalarValue)],
        notices: NoticeSender,
    ) -> Result<Rows> {
        let names = arguments.iter().enumerate();
        let list: Vec<_> = names.map(|(at, (name, _))| format!("{name} => ${}", at + 1)).collect();
        let sql = format!("CALL {verb}({})", list.join(", "));
        let values = arguments.iter().map(|(_, value)| value.clone()).collect();
        run(&self.session(), &sql, values, notices, MOST_ROWS).await
    }
}

/// Runs the one statement of a text.
pub(super) async fn run(
    session: &Session,
    sql: &str,
    parameters: Vec<ScalarValue>,
    notices: NoticeSender,
    most: usize,
) -> Result<Rows> {
    let mut statements = session.parse(sql)?;
    let statement = match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => statement,
        _ => return Err(Error::new(Kind::Invalid, "one statement is expected").with_sqlstate("42601")),
    };
    let declared: Vec<_> = parameters.iter().map(|_| None).collect();
    let prepared = session.prepare(&statement, &declared).await?;
    let cast = parameters
        .iter()
        .zip(prepared.parameters())
        .map(|(value, data_type)| value.cast_to(data_type).map_err(query::translate));
    let parameters = cast.collect::<Result<Vec<_>>>()?;
    match session.execute(&prepared, parameters, notices).await? {
        Execution::Done { .. } => Ok(Rows::default()),
        Execution::Rows { schema, mut stream, .. } => {
            let mut rows = Rows { schema: Some(schema), ..Rows::default() };
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(query::translate)?;
                let room = most - rows.count;
                rows.is_cut |= batch.num_rows() > room;
                rows.push(batch.slice(0, batch.num_rows().min(room)));
                if rows.is_cut {
                    break;
                }
            }
            Ok(rows)
        }
    }
}

/// Rows with the names of their columns.
#[derive(Default)]
pub(super) struct Rows {
    schema: Option<SchemaRef>,
    batches: Vec<RecordBatch>,
    count: usize,
    is_cut: bool,
    /// The values as PostgreSQL writes them, by batch and column, once asked for.
    printed: OnceLock<Vec<Vec<StringArray>>>,
    /// The same in a zone, for the one that was asked for first.
    local: OnceLock<Vec<Vec<StringArray>>>,
}

impl Rows {
    fn push(&mut self, batch: RecordBatch) {
        self.count += batch.num_rows();
        self.batches.push(batch);
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there are more rows than were fetched.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The names of the columns in order; they may repeat.
    pub(super) fn columns(&self) -> Vec<&str> {
        let fields = self.schema.iter().flat_map(|schema| schema.fields());
        fields.map(|field| field.name().as_str()).collect()
    }

    /// The columns with their types.
    pub(super) fn schema(&self) -> Option<&SchemaRef> {
        self.schema.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let of_batch = |at: usize| (0..self.batches[at].num_rows()).map(move |row| (at, row));
        (0..self.batches.len()).flat_map(of_batch).map(|(batch, row)| Row { rows: self, batch, row })
    }

    pub(super) fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }

    fn printed(&self) -> &[Vec<StringArray>] {
        self.printed.get_or_init(|| self.print(Zone::UTC))
    }

    fn print(&self, zone: Zone) -> Vec<Vec<StringArray>> {
        let print = |column: &ArrayRef| {
            query::print_values_in(column, zone).unwrap_or_else(|error| unprinted(column, &error))
        };
        self.batches.iter().map(|batch| batch.columns().iter().map(print).collect()).collect()
    }
}

/// A defect: values that cannot be written are shown as missing.
fn unprinted(column: &dyn Array, error: &Error) -> StringArray {
    tracing::error!(error = ?error, "values of a page cannot be written");
    StringArray::new_null(column.len())
}

/// One row. A column that the answer does not have is a defect: it is logged and counts as NULL.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    rows: &'a Rows,
    batch: usize,
    row: usize,
}

impl Row<'_> {
    fn index(&self, column: &str) -> Option<usize> {
        let found = self.rows.schema.as_ref().and_then(|schema| schema.index_of(column).ok());
        if found.is_none() {
            tracing::error!(column, "a page asks for a column that its query does not give");
        }
        found
    }

    fn array(&self, column: &str) -> Option<&dyn Array> {
        let array = self.rows.batches[self.batch].column(self.index(column)?).as_ref();
        array.is_valid(self.row).then_some(array)
    }

    /// The value as text; `None` when NULL.
    pub(super) fn text(&self, column: &str) -> Option<String> {
        self.shown(self.index(column)?)
    }

    /// The value as text, empty when NULL.
    pub(super) fn text_or_empty(&self, column: &str) -> String {
        self.text(column).unwrap_or_default()
    }

    /// An integer.
    pub(super) fn number(&self, column: &str) -> Option<i64> {
        let array = self.array(column)?;
        match array.data_type() {
            DataType::Int64 => Some(array.as_primitive::<Int64Type>().value(self.row)),
            DataType::Int32 => Some(array.as_primitive::<Int32Type>().value(self.row).into()),
            DataType::Int16 => Some(array.as_primitive::<Int16Type>().value(self.row).into()),
            _ => self.text(column)?.parse().ok(),
        }
    }

    /// Whether the value is true.
    pub(super) fn is(&self, column: &str) -> bool {
        self.array(column)
            .is_some_and(|array| array.as_boolean_opt().is_some_and(|array| array.value(self.row)))
    }

    /// A point in time.
    pub(super) fn moment(&self, column: &str) -> Option<Micros> {
        let array = self.array(column)?;
        match array.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Some(array.as_primitive::<TimestampMicrosecondType>().value(self.row))
            }
            _ => None,
        }
    }

    /// The value of a column by its place, as PostgreSQL writes it with times in UTC; `None` when NULL.
    pub(super) fn shown(&self, index: usize) -> Option<String> {
        let printed = self.rows.printed().get(self.batch)?.get(index)?;
        printed.is_valid(self.row).then(|| printed.value(self.row).to_string())
    }

    /// The same with times as they are in a zone. All rows of an answer are shown in one.
    pub(super) fn shown_in(&self, index: usize, zone: Tz) -> Option<String> {
        let local = self.rows.local.get_or_init(|| self.rows.print(Zone::Named(zone)));
        let printed = local.get(self.batch)?.get(index)?;
        printed.is_valid(self.row).then(|| printed.value(self.row).to_string())
    }
}

/// A name in SQL, quoted.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL, quoted.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text argument.
pub(super) fn text(value: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}

/// A text argument that may be missing.
pub(super) fn maybe(value: Option<impl Into<String>>) -> ScalarValue {
    ScalarValue::Utf8(value.map(Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_stays_one_word() {
        assert_eq!(ident(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal("it's; DROP"), "'it''s; DROP'");
    }
}
