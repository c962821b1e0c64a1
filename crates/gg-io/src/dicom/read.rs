//! From files to one volume: headers, choice of a series, order, pixels.
//!
//! Headers are read first and pixels last, each slice straight to its place in the one volume, so that memory holds
//! that volume and the few files that are being decoded.

use super::find::{files_below, meant_as_slice};
use super::geometry::{Layout, lay_out, same_positions, sort, take_placeless};
use super::header::{Lost, NoSlice, Rejected, Skip, SliceHeader, read_headers};
use super::left_out::{LeftOut, NOT_DICOM};
use super::pixels::{Decoded, decode, decode_frame};
use super::remarks::{oddities, remarks, unread_objects, warn_lost};
use super::rescale::rescale_jump;
use super::series::{Series, choose, group};
use super::transfer_syntax::Codec;
use crate::error::counted;
use crate::hash::{sha256_hex, sha256_of_file, together};
use crate::scan::{Finished, Found, absurd_spacing, check_axes, finish};
use crate::{Format, ReadError, ReadOptions, Scan, SeriesSummary};
use gg_volume::{SpacingTrust, Volume, Warned, Warning};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

/// One CT series as its headers describe it, for people to choose from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Described {
    /// Its line in the table.
    pub(crate) summary: SeriesSummary,
    /// What is odd about it.
    pub(crate) oddities: Vec<Warning>,
    /// Where its first slice lies; for stderr only.
    pub(crate) folder: PathBuf,
}

/// Reads the DICOM series in a file or below a folder.
///
/// # Errors
/// [`ReadError`]; several series without a choice, gaps, contradicting slices and unsupported compression among them.
pub(crate) fn read_dicom(path: &Path, options: &ReadOptions) -> Result<Warned<Scan>, ReadError> {
    read_dicom_files(&paths_of(path), options)
}

/// Reads the DICOM series in a list of files. Their order does not matter: positions decide.
///
/// # Errors
/// As [`read_dicom`].
pub(crate) fn read_dicom_files(paths: &[PathBuf], options: &ReadOptions) -> Result<Warned<Scan>, ReadError> {
    let found = Headers::read(paths);
    let Headers { slices, mut left_out, skipped, lost } = found.with_slices(paths)?;
    let all = group(slices);
    let (count, in_all) = (all.len(), all.iter().map(|s| s.slices.len()).sum::<usize>());
    let series = choose(all, options.series.as_deref())?;
    let mut warnings = Vec::new();
    if count > 1 {
        let message = format!(
            "series {} of {count} in the folder was read; {} of the others were not",
            series.summary.id,
            counted(in_all - series.slices.len(), "slice")
        );
        warnings.push(Warning::new("other_series", message));
    }
    warnings.extend(unread_objects(&skipped));
    let lost = lost_of(&series, &lost);
    let loaded = load(paths, series, lost, options, &mut left_out, &mut warnings)?;
    Ok(Warned::new(loaded, warnings))
}

/// Lists the series in a file or below a folder without reading pixels.
///
/// # Errors
/// [`ReadError`] where there is no slice of a CT at all.
pub(crate) fn describe_dicom(path: &Path) -> Result<Vec<Described>, ReadError> {
    let paths = paths_of(path);
    let Headers { slices, lost, .. } = Headers::read(&paths).with_slices(&paths)?;
    let folder = |s: &Series| {
        let first = s.slices.first().and_then(|slice| paths[slice.file].parent());
        first.map_or_else(PathBuf::new, Path::to_owned)
    };
    let describe = |s: Series| Described {
        oddities: oddities(&s, &lost_of(&s, &lost)),
        folder: folder(&s),
        summary: s.summary,
    };
    Ok(group(slices).into_iter().map(describe).collect())
}

fn paths_of(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() { files_below(path) } else { vec![path.to_owned()] }
}

/// What the headers of many files give.
#[derive(Default)]
struct Headers {
    slices: Vec<SliceHeader>,
    left_out: LeftOut,
    /// Objects that were skipped on purpose, each reason of one once.
    skipped: Vec<Skip>,
    /// Slices that could not be read, or files that may have been some.
    lost: Vec<Lost>,
}

/// The lost slices that belong to a series, or may.
fn lost_of(series: &Series, lost: &[Lost]) -> Vec<Lost> {
    let uid = series.slices.first().map(|s| &s.series);
    lost.iter().filter(|l| l.series.is_none() || l.series.as_ref() == uid).cloned().collect()
}

impl Headers {
    fn read(paths: &[PathBuf]) -> Self {
        let headers: Vec<_> = paths.par_iter().enumerate().map(|(i, path)| read_headers(path, i)).collect();
        let mut found = Self::default();
        for (file, headers) in headers.into_iter().enumerate() {
            let mut skips: Vec<Skip> = Vec::new();
            for header in headers {
                let Rejected { why, lost } = match header {
                    Ok(slice) => {
                        found.slices.push(slice);
                        continue;
                    }
                    Err(rejected) => rejected,
                };
                let frame = lost.frame;
                let words = match why {
                    NoSlice::Skipped(skip) => {
                        let words = skip.words();
                        if !skips.contains(&skip) {
                            skips.push(skip);
                        }
                        words
                    }
                    NoSlice::NotDicom => {
                        found.lost.extend(meant_as_slice(&paths[file]).then_some(lost));
                        NOT_DICOM.to_owned()
                    }
                    NoSlice::Unreadable(words) => {
                        found.lost.push(lost);
                        words
                    }
                };
                found.left_out.add(file, frame, &words);
            }
            found.skipped.append(&mut skips);
        }
        found
    }

    /// Itself, or why there is no slice.
    fn with_slices(self, paths: &[PathBuf]) -> Result<Self, ReadError> {
        if !self.slices.is_empty() {
            return Ok(self);
        }
        if self.skipped.contains(&Skip::MultiFrame) {
            return Err(ReadError::FramesWithoutPlace);
        }
        if let Some(name) =
            self.skipped.iter().find_map(|s| if let Skip::Modality(m) = s { Some(*m) } else { None })
        {
            return Err(ReadError::OtherModality(name));
        }
        if self.skipped.contains(&Skip::Colour) {
            return Err(ReadError::OtherModality("colour"));
        }
        let is_projection = |s: &&Skip| matches!(s, Skip::Projection(_));
        if let Some(Skip::Projection(name)) = self.skipped.iter().find(is_projection) {
            let images = self.skipped.iter().filter(is_projection).count();
            return Err(ReadError::Projections { images, first: name });
        }
        Err(match (paths, self.skipped.first(), self.left_out.first()) {
            ([], ..) => ReadError::EmptyFolder,
            (_, Some(first), _) => {
                ReadError::NoImage { objects: self.left_out.objects(), first: first.words() }
            }
            ([_], _, Some(words)) if words != NOT_DICOM => ReadError::Dicom(words.to_owned()),
            (_, _, Some(first)) if !self.lost.is_empty() => {
                ReadError::AllFailed { count: paths.len(), first: first.to_owned() }
            }
            _ => ReadError::UnknownFormat { found: "no file is a DICOM object".to_owned() },
        })
    }
}

/// Reads the pixels of a series.
fn load(
    paths: &[PathBuf],
    series: Series,
    mut lost: Vec<Lost>,
    options: &ReadOptions,
    left_out: &mut LeftOut,
    warnings: &mut Vec<Warning>,
) -> Result<Scan, ReadError> {
    let mut slices = series.slices;
    if let Some(s) = slices.iter().find(|s| s.syntax.codec == Codec::Unsupported) {
        return Err(ReadError::TransferSyntax(s.syntax.name.to_owned()));
    }
    for slice in take_placeless(&mut slices) {
        left_out.add_slice(&slice, "it does not say where it lies, as the others of its series do");
        lost.push(Lost { placeless: true, ..Lost::of_slice(&slice) });
    }
    sort(&mut slices)?;
    let [rows, columns] = series.summary.size;
    let size = rows * columns;
    let check_claim = |slices: usize| {
        let claimed = slices as u128 * size as u128;
        let limit = options.max_voxels;
        if claimed > limit as u128 { Err(ReadError::TooManyVoxels { claimed, limit }) } else { Ok(()) }
    };
    check_axes([slices.len(), rows, columns])?;
    let repeats: usize = same_positions(&slices).iter().map(|(from, to)| to - from).sum();
    check_claim(slices.len() - repeats)?;
    drop_repeats(paths, &mut slices, left_out, warnings)?;
    lay_out(&slices, &lost, options)?; // refuse before decoding
    check_claim(slices.len())?;
    // Zeros of the system: each thread gets those of its slices.
    let mut voxels: Vec<f32> = bytemuck::allocation::try_zeroed_vec(slices.len() * size)
        .map_err(|()| ReadError::Io(std::io::ErrorKind::OutOfMemory.into()))?;
    let results: Vec<_> =
        voxels.par_chunks_mut(size).zip(&slices).map(|(out, s)| load_slice(&paths[s.file], s, out)).collect();
    let (kept, hashes, decoded) = keep_good(slices, results, &mut voxels, size, left_out, &mut lost)?;
    voxels.truncate(kept.len() * size);
    let jump = rescale_jump(&kept, &voxels, size)?;
    fill_padding(&mut voxels, size, &decoded)?;
    let layout = lay_out(&kept, &lost, options)?;
    warn_lost(&kept, &lost, warnings);
    warnings.extend(layout.warnings.iter().cloned());
    warnings.extend(remarks(&kept));
    warnings.extend(jump);
    let shape = [kept.len(), rows, columns];
    let volume = Volume::from_vec(shape, voxels).map_err(|e| ReadError::MixedSlices(e.to_string()))?;
    let Finished { ct, labels, holes } = finish_dicom(volume, &layout, options, warnings)?;
    // What a table says of a file says nothing of one of its frames.
    let one_each = kept.iter().all(|s| s.place.is_none());
    let slice_files = if one_each { kept.iter().map(|s| s.file).collect() } else { Vec::new() };
    let sha256 = together(&hashes_of_files(paths, &kept, hashes)?);
    let (format, skipped) = (Format::DicomSeries, std::mem::take(left_out).named(paths));
    Ok(Scan { ct, format, sha256, skipped, slice_files, holes, labels })
}

/// The hashes of the files in the order of their first slices, each once.
fn hashes_of_files(
    paths: &[PathBuf],
    slices: &[SliceHeader],
    hashes: Vec<Option<String>>,
) -> Result<Vec<String>, ReadError> {
    let mut files = FileHashes::default();
    let mut seen = BTreeSet::new();
    let mut found = Vec::with_capacity(hashes.len());
    for (slice, hash) in slices.iter().zip(hashes) {
        match hash {
            Some(hash) => found.push(hash),
            None if seen.insert(slice.file) => found.push(files.of(paths, slice.file)?),
            None => {}
        }
    }
    Ok(found)
}

/// Hashes of files that hold several slices, each worked out once.
#[derive(Default)]
struct FileHashes(BTreeMap<usize, String>);

impl FileHashes {
    fn of(&mut self, paths: &[PathBuf], file: usize) -> Result<String, ReadError> {
        if let Some(hash) = self.0.get(&file) {
            return Ok(hash.clone());
        }
        let hash = sha256_of_file(&paths[file])?;
        self.0.insert(file, hash.clone());
        Ok(hash)
    }
}

/// The common end of reading; positions and PixelSpacing are trusted whatever the grey values turn out to be.
fn finish_dicom(
    voxels: Volume<f32>,
    layout: &Layout,
    options: &ReadOptions,
    warnings: &mut Vec<Warning>,
) -> Result<Finished, ReadError> {
    let grid = layout.grid(voxels.shape());
    let trust = match absurd_spacing(&grid) {
        _ if options.trust_spacing && grid.spacing_mm.is_some() => SpacingTrust::Trusted,
        Some(reason) => SpacingTrust::Untrusted(reason),
        None => grid.trust.clone(),
    };
    let mut finished = finish(Found { voxels, grid, doubt: layout.doubt.clone() }, options, warnings)?;
    finished.ct.grid.trust = trust;
    Ok(finished)
}

/// The hash of the slice's file, where it holds no others, and what its pixels hold.
fn load_slice(
    path: &Path,
    slice: &SliceHeader,
    out: &mut [f32],
) -> Result<(Option<String>, Decoded), ReadError> {
    if let Some(place) = &slice.place {
        return Ok((None, decode_frame(&mut File::open(path)?, place, slice, out)?));
    }
    let bytes = std::fs::read(path)?;
    let decoded = decode(&bytes, slice, out)?;
    Ok((Some(sha256_hex(&bytes)), decoded))
}

/// Closes the volume over slices whose pixels could not be decoded.
#[expect(
    clippy::type_complexity,
    reason = "three lists of one length, taken apart at once by the only caller"
)]
fn keep_good(
    slices: Vec<SliceHeader>,
    results: Vec<Result<(Option<String>, Decoded), ReadError>>,
    voxels: &mut [f32],
    size: usize,
    left_out: &mut LeftOut,
    lost: &mut Vec<Lost>,
) -> Result<(Vec<SliceHeader>, Vec<Option<String>>, Vec<Decoded>), ReadError> {
    let count = slices.len();
    let of_one_file = slices.iter().all(|s| s.place.is_some() && s.file == slices[0].file);
    let (mut kept, mut hashes, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
    let mut first_error = None;
    for (z, (slice, result)) in slices.into_iter().zip(results).enumerate() {
        match result {
            Ok((hash, found)) => {
                voxels.copy_within(z * size..(z + 1) * size, kept.len() * size);
                kept.push(slice);
                hashes.push(hash);
                decoded.push(found);
            }
            Err(e @ ReadError::TransferSyntax(_)) => return Err(e),
            Err(e) => {
                left_out.add_slice(&slice, &words_of(&e));
                lost.push(Lost::of_slice(&slice));
                first_error.get_or_insert(e);
            }
        }
    }
    match first_error {
        Some(e) if kept.is_empty() && count == 1 => Err(e),
        Some(e) if kept.is_empty() && of_one_file => Err(ReadError::Dicom(format!(
            "none of its {count} frames could be read; the first: {}",
            words_of(&e)
        ))),
        Some(e) if kept.is_empty() => Err(ReadError::AllFailed { count, first: words_of(&e) }),
        _ => Ok((kept, hashes, decoded)),
    }
}

/// Why a slice gave no pixels, as a clause about "it" where it is one.
fn words_of(error: &ReadError) -> String {
    match error {
        ReadError::Dicom(clause) => clause.clone(),
        other => other.to_string(),
    }
}

/// Sets padding to the lowest value that was measured anywhere in the volume.
fn fill_padding(voxels: &mut [f32], size: usize, decoded: &[Decoded]) -> Result<(), ReadError> {
    if decoded.iter().all(|d| d.padded == 0) {
        return Ok(());
    }
    let lowest = decoded.iter().map(|d| d.lowest).fold(f32::INFINITY, f32::min);
    if !lowest.is_finite() {
        return Err(ReadError::NoFiniteValue);
    }
    for (slice, _) in voxels.chunks_mut(size).zip(decoded).filter(|(_, d)| d.padded > 0) {
        slice.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = lowest);
    }
    Ok(())
}

/// Where several slices lie at one position: equal pixels are kept once, different ones refused.
fn drop_repeats(
    paths: &[PathBuf],
    slices: &mut Vec<SliceHeader>,
    left_out: &mut LeftOut,
    warnings: &mut Vec<Warning>,
) -> Result<(), ReadError> {
    let mut repeated = BTreeSet::new();
    let mut files = FileHashes::default();
    let runs = same_positions(slices);
    let positions = runs.len();
    for (from, to) in runs {
        let pixels = |s: &SliceHeader| {
            let mut out: Vec<f32> = bytemuck::allocation::try_zeroed_vec(s.rows * s.columns).ok()?;
            let (hash, _) = load_slice(&paths[s.file], s, &mut out).ok()?;
            Some((hash, out.into_iter().map(f32::to_bits).collect::<Vec<_>>()))
        };
        let mut first = None;
        let mut readable = Vec::new();
        for (i, one) in slices.iter().enumerate().take(to + 1).skip(from) {
            // Damaged files are found again, and remarked on, when the volume is decoded.
            let Some((hash, bits)) = pixels(one) else { continue };
            if *first.get_or_insert_with(|| bits.clone()) != bits {
                let slice = from - repeated.len();
                return Err(ReadError::TwoSlicesAtOnePosition { slice, positions });
            }
            let hash = hash.map_or_else(|| files.of(paths, one.file), Ok)?;
            readable.push((one.instance_number, hash, i));
        }
        // Which of equal slices stays is decided by content, so that names have no say in the hash.
        readable.sort();
        repeated.extend(readable.iter().skip(1).map(|r| r.2));
    }
    if repeated.is_empty() {
        return Ok(());
    }
    for &i in &repeated {
        left_out.add_slice(&slices[i], "the same slice once more");
    }
    let mut i = 0;
    slices.retain(|_| {
        i += 1;
        !repeated.contains(&(i - 1))
    });
    let message = match repeated.len() {
        1 => "one slice is there twice; it was used once".to_owned(),
        n => format!("{n} slices repeat others at the same position; each was used once"),
    };
    warnings.push(Warning::new("same_slice_twice", message));
    Ok(())
}
