//! Figures about the rows of a version: how many values are NULL, and sums.
//!
//! NULLs are counted by the statistics of the files; only where rows of a file are deleted, those are looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};
use parquet::arrow::arrow_reader::RowSelection;

use super::dv::selected;
use super::failure;
use super::parquet_read::Footers;
use super::table::Table;
use super::version::{Snapshot, TableFile};
use crate::error::Result;
use crate::model::FieldType;

/// Figures about one version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// Its rows.
    pub rows: u64,
    /// NULLs by column.
    pub nulls: BTreeMap<String, u64>,
    /// Sums by column; NULLs do not count.
    pub sums: BTreeMap<String, Sum>,
}

/// The sum of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sum {
    /// Of integers and decimals: `units / 10^scale`.
    Exact {
        /// All digits.
        units: i128,
        /// How many of them stand behind the point.
        scale: i8,
    },
    /// Of floats, and of decimals whose sum has more than 38 digits.
    Float(f64),
}

impl Sum {
    /// The nearest float.
    pub fn value(self) -> f64 {
        match self {
            Sum::Exact { units, scale } => units as f64 / 10_f64.powi(scale.into()),
            Sum::Float(value) => value,
        }
    }

    fn add(self, other: Self) -> Self {
        match (self, other) {
            (Sum::Exact { units, scale }, Sum::Exact { units: more, scale: same }) if scale == same => {
                match units.checked_add(more) {
                    Some(units) => Sum::Exact { units, scale },
                    None => Sum::Float(self.value() + other.value()),
                }
            }
            _ => Sum::Float(self.value() + other.value()),
        }
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Sum::Exact { units, scale } if scale > 0 => {
                let (digits, scale) = (units.unsigned_abs().to_string(), scale as usize);
                let digits = format!("{digits:0>width$}", width = scale + 1);
                let (whole, fraction) = digits.split_at(digits.len() - scale);
                write!(f, "{}{whole}.{fraction}", if units < 0 { "-" } else { "" })
            }
            Sum::Exact { units, .. } => write!(f, "{units}"),
            Sum::Float(value) => write!(f, "{value}"),
        }
    }
}

impl Table {
    /// Counts the NULLs of the columns `nulls` of a version and sums up the columns `sums`. A column that the version
    /// does not have is NULL in every row, and its sum is missing.
    pub async fn profile(
        &self,
        snapshot: &Arc<Snapshot>,
        nulls: Vec<String>,
        sums: Vec<String>,
    ) -> Result<Profile> {
        let (snapshot, footers) = (snapshot.clone(), self.shared().footers.clone());
        let work = tokio::task::spawn_blocking(move || profile(&snapshot, &footers, &nulls, &sums));
        work.await.map_err(failure::task)?
    }
}

/// Blocks.
fn profile(snapshot: &Snapshot, footers: &Footers, nulls: &[String], sums: &[String]) -> Result<Profile> {
    let mut profile = Profile { rows: snapshot.rows(), ..Profile::default() };
    profile.nulls.extend(nulls.iter().map(|column| (column.clone(), 0)));
    for column in sums {
        let stored = snapshot.columns().iter().find(|(name, _)| name == column);
        if let Some(zero) = stored.and_then(|(_, data_type)| zero(data_type)) {
            profile.sums.insert(column.clone(), zero);
        }
    }
    for file in snapshot.files.iter().filter(|file| file.live() > 0) {
        let look = Look { snapshot, footers, file };
        look.count_nulls(&mut profile)?;
        look.sum_up(&mut profile)?;
    }
    Ok(profile)
}

struct Look<'a> {
    snapshot: &'a Snapshot,
    footers: &'a Footers,
    file: &'a TableFile,
}

impl Look<'_> {
    fn count_nulls(&self, profile: &mut Profile) -> Result<()> {
        let told = |column: &String| self.file.stats.columns.get(column).and_then(|stats| stats.nulls);
        let (known, unknown): (Vec<_>, Vec<_>) =
            profile.nulls.keys().cloned().partition(|column| told(column).is_some());
        for column in &known {
            *profile.nulls.entry(column.clone()).or_default() += told(column).unwrap_or_default();
        }
        if let Some(deleted) = self.file.deleted.as_ref().filter(|_| !known.is_empty()) {
            let gone = selected(&deleted.rows, self.file.stats.rows);
            self.read(&known, Some(gone), |column, values| {
                if let Some(count) = profile.nulls.get_mut(column) {
                    *count = count.saturating_sub(values.null_count() as u64);
                }
            })?;
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let mut values_of = BTreeMap::<String, u64>::new();
        self.read(&unknown, self.live(), |column, values| {
            *values_of.entry(column.into()).or_default() += (values.len() - values.null_count()) as u64;
        })?;
        for column in unknown {
            let values = values_of.get(&column).copied().unwrap_or_default();
            *profile.nulls.entry(column).or_default() += self.file.live() - values;
        }
        Ok(())
    }

    fn sum_up(&self, profile: &mut Profile) -> Result<()> {
        let columns: Vec<_> = profile.sums.keys().cloned().collect();
        if columns.is_empty() {
            return Ok(());
        }
        self.read(&columns, self.live(), |column, values| {
            if let (Some(sum), Some(more)) = (profile.sums.get_mut(column), sum(values)) {
                *sum = sum.add(more);
            }
        })
    }

    fn live(&self) -> Option<RowSelection> {
        self.file.deleted.as_ref().map(|deleted| deleted.selection(self.file.stats.rows))
    }

    /// Reads those of the columns that the file has.
    fn read(
        &self,
        columns: &[String],
        selection: Option<RowSelection>,
        mut take: impl FnMut(&str, &ArrayRef),
    ) -> Result<()> {
        let reader = self.file.open(&self.snapshot.folder, self.footers)?;
        let present: Vec<_> =
            columns.iter().filter_map(|column| reader.schema().index_of(column).ok()).collect();
        if present.is_empty() {
            return Ok(());
        }
        for batch in reader.read(&present, selection)? {
            let batch: RecordBatch = batch?;
            for (field, values) in batch.schema().fields().iter().zip(batch.columns()) {
                take(field.name(), values);
            }
        }
        Ok(())
    }
}

/// The sum of nothing; `None` for types that have no sums.
fn zero(data_type: &FieldType) -> Option<Sum> {
    match data_type {
        FieldType::Int16 | FieldType::Int32 | FieldType::Int64 => Some(Sum::Exact { units: 0, scale: 0 }),
        FieldType::Decimal(_, scale) => Some(Sum::Exact { units: 0, scale: *scale }),
        FieldType::Float32 | FieldType::Float64 => Some(Sum::Float(0.0)),
        _ => None,
    }
}

fn sum(values: &ArrayRef) -> Option<Sum> {
    macro_rules! exact {
        ($type:ty, $scale:expr) => {
            values
                .as_primitive::<$type>()
                .iter()
                .flatten()
                .map(|value| Sum::Exact { units: value.into(), scale: $scale })
                .reduce(Sum::add)
        };
    }
    macro_rules! float {
        ($type:ty) => {
            Some(Sum::Float(values.as_primitive::<$type>().iter().flatten().map(f64::from).sum()))
        };
    }
    match values.data_type() {
        DataType::Int16 => exact!(Int16Type, 0),
        DataType::Int32 => exact!(Int32Type, 0),
        DataType::Int64 => exact!(Int64Type, 0),
        DataType::Decimal128(_, scale) => exact!(Decimal128Type, *scale),
        DataType::Float32 => float!(Float32Type),
        DataType::Float64 => float!(Float64Type),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_all_digits_and_show_them() {
        let cent = |units| Sum::Exact { units, scale: 2 };
        assert_eq!(cent(7_760_055).add(cent(-5)).to_string(), "77600.50");
        assert_eq!(cent(-5).to_string(), "-0.05");
        assert_eq!(cent(0).to_string(), "0.00");
        assert_eq!(Sum::Exact { units: 12, scale: 0 }.to_string(), "12");
        assert!(matches!(cent(i128::MAX).add(cent(1)), Sum::Float(_)));
        assert_eq!(cent(150).value(), 1.5);
    }
}
