//! A CT or labels to NIfTI-1: little-endian, sform and qform from the affine, the same bytes for the same volume.
//!
//! Written by hand and not by the `nifti` crate, whose writer loses the error of a full disk and leaves a part of
//! the file behind. A grid without an affine gets both codes 0; a grid whose spacing is not trusted names no unit,
//! so that nobody, groundglass included, takes its spacing for millimetres later.

use super::fields::NIFTI1_BYTES;
use super::geometry::{self, Ras};
use super::header::is_nifti_header;
use super::source::{Source, read_up_to};
use crate::{WriteError, atomic_write};
use flate2::{Compression, GzBuilder};
use gg_volume::{CtVolume, Grid, LabelVolume, SpacingTrust};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// The first byte of the voxels: the header and four bytes that announce no extension.
const FIRST_VOXEL: usize = NIFTI1_BYTES + 4;
/// NIFTI_XFORM_SCANNER_ANAT.
const CODE_SCANNER: i16 = 1;
/// NIFTI_UNITS_MM.
const UNITS_MM: u8 = 2;
/// What `descrip` says, at its place in the header: who wrote the file.
const MARK: &[u8; 11] = b"groundglass";
const MARK_AT: usize = 148;
/// Operating system "unknown" in the gzip header, so that all systems write the same bytes.
const GZIP_OS_UNKNOWN: u8 = 255;
/// Values turned into bytes at once.
const PIECE: usize = 1 << 14;

/// Stored types that are written: NIfTI code and bits.
#[derive(Clone, Copy)]
enum Stored {
    U8,
    I16,
    F32,
}

impl Stored {
    fn code_and_bits(self) -> (i16, i16) {
        match self {
            Self::U8 => (2, 8),
            Self::I16 => (4, 16),
            Self::F32 => (16, 32),
        }
    }
}

/// Writes labels as 8-bit NIfTI-1, compressed where the name ends in `.gz`.
///
/// # Errors
/// [`WriteError`]; nothing half-written stays behind.
pub fn write_labels_nifti(path: &Path, labels: &LabelVolume, grid: &Grid) -> Result<(), WriteError> {
    let header = header(labels.shape(), Stored::U8, grid)?;
    write_file(path, &header, |out| out.write_all(labels.data()))
}

/// Writes a CT as NIfTI-1: 16-bit integers where every value is whole and fits, 32-bit floats otherwise.
///
/// # Errors
/// [`WriteError`]; nothing half-written stays behind.
pub fn write_ct_nifti(path: &Path, ct: &CtVolume) -> Result<(), WriteError> {
    let (header, stored) = ct_header(ct)?;
    write_file(path, &header, |out| write_ct_voxels(out, ct, stored))
}

/// Whether a file is a NIfTI that these functions wrote, as its header says; files from before the mark are not.
pub fn is_own_nifti(path: &Path) -> bool {
    let start = || -> Option<[u8; NIFTI1_BYTES]> {
        let gz = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
        let mut source = Source::open(File::open(path).ok()?, gz).ok()?;
        let mut start = [0; NIFTI1_BYTES];
        (read_up_to(&mut source, &mut start).ok()? == NIFTI1_BYTES).then_some(start)
    };
    start().is_some_and(|s| is_nifti_header(&s) && s[MARK_AT..].starts_with(MARK))
}

/// The uncompressed bytes of a CT, to any stream.
pub(crate) fn write_ct_to(out: &mut dyn Write, ct: &CtVolume) -> Result<(), WriteError> {
    let (header, stored) = ct_header(ct)?;
    out.write_all(&header)?;
    Ok(write_ct_voxels(out, ct, stored)?)
}

fn ct_header(ct: &CtVolume) -> Result<([u8; FIRST_VOXEL], Stored), WriteError> {
    let whole = |v: &f32| v.fract() == 0.0 && (f32::from(i16::MIN)..=f32::from(i16::MAX)).contains(v);
    let stored = if ct.voxels.data().iter().all(whole) { Stored::I16 } else { Stored::F32 };
    Ok((header(ct.voxels.shape(), stored, &ct.grid)?, stored))
}

fn write_ct_voxels(out: &mut dyn Write, ct: &CtVolume, stored: Stored) -> io::Result<()> {
    let mut bytes = Vec::new();
    for piece in ct.voxels.data().chunks(PIECE) {
        bytes.clear();
        match stored {
            Stored::F32 => bytes.extend(piece.iter().flat_map(|v| v.to_le_bytes())),
            _ => bytes.extend(piece.iter().flat_map(|&v| (v as i16).to_le_bytes())),
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}

fn write_file(
    path: &Path,
    header: &[u8],
    voxels: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteError> {
    let gz = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    atomic_write(path, |out| {
        if !gz {
            out.write_all(header)?;
            return voxels(out);
        }
        let mut gzip =
            GzBuilder::new().mtime(0).operating_system(GZIP_OS_UNKNOWN).write(out, Compression::default());
        gzip.write_all(header)?;
        voxels(&mut gzip)?;
        gzip.finish().map(|_| ())
    })
}

/// The header and the four bytes that say "no extension".
fn header(shape: [usize; 3], stored: Stored, grid: &Grid) -> Result<[u8; FIRST_VOXEL], WriteError> {
    let mut fields = Fields([0; FIRST_VOXEL]);
    fields.put(0, (NIFTI1_BYTES as i32).to_le_bytes());
    fields.put(38, [b'r']); // "regular", as every other writer sets it
    let [z, y, x] = shape;
    let mut dim = [1i16; 8];
    dim[0] = 3;
    for (slot, n) in dim[1..4].iter_mut().zip([x, y, z]) {
        *slot = i16::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| {
            WriteError::Unfit(format!(
                "an axis of {n} voxels; groundglass writes NIfTI-1, which holds 1 to {}",
                i16::MAX
            ))
        })?;
    }
    fields.put_all(40, dim.map(i16::to_le_bytes));
    let (code, bits) = stored.code_and_bits();
    fields.put(70, code.to_le_bytes());
    fields.put(72, bits.to_le_bytes());
    // A single slice may have no distance to others and still a place: the header must not contradict itself then.
    let spacing = grid.spacing_mm.or_else(|| grid.affine.map(|a| a.spacing_mm())).unwrap_or([1.0; 3]);
    let pixdim = [spacing[2], spacing[1], spacing[0]];
    let ras = grid.affine.as_ref().map(Ras::from_lps);
    let turn = ras.as_ref().and_then(geometry::quaternion);
    fields.put(76, turn.map_or(1.0, |(_, qfac)| qfac as f32).to_le_bytes());
    for (i, &v) in pixdim.iter().enumerate() {
        let v = single(v)?;
        if v <= 0.0 {
            return Err(WriteError::Unfit(format!("a spacing of {v} mm")));
        }
        fields.put(80 + 4 * i, v.to_le_bytes());
    }
    fields.put_all(92, [1f32; 4].map(f32::to_le_bytes));
    fields.put(108, (FIRST_VOXEL as f32).to_le_bytes());
    fields.put(112, 1f32.to_le_bytes()); // slope
    fields.put(MARK_AT, *MARK);
    if grid.trust == SpacingTrust::Trusted {
        fields.put(123, [UNITS_MM]);
    }
    if let Some(ras) = ras {
        fields.put(254, CODE_SCANNER.to_le_bytes());
        for row in 0..3 {
            let values = [ras.columns[0][row], ras.columns[1][row], ras.columns[2][row], ras.origin[row]];
            for (i, v) in values.into_iter().enumerate() {
                fields.put(280 + 16 * row + 4 * i, single(v)?.to_le_bytes());
            }
        }
        if let Some((quaternion, _)) = turn {
            fields.put(252, CODE_SCANNER.to_le_bytes());
            for (i, v) in quaternion.into_iter().chain(ras.origin).enumerate() {
                fields.put(256 + 4 * i, single(v)?.to_le_bytes());
            }
        }
    }
    fields.put(344, *b"n+1\0");
    Ok(fields.0)
}

/// The header's bytes; offsets are those of `nifti1.h`.
struct Fields([u8; FIRST_VOXEL]);

impl Fields {
    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&bytes);
    }

    fn put_all<const N: usize, const M: usize>(&mut self, at: usize, values: [[u8; N]; M]) {
        for (i, bytes) in values.into_iter().enumerate() {
            self.put(at + i * N, bytes);
        }
    }
}

/// The header holds 32-bit floats; what they cannot hold is refused rather than written as infinity.
fn single(v: f64) -> Result<f32, WriteError> {
    let out = v as f32;
    if out.is_finite() {
        Ok(out)
    } else {
        Err(WriteError::Unfit(format!("the geometry holds {v}, too large for 32 bit")))
    }
}
