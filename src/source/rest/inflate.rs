//! Bodies within limits: as they arrive, and as they become when inflated.

use std::io::Read;

use flate2::read::MultiGzDecoder;

/// The largest body as it arrives.
pub(crate) const MAX_BODY: usize = 64 << 20;
/// The largest body after inflating.
const MAX_INFLATED: u64 = 256 << 20;
/// How much larger inflating may make a body.
const MAX_RATIO: u64 = 20;
/// What inflating may always reach: short bodies of repeated text shrink more than [`MAX_RATIO`].
const ALWAYS: u64 = 16 << 20;

/// Inflates a gzip body; `None` when it is damaged or becomes too large.
pub(crate) fn gunzip(body: &[u8]) -> Option<Vec<u8>> {
    let limit = (body.len() as u64).saturating_mul(MAX_RATIO).clamp(ALWAYS, MAX_INFLATED);
    let mut inflated = Vec::with_capacity(body.len().saturating_mul(4));
    // One byte more tells a body that reaches the limit from one that goes beyond it.
    MultiGzDecoder::new(body).take(limit + 1).read_to_end(&mut inflated).ok()?;
    (inflated.len() as u64 <= limit).then_some(inflated)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bodies_are_inflated_and_bombs_are_not() {
        assert_eq!(gunzip(&gzip(b"{}")).unwrap(), b"{}");
        let large = vec![b'x'; ALWAYS as usize];
        assert_eq!(gunzip(&gzip(&large)).unwrap().len(), large.len());
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        assert!(gunzip(&bomb).is_none());
        let whole = gzip(b"a body that is cut");
        assert!(gunzip(&whole[..whole.len() - 9]).is_none());
    }
}
