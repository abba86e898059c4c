//! Deletion vectors: which rows of a file are no longer in the table.
//!
//! The format is Delta's: a version byte, then per vector its size, a magic number, a portable 64-bit roaring
//! bitmap and a CRC. All vectors of one commit share one file.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::BooleanBuffer;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::failure;
use crate::error::{Error, Kind, Result};

const FOLDER: &str = "dv";
const VERSION: u8 = 1;
const MAGIC: u32 = 1_681_511_377;

/// Where a vector is stored, as the log says it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) storage_type: String,
    pub(crate) path_or_inline_dv: String,
    pub(crate) offset: Option<i32>,
    pub(crate) size_in_bytes: i32,
    pub(crate) cardinality: i64,
}

impl Descriptor {
    /// The file of the vector, relative to the table; `None` for storage that we do not write.
    pub(crate) fn path(&self) -> Option<String> {
        self.place().map(|(path, _)| path)
    }

    /// The file of the vector, relative to the table, and where in it its bitmap lies.
    fn place(&self) -> Option<(String, Range<u64>)> {
        let encoded = self.path_or_inline_dv.len().checked_sub(20)?;
        let (folder, id) = self.path_or_inline_dv.split_at_checked(encoded)?;
        let id = Uuid::from_bytes(z85_decode(id)?);
        let start = u64::try_from(self.offset?).ok()?;
        let end = start + 4 + u64::try_from(self.size_in_bytes).ok()? + 4;
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        (self.storage_type == "u").then(|| (format!("{folder}deletion_vector_{id}.bin"), start..end))
    }
}

/// The deleted rows of one file in one version.
#[derive(Debug)]
pub(crate) struct Deleted {
    pub(crate) descriptor: Descriptor,
    pub(crate) rows: RoaringTreemap,
    /// What [`Deleted::mask`] gives, once somebody asked.
    mask: OnceLock<BooleanBuffer>,
}

impl Deleted {
    pub(crate) fn new(descriptor: Descriptor, rows: RoaringTreemap) -> Arc<Self> {
        Arc::new(Deleted { descriptor, rows, mask: OnceLock::new() })
    }

    /// Reads the vector that `descriptor` names in the table at `root`.
    pub(crate) async fn read(
        store: &dyn ObjectStore,
        root: &Path,
        descriptor: &Descriptor,
    ) -> Result<Arc<Self>> {
        let what = format!("cannot read a deletion vector of `{root}`");
        let (path, range) = descriptor
            .place()
            .ok_or_else(|| Error::new(Kind::Corrupt, format!("{what}: unknown storage {descriptor:?}")))?;
        let path = Path::from(format!("{root}/{path}"));
        let bytes = store.get_range(&path, range).await.map_err(|e| failure::store(&what, e))?;
        let rows = decode(&bytes)
            .filter(|rows| i64::try_from(rows.len()) == Ok(descriptor.cardinality))
            .ok_or_else(|| Error::new(Kind::Corrupt, format!("{what}: `{path}` is damaged")))?;
        Ok(Deleted::new(descriptor.clone(), rows))
    }

    /// A bit for each row of a file of `total` rows: whether it is left.
    pub(crate) fn mask(&self, total: u64) -> BooleanBuffer {
        self.mask.get_or_init(|| mask_without(&self.rows, total)).clone()
    }

    /// The rows that are left of a file of `total` rows.
    pub(crate) fn selection(&self, total: u64) -> RowSelection {
        without(&self.rows, total)
    }
}

/// A bit for each of `total` rows: whether it is not among `gone`.
pub(crate) fn mask_without(gone: &RoaringTreemap, total: u64) -> BooleanBuffer {
    let mut mask = BooleanBufferBuilder::new(total as usize);
    mask.append_n(total as usize, true);
    for row in gone.iter().take_while(|row| *row < total) {
        mask.set_bit(row as usize, false);
    }
    mask.finish()
}

/// These rows of a file of `total` rows, and no others.
pub(crate) fn selected(rows: &RoaringTreemap, total: u64) -> RowSelection {
    let ranges = rows.iter().map(|row| row as usize..row as usize + 1);
    RowSelection::from_consecutive_ranges(ranges, total as usize)
}

/// All of `total` rows but those that are `gone`.
pub(crate) fn without(deleted: &RoaringTreemap, total: u64) -> RowSelection {
    let mut selectors = Vec::with_capacity(2 * deleted.len() as usize + 1);
    let (mut next, mut skipped) = (0, 0);
    for row in deleted {
        if row > next {
            if skipped > 0 {
                selectors.push(RowSelector::skip(skipped));
                skipped = 0;
            }
            selectors.push(RowSelector::select((row - next) as usize));
        }
        skipped += 1;
        next = row + 1;
    }
    if skipped > 0 {
        selectors.push(RowSelector::skip(skipped));
    }
    if next < total {
        selectors.push(RowSelector::select((total - next) as usize));
    }
    RowSelection::from(selectors)
}

/// Collects the vectors of one commit into one file.
pub(crate) struct VectorFile {
    id: Uuid,
    bytes: Vec<u8>,
}

impl VectorFile {
    pub(crate) fn new() -> Self {
        Self::with_id(Uuid::new_v4())
    }

    /// A file whose name follows from `id`.
    pub(crate) fn with_id(id: Uuid) -> Self {
        VectorFile { id, bytes: vec![VERSION] }
    }

    /// The file's path relative to the table.
    pub(crate) fn path(&self) -> String {
        format!("{FOLDER}/deletion_vector_{}.bin", self.id)
    }

    pub(crate) fn add(&mut self, mut rows: RoaringTreemap) -> Result<Arc<Deleted>> {
        rows.optimize();
        let mut data = MAGIC.to_le_bytes().to_vec();
        rows.serialize_into(&mut data).map_err(|e| failure::file("cannot encode a deletion vector", e))?;
        let too_large = || Error::new(Kind::Limit, "the deletion vectors of one commit exceed 2 GiB");
        let descriptor = Descriptor {
            storage_type: "u".into(),
            path_or_inline_dv: format!("{FOLDER}{}", z85_encode(self.id.as_bytes())),
            offset: Some(i32::try_from(self.bytes.len()).map_err(|_| too_large())?),
            size_in_bytes: i32::try_from(data.len()).map_err(|_| too_large())?,
            cardinality: rows.len() as i64,
        };
        self.bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(&data);
        self.bytes.extend_from_slice(&crc32fast::hash(&data).to_be_bytes());
        Ok(Deleted::new(descriptor, rows))
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn decode(bytes: &[u8]) -> Option<RoaringTreemap> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let size = u32::from_be_bytes(*size) as usize;
    let (data, checksum) = rest.split_at_checked(size)?;
    let (magic, bitmap) = data.split_first_chunk::<4>()?;
    let sound = checksum == crc32fast::hash(data).to_be_bytes() && u32::from_le_bytes(*magic) == MAGIC;
    sound.then(|| RoaringTreemap::deserialize_from(bitmap).ok()).flatten()
}

const Z85: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// The base-85 form in which the protocol writes the id of a vector file.
fn z85_encode(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(20);
    for four in bytes.as_chunks::<4>().0 {
        let value = u32::from_be_bytes(*four);
        for power in [85 * 85 * 85 * 85, 85 * 85 * 85, 85 * 85, 85, 1] {
            text.push(char::from(Z85[(value / power % 85) as usize]));
        }
    }
    text
}

fn z85_decode(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    for (five, four) in text.as_bytes().chunks(5).zip(bytes.as_chunks_mut::<4>().0) {
        let value = five.iter().try_fold(0u64, |value, digit| {
            Some(value * 85 + Z85.iter().position(|known| known == digit)? as u64)
        })?;
        *four = u32::try_from(value).ok()?.to_be_bytes();
    }
    (text.len() == 20).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_and_their_names_are_read_back() {
        let mut file = VectorFile::new();
        let rows: RoaringTreemap = [0, 3, 4, 5, 9, 1 << 33].into_iter().collect();
        let other: RoaringTreemap = (0..70_000).collect();
        let (first, second) = (file.add(rows.clone()).unwrap(), file.add(other.clone()).unwrap());
        let path = file.path();
        let bytes = file.into_bytes();
        for (vector, rows) in [(first, rows), (second, other)] {
            let (place, range) = vector.descriptor.place().unwrap();
            assert_eq!(place, path);
            assert_eq!(decode(&bytes[range.start as usize..range.end as usize]), Some(rows));
        }
        let mut damaged = bytes[1..].to_vec();
        damaged[20] ^= 1;
        assert_eq!(decode(&damaged), None);
    }

    #[test]
    fn what_is_left_of_a_file_is_selected() {
        let text = |rows: &[u64], total| {
            let selectors: Vec<RowSelector> = without(&rows.iter().copied().collect(), total).into();
            let text = selectors.iter().map(|s| format!("{}{}", if s.skip { '-' } else { '+' }, s.row_count));
            text.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text(&[], 4), "+4");
        assert_eq!(text(&[0, 1, 3], 4), "-2 +1 -1");
        assert_eq!(text(&[2], 4), "+2 -1 +1");
        let chosen: Vec<RowSelector> = selected(&[1, 2, 5].into_iter().collect(), 7).into();
        let chosen: Vec<_> = chosen.iter().map(|s| (s.skip, s.row_count)).collect();
        assert_eq!(chosen, [(true, 1), (false, 2), (true, 2), (false, 1), (true, 1)]);
    }
}
