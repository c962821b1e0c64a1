//! From files to one volume: headers, choice of a series, order, pixels.
//!
//! Headers are read first and pixels last, each slice straight to its place in the one volume, so that memory holds
//! that volume and the few files that are being decoded.

use super::find::{files_below, meant_as_slice};
use super::geometry::{Layout, lay_out, same_positions, sort};
use super::header::{Lost, NoSlice, Rejected, Skip, SliceHeader, read_headers};
use super::pixels::{Decoded, decode, decode_frame};
use super::remarks::{oddities, remarks, unread_objects, warn_lost};
use super::rescale::rescale_jump;
use super::series::{Series, choose, group};
use super::transfer_syntax::Codec;
use crate::error::counted;
use crate::hash::{sha256_hex, sha256_of_file, together};
use crate::scan::{Finished, Found, absurd_spacing, finish};
use crate::{Format, ReadError, ReadOptions, Scan, SeriesSummary};
use gg_volume::{SpacingTrust, Volume, Warned, Warning};
use rayon::prelude::*;
use std::collections::BTreeSet;
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
    let Headers { slices, mut skipped, left_out, lost } = found.with_slices(paths)?;
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
    warnings.extend(unread_objects(&left_out));
    let lost = lost_of(&series, &lost);
    let loaded = load(paths, series, lost, options, &mut skipped, &mut warnings)?;
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
struct Headers {
    slices: Vec<SliceHeader>,
    skipped: Vec<(PathBuf, String)>,
    /// Objects that were skipped on purpose.
    left_out: Vec<Skip>,
    /// Files that could not be read and may have been slices.
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
        let mut found =
            Self { slices: Vec::new(), skipped: Vec::new(), left_out: Vec::new(), lost: Vec::new() };
        for (path, header) in
            paths.iter().zip(headers).flat_map(|(path, of)| of.into_iter().map(move |h| (path, h)))
        {
            let words = match header {
                Ok(slice) => {
                    found.slices.push(slice);
                    continue;
                }
                Err(Rejected { why, lost }) => match why {
                    NoSlice::Skipped(skip) => {
                        let words = skip.words();
                        found.left_out.push(skip);
                        words
                    }
                    NoSlice::NotDicom => {
                        found.lost.extend(meant_as_slice(path).then_some(lost));
                        "not DICOM".to_owned()
                    }
                    NoSlice::Unreadable(words) => {
                        found.lost.push(lost);
                        words
                    }
                },
            };
            // Frames of one file that are left out for one reason are told once.
            if found.skipped.last().is_none_or(|(last, why)| last != path || *why != words) {
                found.skipped.push((path.clone(), words));
            }
        }
        found
    }

    /// Itself, or why there is no slice.
    fn with_slices(self, paths: &[PathBuf]) -> Result<Self, ReadError> {
        if !self.slices.is_empty() {
            return Ok(self);
        }
        if self.left_out.contains(&Skip::MultiFrame) {
            return Err(ReadError::EnhancedMultiFrame);
        }
        if let Some(name) =
            self.left_out.iter().find_map(|s| if let Skip::Modality(m) = s { Some(*m) } else { None })
        {
            return Err(ReadError::OtherModality(name));
        }
        if self.left_out.contains(&Skip::Colour) {
            return Err(ReadError::OtherModality("colour"));
        }
        let is_projection = |s: &&Skip| matches!(s, Skip::Projection(_));
        if let Some(Skip::Projection(name)) = self.left_out.iter().find(is_projection) {
            let images = self.left_out.iter().filter(is_projection).count();
            return Err(ReadError::Projections { images, first: name });
        }
        let skipped = self.left_out.len();
        Err(match (paths, self.skipped.as_slice()) {
            ([], _) => ReadError::EmptyFolder,
            _ if skipped > 0 => ReadError::NoImage { objects: skipped + self.lost.len(), skipped },
            ([_], [(_, words)]) if words != "not DICOM" => ReadError::Dicom(words.clone()),
            (_, [(_, first), ..]) if !self.lost.is_empty() => {
                ReadError::AllFailed { count: paths.len(), first: first.clone() }
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
    skipped: &mut Vec<(PathBuf, String)>,
    warnings: &mut Vec<Warning>,
) -> Result<Scan, ReadError> {
    let mut slices = series.slices;
    if let Some(s) = slices.iter().find(|s| s.syntax.codec == Codec::Unsupported) {
        return Err(ReadError::TransferSyntax(s.syntax.name.to_owned()));
    }
    sort(&mut slices)?;
    drop_repeats(paths, &mut slices, skipped, warnings)?;
    lay_out(&slices, &lost, options)?; // refuse before decoding
    let [rows, columns] = series.summary.size;
    let size = rows * columns;
    let claimed = slices.len() as u128 * size as u128;
    if claimed > options.max_voxels as u128 {
        return Err(ReadError::TooManyVoxels { claimed, limit: options.max_voxels });
    }
    // Zeros of the system: each thread gets those of its slices.
    let mut voxels: Vec<f32> = bytemuck::allocation::try_zeroed_vec(slices.len() * size)
        .map_err(|()| ReadError::Io(std::io::ErrorKind::OutOfMemory.into()))?;
    let results: Vec<_> =
        voxels.par_chunks_mut(size).zip(&slices).map(|(out, s)| load_slice(&paths[s.file], s, out)).collect();
    let (kept, hashes, decoded) = keep_good(paths, slices, results, &mut voxels, size, skipped, &mut lost)?;
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
    let (format, skipped) = (Format::DicomSeries, std::mem::take(skipped));
    Ok(Scan { ct, format, sha256, skipped, slice_files, holes, labels })
}

/// The hashes of the files in the order of their first slices, each once.
fn hashes_of_files(
    paths: &[PathBuf],
    slices: &[SliceHeader],
    hashes: Vec<String>,
) -> Result<Vec<String>, ReadError> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::with_capacity(hashes.len());
    for (slice, hash) in slices.iter().zip(hashes) {
        match slice.place {
            None => found.push(hash),
            Some(_) if seen.insert(slice.file) => found.push(sha256_of_file(&paths[slice.file])?),
            Some(_) => {}
        }
    }
    Ok(found)
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

/// The hash of the slice's file, which is left empty where it holds others too, and what its pixels hold.
fn load_slice(path: &Path, slice: &SliceHeader, out: &mut [f32]) -> Result<(String, Decoded), ReadError> {
    if let Some(place) = &slice.place {
        return Ok((String::new(), decode_frame(&mut File::open(path)?, place, slice, out)?));
    }
    let bytes = std::fs::read(path)?;
    let decoded = decode(&bytes, slice, out)?;
    Ok((sha256_hex(&bytes), decoded))
}

/// Closes the volume over slices whose pixels could not be decoded.
#[expect(
    clippy::type_complexity,
    reason = "three lists of one length, taken apart at once by the only caller"
)]
fn keep_good(
    paths: &[PathBuf],
    slices: Vec<SliceHeader>,
    results: Vec<Result<(String, Decoded), ReadError>>,
    voxels: &mut [f32],
    size: usize,
    skipped: &mut Vec<(PathBuf, String)>,
    lost: &mut Vec<Lost>,
) -> Result<(Vec<SliceHeader>, Vec<String>, Vec<Decoded>), ReadError> {
    let count = slices.len();
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
                skipped.push((paths[slice.file].clone(), e.to_string()));
                lost.push(Lost { series: Some(slice.series), position: slice.position });
                first_error.get_or_insert(e);
            }
        }
    }
    match first_error {
        Some(e) if kept.is_empty() && count == 1 => Err(e),
        Some(e) if kept.is_empty() => Err(ReadError::AllFailed { count, first: e.to_string() }),
        _ => Ok((kept, hashes, decoded)),
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

/// Where several files lie at one position: equal pixels are kept once, different ones refused.
fn drop_repeats(
    paths: &[PathBuf],
    slices: &mut Vec<SliceHeader>,
    skipped: &mut Vec<(PathBuf, String)>,
    warnings: &mut Vec<Warning>,
) -> Result<(), ReadError> {
    let mut repeated = Vec::new();
    for (from, to) in same_positions(slices) {
        let pixels = |s: &SliceHeader| {
            let mut out = vec![0.0; s.rows * s.columns];
            load_slice(&paths[s.file], s, &mut out)
                .map(|(hash, _)| (hash, out.into_iter().map(f32::to_bits).collect::<Vec<_>>()))
        };
        // Damaged files are found again, and remarked on, when the volume is decoded.
        let mut readable: Vec<_> =
            (from..=to).filter_map(|i| pixels(&slices[i]).ok().map(|(hash, bits)| (i, hash, bits))).collect();
        if readable.windows(2).any(|w| w[0].2 != w[1].2) {
            return Err(ReadError::TwoSlicesAtOnePosition { slice: from - repeated.len() });
        }
        // Which of equal slices stays is decided by content, so that names have no say in the hash.
        readable
            .sort_by(|a, b| (slices[a.0].instance_number, &a.1).cmp(&(slices[b.0].instance_number, &b.1)));
        repeated.extend(readable.iter().skip(1).map(|r| r.0));
    }
    if repeated.is_empty() {
        return Ok(());
    }
    for &i in &repeated {
        skipped.push((paths[slices[i].file].clone(), "the same slice once more".to_owned()));
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
