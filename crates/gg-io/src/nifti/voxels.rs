//! Stored voxels to `f32`, in pieces, so that the raw bytes of a volume never lie in memory beside its values.

use super::header::{Checked, StoredType};

/// Values that are converted at once.
pub(super) const PIECE: usize = 1 << 18;

/// Converts one piece of raw bytes and appends the values to `out`.
///
/// Slope and intercept are applied in double precision, as nibabel does, and rounded once.
pub(super) fn convert(header: &Checked, raw: &[u8], out: &mut Vec<f32>) {
    match header.stored {
        StoredType::U8 => each(header, raw, out, |b| f64::from(u8::from_le_bytes(b))),
        StoredType::I8 => each(header, raw, out, |b| f64::from(i8::from_le_bytes(b))),
        StoredType::U16 => each(header, raw, out, |b| f64::from(u16::from_le_bytes(b))),
        StoredType::I16 => each(header, raw, out, |b| f64::from(i16::from_le_bytes(b))),
        StoredType::U32 => each(header, raw, out, |b| f64::from(u32::from_le_bytes(b))),
        StoredType::I32 => each(header, raw, out, |b| f64::from(i32::from_le_bytes(b))),
        StoredType::U64 => each(header, raw, out, |b| u64::from_le_bytes(b) as f64),
        StoredType::I64 => each(header, raw, out, |b| i64::from_le_bytes(b) as f64),
        StoredType::F32 => each(header, raw, out, |b| f64::from(f32::from_le_bytes(b))),
        StoredType::F64 => each(header, raw, out, f64::from_le_bytes),
    }
}

/// `read` takes the bytes of one voxel, smallest first.
fn each<const N: usize>(header: &Checked, raw: &[u8], out: &mut Vec<f32>, read: impl Fn([u8; N]) -> f64) {
    let (voxels, _) = raw.as_chunks::<N>();
    let turned = |mut b: [u8; N]| {
        b.reverse();
        read(b)
    };
    match (header.fields.big_endian, header.scaling) {
        (false, None) => out.extend(voxels.iter().map(|&b| read(b) as f32)),
        (true, None) => out.extend(voxels.iter().map(|&b| turned(b) as f32)),
        (false, Some((slope, inter))) => out.extend(voxels.iter().map(|&b| (read(b) * slope + inter) as f32)),
        (true, Some((slope, inter))) => {
            out.extend(voxels.iter().map(|&b| (turned(b) * slope + inter) as f32))
        }
    }
}
