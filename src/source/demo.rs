//! The connector `demo`: a simulated company inside the binary, read the way every source is read.
//!
//! It needs no network and no login. All values come from the row number by an integer mixing function, so every
//! run of every build sees the same rows: figures in the documentation can be checked.

mod tables;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use futures::StreamExt;
use futures::stream::BoxStream;

use super::condition::{self, Value};
use super::{
    Capabilities, ConnectorInfo, FieldInfo, Identity, ObjectInfo, Page, Read, ReadField, SettingInfo, Source,
    Watermark, What,
};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::FieldType;
use tables::Table;

/// What is known of the connector.
pub(super) fn connector() -> ConnectorInfo {
    let rows = SettingInfo::optional("rows", "number of opportunities, 1 to 5,000,000; 20,000 by default");
    ConnectorInfo {
        name: "demo".into(),
        label: "Demonstration (simulated data)".into(),
        settings: vec![rows],
        secrets: Vec::new(),
        logins: Vec::new(),
        docs: None,
    }
}

const DEFAULT_ROWS: u64 = 20_000;
const MAX_ROWS: u64 = 5_000_000;
const PAGE: u64 = 4_096;

/// The simulated source.
#[derive(Debug)]
pub struct DemoSource {
    rows: u64,
}

impl DemoSource {
    /// Checks the settings.
    pub fn new(settings: &serde_json::Value) -> Result<Self> {
        for name in settings.as_object().into_iter().flat_map(|settings| settings.keys()) {
            if name != "rows" {
                let suggestion = did_you_mean(name, ["rows"]);
                let what = format!("connector `demo` has no setting `{name}`{suggestion}");
                return Err(Error::new(Kind::Invalid, what).with_hint("accepted is `rows`"));
            }
        }
        let Some(value) = settings.get("rows") else { return Ok(DemoSource { rows: DEFAULT_ROWS }) };
        match value.as_u64().filter(|rows| (1..=MAX_ROWS).contains(rows)) {
            Some(rows) => Ok(DemoSource { rows }),
            None => Err(Error::new(Kind::Invalid, format!("setting `rows` cannot be `{value}`"))
                .with_hint(format!("accepted is a number from 1 to {MAX_ROWS}"))),
        }
    }

    fn tables(&self) -> [Table; 4] {
        tables::all(self.rows)
    }

    fn table(&self, object: &str) -> Result<Table> {
        let tables = self.tables();
        if let Some(table) = tables.iter().find(|table| table.name == object) {
            return Ok(table.clone());
        }
        let shown: String = object.chars().take(80).collect();
        let suggestion = did_you_mean(&shown, tables.iter().map(|table| table.name));
        Err(Error::new(Kind::NotFound, format!("the demonstration has no object `{shown}`{suggestion}")))
    }
}

#[async_trait::async_trait]
impl Source for DemoSource {
    async fn whoami(&self) -> Result<Identity> {
        Ok(Identity { account: "demo".into(), user: "demo".into(), server: "simulated data".into() })
    }

    async fn objects(&self) -> Result<Vec<ObjectInfo>> {
        let info = |table: Table| ObjectInfo {
            api: table.name.into(),
            name: None,
            label: table.label.into(),
            kind: "table".into(),
            estimated_rows: i64::try_from(table.rows).ok(),
            suggested_key: table.key.iter().map(ToString::to_string).collect(),
            suggested_name: table.name_field.map(str::to_string),
            suggested_cursor: table.cursor.map(str::to_string),
        };
        Ok(self.tables().into_iter().map(info).collect())
    }

    async fn fields(&self, object: &str) -> Result<Vec<FieldInfo>> {
        let field = |column: &tables::Column| FieldInfo {
            api: column.name.into(),
            label: column.name.replace('_', " "),
            data_type: column.data_type.clone(),
            native_type: column.data_type.to_string(),
            not_null: !column.is_nullable,
            note: None,
            volatile: false,
        };
        Ok(self.table(object)?.columns.iter().map(field).collect())
    }

    async fn can(&self, object: &str) -> Result<Capabilities> {
        Ok(Capabilities {
            since: self.table(object)?.cursor.is_some(),
            keys: true,
            deleted: false,
            get: false,
            hides: false,
            filters_kept: true,
        })
    }

    fn read(&self, read: Read) -> BoxStream<'static, Result<Page>> {
        match self.table(&read.object).and_then(|table| Reader::new(table, read)) {
            Ok(reader) => futures::stream::unfold(reader, |mut reader| async {
                let page = reader.next()?;
                // Other tasks get their turn between two pages, as they would while a real source is waited for.
                tokio::task::yield_now().await;
                Some((page, reader))
            })
            .boxed(),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }
}

/// One read under way.
struct Reader {
    table: Table,
    read: Read,
    /// Places of the read fields among the table's columns.
    places: Vec<usize>,
    cursor: Option<usize>,
    /// Rows looked at before others get their turn: fewer where each takes long.
    rows_a_page: u64,
    since: Option<i64>,
    highest: Option<i64>,
    row: u64,
    given: u64,
    is_over: bool,
}

impl Reader {
    fn new(table: Table, read: Read) -> Result<Self> {
        let place = |name: &str| {
            let found = table.columns.iter().position(|column| column.name == name);
            found.ok_or_else(|| {
                let suggestion = did_you_mean(name, table.columns.iter().map(|column| column.name));
                let what = format!("`{}` of the demonstration has no field `{name}`{suggestion}", table.name);
                Error::new(Kind::NotFound, what).with_sqlstate("42703")
            })
        };
        let places = read.fields.iter().map(|field| place(&field.api)).collect::<Result<Vec<_>>>()?;
        for (field, place) in read.fields.iter().zip(&places) {
            let actual = &table.columns[*place].data_type;
            if *actual != field.data_type {
                let what = format!("field `{}` is of type {actual}, not {}", field.api, field.data_type);
                return Err(Error::new(Kind::Data, what).with_sqlstate("42804"));
            }
        }
        let cursor = read.cursor.as_deref().map(place).transpose()?;
        let mut named = Vec::new();
        read.filter.iter().for_each(|filter| condition::fields(filter, &mut named));
        named.iter().try_for_each(|name| place(name).map(drop))?;
        let rows_a_page = (PAGE / (1 + named.len() as u64 / 16)).max(1);
        let since = match &read.what {
            What::Since(watermark) => Some(watermark.0.as_i64().ok_or_else(|| {
                Error::new(Kind::Invalid, format!("`{}` is no watermark of the demonstration", watermark.0))
            })?),
            What::Full | What::Keys | What::DeletedSince(_) | What::Get(_) => None,
        };
        let (highest, is_over) = (since, false);
        Ok(Reader { table, read, places, cursor, rows_a_page, since, highest, row: 0, given: 0, is_over })
    }

    fn next(&mut self) -> Option<Result<Page>> {
        if self.is_over {
            return None;
        }
        let mut rows = Vec::new();
        let mut capped = false;
        let end = self.table.rows.min(self.row + self.rows_a_page);
        while self.row < end {
            let row = self.table.row(self.row);
            self.row += 1;
            if !self.wants(&row) {
                continue;
            }
            if self.read.max_rows.is_some_and(|max| self.given == max) {
                capped = true;
                break;
            }
            self.given += 1;
            rows.push(row);
        }
        self.is_over = capped || self.row == self.table.rows;
        let watermark = self.highest.filter(|_| self.is_over && !capped).map(|at| Watermark(at.into()));
        Some(self.batch(&rows).map(|rows| Page { watermark, capped, ..Page::of(0, rows) }))
    }

    fn wants(&mut self, row: &[Value]) -> bool {
        if let Some(Value::Timestamp(at)) = self.cursor.map(|place| &row[place]) {
            self.highest = self.highest.max(Some(*at));
            if self.since.is_some_and(|since| *at < since) {
                return false;
            }
        }
        let value = |field: &str| {
            self.table.columns.iter().position(|column| column.name == field).map(|at| &row[at])
        };
        self.read.filter.as_ref().is_none_or(|filter| condition::holds(filter, &value) == Some(true))
    }

    fn batch(&self, rows: &[Vec<Value>]) -> Result<RecordBatch> {
        let columns = self.read.fields.iter().zip(&self.places);
        let arrays = columns.map(|(field, place)| array(field, rows.iter().map(|row| &row[*place])));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.read.schema(), arrays.collect::<Result<_>>()?, &options)
            .map_err(|error| Error::internal("demonstration rows do not fit their fields").with_source(error))
    }
}

fn array<'a>(field: &ReadField, values: impl Iterator<Item = &'a Value>) -> Result<ArrayRef> {
    macro_rules! build {
        ($builder:expr, $kind:ident, $value:ident => $get:expr) => {{
            let mut builder = $builder;
            for value in values {
                match value {
                    Value::$kind($value) => builder.append_value($get),
                    Value::Null => builder.append_null(),
                    _ => {
                        return Err(Error::internal(format!("`{}` has a value of another type", field.name)));
                    }
                }
            }
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }};
    }
    let data_type = field.data_type.arrow();
    match field.data_type {
        FieldType::Text => build!(StringBuilder::new(), Text, value => value),
        FieldType::Int32 => build!(Int32Builder::new(), Int, value => *value as i32),
        FieldType::Decimal(..) => {
            build!(Decimal128Builder::new().with_data_type(data_type), Decimal, value => *value)
        }
        FieldType::Float64 => build!(Float64Builder::new(), Float, value => *value),
        FieldType::Boolean => build!(BooleanBuilder::new(), Boolean, value => *value),
        FieldType::Date => build!(Date32Builder::new(), Date, value => *value),
        FieldType::TimestampTz => {
            build!(TimestampMicrosecondBuilder::new().with_data_type(data_type), Timestamp, value => *value)
        }
        _ => Err(Error::internal(format!("the demonstration has no values of type {}", field.data_type))),
    }
}

#[cfg(test)]
mod tests;
