//! The digest of a body as sent: by it a request that comes again is known to be the same.

use xxhash_rust::xxh3::Xxh3;

/// A digest under way.
///
/// Two requests under one id are compared by XXH3 (128 bits) and their length. Of all that is done with a body full of
/// attachments, digesting it was once the most expensive, and this takes an eighth of the time that BLAKE3 takes in
/// WebAssembly. It withstands accidents and not a caller who looks for two bodies alike; that caller would choose both,
/// and the id, and get one launch where two were sent. Where the digest *is* the id, nobody chooses an id: then it is
/// BLAKE3, so that no text that others wrote into a body can make it pass for an earlier one.
#[derive(Clone)]
pub struct BodyDigest {
    same: Xxh3,
    length: u64,
    id: Option<Box<blake3::Hasher>>,
}

impl BodyDigest {
    /// The digest of a body of which nothing has come. `is_id`: it is to be the request's id as well.
    pub fn new(is_id: bool) -> Self {
        Self { same: Xxh3::new(), length: 0, id: is_id.then(Box::default) }
    }

    /// Takes in what follows.
    pub fn update(&mut self, bytes: &[u8]) {
        self.same.update(bytes);
        self.length = self.length.saturating_add(bytes.len() as u64);
        if let Some(id) = &mut self.id {
            id.update(bytes);
        }
    }

    /// What a request that comes again is held against: 16 bytes of hash, 8 of length, 8 zeros.
    pub fn finish(&self) -> [u8; 32] {
        let hash = self.same.digest128().to_le_bytes();
        let mut parts = hash.into_iter().chain(self.length.to_le_bytes());
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    }

    /// The id, if it is to be one.
    pub fn id(&self) -> Option<[u8; 32]> {
        self.id.as_ref().map(|id| id.finalize().into())
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

    /// The same on every machine and in every version: digests are kept for a day. (As XXH3's own library has them.)
    #[test]
    fn vectors() {
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
                assert_eq!(digest.id(), Some(blake3::hash(bytes).into()));
            }
        }
        assert_eq!(BodyDigest::new(false).id(), None);
    }
}
