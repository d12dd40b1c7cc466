//! The entry of `attach` that is being framed: `{"name": …, "data": …}`, in either order.

use super::string::DecodedString;
use crate::{
    fields::AttachmentField,
    wire::{Piece, Sink, ValueType, attachment_name::AttachmentName},
};

#[derive(Debug, Default)]
pub(super) struct AttachmentObject {
    member: AttachmentMember,
    has_name: bool,
    has_data: bool,
    name: AttachmentName,
}

/// The current member.
#[derive(Debug, Clone, Copy, Default)]
enum AttachmentMember {
    #[default]
    Unknown,
    Name,
    Data,
    SecondData,
}

impl AttachmentObject {
    /// Begins a member. `None`: the name is longer than every known name.
    pub fn begin_member<S: Sink>(&mut self, name: Option<&[u8]>, sink: &mut S) {
        self.member = match name.and_then(AttachmentField::from_name) {
            Some(field @ AttachmentField::Name) if std::mem::replace(&mut self.has_name, true) => {
                sink.accept(Piece::AttachDuplicate(field));
                AttachmentMember::Unknown
            }
            Some(AttachmentField::Name) => AttachmentMember::Name,
            Some(field @ AttachmentField::Data) if std::mem::replace(&mut self.has_data, true) => {
                sink.accept(Piece::AttachDuplicate(field));
                AttachmentMember::SecondData
            }
            Some(AttachmentField::Data) => AttachmentMember::Data,
            None => AttachmentMember::Unknown,
        };
    }

    /// Begins the member's value, whose first byte is `byte`. Returns the string to decode, if the value is one.
    pub fn begin_value<S: Sink>(&mut self, byte: u8, sink: &mut S) -> Option<DecodedString> {
        match (self.member, byte) {
            (AttachmentMember::Name, b'"') => return Some(DecodedString::AttachmentName),
            (AttachmentMember::Data, b'"') => {
                sink.accept(Piece::AttachDataBegin);
                return Some(DecodedString::AttachmentData { is_first: true });
            }
            (AttachmentMember::SecondData, b'"') => return Some(DecodedString::AttachmentData { is_first: false }),
            (AttachmentMember::Name | AttachmentMember::Data, b'n')
            | (AttachmentMember::SecondData | AttachmentMember::Unknown, _) => {}
            (AttachmentMember::Name, _) => sink.accept(Piece::AttachNameWrongType(ValueType::of_json(byte))),
            (AttachmentMember::Data, _) => sink.accept(Piece::AttachDataWrongType(ValueType::of_json(byte))),
        }
        None
    }

    pub fn push_name(&mut self, run: &[u8]) {
        self.name.push(run);
    }

    /// Ends the name. `has_lone_surrogate`: it contains half of a surrogate pair.
    pub fn end_name<S: Sink>(&mut self, has_lone_surrogate: bool, sink: &mut S) {
        sink.accept(if has_lone_surrogate {
            Piece::AttachNameWrongType(ValueType::LoneSurrogate)
        } else {
            Piece::AttachName(self.name.text())
        });
    }
}
