//! Holes filled: background that does not reach the edge becomes inside.
//!
//! As SciPy's `ndimage.binary_fill_holes` (background touches across faces). Golden set: `imaging/morphology`.

use crate::Connectivity;
use crate::components::Components;
use gg_volume::LabelVolume;

/// The mask of a picture of `h` x `w` with its holes filled; holds 0 and 1.
pub fn fill_holes_2d(mask: &[u8], h: usize, w: usize) -> Vec<u8> {
    let background = Components::find(mask, [1, h, w], Connectivity::Faces, |v| v == 0);
    background
        .paint(|k| u8::from(at_edge(&background.list[k].low[1..], &background.list[k].high[1..], &[h, w])))
        .into_iter()
        .map(|outside| 1 - outside)
        .collect()
}

/// The mask of a volume with its holes filled; holds 0 and 1.
pub fn fill_holes_3d(mask: &LabelVolume) -> LabelVolume {
    let background = Components::find(mask.data(), mask.shape(), Connectivity::Faces, |v| v == 0);
    let outside = |k: usize| {
        let component = &background.list[k];
        u8::from(at_edge(&component.low, &component.high, &mask.shape()))
    };
    let mut filled = background.paint_volume(outside);
    filled.data_mut().iter_mut().for_each(|v| *v = 1 - *v);
    filled
}

/// Only the `n` largest components of a mask (touching across corners too); holds 0 and 1.
pub fn largest_components(mask: &LabelVolume, n: usize) -> LabelVolume {
    let components = crate::label_3d(mask, Connectivity::Corners);
    let kept: Vec<usize> = components.by_size().into_iter().take(n).collect();
    components.paint_volume(|k| u8::from(kept.contains(&k)))
}

fn at_edge(low: &[usize], high: &[usize], shape: &[usize]) -> bool {
    low.contains(&0) || high.iter().zip(shape).any(|(&high, &n)| high + 1 == n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_largest_components_stay() {
        let mask =
            LabelVolume::from_vec([1, 3, 5], vec![1, 0, 2, 2, 0, 0, 0, 0, 0, 0, 3, 3, 3, 0, 9]).unwrap();
        let found = largest_components(&mask, 2);
        assert_eq!(found.data(), [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn a_closed_cave_is_filled_in_three_dimensions() {
        let mut mask = LabelVolume::filled([3, 3, 3], 1);
        mask.data_mut()[13] = 0;
        assert_eq!(fill_holes_3d(&mask).count_foreground(), 27);
        mask.data_mut()[4] = 0;
        assert_eq!(fill_holes_3d(&mask).count_foreground(), 25);
    }
}
