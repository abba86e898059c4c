//! A result as a file, sent while it is computed: memory stays the same however many rows there are.

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::mpsc;

use super::super::form::Form;
use super::super::person::Person;
use super::super::views::Answer;
use super::super::{Web, answer};
use super::grid::is_text;
use super::{is_of_as_of, page, refused, session};
use crate::error::{Error, Kind, Result};
use crate::model::now_micros;
use crate::query::{
    Execution, SendableRecordBatchStream, Session, StatementKind, Zone, print_values_in, translate,
};

/// How long a file may take.
const TIMEOUT: &str = "15min";
/// Rows of a row group.
const GROUP_ROWS: usize = 128 * 1024;

pub(super) async fn download(State(web): State<Arc<Web>>, person: Person, mut form: Form) -> Answer {
    let sql = form.required("sql", "a statement");
    if !form.is_good() {
        return Ok(page(&person, &form, &maud::html! {}, StatusCode::UNPROCESSABLE_ENTITY).await?);
    }
    let is_parquet = form.raw("format") == "parquet";
    match file(&person, &sql, form.text("as_of"), is_parquet).await {
        Ok((body, statement)) => {
            let (ending, kind) = match is_parquet {
                true => ("parquet", "application/vnd.apache.parquet"),
                false => ("csv", "text/csv; charset=utf-8; header=present"),
            };
            web.app.note_download(&person.name, &statement, ending).await?;
            let date = super::super::cells::local(person.zone, now_micros()).unwrap_or_default();
            let name =
                format!("attachment; filename=\"tributary-{}.{ending}\"", date.format("%Y-%m-%d-%H%M"));
            let mut response = answer::body(StatusCode::OK, kind, body);
            answer::add(&mut response, header::CONTENT_DISPOSITION, &name);
            Ok(response)
        }
        Err(error) if error.kind() == Kind::Internal => Err(error.into()),
        Err(error) if is_of_as_of(&error) => {
            form.refuse_field("as_of", &error);
            Ok(page(&person, &form, &maud::html! {}, StatusCode::UNPROCESSABLE_ENTITY).await?)
        }
        Err(error) => {
            Ok(page(&person, &form, &refused(&error, &sql), StatusCode::UNPROCESSABLE_ENTITY).await?)
        }
    }
}

/// The file as a body, and its statement without secrets. Whatever goes wrong before the first rows is an error here; what goes wrong later cuts the
/// transfer off, so that nobody takes a part for the whole.
async fn file(person: &Person, sql: &str, as_of: Option<&str>, is_parquet: bool) -> Result<(Body, String)> {
    let session = session(person, as_of, TIMEOUT)?;
    let (schema, stream, statement) = rows(&session, sql).await?;
    let mut rows = Rows { _session: session, stream };
    let mut writer = match is_parquet {
        true => Writer::parquet(&schema)?,
        false => Writer::csv(&schema, Zone::Named(person.zone)),
    };
    let mut first = writer.begin();
    let mut is_over = true;
    if let Some(batch) = rows.stream.next().await {
        first.extend(writer.write(&batch.map_err(translate)?)?);
        is_over = false;
    }
    if is_over {
        first.extend(writer.end()?);
    }
    let begun = futures::stream::once(async move { Ok::<_, Error>(first) });
    let state = (!is_over).then_some((rows, writer));
    let rest = futures::stream::unfold(state, |state| async move {
        let (mut rows, mut writer) = state?;
        Some(match rows.stream.next().await {
            Some(Ok(batch)) => (writer.write(&batch), Some((rows, writer))),
            Some(Err(error)) => (Err(translate(error)), None),
            None => (writer.end(), None),
        })
    });
    let body = Body::from_stream(begun.chain(rest).inspect(|chunk| {
        if let Err(error) = chunk {
            tracing::warn!(error = ?error, "a download ended before its end");
        }
    }));
    Ok((body, statement))
}

/// Rows, and the session that they belong to.
struct Rows {
    _session: Session,
    stream: SendableRecordBatchStream,
}

async fn rows(session: &Session, sql: &str) -> Result<(SchemaRef, SendableRecordBatchStream, String)> {
    let no_rows = || {
        Error::new(Kind::Invalid, "only a statement that gives rows can be downloaded")
            .with_hint("write one SELECT")
    };
    let mut statements = session.parse(sql)?;
    let statement = match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) if statement.kind() == StatementKind::Query => statement,
        _ => return Err(no_rows()),
    };
    let (notices, _) = mpsc::unbounded_channel();
    let prepared = session.prepare(&statement, &[]).await?;
    match session.execute(&prepared, Vec::new(), notices).await? {
        Execution::Rows { schema, stream, .. } => Ok((schema, stream, statement.redacted_text().to_string())),
        Execution::Done { .. } => Err(no_rows()),
    }
}

enum Writer {
    Csv { names: Vec<String>, is_text: Vec<bool>, zone: Zone },
    Parquet { schema: SchemaRef, writer: Box<ArrowWriter<Vec<u8>>> },
}

impl Writer {
    fn csv(schema: &Schema, zone: Zone) -> Writer {
        let fields = schema.fields().iter();
        Writer::Csv {
            names: fields.clone().map(|field| field.name().clone()).collect(),
            is_text: fields.map(|field| is_text(field)).collect(),
            zone,
        }
    }

    fn parquet(schema: &Schema) -> Result<Writer> {
        let schema = Arc::new(told_apart(schema));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(unwritten)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(unwritten)?;
        Ok(Writer::Parquet { schema, writer: Box::new(writer) })
    }

    fn begin(&mut self) -> Vec<u8> {
        match self {
            Writer::Csv { names, .. } => {
                let mut line = String::new();
                csv_line(&mut line, names.iter().map(|name| (Some(name.as_str()), true)));
                line.into_bytes()
            }
            Writer::Parquet { .. } => Vec::new(),
        }
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        match self {
            Writer::Csv { is_text, zone, .. } => {
                let columns = batch
                    .columns()
                    .iter()
                    .map(|column| print_values_in(column, *zone))
                    .collect::<Result<Vec<_>>>()?;
                let mut text = String::new();
                for row in 0..batch.num_rows() {
                    let cell = |(column, is_text): (&StringArray, &bool)| {
                        (column.is_valid(row).then(|| column.value(row).to_string()), *is_text)
                    };
                    let cells: Vec<_> = columns.iter().zip(is_text.iter()).map(cell).collect();
                    csv_line(&mut text, cells.iter().map(|(cell, is_text)| (cell.as_deref(), *is_text)));
                }
                Ok(text.into_bytes())
            }
            Writer::Parquet { schema, writer } => {
                let batch =
                    batch.clone().with_schema(schema.clone()).map_err(|error| unwritten(error.into()))?;
                writer.write(&batch).map_err(unwritten)?;
                Ok(std::mem::take(writer.inner_mut()))
            }
        }
    }

    fn end(&mut self) -> Result<Vec<u8>> {
        match self {
            Writer::Csv { .. } => Ok(Vec::new()),
            Writer::Parquet { writer, .. } => {
                writer.finish().map_err(unwritten)?;
                Ok(std::mem::take(writer.inner_mut()))
            }
        }
    }
}

fn unwritten(error: parquet::errors::ParquetError) -> Error {
    Error::new(Kind::Unsupported, "this result cannot be written as Parquet")
        .with_detail(error.to_string())
        .with_hint("cast the column to text, or take CSV")
}

/// The same columns with names that do not repeat.
fn told_apart(schema: &Schema) -> Schema {
    let mut taken = HashSet::new();
    let named = |field: &Arc<Field>| {
        let mut name = field.name().clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{}_{number}", field.name());
            number += 1;
        }
        field.as_ref().clone().with_name(name)
    };
    Schema::new(schema.fields().iter().map(named).collect::<Vec<_>>())
}

/// One line: NULL is nothing, an empty text is `""`. Texts that a spreadsheet would take for a formula get a `'` in
/// front; numbers stay numbers.
fn csv_line<'a>(out: &mut String, cells: impl Iterator<Item = (Option<&'a str>, bool)>) {
    for (place, (cell, is_text)) in cells.enumerate() {
        if place > 0 {
            out.push(',');
        }
        let Some(cell) = cell else { continue };
        let is_formula = is_text && cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']);
        let is_plain =
            !cell.is_empty() && !cell.contains(['"', ',', '\n', '\r', '\t']) && cell.trim() == cell;
        if is_plain {
            out.push_str(if is_formula { "'" } else { "" });
            out.push_str(cell);
        } else {
            out.push('"');
            out.push_str(if is_formula { "'" } else { "" });
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        }
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_takes_no_text_for_a_formula() {
        let mut line = String::new();
        let cells = [
            (Some("=1+1"), true),
            (Some("-5"), false),
            (Some("@a,\"b\""), true),
            (None, true),
            (Some(""), true),
            (Some("\tx"), true),
            (Some("plain"), true),
        ];
        csv_line(&mut line, cells.into_iter());
        assert_eq!(line, "'=1+1,-5,\"'@a,\"\"b\"\"\",,\"\",\"'\tx\",plain\r\n");
    }

    #[test]
    fn names_that_repeat_are_told_apart() {
        let field = |name| Field::new(name, arrow::datatypes::DataType::Int64, true);
        let schema = told_apart(&Schema::new(vec![field("a"), field("a"), field("a_2"), field("a")]));
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["a", "a_2", "a_2_2", "a_3"]);
    }
}
