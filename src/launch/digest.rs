//! The digest of a body as sent: by it a request that comes again is known to be the same.

use highway::{HighwayHash as _, HighwayHasher};

/// A digest under way.
///
/// Two requests under one id are compared by HighwayHash, which takes a third of the time that BLAKE3 takes in
/// WebAssembly: of all that is done with a body full of attachments, digesting it was the most expensive. Its key is no
/// secret here, so it withstands accidents and not a caller who looks for two bodies alike; that caller would choose both,
/// and the id, and get one launch where two were sent. Where the digest *is* the id, nobody chooses an id: then it is
/// BLAKE3, so that no text that others wrote into a body can make it pass for an earlier one.
#[derive(Debug, Clone)]
pub struct BodyDigest {
    same: HighwayHasher,
    id: Option<Box<blake3::Hasher>>,
}

impl BodyDigest {
    /// The digest of a body of which nothing has come. `is_id`: it is to be the request's id as well.
    pub fn new(is_id: bool) -> Self {
        Self { same: HighwayHasher::default(), id: is_id.then(Box::default) }
    }

    /// Takes in what follows.
    pub fn update(&mut self, bytes: &[u8]) {
        self.same.append(bytes);
        if let Some(id) = &mut self.id {
            id.update(bytes);
        }
    }

    /// What a request that comes again is held against.
    pub fn finish(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        let words = self.same.clone().finalize256();
        digest.chunks_exact_mut(8).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
        digest
    }

    /// The id, if it is to be one.
    pub fn id(&self) -> Option<[u8; 32]> {
        self.id.as_ref().map(|id| id.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same on every machine and in every version: digests are kept for a day.
    #[test]
    fn vectors() {
        let bytes: Vec<u8> = (0..100).collect();
        for chunk in [1, 7, 32, 100] {
            let mut digest = BodyDigest::new(true);
            bytes.chunks(chunk).for_each(|chunk| digest.update(chunk));
            let mut hex = String::new();
            crate::campaign::hex(&digest.finish(), &mut hex);
            assert_eq!(hex, "ba24c274dbb538fe69cb0372c29e95d4cb7302e63e4b5166f1920a4bfebaf845", "in chunks of {chunk}");
            assert_eq!(digest.id(), Some(blake3::hash(&bytes).into()));
        }
        assert_eq!(BodyDigest::new(false).id(), None);
    }
}
