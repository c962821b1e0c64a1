//! What can go wrong while reading and writing, in words for the person who owns the file.
//!
//! A message says what was found and what would be right. It never holds a path, an identifier or a patient's
//! attribute: the caller adds the path once.

use crate::SeriesSummary;
use gg_volume::AffineError;
use std::fmt::Write as _;
use std::io;
use thiserror::Error;

/// Why a CT or a mask was refused.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The operating system refused.
    #[error("cannot be read: {}", io_words(.0))]
    Io(#[from] io::Error),
    /// A folder in which no file could be a CT.
    #[error(
        "the folder is empty; a CT is a NIfTI file, a folder of DICOM files or a folder of slice pictures"
    )]
    EmptyFolder,
    /// Neither NIfTI nor DICOM nor a picture.
    #[error("{found}; groundglass reads NIfTI-1 (.nii, .nii.gz), DICOM CT and PNG, JPEG or TIFF slices")]
    UnknownFormat {
        /// What was found, as a clause.
        found: String,
    },
    /// A folder that holds more than one kind of input, or several volumes.
    #[error("the folder holds {found}; name one of them")]
    Ambiguous {
        /// What was found, as a noun phrase.
        found: String,
    },

    /// The file is shorter than a NIfTI header, or the header is none.
    #[error("not a NIfTI-1 file: {0}")]
    NotNifti(String),
    /// A format of the NIfTI family that is not NIfTI-1 in one file.
    #[error("the file is {0}, which groundglass does not read; convert it to NIfTI-1 (.nii or .nii.gz)")]
    NiftiFlavour(&'static str),
    /// A data type that cannot be a CT.
    #[error("the data type is {0}; a CT holds one real number per voxel (8 to 64 bit integer or float)")]
    NiftiType(String),
    /// Fields of the header that cannot all be true.
    #[error("the NIfTI header contradicts itself: {0}")]
    HeaderContradiction(String),
    /// More than one volume over time.
    #[error("the file holds {0} volumes (4-D); groundglass reads one volume at a time")]
    SeveralVolumes(usize),
    /// More voxels than the caller allows.
    #[error("the header claims {claimed} voxels; at most {limit} are read")]
    TooManyVoxels {
        /// Number of voxels the header claims.
        claimed: u128,
        /// Largest number allowed.
        limit: usize,
    },
    /// Fewer bytes than the header promises.
    #[error("the file is truncated: {found} bytes of image data, and the header promises {wanted}")]
    Truncated {
        /// Bytes of image data that the header promises.
        wanted: u64,
        /// Bytes of image data that are there.
        found: u64,
    },
    /// More data than the compressed file could inflate to.
    #[error(
        "the header promises {wanted} bytes of image data, and the compressed file cannot hold more than {possible}"
    )]
    Overclaimed {
        /// Bytes of image data that the header promises.
        wanted: u64,
        /// Upper bound of what the file can hold.
        possible: u64,
    },
    /// A mask, or a map of labels, in the place of a CT.
    #[error("{found}, and no CT; --intensity KIND says what grey values they are and reads it all the same")]
    Labels {
        /// What was found, as a clause about "it".
        found: String,
    },
    /// NaN or infinity everywhere.
    #[error("no voxel holds a finite number")]
    NoFiniteValue,
    /// Named `.gz`, but not gzip.
    #[error("the name ends in .gz, but the content is not gzip")]
    NotGzip,
    /// Broken gzip stream.
    #[error("the gzip data is damaged: {0}")]
    BadGzip(String),
    /// Inflates to far more than the header claims.
    #[error(
        "the compressed data inflates to more than the {claimed} bytes that the header claims; refused as a decompression bomb"
    )]
    Bomb {
        /// Bytes that the header claims.
        claimed: u64,
    },
    /// Zero, negative or non-finite distance between voxels.
    #[error("the spacing along {axis} is {found} mm; it must be a positive number")]
    BadSpacing {
        /// `x`, `y` or `z`.
        axis: char,
        /// The stated value.
        found: f64,
    },
    /// An affine that does not span space.
    #[error(transparent)]
    BadAffine(#[from] AffineError),

    /// A picture that cannot be decoded.
    #[error("the picture cannot be decoded: {0}")]
    Picture(String),
    /// Pictures that do not fit together.
    #[error(
        "the slices differ in size: {first:?} and {other:?} (rows, columns); one volume has slices of one size"
    )]
    SliceSizes {
        /// Rows and columns of the first slice.
        first: [usize; 2],
        /// Rows and columns of the slice that differs.
        other: [usize; 2],
    },
    /// Not one file among many could be read.
    #[error("none of the {count} files could be read; the first: {first}")]
    AllFailed {
        /// Number of files.
        count: usize,
        /// Why the first of them failed.
        first: String,
    },
    /// A mask whose value is no label.
    #[error("the mask holds the value {0}; labels are whole numbers from 0 to 255")]
    BadLabel(f64),

    /// A folder in which no DICOM object has an image of a CT.
    #[error("no CT image among the {objects} DICOM files ({skipped} localizers or objects without an image)")]
    NoImage {
        /// DICOM files that were found.
        objects: usize,
        /// Those that were skipped on purpose.
        skipped: usize,
    },
    /// Images of another modality only.
    #[error("found {0} images; groundglass reads CT")]
    OtherModality(&'static str),
    /// Several series and no choice.
    #[error("the folder holds {} CT series; choose one with --series:\n{}", .0.len(), series_table(.0))]
    SeveralSeries(Vec<SeriesSummary>),
    /// The chosen series is not there.
    #[error("there is no series `{wanted}`; choose one of:\n{}", series_table(.table))]
    NoSuchSeries {
        /// What the caller chose.
        wanted: String,
        /// What there is.
        table: Vec<SeriesSummary>,
    },
    /// Slices are missing.
    #[error(
        "the series has a gap: {gap_mm:.3} mm between slices {after} and {} where {step_mm:.3} mm are usual; \
         --allow-gaps reads it all the same",
        .after + 1
    )]
    GapInZ {
        /// Number of the slice before the gap, from 1, in order along the normal.
        after: usize,
        /// Width of the gap in mm.
        gap_mm: f64,
        /// Usual distance between slices in mm.
        step_mm: f64,
    },
    /// Two slices that differ lie at one position.
    #[error(
        "two different slices lie at one position (slice {slice} along the normal); one of them belongs elsewhere"
    )]
    TwoSlicesAtOnePosition {
        /// Number of the slice, from 1, in order along the normal.
        slice: usize,
    },
    /// Slices of one series that cannot be one volume.
    #[error("the slices of the series do not form one volume: {0}")]
    MixedSlices(String),
    /// A way of compression that is not built in, in words.
    #[error(
        "the images are compressed as {0}, which groundglass does not decode; convert them to an uncompressed transfer syntax"
    )]
    TransferSyntax(String),
    /// One object with many frames.
    #[error(
        "the file is an enhanced multi-frame object, which groundglass does not read; convert it to single-frame CT images"
    )]
    EnhancedMultiFrame,
    /// A DICOM object that cannot be parsed, or lacks what a CT image needs.
    #[error("the DICOM object cannot be used: {0}")]
    Dicom(String),
}

/// Why an output was not written. Nothing half-written stays behind.
#[derive(Debug, Error)]
pub enum WriteError {
    /// No space left.
    #[error("the disk is full; nothing was written")]
    DiskFull,
    /// The operating system refused.
    #[error("cannot be written: {}", io_words(.0))]
    Io(#[source] io::Error),
    /// The value does not fit the format.
    #[error("does not fit the format: {0}")]
    Unfit(String),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error),
        }
    }
}

/// The operating system's words without a path: some errors of other crates carry one.
fn io_words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code).to_string(),
        None => error.kind().to_string(),
    }
}

fn series_table(series: &[SeriesSummary]) -> String {
    let mut text = String::new();
    for s in series {
        let [y, x] = s.size;
        let spacing =
            s.slice_spacing_mm.map_or_else(|| "unknown spacing".to_owned(), |d| format!("{d:.3} mm apart"));
        let _ = writeln!(text, "  {}: {} slices of {y} x {x}, {spacing}", s.id, s.slices);
    }
    text.pop();
    text
}
