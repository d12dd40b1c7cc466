//! The `custom_data` that items brought along for their own recipient.
//!
//! Most launches have none, so what is kept is an index of those that do: eight bytes each (the recipient's
//! index, and where its text ends, both little-endian `u32`), in the order of the recipients, and then the texts,
//! one after the other. Entries are of one width so that a page in the middle is found by halving.

/// Bytes of one entry of the index.
pub const ENTRY: usize = 8;

/// Collects the `custom_data` of recipients, in their order.
#[derive(Debug, Default)]
pub struct Collector {
    index: Vec<u8>,
    texts: String,
}

/// A recipient out of order, or more text than an offset can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotInOrder;

impl Collector {
    /// `text` is the JSON text of recipient `recipient` (from 0; larger than the last one's).
    pub fn push(&mut self, recipient: u32, text: &str) -> Result<(), NotInOrder> {
        let end = u32::try_from(self.texts.len().saturating_add(text.len())).map_err(|_| NotInOrder)?;
        if self.last().is_some_and(|last| last >= recipient) || text.is_empty() {
            return Err(NotInOrder);
        }
        self.texts.push_str(text);
        self.index.extend_from_slice(&recipient.to_le_bytes());
        self.index.extend_from_slice(&end.to_le_bytes());
        Ok(())
    }

    fn last(&self) -> Option<u32> {
        let entry = self.index.last_chunk::<ENTRY>()?;
        Some(entry_of(entry).0)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.index.len().saturating_add(self.texts.len())
    }

    /// What was collected, to be sent.
    pub fn view(&self) -> ItemData<'_> {
        ItemData { index: &self.index, texts: &self.texts }
    }
}

/// The items' data as it travels and as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemData<'a> {
    /// The entries.
    pub index: &'a [u8],
    /// The texts.
    pub texts: &'a str,
}

impl<'a> ItemData<'a> {
    /// Whether this is what [`Collector`] makes for a launch of `recipients`.
    pub fn is_sound(&self, recipients: u32) -> bool {
        if !self.index.len().is_multiple_of(ENTRY) {
            return false;
        }
        let mut next = 0;
        let mut start = 0;
        for (recipient, end) in entries(self.index) {
            let text = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let Some(text) = text.and_then(|(start, end)| self.texts.get(start..end)) else { return false };
            if recipient < next || recipient >= recipients || text.is_empty() {
                return false;
            }
            next = recipient.saturating_add(1);
            start = end;
        }
        usize::try_from(start) == Ok(self.texts.len())
    }

    /// The recipients that have data of their own, and their texts.
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

/// The entries of an index: recipient, and the end of its text.
pub fn entries(index: &[u8]) -> impl Iterator<Item = (u32, u32)> + '_ {
    index.as_chunks::<ENTRY>().0.iter().map(entry_of)
}

fn entry_of(entry: &[u8; ENTRY]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = *entry;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}
