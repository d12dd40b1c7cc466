//! Text from outside, made safe to print on a terminal.
//!
//! File names, column names and values in KV are written by others. Printed as they are, they can clear the screen, hide
//! or reverse text, or add lines that look like this program's own.

use std::fmt::{self, Write as _};

/// The longest name that messages show, in characters.
const SHORT: usize = 80;

/// Characters that are not printed: controls, invisible characters, and white space other than the space itself.
/// In ascending order.
const HIDDEN: [(char, char); 23] = [
    ('\0', '\u{1f}'),
    // DEL, the C1 controls, the no-break space.
    ('\u{7f}', '\u{a0}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    // Spaces, zero-width characters and marks of direction.
    ('\u{2000}', '\u{200f}'),
    // Separators of lines and paragraphs, embeddings and overrides of direction.
    ('\u{2028}', '\u{202f}'),
    // Invisible operators and isolates of direction.
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

/// Displays a text on one line, without characters that a terminal would act on or not show.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a> {
    text: &'a str,
    limit: usize,
}

/// The whole text. Escaping it twice changes nothing.
pub fn whole(text: &str) -> Escaped<'_> {
    Escaped { text, limit: usize::MAX }
}

/// At most `limit` characters of a text; an ellipsis shows that it was shortened.
pub fn shortened(text: &str, limit: usize) -> Escaped<'_> {
    Escaped { text, limit }
}

/// The beginning of a text that should be a name.
pub fn short(text: &str) -> Escaped<'_> {
    shortened(text, SHORT)
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.limit;
        for char in self.text.chars() {
            let length = if is_hidden(char) { char.escape_default().len() } else { 1 };
            let Some(rest) = left.checked_sub(length) else { return f.write_char('…') };
            left = rest;
            if is_hidden(char) { write!(f, "{}", char.escape_default())? } else { f.write_char(char)? }
        }
        Ok(())
    }
}

fn is_hidden(char: char) -> bool {
    let next = HIDDEN.partition_point(|(_, last)| *last < char);
    HIDDEN.get(next).is_some_and(|(first, _)| *first <= char)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_what_a_terminal_acts_on() {
        for (text, escaped) in [
            ("\u{1b}[2J\u{1b}[H", "\\u{1b}[2J\\u{1b}[H"),
            ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td"),
            ("\u{9b}31m\u{7f}\u{7}", "\\u{9b}31m\\u{7f}\\u{7}"),
            ("\u{202e}gpj.exe\u{2069}\u{feff}", "\\u{202e}gpj.exe\\u{2069}\\u{feff}"),
        ] {
            assert_eq!(whole(text).to_string(), escaped);
        }
    }

    #[test]
    fn leaves_visible_text_as_it_is() {
        for text in ["", "E-Mail Adresse", "größe", "имя", "e\u{301}", "名前", "C:\\a \"b\" 'c'", "\u{fffd}", "😀"]
        {
            assert_eq!(whole(text).to_string(), text);
        }
    }

    #[test]
    fn escapes_every_control_character_and_every_other_white_space() {
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
    fn shortens_a_long_text() {
        assert_eq!(short(&"x".repeat(80)).to_string(), "x".repeat(80));
        assert_eq!(short(&"x".repeat(81)).to_string(), format!("{}…", "x".repeat(80)));
        assert_eq!(short(&"\u{1b}".repeat(81)).to_string(), format!("{}…", "\\u{1b}".repeat(13)));
    }

    proptest! {
        #[test]
        fn is_one_printable_line_and_escapes_once(text in "\\PC{0,20}|[\0-\u{ff}\u{2000}-\u{206f}]{0,100}") {
            let escaped = whole(&text).to_string();
            prop_assert!(!escaped.chars().any(is_hidden));
            prop_assert_eq!(whole(&escaped).to_string(), &*escaped);
            let short = short(&text).to_string();
            prop_assert!(short.chars().count() <= SHORT + 1);
            prop_assert_eq!(whole(&short).to_string(), short);
        }
    }
}
