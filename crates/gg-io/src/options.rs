//! What a caller may say about an input, and what reading gives.

use crate::intensity::Labels;
use crate::scan::Holes;
use gg_volume::{CtVolume, IntensityKind};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Largest number of voxels that is read unless the caller says otherwise: 2^31, more than 2,000 slices of 1024 x 1024.
const DEFAULT_MAX_VOXELS: usize = 1 << 31;

/// How to read a CT or a mask.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// The DICOM series to take: a [`SeriesSummary::id`] as `inspect` lists them.
    pub series: Option<String>,
    /// Whether a DICOM series with missing slices is read.
    pub allow_gaps: bool,
    /// The kind of the grey values, where the user knows it better than the detection.
    pub intensity: Option<IntensityKind>,
    /// Whether spacing is believed that the reader itself would not trust.
    pub trust_spacing: bool,
    /// Largest number of voxels to read.
    pub max_voxels: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            series: None,
            allow_gaps: false,
            intensity: None,
            trust_spacing: false,
            max_voxels: DEFAULT_MAX_VOXELS,
        }
    }
}

/// The kind of file or folder a CT came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One NIfTI file.
    Nifti,
    /// DICOM CT images of one series.
    DicomSeries,
    /// PNG, JPEG or TIFF pictures, one per slice.
    SlicePictures,
}

/// A CT as read, and what the outputs say about where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// The volume.
    pub ct: CtVolume,
    /// The kind of file it came from.
    pub format: Format,
    /// SHA-256 as hex of the file's bytes; of several files, the hash over each file's hash (as hex) in slice order.
    pub sha256: String,
    /// Files that were left out and why. Paths may stand on stderr only, never in an output.
    pub skipped: Vec<(PathBuf, String)>,
    /// For each stored slice, the index of its file in the list of files that was read (for `read_ct_files` the list
    /// that the caller gave), so that labels of files can be laid on slices; empty where one file holds all slices.
    pub slice_files: Vec<usize>,
    /// Where it held no finite numbers; the lowest value stands there now.
    pub holes: Option<Holes>,
    /// The labels, where it certainly holds labels and no grey values.
    pub(crate) labels: Option<Labels>,
}

/// One CT series of a DICOM folder, as a choice to offer. It holds no identifier and no attribute of the patient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesSummary {
    /// What `--series` takes: a position in the table, from `1`, in an order that only the files' content decides.
    pub id: String,
    /// Number of slices.
    pub slices: usize,
    /// Rows and columns.
    pub size: [usize; 2],
    /// Distance between rows and columns in mm.
    pub pixel_spacing_mm: Option<[f64; 2]>,
    /// Usual distance between slices along the normal in mm.
    pub slice_spacing_mm: Option<f64>,
    /// The compression in words, e.g. `JPEG Lossless`.
    pub transfer_syntax: String,
}
