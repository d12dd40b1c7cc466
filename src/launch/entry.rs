//! The entries of `attach`, as they come: checked, decoded, and handed on to be stored.

use crate::{limits::ATTACHMENT_NAME_LIMIT, wire::attachment_data::AttachmentDecoder};
use std::{collections::VecDeque, ops::Range};

/// What came of attachments with one chunk of the body. Ranges are of [`Arrived::bytes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes of the entry under way.
    Bytes(Range<usize>),
    /// It is complete, and good.
    End {
        /// As the caller named it.
        name: String,
        /// Its media type.
        content_type: String,
    },
}

/// What has arrived and was not taken yet.
#[derive(Debug, Default)]
pub struct Arrived {
    /// In order. What is taken goes from the front.
    pub events: VecDeque<Event>,
    /// Decoded bytes.
    pub bytes: Vec<u8>,
}

/// The entry under way.
#[derive(Debug, Default)]
pub struct Entry {
    name: Option<String>,
    data: Data,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    Absent,
    Coming(Box<AttachmentDecoder>),
    /// Its media type.
    Whole(String),
}

/// What is wrong with an entry: the member (or the entry itself), and what.
pub type Fault = (&'static str, String);

impl Entry {
    /// `name` came.
    pub fn name(&mut self, name: &str) -> Result<(), Fault> {
        let wrong = if name.is_empty() {
            "must not be empty".to_owned()
        } else if name.len() > ATTACHMENT_NAME_LIMIT {
            format!("is longer than {ATTACHMENT_NAME_LIMIT} bytes")
        } else if name.chars().any(char::is_control) {
            "must hold no control characters".to_owned()
        } else {
            self.name = Some(name.to_owned());
            return Ok(());
        };
        Err((".name", wrong))
    }

    /// `data` begins.
    pub fn begin(&mut self) {
        self.data = Data::Coming(Box::default());
    }

    /// Some of `data` came.
    pub fn push(&mut self, piece: &[u8], arrived: &mut Arrived) -> Result<(), Fault> {
        let Data::Coming(decoder) = &mut self.data else { return Ok(()) };
        let start = arrived.bytes.len();
        decoder.push(piece, &mut arrived.bytes).map_err(|error| (".data", error.to_string()))?;
        arrived.extend(start);
        Ok(())
    }

    /// Takes from the start of `bytes`, more of `data`, what is base64 and nothing else; how many bytes.
    pub fn push_base64(&mut self, bytes: &[u8], arrived: &mut Arrived) -> usize {
        let Data::Coming(decoder) = &mut self.data else { return 0 };
        let start = arrived.bytes.len();
        let taken = decoder.push_base64(bytes, &mut arrived.bytes);
        arrived.extend(start);
        taken
    }

    /// `data` ends.
    pub fn finish(&mut self, arrived: &mut Arrived) -> Result<(), Fault> {
        let Data::Coming(decoder) = std::mem::take(&mut self.data) else { return Ok(()) };
        let start = arrived.bytes.len();
        let media_type = decoder.finish(&mut arrived.bytes).map_err(|error| (".data", error.to_string()))?;
        arrived.extend(start);
        self.data = Data::Whole(media_type);
        Ok(())
    }

    /// The entry ends.
    pub fn end(self, arrived: &mut Arrived) -> Result<(), Fault> {
        let name = self.name.ok_or_else(|| (".name", "is required".to_owned()))?;
        match self.data {
            Data::Whole(content_type) => {
                arrived.events.push_back(Event::End { name, content_type });
                Ok(())
            }
            Data::Absent | Data::Coming(_) => Err((".data", "is required".to_owned())),
        }
    }
}

impl Arrived {
    /// All of it was taken, or is not wanted. Its memory stays.
    pub fn clear(&mut self) {
        self.events.clear();
        self.bytes.clear();
    }

    fn extend(&mut self, start: usize) {
        let end = self.bytes.len();
        match self.events.back_mut() {
            Some(Event::Bytes(range)) => range.end = end,
            _ if end > start => self.events.push_back(Event::Bytes(start..end)),
            _ => {}
        }
    }
}
