//! Leaves rows out of a batch that is read once and whose order nobody asks for: the last ones take their places, which
//! moves few values where few rows fall out.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBufferBuilder, PrimitiveArray,
    RecordBatch, UInt32Array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::downcast_primitive_array;
use arrow::error::ArrowError;
use arrow::util::bit_iterator::BitIndexIterator;

use super::squeeze::{each_column, in_place, texts_of, without_nulls};

/// The rows of `batch` for which `keep` says so, in an order that follows from `keep` alone.
pub(super) fn fill(batch: RecordBatch, keep: &BooleanArray) -> Result<RecordBatch, ArrowError> {
    let count = keep.true_count();
    if count == batch.num_rows() {
        return Ok(batch);
    }
    let filled = Filled::new(without_nulls(keep).values(), count);
    each_column(batch, count, |column| kernel(&column)(column, &filled))
}

/// The first rows, and which others take the places of those among them that fall out.
struct Filled {
    count: usize,
    /// Places, which ascend, and the rows for them.
    moves: Vec<(usize, usize)>,
}

impl Filled {
    fn new(keep: &BooleanBuffer, count: usize) -> Self {
        let gone = !keep;
        let places = BitIndexIterator::new(gone.values(), gone.offset(), count);
        let rest = BitIndexIterator::new(keep.values(), keep.offset() + count, keep.len() - count);
        let mut moves = Vec::with_capacity(keep.len() - count);
        moves.extend(places.zip(rest.map(|row| count + row)));
        Filled { count, moves }
    }

    fn bits(&self, bits: &BooleanBuffer) -> BooleanBuffer {
        let mut kept = BooleanBufferBuilder::new(self.count);
        kept.append_packed_range(bits.offset()..bits.offset() + self.count, bits.values());
        for (place, row) in &self.moves {
            kept.set_bit(*place, bits.value(*row));
        }
        kept.finish()
    }

    fn nulls(&self, nulls: Option<&NullBuffer>) -> Option<NullBuffer> {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0)?;
        Some(NullBuffer::new(self.bits(nulls.inner()))).filter(|nulls| nulls.null_count() > 0)
    }

    /// Beginnings and ends of rows that lie together before and after.
    fn runs(&self) -> Vec<(usize, usize)> {
        let mut runs = Vec::with_capacity(2 * self.moves.len() + 1);
        let mut start = 0;
        for (place, row) in &self.moves {
            runs.extend([(start, *place), (*row, row + 1)]);
            start = place + 1;
        }
        runs.push((start, self.count));
        runs
    }

    fn rows(&self) -> UInt32Array {
        let mut rows: Vec<u32> = (0..self.count as u32).collect();
        for (place, row) in &self.moves {
            rows[*place] = *row as u32;
        }
        rows.into()
    }
}

type Kernel = fn(ArrayRef, &Filled) -> Result<ArrayRef, ArrowError>;

fn kernel(column: &dyn Array) -> Kernel {
    fn of<T: ArrowPrimitiveType>(_: &PrimitiveArray<T>) -> Kernel {
        values::<T>
    }
    downcast_primitive_array!(
        column => of(column),
        DataType::Utf8 => |column, filled| {
            let texts = column.as_string();
            Ok(Arc::new(texts_of(texts, &filled.runs(), filled.count, filled.nulls(texts.nulls()))))
        },
        DataType::Boolean => |column, filled| {
            let flags = column.as_boolean();
            Ok(Arc::new(BooleanArray::new(filled.bits(flags.values()), filled.nulls(flags.nulls()))))
        },
        _ => |column, filled| take(&column, &filled.rows(), None),
    )
}

fn values<T: ArrowPrimitiveType>(column: ArrayRef, filled: &Filled) -> Result<ArrayRef, ArrowError> {
    let move_last = |values: &mut [T::Native]| {
        for (place, row) in &filled.moves {
            values[*place] = values[*row];
        }
    };
    let nulls = |nulls: Option<NullBuffer>| filled.nulls(nulls.as_ref());
    in_place::<T>(column, filled.count, move_last, nulls, |array| take(array, &filled.rows(), None))
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, Int32Array};
    use arrow::compute::{filter_record_batch, sort_to_indices, take_record_batch};

    use super::super::squeeze::tests::batch;
    use super::*;

    fn sorted(batch: &RecordBatch) -> RecordBatch {
        take_record_batch(batch, &sort_to_indices(&batch["plain"], None, None).unwrap()).unwrap()
    }

    #[test]
    fn the_same_rows_are_left_and_few_of_them_move() {
        for one_in in [2, 3, 13, 50, 499, 1000] {
            let keep: BooleanArray = (0..500).map(|n| (n % 77 != 5).then_some(n % one_in != 0)).collect();
            let expected = filter_record_batch(&batch(500), &keep).unwrap();
            let found = fill(batch(500), &keep).unwrap();
            assert_eq!(sorted(&found), expected, "one in {one_in}");
            let held = batch(500);
            assert_eq!(fill(held.clone(), &keep).unwrap(), found, "whoever holds the values");
            assert_eq!(held, batch(500), "what others hold is as it was");
            let numbers = found["plain"].as_primitive::<arrow::datatypes::Int32Type>();
            let stayed = numbers.values().iter().zip(0..).filter(|(number, row)| *number == row).count();
            assert!(stayed + 2 * (500 - found.num_rows()) >= 500, "{stayed} of {}", found.num_rows());
            let part = keep.slice(37, 300);
            let expected = filter_record_batch(&batch(500).slice(37, 300), &part).unwrap();
            assert_eq!(sorted(&fill(batch(500).slice(37, 300), &part).unwrap()), expected);
        }
    }

    #[test]
    fn all_rows_none_and_other_types_are_left_as_well() {
        let none = BooleanArray::from(vec![false; 20]);
        assert_eq!(fill(batch(20), &none).unwrap().num_rows(), 0);
        assert_eq!(fill(batch(20), &BooleanArray::from(vec![true; 20])).unwrap(), batch(20));
        let bytes = BinaryArray::from_opt_vec(vec![Some(b"a"), None, Some(b"c"), Some(b"d")]);
        let columns: [(&str, ArrayRef); 2] =
            [("bytes", Arc::new(bytes)), ("n", Arc::new(Int32Array::from(vec![0, 1, 2, 3])))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let left = fill(batch, &BooleanArray::from(vec![false, true, true, true])).unwrap();
        assert_eq!(left["n"].as_primitive::<arrow::datatypes::Int32Type>().values(), &[3, 1, 2]);
        assert_eq!(
            left["bytes"].as_binary::<i32>().iter().collect::<Vec<_>>(),
            [Some(&b"d"[..]), None, Some(b"c")]
        );
    }
}
