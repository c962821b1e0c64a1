//! What can go wrong between a data set on disk and a batch; no path and no patient's value stands in a message.

use crate::layouts::LAYOUTS;
use gg_io::ReadError;
use thiserror::Error;

/// A data set that cannot be opened, or a case of it that cannot be read.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// No layout fits.
    #[error("found none of the layouts of a data set, right would be one of:\n{LAYOUTS}")]
    NotRecognised,
    /// What `analyze` wrote of one CT.
    #[error(
        "it is a result of `analyze` and no data set; right would be a data set, whose `evaluate --pred` scores such results"
    )]
    Analysis,
    /// Nothing there.
    #[error("the place of the data set is no folder, right would be a folder or its table")]
    NoFolder,
    /// The operating system refused.
    #[error("{0} cannot be read: {words}", words = gg_io::io_words(.1))]
    Io(&'static str, #[source] std::io::Error),
    /// A table with a fault.
    #[error("{table}{at}: {message}", at = .line.map_or(String::new(), |l| format!(", line {l}")))]
    Table {
        /// Name of the table.
        table: &'static str,
        /// Line in the file, from 1.
        line: Option<usize>,
        /// What was found and what would be right.
        message: String,
    },
    /// A description that cannot be understood.
    #[error("dataset.json: {0}")]
    Json(String),
    /// A structure that this program does not know.
    #[error(
        "dataset.json: found the label `{0}`, right would be background, lung, left lung, right lung or infection"
    )]
    LabelName(String),
    /// More than one channel.
    #[error("found {0} channels per case, right would be 1: a CT")]
    SeveralChannels(usize),
    /// CTs without their masks.
    #[error(
        "{missing} of {of} CTs have no mask of the same name in {folder} (the first: `{first}`), right would be one for each"
    )]
    NoMask {
        /// CTs without one.
        missing: usize,
        /// CTs in all.
        of: usize,
        /// Name of the first of them.
        first: String,
        /// Folder of the masks.
        folder: &'static str,
    },
    /// No case at all.
    #[error("the data set holds no case, right would be at least one")]
    NoCases,
    /// Two cases of one name.
    #[error("case `{0}` stands twice in the data set, right would be one name for each case")]
    CaseTwice(String),
    /// A name that cannot be a folder's, with its signs that cannot be printed as escapes.
    #[error(
        "the case `{0}` has a name that no folder can have, right would be letters, digits, `-`, `_` and `.`"
    )]
    CaseName(String),
    /// A file of a case that cannot be read.
    #[error("{what} of case `{case}`: {source}")]
    Read {
        /// Name of the case.
        case: String,
        /// Which file.
        what: &'static str,
        /// Why.
        source: Box<ReadError>,
    },
    /// A mask that does not lie on its CT.
    #[error("{what} of case `{case}` has the shape {found:?} (z, y, x), right would be {wanted:?} as its CT")]
    MaskShape {
        /// Name of the case.
        case: String,
        /// Which mask.
        what: &'static str,
        /// Shape of the mask.
        found: [usize; 3],
        /// Shape of the CT.
        wanted: [usize; 3],
    },
    /// A label that the layout does not know.
    #[error("{what} of case `{case}` holds the label {found}, right would be {right}")]
    UnknownLabel {
        /// Name of the case.
        case: String,
        /// Which mask.
        what: &'static str,
        /// The label.
        found: u8,
        /// Labels of the layout.
        right: String,
    },
}

impl DatasetError {
    /// The case that a fault is of, and which of its files: `the CT`, `the lung mask` or `the infection mask`.
    pub fn case(&self) -> Option<(&str, &'static str)> {
        match self {
            Self::Read { case, what, .. }
            | Self::MaskShape { case, what, .. }
            | Self::UnknownLabel { case, what, .. } => Some((case, what)),
            _ => None,
        }
    }
}

/// A prepared cache that cannot be built or read.
#[derive(Debug, Error)]
pub enum CacheError {
    /// A case of the data set failed.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Settings of the preparation that cannot be used.
    #[error("the preparation cannot be done: {0}")]
    Prepare(String),
    /// A file of the cache, or a folder for it, cannot be read or written.
    #[error("the prepared cache cannot be {0}: {words}", words = gg_io::io_words(.1))]
    Io(&'static str, #[source] std::io::Error),
    /// A file of the cache cannot be written.
    #[error("the prepared cache cannot be written: {0}")]
    Write(#[from] gg_io::WriteError),
    /// A file that was valid when the cache was opened is no longer.
    #[error("a file of the prepared cache was changed while it was in use, right would be to prepare again")]
    Changed,
    /// The caller asked to stop.
    #[error("the preparation was interrupted; what is finished is kept")]
    Interrupted,
    /// A thread died.
    #[error("a thread that prepares cases ended before its time")]
    ThreadLost,
    /// Pixels that do not fill the square.
    #[error("a sample of {found} pixels was found, right would be {size} x {size}")]
    SampleSize {
        /// Pixels given.
        found: usize,
        /// Side of the square.
        size: usize,
    },
}

/// A batch that cannot be made.
#[derive(Debug, Error)]
pub enum BatchError {
    /// The source of samples failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Samples without the truth that the task needs.
    #[error(
        "{found} of {of} chosen samples lack what `{task}` learns from, right would be samples that all have it"
    )]
    NoTarget {
        /// Samples without.
        found: usize,
        /// Samples in all.
        of: usize,
        /// Name of the task.
        task: &'static str,
    },
    /// Nothing to learn from.
    #[error("no sample is left to make batches from, right would be at least one")]
    Empty,
    /// A setting out of its range.
    #[error("{what} is {found}, right would be {right}")]
    Setting {
        /// Name of the setting.
        what: &'static str,
        /// Its value.
        found: String,
        /// The range.
        right: &'static str,
    },
    /// A thread that made batches died.
    #[error("a thread that makes batches ended before its time; its batch is lost")]
    ThreadLost,
}
