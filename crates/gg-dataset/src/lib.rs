//! Cases, their layouts on disk, patient-level splits, the prepared cache, augmentation and batches.
//!
//! The way of the data: [`Dataset::open`] tells the layout and lists cases, [`Split`] says who is tested, [`Cache`]
//! holds every slice prepared for the network, [`BatchLoader`] hands out batches with [`augment`]ed samples.

mod augment;
mod batch;
mod error;
mod random;
mod sample;
mod split;

pub use augment::{AugmentConfig, AugmentError, Augmented, augment};
pub use batch::{Batch, BatchLoader, Batches, LoaderConfig};
pub use error::{BatchError, CacheError};
pub use sample::{MemorySamples, Sample, SampleInfo, SampleSource, Task};
pub use split::{Part, Parts, Split, SplitCase, SplitEntry, SplitError, SplitKind};
