//! The `data` of attachments: base64 and data URIs, in chunks and whole, against the algorithm of the standard and an
//! implementation of others.

use super::chunks::cut;
use trigger_launch::{
    limits::DATA_URI_PREFIX_LIMIT,
    wire::{
        attachment_data::{AttachmentDataError, AttachmentDecoder, DEFAULT_MEDIA_TYPE},
        base64::{Base64Decoder, Base64Error},
    },
};

/// The target.
pub fn run(data: &[u8]) {
    let chunks = cut(data);
    let whole = base64(&[data]);
    assert_eq!(base64(&chunks), whole, "base64 in chunks");
    let expected = forgiving(data);
    assert_eq!(base64_simd::forgiving_decode_to_vec(data).ok(), expected, "the two references agree");
    if let Err(error) = &whole {
        assert!(error.at <= data.len() as u64);
    }
    assert_eq!(whole.ok(), expected, "base64");

    let whole = uri(&[data]);
    assert_eq!(uri(&chunks), whole, "a data URI in chunks");
    match (model(data), whole) {
        (Ok((expected, media_type)), Ok((bytes, read))) => {
            assert_eq!(bytes, expected);
            assert_eq!(read, media_type);
        }
        (Err(Fault::Base64 { from }), Err(AttachmentDataError::Base64(error))) => {
            let alone = base64(&[&data[from..]]).expect_err("the same");
            assert_eq!((error.at, error.what), (from as u64 + alone.at, alone.what));
        }
        (Err(Fault::NotInBase64), Err(AttachmentDataError::NotBase64))
        | (Err(Fault::PrefixNotText), Err(AttachmentDataError::PrefixNotUtf8))
        | (Err(Fault::PrefixTooLong), Err(AttachmentDataError::PrefixTooLong)) => {}
        (expected, read) => panic!("{read:?} where {expected:?} was expected"),
    }
}

fn base64(chunks: &[&[u8]]) -> Result<Vec<u8>, Base64Error> {
    let (mut decoder, mut out) = (Base64Decoder::new(), Vec::new());
    chunks.iter().try_for_each(|chunk| decoder.push(chunk, &mut out))?;
    decoder.finish(&mut out)?;
    Ok(out)
}

fn uri(chunks: &[&[u8]]) -> Result<(Vec<u8>, String), AttachmentDataError> {
    let (mut decoder, mut out) = (AttachmentDecoder::new(), Vec::new());
    chunks.iter().try_for_each(|chunk| decoder.push(chunk, &mut out))?;
    let media_type = decoder.finish(&mut out)?;
    Ok((out, media_type))
}

/// *Forgiving-base64 decode* of the Infra Standard, step by step.
fn forgiving(data: &[u8]) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut data: Vec<u8> = data.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if data.len().is_multiple_of(4) {
        for _ in 0..2 {
            if data.ends_with(b"=") {
                data.pop();
            }
        }
    }
    if data.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in data {
        let value = ALPHABET.iter().position(|letter| *letter == byte)?;
        bits = (bits << 6 | value as u32) & 0xFFFF;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

/// What is wrong with a value.
#[derive(Debug)]
pub enum Fault {
    /// What should be base64, from there on, is not.
    Base64 {
        from: usize,
    },
    NotInBase64,
    PrefixNotText,
    PrefixTooLong,
}

/// A data URI, read as a whole.
pub fn model(data: &[u8]) -> Result<(Vec<u8>, String), Fault> {
    let uri = data.trim_ascii_start();
    if !uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:")) {
        return forgiving(data).map(|bytes| (bytes, DEFAULT_MEDIA_TYPE.to_owned())).ok_or(Fault::Base64 { from: 0 });
    }
    let Some(comma) = uri.iter().take(DATA_URI_PREFIX_LIMIT).position(|byte| *byte == b',') else {
        return Err(if uri.len() >= DATA_URI_PREFIX_LIMIT { Fault::PrefixTooLong } else { Fault::NotInBase64 });
    };
    if std::str::from_utf8(&uri[5..comma]).is_err() {
        return Err(Fault::PrefixNotText);
    }
    let parameters: Vec<&[u8]> = uri[5..comma].split(|byte| *byte == b';').map(<[u8]>::trim_ascii).collect();
    let [media_type, .., last] = &parameters[..] else { return Err(Fault::NotInBase64) };
    if !last.eq_ignore_ascii_case(b"base64") {
        return Err(Fault::NotInBase64);
    }
    let behind = &uri[comma + 1..];
    let bytes = forgiving(behind).ok_or(Fault::Base64 { from: data.len() - behind.len() })?;
    let media_type = std::str::from_utf8(media_type).ok().filter(|text| {
        let halves: Vec<&str> = text.split('/').collect();
        halves.len() == 2 && halves.iter().all(|half| !half.is_empty() && half.bytes().all(is_token))
    });
    Ok((bytes, media_type.map_or_else(|| DEFAULT_MEDIA_TYPE.to_owned(), str::to_ascii_lowercase)))
}

/// `tchar` of RFC 9110.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}
