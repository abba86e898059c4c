//! Checksums of what lies in the store, so that damage is an error and never a wrong answer.
//!
//! A data file has one for every block, kept in the log beside its name: whatever range is read of it can be
//! checked. A file of JSON carries its own as its last value.

use std::ops::Range;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

/// Bytes under one checksum: what is read at least. A lookup reads one for each column.
pub(crate) const BLOCK: u64 = 32 * 1024;
/// The same in files of earlier versions.
const EARLIER_BLOCK: u64 = 128 * 1024;

/// The checksums of a file. CRC-32 finds every error of up to 32 bits in a row, and others with a chance of
/// 1 : 2^32 to miss one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checksums {
    /// Bytes of the file.
    pub(crate) size: u64,
    /// Bytes of a block.
    block: u64,
    blocks: Vec<u32>,
}

impl Checksums {
    /// What the log tells of a file of `size` bytes; `None` when that cannot be of this file.
    pub(crate) fn parse(text: &str, size: u64) -> Option<Self> {
        let bytes = BASE64_STANDARD_NO_PAD.decode(text).ok()?;
        let (blocks, []) = bytes.as_chunks::<4>() else { return None };
        let blocks: Vec<_> = blocks.iter().map(|block| u32::from_le_bytes(*block)).collect();
        // The number of blocks tells how large they are; a single one is the whole file in either case.
        let mut sizes = [BLOCK, EARLIER_BLOCK].into_iter();
        let block = sizes.find(|block| blocks.len() as u64 == size.div_ceil(*block))?;
        Some(Checksums { size, block, blocks })
    }

    /// As the log keeps them.
    pub(crate) fn to_text(&self) -> String {
        let bytes: Vec<u8> = self.blocks.iter().flat_map(|block| block.to_le_bytes()).collect();
        BASE64_STANDARD_NO_PAD.encode(bytes)
    }

    /// The whole blocks that hold `range`.
    pub(crate) fn blocks_of(&self, range: &Range<u64>) -> Range<u64> {
        let start = range.start / self.block * self.block;
        start..range.end.next_multiple_of(self.block).min(self.size)
    }

    /// The first block of `bytes` that is not as it was written. `bytes` begin at `start`, which begins a block.
    pub(crate) fn damaged(&self, start: u64, bytes: &[u8]) -> Option<Range<u64>> {
        let first = (start / self.block) as usize;
        let known = self.blocks.get(first..).unwrap_or_default();
        bytes.chunks(self.block as usize).enumerate().find_map(|(at, block)| {
            let begin = start + at as u64 * self.block;
            (known.get(at) != Some(&crc32fast::hash(block))).then_some(begin..begin + block.len() as u64)
        })
    }
}

/// Computes checksums while a file is written.
#[derive(Default)]
pub(crate) struct Summing {
    size: u64,
    blocks: Vec<u32>,
    open: crc32fast::Hasher,
}

impl Summing {
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = (BLOCK - self.size % BLOCK) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.open.update(now);
            self.size += now.len() as u64;
            if self.size.is_multiple_of(BLOCK) {
                self.blocks.push(std::mem::take(&mut self.open).finalize());
            }
            bytes = later;
        }
    }

    pub(crate) fn finish(mut self) -> Checksums {
        if !self.size.is_multiple_of(BLOCK) {
            self.blocks.push(self.open.finalize());
        }
        Checksums { size: self.size, block: BLOCK, blocks: self.blocks }
    }
}

/// Where a sealed object keeps its checksum.
pub(crate) const SEALED_IN: &str = "tributaryCheck";
/// The key of the checksum within JSON.
const KEY: &[u8] = br#","tributaryCheck":""#;
/// Key, eight digits, quote.
const SEAL: usize = KEY.len() + 9;
/// Ends the first entry of a commit.
const COMMIT_INFO_END: &str = "}}";

/// Adds the checksum to the text of a commit, as the last value of its first entry; `None` when that has no end.
pub(crate) fn seal_commit(text: &str) -> Option<String> {
    let (head, tail) = text.split_once(COMMIT_INFO_END)?;
    Some(sealed(head, COMMIT_INFO_END, tail))
}

/// Adds the checksum as the last value of a JSON object; `None` when the text is none.
pub(crate) fn seal_object(text: &str) -> Option<String> {
    Some(sealed(text.trim_end().strip_suffix('}')?.trim_end(), "}", ""))
}

/// Whether `text` is as [`seal_commit`] made it.
pub(crate) fn is_sealed_commit(text: &[u8]) -> bool {
    let found = text.windows(KEY.len()).position(|window| window == KEY);
    found.is_some_and(|at| is_sealed(text, at, COMMIT_INFO_END))
}

/// Whether `text` is as [`seal_object`] made it.
pub(crate) fn is_sealed_object(text: &[u8]) -> bool {
    text.len().checked_sub(SEAL + 1).is_some_and(|at| is_sealed(text, at, "}"))
}

fn sealed(head: &str, end: &str, tail: &str) -> String {
    format!(r#"{head},"tributaryCheck":"{:08x}"{end}{tail}"#, sum(head.as_bytes(), tail.as_bytes()))
}

fn is_sealed(text: &[u8], at: usize, end: &str) -> bool {
    let Some((head, rest)) = text.split_at_checked(at) else { return false };
    let Some((seal, tail)) = rest.split_at_checked(SEAL + end.len()) else { return false };
    let expected = sealed("", end, "");
    let digits = format!("{:08x}", sum(head, tail));
    let is_frame = |range: Range<usize>| seal.get(range.clone()) == expected.as_bytes().get(range);
    is_frame(0..KEY.len())
        && is_frame(KEY.len() + 8..SEAL + end.len())
        && seal.get(KEY.len()..KEY.len() + 8) == Some(digits.as_bytes())
}

fn sum(head: &[u8], tail: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    // So that no byte can move from one to the other.
    hasher.update(&(head.len() as u64).to_le_bytes());
    hasher.update(tail);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_block_is_found() {
        let bytes: Vec<u8> = (0..3 * BLOCK + 5).map(|i| (i % 251) as u8).collect();
        let mut summing = Summing::default();
        bytes.chunks(7_001).for_each(|part| summing.add(part));
        let sums = summing.finish();
        assert_eq!(Checksums::parse(&sums.to_text(), sums.size), Some(sums.clone()));
        assert_eq!(Checksums::parse(&sums.to_text(), sums.size + BLOCK), None);
        assert_eq!(sums.damaged(0, &bytes), None);
        assert_eq!(sums.blocks_of(&(BLOCK - 1..BLOCK + 1)), 0..2 * BLOCK);
        assert_eq!(sums.blocks_of(&(3 * BLOCK + 1..3 * BLOCK + 2)), 3 * BLOCK..3 * BLOCK + 5);
        for at in [0, BLOCK, 3 * BLOCK + 4] {
            let mut damaged = bytes.clone();
            damaged[at as usize] ^= 0x10;
            let block = at / BLOCK * BLOCK;
            assert_eq!(sums.damaged(0, &damaged).map(|range| range.start), Some(block));
            assert!(sums.damaged(block, &damaged[block as usize..]).is_some());
        }
        assert!(sums.damaged(0, &bytes[..bytes.len() - 1]).is_some(), "a file that became shorter");
    }

    #[test]
    fn the_larger_blocks_of_earlier_versions_are_understood() {
        for size in [1, BLOCK, BLOCK + 1, EARLIER_BLOCK, EARLIER_BLOCK + 1, 5 * EARLIER_BLOCK + 7] {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let sums: Vec<u8> = bytes
                .chunks(EARLIER_BLOCK as usize)
                .flat_map(|block| crc32fast::hash(block).to_le_bytes())
                .collect();
            let sums = Checksums::parse(&BASE64_STANDARD_NO_PAD.encode(sums), size).unwrap();
            assert_eq!(sums.damaged(0, &bytes), None, "{size}");
            let mut damaged = bytes.clone();
            damaged[size as usize - 1] ^= 1;
            let found = sums.damaged(0, &damaged);
            assert_eq!(found.map(|range| range.start), Some((size - 1) / sums.block * sums.block), "{size}");
        }
    }

    #[test]
    fn every_flipped_bit_of_sealed_json_is_found() {
        let commit = seal_commit("{\"a\":{\"b\":1}}\n{\"c\":{\"d\":2}}\n").unwrap();
        let object = seal_object("{\n \"id\": {\"b\": 1}\n}\n").unwrap();
        for (sealed, is_sound) in
            [(commit, is_sealed_commit as fn(&[u8]) -> bool), (object.clone(), is_sealed_object)]
        {
            assert!(is_sound(sealed.as_bytes()), "{sealed}");
            for bit in 0..8 * sealed.len() {
                let mut damaged = sealed.clone().into_bytes();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(!is_sound(&damaged), "bit {bit} of {sealed}");
            }
            for length in 0..sealed.len() {
                assert!(!is_sound(&sealed.as_bytes()[..length]), "{length} bytes of {sealed}");
            }
        }
        assert!(serde_json::from_str::<serde_json::Value>(&object).unwrap()["id"]["b"] == 1);
        assert!(!is_sealed_object(b"{\"id\":1}") && !is_sealed_commit(b"{\"id\":{}}"));
    }
}
