//! Splits a cell into values, and removes what spreadsheets and mail programs add to them.

use memchr::{memchr, memchr3};

use crate::profiles::key::Class;

/// Removes the marks by which spreadsheets keep a number as text: `'…` and `="…"`.
pub fn remove_guard(cell: &str) -> &str {
    let cell = cell.trim();
    if let Some(text) = cell.strip_prefix("=\"").and_then(|text| text.strip_suffix('"')) {
        return text;
    }
    match cell.strip_prefix('\'') {
        Some(text) => text.strip_suffix('\'').unwrap_or(text),
        None => cell,
    }
}

/// Calls `on_value` with each value of a cell. Separators inside double quotes do not split.
pub fn split_cell<'a>(class: Class, cell: &'a str, mut on_value: impl FnMut(&'a str)) {
    let is_email = class == Class::Email;
    let comma = if is_email { b',' } else { b';' };
    let bytes = cell.as_bytes();
    let has_separator = memchr3(b';', comma, if is_email { b':' } else { b';' }, bytes).is_some();
    if !has_separator {
        return on_value(cell);
    }
    // The last quote of an odd number of quotes is not closed, and does not protect separators.
    let quotes = bytes.iter().filter(|byte| **byte == b'"').count() & !1;
    let (mut start, mut seen) = (0, 0);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let is_outside = seen >= quotes || seen % 2 == 0;
        let separator = match byte {
            b'"' => {
                seen += 1;
                0
            }
            b';' if is_outside => 1,
            b',' if is_outside && is_email => 1,
            b' ' if is_outside && is_email && bytes.get(at..).is_some_and(|rest| rest.starts_with(b" ::: ")) => 5,
            _ => 0,
        };
        if separator > 0 {
            on_value(cell.get(start..at).unwrap_or_default());
            start = at + separator;
        }
        at += separator.max(1);
    }
    on_value(cell.get(start..).unwrap_or_default());
}

/// Returns the address of `Jo <jo@b.example>` and `mailto:jo@b.example`.
pub fn extract_address(value: &str) -> &str {
    let mut address = value.trim();
    if let Some((name, inner)) = address.strip_suffix('>').and_then(|rest| rest.rsplit_once('<'))
        && memchr(b'<', name.as_bytes()).is_none()
    {
        address = inner.trim();
    }
    match address.split_at_checked(MAILTO.len()) {
        // A subject can follow the address.
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(MAILTO) => rest.split('?').next().unwrap_or_default(),
        _ => address,
    }
}

/// The scheme of links to addresses.
pub const MAILTO: &str = "mailto:";

#[cfg(test)]
mod tests {
    use super::*;

    fn split(class: Class, cell: &str) -> Vec<&str> {
        let mut values = Vec::new();
        split_cell(class, cell, |value| values.push(value));
        values
    }

    #[test]
    fn removes_the_guards_of_spreadsheets() {
        for (cell, text) in [
            ("'+380501234567", "+380501234567"),
            ("=\"+380501234568\"", "+380501234568"),
            (" '+1' ", "+1"),
            ("+1", "+1"),
            ("", ""),
            ("'", ""),
            ("=\"", "=\""),
            ("=1", "=1"),
        ] {
            assert_eq!(remove_guard(cell), text, "{cell}");
        }
    }

    #[test]
    fn splits_at_semicolons_and_addresses_also_at_commas() {
        assert_eq!(split(Class::Email, "a@x; b@x,c@x ::: d@x"), ["a@x", " b@x", "c@x", "d@x"]);
        assert_eq!(split(Class::Email, "\"Doe, Jo\" <jo@x>, \"A;B\" <b@x>"), ["\"Doe, Jo\" <jo@x>", " \"A;B\" <b@x>"]);
        assert_eq!(split(Class::Email, "a\"@x,b@x"), ["a\"@x", "b@x"], "a quote that is not closed");
        assert_eq!(split(Class::Email, "\"a,b\",c\",d"), ["\"a,b\"", "c\"", "d"]);
        assert_eq!(split(Class::Email, "a:::b"), ["a:::b"]);
        assert_eq!(split(Class::Phone, "+1;+2, 3"), ["+1", "+2, 3"]);
        assert_eq!(split(Class::Custom, "a;;b ::: c"), ["a", "", "b ::: c"]);
        assert_eq!(split(Class::Custom, "ü;\"x;y\""), ["ü", "\"x;y\""]);
        assert_eq!(split(Class::Custom, ""), [""]);
    }

    #[test]
    fn extracts_the_address() {
        for (value, address) in [
            ("a@b", "a@b"),
            (" Jo <a@b> ", "a@b"),
            ("\"Jo Example\" <a@b>", "a@b"),
            ("<a@b>", "a@b"),
            ("<MAILTO:a@b?subject=x>", "a@b"),
            ("mailto:a@b", "a@b"),
            ("a@b <c@d>", "c@d"),
            ("Jo <a@b> <c@d>", "Jo <a@b> <c@d>"),
            ("<a@b> Jo", "<a@b> Jo"),
            ("mailt", "mailt"),
        ] {
            assert_eq!(extract_address(value), address, "{value}");
        }
    }
}
