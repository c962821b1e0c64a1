//! SHA-256 as hex: what outputs say of the files that they were made from.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Lower-case hex digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// SHA-256 of bytes, as hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The hash of several files: of one its own, of more the hash over their hashes in order.
pub(crate) fn together(hashes: &[String]) -> String {
    match hashes {
        [one] => one.clone(),
        many => hex(&many.iter().fold(Sha256::new(), |sum, hash| sum.chain_update(hash)).finalize()),
    }
}
