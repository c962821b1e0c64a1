//! What one file says about its slice, or about each of its frames, or why it is no slice of a CT.
//!
//! A frame of an enhanced object is a slice like any other: its functional groups say what a single image says at its top.
//!
//! Source: DICOM PS3.3 A.38 (enhanced CT), C.7.6.2 (image plane), C.7.6.3 (image pixel), C.8.2 (CT image), C.11.1
//! (rescale).

use super::elements::{Frames, MAX_FRAMES, PixelPlace, ScanError, Scanned, scan};
use super::frames::{FramePlace, frames, is_enhanced, technique};
use super::transfer_syntax::{Codec, Syntax, syntax};
use crate::guard::guarded;
use crate::hash::sha256_hex;
use crate::io_words;
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

/// Buffer for walking headers: most fit in one read.
const BUFFER_BYTES: usize = 1 << 14;

/// Why a file gives no slice.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NoSlice {
    /// Not DICOM at all.
    NotDicom,
    /// DICOM, or meant to be, but damaged; a clause about "it".
    Unreadable(String),
    /// A DICOM object that is left out on purpose.
    Skipped(Skip),
}

/// A file or a frame that gives no slice, and where its slice belonged as far as its header says so.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rejected {
    pub why: NoSlice,
    pub lost: Lost,
}

/// A slice that could not be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lost {
    /// Compared only, never shown; `None` where the file does not say.
    pub series: Option<String>,
    /// Centre of the first voxel, LPS+ mm.
    pub position: Option<[f64; 3]>,
    /// Its number in its object, from 1, where it is a frame.
    pub frame: Option<usize>,
    /// Whether it could be read, and does not say where it lies.
    pub placeless: bool,
}

impl Lost {
    /// A slice whose header was read.
    pub(super) fn of_slice(slice: &SliceHeader) -> Self {
        Self {
            series: Some(slice.series.clone()),
            position: slice.position,
            frame: slice.place.as_ref().map(|p| p.number),
            placeless: false,
        }
    }

    pub(super) fn of(object: &InMemDicomObject) -> Self {
        Self {
            frame: None,
            placeless: false,
            series: text(object, tags::SERIES_INSTANCE_UID).filter(|uid| !uid.is_empty()),
            position: position(object),
        }
    }
}

/// Why a DICOM object is left out on purpose.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Skip {
    /// A localizer (scout) image.
    Localizer,
    /// Extreme values or sums along rays through a slab; what it is.
    Projection(&'static str),
    /// Many frames in one object that says nothing about each of them.
    MultiFrame,
    /// A picture in colours.
    Colour,
    /// An image of another modality; its name.
    Modality(&'static str),
    /// An object that is no CT image; what it is.
    Object(&'static str),
}

impl Skip {
    /// A clause for people.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Localizer => "a localizer, not a slice".to_owned(),
            Self::Projection(name) => format!("{name}, not a slice"),
            Self::MultiFrame => {
                "an object of many frames that does not say, in a form that is read, where each of them lies"
                    .to_owned()
            }
            Self::Colour => "a colour picture, not a CT image".to_owned(),
            Self::Modality(name) => format!("found {name}, CT expected"),
            Self::Object(name) => format!("{name}, not a CT image"),
        }
    }
}

/// How the samples of a slice are to be understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PixelFormat {
    pub bits_allocated: u16,
    pub bits_stored: u16,
    pub high_bit: u16,
    pub signed: bool,
    /// First and last stored value that mean "no measurement here".
    pub padding: Option<(i32, i32)>,
    /// MONOCHROME1: small values are bright.
    pub inverted: bool,
    pub slope: f64,
    pub intercept: f64,
    pub has_rescale: bool,
}

/// One slice as its header describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SliceHeader {
    /// Place of its file in the list that was given.
    pub file: usize,
    /// Of a frame of an enhanced object, where its pixels lie; `None` where the file holds one image.
    pub place: Option<FramePlace>,
    /// Compared only, never shown.
    pub series: String,
    /// SHA-256 of the patient's id, compared only; `None` where the file does not say.
    pub patient: Option<String>,
    /// The frame of reference of the position, compared only; `None` where the file does not say.
    pub frame_of_reference: Option<String>,
    pub series_number: Option<i64>,
    pub instance_number: Option<i64>,
    pub rows: usize,
    pub columns: usize,
    /// Centre of the first voxel, LPS+ mm.
    pub position: Option<[f64; 3]>,
    /// Directions in which the column index (along a row) and the row index grow.
    pub orientation: Option<[[f64; 3]; 2]>,
    /// Distance between rows, between columns, in mm; as stated, unchecked.
    pub pixel_spacing: Option<[f64; 2]>,
    /// Whether it is the mean over a slab, as it says of itself.
    pub averaged: bool,
    pub format: PixelFormat,
    pub syntax: Syntax,
}

/// Reads the header of a file, not its pixels: one slice, or each frame of an enhanced object.
pub(super) fn read_headers(path: &Path, file: usize) -> Vec<Result<SliceHeader, Rejected>> {
    let io = |e: std::io::Error| Rejected {
        why: NoSlice::Unreadable(format!("it cannot be read: {}", io_words(&e))),
        lost: Lost::default(),
    };
    let opened = File::open(path).and_then(|handle| Ok((handle.metadata()?.len(), handle)));
    match opened {
        Ok((length, handle)) => parse_headers(BufReader::with_capacity(BUFFER_BYTES, handle), length, file),
        Err(e) => vec![Err(io(e))],
    }
}

/// Reads the header of a DICOM object of `length` bytes. Never panics, whatever the bytes are.
pub(super) fn parse_headers<R: Read + Seek>(
    reader: R,
    length: u64,
    file: usize,
) -> Vec<Result<SliceHeader, Rejected>> {
    let rejected = |why: NoSlice, lost: Lost| vec![Err(Rejected { why, lost })];
    let parsed = guarded(|| match scan(reader, length) {
        Ok(scanned) if is_enhanced(&class_of(&scanned)) => {
            frames(&scanned, file).unwrap_or_else(|why| all_lost(&why, &scanned.object, &scanned.frames))
        }
        Ok(scanned) => {
            let lost = |why| Rejected { why, lost: Lost::of(&scanned.object) };
            vec![slice_header(&scanned, &scanned.object, file).map_err(lost)]
        }
        Err(ScanError::Cut(words, before)) => {
            all_lost(&NoSlice::Unreadable(words), &before.object, &before.frames)
        }
        Err(ScanError::Damaged(words)) => rejected(NoSlice::Unreadable(words), Lost::default()),
        Err(ScanError::NotDicom) => rejected(NoSlice::NotDicom, Lost::default()),
    });
    parsed.unwrap_or_else(|| {
        rejected(NoSlice::Unreadable("its elements cannot be parsed".to_owned()), Lost::default())
    })
}

/// An object that gives no slice, with the place of each frame that it describes.
fn all_lost(why: &NoSlice, object: &InMemDicomObject, frames: &Frames) -> Vec<Result<SliceHeader, Rejected>> {
    let rejected = |lost: Lost| Err(Rejected { why: why.clone(), lost });
    if frames.count() == 0 {
        // Cut in front of what it says of its frames: as many slices as it states, wherever they lie.
        let stated = whole(object, tags::NUMBER_OF_FRAMES).and_then(|n| usize::try_from(n).ok());
        let count = stated.unwrap_or(1).clamp(1, MAX_FRAMES);
        return (0..count).map(|_| rejected(Lost::of(object))).collect();
    }
    let of_frame = |i| {
        let lost = frames.object(i).map_or_else(|_| Lost::of(object), |frame| Lost::of(&frame));
        Lost { frame: Some(i + 1), ..lost }
    };
    (0..frames.count()).map(of_frame).map(rejected).collect()
}

/// The SOP class, from the data set or else the file meta group.
fn class_of(scanned: &Scanned) -> String {
    text(&scanned.object, tags::SOP_CLASS_UID)
        .filter(|c| !c.is_empty())
        .unwrap_or_else(|| scanned.media_class.clone())
}

/// What the parsed elements of an image say.
pub(super) fn slice_header(
    scanned: &Scanned,
    o: &InMemDicomObject,
    file: usize,
) -> Result<SliceHeader, NoSlice> {
    is_ct_image(scanned, o)?;
    let bad = |words: &str| NoSlice::Unreadable(words.to_owned());
    if let Some(skip) = samples_skip(o) {
        return Err(NoSlice::Skipped(skip));
    }
    let size = |tag| whole(o, tag).and_then(|v| usize::try_from(v).ok()).filter(|v| *v > 0);
    let (Some(rows), Some(columns)) = (size(tags::ROWS), size(tags::COLUMNS)) else {
        return Err(bad("it states no number of rows and columns"));
    };
    let syntax = syntax(&scanned.transfer_syntax);
    let compressed = matches!(scanned.pixels, Some(PixelPlace::Fragments(_)));
    if syntax.codec != Codec::Unsupported && compressed != (syntax.codec != Codec::Native) {
        return Err(bad("its pixel data is not stored as its transfer syntax says"));
    }
    let format = pixel_format(o)?;
    if scanned.has_modality_lut && !format.has_rescale {
        return Err(bad(
            "its values go through a modality lookup table, which is not read; slope and intercept are",
        ));
    }
    let position = position(o);
    let orientation = numbers(o, tags::IMAGE_ORIENTATION_PATIENT)
        .and_then(|v| <[f64; 6]>::try_from(v).ok())
        .map(|[a, b, c, d, e, f]| [[a, b, c], [d, e, f]]);
    Ok(SliceHeader {
        file,
        place: None,
        series: text(o, tags::SERIES_INSTANCE_UID).unwrap_or_default(),
        patient: text(o, tags::PATIENT_ID).filter(|id| !id.is_empty()).map(|id| sha256_hex(id.as_bytes())),
        frame_of_reference: text(o, tags::FRAME_OF_REFERENCE_UID).filter(|uid| !uid.is_empty()),
        series_number: whole(o, tags::SERIES_NUMBER),
        instance_number: whole(o, tags::INSTANCE_NUMBER),
        rows,
        columns,
        position,
        orientation,
        pixel_spacing: numbers(o, tags::PIXEL_SPACING).and_then(|v| <[f64; 2]>::try_from(v).ok()),
        averaged: image_kind(o) == ImageKind::Average,
        format,
        syntax,
    })
}

/// Whether the object is one CT image with pixels.
fn is_ct_image(scanned: &Scanned, o: &InMemDicomObject) -> Result<(), NoSlice> {
    let skip = |s: Skip| Err(NoSlice::Skipped(s));
    let class = class_of(scanned);
    let modality = text(o, tags::MODALITY).unwrap_or_default();
    let enhanced = is_enhanced(&class);
    if !enhanced && !["", uids::CT_IMAGE_STORAGE].contains(&class.as_str()) {
        return skip(other_class(&class, &modality));
    }
    if !modality.is_empty() && modality != "CT" {
        return skip(Skip::Modality(modality_name(&modality)));
    }
    match scanned.pixels {
        None if class.is_empty() && modality.is_empty() => return Err(NoSlice::NotDicom),
        None if enhanced || class == uids::CT_IMAGE_STORAGE => {
            return Err(NoSlice::Unreadable("it has no pixel data; the file may be truncated".to_owned()));
        }
        None => return skip(Skip::Object("an object without an image")),
        Some(PixelPlace::Float) => return skip(Skip::Object("an image of real numbers")),
        Some(_) => {}
    }
    if !enhanced && whole(o, tags::NUMBER_OF_FRAMES).is_some_and(|n| n > 1) {
        return skip(Skip::MultiFrame);
    }
    if enhanced && let Some(other) = technique(o) {
        return skip(other);
    }
    match image_kind(o) {
        ImageKind::Localizer => skip(Skip::Localizer),
        ImageKind::Projection(name) => skip(Skip::Projection(name)),
        ImageKind::Average | ImageKind::Slice => match other_quantity(o) {
            Some(other) => skip(Skip::Object(other)),
            None => Ok(()),
        },
    }
}

/// What the values are where RescaleType says that they are no attenuation (PS3.3 C.11.1.1.2); other words of it mean
/// nothing.
fn other_quantity(o: &InMemDicomObject) -> Option<&'static str> {
    match text(o, tags::RESCALE_TYPE)?.to_ascii_uppercase().as_str() {
        "Z_EFF" => Some("a map of effective atomic numbers (Z_EFF)"),
        "ED" | "EDW" => Some("a map of electron density"),
        "MGML" => Some("a map of a material's concentration (MGML)"),
        "OD" => Some("a map of optical density"),
        "PCT" => Some("a map in per cent (PCT)"),
        _ => None,
    }
}

/// What an image shows, by its ImageType.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ImageKind {
    Slice,
    /// The mean over a slab: a thick slice.
    Average,
    Localizer,
    /// See [`Skip::Projection`].
    Projection(&'static str),
}

/// Tells slices from what only looks like them. DERIVED, SECONDARY and REFORMATTED alone say nothing against an image:
/// exports, anonymisers and reconstructions at another thickness write them over honest slices in HU. A projection
/// holds the brightest or the darkest value of a slab, which hides lung or infection, and is no measurement at a place.
/// The mean of a slab is one.
///
/// Values 3 and up are free text; GE writes `DERIVED\SECONDARY\REFORMATTED\MIN_IP` or `..\AVERAGE`, Siemens
/// `..\AXIAL\CSA MIP`.
fn image_kind(o: &InMemDicomObject) -> ImageKind {
    let kind = text(o, tags::IMAGE_TYPE).unwrap_or_default().to_ascii_uppercase();
    let mut found = ImageKind::Slice;
    for part in kind.split('\\') {
        let words: Vec<&str> = part.split([' ', '_', '-']).filter(|w| !w.is_empty()).collect();
        let holds = |run: &[&str]| words.windows(run.len()).any(|w| w == run);
        if holds(&["LOCALIZER"]) {
            return ImageKind::Localizer;
        }
        if holds(&["MINIP"]) || holds(&["MIN", "IP"]) || words == ["MINIMUM"] {
            return ImageKind::Projection("a minimum intensity projection (MinIP)");
        }
        if holds(&["MIP"]) || holds(&["MAX", "IP"]) || words == ["MAXIMUM"] {
            return ImageKind::Projection("a maximum intensity projection (MIP)");
        }
        if words == ["PROJECTION", "IMAGE"] {
            return ImageKind::Projection("a PROJECTION IMAGE, as ImageType says");
        }
        if words == ["AVERAGE"] || words == ["MEAN"] {
            found = ImageKind::Average;
        }
    }
    found
}

fn other_class(class: &str, modality: &str) -> Skip {
    match class {
        uids::MEDIA_STORAGE_DIRECTORY_STORAGE => Skip::Object("a DICOMDIR"),
        uids::SEGMENTATION_STORAGE => Skip::Object("a segmentation"),
        c if c.starts_with("1.2.840.10008.5.1.4.1.1.7") => {
            Skip::Object("a secondary capture (picture of a screen)")
        }
        c if c.starts_with("1.2.840.10008.5.1.4.1.1.88") => Skip::Object("a structured report"),
        c if c.starts_with("1.2.840.10008.5.1.4.1.1.11.") => Skip::Object("a presentation state"),
        c if c.starts_with("1.2.840.10008.5.1.4.1.1.481.") => Skip::Object("a radiotherapy object"),
        c if c.starts_with("1.2.840.10008.5.1.4.1.1.104.") => Skip::Object("a document"),
        _ if !modality.is_empty() && modality != "CT" => Skip::Modality(modality_name(modality)),
        _ => Skip::Object("an object of another kind"),
    }
}

/// Modality in the standard's words; anything else could be free text, which is not repeated.
fn modality_name(found: &str) -> &'static str {
    const KNOWN: [&str; 24] = [
        "MR", "PT", "NM", "US", "CR", "DX", "MG", "XA", "RF", "OT", "SC", "SR", "SEG", "PR", "KO", "DOC",
        "REG", "RTIMAGE", "RTDOSE", "RTSTRUCT", "RTPLAN", "IO", "ES", "SM",
    ];
    KNOWN.into_iter().find(|k| *k == found).unwrap_or("another modality")
}

fn samples_skip(o: &InMemDicomObject) -> Option<Skip> {
    let colour = whole(o, tags::SAMPLES_PER_PIXEL).is_some_and(|n| n != 1);
    let palette = text(o, tags::PHOTOMETRIC_INTERPRETATION)
        .is_some_and(|p| !p.is_empty() && !p.starts_with("MONOCHROME"));
    (colour || palette).then_some(Skip::Colour)
}

fn pixel_format(o: &InMemDicomObject) -> Result<PixelFormat, NoSlice> {
    let bad = |words: String| NoSlice::Unreadable(words);
    let field = |tag| whole(o, tag).and_then(|v| u16::try_from(v).ok());
    let bits_allocated = match field(tags::BITS_ALLOCATED) {
        Some(n @ (8 | 16)) => n,
        Some(n) => return Err(bad(format!("it has {n} bits per pixel; 8 and 16 are read"))),
        None => return Err(bad("it states no number of bits per pixel".to_owned())),
    };
    let bits_stored = field(tags::BITS_STORED).unwrap_or(bits_allocated);
    let high_bit = field(tags::HIGH_BIT).unwrap_or(bits_stored.saturating_sub(1));
    if bits_stored == 0 || high_bit >= bits_allocated || high_bit + 1 < bits_stored {
        return Err(bad("its bits stored, high bit and bits allocated contradict each other".to_owned()));
    }
    let signed = field(tags::PIXEL_REPRESENTATION).unwrap_or(0) == 1;
    let padding_at = |tag| whole(o, tag).map(|v| as_sample(v, bits_stored, signed));
    let padding = padding_at(tags::PIXEL_PADDING_VALUE).map(|p| {
        let limit = padding_at(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(p);
        (p.min(limit), p.max(limit))
    });
    let number = |tag| numbers(o, tag).and_then(|v| v.first().copied());
    let (slope, intercept) = (number(tags::RESCALE_SLOPE), number(tags::RESCALE_INTERCEPT));
    if slope == Some(0.0) || [slope, intercept].into_iter().flatten().any(|v| !v.is_finite()) {
        return Err(bad("its rescale slope is zero or its rescale values are not numbers".to_owned()));
    }
    Ok(PixelFormat {
        bits_allocated,
        bits_stored,
        high_bit,
        signed,
        padding,
        inverted: text(o, tags::PHOTOMETRIC_INTERPRETATION).as_deref() == Some("MONOCHROME1"),
        slope: slope.unwrap_or(1.0),
        intercept: intercept.unwrap_or(0.0),
        has_rescale: slope.is_some() && intercept.is_some(),
    })
}

/// A padding value stands as unsigned or signed 16-bit number, whatever the dictionary made of it.
fn as_sample(value: i64, bits_stored: u16, signed: bool) -> i32 {
    let low = value as u16; // the two's complement pattern
    match (signed, bits_stored) {
        (true, 8) if value.unsigned_abs() < 256 => i32::from(low as u8 as i8),
        (true, _) => i32::from(low as i16),
        (false, _) => i32::from(low),
    }
}

/// Centre of the first voxel, where three numbers say it.
fn position(o: &InMemDicomObject) -> Option<[f64; 3]> {
    let three = <[f64; 3]>::try_from(numbers(o, tags::IMAGE_POSITION_PATIENT)?).ok()?;
    three.iter().all(|v| v.is_finite()).then_some(three)
}

/// Text of an element without padding.
pub(super) fn text(o: &InMemDicomObject, tag: Tag) -> Option<String> {
    let value = o.get(tag)?.to_str().ok()?;
    Some(value.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned())
}

/// One whole number.
pub(super) fn whole(o: &InMemDicomObject, tag: Tag) -> Option<i64> {
    let element = o.get(tag)?;
    element.to_int::<i64>().ok().or_else(|| text(o, tag)?.parse().ok())
}

/// Numbers of a decimal string; what is no number becomes NaN, so that it is noticed.
fn numbers(o: &InMemDicomObject, tag: Tag) -> Option<Vec<f64>> {
    let value = text(o, tag)?;
    if value.is_empty() {
        return None;
    }
    Some(value.split('\\').map(|v| v.trim().trim_end_matches('\0').parse().unwrap_or(f64::NAN)).collect())
}
