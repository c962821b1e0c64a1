//! From prepared pictures back to canonical slices: resize to the crop, paste, turn back. `AxisMap` scatters them.
//!
//! Forgetting this step is the classic fault of such programs. Crop, padding, turn and flip invert to the voxel; a
//! picture whose crop has the picture's own size is copied byte for byte.

use crate::{SliceWay, resize_linear_f32, turn_quarters};

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
