//! The `data` of an attachment: a data URI (RFC 2397) in base64, or base64 alone.

use std::fmt;

use super::base64::{Base64Decoder, Base64Error};
use crate::limits::DATA_URI_PREFIX_LIMIT;

/// The media type of what does not tell its own.
pub const DEFAULT_MEDIA_TYPE: &str = "application/octet-stream";

const SCHEME: &[u8] = b"data:";

/// Why the `data` of an attachment cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentDataError {
    /// It is not base64.
    Base64(Base64Error),
    /// It begins with `data:`, but its prefix does not end in `;base64,`.
    NotInBase64,
    /// It begins with `data:`, but its prefix is not UTF-8.
    PrefixNotText,
    /// It begins with `data:`, but no `,` follows within the limit.
    PrefixTooLong,
}

impl fmt::Display for AttachmentDataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base64(error) => error.fmt(f),
            Self::NotInBase64 => f.write_str("not base64; a data URI must contain \";base64,\""),
            Self::PrefixNotText => f.write_str("the prefix of the data URI is not UTF-8"),
            Self::PrefixTooLong => write!(f, "the prefix of the data URI is longer than {DATA_URI_PREFIX_LIMIT} bytes"),
        }
    }
}

impl std::error::Error for AttachmentDataError {}

impl From<Base64Error> for AttachmentDataError {
    fn from(error: Base64Error) -> Self {
        Self::Base64(error)
    }
}

/// Decodes the value of `data`, pushed in pieces of any size. White space before `data:` is skipped.
#[derive(Debug, Clone, Default)]
pub struct AttachmentDecoder {
    /// What may be, or is, the prefix of a data URI, as far as it has come; `None` behind it.
    prefix: Prefix,
    base64: Base64Decoder,
    /// Bytes of the value before what the decoder of base64 has been fed.
    before: u64,
}

#[derive(Debug, Clone)]
enum Prefix {
    /// Up to `data:` or to what shows that there is none; white space in front is not kept.
    Perhaps(Vec<u8>),
    /// Behind `data:`, up to the `,`.
    Parameters(Vec<u8>),
    /// Behind the prefix, or there is none.
    Done { media_type: Option<String> },
}

impl Default for Prefix {
    fn default() -> Self {
        Self::Perhaps(Vec::new())
    }
}

impl AttachmentDecoder {
    /// A decoder at the start of a value.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes what follows in the value, behind what stands in `out`. After an error it is of no more use.
    /// Offsets in errors are those in the value.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), AttachmentDataError> {
        let mut rest = input;
        loop {
            match &mut self.prefix {
                Prefix::Done { .. } => return self.decode(rest, out),
                Prefix::Perhaps(scheme) => {
                    let Some((byte, behind)) = rest.split_first() else { return Ok(()) };
                    let expected = SCHEME.get(scheme.len());
                    if scheme.is_empty() && byte.is_ascii_whitespace() {
                        self.before = self.before.saturating_add(1);
                    } else if expected == Some(&byte.to_ascii_lowercase()) {
                        scheme.push(*byte);
                        if scheme.len() == SCHEME.len() {
                            self.prefix = Prefix::Parameters(Vec::new());
                        }
                    } else {
                        self.no_prefix(out)?;
                        continue;
                    }
                    rest = behind;
                }
                Prefix::Parameters(parameters) => {
                    let room = DATA_URI_PREFIX_LIMIT.saturating_sub(SCHEME.len() + parameters.len());
                    let window = rest.get(..room).unwrap_or(rest);
                    let comma = window.iter().position(|byte| *byte == b',');
                    parameters.extend_from_slice(window.get(..comma.unwrap_or(window.len())).unwrap_or_default());
                    match comma {
                        Some(comma) => {
                            rest = rest.get(comma + 1..).unwrap_or_default();
                            let prefix = SCHEME.len() + parameters.len() + 1;
                            if std::str::from_utf8(parameters).is_err() {
                                return Err(AttachmentDataError::PrefixNotText);
                            }
                            let media_type = media_type(parameters).ok_or(AttachmentDataError::NotInBase64)?;
                            self.before = self.before.saturating_add(u64::try_from(prefix).unwrap_or(u64::MAX));
                            self.prefix = Prefix::Done { media_type };
                        }
                        None if window.len() == room => return Err(AttachmentDataError::PrefixTooLong),
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    /// Decodes from the start of `input` what is of base64's alphabet and can be decoded many at a time, behind what stands in
    /// `out`; how many bytes those are. It may stop anywhere: [`AttachmentDecoder::push`] takes the rest.
    pub fn push_base64(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        match self.prefix {
            Prefix::Done { .. } => self.base64.push_alphabet(input, out),
            Prefix::Perhaps(_) | Prefix::Parameters(_) => 0,
        }
    }

    /// The value has ended: its media type (`type/subtype` in lower case, without parameters).
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<String, AttachmentDataError> {
        match &self.prefix {
            Prefix::Perhaps(_) => self.no_prefix(out)?,
            Prefix::Parameters(_) => return Err(AttachmentDataError::NotInBase64),
            Prefix::Done { .. } => {}
        }
        self.base64.finish(out).map_err(|error| self.error(error))?;
        match self.prefix {
            Prefix::Done { media_type: Some(media_type) } => Ok(media_type),
            _ => Ok(DEFAULT_MEDIA_TYPE.to_owned()),
        }
    }

    /// There is no prefix: what looked like the start of one is base64.
    fn no_prefix(&mut self, out: &mut Vec<u8>) -> Result<(), AttachmentDataError> {
        let prefix = std::mem::replace(&mut self.prefix, Prefix::Done { media_type: None });
        if let Prefix::Perhaps(scheme) = prefix { self.decode(&scheme, out) } else { Ok(()) }
    }

    fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), AttachmentDataError> {
        self.base64.push(input, out).map_err(|error| self.error(error))
    }

    fn error(&self, error: Base64Error) -> AttachmentDataError {
        Base64Error { at: error.at.saturating_add(self.before), ..error }.into()
    }
}

/// What stands between `data:` and `,`: `None` unless it ends in `;base64`; then the media type, if it is one.
fn media_type(parameters: &[u8]) -> Option<Option<String>> {
    let parameters = parameters.trim_ascii();
    let (before, base64) = parameters.split_at_checked(parameters.len().checked_sub(b"base64".len())?)?;
    if !base64.eq_ignore_ascii_case(b"base64") {
        return None;
    }
    let before = before.trim_ascii_end().strip_suffix(b";")?;
    let full = before.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let mut halves = full.splitn(2, |byte| *byte == b'/');
    let sound = halves.next().is_some_and(is_token) && halves.next().is_some_and(is_token);
    Some(if sound { String::from_utf8(full.to_ascii_lowercase()).ok() } else { None })
}

/// `token` of RFC 9110.
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Decoded = Result<(Vec<u8>, String), AttachmentDataError>;

    fn decode<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Decoded {
        let (mut decoder, mut out) = (AttachmentDecoder::new(), Vec::new());
        for chunk in chunks {
            decoder.push(chunk, &mut out)?;
        }
        let media_type = decoder.finish(&mut out)?;
        Ok((out, media_type))
    }

    /// In every chunking the same.
    fn decode_all(value: &str) -> Decoded {
        let value = value.as_bytes();
        let whole = decode([value]);
        for size in [1, 3, 7, 13, 29, 67] {
            assert_eq!(decode(value.chunks(size)), whole, "in chunks of {size}: {}", value.escape_ascii());
        }
        for at in 0..=value.len() {
            assert_eq!(decode([&value[..at], &value[at..]]), whole, "at {at}: {}", value.escape_ascii());
        }
        whole
    }

    #[test]
    fn media_types() {
        for (value, media_type) in [
            ("Zm9v", DEFAULT_MEDIA_TYPE),
            ("\r\n  Zm9v\n", DEFAULT_MEDIA_TYPE),
            ("data:application/pdf;base64,Zm9v", "application/pdf"),
            ("\n DATA:Image/PNG;BASE64,Zm9v\n", "image/png"),
            ("data:text/plain;charset=utf-8;name=\"a b\";base64,Zm9v", "text/plain"),
            ("data: text/plain ; x=y ; base64 ,Zm9v", "text/plain"),
            ("data:;base64,Zm9v", DEFAULT_MEDIA_TYPE),
            ("data:;charset=utf-8;base64,Zm9v", DEFAULT_MEDIA_TYPE),
            ("data:text;base64,Zm9v", DEFAULT_MEDIA_TYPE),
            ("data:text/;base64,Zm9v", DEFAULT_MEDIA_TYPE),
            ("data:text/a/b;base64,Zm9v", DEFAULT_MEDIA_TYPE),
            ("data:text/ht ml;base64,Zm9v", DEFAULT_MEDIA_TYPE),
            ("data:text/\u{1};base64,Zm9v", DEFAULT_MEDIA_TYPE),
            ("data:image/svg+xml;base64,Zm9v", "image/svg+xml"),
        ] {
            assert_eq!(decode_all(value), Ok((b"foo".to_vec(), media_type.to_owned())), "{value:?}");
        }
        assert_eq!(decode_all(""), Ok((Vec::new(), DEFAULT_MEDIA_TYPE.to_owned())));
        assert_eq!(decode_all("data:a/b;base64,"), Ok((Vec::new(), "a/b".to_owned())));
        let data = decode_all("data").map(|(bytes, _)| bytes);
        assert_eq!(data, Ok(b"\x75\xab\x5a".to_vec()), "base64 that looks like the start of a prefix");
        assert_eq!(decode_all("dataZm9v").map(|(bytes, _)| bytes.len()), Ok(6));
    }

    #[test]
    fn faults() {
        for value in [
            "data:",
            "data:,Zm9v",
            "data:text/plain,Zm9v",
            "data:text/plain;base64",
            "data:base64,Zm9v",
            "data:text/plain;base64;x=y,Zm9v",
            "data:text/plain;xbase64,Zm9v",
            "data:é,",
        ] {
            assert_eq!(decode_all(value), Err(AttachmentDataError::NotInBase64), "{value:?}");
        }
        for (value, at) in [
            (" dat:", 4),
            ("data;base64,Zm9v", 4),
            ("data:a/b;base64,Zm9v!", 20),
            ("dat", 3),
            ("\n!", 1),
            ("Zm9vYmFy.", 8),
        ] {
            let Err(AttachmentDataError::Base64(error)) = decode_all(value) else {
                assert_eq!(decode_all(value).map(|(bytes, _)| bytes.len()), Ok(2), "{value:?}");
                continue;
            };
            assert_eq!(error.at, at, "{value:?}: {error}");
        }
    }

    /// The framing of JSON leaves it to this decoder to refuse what is not UTF-8.
    #[test]
    fn a_prefix_is_text() {
        assert_eq!(decode_all("data:a/b;name=é;base64,Zm9v"), Ok((b"foo".to_vec(), "a/b".to_owned())));
        for value in [&b"data:text/\xBElain;base64,Zm9v"[..], b"data:a/b;name=\xC3;base64,Zm9v"] {
            for size in [1, 3, 100] {
                assert_eq!(decode(value.chunks(size)), Err(AttachmentDataError::PrefixNotText));
            }
        }
    }

    #[test]
    fn long_prefixes() {
        let prefix = |length: usize| format!("data:text/plain;{};base64,", "x".repeat(length - 24));
        for (length, expected) in [
            (DATA_URI_PREFIX_LIMIT, Ok((b"foo".to_vec(), "text/plain".to_owned()))),
            (DATA_URI_PREFIX_LIMIT + 1, Err(AttachmentDataError::PrefixTooLong)),
        ] {
            let value = prefix(length) + "Zm9v";
            assert_eq!(value.len(), length + 4);
            assert_eq!(decode_all(&value), expected);
        }
        assert_eq!(decode_all(&("data:".to_owned() + &"x".repeat(2000))), Err(AttachmentDataError::PrefixTooLong));
    }
}
