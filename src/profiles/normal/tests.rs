use std::{cell::Cell, rc::Rc};

use proptest::prelude::*;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, char::canonical_combining_class, is_nfc_quick};

use super::*;
use crate::profiles::key::ProfileId;

fn normalise(class: Class, value: &str) -> Option<String> {
    Normaliser::native().normalise(class, value).map(Cow::into_owned)
}

fn email(value: &str) -> Option<String> {
    normalise(Class::Email, value)
}

fn phone(value: &str) -> Option<String> {
    normalise(Class::Phone, value)
}

/// Normalises a local part without rejected characters, according to its definition.
fn local_model(local: &str) -> String {
    let convert = |piece: &str| piece.chars().flat_map(char::to_lowercase).nfc().collect::<String>();
    let pieces = local.split_inclusive(becomes_ascii).map(|piece| {
        let (last, _) =
            piece.char_indices().next_back().filter(|(_, last)| becomes_ascii(*last)).unwrap_or((piece.len(), 'x'));
        convert(&piece[..last]) + &piece[last..]
    });
    pieces.collect()
}

/// Returns the A-labels of a domain of letters.
fn labels(domain: &str) -> Option<String> {
    let mut result = "a@".to_owned();
    // Those of a domain that was rejected before.
    let mut letters = Letters::default();
    letters.push('ü', 0);
    push_labels(domain, &mut letters, &mut result)?;
    Some(result.split_off(2))
}

#[test]
fn trims_an_address_and_converts_it_to_lower_case() {
    let normaliser = Normaliser::native();
    for (written, expected) in [
        (" Foo@Example.COM\t", "foo@example.com"),
        ("\u{a0}a@b\u{2003}", "a@b"),
        ("a@b@C", "a@b@c"),
        ("ÄPFEL@Example.com", "äpfel@example.com"),
        ("ΟΔΥΣΣΕΥΣ@b", "οδυσσευσ@b"),
        ("jose\u{301}@example.com", "jos\u{e9}@example.com"),
        ("E\u{301}@b", "\u{e9}@b"),
        ("\u{212b}@b", "\u{e5}@b"),
        ("c31@bücher.example", "c31@xn--bcher-kva.example"),
        ("c31@BÜCHER.example", "c31@xn--bcher-kva.example"),
        ("c31@bu\u{308}cher.example", "c31@xn--bcher-kva.example"),
        ("é@XN--BCHER-KVA.example", "é@xn--bcher-kva.example"),
        ("é@例え.jp.", "é@xn--r8jz45g.jp."),
        ("é@a。b", "é@a.b"),
        ("a@\u{ff41}.b", "a@a.b"),
        ("é@a_b-.c--d", "é@a_b-.c--d"),
    ] {
        assert_eq!(email(written).as_deref(), Some(expected), "{written}");
        assert_eq!(email(expected).as_deref(), Some(expected), "{written}");
    }
    assert!(matches!(normaliser.normalise(Class::Email, "plain@example.com"), Some(Cow::Borrowed(_))));
}

#[test]
fn rejects_an_address_that_is_malformed() {
    for written in [
        "",
        " \u{a0} ",
        "a",
        "@",
        "a@",
        "@b",
        "a@b@",
        "a b@c",
        "a\u{a0}b@c",
        "a@b\tc",
        "a\u{0}@b",
        "a\u{85}@b",
        "a,b@c",
        "a@x;b@x",
        "<a@b>",
        "\"a\"@b",
        "a@b>",
        "é@",
        "@é",
    ] {
        assert_eq!(email(written), None, "{written:?}");
    }
    for domain in [
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "a:80",
        "a%62",
        "[a",
        "a]",
        "[::1]",
        "127.0.0.1",
        "1.2",
        "0x7f.1",
        "b.0x",
        "１２７.1",
        "1.2.",
        "xn--a.ü",
        "a\u{ff0f}b",
        "a^b",
        "a|b",
        "\u{e0100}",
        "\u{fffd}",
        "\u{301}a.b",
        "a.\u{5d0}1a",
    ] {
        assert_eq!(email(&format!("é@{domain}")), None, "{domain}");
    }
    assert_eq!(email("e@127.0.0.1").as_deref(), Some("e@127.0.0.1"), "only the domains of other addresses are checked");
    assert_eq!(email("e@[::1]").as_deref(), Some("e@[::1]"));
}

#[test]
fn a_character_that_would_become_ascii_stays_as_it_is() {
    for written in ["mi\u{212a}e@b", "\u{130}@b", "a\u{37e}@b", "\u{1fef}@b"] {
        assert_eq!(email(written).as_deref(), Some(written));
    }
    assert_eq!(email("É\u{212a}E\u{301}X\u{212a}@b").as_deref(), Some("é\u{212a}éx\u{212a}@b"));
    assert_eq!(email("\u{212a}\u{327}@b").as_deref(), Some("\u{212a}\u{327}@b"));
    for char in ('\u{80}'..=char::MAX).filter(|char| !char.is_whitespace() && !char.is_control()) {
        let Some(address) = email(&format!("{char}@b")) else { continue };
        let local = address.strip_suffix("@b").unwrap();
        assert!(!local.contains(|char: char| char.is_ascii()), "{char:?}: {local}");
        let mut forms = char.to_lowercase().chain(std::iter::once(char).nfc());
        let expected = forms.any(|form| form.is_ascii());
        assert_eq!(becomes_ascii(char), expected, "{char:?}");
    }
}

#[test]
fn characters_that_need_no_composition_are_in_nfc() {
    for char in ('\0'..=char::MAX).filter(|char| is_composed(*char)) {
        let is_nfc = is_nfc_quick(std::iter::once(char)) == IsNormalized::Yes;
        assert!(is_nfc && canonical_combining_class(char) == 0, "{char:?}");
    }
}

#[test]
fn characters_that_are_lower_and_composed_stay_as_they_are() {
    for char in ('\0'..=char::MAX).filter(|char| is_lower_and_composed(*char)) {
        assert!(char.to_lowercase().eq([char]) && is_composed(char) && !becomes_ascii(char), "{char:?}");
        assert!(!char.is_ascii(), "{char:?}");
    }
}

#[test]
fn a_rejected_character_is_not_mistaken_for_a_letter() {
    for char in ('\0'..=char::MAX).filter(|char| is_rejected(*char)) {
        assert!(!is_lower_and_composed(char) && !is_domain_letter(char), "{char:?}");
        for address in [format!("ax{char}y@b"), format!("ü{char}y@b"), format!("ü@x{char}y"), format!("a@ü{char}y")]
        {
            let is_valid = email(&address).is_some();
            assert_eq!(is_valid, is_invisible(char), "{address:?}");
        }
    }
}

#[test]
fn every_character_of_a_local_part_is_converted_to_lower_case_and_nfc() {
    let normaliser = Normaliser::native();
    // No character after these has a lower case or a decomposition.
    for char in ('\0'..'\u{30000}').filter(|char| !is_rejected(*char)) {
        for local in [format!("{char}u"), format!("xu{char}\u{301}\u{327}y"), format!("U\u{308}{char}Yü")] {
            let mut result = String::new();
            normaliser.push_local_part(&local, &mut result).unwrap();
            assert_eq!(result, local_model(&local), "{local:?}");
        }
    }
}

#[test]
fn removes_invisible_characters_before_all_other_rules() {
    let invisible = "\u{ad}\u{34f}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{202a}\u{202e}\u{2060}\u{2066}\
                     \u{206f}\u{fe00}\u{fe0f}\u{feff}\u{fff9}\u{fffb}";
    for char in invisible.chars() {
        assert_eq!(email(&format!("{char}a{char}@b.c{char}")).as_deref(), Some("a@b.c"), "{char:?}");
        assert_eq!(phone(&format!("{char}+{char}12{char}3{char}")).as_deref(), Some("123"), "{char:?}");
        assert_eq!(normalise(Class::Custom, &format!("{char}")), Some(char.to_string()));
        assert_eq!(email(&format!("{char}@b")), None);
    }
    assert_eq!(email("\u{feff} a@b \u{feff}").as_deref(), Some("a@b"));
    assert_eq!(phone("t\u{200b}el:123").as_deref(), Some("123"));
}

#[test]
fn removes_separators_and_prefixes_from_a_phone_number() {
    for (written, expected) in [
        ("+79000000000", "79000000000"),
        ("7 (900) 000-00-00", "79000000000"),
        ("+7.900.000.00.00", "79000000000"),
        ("(+7)900\u{2011}0000000", "79000000000"),
        ("7\u{2212}900\u{2015}0", "79000"),
        ("0079000000000", "79000000000"),
        ("00 49 30", "4930"),
        ("030/1234567", "0301234567"),
        ("030/12-34/56", "030123456"),
        ("tel:+49301234568", "49301234568"),
        ("TEL: 123", "123"),
        ("\u{ff0b}\u{ff17}\u{ff19}0", "790"),
        ("\u{660}\u{661}\u{669}", "019"),
        ("\u{6f0}\u{6f1}\u{6f9}", "019"),
        ("\u{966}\u{967}\u{96f}", "019"),
        ("123", "123"),
        ("00123", "123"),
        ("12345678901234567890", "12345678901234567890"),
        ("1234567.", "1234567"),
        ("1234567.890", "1234567890"),
        ("1.23.4", "1234"),
        ("1/23.4", "1234"),
        ("+44 (0)20 7946 0000", "442079460000"),
        ("0044 (0) 20 7946 0000", "442079460000"),
        ("(+44) (0)20 7946 0000", "442079460000"),
        ("+39 (0)6 1234567", "39061234567"),
        ("+3 9 (0)6 1234567", "39061234567"),
        ("+390 (0)6 1234567", "39061234567"),
        ("+4930 (0)12", "4930012"),
        ("44 (0)20 7946", "440207946"),
        ("+(0)44 20", "04420"),
        ("+49 (030) 12", "4903012"),
        ("[49] {30} 12", "493012"),
    ] {
        assert_eq!(phone(written).as_deref(), Some(expected), "{written}");
    }
}

#[test]
fn rejects_a_phone_number_that_is_malformed() {
    for written in [
        "",
        " ",
        "+-() .",
        "12",
        "+12",
        "123456789012345678901",
        "7+900",
        "++7900",
        "+00+900",
        "7.9E+10",
        "4.41E+11",
        "79001234567.0",
        "79001234567.00 ",
        "1234567/8",
        "1234567/8-9",
        "+1 555 123 4567 ext. 89",
        "+1-555-123-4568x90",
        "n/a",
        "NULL",
        "-",
        "0",
        "'+380501234567",
        "tel:",
        "123;ext=4",
        "123,456",
        "12\u{0}3",
        "\u{be6}12345",
        "+tel:123",
    ] {
        assert_eq!(phone(written), None, "{written:?}");
    }
}

#[test]
fn normalises_profile_ids_and_leaves_other_keys_as_they_are() {
    let id = normalise(Class::ProfileId, "6606E08F10bcdd88297057a7");
    assert_eq!(id.as_deref(), Some("6606e08f10bcdd88297057a7"));
    for wrong in ["6606e08f10bcdd88297057a", "6606e08f10bcdd88297057ag", "+606e08f10bcdd88297057a7", ""] {
        assert_eq!((normalise(Class::ProfileId, wrong), ProfileId::parse(wrong)), (None, None), "{wrong}");
    }
    for class in [Class::Push, Class::Custom, Class::CustomSub] {
        assert_eq!(normalise(class, " A\u{200b}\u{301} ").as_deref(), Some(" A\u{200b}\u{301} "));
        assert_eq!(normalise(class, ""), None);
    }
}

#[test]
fn normalisation_does_not_change_a_normal_key() {
    let mut normal = [0; 6];
    let texts = [
        "a@b.c",
        "A@b.c",
        " a@b.c",
        "a@b.c ",
        "\u{e4}@b.c",
        "a b",
        "a",
        "@b.c",
        "a@",
        "a@@",
        "a@b@c",
        "a+b@c",
        "a,b@c",
        "12",
        "790",
        "+7900",
        "7-900",
        "00790",
        "",
        " ",
        "123456789012345678901",
        "6606e08f10bcdd88297057a7",
        "6606E08f10bcdd88297057a7",
        "6606e08",
    ];
    for text in texts {
        for (class, normal) in Class::ALL.into_iter().zip(&mut normal) {
            if is_normal(class, text.as_bytes()) {
                assert_eq!(normalise(class, text).as_deref(), Some(text), "{class:?}");
                *normal += 1;
            }
        }
    }
    // `a@b.c` and `a@b@c`; 790; one profile ID; all texts but the empty one in three classes.
    assert_eq!(normal, [2, 1, 1, 23, 23, 23]);
}

#[test]
fn checks_every_byte_at_every_position() {
    for length in 2..27 {
        for at in 0..length {
            for byte in 0..=u8::MAX {
                let mut key = vec![b'0'; length];
                key[at] = byte;
                let hexadecimal = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                for (class, good) in [
                    (Class::Phone, byte.is_ascii_digit() && (3..=20).contains(&length) && !key.starts_with(b"00")),
                    (Class::ProfileId, hexadecimal && length == 24),
                    (Class::Custom, true),
                ] {
                    assert_eq!(is_normal(class, &key), good, "{class:?} {byte:#x} at {at} of {length}");
                }
                let Ok(text) = std::str::from_utf8(&key) else { continue };
                let address = format!("{text}@x");
                let is_unchanged = email(&address).as_ref() == Some(&address);
                let is_fast = is_normal(Class::Email, address.as_bytes());
                let is_rare = matches!(byte, b'!' | b'#'..=b'+' | b'=' | b'?') || (byte, at) == (b'@', 0);
                assert_eq!(is_fast, is_unchanged && !is_rare && byte.is_ascii(), "{address:?}");
            }
        }
    }
}

#[test]
fn remembers_the_labels_of_a_domain_and_forgets_them_when_there_are_many() {
    let normaliser = Normaliser::native();
    for _ in 0..2 {
        for number in 0..DOMAINS_REMEMBERED + 10 {
            let address = format!("a@ß{number}.example");
            assert!(normaliser.normalise(Class::Email, &address).unwrap().starts_with("a@xn--"));
            assert_eq!(normaliser.normalise(Class::Email, &format!("a@\u{fffd}{number}")), None);
        }
        assert!((1..=DOMAINS_REMEMBERED).contains(&normaliser.domains.borrow().len()));
    }
    let long = "ü".repeat(DOMAIN_REMEMBERED_LIMIT);
    assert!(normaliser.normalise(Class::Email, &format!("a@{long}")).is_some());
    assert!(!normaliser.domains.borrow().contains_key(&long));
}

#[test]
fn the_labels_of_a_domain_do_not_depend_on_the_domains_before() {
    let normaliser = Normaliser::native();
    let domains = ["bücher.example", "bücher.de", "BÜCHER.de", "faß.de", "a^ü", "ü.1", "example.com"];
    for (first, second) in domains.iter().flat_map(|first| domains.map(|second| (first, second))) {
        for domain in [first, second, first] {
            let address = format!("é@{domain}");
            assert_eq!(normaliser.normalise(Class::Email, &address).map(Cow::into_owned), email(&address), "{address}");
        }
    }
}

/// Counts the calls of another port.
#[derive(Debug)]
struct CountingUnicode {
    inner: Box<dyn UnicodePort>,
    calls: Rc<Cell<usize>>,
}

impl UnicodePort for CountingUnicode {
    fn compose(&self, text: &str) -> String {
        self.calls.set(self.calls.get() + 1);
        self.inner.compose(text)
    }

    fn domain_to_ascii(&self, domain: &str) -> Option<String> {
        self.calls.set(self.calls.get() + 1);
        self.inner.domain_to_ascii(domain)
    }
}

#[test]
fn calls_the_port_once_for_a_letter_and_never_for_a_domain_of_letters() {
    let calls = Rc::new(Cell::new(0));
    let normaliser =
        Normaliser::new(Box::new(CountingUnicode { inner: Normaliser::native().unicode, calls: Rc::clone(&calls) }));
    for number in 0..1000 {
        let address = format!("ju\u{308}rgen.mu\u{308}ller.e\u{301}{number}@bücher{number}.example");
        let expected = format!("jürgen.müller.é{number}@");
        let normal = normaliser.normalise(Class::Email, &address).unwrap();
        assert!(normal.starts_with(&expected) && normal.contains("@xn--"), "{normal}");
    }
    assert_eq!(calls.get(), 2, "one call for each of ü and é");
}

#[test]
fn remembers_composed_letters_and_forgets_them_when_there_are_many() {
    let normaliser = Normaliser::native();
    for number in 0..COMPOSED_REMEMBERED as u32 * 2 + 10 {
        let letter = format!("{}\u{308}", char::from_u32(0x4e00 + number).unwrap());
        let address = format!("{letter}@b");
        assert_eq!(normaliser.normalise(Class::Email, &address).as_deref(), Some(&*address));
        assert!((1..=COMPOSED_REMEMBERED).contains(&normaliser.composed.borrow().len()));
    }
    let long = format!("e{}", "\u{301}".repeat(COMPOSED_REMEMBERED_LIMIT));
    assert!(normaliser.normalise(Class::Email, &format!("{long}@b")).unwrap().starts_with('\u{e9}'));
    assert!(!normaliser.composed.borrow().contains_key(&long));
}

#[test]
fn the_labels_of_a_letter_are_those_of_uts_46() {
    let unicode = Normaliser::native().unicode;
    for char in ('\0'..=char::MAX).filter(|char| is_domain_letter(*char) && !char.is_ascii()) {
        for domain in [format!("{char}"), format!("a{char}1-b.{char}.c")] {
            assert_eq!(labels(&domain), unicode.domain_to_ascii(&domain), "{char:?}");
            assert!(labels(&domain).is_some(), "{char:?}");
        }
    }
}

#[test]
fn leaves_unusual_domains_to_the_platform() {
    for domain in
        ["ü..b", ".ü", "xn--a.ü", "XN--a.ü", "ß", "ς", "ü\u{308}", "\u{5d0}", &"ü".repeat(63), &"ü.".repeat(60)]
    {
        assert_eq!(labels(domain), None, "{domain}");
    }
    assert_eq!(labels("BÜCHER.Example.").as_deref(), Some("xn--bcher-kva.example."));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_normalised_key_does_not_change_when_it_is_normalised_again(text in "[a-zA-Z0-9+ .@äÉ\u{301}\u{212a}ßΣ\u{ad}\\PC]{1,8}@[a-zü.]{1,5}[a-z]") {
        if let Some(once) = email(&text) {
            prop_assert_eq!(email(&once), Some(once.clone()));
        }
        // Another leading 00 would be removed.
        if let Some(once) = phone(&text).filter(|once| !once.starts_with("00")) {
            prop_assert_eq!(phone(&once), Some(once.clone()));
        }
    }

    #[test]
    fn converting_each_letter_is_converting_the_local_part(
        text in "[a-zA-Z.äÉµ\u{130}\u{212a}가각\u{1100}-\u{1112}\u{1161}-\u{1175}\u{11a7}-\u{11c2}\u{300}-\u{345}\u{5b0}-\u{5c7}\u{5d0}-\u{5ea}\u{622}-\u{655}\u{904}-\u{95f}\u{9be}-\u{9cb}\u{e01}-\u{e4e}\u{3042}-\u{309a}\\PC]{1,12}",
    ) {
        let local = text.replace(is_rejected, "");
        let normaliser = Normaliser::native();
        for _ in 0..2 {
            let mut result = String::new();
            prop_assert!(normaliser.push_local_part(&local, &mut result).is_some());
            prop_assert_eq!(result, local_model(&local));
        }
    }

    #[test]
    fn the_labels_of_letters_are_those_of_uts_46_in_any_order(
        domain in "[a-zA-Z0-9.\\-À-Öà-öĀ-įŁ-ňΑ-ΡΣ-ρσ-ώЀ-џẠ-ỹぁ-ゖァ-ヺ一-龥가-힣xn]{1,12}(\\.[a-zа-яé]{1,4}){0,3}\\.?",
    ) {
        if let Some(ascii) = labels(&domain) {
            prop_assert_eq!(Some(ascii), Normaliser::native().unicode.domain_to_ascii(&domain));
        }
    }

    #[test]
    fn a_valid_phone_number_has_only_digits(text in "[0-9+()/.\\- \u{660}]{1,24}") {
        if let Some(number) = phone(&text) {
            prop_assert!((3..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()));
        }
    }
}
