//! Slices as pictures: PNG, JPEG and TIFF, 8 or 16 bit, one picture per slice.
//!
//! A picture knows no millimetres and no orientation, so neither is made up: the grid is unknown. Colour pictures
//! whose channels agree are grey; truly coloured ones become luminance, with a warning.

use crate::error::counted;
use crate::hash::{sha256_hex, together};
use crate::input::{Pictures, left_out};
use crate::scan::{self, Finished, Found};
use crate::{Format, ReadError, ReadOptions, Scan};
use gg_volume::{Grid, LabelVolume, Volume, Warned, Warning, correlation};
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use std::path::PathBuf;

/// Bytes a decoder may use for one picture: 16-bit RGBA of 8192 x 8192.
const DECODER_BYTES: u64 = 512 << 20;
/// Why nothing may be measured in millimetres.
const NO_SPACING: &str = "pictures state no spacing";

/// The format of a picture, told from its first bytes.
pub(crate) fn format_of(start: &[u8]) -> Option<ImageFormat> {
    match image::guess_format(start) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Tiff)) => Some(format),
        _ => None,
    }
}

/// Reads the slices of a folder.
pub(crate) fn read_folder(found: Pictures, options: &ReadOptions) -> Result<Warned<Scan>, ReadError> {
    let mut read = read_ct(&found.files, options)?;
    read.value.skipped.extend(left_out(found.others));
    read.warnings.extend(found.remarks);
    Ok(read)
}

/// Reads slices in the given order.
pub(crate) fn read_ct(paths: &[PathBuf], options: &ReadOptions) -> Result<Warned<Scan>, ReadError> {
    let Stack { shape, values, sha256, skipped, mut warnings } = read_stack(paths, options, true)?;
    warnings.extend(breaks(&values, shape));
    let voxels = Volume::from_vec(shape, values).map_err(|e| ReadError::Picture(e.to_string()))?;
    let found = Found { voxels, grid: Grid::unknown(shape, NO_SPACING), doubt: None };
    let Finished { ct, labels, holes } = scan::finish(found, options, &mut warnings)?;
    let left_out = |path: &PathBuf| skipped.iter().any(|(p, _)| p == path);
    let slice_files = paths.iter().enumerate().filter(|(_, p)| !left_out(p)).map(|(i, _)| i).collect();
    Ok(Warned::new(
        Scan { ct, format: Format::SlicePictures, sha256, skipped, slice_files, holes, labels },
        warnings,
    ))
}

/// Reads masks in the given order; the stored values are the labels.
pub(crate) fn read_labels(
    paths: &[PathBuf],
    options: &ReadOptions,
) -> Result<Warned<(LabelVolume, Grid)>, ReadError> {
    // A CT can do without a slice; a mask would no longer fit its CT.
    let Stack { shape, values, warnings, .. } = read_stack(paths, options, false)?;
    let labels = values.into_iter().map(scan::label).collect::<Result<Vec<u8>, _>>()?;
    let labels = Volume::from_vec(shape, labels).map_err(|e| ReadError::Picture(e.to_string()))?;
    Ok(Warned::new((labels, Grid::unknown(shape, NO_SPACING)), warnings))
}

/// Bits per channel and number of channels as stored, for `inspect`.
pub(crate) fn stored_type(path: &std::path::Path) -> Option<String> {
    let picture = decode(&std::fs::read(path).ok()?).ok()?;
    let color = picture.color();
    let channels = color.channel_count();
    let bits = color.bits_per_pixel() / u16::from(channels);
    Some(format!("uint{bits}, {channels} channel{}", if channels == 1 { "" } else { "s" }))
}

/// Below this correlation two pictures in a row are hardly of one scan: of 1,252 pairs of neighbours in 14 volumes of
/// `covid20` none lies below 0.65, of the 13 pairs where one volume follows another none above 0.51.
const ONE_SCAN: f64 = 0.58;
/// Every so many rows and columns are compared.
const COMPARED: usize = 4;

/// A remark where neighbours resemble each other so little that the pictures may be of several scans.
fn breaks(values: &[f32], [count, rows, columns]: [usize; 3]) -> Option<Warning> {
    let thin = |slice: &[f32]| -> Vec<f64> {
        let rows = slice.chunks_exact(columns.max(1)).step_by(COMPARED);
        rows.flat_map(|row| row.iter().step_by(COMPARED).map(|v| f64::from(*v))).collect()
    };
    let mut slices = values.chunks_exact((rows * columns).max(1)).map(thin);
    let mut before = slices.next()?;
    let mut breaks = Vec::new();
    for (i, slice) in slices.enumerate() {
        if correlation(before.iter().copied().zip(slice.iter().copied())).is_some_and(|r| r < ONE_SCAN) {
            breaks.push(i);
        }
        before = slice;
    }
    let first = breaks.first()?;
    Some(Warning::new(
        "pictures_of_several_scans",
        format!(
            "{} hardly resemble{} the one before, the first is number {} of {}: are these pictures of one scan, in its order?",
            counted(breaks.len(), "picture"),
            if breaks.len() == 1 { "s" } else { "" },
            first + 2,
            count
        ),
    ))
}

struct Stack {
    shape: [usize; 3],
    values: Vec<f32>,
    sha256: String,
    skipped: Vec<(PathBuf, String)>,
    warnings: Vec<Warning>,
}

/// `skip`: whether an unreadable slice among others is left out.
fn read_stack(paths: &[PathBuf], options: &ReadOptions, skip: bool) -> Result<Stack, ReadError> {
    let mut hashes = Vec::new();
    let mut skipped: Vec<(PathBuf, String)> = Vec::new();
    let mut values = Vec::new();
    let mut size: Option<[usize; 2]> = None;
    let (mut slices, mut coloured) = (0, 0);
    for path in paths {
        let slice = match read_slice(path) {
            Ok(slice) => slice,
            Err(e) if !skip || paths.len() == 1 => return Err(e),
            Err(e) => {
                skipped.push((path.clone(), e.to_string()));
                continue;
            }
        };
        let first = *size.get_or_insert(slice.size);
        if first != slice.size {
            return Err(ReadError::SliceSizes { first, other: slice.size });
        }
        if values.len() + slice.values.len() > options.max_voxels {
            let claimed = (first[0] * first[1]) as u128 * paths.len() as u128;
            return Err(ReadError::TooManyVoxels { claimed, limit: options.max_voxels });
        }
        slices += 1;
        coloured += usize::from(slice.coloured);
        values.extend_from_slice(&slice.values);
        hashes.push(slice.sha256);
    }
    let Some([rows, columns]) = size else {
        return Err(match skipped.into_iter().next() {
            None => ReadError::EmptyFolder,
            Some((_, first)) => ReadError::AllFailed { count: paths.len(), first },
        });
    };
    let mut warnings = Vec::new();
    if let Some((_, first)) = skipped.first() {
        warnings.push(Warning::new(
            "unreadable_files",
            format!(
                "{} of {} could not be read and {} left out: {first}",
                skipped.len(),
                counted(paths.len(), "slice"),
                if skipped.len() == 1 { "is" } else { "are" }
            ),
        ));
    }
    if coloured > 0 {
        warnings.push(Warning::new(
            "coloured_slice",
            format!(
                "{coloured} of {} in colour; the luminance is taken as grey",
                if slices == 1 { "1 slice is".to_owned() } else { format!("{slices} slices are") }
            ),
        ));
    }
    let sha256 = together(&hashes);
    Ok(Stack { shape: [slices, rows, columns], values, sha256, skipped, warnings })
}

struct Slice {
    size: [usize; 2],
    values: Vec<f32>,
    coloured: bool,
    sha256: String,
}

fn read_slice(path: &std::path::Path) -> Result<Slice, ReadError> {
    let bytes = std::fs::read(path)?;
    let sha256 = sha256_hex(&bytes);
    let picture = decode(&bytes)?;
    let size = [picture.height() as usize, picture.width() as usize];
    let (values, coloured) = grey(&picture)?;
    Ok(Slice { size, values, coloured, sha256 })
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, ReadError> {
    decode_within(bytes, DECODER_BYTES)
}

fn decode_within(bytes: &[u8], most: u64) -> Result<DynamicImage, ReadError> {
    if bytes.is_empty() {
        return Err(ReadError::Picture("the file is empty".to_owned()));
    }
    let format = format_of(bytes).ok_or_else(|| {
        ReadError::Picture("its first bytes are not those of a PNG, JPEG or TIFF file".to_owned())
    })?;
    if format == ImageFormat::Tiff && tiff_has_second_page(bytes) {
        return Err(ReadError::Picture("a TIFF of several pages; write one picture per slice".to_owned()));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(most);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    reader.decode().map_err(|e| ReadError::Picture(e.to_string()))
}

/// Grey values as stored, and whether the picture was truly coloured. Transparency is ignored.
fn grey(picture: &DynamicImage) -> Result<(Vec<f32>, bool), ReadError> {
    Ok(match picture {
        DynamicImage::ImageLuma8(p) => (p.iter().map(|&v| f32::from(v)).collect(), false),
        DynamicImage::ImageLuma16(p) => (p.iter().map(|&v| f32::from(v)).collect(), false),
        DynamicImage::ImageLumaA8(p) => (p.pixels().map(|p| f32::from(p.0[0])).collect(), false),
        DynamicImage::ImageLumaA16(p) => (p.pixels().map(|p| f32::from(p.0[0])).collect(), false),
        DynamicImage::ImageRgb8(p) => luminance(p.pixels().map(|p| p.0.map(f32::from))),
        DynamicImage::ImageRgba8(p) => luminance(p.pixels().map(|p| [p.0[0], p.0[1], p.0[2]].map(f32::from))),
        DynamicImage::ImageRgb16(p) => luminance(p.pixels().map(|p| p.0.map(f32::from))),
        DynamicImage::ImageRgba16(p) => {
            luminance(p.pixels().map(|p| [p.0[0], p.0[1], p.0[2]].map(f32::from)))
        }
        DynamicImage::ImageRgb32F(p) => luminance(p.pixels().map(|p| p.0)),
        DynamicImage::ImageRgba32F(p) => luminance(p.pixels().map(|p| [p.0[0], p.0[1], p.0[2]])),
        other => {
            return Err(ReadError::Picture(format!(
                "pixels of kind {:?} are not grey values",
                other.color()
            )));
        }
    })
}

/// ITU-R BT.601 luma, rounded to whole numbers where the channels were whole, as OpenCV's grey conversion does.
fn luminance(pixels: impl Iterator<Item = [f32; 3]>) -> (Vec<f32>, bool) {
    const WEIGHTS: [f32; 3] = [0.299, 0.587, 0.114];
    let mut coloured = false;
    let values = pixels
        .map(|[r, g, b]| {
            if r == g && g == b {
                return r;
            }
            coloured = true;
            let luma = WEIGHTS[0] * r + WEIGHTS[1] * g + WEIGHTS[2] * b;
            if [r, g, b].iter().all(|v| v.fract() == 0.0) { luma.round() } else { luma }
        })
        .collect();
    (values, coloured)
}

/// Whether the first directory of a TIFF points to a second one: the decoder would silently read the first only.
///
/// # Source
/// TIFF 6.0, section 2: an 8-byte header with the offset of the first directory; a directory is a count, entries of
/// 12 bytes, and the offset of the next directory or 0. BigTIFF is left to the decoder.
fn tiff_has_second_page(bytes: &[u8]) -> bool {
    const ENTRY_BYTES: usize = 12;
    let little = bytes.starts_with(b"II*\0");
    let number = |at: usize, n: usize| -> Option<usize> {
        let field = bytes.get(at..at.checked_add(n)?)?;
        let fold = |sum: usize, b: &u8| sum << 8 | usize::from(*b);
        Some(if little { field.iter().rev().fold(0, fold) } else { field.iter().fold(0, fold) })
    };
    let next = || -> Option<usize> {
        let directory = number(4, 4)?;
        let entries = number(directory, 2)?;
        number(directory + 2 + ENTRY_BYTES * entries, 4)
    };
    (little || bytes.starts_with(b"MM\0*")) && next().is_some_and(|offset| offset != 0)
}

/// What the fuzzer calls: any bytes may be refused, and nothing but an error may come out. A picture has a value for
/// each pixel. Says whether the bytes were read.
pub fn fuzz_picture(bytes: &[u8]) -> bool {
    /// So that many files pass in a second.
    const FUZZED_BYTES: u64 = 1 << 24;
    let Ok(picture) = decode_within(bytes, FUZZED_BYTES) else { return false };
    let pixels = picture.width() as usize * picture.height() as usize;
    grey(&picture).is_ok_and(|(values, _)| {
        assert_eq!(values.len(), pixels, "a value for each pixel");
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_another_scan_are_remarked_on_and_empty_ones_are_not() {
        let wave = |turn: f64| -> Vec<f32> {
            (0..32 * 32).map(|i| ((i % 32) as f64 * turn + (i / 32) as f64 * 0.2).sin() as f32).collect()
        };
        let stack = |slices: &[Vec<f32>]| breaks(&slices.concat(), [slices.len(), 32, 32]);
        assert_eq!(stack(&[wave(0.2), wave(0.21), wave(0.22)]), None);
        assert_eq!(stack(&[wave(0.2), vec![0.0; 32 * 32], wave(0.9)]), None);
        assert_eq!(stack(&[]), None);
        let found = stack(&[wave(0.2), wave(0.21), wave(0.9), wave(0.91)]).unwrap();
        assert_eq!(found.code, "pictures_of_several_scans");
        assert!(
            found.message.starts_with("1 picture") && found.message.contains("number 3 of 4"),
            "{found:?}"
        );
    }

    #[test]
    fn equal_channels_are_grey_and_others_luminance() {
        assert_eq!(luminance([[7.0; 3], [0.0; 3]].into_iter()), (vec![7.0, 0.0], false));
        assert_eq!(luminance([[255.0, 0.0, 0.0]].into_iter()), (vec![76.0], true));
    }

    #[test]
    fn the_second_page_of_a_tiff_is_seen() {
        let page = |next: u32| {
            let mut bytes = b"II*\0\x08\0\0\0".to_vec();
            bytes.extend([1, 0]);
            bytes.extend([0; 12]);
            bytes.extend(next.to_le_bytes());
            bytes
        };
        assert!(!tiff_has_second_page(&page(0)));
        assert!(tiff_has_second_page(&page(26)));
        assert!(!tiff_has_second_page(b"II*\0\xff\xff\xff\xff"));
    }
}
