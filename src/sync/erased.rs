//! The records that were erased are known by keyed digests of their keys; a sync leaves them out.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::error::{Error, Kind, Result};
use crate::model::Object;
use crate::source::ReadField;
use crate::state::ErasureEntry;

/// Makes the digests of one company.
#[derive(Clone)]
pub struct Digester {
    mac: Hmac<Sha256>,
}

impl Digester {
    /// With a secret that never changes: digests made with another one find nothing.
    pub fn new(secret: &[u8; 32]) -> Self {
        use hmac::digest::KeyInit;
        let mut block = [0; 64];
        block[..32].copy_from_slice(secret);
        Digester { mac: <Hmac<Sha256> as KeyInit>::new((&block).into()) }
    }

    /// The digest of a record of the object `api` with these key fields and values.
    pub fn digest<'a>(&self, api: &str, key: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
        let mut mac = self.mac.clone();
        let mut key: Vec<_> = key.into_iter().collect();
        key.sort_unstable();
        for text in std::iter::once(api).chain(key.into_iter().flat_map(|(field, value)| [field, value])) {
            mac.update(&(text.len() as u64).to_le_bytes());
            mac.update(text.as_bytes());
        }
        BASE64_STANDARD_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Tells this secret from others without giving it away.
    pub fn name(&self) -> String {
        self.digest("which secret", [])
    }
}

/// A value of a key as text that does not depend on the width of its type; `None` for NULL.
pub fn key_text(values: &dyn Array, row: usize) -> Option<String> {
    if values.is_null(row) {
        return None;
    }
    Some(match values.data_type() {
        DataType::Boolean => values.as_boolean().value(row).to_string(),
        DataType::Int16 => values.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => values.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => values.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Decimal128(..) => {
            let text = values.as_primitive::<Decimal128Type>().value_as_string(row);
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
                false => text,
            }
        }
        DataType::Utf8 => values.as_string::<i32>().value(row).to_string(),
        DataType::Date32 => values.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Timestamp(..) => values.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        _ => return None,
    })
}

/// What one run must leave out.
pub(super) struct Suppression {
    digester: Digester,
    api: String,
    lists: Vec<List>,
}

/// Digests over the same fields.
struct List {
    fields: Vec<(usize, String)>,
    digests: HashSet<String>,
}

impl Suppression {
    /// `None` when nobody was erased from the object. `fields` are the columns of the batches to come.
    ///
    /// # Errors
    /// `Data` when a field is not read by which records were erased: they could not be told from others.
    pub(super) fn new(
        digester: &Digester,
        object: &Object,
        fields: &[ReadField],
        erasures: Vec<ErasureEntry>,
    ) -> Result<Option<Self>> {
        let mut lists: Vec<List> = Vec::new();
        for erasure in erasures {
            if erasure.secret != digester.name() {
                let what = format!("records were erased from `{}` under another key", object.full_name());
                return Err(Error::new(Kind::Data, what)
                    .with_hint("restore the key file of that time: without it they cannot be kept out"));
            }
            let place = |api: &String| {
                let at = fields.iter().position(|field| field.api == *api);
                at.map(|at| (at, api.clone())).ok_or_else(|| {
                    let what = format!("records were erased from `{}` by field `{api}`", object.full_name());
                    Error::new(Kind::Data, what)
                        .with_detail("it is not imported any more, so they could not be kept out")
                        .with_hint(format!(
                            "select `{api}` with `CALL set_fields(...)`, or restore it at the source"
                        ))
                })
            };
            let places = erasure.fields.iter().map(place).collect::<Result<Vec<_>>>()?;
            match lists.iter_mut().find(|list| list.fields == places) {
                Some(list) => {
                    list.digests.insert(erasure.digest);
                }
                None => lists.push(List { fields: places, digests: HashSet::from([erasure.digest]) }),
            }
        }
        let (digester, api) = (digester.clone(), object.api.clone());
        Ok((!lists.is_empty()).then_some(Suppression { digester, api, lists }))
    }

    /// The rows that nobody erased, and how many others there were.
    pub(super) fn keep(&self, rows: RecordBatch) -> Result<(RecordBatch, u64)> {
        let is_kept = |row| !self.lists.iter().any(|list| self.holds(list, rows.columns(), row));
        let kept: BooleanArray = (0..rows.num_rows()).map(|row| Some(is_kept(row))).collect();
        let erased = (kept.len() - kept.true_count()) as u64;
        if erased == 0 {
            return Ok((rows, 0));
        }
        let kept = filter_record_batch(&rows, &kept)
            .map_err(|error| Error::internal("rows cannot be filtered").with_source(error))?;
        Ok((kept, erased))
    }

    fn holds(&self, list: &List, columns: &[ArrayRef], row: usize) -> bool {
        let values: Option<Vec<_>> = list.fields.iter().map(|(at, _)| key_text(&columns[*at], row)).collect();
        values.is_some_and(|values| {
            let key = list.fields.iter().zip(&values).map(|((_, api), value)| (api.as_str(), value.as_str()));
            list.digests.contains(&self.digester.digest(&self.api, key))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Decimal128Array, Int32Array, Int64Array};

    use super::*;

    #[test]
    fn a_key_has_one_text_however_wide_its_type_is() {
        let decimal = |value: i128, scale| -> ArrayRef {
            Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(30, scale).unwrap())
        };
        let same: [ArrayRef; 4] = [
            Arc::new(Int32Array::from(vec![700])),
            Arc::new(Int64Array::from(vec![700])),
            decimal(700, 0),
            decimal(70_000, 2),
        ];
        for array in same {
            assert_eq!(key_text(&array, 0).as_deref(), Some("700"));
        }
        assert_eq!(key_text(&decimal(-105, 2), 0).as_deref(), Some("-1.05"));
    }

    #[test]
    fn a_digest_depends_on_everything_but_the_order_of_fields() {
        let digester = Digester::new(&[1; 32]);
        let digest = |key: &[(&'static str, &'static str)]| digester.digest("o", key.iter().copied());
        assert_eq!(digest(&[("a", "1"), ("b", "2")]), digest(&[("b", "2"), ("a", "1")]));
        assert_ne!(digest(&[("a", "1"), ("b", "2")]), digest(&[("a", "2"), ("b", "1")]));
        assert_ne!(digest(&[("a", "12")]), digest(&[("a1", "2")]));
        assert_ne!(digester.name(), Digester::new(&[2; 32]).name());
    }
}
