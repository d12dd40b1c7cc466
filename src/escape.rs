//! Escapes text from files, from KV and from other programs, so that it can be printed on a terminal.
//!
//! Unescaped, such text could clear the screen, hide or reverse other text, or look like a line of this program.

use std::fmt::{self, Write as _};

use crate::limits::PRINTED_NAME_LIMIT;

/// The first and last characters of ranges that are escaped: control characters, invisible characters, and white space other
/// than the space. In ascending order.
const HIDDEN: [(char, char); 23] = [
    ('\0', '\u{1f}'),
    // DEL, C1 controls, no-break space.
    ('\u{7f}', '\u{a0}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    // Spaces, zero-width characters, direction marks.
    ('\u{2000}', '\u{200f}'),
    // Line and paragraph separators, direction embeddings and overrides.
    ('\u{2028}', '\u{202f}'),
    // Invisible operators, direction isolates.
    ('\u{205f}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{3164}', '\u{3164}'),
    // Variation selectors.
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{13430}', '\u{1345f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    // Tags and more variation selectors.
    ('\u{e0000}', '\u{e0fff}'),
];

/// A text that is displayed on one line and contains only visible characters.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a> {
    text: &'a str,
    limit: usize,
}

/// Escapes a text. Escaping the result again does not change it.
pub fn escape(text: &str) -> Escaped<'_> {
    Escaped { text, limit: usize::MAX }
}

/// Escapes a text and cuts it off after `limit` characters. An ellipsis shows that text is missing.
pub fn escape_start(text: &str, limit: usize) -> Escaped<'_> {
    Escaped { text, limit }
}

/// Escapes a name, and cuts it off after [`PRINTED_NAME_LIMIT`] characters.
pub fn escape_name(text: &str) -> Escaped<'_> {
    escape_start(text, PRINTED_NAME_LIMIT)
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = self.limit;
        for char in self.text.chars() {
            let length = if is_hidden(char) { char.escape_default().len() } else { 1 };
            let Some(rest) = room.checked_sub(length) else { return f.write_char('…') };
            room = rest;
            if is_hidden(char) { write!(f, "{}", char.escape_default())? } else { f.write_char(char)? }
        }
        Ok(())
    }
}

fn is_hidden(char: char) -> bool {
    let range = HIDDEN.partition_point(|(_, last)| *last < char);
    HIDDEN.get(range).is_some_and(|(first, _)| *first <= char)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_control_sequences_line_breaks_and_direction_marks() {
        for (text, escaped) in [
            ("\u{1b}[2J\u{1b}[H", "\\u{1b}[2J\\u{1b}[H"),
            ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td"),
            ("\u{9b}31m\u{7f}\u{7}", "\\u{9b}31m\\u{7f}\\u{7}"),
            ("\u{202e}gpj.exe\u{2069}\u{feff}", "\\u{202e}gpj.exe\\u{2069}\\u{feff}"),
        ] {
            assert_eq!(escape(text).to_string(), escaped);
        }
    }

    #[test]
    fn does_not_change_visible_text() {
        for text in ["", "E-Mail Adresse", "größe", "имя", "e\u{301}", "名前", "C:\\a \"b\" 'c'", "\u{fffd}", "😀"]
        {
            assert_eq!(escape(text).to_string(), text);
        }
    }

    #[test]
    fn escapes_every_control_character_and_white_space_other_than_the_space() {
        for char in ('\0'..=char::MAX).filter(|char| char.is_control() || (char.is_whitespace() && *char != ' ')) {
            assert!(is_hidden(char), "{char:?}");
        }
        let bidirectional = ['\u{61c}'].into_iter().chain('\u{200e}'..='\u{200f}').chain('\u{202a}'..='\u{202e}');
        let zero_width = ('\u{200b}'..='\u{200d}').chain(['\u{2060}', '\u{feff}']);
        for char in bidirectional.chain('\u{2066}'..='\u{2069}').chain(zero_width) {
            assert!(is_hidden(char), "{char:?}");
        }
        assert!(HIDDEN.iter().is_sorted() && HIDDEN.iter().all(|(first, last)| first <= last));
    }

    #[test]
    fn cuts_off_a_long_name() {
        assert_eq!(escape_name(&"x".repeat(80)).to_string(), "x".repeat(80));
        assert_eq!(escape_name(&"x".repeat(81)).to_string(), format!("{}…", "x".repeat(80)));
        assert_eq!(escape_name(&"\u{1b}".repeat(81)).to_string(), format!("{}…", "\\u{1b}".repeat(13)));
    }

    proptest! {
        #[test]
        fn the_result_is_printable_and_does_not_change_when_escaped_again(text in "\\PC{0,20}|[\0-\u{ff}\u{2000}-\u{206f}]{0,100}") {
            let escaped = escape(&text).to_string();
            prop_assert!(!escaped.chars().any(is_hidden));
            prop_assert_eq!(escape(&escaped).to_string(), &*escaped);
            let short = escape_name(&text).to_string();
            prop_assert!(short.chars().count() <= PRINTED_NAME_LIMIT + 1);
            prop_assert_eq!(escape(&short).to_string(), short);
        }
    }
}
