//! The Unicode operations of native programs. The Worker uses those of the platform.

use idna::{
    AsciiDenyList,
    uts46::{DnsLength, Hyphens, Uts46},
};
use unicode_normalization::UnicodeNormalization as _;

use super::normal::{Normaliser, UnicodePort};

#[derive(Debug)]
struct CrateUnicode;

impl UnicodePort for CrateUnicode {
    fn compose(&self, text: &str) -> String {
        text.nfc().collect()
    }

    fn domain_to_ascii(&self, domain: &str) -> Option<String> {
        let ascii = Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::Ignore);
        Some(ascii.ok()?.into_owned())
    }
}

impl Normaliser {
    /// Normalises keys in native programs.
    pub fn native() -> Self {
        Self::new(Box::new(CrateUnicode))
    }
}
