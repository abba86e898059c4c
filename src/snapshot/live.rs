//! Rows that are left of files of which many were deleted: a mask after the scan.
//!
//! A selection of rows in the scan costs by the number of gaps, in each column; a mask costs nothing to speak of, and
//! what a filter leaves out falls out with it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, UInt16Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExecBuilder;
use parquet::arrow::RowNumber;

use super::live_exec::LiveExec;

/// Columns that a scan adds: the number of the file among those scanned, and of the row in it.
const FILE: &str = "\u{1}file";
const ROW: &str = "\u{1}row";
/// With one deleted row in fewer than so many a mask is cheaper than a selection.
const ROWS_OF_A_GAP: u64 = 1024;

/// Whether a mask suits a file of `total` rows better than a selection when so many are left out.
pub(crate) fn has_many_gaps(gone: u64, total: u64) -> bool {
    gone.saturating_mul(ROWS_OF_A_GAP) > total
}

/// The columns `stored` and those that a mask needs.
pub(crate) fn numbered(stored: &Arc<Schema>) -> TableSchema {
    let row = Field::new(ROW, DataType::Int64, false).with_extension_type(RowNumber);
    TableSchema::builder(stored.clone())
        .with_table_partition_cols(vec![Arc::new(Field::new(FILE, DataType::UInt16, false))])
        .with_virtual_columns(vec![Arc::new(row)])
        .build()
}

/// The value of the column that tells the file.
pub(crate) fn file_number(number: u16) -> ScalarValue {
    ScalarValue::UInt16(Some(number))
}

/// What is left of the files of a scan.
#[derive(Debug, Clone)]
pub(crate) struct LiveRows {
    /// One for each file of which rows were deleted.
    masks: Arc<Vec<Option<BooleanBuffer>>>,
    is_filtered: bool,
}

impl LiveRows {
    /// `masks` are by the number of the file; `is_filtered` tells that the query has a filter.
    pub(crate) fn new(masks: Vec<Option<BooleanBuffer>>, is_filtered: bool) -> Self {
        LiveRows { masks: Arc::new(masks), is_filtered }
    }

    /// Those that `predicate` leaves, where it does nothing else.
    pub(super) fn of_predicate(predicate: &dyn PhysicalExpr) -> Option<&Self> {
        predicate.downcast_ref::<IsLive>().map(|is_live| &is_live.rows)
    }

    /// At most `limit` of the rows of `scan` that are left, without its last two columns, which are those of
    /// [`numbered`].
    pub(crate) fn of(&self, scan: Arc<dyn ExecutionPlan>, limit: Option<usize>) -> Result<LiveExec> {
        let kept = scan.schema().fields().len().saturating_sub(2);
        let is_live = IsLive {
            rows: self.clone(),
            file: Arc::new(Column::new(FILE, kept)),
            row: Arc::new(Column::new(ROW, kept + 1)),
        };
        let mut filter = FilterExecBuilder::new(Arc::new(is_live), scan)
            .apply_projection(Some((0..kept).collect()))?
            .with_fetch(limit);
        if !self.is_filtered {
            // Nearly all rows stay. Beside a filter of the query the usual guess is that of the filter.
            filter = filter.with_default_selectivity(100);
        }
        Ok(LiveExec::new(filter.build()?))
    }
}

/// Whether a row, told by its file and its number in it, is still there.
#[derive(Debug)]
struct IsLive {
    rows: LiveRows,
    file: Arc<dyn PhysicalExpr>,
    row: Arc<dyn PhysicalExpr>,
}

impl IsLive {
    fn mask(&self, files: &[u16], rows: &[i64]) -> BooleanBuffer {
        let ([file, ..], [first, .., last] | [first @ last]) = (files, rows) else {
            return BooleanBuffer::new_set(0);
        };
        let of_file = |file: u16| self.rows.masks.get(usize::from(file)).and_then(Option::as_ref);
        // Batches come from one file, mostly without a gap. A loop that looks at everything is the fastest.
        if files.iter().fold(0, |differs, other| differs | (file ^ other)) == 0 {
            let Some(mask) = of_file(*file) else { return BooleanBuffer::new_set(rows.len()) };
            let gaps = rows.iter().zip(*first..).fold(0, |differs, (row, next)| differs | (row ^ next));
            if gaps == 0 && *first >= 0 && (*last as usize) < mask.len() {
                return mask.slice(*first as usize, rows.len());
            }
        }
        let is_live = |file: u16, row: i64| {
            of_file(file)
                .is_none_or(|mask| usize::try_from(row).is_ok_and(|row| row < mask.len() && mask.value(row)))
        };
        files.iter().zip(rows).map(|(file, row)| is_live(*file, *row)).collect()
    }
}

impl fmt::Display for IsLive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is_live")
    }
}

impl PartialEq for IsLive {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rows.masks, &other.rows.masks)
            && self.file.eq(&other.file)
            && self.row.eq(&other.row)
    }
}

impl Eq for IsLive {}

impl Hash for IsLive {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.file.hash(state);
        self.row.hash(state);
    }
}

impl PhysicalExpr for IsLive {
    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("is_live", DataType::Boolean, false)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let files = self.file.evaluate(batch)?.into_array(batch.num_rows())?;
        let rows = self.row.evaluate(batch)?.into_array(batch.num_rows())?;
        let (Some(files), Some(rows)) =
            (files.as_primitive_opt::<UInt16Type>(), rows.as_primitive_opt::<Int64Type>())
        else {
            return internal_err!("rows are numbered by {} and {}", files.data_type(), rows.data_type());
        };
        let mask = self.mask(files.values(), rows.values());
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(mask, None))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.file, &self.row]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let Ok([file, row]) = <[_; 2]>::try_from(children) else {
            return internal_err!("a row is told by its file and its number");
        };
        Ok(Arc::new(IsLive { rows: self.rows.clone(), file, row }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, UInt16Array};

    use super::*;

    #[test]
    fn rows_are_left_out_by_file_and_number_in_any_order() {
        let mask: BooleanBuffer = [true, false, true, true].into_iter().collect();
        let is_live = IsLive {
            rows: LiveRows::new(vec![Some(mask), None], false),
            file: Arc::new(Column::new(FILE, 0)),
            row: Arc::new(Column::new(ROW, 1)),
        };
        for (files, rows, left) in [
            (vec![0, 0, 0, 0], vec![0, 1, 2, 3], vec![true, false, true, true]),
            (vec![0, 0], vec![1, 2], vec![false, true]),
            (vec![0, 0, 0], vec![3, 1, 0], vec![true, false, true]),
            (vec![0, 0, 0], vec![2, 1, 2], vec![true, false, true]),
            (vec![1, 1], vec![0, 1], vec![true, true]),
            (vec![1, 0, 0], vec![1, 1, 4], vec![true, false, false]),
            (vec![], vec![], vec![]),
        ] {
            let batch = RecordBatch::try_from_iter([
                (FILE, Arc::new(UInt16Array::from(files)) as ArrayRef),
                (ROW, Arc::new(Int64Array::from(rows)) as ArrayRef),
            ])
            .unwrap();
            let found = is_live.evaluate(&batch).unwrap().into_array(left.len()).unwrap();
            assert_eq!(found.as_boolean(), &BooleanArray::from(left));
        }
    }
}
