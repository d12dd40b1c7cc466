//! A member's name, as far as it matters.

/// A member's name, decoded. Only known names matter, so a few bytes are enough, and nothing has to be reserved:
/// a longer name is an unknown one, however long it is. (The tests hold this against every known name.)
#[derive(Debug, Default)]
pub(super) struct Name {
    bytes: [u8; 16],
    /// May be past the end of `bytes`.
    length: usize,
}

impl Name {
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

    /// The name, if it is short enough to be a known one.
    pub fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length)
    }
}
