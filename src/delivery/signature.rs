//! Secrets and signatures of webhooks, as Standard Webhooks 1.0 specifies them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Precedes the base64 text of a secret.
const PREFIX: &str = "whsec_";
/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;

/// The key with which messages of one webhook are signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Makes a secret of random bytes.
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random)
    }

    /// Parses the text of a secret.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Returns the text that the receiver configures.
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.0))
    }

    /// Returns `v1,` and the signature of a message. `timestamp` is in seconds since 1970.
    fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// Returns the header `webhook-signature`: a signature by each secret that is valid. `timestamp` is in seconds since 1970.
pub fn signature_header(secrets: &[Secret], id: &str, timestamp: u64, body: &[u8]) -> String {
    let signatures: Vec<String> = secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_back_from_its_text_and_never_printed() {
        let secret = Secret::new([7; SECRET_BYTES]);
        let text = secret.to_text();
        assert_eq!(text, "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert_eq!(Secret::parse(&text), Some(secret.clone()));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        for wrong in ["", "whsec_", "BwcHBwc=", "whsec_BwcHBwc=", "whsec_*"] {
            assert_eq!(Secret::parse(wrong), None, "{wrong}");
        }
    }

    /// The library verifies with the system's clock, so the messages are signed with the current time.
    #[test]
    fn the_standard_library_verifies_the_signatures_of_both_secrets() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let [old, new] = [1, 2].map(|byte| Secret::new([byte; SECRET_BYTES]));
        let body = "{\"type\":\"launch.created\",\"ü\":\"\u{1F600}\"}".as_bytes();
        let id = "19abc_1";
        let signatures = signature_header(&[new.clone(), old.clone()], id, now, body);
        assert_eq!(signatures.split(' ').count(), 2);
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", now.to_string().parse().unwrap());
        headers.insert("webhook-signature", signatures.parse().unwrap());
        for secret in [&old, &new] {
            let verifier = standardwebhooks::Webhook::new(&secret.to_text()).unwrap();
            verifier.verify(body, &headers).unwrap();
            assert!(verifier.verify(b"another body", &headers).is_err());
        }
        let other = standardwebhooks::Webhook::new(&Secret::new([3; SECRET_BYTES]).to_text()).unwrap();
        assert!(other.verify(body, &headers).is_err());
    }
}
