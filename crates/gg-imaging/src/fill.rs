//! Holes filled: background that does not reach the edge becomes inside.
//!
//! As SciPy's `ndimage.binary_fill_holes` (background touches across faces). Golden set: `imaging/morphology`.

use crate::Connectivity;
use crate::components::Components;
use gg_volume::LabelVolume;

/// The mask of a volume with its holes filled; holds 0 and 1.
pub fn fill_holes_3d(mask: &LabelVolume) -> LabelVolume {
    let mut filled = mask.map(|v| u8::from(v != 0));
    fill_holes(&mut filled);
    filled
}

/// Makes 1 of the holes of a mask, in place.
pub(crate) fn fill_holes(mask: &mut LabelVolume) {
    let background = Components::find(mask.data(), mask.shape(), Connectivity::Faces, |v| v == 0);
    let shape = mask.shape();
    background.paint_some(mask.data_mut(), |k| {
        let component = &background.list[k];
        (!at_edge(&component.low, &component.high, &shape)).then_some(1)
    });
}

fn at_edge(low: &[usize], high: &[usize], shape: &[usize]) -> bool {
    low.contains(&0) || high.iter().zip(shape).any(|(&high, &n)| high + 1 == n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_cave_is_filled_in_three_dimensions() {
        let mut mask = LabelVolume::filled([3, 3, 3], 1);
        mask.data_mut()[13] = 0;
        assert_eq!(fill_holes_3d(&mask).count_foreground(), 27);
        mask.data_mut()[4] = 0;
        assert_eq!(fill_holes_3d(&mask).count_foreground(), 25);
    }
}
