//! PostgreSQL as a source, against a real server.

mod diff;
mod discovery;
mod failures;
mod reading;
mod tls;
mod types;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use serde_json::{Value, json};
use tributary::catalog::Catalog;
use tributary::error::Error;
use tributary::model::{FieldType, Filter};
use tributary::source::rest::Options;
use tributary::source::{Connectors, Misfit, Page, Read, ReadField, Resume, Source, Watermark, What};

use crate::support::postgres::{Database, PASSWORD, USER};

fn settings(database: &Database) -> Value {
    json!({"host": "127.0.0.1", "port": database.port, "database": database.name, "user": USER})
}

fn source(database: &Database) -> Arc<dyn Source> {
    source_with(database, json!({}))
}

/// A source with further settings.
fn source_with(database: &Database, further: Value) -> Arc<dyn Source> {
    let mut settings = settings(database);
    settings.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let secrets = HashMap::from([("password".to_string(), PASSWORD.to_string())]);
    connectors().open("postgresql", &settings, &secrets, None).unwrap()
}

/// The connectors in code.
fn connectors() -> Arc<Connectors> {
    Connectors::new(Catalog::default(), Options::default()).unwrap()
}

/// A full read of all fields in the types that discovery chose.
async fn everything(source: &dyn Source, object: &str) -> Read {
    let fields = source
        .fields(object)
        .await
        .unwrap()
        .into_iter()
        .map(|field| ReadField { name: field.api.clone(), api: field.api, data_type: field.data_type })
        .collect();
    Read {
        object: object.into(),
        fields,
        key: Vec::new(),
        what: What::Full,
        cursor: None,
        filter: None,
        max_rows: None,
        expected_rows: None,
        resume: Resume::Never,
    }
}

fn full(object: &str, fields: &[(&str, &str)]) -> Read {
    let fields = fields
        .iter()
        .map(|(name, data_type)| ReadField {
            api: name.to_string(),
            name: name.to_string(),
            data_type: data_type.parse().unwrap(),
        })
        .collect();
    Read {
        object: object.into(),
        fields,
        key: Vec::new(),
        what: What::Full,
        cursor: None,
        filter: None,
        max_rows: None,
        expected_rows: None,
        resume: Resume::Never,
    }
}

fn with_cursor(mut read: Read, cursor: &str) -> Read {
    read.cursor = Some(cursor.into());
    read
}

fn since(read: &Read, watermark: &Watermark) -> Read {
    Read { what: What::Since(watermark.clone()), ..read.clone() }
}

fn filtered(read: &Read, filter: Filter) -> Read {
    Read { filter: Some(filter), ..read.clone() }
}

async fn pages(source: &dyn Source, read: Read) -> Result<Vec<Page>, Error> {
    let schema = read.schema();
    let mut stream = source.read(read);
    let mut pages = Vec::new();
    while let Some(page) = stream.next().await {
        let page = page?;
        assert_eq!(page.rows.schema(), schema, "every page has the schema of the read");
        pages.push(page);
    }
    Ok(pages)
}

/// The rows as text, in order; NULL is `∅`.
async fn rows(source: &dyn Source, read: Read) -> Vec<Vec<String>> {
    pages(source, read).await.unwrap().iter().flat_map(|page| print(&page.rows)).collect()
}

/// The first column as text, in order.
async fn firsts(source: &dyn Source, read: Read) -> Vec<String> {
    rows(source, read).await.into_iter().map(|mut row| row.remove(0)).collect()
}

async fn failure(source: &dyn Source, read: Read) -> Error {
    pages(source, read).await.unwrap_err()
}

async fn watermark(source: &dyn Source, read: Read) -> Watermark {
    last_watermark(&pages(source, read).await.unwrap()).unwrap()
}

fn last_watermark(pages: &[Page]) -> Option<Watermark> {
    pages.iter().rev().find_map(|page| page.watermark.clone())
}

fn misfits(pages: &[Page]) -> Vec<Misfit> {
    pages.iter().flat_map(|page| page.misfits.clone()).collect()
}

fn print(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::new().with_null("∅");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect())
        .collect()
}

fn text_type() -> FieldType {
    FieldType::Text
}
