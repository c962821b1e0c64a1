//! From prepared pictures back to the stored grid: resize to the crop, paste, turn back, scatter.
//!
//! Forgetting this step is the classic fault of such programs. Crop, padding, turn and flip invert to the voxel; a
//! picture whose crop has the picture's own size is copied byte for byte.

use crate::{SliceWay, resize_labels_majority_u8, resize_linear_f32, turn_quarters};
use gg_volume::{AxisMap, LabelVolume};
use rayon::prelude::*;

/// Slices restored at a time: what bounds the memory.
const SLICES_AT_ONCE: usize = 16;

/// Scatters prepared label pictures into a volume of the stored shape; slices without a picture stay 0.
///
/// # Shape
/// `slices[i]` has `ways[i].size` squared pixels; `ways` belong to a CT of `stored_shape` walked by `map` (a way of
/// another CT panics, like an index out of range).
pub fn restore_labels(
    slices: &[Vec<u8>],
    ways: &[SliceWay],
    map: &AxisMap,
    stored_shape: [usize; 3],
) -> LabelVolume {
    let mut volume = LabelVolume::filled(stored_shape, 0);
    for (slices, ways) in slices.chunks(SLICES_AT_ONCE).zip(ways.chunks(SLICES_AT_ONCE)) {
        let restored: Vec<Vec<u8>> =
            slices.par_iter().zip(ways).map(|(slice, way)| restore_labels_slice(slice, way)).collect();
        for (slice, way) in restored.iter().zip(ways) {
            map.write_slice(&mut volume, way.z, slice);
        }
    }
    volume
}

/// One prepared label picture on its canonical slice (0 outside the crop).
pub fn restore_labels_slice(slice: &[u8], way: &SliceWay) -> Vec<u8> {
    place(&resize_labels_majority_u8(slice, way.size, way.size, way.crop.h, way.crop.w), way)
}

/// One picture of probabilities on its canonical slice, linear between pixel centres (0 outside the crop).
pub fn restore_probabilities_slice(prob: &[f32], way: &SliceWay) -> Vec<f32> {
    place(&resize_linear_f32(prob, way.size, way.size, way.crop.h, way.crop.w), way)
}

/// Pastes the crop into the turned slice and turns it back.
fn place<T: Copy + Default>(crop: &[T], way: &SliceWay) -> Vec<T> {
    let [h, w] = way.turned();
    let mut turned = vec![T::default(); h * w];
    way.crop.paste(crop, &mut turned, h, w);
    turn_quarters(&turned, h, w, 4 - way.quarter_turns % 4)
}
