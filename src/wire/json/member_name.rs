//! The decoded name of a member. Only known names matter, so a few bytes are enough: a longer name is unknown.

const CAPACITY: usize = 16;

#[derive(Debug, Default)]
pub(super) struct MemberName {
    bytes: [u8; CAPACITY],
    /// May be larger than the capacity.
    length: usize,
}

impl MemberName {
    pub fn clear(&mut self) {
        self.length = 0;
    }

    pub fn push(&mut self, run: &[u8]) {
        let length = self.length.saturating_add(run.len());
        if let Some(room) = self.bytes.get_mut(self.length..length) {
            room.copy_from_slice(run);
        }
        self.length = length;
    }

    /// Returns the name, unless it is longer than every known name.
    pub fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::{AttachmentField, Endpoint, RootField};

    #[test]
    fn every_known_name_fits() {
        let root =
            Endpoint::ALL.into_iter().flat_map(|endpoint| RootField::all().filter_map(move |of| of.name(endpoint)));
        for name in root.chain(AttachmentField::ALL.map(AttachmentField::name)) {
            let mut member = MemberName::default();
            name.as_bytes().iter().for_each(|byte| member.push(&[*byte]));
            assert_eq!(member.get(), Some(name.as_bytes()));
        }
    }
}
