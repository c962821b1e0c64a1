//! A NIfTI file to a CT or to labels.
//!
//! Memory is asked for as the bytes arrive, so a header that lies costs no more than the file can back up.

use super::fields::{Edition, NIFTI1_BYTES, NIFTI2_BYTES, family};
use super::geometry::{self, Placed};
use super::header::{self, Checked, contradiction};
use super::source::{Source, fill, read_up_to};
use super::voxels::{PIECE, convert};
use crate::scan::{self, Finished, Found};
use crate::{Format, ReadError, ReadOptions, Scan};
use gg_volume::{Grid, LabelVolume, SpacingTrust, Volume, Warned, Warning};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes behind the voxels that are ignored with a warning; more of them contradict the header.
const SLACK_BYTES: usize = 1 << 20;
/// Deflate cannot shrink data by more than this factor (zlib's documentation: 1032 to 1).
const LARGEST_DEFLATE_RATIO: u64 = 1032;
/// Values that are reserved at first.
const FIRST_RESERVE: usize = 1 << 20;

/// What only the file knows, for `inspect`.
#[derive(Debug, Clone)]
pub(crate) struct NiftiFacts {
    /// `NIfTI-1` or `NIfTI-2`.
    pub(crate) edition: &'static str,
    /// Name of the stored type, e.g. `int16`.
    pub(crate) stored: &'static str,
    /// Whether the largest byte comes first.
    pub(crate) big_endian: bool,
    /// Whether the file is compressed.
    pub(crate) gzip: bool,
    /// Slope and intercept.
    pub(crate) scaling: Option<(f64, f64)>,
}

/// Reads a CT from a file.
pub(crate) fn read_ct(path: &Path, options: &ReadOptions) -> Result<(Warned<Scan>, NiftiFacts), ReadError> {
    let (file, bytes) = open(path)?;
    read_ct_from(file, bytes, is_named_gz(path), options)
}

/// Reads a CT from any stream of `bytes` bytes.
pub(crate) fn read_ct_from(
    inner: impl Read + Send,
    bytes: u64,
    named_gz: bool,
    options: &ReadOptions,
) -> Result<(Warned<Scan>, NiftiFacts), ReadError> {
    let mut values: Vec<f32> = Vec::new();
    let read = stream(inner, bytes, named_gz, options, &mut |header, raw| {
        grow(&mut values, raw.len() / header.stored.bytes(), header.voxels())?;
        convert(header, raw, &mut values);
        Ok(())
    })?;
    let Streamed { header, placed, mut warnings, sha256, facts } = read;
    let voxels = volume(header.shape, values)?;
    let found = Found { voxels, grid: placed.grid, doubt: placed.doubt };
    let Finished { ct, labels, holes } = scan::finish(found, options, &mut warnings)?;
    Ok((
        Warned::new(
            Scan {
                ct,
                format: Format::Nifti,
                sha256,
                skipped: Vec::new(),
                slice_files: Vec::new(),
                holes,
                labels,
            },
            warnings,
        ),
        facts,
    ))
}

/// Reads labels from a file.
pub(crate) fn read_labels(
    path: &Path,
    options: &ReadOptions,
) -> Result<Warned<(LabelVolume, Grid)>, ReadError> {
    let (file, bytes) = open(path)?;
    let mut labels: Vec<u8> = Vec::new();
    let mut values: Vec<f32> = Vec::new();
    let read = stream(file, bytes, is_named_gz(path), options, &mut |header, raw| {
        values.clear();
        convert(header, raw, &mut values);
        grow(&mut labels, values.len(), header.voxels())?;
        for &v in &values {
            labels.push(scan::label(v)?);
        }
        Ok(())
    })?;
    let Streamed { header, placed, warnings, .. } = read;
    let Placed { mut grid, .. } = placed;
    if !options.trust_spacing || grid.spacing_mm.is_none() {
        grid.trust = SpacingTrust::Untrusted(scan::MASK_SPACING.to_owned());
    }
    Ok(Warned::new((volume(header.shape, labels)?, grid), warnings))
}

/// Takes the raw bytes of whole voxels, piece by piece.
type Piece<'a> = dyn FnMut(&Checked, &[u8]) -> Result<(), ReadError> + Send + 'a;

/// Everything but the voxels, which went to the callback piece by piece.
struct Streamed {
    header: Checked,
    placed: Placed,
    warnings: Vec<Warning>,
    sha256: String,
    facts: NiftiFacts,
}

fn stream(
    inner: impl Read + Send,
    bytes: u64,
    named_gz: bool,
    options: &ReadOptions,
    piece: &mut Piece<'_>,
) -> Result<Streamed, ReadError> {
    let mut source = Source::open(inner, named_gz)?;
    let gzip = source.is_gzip();
    let mut start = [0; NIFTI2_BYTES];
    let mut n = read_up_to(&mut source, &mut start[..NIFTI1_BYTES]).map_err(|e| damaged(e, gzip))?;
    if matches!(family(&start[..n]), Some((Edition::Nifti2, _))) {
        n += read_up_to(&mut source, &mut start[n..]).map_err(|e| damaged(e, gzip))?;
    }
    let header = header::check(&start[..n], options.max_voxels)?;
    let mut warnings = Vec::new();
    let slope = header.fields.scl_slope;
    if !slope.is_finite() {
        // nifti1_io.c and nibabel read it so, and nibabel's empty header holds NaN.
        let message = format!("scl_slope is {slope}, no number; the stored values were taken as they are");
        warnings.push(Warning::new("no_scaling", message));
    }
    let placed = geometry::place(&header, &mut warnings)?;

    check_claim(&header, bytes, gzip)?;
    skip(&mut source, header.offset - n as u64, &header, gzip)?;
    read_voxels(&mut source, &header, gzip, piece)?;
    let behind = read_surplus(&mut source, gzip)?;
    if behind > SLACK_BYTES {
        let claimed = header.offset + header.data_bytes();
        if gzip {
            return Err(ReadError::Bomb { claimed });
        }
        return contradiction(format!("the file holds {bytes} bytes, and the header accounts for {claimed}"));
    }
    let (sha256, after_gzip) = source.finish()?;
    if behind > 0 || after_gzip > 0 {
        warnings.push(Warning::new(
            "trailing_bytes",
            format!("{} bytes behind the image data were ignored", behind as u64 + after_gzip),
        ));
    }
    let facts = NiftiFacts {
        edition: header.fields.edition.name(),
        stored: header.stored.name(),
        big_endian: header.fields.big_endian,
        gzip,
        scaling: header.scaling,
    };
    Ok(Streamed { header, placed, warnings, sha256, facts })
}

/// From this size on, how well the data is compressed is looked at.
const LARGE_BYTES: u64 = 1 << 30;
/// A gibibyte that was compressed to less than this part of it is no scan and no mask of one: noise shrinks by 2 to 4,
/// masks of thick organs by some hundreds.
const SCAN_RATIO: u64 = 500;

/// Refuses, before anything is reserved, a claim that the file's length cannot back.
fn check_claim(header: &Checked, bytes: u64, gzip: bool) -> Result<(), ReadError> {
    let there = if gzip { bytes.saturating_mul(LARGEST_DEFLATE_RATIO) } else { bytes };
    let (offset, wanted) = (header.offset, header.data_bytes());
    if there < offset + wanted {
        let found = there.saturating_sub(offset);
        if gzip {
            return Err(ReadError::Overclaimed { wanted, possible: found });
        }
        return Err(ReadError::Truncated { wanted, found });
    }
    if gzip && wanted > LARGE_BYTES && wanted / bytes.max(1) > SCAN_RATIO {
        return Err(ReadError::Unscanlike { wanted, bytes });
    }
    Ok(())
}

/// Passes over extensions.
fn skip(source: &mut impl Read, bytes: u64, header: &Checked, gzip: bool) -> Result<(), ReadError> {
    let passed = io::copy(&mut source.take(bytes), &mut io::sink());
    match passed {
        Ok(n) if n == bytes => Ok(()),
        Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => Err(damaged(e, gzip)),
        _ => Err(ReadError::Truncated { wanted: header.data_bytes(), found: 0 }),
    }
}

fn read_voxels(
    source: &mut Source<impl Read + Send>,
    header: &Checked,
    gzip: bool,
    piece: &mut Piece<'_>,
) -> Result<(), ReadError> {
    let wanted = header.data_bytes();
    let bytes = (PIECE * header.stored.bytes()) as u64;
    // While one thread inflates a piece, another turns the one before it into values and hashes what it was read from.
    let [mut raw, mut before] = [Vec::new(), Vec::new()];
    let mut found = 0;
    while found < wanted || !before.is_empty() {
        raw.resize(usize::try_from(bytes.min(wanted - found)).unwrap_or(usize::MAX), 0);
        let mut unhashed = source.take_unhashed();
        let (read, done) = rayon::join(
            || match fill(source, &mut raw) {
                (n, Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(n),
                (n, end) => end.map(|()| n).map_err(|e| damaged(e, gzip)),
            },
            || {
                unhashed.hash();
                if before.is_empty() { Ok(()) } else { piece(header, &before) }
            },
        );
        source.give_hashed(unhashed);
        done?;
        let n = read?;
        if n < raw.len() {
            return Err(ReadError::Truncated { wanted, found: found + n as u64 });
        }
        found += n as u64;
        std::mem::swap(&mut raw, &mut before);
    }
    Ok(())
}

/// Number of bytes behind the voxels, counted up to one more than the slack. Checks the gzip checksum on the way.
fn read_surplus(source: &mut impl Read, gzip: bool) -> Result<usize, ReadError> {
    let mut buffer = [0; 4096];
    let mut behind = 0;
    loop {
        match read_up_to(source, &mut buffer).map_err(|e| damaged(e, gzip))? {
            0 => return Ok(behind),
            n => behind += n,
        }
        if behind > SLACK_BYTES {
            return Ok(behind);
        }
    }
}

/// An error of the inflater is about the file; one with the system's number is about the disk.
fn damaged(error: io::Error, gzip: bool) -> ReadError {
    if !gzip || error.raw_os_error().is_some() {
        return ReadError::Io(error);
    }
    ReadError::BadGzip(match error.kind() {
        io::ErrorKind::UnexpectedEof => "the file ends early; right would be all of it".to_owned(),
        _ => error.to_string(),
    })
}

fn grow<T>(values: &mut Vec<T>, more: usize, all: usize) -> Result<(), ReadError> {
    if values.capacity() - values.len() >= more {
        return Ok(());
    }
    let wanted = (values.len() + more).max(values.len() * 2).max(FIRST_RESERVE).min(all);
    values
        .try_reserve_exact(wanted.saturating_sub(values.len()).max(more))
        .map_err(|_| ReadError::Io(io::ErrorKind::OutOfMemory.into()))
}

fn volume<T: Copy>(shape: [usize; 3], values: Vec<T>) -> Result<Volume<T>, ReadError> {
    Volume::from_vec(shape, values).map_err(|e| ReadError::HeaderContradiction(e.to_string()))
}

fn open(path: &Path) -> Result<(File, u64), ReadError> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes == 0 { Err(ReadError::empty_file()) } else { Ok((file, bytes)) }
}

/// Whether the name promises gzip.
fn is_named_gz(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"))
}
