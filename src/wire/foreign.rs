//! Recognises bodies in other formats by their first byte, so that an error can name the cause.

use std::fmt;

/// The probable format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// If XML is expected.
    Json,
    /// If JSON is expected.
    Xml,
    Gzip,
    Utf16,
    Form,
    Multipart,
}

impl Foreign {
    /// Recognises a body by its first byte that is not white space.
    pub fn from_first(byte: u8) -> Option<Self> {
        Some(match byte {
            b'{' | b'[' => Self::Json,
            b'<' => Self::Xml,
            // Gzip begins with 1F 8B.
            0x1F => Self::Gzip,
            // A byte order mark of UTF-16, or an ASCII character in big-endian order.
            0x00 | 0xFE | 0xFF => Self::Utf16,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'%' => Self::Form,
            b'-' => Self::Multipart,
            _ => return None,
        })
    }

    /// What the caller can do.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Json => "send Content-Type: application/json",
            Self::Xml => "send Content-Type: application/xml",
            Self::Gzip => "send the body uncompressed",
            Self::Utf16 => "send UTF-8",
            Self::Form => "send a JSON object or an XML document",
            Self::Multipart => "send a JSON object or an XML document, with files as base64",
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Xml => "XML",
            Self::Gzip => "gzip",
            Self::Utf16 => "UTF-16",
            Self::Form => "form fields or plain text",
            Self::Multipart => "a multipart body",
        })
    }
}
