//! Checks on compressed pixels before a decoder is let near them.
//!
//! The decoders allocate what the stream's own header claims, and panic or read past their output where that
//! contradicts Rows x Columns. So that header is read here first: JPEG's frame header (SOF), JPEG 2000's SIZ segment,
//! the RLE segment table. JPEG-LS is decoded by [`super::jpeg_ls`], which looks for itself.
//!
//! Source: ITU-T T.81 B.2.2 (SOF), ITU-T T.800 A.5.1 (SIZ), DICOM PS3.5 annex G (RLE).

/// What the guard wants to know about the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub rows: usize,
    pub columns: usize,
    pub bytes_per_sample: usize,
}

/// Why a stream is not decoded.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Refusal {
    /// A clause about "it".
    Damaged(String),
    /// A way of compression that cannot be decoded.
    Unsupported(&'static str),
}

/// A decoder may blow its input up by this factor at most, or to [`SMALL_BYTES`].
const MAX_EXPANSION: usize = 1000;
/// Decoded size below which expansion is not looked at.
const SMALL_BYTES: usize = 1 << 22;
const RLE_HEADER_BYTES: usize = 64;

pub(super) fn damaged<T>(words: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Damaged(words.into()))
}

/// Holds the decoded size against the compressed one, so that a few bytes cannot claim gigabytes.
pub(super) fn check_expansion(expected: Expected, compressed: usize) -> Result<(), Refusal> {
    let decoded = expected.rows * expected.columns * expected.bytes_per_sample;
    if decoded > SMALL_BYTES && decoded / MAX_EXPANSION > compressed {
        return damaged("its pixel data is far too short for its rows and columns");
    }
    Ok(())
}

/// Checks a JPEG stream and gives the number of bits of its samples.
pub(super) fn check_jpeg(stream: &[u8], expected: Expected) -> Result<u8, Refusal> {
    if stream.get(..2) != Some(&[0xFF, 0xD8]) {
        return damaged("its pixel data is no JPEG stream");
    }
    let mut at = 2;
    loop {
        let marker = match (stream.get(at), stream.get(at + 1)) {
            (Some(0xFF), Some(0xFF)) => {
                at += 1; // fill byte
                continue;
            }
            (Some(0xFF), Some(marker)) => *marker,
            _ => return damaged("its JPEG stream has no frame header"),
        };
        let Some(&[high, low]) = stream.get(at + 2..at + 4) else {
            return damaged("its JPEG stream is truncated");
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let is_frame = matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC);
        if is_frame {
            let Some(&[bits, h1, h2, w1, w2, components]) = stream.get(at + 4..at + 10) else {
                return damaged("its JPEG stream is truncated");
            };
            let size = [u16::from_be_bytes([h1, h2]), u16::from_be_bytes([w1, w2])].map(usize::from);
            check_size(size, usize::from(components), expected, "JPEG")?;
            return match (marker, bits) {
                (0xC0..=0xC2, 8) | (0xC3, 2..=16) if usize::from(bits) <= 8 * expected.bytes_per_sample => {
                    Ok(bits)
                }
                (0xC0..=0xC2, _) => Err(Refusal::Unsupported("JPEG Extended with 12 bits")),
                (0xC3, _) => damaged("its JPEG stream has more bits than its pixels"),
                _ => Err(Refusal::Unsupported("a hierarchical or arithmetic form of JPEG")),
            };
        }
        if length < 2 || marker == 0xDA || marker == 0xD9 {
            return damaged("its JPEG stream has no frame header");
        }
        at += 2 + length;
    }
}

/// Checks a JPEG 2000 codestream, bare or inside a JP2 file.
pub(super) fn check_jpeg2000(stream: &[u8], expected: Expected) -> Result<(), Refusal> {
    // SOC directly followed by SIZ; in a JP2 file these four bytes start the codestream.
    let Some(start) = stream.windows(4).position(|w| w == [0xFF, 0x4F, 0xFF, 0x51]) else {
        return damaged("its pixel data is no JPEG 2000 stream");
    };
    let word = |at: usize| -> Result<usize, Refusal> {
        let bytes = stream.get(start + at..start + at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
        bytes.map_or_else(
            || damaged("its JPEG 2000 stream is truncated"),
            |b| Ok(u32::from_be_bytes(b) as usize),
        )
    };
    // Offsets from SOC: marker 4, Lsiz 2, Rsiz 2, then Xsiz, Ysiz, XOsiz, YOsiz, XTsiz, YTsiz, XTOsiz, YTOsiz, Csiz.
    let (x, y, x0, y0) = (word(8)?, word(12)?, word(16)?, word(20)?);
    let (tile_x, tile_y) = (word(24)?, word(28)?);
    let Some(&[c1, c2, bits, dx, dy]) = stream.get(start + 40..start + 45) else {
        return damaged("its JPEG 2000 stream is truncated");
    };
    let components = usize::from(u16::from_be_bytes([c1, c2]));
    check_size([y.saturating_sub(y0), x.saturating_sub(x0)], components, expected, "JPEG 2000")?;
    let tiles = x.div_ceil(tile_x.max(1)) * y.div_ceil(tile_y.max(1));
    if dx != 1 || dy != 1 || tile_x == 0 || tile_y == 0 || tiles > 65_535 {
        return damaged("its JPEG 2000 stream has an impossible grid");
    }
    if usize::from(bits & 0x7F) + 1 > 8 * expected.bytes_per_sample {
        return damaged("its JPEG 2000 stream has more bits than its pixels");
    }
    Ok(())
}

/// Checks the segments of an RLE frame: one per byte of a sample, each long enough for every pixel.
pub(super) fn check_rle(stream: &[u8], expected: Expected) -> Result<(), Refusal> {
    let header: Option<&[u8; RLE_HEADER_BYTES]> = stream.first_chunk();
    let Some(header) = header else { return damaged("its RLE data is truncated") };
    let words: Vec<usize> =
        header.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b) as usize).collect();
    if words[0] != expected.bytes_per_sample {
        return damaged(format!(
            "its RLE data has {} segments, {} expected",
            words[0], expected.bytes_per_sample
        ));
    }
    for segment in 0..expected.bytes_per_sample {
        let last = segment + 1 == expected.bytes_per_sample;
        let from = words[segment + 1];
        let to = if last { stream.len() } else { words[segment + 2] };
        let Some(bytes) = stream.get(from..to).filter(|_| from >= RLE_HEADER_BYTES) else {
            return damaged("its RLE segments do not lie in its data");
        };
        if unpacked_length(bytes).is_none_or(|n| n < expected.rows * expected.columns) {
            return damaged("its RLE data is truncated");
        }
    }
    Ok(())
}

/// Number of bytes that PackBits data unpacks to; `None` where it ends inside a repeat, which the decoder cannot bear.
///
/// A segment of odd length is padded with a zero, which reads as a literal run without its byte: that is no damage.
fn unpacked_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut out = 0;
    while at < bytes.len() {
        let control = bytes[at] as i8;
        at += 1;
        if control >= 0 {
            let run = (control as usize + 1).min(bytes.len() - at);
            at += run;
            out += run;
        } else if control != i8::MIN {
            at += 1;
            out += 1 + usize::from(control.unsigned_abs());
        }
    }
    (at <= bytes.len()).then_some(out)
}

pub(super) fn check_size(
    found: [usize; 2],
    components: usize,
    expected: Expected,
    name: &str,
) -> Result<(), Refusal> {
    if components != 1 {
        return damaged(format!("its {name} stream has {components} colours, 1 expected"));
    }
    if found != [expected.rows, expected.columns] {
        return damaged(format!(
            "its {name} stream is {} x {}, and its header says {} x {}",
            found[0], found[1], expected.rows, expected.columns
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Expected = Expected { rows: 2, columns: 3, bytes_per_sample: 2 };

    fn jpeg(marker: u8, bits: u8, rows: u8, columns: u8) -> Vec<u8> {
        vec![
            0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, marker, 0, 11, bits, 0, rows, 0, columns, 1, 1, 0x11, 0,
        ]
    }

    #[test]
    fn a_jpeg_frame_header_must_agree_with_rows_and_columns() {
        assert_eq!(check_jpeg(&jpeg(0xC3, 12, 2, 3), SIZE), Ok(12));
        assert!(matches!(check_jpeg(&jpeg(0xC3, 12, 3, 2), SIZE), Err(Refusal::Damaged(_))));
        assert_eq!(
            check_jpeg(&jpeg(0xC1, 12, 2, 3), SIZE),
            Err(Refusal::Unsupported("JPEG Extended with 12 bits"))
        );
        let whole = jpeg(0xC3, 12, 2, 3);
        for cut in 0..18 {
            assert!(check_jpeg(&whole[..cut], SIZE).is_err(), "{cut}");
        }
    }

    #[test]
    fn packbits_lengths_are_told_without_unpacking() {
        // Three times 0xAA, three literals, a no-op, a run of 128.
        assert_eq!(unpacked_length(&[0xFE, 0xAA, 0x02, 1, 2, 3, 0x80, 0x81, 7]), Some(3 + 3 + 128));
        assert_eq!(unpacked_length(&[0x05, 1, 2]), Some(2));
        assert_eq!(unpacked_length(&[0x00, 1, 0x00]), Some(1));
        assert_eq!(unpacked_length(&[0xFE]), None);
    }

    #[test]
    fn a_few_bytes_cannot_claim_a_huge_image() {
        let huge = Expected { rows: 60_000, columns: 60_000, bytes_per_sample: 2 };
        assert!(check_expansion(huge, 10_000).is_err());
        assert!(check_expansion(SIZE, 1).is_ok());
    }
}
