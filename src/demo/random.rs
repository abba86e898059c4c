//! Numbers that look random and are the same in every run.

/// A generator (SplitMix64) that a seed determines completely.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`; 0 where there is none.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        match bound {
            0 => 0,
            bound => (self.next() % bound as u64) as usize,
        }
    }

    /// One of `choices`; the empty text where there is none.
    pub(super) fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices.get(self.below(choices.len())).copied().unwrap_or_default()
    }
}

/// Scatters a number over all 64 bits, one to one.
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A secret of 160 random bits with a prefix, for tokens and codes. Unlike the data it differs between runs, so a
/// token of one run never opens another.
pub(super) fn secret(prefix: &str) -> String {
    use base64::Engine;
    let bytes: [u8; 20] = rand::random();
    format!("{prefix}{}", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
