//! NIfTI-1 and NIfTI-2 in one file (`.nii`, `.nii.gz`), written as NIfTI-1: the only place in the project that knows RAS+.
//!
//! The fields of NIfTI-1 come from the `nifti` crate, which does not know NIfTI-2, after its magic string was looked at
//! and before `header` has checked what they claim. The voxels are read here and not by the crate, because it reserves
//! what a header claims before looking at the file, keeps the raw bytes beside the values, ignores `vox_offset` where
//! there is no extension, truncates when it scales integers, knows gzip by the file's name only, and panics where
//! `bitpix` contradicts `datatype`. Reading them is a page: bytes to numbers, slope and intercept in double precision.
//!
//! * `source`: the bytes of a file, inflated where they are gzip, hashed on the way;
//! * `fields`: the bytes of either header to one set of fields;
//! * `header`: those to a checked description, or a refusal in words;
//! * `geometry`: sform, qform, units and pixdim to a grid in LPS+ mm, and back;
//! * `voxels`: stored types to `f32`, in pieces;
//! * `read`, `write`: the two ways as a whole.
//!
//! Judge in doubtful cases is nibabel 5 (golden set `golden/io/nifti.safetensors`): slope 0 or NaN means unscaled,
//! the sform wins over the qform, qfac other than -1 counts as 1, `vox_offset` is obeyed. Where nibabel picks one of two
//! forms whose axes contradict each other, neither is believed here.

mod fields;
mod geometry;
mod header;
mod read;
mod source;
mod voxels;
mod write;

pub(crate) use header::is_nifti_header;
pub(crate) use read::{NiftiFacts, read_ct, read_ct_from, read_labels};
pub(crate) use source::GZIP_MAGIC;
pub(crate) use write::write_ct_to;
pub use write::{is_own_nifti, write_ct_nifti, write_labels_nifti};
