//! Punycode (RFC 3492), the encoding of labels of domains that are not ASCII.
//!
//! The crate `idna` has an encoder, too. This one is faster for most labels, which have one or two letters that are not ASCII: it
//! does not examine the other characters, and writes to the text of the address.

/// The parameters of Punycode.
const BASE: usize = 36;
const T_MIN: usize = 1;
const T_MAX: usize = 26;
const SKEW: usize = 38;
const DAMP: usize = 700;
const INITIAL_BIAS: usize = 72;
const INITIAL_N: usize = 0x80;

/// The letters of a label that are not ASCII, with their positions in the label, in ascending order.
#[derive(Debug, Default)]
pub struct Letters(Vec<(usize, usize)>);

impl Letters {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds the next letter. `ascii` is the number of ASCII characters before it.
    pub fn push(&mut self, letter: char, ascii: usize) {
        let letter = (u32::from(letter) as usize, ascii + self.0.len());
        self.0.insert(self.0.partition_point(|other| *other < letter), letter);
    }

    /// Appends the encoding of the letters, and removes them. `ascii` is the number of ASCII characters of the label.
    ///
    /// A label must be short, so that no number overflows. Those of the DNS have at most 63 characters.
    pub fn encode(&mut self, ascii: usize, result: &mut String) {
        // A decoder inserts the letters in this order. An integer is the distance between two insertions, where the label is
        // passed once for each possible letter.
        let (mut last, mut start, mut bias) = (INITIAL_N, 0, INITIAL_BIAS);
        for (length, &(letter, position)) in (ascii..).zip(&self.0) {
            let missing = self.0.iter().filter(|(other, at)| *other > letter && *at < position).count();
            let index = position - missing;
            let distance = (letter - last) * (length + 1) + index - start;
            push_integer(distance, bias, result);
            bias = adapt(distance, length + 1, length == ascii);
            (last, start) = (letter, index + 1);
        }
        self.0.clear();
    }
}

/// Appends an integer of variable length.
fn push_integer(mut rest: usize, bias: usize, result: &mut String) {
    for k in (BASE..).step_by(BASE) {
        let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
        if rest < threshold {
            break;
        }
        push_digit(threshold + (rest - threshold) % (BASE - threshold), result);
        rest = (rest - threshold) / (BASE - threshold);
    }
    push_digit(rest, result);
}

fn push_digit(digit: usize, result: &mut String) {
    result.extend(b"abcdefghijklmnopqrstuvwxyz0123456789".get(digit).map(|digit| char::from(*digit)));
}

fn adapt(distance: usize, length: usize, is_first: bool) -> usize {
    let halved = distance / if is_first { DAMP } else { 2 };
    let mut delta = halved + halved / length;
    let mut k = 0;
    while delta > (BASE - T_MIN) * T_MAX / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + SKEW)
}

#[cfg(test)]
mod tests {
    use idna::punycode;
    use proptest::prelude::*;

    use super::*;

    fn encode(label: &str) -> String {
        let (mut result, mut letters) = (String::new(), Letters::default());
        for char in label.chars() {
            if char.is_ascii() {
                result.push(char);
            } else {
                letters.push(char, result.len());
            }
        }
        let ascii = result.len();
        if ascii > 0 {
            result.push('-');
        }
        letters.encode(ascii, &mut result);
        assert_eq!(letters.len(), 0);
        result
    }

    /// From section 7.1 of RFC 3492.
    #[test]
    fn encodes_the_samples_of_the_standard() {
        for (label, encoded) in [
            ("他们为什么不说中文", "ihqwcrb4cv8a8dqg056pqjye"),
            ("Pročprostěnemluvíčesky", "Proprostnemluvesky-uyb24dma41a"),
            ("почемужеонинеговорятпорусски", "b1abfaaepdrnnbgefbadotcwatmq2g4l"),
            ("TạisaohọkhôngthểchỉnóitiếngViệt", "TisaohkhngthchnitingVit-kjcr8268qyxafd2f1b9g"),
            ("3年B組金八先生", "3B-ww4c5e180e575a65lsy2b"),
            ("安室奈美恵-with-SUPER-MONKEYS", "-with-SUPER-MONKEYS-pc58ag80a8qai00g7n9n"),
            ("そのスピードで", "d9juau41awczczp"),
        ] {
            assert_eq!(encode(label), encoded);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn encodes_a_label_like_another_implementation(label in "([a-z0-9-]|[à-ö]|[à-ž]|[а-я]|[一-龥]|\\PC){0,63}") {
            prop_assert_eq!(Some(encode(&label)), punycode::encode_str(&label));
        }
    }
}
