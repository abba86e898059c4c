//! A source system in memory. What it holds is the truth that the tables are compared with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::Semaphore;
use tributary::error::{Error, Kind, Result};
use tributary::model::FieldType;
use tributary::source::{Capabilities, FieldInfo, Identity, ObjectInfo, Page, Read, Source, Watermark, What};

/// Rows of one page: small, so that a read has several.
const PAGE: usize = 3;

/// One row. A field that an object has not (yet) is `None` everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// When it last changed, by the clock of the source.
    pub(super) at: i64,
    pub(super) name: Option<i64>,
    pub(super) amount: Option<i64>,
    pub(super) extra: Option<i64>,
}

impl Row {
    /// The value of a column as text.
    pub(super) fn text(&self, column: &str) -> Option<String> {
        match column {
            "at" => Some(self.at.to_string()),
            "name" => self.name.map(|name| format!("n{name}")),
            "amount" => self.amount.map(|amount| amount.to_string()),
            "extra" => self.extra.map(|extra| extra.to_string()),
            other => panic!("rows have no `{other}`"),
        }
    }
}

/// Rows by key.
pub(super) type Rows = BTreeMap<i64, Row>;

/// An object of the source.
#[derive(Debug, Clone)]
pub(super) struct RemoteObject {
    pub(super) rows: Rows,
    /// Whether `amount` is a bigint by now.
    pub(super) is_wide: bool,
    /// Whether `extra` exists.
    pub(super) has_extra: bool,
    /// Whether rows have a key; without one older values would be rows of their own.
    pub(super) has_key: bool,
    /// How far behind the clock a change may be dated; a diff reaches back so far.
    pub(super) overlap: i64,
}

/// The whole source.
#[derive(Debug, Default)]
pub(super) struct Remote {
    pub(super) objects: BTreeMap<String, RemoteObject>,
    /// Does not move between changes that are dated the same.
    pub(super) clock: i64,
    /// Counts the reads.
    reads: u64,
}

/// What one read delivered.
#[derive(Debug, Clone)]
pub(super) struct Delivered {
    /// Reads are numbered in the order in which they looked at the source.
    pub(super) number: u64,
    pub(super) is_full: bool,
    /// Every row of the source at that moment, whether the read asked for it or not.
    pub(super) rows: Rows,
}

/// A login to the source for one sync. It notes what it delivered, by object.
pub(super) struct Script {
    remote: Arc<Mutex<Remote>>,
    pub(super) delivered: Mutex<BTreeMap<String, Delivered>>,
    /// Also send older values of rows and rows without a key, as real sources do.
    pub(super) is_untidy: bool,
    /// Where reads wait before their last page.
    pub(super) gate: Option<Gate>,
}

/// Holds a read up before its end.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) arrived: Arc<Semaphore>,
    pub(super) opened: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Gate { arrived: Arc::new(Semaphore::new(0)), opened: Arc::new(Semaphore::new(0)) }
    }
}

impl Script {
    pub(super) fn new(remote: &Arc<Mutex<Remote>>, is_untidy: bool, gate: Option<Gate>) -> Arc<Self> {
        let delivered = Mutex::default();
        Arc::new(Script { remote: remote.clone(), delivered, is_untidy, gate })
    }

    /// The pages of a read, as of now.
    fn pages(&self, read: &Read) -> Vec<Page> {
        let mut remote = self.remote.lock().unwrap();
        remote.reads += 1;
        let (number, clock) = (remote.reads, remote.clock);
        let object = &remote.objects[&read.object];
        let since = match &read.what {
            What::Since(Watermark(at)) => at.as_i64().unwrap() - object.overlap,
            What::Full => i64::MIN,
            What::Keys | What::DeletedSince(_) | What::Get(_) => panic!("nobody asks for that"),
        };
        let delivered = Delivered { number, is_full: read.what == What::Full, rows: object.rows.clone() };
        self.delivered.lock().unwrap().insert(read.object.clone(), delivered);
        let is_untidy = self.is_untidy && object.has_key;
        let mut rows: Vec<(Option<i64>, Row)> = Vec::new();
        for (id, row) in object.rows.iter().filter(|(_, row)| row.at >= since) {
            if is_untidy && id % 3 == 0 {
                rows.push((Some(*id), Row { name: Some(-1), ..row.clone() }));
            }
            if is_untidy && id % 5 == 0 {
                rows.push((None, row.clone()));
            }
            rows.push((Some(*id), row.clone()));
        }
        let mut pages: Vec<_> = rows.chunks(PAGE).map(|rows| page(read, rows)).collect();
        // The last word on where the next diff starts comes with the last page, which may be empty.
        pages.push(Page { watermark: Some(Watermark(clock.into())), ..page(read, &[]) });
        pages
    }
}

fn page(read: &Read, rows: &[(Option<i64>, Row)]) -> Page {
    let column = |field: &tributary::source::ReadField| -> ArrayRef {
        let values = rows.iter().map(|(id, row)| match field.api.as_str() {
            "id" => *id,
            "at" => Some(row.at),
            "amount" => row.amount,
            "extra" => row.extra,
            "name" => row.name,
            other => panic!("the source has no `{other}`"),
        });
        match field.data_type {
            FieldType::Int32 => {
                Arc::new(values.map(|value| value.map(|v| i32::try_from(v).unwrap())).collect::<Int32Array>())
            }
            FieldType::Int64 => Arc::new(values.collect::<Int64Array>()),
            _ => Arc::new(values.map(|value| value.map(|v| format!("n{v}"))).collect::<StringArray>()),
        }
    };
    let rows = RecordBatch::try_new(read.schema(), read.fields.iter().map(column).collect()).unwrap();
    Page::of(0, rows)
}

#[async_trait]
impl Source for Script {
    async fn whoami(&self) -> Result<Identity> {
        Ok(Identity { account: "1".into(), user: "u".into(), server: "script".into() })
    }

    async fn objects(&self) -> Result<Vec<ObjectInfo>> {
        Ok(Vec::new())
    }

    async fn fields(&self, object: &str) -> Result<Vec<FieldInfo>> {
        let remote = self.remote.lock().unwrap();
        let Some(object) = remote.objects.get(object) else {
            return Err(Error::new(Kind::NotFound, format!("unknown object `{object}`")));
        };
        let amount = if object.is_wide { FieldType::Int64 } else { FieldType::Int32 };
        let mut fields = vec![
            field("id", FieldType::Int64),
            field("at", FieldType::Int64),
            field("name", FieldType::Text),
            field("amount", amount),
        ];
        if object.has_extra {
            fields.push(field("extra", FieldType::Int64));
        }
        Ok(fields)
    }

    async fn can(&self, _object: &str) -> Result<Capabilities> {
        Ok(Capabilities {
            since: true,
            keys: false,
            deleted: false,
            get: false,
            hides: false,
            filters_kept: false,
        })
    }

    fn read(&self, read: Read) -> BoxStream<'static, Result<Page>> {
        let pages = self.pages(&read);
        let gate = self.gate.clone();
        let last = pages.len() - 1;
        let pages = stream::iter(pages.into_iter().enumerate()).then(move |(number, page)| {
            let gate = gate.clone().filter(|_| number == last);
            async move {
                if let Some(gate) = gate {
                    gate.arrived.add_permits(1);
                    gate.opened.acquire().await.unwrap().forget();
                }
                Ok(page)
            }
        });
        pages.boxed()
    }
}

fn field(api: &str, data_type: FieldType) -> FieldInfo {
    FieldInfo {
        api: api.into(),
        label: api.into(),
        data_type,
        native_type: String::new(),
        not_null: false,
        note: None,
        volatile: false,
    }
}
