//! What the fuzzer calls: any bytes may come in, and nothing but an error may come out.

use super::header::parse_header;
use super::pixels::decode;
use std::io::Cursor;

/// Largest image that is decoded while fuzzing; larger ones say nothing new and take long.
const MAX_PIXELS: usize = 1 << 22;

/// Parses bytes as a DICOM slice and, where that works, decodes its pixels.
///
/// Returns whether pixels came out.
pub fn fuzz_dicom(bytes: &[u8]) -> bool {
    let Ok(header) = parse_header(Cursor::new(bytes), bytes.len() as u64, 0) else { return false };
    let pixels = header.rows * header.columns;
    if pixels > MAX_PIXELS {
        return false;
    }
    let mut out = vec![0.0; pixels];
    decode(bytes, &header, &mut out).is_ok()
}
