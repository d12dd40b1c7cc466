//! The digest of a body as sent. Two requests with the same ID are the same request if their digests are equal.

use sha2::{Digest as _, Sha256};
use xxhash_rust::xxh3::Xxh3;

/// Digests a body chunk by chunk.
///
/// Two requests with the same ID are compared by XXH3 (128 bits) and length. In WebAssembly, XXH3 is many times faster than
/// SHA-256, which matters for bodies with large attachments. XXH3 does not resist a caller who searches for a collision, but
/// such a caller chooses both bodies and the ID, and only loses a launch. If the digest itself is the ID, it is SHA-256: then a
/// third party who contributes text to a body must not be able to make it equal to an earlier one.
#[derive(Clone)]
pub struct BodyDigest {
    comparison: Xxh3,
    length: u64,
    id: Option<Sha256>,
}

impl BodyDigest {
    /// `is_id`: computes a second digest, which becomes the request's ID.
    pub fn new(is_id: bool) -> Self {
        Self { comparison: Xxh3::new(), length: 0, id: is_id.then(Sha256::new) }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.comparison.update(bytes);
        self.length = self.length.saturating_add(bytes.len() as u64);
        if let Some(id) = &mut self.id {
            id.update(bytes);
        }
    }

    /// The digest for comparing requests: 16 bytes of hash, 8 bytes of length, 8 zeros.
    pub fn finish(&self) -> [u8; 32] {
        let hash = self.comparison.digest128().to_le_bytes();
        let mut parts = hash.into_iter().chain(self.length.to_le_bytes());
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    }

    /// The digest that is the request's ID.
    pub fn id(&self) -> Option<[u8; 32]> {
        self.id.as_ref().map(|id| id.clone().finalize().into())
    }
}

impl std::fmt::Debug for BodyDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyDigest").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests are stored for a day, so they must not change. The values are those of the reference implementation.
    #[test]
    fn computes_the_pinned_digests_in_chunks_of_any_size() {
        let bytes: Vec<u8> = (0..5000_u32).map(|at| (at % 251) as u8).collect();
        for (length, expected) in [
            (100, "1ec03ef0a50bb229f36695fd16ef95da64000000000000000000000000000000"),
            (5000, "ee2023c40f5018b4e73cd3392cc02eb988130000000000000000000000000000"),
        ] {
            let bytes = &bytes[..length];
            for chunk in [1, 7, 32, 100, 1000, 4999, 5000] {
                let mut digest = BodyDigest::new(true);
                bytes.chunks(chunk).for_each(|chunk| digest.update(chunk));
                let mut hex = String::new();
                crate::text::push_hex(&digest.finish(), &mut hex);
                assert_eq!(hex, expected, "in chunks of {chunk}");
                assert_eq!(digest.id(), Some(Sha256::digest(bytes).into()));
            }
        }
        assert_eq!(BodyDigest::new(false).id(), None);
    }
}
