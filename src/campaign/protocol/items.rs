//! The `custom_data` of single items, for their own recipients.
//!
//! Most launches have none. So the format is an index of the recipients that have data, followed by the texts. An entry of
//! the index has eight bytes: the recipient's number and the end of its text, both little-endian `u32`. Entries are in the
//! order of the recipients and have a fixed width, so that a page in the middle is found by binary search.

/// Bytes of an entry of the index.
pub const INDEX_ENTRY: usize = 8;

/// Collects the `custom_data` of recipients, in their order.
#[derive(Debug, Default)]
pub struct ItemDataBuilder {
    index: Vec<u8>,
    texts: String,
}

/// A recipient is out of order, a text is empty, or the texts exceed 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("items' data is out of order, empty or too large")]
pub struct ItemDataError;

impl ItemDataBuilder {
    /// Adds the JSON text of a recipient. Recipients are numbered from 0, and their numbers have to increase.
    pub fn push(&mut self, recipient: u32, text: &str) -> Result<(), ItemDataError> {
        let end = u32::try_from(self.texts.len().saturating_add(text.len())).map_err(|_| ItemDataError)?;
        if self.last_recipient().is_some_and(|last| last >= recipient) || text.is_empty() {
            return Err(ItemDataError);
        }
        self.texts.push_str(text);
        self.index.extend_from_slice(&recipient.to_le_bytes());
        self.index.extend_from_slice(&end.to_le_bytes());
        Ok(())
    }

    fn last_recipient(&self) -> Option<u32> {
        self.index.last_chunk().map(|entry| decode_entry(entry).0)
    }

    /// Bytes of the index and the texts.
    pub fn bytes(&self) -> usize {
        self.index.len().saturating_add(self.texts.len())
    }

    /// The data in the format of a commit message.
    pub fn view(&self) -> ItemData<'_> {
        ItemData { index: &self.index, texts: &self.texts }
    }
}

/// The items' data in a commit message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemData<'a> {
    pub index: &'a [u8],
    pub texts: &'a str,
}

impl<'a> ItemData<'a> {
    /// Whether [`ItemDataBuilder`] can produce this data for a launch with this number of recipients.
    pub fn is_valid(&self, recipients: u32) -> bool {
        if !self.index.len().is_multiple_of(INDEX_ENTRY) {
            return false;
        }
        let mut next = 0;
        let mut start = 0;
        for (recipient, end) in entries(self.index) {
            let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let Some(text) = range.and_then(|(start, end)| self.texts.get(start..end)) else { return false };
            if recipient < next || recipient >= recipients || text.is_empty() {
                return false;
            }
            next = recipient.saturating_add(1);
            start = end;
        }
        usize::try_from(start) == Ok(self.texts.len())
    }

    /// Returns the recipients that have data, each with its text.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &'a str)> + use<'a> {
        let texts = self.texts;
        let mut start = 0;
        entries(self.index).map_while(move |(recipient, end)| {
            let from = usize::try_from(start).ok()?;
            start = end;
            Some((recipient, texts.get(from..usize::try_from(end).ok()?)?))
        })
    }
}

/// Returns the entries of an index: the recipient's number and the end of its text.
pub fn entries(index: &[u8]) -> impl Iterator<Item = (u32, u32)> + '_ {
    index.as_chunks().0.iter().map(decode_entry)
}

fn decode_entry(entry: &[u8; INDEX_ENTRY]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = *entry;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}
