//! Reads NIfTI, DICOM and slice pictures into volumes in millimetres, and writes them back.
//!
//! World coordinates are LPS+ everywhere but inside `nifti`. What a file does not say is left unknown: an affine is
//! never invented, spacing that only pretends to be one is marked as not to be trusted, and grey values whose kind
//! cannot be told are called `unknown`.

mod atomic;
mod dicom;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod hash;
mod input;
mod inspect;
mod intensity;
mod natural;
mod nifti;
mod numbering;
mod options;
mod pictures;
mod read;
mod scan;
mod tilt;
mod walk;

pub use atomic::{atomic_write, sync_folder};
pub use dicom::{DicomText, write_dicom_series};
pub use error::{ReadError, WriteError, io_words};
pub use guard::panic_is_guarded;
pub use hash::{hex, sha256_hex, sha256_of_file};
pub use inspect::{Inspection, VolumeFacts, inspect};
pub use intensity::detect_intensity;
pub use nifti::{is_own_nifti, write_ct_nifti, write_labels_nifti};
pub use numbering::PictureSeries;
pub use options::{Format, ReadOptions, Scan, SeriesSummary};
pub use read::{read_ct, read_ct_files, read_labels, read_labels_files};
pub use scan::Holes;
pub use walk::visible_files;
