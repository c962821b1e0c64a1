//! What the fuzzer calls: any bytes may come in, and nothing but an error may come out.

use super::header::parse_headers;
use super::pixels::{decode, decode_frame};
use std::io::Cursor;

/// Largest image that is decoded while fuzzing; larger ones say nothing new and take long.
const MAX_PIXELS: usize = 1 << 22;

/// Frames of one object that are decoded while fuzzing.
const MAX_FRAMES: usize = 8;

/// Parses bytes as a DICOM slice, or as the frames of an enhanced object, and, where that works, decodes the pixels.
///
/// Returns whether pixels came out.
pub fn fuzz_dicom(bytes: &[u8]) -> bool {
    let mut found = false;
    for header in parse_headers(Cursor::new(bytes), bytes.len() as u64, 0).into_iter().take(MAX_FRAMES) {
        let Ok(header) = header else { continue };
        let pixels = header.rows * header.columns;
        if pixels > MAX_PIXELS {
            continue;
        }
        let mut out = vec![0.0; pixels];
        let decoded = match &header.place {
            None => decode(bytes, &header, &mut out),
            Some(place) => decode_frame(&mut Cursor::new(bytes), place, &header, &mut out),
        };
        found |= decoded.is_ok();
    }
    found
}
