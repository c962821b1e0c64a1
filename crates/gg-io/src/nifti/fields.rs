//! The fields of a NIfTI-1 or NIfTI-2 header that say how to read its voxels and where they lie, in one shape.
//!
//! NIfTI-2 has the fields of NIfTI-1 in wider types and another order.
//!
//! # Source
//! `nifti1.h`, 2 October 2007, and `nifti2.h`, 2011 (Cox, Jenkinson and others).

use super::header::contradiction;
use crate::ReadError;
use nifti::{Endianness, NiftiHeader};

/// Length of a NIfTI-1 header, and the value of its first field.
pub(super) const NIFTI1_BYTES: usize = 348;
/// The same of NIfTI-2.
pub(super) const NIFTI2_BYTES: usize = 540;
/// Where the magic string lies in NIfTI-1.
const MAGIC1_AT: usize = 344;

/// Which of the two a header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edition {
    Nifti1,
    Nifti2,
}

impl Edition {
    /// Its usual name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nifti1 => "NIfTI-1",
            Self::Nifti2 => "NIfTI-2",
        }
    }

    /// Length of the header.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Nifti1 => NIFTI1_BYTES,
            Self::Nifti2 => NIFTI2_BYTES,
        }
    }

    /// The first byte that voxels may have in one file: behind the header and four bytes that announce extensions.
    pub(super) fn first_voxel(self) -> u64 {
        self.bytes() as u64 + 4
    }

    /// The largest number of voxels along an axis, by the type of its field.
    pub(super) fn largest_dim(self) -> i64 {
        match self {
            Self::Nifti1 => i64::from(i16::MAX),
            Self::Nifti2 => i64::MAX,
        }
    }
}

/// What a header says, unchecked but for its first field and its magic string.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) edition: Edition,
    pub(super) big_endian: bool,
    pub(super) dim: [i64; 8],
    pub(super) datatype: i16,
    pub(super) bitpix: i16,
    pub(super) pixdim: [f64; 8],
    /// In NIfTI-1 a real number, which need not be whole.
    pub(super) vox_offset: f64,
    pub(super) scl_slope: f64,
    pub(super) scl_inter: f64,
    pub(super) xyzt_units: i32,
    pub(super) qform_code: i32,
    pub(super) sform_code: i32,
    /// `b`, `c`, `d`.
    pub(super) quatern: [f64; 3],
    pub(super) qoffset: [f64; 3],
    pub(super) srow: [[f64; 4]; 3],
}

/// The edition by the first field, and whether it is stored with the largest byte first.
pub(super) fn family(start: &[u8]) -> Option<(Edition, bool)> {
    let first: [u8; 4] = start.get(..4)?.try_into().ok()?;
    let edition = |size: i32| match usize::try_from(size) {
        Ok(NIFTI1_BYTES) => Some(Edition::Nifti1),
        Ok(NIFTI2_BYTES) => Some(Edition::Nifti2),
        _ => None,
    };
    let (little, big) = (i32::from_le_bytes(first), i32::from_be_bytes(first));
    edition(little).map(|e| (e, false)).or_else(|| edition(big).map(|e| (e, true)))
}

impl Fields {
    /// # Errors
    /// Bytes that are no header of the family, too few of them, and the members of it that are no single file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let Some((edition, big_endian)) = family(bytes) else {
            return Err(ReadError::NotNifti(
                "the first four bytes are not the length of a NIfTI header (348 or 540)".to_owned(),
            ));
        };
        let Some(header) = bytes.get(..edition.bytes()) else {
            return Err(ReadError::NotNifti(format!(
                "{} bytes, and the header alone has {}",
                bytes.len(),
                edition.bytes()
            )));
        };
        match edition {
            Edition::Nifti1 => Self::of_nifti1(header, big_endian),
            Edition::Nifti2 => Self::of_nifti2(header, big_endian),
        }
    }

    fn of_nifti1(header: &[u8], big_endian: bool) -> Result<Self, ReadError> {
        match &header[MAGIC1_AT..] {
            b"n+1\0" => {}
            b"ni1\0" => return Err(ReadError::NiftiFlavour("one half of a NIfTI pair (.hdr and .img)")),
            _ => return Err(ReadError::NiftiFlavour("Analyze 7.5")),
        }
        let h = NiftiHeader::from_reader(header).map_err(|e| ReadError::NotNifti(e.to_string()))?;
        if (h.endianness == Endianness::Big) != big_endian {
            return contradiction(format!(
                "dim[0] is {}, outside 1 to 7, in the byte order of the rest",
                h.dim[0]
            ));
        }
        Ok(Self {
            edition: Edition::Nifti1,
            big_endian,
            // Signed numbers, whatever the library calls them.
            dim: h.dim.map(|n| i64::from(n as i16)),
            datatype: h.datatype,
            bitpix: h.bitpix,
            pixdim: h.pixdim.map(f64::from),
            vox_offset: f64::from(h.vox_offset),
            scl_slope: f64::from(h.scl_slope),
            scl_inter: f64::from(h.scl_inter),
            xyzt_units: i32::from(h.xyzt_units),
            qform_code: i32::from(h.qform_code),
            sform_code: i32::from(h.sform_code),
            quatern: [h.quatern_b, h.quatern_c, h.quatern_d].map(f64::from),
            qoffset: [h.quatern_x, h.quatern_y, h.quatern_z].map(f64::from),
            srow: [h.srow_x, h.srow_y, h.srow_z].map(|row| row.map(f64::from)),
        })
    }

    fn of_nifti2(header: &[u8], big_endian: bool) -> Result<Self, ReadError> {
        let bytes = Bytes { header, big_endian };
        match header[4..12].split_at(4) {
            // nibabel takes one without the four bytes that betray such a transfer, too.
            (b"n+2\0", b"\r\n\x1a\n" | &[0, 0, 0, 0]) => {}
            (b"ni2\0", _) => {
                return Err(ReadError::NiftiFlavour("one half of a NIfTI-2 pair (.hdr and .img)"));
            }
            (b"n+2\0", _) => {
                return contradiction(
                    "the end of its magic string is damaged, as that of a file that was once transferred as text is"
                        .to_owned(),
                );
            }
            _ => {
                return contradiction(
                    "its first field is that of NIfTI-2 (540), and its magic string is not".to_owned(),
                );
            }
        }
        let real = |at: usize| f64::from_bits(bytes.u64(at));
        let three = |at: usize| [real(at), real(at + 8), real(at + 16)];
        let row = |at: usize| [real(at), real(at + 8), real(at + 16), real(at + 24)];
        Ok(Self {
            edition: Edition::Nifti2,
            big_endian,
            datatype: bytes.u16(12) as i16,
            bitpix: bytes.u16(14) as i16,
            dim: std::array::from_fn(|i| bytes.u64(16 + 8 * i) as i64),
            pixdim: std::array::from_fn(|i| real(104 + 8 * i)),
            vox_offset: bytes.u64(168) as i64 as f64,
            scl_slope: real(176),
            scl_inter: real(184),
            qform_code: bytes.u32(344) as i32,
            sform_code: bytes.u32(348) as i32,
            quatern: three(352),
            qoffset: three(376),
            srow: [row(400), row(432), row(464)],
            xyzt_units: bytes.u32(500) as i32,
        })
    }
}

/// Numbers of a NIfTI-2 header, whose places are all inside it.
struct Bytes<'a> {
    header: &'a [u8],
    big_endian: bool,
}

impl Bytes<'_> {
    fn number<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes: [u8; N] = std::array::from_fn(|i| self.header[at + i]);
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.number(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.number(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.number(at))
    }
}
