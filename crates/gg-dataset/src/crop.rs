//! A mask of a part of its CT, laid where the two headers say.
//!
//! Voxel `i` of the mask lies at `A_mask i` in the patient, that is at index `A_ct^-1 A_mask i` of the CT. Where this
//! map only renames and reverses axes and adds a whole number of voxels, every voxel of the mask is one of the CT; what
//! the mask does not cover is 0. Nothing is resampled.

use gg_volume::{Grid, LabelVolume, Volume};

/// Part of a voxel by which an offset may miss a whole number.
const WHOLE_VOXELS: f64 = 0.1;
/// Voxels by which the far end of an axis may miss its place, as other spacing or other axes make it.
const DRIFT_VOXELS: f64 = 0.5;
/// An offset beyond this is outside of every CT, and still fits a whole number.
const FURTHEST_OFFSET: f64 = 1e9;

/// Why a mask cannot be laid on its CT without resampling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Misplaced {
    /// A header does not say how its grid lies, or they differ in spacing or in where the axes point.
    OtherGrid,
    /// The grids are alike, but voxels of the mask lie between those of the CT.
    Between {
        /// Index `(x, y, z)` in the CT at which the mask's first voxel lies.
        offset: [f64; 3],
    },
    /// The mask marks something outside of the CT, or lies beside it.
    Outside {
        /// Marked voxels of the mask that no voxel of the CT corresponds to.
        voxels: usize,
        /// Index `(x, y, z)` in the CT at which the mask's first voxel lies.
        offset: [f64; 3],
    },
}

/// Lays a mask of another shape than its CT on the CT's stored grid, by its offset.
///
/// # Shape
/// `labels` is `[z, y, x]` of `grid`; the result has the shape of `ct`.
///
/// # Errors
/// [`Misplaced`] where not every marked voxel of the mask is a voxel of the CT.
pub fn lay_part(labels: &LabelVolume, grid: &Grid, ct: &Grid) -> Result<LabelVolume, Misplaced> {
    let (Some(mask_affine), Some(ct_affine)) = (&grid.affine, &ct.affine) else {
        return Err(Misplaced::OtherGrid);
    };
    let [nz, ny, nx] = labels.shape();
    let offset = ct_affine.index_of(mask_affine.origin());
    // Step along each axis (x, y, z) of the mask, as a step along one axis of the CT.
    let mut steps = [[0i64; 3]; 3];
    for (axis, n) in [nx, ny, nz].into_iter().enumerate() {
        let one: [f64; 3] = std::array::from_fn(|a| f64::from(u8::from(a == axis)));
        let next = ct_affine.index_of(mask_affine.apply(one));
        let step: [f64; 3] = std::array::from_fn(|a| next[a] - offset[a]);
        let whole = step.map(f64::round);
        let drift = (0..3).map(|a| (step[a] - whole[a]).abs()).fold(0.0, f64::max) * n as f64;
        if !step.iter().all(|s| s.is_finite())
            || drift > DRIFT_VOXELS
            || whole.map(f64::abs).iter().sum::<f64>() != 1.0
        {
            return Err(Misplaced::OtherGrid);
        }
        steps[axis] = whole.map(|s| s as i64);
    }
    if offset.iter().any(|o| (o - o.round()).abs() > WHOLE_VOXELS) {
        return Err(Misplaced::Between { offset });
    }
    let first = offset.map(|o| o.round().clamp(-FURTHEST_OFFSET, FURTHEST_OFFSET) as i64);
    let [ct_z, ct_y, ct_x] = ct.shape;
    let mut laid = Volume::filled(ct.shape, 0u8);
    let (mut covered, mut voxels) = (0usize, 0usize);
    for (i, &label) in labels.data().iter().enumerate() {
        let index = [i % nx, i / nx % ny, i / nx / ny].map(|v| v as i64);
        let place: [i64; 3] =
            std::array::from_fn(|a| first[a] + (0..3).map(|axis| steps[axis][a] * index[axis]).sum::<i64>());
        let [x, y, z] = place.map(|p| usize::try_from(p).unwrap_or(usize::MAX));
        if x < ct_x && y < ct_y && z < ct_z {
            let at = laid.index(z, y, x);
            laid.data_mut()[at] = label;
            covered += 1;
        } else {
            voxels += usize::from(label != 0);
        }
    }
    if voxels > 0 || covered == 0 {
        return Err(Misplaced::Outside { voxels, offset });
    }
    Ok(laid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::tests::grid;

    const AXIAL: [[f64; 3]; 3] = [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 2.0]];

    /// 3 slices of 4 rows and 5 columns, the first voxel at (10, 20, 30) mm.
    fn ct() -> Grid {
        grid([3, 4, 5], AXIAL, [10.0, 20.0, 30.0])
    }

    /// Two voxels along x.
    fn pair() -> LabelVolume {
        Volume::from_vec([1, 1, 2], vec![1, 2]).unwrap()
    }

    fn part(columns: [[f64; 3]; 3], origin: [f64; 3]) -> Result<LabelVolume, Misplaced> {
        lay_part(&pair(), &grid([1, 1, 2], columns, origin), &ct())
    }

    #[test]
    fn a_part_lies_at_its_offset_and_outside_of_it_is_nothing() {
        let laid = part(AXIAL, [11.0, 20.5, 32.0]).unwrap();
        assert_eq!((laid.shape(), laid.count_foreground()), ([3, 4, 5], 2));
        assert_eq!((laid.at(1, 1, 2), laid.at(1, 1, 3)), (1, 2));
    }

    #[test]
    fn a_part_along_other_axes_lies_where_its_header_says() {
        // the mask's x runs against the rows of the CT
        let turned = [[0.0, -0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 2.0]];
        let laid = part(turned, [10.0, 21.5, 30.0]).unwrap();
        assert_eq!((laid.count_foreground(), laid.at(0, 3, 0), laid.at(0, 2, 0)), (2, 1, 2));
    }

    #[test]
    fn a_part_between_the_voxels_is_told_with_its_offset() {
        let Err(Misplaced::Between { offset }) = part(AXIAL, [11.1, 20.0, 30.0]) else { panic!("laid") };
        assert!((offset[0] - 2.2).abs() < 1e-9 && offset[1..] == [0.0, 0.0], "{offset:?}");
        // a twentieth of a voxel is rounding
        assert_eq!(part(AXIAL, [11.025, 20.0, 30.0]).unwrap().at(0, 0, 2), 1);
    }

    #[test]
    fn a_part_with_another_spacing_is_of_another_grid() {
        let wider = [[0.7, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 2.0]];
        assert_eq!(part(wider, [10.0, 20.0, 30.0]), Err(Misplaced::OtherGrid));
        let twice = [[1.0, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 2.0]];
        assert_eq!(part(twice, [10.0, 20.0, 30.0]), Err(Misplaced::OtherGrid));
        let unplaced = Grid::unknown([1, 1, 2], "made for a test");
        assert_eq!(lay_part(&pair(), &unplaced, &ct()), Err(Misplaced::OtherGrid));
    }

    #[test]
    fn what_is_marked_outside_of_the_ct_is_not_lost_silently() {
        let marked = |found| matches!(found, Err(Misplaced::Outside { voxels, .. }) if voxels == 1);
        assert!(marked(part(AXIAL, [12.0, 20.0, 30.0])), "the second voxel lies behind the last column");
        assert!(marked(part(AXIAL, [9.5, 20.0, 30.0])), "the first voxel lies before the first column");
        let far = part(AXIAL, [1e300, 20.0, 30.0]);
        assert!(matches!(far, Err(Misplaced::OtherGrid | Misplaced::Outside { voxels: 2, .. })), "{far:?}");
        // a margin of nothing around the CT is no loss; a mask of nothing beside it is no mask of it
        let wide = Volume::from_vec([1, 1, 7], vec![0, 1, 0, 0, 0, 1, 0]).unwrap();
        let laid = lay_part(&wide, &grid([1, 1, 7], AXIAL, [9.5, 20.0, 30.0]), &ct()).unwrap();
        assert_eq!((laid.at(0, 0, 0), laid.at(0, 0, 4)), (1, 1));
        let nothing = Volume::filled([1, 1, 2], 0);
        let beside = lay_part(&nothing, &grid([1, 1, 2], AXIAL, [90.0, 20.0, 30.0]), &ct());
        assert!(matches!(beside, Err(Misplaced::Outside { voxels: 0, .. })), "{beside:?}");
    }
}
