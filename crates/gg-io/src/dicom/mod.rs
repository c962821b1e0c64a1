//! DICOM CT series: from a folder of files to one volume, and back.
//!
//! The formats are parsed and decompressed by the `dicom-*` crates; ours is what stands around them: which elements
//! are looked at at all (a fixed list, of the patient
//! the id alone, as a hash to compare), bounds that are checked before anybody
//! allocates, and the geometry of a series (order, spacing, gaps, tilt), which comes from positions alone.
//!
//! An enhanced object (many frames in one file) is taken apart into slices while its header is read: each frame gets
//! the header that a single image would have, with its functional groups over what the object says as a whole, and the
//! place of its pixels, of which a thread reads one frame at a time.
//!
//! Missing slices: a file that cannot be read is left out with a warning that says where its slice belongs, as far as
//! the header in front of the damage tells. A hole in z that such files explain (those that belong there, and those of
//! unknown place) is read with a warning, and nothing is measured in millilitres; any other hole is refused unless the
//! caller allows gaps.

mod codec_guard;
mod elements;
mod find;
mod frames;
mod fuzz;
mod geometry;
mod header;
mod jpeg_ls;
mod left_out;
mod pixels;
mod read;
mod remarks;
mod rescale;
mod series;
mod transfer_syntax;
mod walk;
mod write;

pub(crate) use find::looks_like_dicom;
pub use fuzz::fuzz_dicom;
pub(crate) use read::{describe_dicom, read_dicom, read_dicom_files};
pub use write::{DicomText, write_dicom_series};
