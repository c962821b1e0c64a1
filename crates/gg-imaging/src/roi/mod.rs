//! Where the lungs lie, from the picture alone: the paper's box per slice, and one box for a whole volume.

mod hull;
mod slice;
mod volume;

pub use slice::find_lung_box;
pub(crate) use slice::{air_mask, air_threshold, could_be_lung, morphed};
pub(crate) use volume::{lung_candidate, volume_box};
