//! The frames of an enhanced CT object as slices.
//!
//! A frame is a slice like any other: its functional groups say what a single image says at its top. What a volume was
//! made by stands in an element of its own (VolumeBasedCalculationTechnique), where single images have it in their
//! ImageType.
//!
//! Source: DICOM PS3.3 A.38 and A.70 (enhanced and legacy converted enhanced CT), C.7.6.16 (functional groups),
//! C.8.15.3.3 and C.8.16.2 (frame type, table C.8-130); PS3.5 A.4 (fragments and the basic offset table).

use super::elements::{Encoding, PixelPlace, Scanned};
use super::header::{Lost, NoSlice, Rejected, Skip, SliceHeader, slice_header, text, whole};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

/// Where the pixels of one frame lie in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FramePlace {
    /// Number of the frame in its object, from 1.
    pub number: usize,
    pub pixels: PixelPlace,
    pub encoding: Encoding,
    pub transfer_syntax: String,
}

/// Whether a SOP class is one of enhanced CT, whose frames say what they are.
pub(super) fn is_enhanced(class: &str) -> bool {
    [uids::ENHANCED_CT_IMAGE_STORAGE, uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE].contains(&class)
}

/// Each frame as a slice of its own, or the reason why it is none.
///
/// # Errors
/// What keeps all of them from being slices.
pub(super) fn frames(scanned: &Scanned, file: usize) -> Result<Vec<Result<SliceHeader, Rejected>>, NoSlice> {
    let bad = |words: String| Err(NoSlice::Unreadable(words));
    let o = &scanned.object;
    let count = scanned.frames.count();
    if count == 0 {
        return Err(NoSlice::Skipped(Skip::MultiFrame));
    }
    let stated = whole(o, tags::NUMBER_OF_FRAMES);
    if stated != i64::try_from(count).ok() {
        let stated = stated.map_or("no number of frames".to_owned(), |n| format!("{n} frames"));
        return bad(format!("it states {stated} and describes {count}"));
    }
    if scanned.inflated.is_some() {
        return bad("it is a deflated object of many frames, which is not read".to_owned());
    }
    let one = |i: usize| {
        let of = |object| Lost { frame: Some(i + 1), ..Lost::of(object) };
        let object = scanned.frames.object(i).map_err(|_| Rejected {
            why: NoSlice::Unreadable("its elements cannot be parsed".to_owned()),
            lost: of(o),
        })?;
        let lost = of(&object);
        slice_header(scanned, &object, file).map_err(|why| Rejected { why, lost })
    };
    let mut found: Vec<Result<SliceHeader, Rejected>> = (0..count).map(one).collect();
    // What is said of all of them is said of the object.
    if let Some(Err(first)) = found.first()
        && found.iter().all(|frame| frame.as_ref().is_err_and(|r| r.why == first.why))
    {
        return Err(first.why.clone());
    }
    // Rows, columns and bits are those of the object.
    let (Some(pixels), Some(bytes)) = (&scanned.pixels, found.iter().flatten().map(bytes_of).next()) else {
        return Ok(found);
    };
    let places = places(pixels, scanned, (count, bytes))?;
    // Objects of one series are told apart by their numbers, and their frames by the order in them.
    let object_number = whole(o, tags::INSTANCE_NUMBER).unwrap_or(0);
    for (i, (header, pixels)) in found.iter_mut().zip(places).enumerate() {
        let Ok(header) = header else { continue };
        header.instance_number = object_number.checked_mul(1 << 20).and_then(|n| n.checked_add(i as i64 + 1));
        header.place = Some(FramePlace {
            number: i + 1,
            pixels,
            encoding: scanned.encoding,
            transfer_syntax: scanned.transfer_syntax.clone(),
        });
    }
    Ok(found)
}

/// Bytes of a frame's uncompressed pixels.
fn bytes_of(header: &SliceHeader) -> u64 {
    let sides = (header.rows as u64).saturating_mul(header.columns as u64);
    sides.saturating_mul(u64::from(header.format.bits_allocated / 8))
}

/// Where the pixels of each frame lie: side by side, or in the fragments that the basic offset table or their number
/// gives to it.
fn places(
    pixels: &PixelPlace,
    scanned: &Scanned,
    (count, bytes): (usize, u64),
) -> Result<Vec<PixelPlace>, NoSlice> {
    let bad = |words: &str| Err(NoSlice::Unreadable(words.to_owned()));
    match pixels {
        PixelPlace::Float => Err(NoSlice::Skipped(Skip::Object("an image of real numbers"))),
        PixelPlace::Native { at, length, words } => {
            let surplus = bytes.checked_mul(count as u64).and_then(|all| length.checked_sub(all));
            match surplus {
                None => return bad("its pixel data is shorter than its frames"),
                Some(more) if more >= bytes => {
                    return bad(
                        "its pixel data holds more frames than it describes, so that which is which is not known",
                    );
                }
                Some(_) => {}
            }
            if *words && scanned.encoding == Encoding::ExplicitBig && bytes % 2 == 1 {
                return bad("its frames end in the middle of 16-bit words with the larger byte first");
            }
            let place = |i| PixelPlace::Native { at: at + i * bytes, length: bytes, words: *words };
            Ok((0..count as u64).map(place).collect())
        }
        PixelPlace::Fragments(all) => {
            let starts: Vec<usize> = if count == 1 {
                vec![0]
            } else if all.len() == count {
                (0..count).collect()
            } else if scanned.frame_starts.len() == count && scanned.frame_starts[0] == 0 {
                scanned.frame_starts.clone()
            } else if all.len() < count {
                let (n, unit) = (all.len(), if all.len() == 1 { "fragment" } else { "fragments" });
                let words = format!("it holds {n} compressed {unit} for {count} frames; it may be truncated");
                return Err(NoSlice::Unreadable(words));
            } else {
                return bad("which of its compressed fragments belong to which frame is not told");
            };
            let ends = starts.iter().skip(1).copied().chain([all.len()]);
            let place = |(&from, to): (&usize, usize)| PixelPlace::Fragments(all[from..to].to_vec());
            Ok(starts.iter().zip(ends).map(place).collect())
        }
    }
}

/// Why a frame is no slice, by how it was calculated; NONE, MPR and MIXED are slices, and so is what is filtered,
/// resampled or a mean.
pub(super) fn technique(o: &InMemDicomObject) -> Option<Skip> {
    let technique = text(o, tags::VOLUME_BASED_CALCULATION_TECHNIQUE).unwrap_or_default();
    match technique.to_ascii_uppercase().as_str() {
        "MAX_IP" => return Some(Skip::Projection("a maximum intensity projection (MIP)")),
        "MIN_IP" => return Some(Skip::Projection("a minimum intensity projection (MinIP)")),
        "VOLUME_RENDER" | "SURFACE_RENDER" => return Some(Skip::Object("a rendered view")),
        "CURVED_MPR" => return Some(Skip::Object("a curved reformat, whose pixels lie in no plane")),
        _ => {}
    }
    let kind = text(o, tags::IMAGE_TYPE).unwrap_or_default().to_ascii_uppercase();
    let derived = kind.split('\\').nth(3).map(str::trim);
    match derived {
        Some(
            "ADDITION" | "SUBTRACTION" | "MULTIPLICATION" | "DIVISION" | "STD_DEVIATION" | "Z_SCORE"
            | "T_TEST" | "MTT" | "TTP" | "RCBF" | "RCBV",
        ) => Some(Skip::Object("a picture calculated out of others, as its frame type says")),
        _ => None,
    }
}
