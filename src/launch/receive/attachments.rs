//! Decodes the entries of `attach` as they arrive.

use crate::{limits::ATTACHMENT_NAME_LIMIT, wire::attachment_data::AttachmentDecoder};
use std::{collections::VecDeque, ops::Range};

/// Decoded attachment data, in the order of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachmentEvent {
    /// A range of [`DecodedAttachments::bytes`]: data of the current attachment.
    Bytes(Range<usize>),
    /// The current attachment is complete and valid.
    End { name: String, content_type: String },
}

/// Decoded attachment data that is not uploaded yet.
#[derive(Debug, Default)]
pub struct DecodedAttachments {
    pub events: VecDeque<AttachmentEvent>,
    pub bytes: Vec<u8>,
}

/// The current entry of `attach`.
#[derive(Debug, Default)]
pub struct AttachmentEntry {
    name: Option<String>,
    data: Data,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    Absent,
    Incomplete(Box<AttachmentDecoder>),
    Complete {
        media_type: String,
    },
}

/// Why an entry of `attach` is invalid. The text follows the entry's path: `.name: is required`.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum EntryFault {
    #[error(": {0}")]
    Entry(String),
    #[error(".name: {0}")]
    Name(String),
    #[error(".data: {0}")]
    Data(String),
}

impl AttachmentEntry {
    pub fn set_name(&mut self, name: &str) -> Result<(), EntryFault> {
        let wrong = if name.is_empty() {
            "must not be empty".to_owned()
        } else if name.len() > ATTACHMENT_NAME_LIMIT {
            format!("is longer than {ATTACHMENT_NAME_LIMIT} bytes")
        } else if name.chars().any(char::is_control) {
            "must not contain control characters".to_owned()
        } else {
            self.name = Some(name.to_owned());
            return Ok(());
        };
        Err(EntryFault::Name(wrong))
    }

    pub fn begin_data(&mut self) {
        self.data = Data::Incomplete(Box::default());
    }

    /// Decodes the next part of `data`.
    pub fn push_data(&mut self, piece: &[u8], decoded: &mut DecodedAttachments) -> Result<(), EntryFault> {
        let Data::Incomplete(decoder) = &mut self.data else { return Ok(()) };
        let start = decoded.bytes.len();
        decoder.push(piece, &mut decoded.bytes).map_err(|error| EntryFault::Data(error.to_string()))?;
        decoded.add_bytes(start);
        Ok(())
    }

    /// Decodes the base64 characters at the start of `bytes`, and returns how many bytes they are.
    pub fn push_base64(&mut self, bytes: &[u8], decoded: &mut DecodedAttachments) -> usize {
        let Data::Incomplete(decoder) = &mut self.data else { return 0 };
        let start = decoded.bytes.len();
        let length = decoder.push_base64(bytes, &mut decoded.bytes);
        decoded.add_bytes(start);
        length
    }

    pub fn finish_data(&mut self, decoded: &mut DecodedAttachments) -> Result<(), EntryFault> {
        let Data::Incomplete(decoder) = std::mem::take(&mut self.data) else { return Ok(()) };
        let start = decoded.bytes.len();
        let media_type = decoder.finish(&mut decoded.bytes).map_err(|error| EntryFault::Data(error.to_string()))?;
        decoded.add_bytes(start);
        self.data = Data::Complete { media_type };
        Ok(())
    }

    /// Ends the entry. Returns an error if a member is missing.
    pub fn finish(self, decoded: &mut DecodedAttachments) -> Result<(), EntryFault> {
        let name = self.name.ok_or_else(|| EntryFault::Name("is required".to_owned()))?;
        match self.data {
            Data::Complete { media_type: content_type } => {
                decoded.events.push_back(AttachmentEvent::End { name, content_type });
                Ok(())
            }
            Data::Absent | Data::Incomplete(_) => Err(EntryFault::Data("is required".to_owned())),
        }
    }
}

impl DecodedAttachments {
    /// Removes all data, and keeps the memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.bytes.clear();
    }

    /// Adds an event for the bytes from `start` on.
    fn add_bytes(&mut self, start: usize) {
        let end = self.bytes.len();
        match self.events.back_mut() {
            Some(AttachmentEvent::Bytes(range)) => range.end = end,
            _ if end > start => self.events.push_back(AttachmentEvent::Bytes(start..end)),
            _ => {}
        }
    }
}
