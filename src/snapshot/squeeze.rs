//! Leaves rows out of a batch that is read once and then given on.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, PrimitiveArray,
    RecordBatch, RecordBatchOptions, StringArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{SlicesIterator, filter, prep_null_mask_filter};
use arrow::datatypes::{ArrowNativeType, ByteArrayType, DataType, Utf8Type};
use arrow::downcast_primitive_array;
use arrow::error::ArrowError;

/// The rows of `batch` for which `keep` says so, in the same order. Values of fixed width move within their buffers
/// where nobody else holds them: where few rows fall out, that costs a fraction of copying them.
pub(super) fn squeeze(batch: RecordBatch, keep: &BooleanArray) -> Result<RecordBatch, ArrowError> {
    let count = keep.true_count();
    if count == batch.num_rows() {
        return Ok(batch);
    }
    let keep = without_nulls(keep);
    let mut runs = Vec::with_capacity(batch.num_rows() - count + 1);
    runs.extend(SlicesIterator::new(&keep));
    let kept = Kept { runs, keep, count };
    each_column(batch, count, |column| kernel(&column)(column, &kept))
}

/// The batch with `rows` rows of each column, which is handed over: nobody holds it here.
pub(super) fn each_column(
    batch: RecordBatch,
    rows: usize,
    shortened: impl Fn(ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<RecordBatch, ArrowError> {
    let (schema, columns, _) = batch.into_parts();
    let columns = columns.into_iter().map(shortened).collect::<Result<_, _>>()?;
    RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(rows)))
}

/// The same with rows left out where it is NULL: what stands there is any value.
pub(super) fn without_nulls(keep: &BooleanArray) -> BooleanArray {
    match keep.nulls() {
        Some(_) => prep_null_mask_filter(keep),
        None => keep.clone(),
    }
}

/// The rows that stay.
struct Kept {
    /// Without NULLs.
    keep: BooleanArray,
    /// Beginnings and ends.
    runs: Vec<(usize, usize)>,
    count: usize,
}

impl Kept {
    fn nulls(&self, nulls: Option<NullBuffer>) -> Option<NullBuffer> {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0)?;
        // A comparison keeps no NULL of its column.
        if (self.keep.values() & nulls.inner()).count_set_bits() == self.count {
            return None;
        }
        let (bits, first) = (nulls.inner().values(), nulls.inner().offset());
        let mut kept = BooleanBufferBuilder::new(self.count);
        for (start, end) in &self.runs {
            kept.append_packed_range(first + start..first + end, bits);
        }
        Some(NullBuffer::new(kept.finish()))
    }
}

type Kernel = fn(ArrayRef, &Kept) -> Result<ArrayRef, ArrowError>;

fn kernel(column: &dyn Array) -> Kernel {
    fn of<T: ArrowPrimitiveType>(_: &PrimitiveArray<T>) -> Kernel {
        squeeze_values::<T>
    }
    downcast_primitive_array!(
        column => of(column),
        DataType::Utf8 => |column, kept| {
            let texts = column.as_string();
            Ok(Arc::new(texts_of(texts, &kept.runs, kept.count, kept.nulls(texts.nulls().cloned()))))
        },
        _ => |column, kept| filter(&column, &kept.keep),
    )
}

fn squeeze_values<T: ArrowPrimitiveType>(column: ArrayRef, kept: &Kept) -> Result<ArrayRef, ArrowError> {
    let move_together = |values: &mut [T::Native]| {
        let mut end_of_kept = 0;
        for (start, end) in &kept.runs {
            values.copy_within(*start..*end, end_of_kept);
            end_of_kept += end - start;
        }
    };
    let nulls = |nulls| kept.nulls(nulls);
    in_place::<T>(column, kept.count, move_together, nulls, |array| filter(array, &kept.keep))
}

/// The first `count` values once they were moved, within their buffer where nobody else holds it; a copy otherwise.
pub(super) fn in_place<T: ArrowPrimitiveType>(
    column: ArrayRef,
    count: usize,
    move_values: impl FnOnce(&mut [T::Native]),
    nulls_of: impl FnOnce(Option<NullBuffer>) -> Option<NullBuffer>,
    copy: impl FnOnce(&dyn Array) -> Result<ArrayRef, ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    let array = column.as_primitive::<T>().clone();
    drop(column);
    let (data_type, values, nulls) = array.into_parts();
    let mut values = match values.into_inner().into_mutable() {
        Ok(values) => values,
        Err(shared) => {
            let length = shared.len() / T::Native::get_byte_width();
            let values = ScalarBuffer::new(shared, 0, length);
            return copy(&PrimitiveArray::<T>::try_new(values, nulls)?.with_data_type(data_type));
        }
    };
    move_values(values.typed_data_mut());
    values.truncate(count * T::Native::get_byte_width());
    let values = ScalarBuffer::new(Buffer::from(values), 0, count);
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values, nulls_of(nulls))?.with_data_type(data_type)))
}

/// The texts of `runs`, given by beginnings and ends, of which none is in two: `count` texts with these `nulls`. Run by
/// run, which moves all their ends at once.
#[expect(
    unsafe_code,
    reason = "what is safe looks at each character again, or at each end: three times the time"
)]
pub(super) fn texts_of(
    texts: &StringArray,
    runs: &[(usize, usize)],
    count: usize,
    nulls: Option<NullBuffer>,
) -> StringArray {
    let (ends, bytes) = (texts.value_offsets(), texts.value_data());
    let mut kept_ends = Vec::with_capacity(count + 1);
    let mut kept_bytes = Vec::with_capacity(ends[texts.len()].as_usize() - ends[0].as_usize());
    kept_ends.push(0);
    for (start, end) in runs {
        let moved = ends[*start] - kept_ends[kept_ends.len() - 1];
        kept_ends.extend(ends[start + 1..=*end].iter().map(|end| end - moved));
        kept_bytes.extend_from_slice(&bytes[ends[*start].as_usize()..ends[*end].as_usize()]);
    }
    let kept_bytes = Buffer::from(kept_bytes);
    let kept_ends = ScalarBuffer::from(kept_ends);
    debug_assert!(Utf8Type::validate(&OffsetBuffer::new(kept_ends.clone()), &kept_bytes).is_ok());
    // SAFETY: Within each run, ends keep their distances, and each begins where the one before it ended: they start at 0
    // and never fall, and as no text is in two runs they fit. Between two of them are the bytes of one text of `texts`,
    // which are valid UTF-8. There are as many bytes as the last end says.
    unsafe { StringArray::new_unchecked(OffsetBuffer::new_unchecked(kept_ends), kept_bytes, nulls) }
}

#[cfg(test)]
pub(super) mod tests {
    use arrow::array::{Decimal128Array, Int32Array, TimestampMicrosecondArray};
    use arrow::buffer::BooleanBuffer;
    use arrow::compute::filter_record_batch;

    use super::*;

    pub(in super::super) fn batch(rows: i32) -> RecordBatch {
        let numbers = || 0..rows;
        let some = |n: i32| (n % 7 != 0).then_some(n);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("plain", Arc::new(Int32Array::from_iter_values(numbers()))),
            ("nulls", Arc::new(numbers().map(some).collect::<Int32Array>())),
            (
                "money",
                Arc::new(
                    numbers()
                        .map(|n| some(n).map(i128::from))
                        .collect::<Decimal128Array>()
                        .with_precision_and_scale(12, 2)
                        .unwrap(),
                ),
            ),
            (
                "moment",
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(numbers().map(i64::from))
                        .with_timezone("UTC"),
                ),
            ),
            ("text", Arc::new(numbers().map(|n| some(n).map(|n| format!("{n} €"))).collect::<StringArray>())),
            ("flag", Arc::new(numbers().map(|n| some(n).map(|n| n % 2 == 0)).collect::<BooleanArray>())),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn rows_fall_out_in_every_type_whoever_holds_the_values() {
        let keep: BooleanArray = (0..500).map(|n| (n % 13 != 5).then_some(n % 50 != 0)).collect();
        let expected = filter_record_batch(&batch(500), &keep).unwrap();
        assert_eq!(squeeze(batch(500), &keep).unwrap(), expected);
        let held = batch(500);
        assert_eq!(squeeze(held.clone(), &keep).unwrap(), expected);
        assert_eq!(held, batch(500), "what others hold is as it was");
        // A comparison leaves any value where it is NULL.
        let anything = BooleanArray::new(BooleanBuffer::new_set(500), keep.nulls().cloned());
        let by_nulls = filter_record_batch(&batch(500), &anything).unwrap();
        assert!(by_nulls.num_rows() < 500);
        assert_eq!(squeeze(batch(500), &anything).unwrap(), by_nulls);
        // One column loses all of its NULLs, as `nulls <> 15` would have it.
        let known: BooleanArray = (0..500).map(|n| Some(n % 7 != 0 && n != 15)).collect();
        let without = filter_record_batch(&batch(500), &known).unwrap();
        assert_eq!(without["nulls"].null_count(), 0);
        assert_eq!(squeeze(batch(500), &known).unwrap(), without);
        let part = |batch: RecordBatch| batch.slice(100, 300);
        let keep = keep.slice(100, 300);
        let expected = filter_record_batch(&part(batch(500)), &keep).unwrap();
        assert_eq!(squeeze(part(batch(500)), &keep).unwrap(), expected);
        assert_eq!(squeeze(batch(500).slice(0, 300), &keep).unwrap().num_rows(), expected.num_rows());
    }

    #[test]
    fn all_rows_none_and_those_without_columns_are_counted() {
        let all = BooleanArray::from(vec![true; 20]);
        let none = BooleanArray::from(vec![false; 20]);
        assert_eq!(squeeze(batch(20), &all).unwrap(), batch(20));
        assert_eq!(squeeze(batch(20), &none).unwrap().num_rows(), 0);
        let bare = batch(20).project(&[]).unwrap();
        let keep: BooleanArray = (0..20).map(|n| Some(n % 4 > 0)).collect();
        assert_eq!(squeeze(bare, &keep).unwrap().num_rows(), 15);
    }
}
