//! Reads NIfTI, DICOM and slice pictures into volumes in millimetres, and writes them back.
//!
//! World coordinates are LPS+ everywhere but inside `nifti`. What a file does not say is left unknown: an affine is
//! never invented, spacing that only pretends to be one is marked as not to be trusted, and grey values whose kind
//! cannot be told are called `unknown`.

mod atomic;
mod dicom;
mod error;
mod intensity;
mod options;

pub use atomic::atomic_write;
pub use error::{ReadError, WriteError};
pub use intensity::detect_intensity;
pub use options::{DEFAULT_MAX_VOXELS, Format, ReadOptions, Scan, SeriesSummary};
