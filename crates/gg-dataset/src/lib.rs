//! Cases, their layouts on disk, patient-level splits, the prepared cache, augmentation and batches.
//!
//! The way of the data: [`Dataset::open`] tells the layout and lists cases, [`Split`] says who is tested, [`Cache`]
//! holds every slice prepared for the network, [`BatchLoader`] hands out batches with [`augment`]ed samples.

mod audit;
mod augment;
mod batch;
mod cache;
mod case;
mod crop;
mod dataset;
mod error;
mod layouts;
mod load;
mod mask;
mod neighbours;
mod random;
mod sample;
mod split;
mod table;

pub use audit::{AuditedCase, Duplicate, Match, Place, near_duplicates, places, torn_patients};
pub use augment::{AugmentConfig, AugmentError, Augmented, augment};
pub use batch::{Batch, BatchLoader, Batches, LoaderConfig};
pub use cache::{Cache, CacheOptions, CacheSummary, CachedCase, PreparedCases, Progress};
pub use case::{Case, CtSource, MaskLabels, MaskSource};
pub use crop::{Misplaced, lay_part};
pub use dataset::{Dataset, DatasetSummary, Datasets};
pub use error::{BatchError, CacheError, DatasetError};
pub use layouts::Layout;
pub use load::{LoadedCase, MASK_ELSEWHERE};
pub use mask::{Binary, Laid, Structure, UnknownLabels, binary, labels_present, lay};
pub use neighbours::neighbours;
pub use sample::{MemorySamples, Sample, SampleInfo, SampleSource, Task};
pub use split::{
    LEAK, PATIENTS_LEAK, Part, Parts, Split, SplitCase, SplitEntry, SplitError, SplitKind, VALIDATION_SHARE,
};
