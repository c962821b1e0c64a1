//! From prepared pictures back to canonical slices: resize to the crop, paste, turn back. `AxisMap` scatters them.
//!
//! Forgetting this step is the classic fault of such programs. Crop, padding, turn and flip invert to the voxel; a
//! picture whose crop has the picture's own size is copied byte for byte.

use crate::resize::linear_rows_f32;
use crate::{SliceWay, resize_linear_f32, turn_quarters};

/// One picture of probabilities on its canonical slice, linear between pixel centres (0 outside the crop).
pub fn restore_probabilities_slice(prob: &[f32], way: &SliceWay) -> Vec<f32> {
    place(&resize_linear_f32(prob, way.size, way.size, way.crop.h, way.crop.w), 0.0, way)
}

/// The `label` of each probability that [`restore_probabilities_slice`] gives, without keeping the probabilities.
pub fn restore_labels_slice(prob: &[f32], way: &SliceWay, label: impl Fn(f32) -> u8) -> Vec<u8> {
    let mut labels = Vec::with_capacity(way.crop.h * way.crop.w);
    linear_rows_f32(prob, [way.size, way.size], [way.crop.h, way.crop.w], |row| {
        labels.extend(row.iter().map(|&p| label(p)));
    });
    place(&labels, label(0.0), way)
}

/// Pastes the crop into the turned slice and turns it back.
fn place<T: Copy>(crop: &[T], outside: T, way: &SliceWay) -> Vec<T> {
    let [h, w] = way.turned();
    let mut turned = vec![outside; h * w];
    way.crop.paste(crop, &mut turned, h, w);
    match way.quarter_turns % 4 {
        0 => turned,
        turns => turn_quarters(&turned, h, w, 4 - turns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rect;

    #[test]
    fn labels_are_the_probabilities_at_their_threshold() {
        let prob: Vec<f32> = (0..64).map(|i| ((i * 37) % 64) as f32 / 63.0).collect();
        let crops = [Rect { y: -2, x: 1, h: 9, w: 9 }, Rect::whole(7, 5), Rect { y: 3, x: 2, h: 2, w: 20 }];
        for (quarter_turns, crop) in (0..4).flat_map(|t| crops.map(|c| (t, c))) {
            let way = SliceWay { z: 0, canonical: [7, 6], quarter_turns, crop, size: 8, roi_found: true };
            for threshold in [0.0, 0.3, 0.5, 1.0] {
                let full = restore_probabilities_slice(&prob, &way);
                let expected: Vec<u8> = full.iter().map(|&p| u8::from(p >= threshold)).collect();
                let labels = restore_labels_slice(&prob, &way, |p| u8::from(p >= threshold));
                assert_eq!(labels, expected, "{way:?} at {threshold}");
            }
        }
    }
}
