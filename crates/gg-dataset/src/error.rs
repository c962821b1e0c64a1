//! What can go wrong between a data set on disk and a batch; no path and no patient's value stands in a message.

use thiserror::Error;

/// A prepared cache that cannot be built or read.
#[derive(Debug, Error)]
pub enum CacheError {
    /// A file of the cache, or a folder for it, cannot be read or written.
    #[error("the prepared cache cannot be {0}")]
    Io(&'static str, #[source] std::io::Error),
    /// Pixels that do not fill the square.
    #[error("a sample of {found} pixels was found; right would be {size} x {size}")]
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
    #[error("{found} of {of} chosen samples lack what `{task}` learns from; right would be samples that all have it")]
    NoTarget {
        /// Samples without.
        found: usize,
        /// Samples in all.
        of: usize,
        /// Name of the task.
        task: &'static str,
    },
    /// Nothing to learn from.
    #[error("no sample is left to make batches from; right would be at least one")]
    Empty,
    /// A setting out of its range.
    #[error("{what} is {found}; right would be {right}")]
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
