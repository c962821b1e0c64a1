//! Whether the lungs stand upright in the canonical volume: apex at the head, base at the feet.
//!
//! Three signs of shape, all from the lung mask alone. The apices are narrow, the bases reach across the chest: both
//! the width of the lungs and their depth from front to back are larger at the feet. And the domes of the diaphragm
//! hollow out the bases, while apices are round: the mask fills less of its bounding box at the feet. Each is compared
//! between the lowest and the highest quarter of the slices that show much lung (a mask that goes on into neck or belly
//! shows little there), and the three are weighed together, so that two carry a weak third. Where they are weak nothing
//! is said.

use gg_volume::{AxisMap, LabelVolume};
use rayon::prelude::*;

/// Share of the slices with lung that counts as an end.
const END: f64 = 0.25;
/// Slices with less than this share of the largest lung area are left out.
const LEAST_AREA: f64 = 0.4;
/// Fewer slices with lung than this say nothing.
const LEAST_SLICES: usize = 8;
/// At these differences a sign counts in full: logs of the ratios of widths and depths, share of the bounding box filled.
const STRONG: [f64; 3] = [0.4, 0.5, 0.2];
/// Below this sum of the three signs, each at most 1, nothing is said; from the second on it is as in a whole lung.
const WEAK: f64 = 1.4;
const SURE: f64 = 2.5;
/// Share of a slice's lung pixels that is left out on each side of its extent.
const OUTLIERS: f64 = 0.005;

/// What the shape of the lungs says about the direction of z.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ApexBase {
    /// Whether the apices lie at the canonical head end, as they should.
    pub agrees: bool,
    /// From 0.5 (hardly told) to 1 (as in a whole lung).
    pub confidence: f32,
}

/// Compares the ends of the lungs along canonical z; `None` where they do not tell.
pub fn apex_base_check(lung: &LabelVolume, map: &AxisMap) -> Option<ApexBase> {
    let [n, h, w] = map.canonical_shape(lung.shape());
    let measure = |slice: &mut Vec<u8>, z: usize| {
        slice.resize(h * w, 0);
        map.read_slice(lung, z, slice);
        SliceShape::of(slice, h, w)
    };
    let shapes: Vec<SliceShape> = (0..n).into_par_iter().map_init(Vec::new, measure).collect();
    let largest = shapes.iter().map(|s| s.area).fold(0.0, f64::max);
    let shapes: Vec<SliceShape> =
        shapes.into_iter().filter(|s| s.area > 0.0 && s.area >= LEAST_AREA * largest).collect();
    if shapes.len() < LEAST_SLICES {
        return None;
    }
    let end = ((END * shapes.len() as f64).round() as usize).max(1);
    let mean =
        |part: &[SliceShape], f: fn(&SliceShape) -> f64| part.iter().map(f).sum::<f64>() / part.len() as f64;
    let (feet, head) = (&shapes[..end], &shapes[shapes.len() - end..]);
    let larger = |f: fn(&SliceShape) -> f64| (mean(feet, f) / mean(head, f)).ln();
    // All are positive where z runs from feet to head.
    let signs = [larger(|s| s.width), larger(|s| s.depth), mean(head, |s| s.fill) - mean(feet, |s| s.fill)];
    let sum: f64 = signs.iter().zip(STRONG).map(|(sign, strong)| (sign / strong).clamp(-1.0, 1.0)).sum();
    let agrees = sum > 0.0;
    if sum.abs() < WEAK {
        return None;
    }
    Some(ApexBase { agrees, confidence: (sum.abs() / SURE).min(1.0) as f32 })
}

/// Extent and fill of the lungs in one slice.
struct SliceShape {
    area: f64,
    width: f64,
    depth: f64,
    fill: f64,
}

impl SliceShape {
    fn of(slice: &[u8], h: usize, w: usize) -> Self {
        let (mut columns, mut rows) = (vec![0usize; w], vec![0usize; h]);
        for (row, count) in slice.chunks_exact(w.max(1)).zip(&mut rows) {
            if row.iter().fold(0, |all, v| all | v) == 0 {
                continue;
            }
            for (&v, column) in row.iter().zip(&mut columns) {
                *column += usize::from(v != 0);
                *count += usize::from(v != 0);
            }
        }
        let area = rows.iter().sum::<usize>() as f64;
        let (width, depth) = (inner_extent(&columns, area), inner_extent(&rows, area));
        Self { area, width, depth, fill: area / (width * depth).max(1.0) }
    }
}

/// Length over which the counts spread, but for the outliers at each end.
fn inner_extent(counts: &[usize], total: f64) -> f64 {
    let before = |counts: &mut dyn Iterator<Item = &usize>| {
        let mut sum = 0;
        counts
            .take_while(|&&c| {
                sum += c;
                sum as f64 <= OUTLIERS * total
            })
            .count()
    };
    let skipped = before(&mut counts.iter()) + before(&mut counts.iter().rev());
    counts.len().saturating_sub(skipped) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::{Orientation, Volume};

    /// Two cones with a dome cut out of their bases, two empty slices at each end; z grows from feet to head.
    fn lungs() -> LabelVolume {
        let mut mask = Volume::filled([44, 64, 64], 0u8);
        for z in 2..42usize {
            for y in 0..64usize {
                for x in 0..64usize {
                    let (up, y, x) = (z as f64 - 2.0, y as f64 - 32.0, x as f64 - 32.0);
                    let radius = 14.0 - up * 0.25;
                    let side = x.abs() - (15.0 - up * 0.2);
                    let lung = side * side + (y * 0.7).powi(2) < radius * radius;
                    let dome = side * side + (y * 0.7).powi(2) + up * up < 13.0 * 13.0;
                    if lung && !dome {
                        let i = mask.index(z, (y + 32.0) as usize, (x + 32.0) as usize);
                        mask.data_mut()[i] = 1;
                    }
                }
            }
        }
        mask
    }

    #[test]
    fn upright_lungs_agree_and_reversed_ones_do_not() {
        let found = apex_base_check(&lungs(), &AxisMap::IDENTITY).unwrap();
        assert!(found.agrees && found.confidence > 0.5, "{found:?}");
        let reversed = AxisMap::from_orientation(Orientation::parse("LPI").unwrap());
        let found = apex_base_check(&lungs(), &reversed).unwrap();
        assert!(!found.agrees && found.confidence > 0.5, "{found:?}");
    }

    #[test]
    fn a_mask_that_goes_on_into_the_neck_contradicts_nothing() {
        let mut mask = lungs();
        for z in 34..44 {
            for y in 10..54 {
                let i = mask.index(z, y, 27);
                mask.data_mut()[i..i + 6].fill(1);
            }
        }
        assert!(apex_base_check(&mask, &AxisMap::IDENTITY).is_none_or(|found| found.agrees));
    }

    #[test]
    fn too_few_slices_and_empty_masks_say_nothing() {
        assert_eq!(apex_base_check(&Volume::filled([3, 9, 9], 1), &AxisMap::IDENTITY), None);
        assert_eq!(apex_base_check(&Volume::filled([40, 9, 9], 0), &AxisMap::IDENTITY), None);
        assert_eq!(apex_base_check(&Volume::filled([40, 9, 9], 1), &AxisMap::IDENTITY), None);
    }
}
