//! What can go wrong while reading and writing, in words for the person who owns the file.
//!
//! A message says what was found and what would be right. It never holds a path, an identifier or a patient's
//! attribute: the caller adds the path once.

use crate::scan::LONGEST_AXIS;
use crate::{PictureSeries, SeriesSummary};
use gg_volume::AffineError;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
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
    #[error("{found}; groundglass reads NIfTI (.nii, .nii.gz), DICOM CT and PNG, JPEG or TIFF slices")]
    UnknownFormat {
        /// What was found, as a clause.
        found: String,
    },
    /// A folder that holds more than one kind of input, or several volumes.
    #[error("the {found}; name one of them")]
    Ambiguous {
        /// What was found, as a clause after "the".
        found: String,
    },

    /// Several NIfTI files in a folder; the paths are for stderr alone.
    #[error("the folder holds {} NIfTI files; name one of them", .0.len())]
    SeveralNifti(Vec<PathBuf>),

    /// The file is shorter than a NIfTI header, or the header is none.
    #[error("not a NIfTI file: {0}")]
    NotNifti(String),
    /// A format of the NIfTI family that is not one file of NIfTI-1 or NIfTI-2.
    #[error(
        "the file is {0}, which groundglass does not read; convert it to NIfTI in one file (.nii or .nii.gz)"
    )]
    NiftiFlavour(&'static str),
    /// A data type that cannot be a CT.
    #[error("the data type is {0}; a CT holds one real number per voxel (8 to 64 bit integer or float)")]
    NiftiType(String),
    /// Fields of the header that cannot all be true.
    #[error("the NIfTI header contradicts itself: {0}")]
    HeaderContradiction(String),
    /// More than one volume over time.
    #[error("the file holds {0} volumes (4-D or more); groundglass reads one volume at a time")]
    SeveralVolumes(usize),
    /// More voxels than the caller allows.
    #[error("the header claims {claimed} voxels; at most {limit} are read")]
    TooManyVoxels {
        /// Number of voxels the header claims.
        claimed: u128,
        /// Largest number allowed.
        limit: usize,
    },
    /// More slices, rows or columns than a mask can have.
    #[error(
        "found {} slices of {} x {} pixels, right would be at most {} along each axis: masks in NIfTI hold no more",
        .0[0], .0[1], .0[2], LONGEST_AXIS
    )]
    TooLong([usize; 3]),
    /// Fewer bytes than the header promises.
    #[error(
        "the file is truncated: {found} bytes of image data, and the header promises {wanted}; right would be all of the file"
    )]
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
    /// Compressed better than any scan could be.
    #[error(
        "the header claims {wanted} bytes in a file of {bytes}, no scan compresses so well; refused as a decompression bomb"
    )]
    Unscanlike {
        /// Bytes that the header claims.
        wanted: u64,
        /// Bytes of the file.
        bytes: u64,
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
    /// Pictures of more than one scan in a folder.
    #[error("{}", several_pictures(.0))]
    SeveralPictureSeries(Vec<PictureSeries>),
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
    #[error("no CT image in {}; the first is {first}", counted(*.objects, "DICOM object"))]
    NoImage {
        /// Objects that were found.
        objects: usize,
        /// What the first of those is that were skipped on purpose.
        first: String,
    },
    /// Projections and no slice.
    #[error(
        "no CT slice: {}, the first is {first}; right would be the slices that {} made from",
        counted(*.images, "projection"), if *.images == 1 { "it was" } else { "they were" }
    )]
    Projections {
        /// Number of them.
        images: usize,
        /// What the first is.
        first: &'static str,
    },
    /// Images of another modality only.
    #[error("found {0} images; groundglass reads CT")]
    OtherModality(&'static str),
    /// Several series and no choice.
    #[error("there are {} CT series; choose one with --series:\n{}", .0.len(), series_table(.0))]
    SeveralSeries(Vec<SeriesSummary>),
    /// The chosen series is not there.
    #[error("there is no series `{wanted}`; choose one of:\n{}", series_table(.table))]
    NoSuchSeries {
        /// What the caller chose.
        wanted: String,
        /// What there is.
        table: Vec<SeriesSummary>,
    },
    /// A series was chosen where there are none.
    #[error("--series chooses among the series of a DICOM folder, and this is {0}; leave it out")]
    NoSeries(&'static str),
    /// Slices of several persons under one series.
    #[error(
        "the slices of one series carry {0} different patient ids, so that files of several persons were mixed; a scan is \
         of one person, sort the files apart"
    )]
    SeveralPatients(usize),
    /// Slices of several frames of reference under one series.
    #[error(
        "the slices of one series lie in {0} frames of reference, so that their positions cannot be compared; a scan lies in one, \
         sort the files apart or export the series again"
    )]
    SeveralFrames(usize),
    /// Slices whose rescale slope and intercept do not fit those of the rest.
    #[error(
        "{odd} of {all} slices state another rescale slope or intercept than the rest, and their values would fit their neighbours' \
         only with the rest's, so that HU are not known; right would be one meaning of the values in a series, export it again"
    )]
    TornRescale {
        /// Such slices.
        odd: usize,
        /// All slices.
        all: usize,
    },
    /// Slices are missing.
    #[error(
        "the series has a gap: {gap_mm:.3} mm between slices {} and {} (counted from 0) where {step_mm:.3} mm are usual, \
         and no unreadable file that belongs there; --allow-gaps reads it all the same",
        .between[0], .between[1]
    )]
    GapInZ {
        /// The slices beside the gap, counted from 0 at the feet.
        between: [usize; 2],
        /// Width of the gap in mm.
        gap_mm: f64,
        /// Usual distance between slices in mm.
        step_mm: f64,
    },
    /// Two slices that differ lie at one position.
    #[error(
        "two different slices lie at one position (slice {slice} along the normal, counted from 0{}",
        if *.positions > 1 {
            format!(
                "), and several slices lie at {} too: right would be one time point or reconstruction",
                counted(*.positions - 1, "other position")
            )
        } else {
            "); one of them belongs elsewhere".to_owned()
        }
    )]
    TwoSlicesAtOnePosition {
        /// Number of the slice, from 0, in order along the normal.
        slice: usize,
        /// Positions at which several slices lie.
        positions: usize,
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
        "the file is an object of many frames that does not say, in a form that is read, where each of them lies; right would be single-frame CT images, or an \
         enhanced CT with its functional groups"
    )]
    FramesWithoutPlace,
    /// A DICOM object that cannot be parsed, or lacks what a CT image needs.
    #[error("the DICOM object cannot be used: {0}")]
    Dicom(String),
}

impl ReadError {
    /// A file without a byte, whatever it is called.
    pub(crate) fn empty_file() -> Self {
        Self::UnknownFormat { found: "the file is empty".to_owned() }
    }
}

/// Why an output was not written. Nothing half-written stays behind.
#[derive(Debug, Error)]
pub enum WriteError {
    /// No space left.
    #[error("the disk is full; the file was not written")]
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

/// Plain words for what the operating system says, without a path, which some errors of other crates carry.
pub fn io_words(error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let words = match error.kind() {
        Kind::NotFound => "there is no such file or folder",
        Kind::PermissionDenied => "this user has no permission for it",
        Kind::AlreadyExists => "there is something of that name already",
        Kind::NotADirectory => "a part of its path is a file, not a folder",
        Kind::IsADirectory => "it is a folder, not a file",
        Kind::DirectoryNotEmpty => "the folder is not empty",
        Kind::ReadOnlyFilesystem => "the file system can only be read",
        Kind::StorageFull | Kind::QuotaExceeded => "the disk is full",
        Kind::FileTooLarge => "the file would be larger than the system allows",
        Kind::InvalidFilename => "the system does not allow such a name",
        Kind::OutOfMemory => "there is not enough memory",
        Kind::InvalidData => "it is no valid text or data",
        Kind::UnexpectedEof => "it ends early",
        kind => return kind.to_string(),
    };
    words.to_owned()
}

/// `1 slice`, `3 slices`.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Says how many, never how they are called: a name may be a patient's.
fn several_pictures(series: &[PictureSeries]) -> String {
    let right = "one scan is a folder of pictures whose names differ in one number";
    match series {
        [one] => format!("two of the {} pictures have the same number; {right}", one.files),
        many => {
            const SHOWN: usize = 4;
            let mut counts: Vec<String> = many.iter().take(SHOWN).map(|s| s.files.to_string()).collect();
            if many.len() > SHOWN {
                counts.push("..".to_owned());
            }
            format!(
                "the names of the pictures are those of {} series (of {} pictures); {right}",
                many.len(),
                counts.join(", ")
            )
        }
    }
}

fn series_table(series: &[SeriesSummary]) -> String {
    let mut text = String::new();
    for s in series {
        let [y, x] = s.size;
        let spacing =
            s.slice_spacing_mm.map_or_else(|| "unknown spacing".to_owned(), |d| format!("{d:.3} mm apart"));
        let _ = writeln!(text, "  {}: {} of {y} x {x}, {spacing}", s.id, counted(s.slices, "slice"));
    }
    text.pop();
    text
}
