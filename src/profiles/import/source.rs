//! Opens a file: unpacks gzip, detects the encoding, and converts the text to UTF-8. Rejects files that are not text.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::read::MultiGzDecoder;

use super::error::ImportError;
use crate::limits::{IMPORT_READ, IMPORT_SNIFF};

/// A text encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextEncoding(&'static Encoding);

impl TextEncoding {
    /// Finds an encoding by a label of the WHATWG Encoding Standard, such as `windows-1252`.
    pub fn from_label(label: &str) -> Option<Self> {
        Encoding::for_label(label.as_bytes()).map(Self)
    }
}

/// Returns the text of a file as UTF-8, without a byte order mark. The text of a UTF-8 file is not checked.
pub fn open<'a>(input: impl Read + 'a, encoding: Option<TextEncoding>) -> Result<Box<dyn BufRead + 'a>, ImportError> {
    let (mut start, mut input) = peek(Box::new(input))?;
    if start.starts_with(b"\x1f\x8b") {
        (start, input) = peek(Box::new(MultiGzDecoder::new(input)))?;
    }
    if let Some((_, file_type)) = FILE_TYPES.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(ImportError::FileType(file_type));
    }
    let (encoding, mark_length) = match Encoding::for_bom(&start) {
        // A byte order mark is more reliable than the operator.
        Some((encoding, length)) => (encoding, length),
        None => (encoding.map(|encoding| encoding.0).or_else(|| detect_utf_16(&start)).unwrap_or(UTF_8), 0),
    };
    if ![UTF_16LE, UTF_16BE].contains(&encoding) && is_binary(&start) {
        return Err(ImportError::FileType("a binary file; export the profiles as CSV or NDJSON"));
    }
    let mut input = BufReader::with_capacity(IMPORT_READ, input);
    io::copy(&mut input.by_ref().take(mark_length as u64), &mut io::sink())?;
    if encoding == UTF_8 {
        return Ok(Box::new(input));
    }
    let transcoder = Transcoder::new(input, encoding);
    Ok(Box::new(BufReader::with_capacity(IMPORT_READ, transcoder)))
}

/// Returns the first bytes of a file, and a reader of the whole file.
fn peek<'a>(mut input: Box<dyn Read + 'a>) -> Result<(Vec<u8>, Box<dyn Read + 'a>), ImportError> {
    let mut start = Vec::new();
    input.by_ref().take(IMPORT_SNIFF as u64).read_to_end(&mut start)?;
    let whole = Box::new(Cursor::new(start.clone()).chain(input));
    Ok((start, whole))
}

/// Detects UTF-16 without a byte order mark: in ASCII text, every other byte is NUL.
fn detect_utf_16(start: &[u8]) -> Option<&'static Encoding> {
    let (pairs, _) = start.as_chunks::<2>();
    let even = pairs.iter().filter(|[first, _]| *first == 0).count();
    let odd = pairs.iter().filter(|[_, second]| *second == 0).count();
    // Names of columns and profile IDs are ASCII. A few NUL characters in UTF-8 are not UTF-16.
    let is_frequent = |count: usize| count * 8 > pairs.len();
    // A few other characters, such as U+0100, also contain a NUL byte.
    if is_frequent(odd) && even * 16 <= odd {
        Some(UTF_16LE)
    } else if is_frequent(even) && odd * 16 <= even {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// The first bytes of files that are not text, what the file is, and how to proceed.
const FILE_TYPES: [(&[u8], &str); 16] = [
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet (.xlsx, .ods); in the spreadsheet program, save it as CSV UTF-8"),
    (b"PK\x05\x06", "an empty ZIP archive; export the profiles as CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel spreadsheet (.xls); in Excel, save it as CSV UTF-8"),
    (b"%PDF", "a PDF document; export the profiles as CSV"),
    (b"{\\rtf", "an RTF document; export the profiles as CSV"),
    (b"SQLite format 3\0", "an SQLite database; export the table as CSV"),
    (b"PAR1", "a Parquet file; convert it to CSV or NDJSON"),
    (b"Obj\x01", "an Avro file; convert it to CSV or NDJSON"),
    (b"\x1f\x8b", "a gzip file inside a gzip file; unpack it"),
    (b"BZh", "a bzip2 archive; unpack it"),
    (b"\xfd7zXZ\0", "an xz archive; unpack it"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"\xff\xfe\0\0", "UTF-32 text; save it as UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32 text; save it as UTF-8"),
];

/// Whether a file has more control characters than text with a few damaged values.
fn is_binary(start: &[u8]) -> bool {
    let controls = start.iter().filter(|byte| **byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')).count();
    controls * 8 > start.len()
}

/// Converts text to UTF-8 while it is read. Reports bytes that are invalid in the encoding.
struct Transcoder<R> {
    input: R,
    decoder: Decoder,
    /// Bytes of the file that have been decoded.
    position: u64,
    is_finished: bool,
    /// Decoded text that did not fit into the reader's buffer.
    rest: Vec<u8>,
    rest_read: usize,
}

impl<R: BufRead> Transcoder<R> {
    fn new(input: R, encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_without_bom_handling();
        Self { input, decoder, position: 0, is_finished: false, rest: Vec::new(), rest_read: 0 }
    }

    /// Decodes input into a buffer that has room for any character.
    fn decode(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.input.fill_buf()?;
            let is_last = input.is_empty();
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(input, buffer, is_last);
            self.input.consume(read);
            self.position += read as u64;
            if let DecoderResult::Malformed(..) = result {
                let (name, position) = (self.decoder.encoding().name(), self.position);
                let message = format!("the text is not {name} near byte {position}; name its encoding with --encoding");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            self.is_finished = is_last && result == DecoderResult::InputEmpty;
            if written > 0 || self.is_finished {
                return Ok(written);
            }
        }
    }
}

impl<R: BufRead> Read for Transcoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        /// The decoder needs room for at least one character.
        const ROOM: usize = 16;
        if buffer.len() >= ROOM && self.rest_read == self.rest.len() {
            return if self.is_finished { Ok(0) } else { self.decode(buffer) };
        }
        if self.rest_read == self.rest.len() && !self.is_finished {
            let mut rest = vec![0; ROOM];
            let written = self.decode(&mut rest)?;
            rest.truncate(written);
            (self.rest, self.rest_read) = (rest, 0);
        }
        let mut rest = self.rest.get(self.rest_read..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.rest_read += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], encoding: Option<&str>) -> Result<String, String> {
        let encoding = encoding.map(|label| TextEncoding::from_label(label).unwrap());
        let mut text = Vec::new();
        let mut input = open(bytes, encoding).map_err(|error| error.to_string())?;
        input.read_to_end(&mut text).map_err(|error| error.to_string())?;
        String::from_utf8(text).map_err(|error| error.to_string())
    }

    fn utf_16(text: &str, to_bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn converts_utf_16_with_and_without_a_byte_order_mark() {
        let file = "profile_id,email\na,ü\u{1f600}@b\n".repeat(100_000 / 20);
        for mark in ["\u{feff}", ""] {
            let marked = format!("{mark}{file}");
            assert_eq!(text(&utf_16(&marked, u16::to_le_bytes), None).as_ref(), Ok(&file));
            assert_eq!(text(&utf_16(&marked, u16::to_be_bytes), None).as_ref(), Ok(&file));
            assert_eq!(text(marked.as_bytes(), None).as_ref(), Ok(&file));
            assert_eq!(text(marked.as_bytes(), Some("utf-8")).as_ref(), Ok(&file));
        }
    }

    #[test]
    fn a_file_with_some_nul_characters_is_not_utf_16() {
        let file = "profile_id,email\na00000000000000000000001,c15\0@example.com\n";
        assert_eq!(text(file.as_bytes(), None).as_deref(), Ok(file));
    }

    #[test]
    fn converts_the_encoding_that_the_operator_names() {
        assert_eq!(text(b"m\xfcller,\x80", Some("windows-1252")).as_deref(), Ok("müller,€"));
        assert_eq!(text(b"\x83\x65", Some("Shift_JIS")).as_deref(), Ok("テ"));
        assert_eq!(text(b"\xef\xbb\xbf\xc3\xbc", Some("windows-1252")).as_deref(), Ok("ü"), "the mark decides");
        assert_eq!(TextEncoding::from_label("no such encoding"), None);
    }

    #[test]
    fn reports_bytes_that_are_invalid_in_the_encoding() {
        let error = text(&utf_16("profile_id\n\u{1f600}", u16::to_le_bytes)[..24], None).unwrap_err();
        assert!(error.starts_with("the text is not UTF-16LE near byte 24"), "{error}");
        let error = text(b"profile_id,\x83\xff", Some("Shift_JIS")).unwrap_err();
        assert!(error.starts_with("the text is not Shift_JIS near byte "), "{error}");
    }

    #[test]
    fn returns_the_same_text_for_reads_of_every_size() {
        let file = "ä\u{1f600}b€".repeat(50);
        let bytes = utf_16(&format!("\u{feff}{file}"), u16::to_be_bytes);
        for size in 1..40 {
            let mut input = Transcoder::new(&bytes[2..], UTF_16BE);
            let (mut read, mut buffer) = (Vec::new(), vec![0; size]);
            loop {
                match input.read(&mut buffer).unwrap() {
                    0 => break,
                    count => read.extend_from_slice(&buffer[..count]),
                }
            }
            assert_eq!(String::from_utf8(read).as_ref(), Ok(&file), "{size}");
        }
    }

    #[test]
    fn unpacks_gzip_with_several_members() {
        use std::io::Write as _;
        let pack = |text: &str| {
            let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            file.write_all(text.as_bytes()).unwrap();
            file.finish().unwrap()
        };
        let packed = [pack("profile_id\n"), pack("a\n")].concat();
        assert_eq!(text(&packed, None).as_deref(), Ok("profile_id\na\n"));
        assert!(text(&packed[..packed.len() - 9], None).is_err(), "the file is cut off");
    }

    #[test]
    fn names_the_type_of_a_file_that_is_not_text() {
        for (magic, file_type) in FILE_TYPES {
            let file = [magic, b"a,b\n"].concat();
            if !magic.starts_with(b"\x1f\x8b") {
                assert_eq!(text(&file, None), Err(format!("the file is {file_type}")));
            }
        }
        let noise: Vec<u8> = (0..=255).map(|byte| byte % 48).collect();
        assert!(text(&noise, None).unwrap_err().starts_with("the file is a binary file"));
    }
}
