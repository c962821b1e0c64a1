//! The pixels of one slice: bytes of a file to grey values after slope and intercept.
//!
//! `value = stored * slope + intercept`, where `stored` is `bits_stored` bits of each sample below `high_bit`,
//! sign-extended where signed (bits above may hold old overlays). Padding becomes NaN here and the lowest measured
//! value of the volume later. MONOCHROME1 says how to show values, not what they are: it is inverted only where the
//! file gives no slope and intercept, so that its numbers are shades and no measurement.
//!
//! Source: DICOM PS3.5 section 8, PS3.3 C.7.5.1.1.2 (padding), C.11.1.1.2 (rescale). Golden set: `io/dicom`.

use super::codec_guard::{Expected, Refusal, check_expansion, check_jpeg, check_jpeg2000, check_rle};
use super::elements::{Encoding, PixelPlace, scan};
use super::frames::FramePlace;
use super::header::{PixelFormat, SliceHeader};
use super::jpeg_ls;
use super::transfer_syntax::Codec;
use crate::ReadError;
use crate::guard::guarded;
use dicom_core::{DataElement, VR, value::PixelFragmentSequence};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_pixeldata::PixelDecoder;
use std::io::{Cursor, Read, Seek, SeekFrom};

/// Bytes that are reserved for a slice before any was read.
const MOST_AT_ONCE: usize = 1 << 20;

/// What decoding a slice found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decoded {
    /// Pixels that are padding.
    pub padded: usize,
    /// Lowest value that is none; infinite where all are padding.
    pub lowest: f32,
}

/// Decodes a file's pixels into `out` (rows x columns). Never panics, whatever the bytes are.
pub(super) fn decode(bytes: &[u8], header: &SliceHeader, out: &mut [f32]) -> Result<Decoded, ReadError> {
    let decoded = guarded(|| {
        let scanned = scan(Cursor::new(bytes), bytes.len() as u64)
            .map_err(|_| wrong("it changed while it was read"))?;
        let data = scanned.inflated.as_deref().unwrap_or(bytes);
        let place = scanned.pixels.as_ref().ok_or_else(|| wrong("its pixel data is truncated"))?;
        let kind = (place, scanned.encoding, scanned.transfer_syntax.as_str());
        decode_at(&mut Cursor::new(data), kind, header, out)
    });
    decoded.unwrap_or_else(|| Err(wrong("its pixel data is damaged")))
}

/// Decodes the pixels of one frame, reading no more of the file than these. Never panics, whatever the bytes are.
pub(super) fn decode_frame(
    reader: &mut (impl Read + Seek),
    place: &FramePlace,
    header: &SliceHeader,
    out: &mut [f32],
) -> Result<Decoded, ReadError> {
    let kind = (&place.pixels, place.encoding, place.transfer_syntax.as_str());
    guarded(move || decode_at(reader, kind, header, out))
        .unwrap_or_else(|| Err(wrong("its pixel data is damaged")))
}

fn decode_at(
    reader: &mut (impl Read + Seek),
    (place, encoding, syntax): (&PixelPlace, Encoding, &str),
    header: &SliceHeader,
    out: &mut [f32],
) -> Result<Decoded, ReadError> {
    let needed = header.rows.saturating_mul(header.columns).saturating_mul(2);
    let mut bytes = Vec::with_capacity(needed.min(MOST_AT_ONCE));
    let mut read = |at: u64, length: u64| -> Result<(), ReadError> {
        reader.seek(SeekFrom::Start(at))?;
        let more = (&mut *reader).take(length).read_to_end(&mut bytes)?;
        if more as u64 == length { Ok(()) } else { Err(wrong("its pixel data is truncated")) }
    };
    let stored = match place {
        PixelPlace::Native { at, length, words } => {
            read(*at, *length)?;
            Stored::Native { bytes, words: *words, encoding }
        }
        PixelPlace::Fragments(places) => {
            for &(at, length) in places {
                read(at, length)?;
            }
            Stored::Compressed { stream: bytes, syntax }
        }
        PixelPlace::Float => return Err(wrong("its pixel data is not stored as its transfer syntax says")),
    };
    Ok(to_values(&samples(stored, header)?, &header.format, out))
}

fn wrong(words: &str) -> ReadError {
    ReadError::Dicom(words.to_owned())
}

/// Samples as bytes, little endian, `width` bytes each.
struct Samples {
    bytes: Vec<u8>,
    width: usize,
}

/// The pixels of one image as they are stored.
enum Stored<'a> {
    /// `words` says that they are 16-bit words even where samples are bytes.
    Native { bytes: Vec<u8>, words: bool, encoding: Encoding },
    /// With the UID of the transfer syntax.
    Compressed { stream: Vec<u8>, syntax: &'a str },
}

fn samples(stored: Stored<'_>, header: &SliceHeader) -> Result<Samples, ReadError> {
    let width = usize::from(header.format.bits_allocated / 8);
    let expected = Expected { rows: header.rows, columns: header.columns, bytes_per_sample: width };
    let needed = header.rows * header.columns * width;
    let short = || wrong("its pixel data is shorter than rows x columns");
    match (stored, header.syntax.codec) {
        (_, Codec::Unsupported) => Err(ReadError::TransferSyntax(header.syntax.name.to_owned())),
        (Stored::Native { mut bytes, words, encoding }, Codec::Native) => {
            if bytes.len() < needed {
                return Err(short());
            }
            if encoding == Encoding::ExplicitBig && (width > 1 || words) {
                bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.swap(0, 1));
            }
            Ok(Samples { bytes, width })
        }
        (Stored::Compressed { mut stream, syntax }, codec) => {
            check_expansion(expected, stream.len()).map_err(refused)?;
            let width = match codec {
                Codec::EncapsulatedNative => {
                    stream.truncate(needed);
                    if stream.len() < needed {
                        return Err(short());
                    }
                    return Ok(Samples { bytes: stream, width });
                }
                Codec::Rle => check_rle(&stream, expected).map(|()| width).map_err(refused)?,
                // The decoder gives one byte for exactly 8 bits (lossless) or up to 8 bits (others), else two.
                Codec::Jpeg => check_jpeg(&stream, expected)
                    .map(|bits| if bits == 8 { 1 } else { 2 })
                    .map_err(refused)?,
                Codec::Jpeg2000 => check_jpeg2000(&stream, expected).map(|()| width).map_err(refused)?,
                Codec::JpegLs => {
                    let bytes = jpeg_ls::decode(&stream, expected).map_err(refused)?;
                    return Ok(Samples { bytes, width });
                }
                Codec::Native | Codec::Unsupported => {
                    return Err(wrong("its pixel data is compressed in an unknown way"));
                }
            };
            let bytes = decompress(stream, width, syntax, header)?;
            if bytes.len() < header.rows * header.columns * width {
                return Err(wrong("its pixel data is damaged"));
            }
            Ok(Samples { bytes, width })
        }
        _ => Err(wrong("its pixel data is not stored as its transfer syntax says")),
    }
}

fn refused(refusal: Refusal) -> ReadError {
    match refusal {
        Refusal::Damaged(words) => ReadError::Dicom(words),
        Refusal::Unsupported(name) => ReadError::TransferSyntax(name.to_owned()),
    }
}

/// Lets the decoder at an object that holds nothing but the image.
fn decompress(
    stream: Vec<u8>,
    width: usize,
    transfer_syntax: &str,
    header: &SliceHeader,
) -> Result<Vec<u8>, ReadError> {
    let number = |tag, value: u16| DataElement::new(tag, VR::US, dicom_core::PrimitiveValue::from(value));
    let size = |value: usize| u16::try_from(value).map_err(|_| wrong("it has too many rows or columns"));
    let f = &header.format;
    let mut object = InMemDicomObject::from_element_iter([
        number(tags::SAMPLES_PER_PIXEL, 1),
        DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        number(tags::ROWS, size(header.rows)?),
        number(tags::COLUMNS, size(header.columns)?),
        number(tags::BITS_ALLOCATED, if width == 1 { 8 } else { 16 }), // as the decoder gives them
        number(tags::BITS_STORED, f.bits_stored),
        number(tags::HIGH_BIT, f.high_bit),
        number(tags::PIXEL_REPRESENTATION, u16::from(f.signed)),
    ]);
    object.put(DataElement::new(
        tags::PIXEL_DATA,
        VR::OB,
        dicom_core::DicomValue::PixelSequence(PixelFragmentSequence::new_fragments(vec![stream])),
    ));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid(uids::CT_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("2.25.1") // asked for by the type, seen by nobody
        .build()
        .map_err(|_| wrong("its transfer syntax is malformed"))?;
    let object = object.with_exact_meta(meta);
    let decoded = object.decode_pixel_data_frame(0).map_err(|_| wrong("its pixel data is damaged"))?;
    Ok(decoded.into_data())
}

fn to_values(samples: &Samples, format: &PixelFormat, out: &mut [f32]) -> Decoded {
    if format.padding.is_none() && samples.width == 2 {
        let words = samples.bytes.as_chunks::<2>().0;
        let value = |raw: &[u8; 2]| {
            let stored = stored_value(u16::from_le_bytes(*raw), format);
            (f64::from(shade(stored, format)) * format.slope + format.intercept) as f32
        };
        out.iter_mut().zip(words).for_each(|(place, raw)| *place = value(raw));
        let lowest = out.iter().copied().fold(f32::INFINITY, |a, b| if b < a { b } else { a });
        return Decoded { padded: 0, lowest };
    }
    let mut decoded = Decoded { padded: 0, lowest: f32::INFINITY };
    let mut put = |place: &mut f32, raw: u16| {
        let stored = stored_value(raw, format);
        if format.padding.is_some_and(|(low, high)| (low..=high).contains(&stored)) {
            *place = f32::NAN;
            decoded.padded += 1;
            return;
        }
        *place = (f64::from(shade(stored, format)) * format.slope + format.intercept) as f32;
        decoded.lowest = decoded.lowest.min(*place);
    };
    if samples.width == 1 {
        out.iter_mut().zip(samples.bytes.iter()).for_each(|(place, raw)| put(place, u16::from(*raw)));
    } else {
        let words = samples.bytes.as_chunks::<2>().0;
        out.iter_mut().zip(words).for_each(|(place, raw)| put(place, u16::from_le_bytes(*raw)));
    }
    decoded
}

/// The stored bits of a sample, without what lies above and below them, with their sign.
fn stored_value(raw: u16, format: &PixelFormat) -> i32 {
    let shifted = u32::from(raw) >> (format.high_bit + 1 - format.bits_stored);
    let unused = 32 - u32::from(format.bits_stored);
    if format.signed {
        ((shifted << unused) as i32) >> unused
    } else {
        ((shifted << unused) >> unused) as i32
    }
}

/// Turns the shades of a picture in MONOCHROME1 round within the stored range.
fn shade(stored: i32, format: &PixelFormat) -> i32 {
    if !format.inverted || format.has_rescale {
        return stored;
    }
    // Lowest + highest stored value: 2^n - 1 unsigned, -1 signed.
    if format.signed { -1 - stored } else { (1 << format.bits_stored) - 1 - stored }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(bits_stored: u16, high_bit: u16, signed: bool) -> PixelFormat {
        PixelFormat {
            bits_allocated: 16,
            bits_stored,
            high_bit,
            signed,
            padding: None,
            inverted: false,
            slope: 1.0,
            intercept: 0.0,
            has_rescale: true,
        }
    }

    #[test]
    fn only_stored_bits_count() {
        for (raw, bits, high, signed, expected) in [
            (0xF123, 12, 11, false, 0x123),
            (0x0FFF, 12, 11, true, -1),
            (0xF7FF, 12, 11, true, 2047),
            (0x1230, 12, 15, false, 0x123),
            (0xFFF0, 12, 15, true, -1),
            (0xFFFF, 16, 15, true, -1),
            (0xFFFF, 16, 15, false, 65_535),
        ] {
            assert_eq!(
                stored_value(raw, &format(bits, high, signed)),
                expected,
                "{raw:x} {bits} {high} {signed}"
            );
        }
    }

    #[test]
    fn monochrome1_is_inverted_only_without_rescale() {
        let mut f = PixelFormat { inverted: true, has_rescale: false, ..format(8, 7, false) };
        assert_eq!(shade(0, &f), 255);
        f.has_rescale = true;
        assert_eq!(shade(0, &f), 0);
    }
}
