//! Decodes the `data` of an attachment: a data URI (RFC 2397) with base64, or base64 alone.

use super::base64::{Base64Decoder, Base64Error};
use crate::limits::DATA_URI_PREFIX_LIMIT;

/// The media type of an attachment without a valid media type.
pub const DEFAULT_MEDIA_TYPE: &str = "application/octet-stream";

const SCHEME: &[u8] = b"data:";

/// Why the `data` of an attachment is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttachmentDataError {
    #[error(transparent)]
    Base64(#[from] Base64Error),
    #[error("not base64; a data URI must contain \";base64,\"")]
    NotBase64,
    #[error("the prefix of the data URI is not UTF-8")]
    PrefixNotUtf8,
    #[error("the prefix of the data URI is longer than {DATA_URI_PREFIX_LIMIT} bytes")]
    PrefixTooLong,
}

/// Decodes the field `data` of an attachment in chunks of any size. White space before a data URI is skipped.
#[derive(Debug, Clone, Default)]
pub struct AttachmentDecoder {
    prefix: DataUriPrefix,
    base64: Base64Decoder,
    /// Bytes of the value before the base64.
    before: u64,
}

#[derive(Debug, Clone)]
enum DataUriPrefix {
    /// The beginning of the value, which may be `data:`, without white space before it.
    Perhaps(Vec<u8>),
    /// After `data:`, up to the comma.
    Parameters(Vec<u8>),
    /// After the prefix, or without one.
    Done { media_type: Option<String> },
}

impl Default for DataUriPrefix {
    fn default() -> Self {
        Self::Perhaps(Vec::new())
    }
}

impl AttachmentDecoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes the next chunk, and appends the bytes to `out`. After an error, the decoder must not be used. Offsets in errors
    /// are those in the value.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), AttachmentDataError> {
        let mut rest = input;
        loop {
            match &mut self.prefix {
                DataUriPrefix::Done { .. } => return self.decode(rest, out),
                DataUriPrefix::Perhaps(scheme) => {
                    let Some((byte, after)) = rest.split_first() else { return Ok(()) };
                    let expected = SCHEME.get(scheme.len());
                    if scheme.is_empty() && byte.is_ascii_whitespace() {
                        self.before = self.before.saturating_add(1);
                    } else if expected == Some(&byte.to_ascii_lowercase()) {
                        scheme.push(*byte);
                        if scheme.len() == SCHEME.len() {
                            self.prefix = DataUriPrefix::Parameters(Vec::new());
                        }
                    } else {
                        self.decode_without_prefix(out)?;
                        continue;
                    }
                    rest = after;
                }
                DataUriPrefix::Parameters(parameters) => {
                    let room = DATA_URI_PREFIX_LIMIT.saturating_sub(SCHEME.len() + parameters.len());
                    let window = rest.get(..room).unwrap_or(rest);
                    let comma = window.iter().position(|byte| *byte == b',');
                    parameters.extend_from_slice(window.get(..comma.unwrap_or(window.len())).unwrap_or_default());
                    match comma {
                        Some(comma) => {
                            rest = rest.get(comma + 1..).unwrap_or_default();
                            let prefix = SCHEME.len() + parameters.len() + 1;
                            if std::str::from_utf8(parameters).is_err() {
                                return Err(AttachmentDataError::PrefixNotUtf8);
                            }
                            let media_type = media_type(parameters).ok_or(AttachmentDataError::NotBase64)?;
                            self.before = self.before.saturating_add(u64::try_from(prefix).unwrap_or(u64::MAX));
                            self.prefix = DataUriPrefix::Done { media_type };
                        }
                        None if window.len() == room => return Err(AttachmentDataError::PrefixTooLong),
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    /// Decodes base64 characters at the start of `input` in blocks, and returns their number. It can stop anywhere:
    /// [`AttachmentDecoder::push`] decodes the rest.
    pub fn push_base64(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        match self.prefix {
            DataUriPrefix::Done { .. } => self.base64.push_alphabet(input, out),
            DataUriPrefix::Perhaps(_) | DataUriPrefix::Parameters(_) => 0,
        }
    }

    /// Ends the value. Returns its media type (`type/subtype` in lower case, without parameters).
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<String, AttachmentDataError> {
        match &self.prefix {
            DataUriPrefix::Perhaps(_) => self.decode_without_prefix(out)?,
            DataUriPrefix::Parameters(_) => return Err(AttachmentDataError::NotBase64),
            DataUriPrefix::Done { .. } => {}
        }
        self.base64.finish(out).map_err(|error| self.error(error))?;
        match self.prefix {
            DataUriPrefix::Done { media_type: Some(media_type) } => Ok(media_type),
            _ => Ok(DEFAULT_MEDIA_TYPE.to_owned()),
        }
    }

    /// Decodes the beginning of the value, which is not `data:`, as base64.
    fn decode_without_prefix(&mut self, out: &mut Vec<u8>) -> Result<(), AttachmentDataError> {
        let prefix = std::mem::replace(&mut self.prefix, DataUriPrefix::Done { media_type: None });
        if let DataUriPrefix::Perhaps(scheme) = prefix { self.decode(&scheme, out) } else { Ok(()) }
    }

    fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), AttachmentDataError> {
        self.base64.push(input, out).map_err(|error| self.error(error))
    }

    fn error(&self, error: Base64Error) -> AttachmentDataError {
        Base64Error { at: error.at.saturating_add(self.before), ..error }.into()
    }
}

/// Reads the parameters of a data URI, between `data:` and the comma. Returns `None` unless they end with `;base64`, and
/// otherwise the media type, if it is valid.
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
    fn reads_the_media_type() {
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
    fn reports_errors_with_their_offsets() {
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
            assert_eq!(decode_all(value), Err(AttachmentDataError::NotBase64), "{value:?}");
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
    fn rejects_a_prefix_that_is_not_utf_8() {
        assert_eq!(decode_all("data:a/b;name=é;base64,Zm9v"), Ok((b"foo".to_vec(), "a/b".to_owned())));
        for value in [&b"data:text/\xBElain;base64,Zm9v"[..], b"data:a/b;name=\xC3;base64,Zm9v"] {
            for size in [1, 3, 100] {
                assert_eq!(decode(value.chunks(size)), Err(AttachmentDataError::PrefixNotUtf8));
            }
        }
    }

    #[test]
    fn rejects_a_prefix_over_the_limit() {
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
