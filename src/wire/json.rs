//! Framing of JSON.
