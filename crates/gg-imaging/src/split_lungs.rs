//! Right and left lung told apart by where they lie, never by label numbers.
//!
//! On the canonical volume (x grows to the patient's left) the two largest pieces of the mask that lie side by side
//! are the lungs. Where they touch (or an airway joins them) each slice is eroded, step by step, until the mask falls
//! into two; the pieces then grow back within the mask, voxel by voxel, so that the cut runs through the narrowest
//! place. Where even that does not part them, the mask is cut at the valley of its profile along x, and where there
//! is no valley it is one lung, on the side of the slice's middle where it lies. Small pieces (airways, islands) go
//! to the lung whose middle is nearer along x. Every voxel of the mask gets a side, no other voxel does.
//!
//! # Memory
//! One byte for each voxel of the mask's bounding box, in which all of this is done in place, beside the mask, which
//! then becomes the result: two bytes a voxel are live at most, however wide the box is. What the search for pieces and
//! the growing add goes with the surface of the mask, and is gone before the result comes.

use crate::components::Components;
use crate::{Connectivity, binary_erosion};
use gg_volume::{AxisMap, LUNG_LEFT, LUNG_RIGHT, LabelVolume};
use rayon::prelude::*;

/// How far each slice is eroded, in pixels to each side, until the lungs fall apart.
const EROSIONS: [usize; 9] = [0, 1, 2, 3, 4, 6, 8, 11, 15];
/// Erosion by more than this share of the mask's width would eat the lungs.
const MOST_EROSION: f64 = 0.06;
/// The smaller lung has at least this share of the larger one's voxels.
const SMALLER_LUNG: f64 = 0.1;
/// The middles of the two lungs are at least this share of the mask's width apart.
const APART: f64 = 0.25;
/// A valley of the profile along x is lower than this share of both its peaks.
const VALLEY: f64 = 0.6;
/// A voxel of the mask that has no side yet.
const OPEN: u8 = 0x40;
/// The same where it is left over by the erosion.
const CORE: u8 = 0x80;

/// Labels each voxel of a lung mask (any labels but 0) with [`LUNG_RIGHT`] or [`LUNG_LEFT`].
///
/// # Shape
/// Mask and result lie on the stored grid, which `map` walks canonically.
pub fn split_lungs(mut mask: LabelVolume, map: &AxisMap) -> LabelVolume {
    let stored = mask.shape();
    let Some((low, shape)) = canonical_bounds(&mask, map) else { return mask };
    let [_, h, w] = map.canonical_shape(stored);
    let mut sides = cut_out(&mask, map, low, shape);
    split_box(&mut sides, shape, w as f64 / 2.0 - low[2] as f64);
    let mut slice = vec![0; h * w];
    for z in 0..shape[0] {
        slice.fill(0);
        for y in 0..shape[1] {
            let from = (z * shape[1] + y) * shape[2];
            slice[(low[1] + y) * w + low[2]..][..shape[2]].copy_from_slice(&sides[from..from + shape[2]]);
        }
        map.write_slice(&mut mask, low[0] + z, &slice);
    }
    mask
}

/// First voxel and shape of the mask's bounding box, canonically.
fn canonical_bounds(mask: &LabelVolume, map: &AxisMap) -> Option<([usize; 3], [usize; 3])> {
    let [n, h, w] = map.canonical_shape(mask.shape());
    let none = ([usize::MAX; 3], [0; 3]);
    let of_slice = |slice: &mut Vec<u8>, z: usize| {
        slice.resize(h * w, 0);
        map.read_slice(mask, z, slice);
        let (mut low, mut high) = none;
        for (y, row) in
            slice.chunks_exact(w).enumerate().filter(|(_, row)| row.iter().fold(0, |a, v| a | v) != 0)
        {
            let Some(first) = row.iter().position(|&v| v != 0) else { continue };
            let last = row.iter().rposition(|&v| v != 0).unwrap_or(first);
            for (axis, (a, b)) in [(z, z), (y, y), (first, last)].into_iter().enumerate() {
                low[axis] = low[axis].min(a);
                high[axis] = high[axis].max(b);
            }
        }
        (low, high)
    };
    let both = |(a, b): ([usize; 3], [usize; 3]), (c, d): ([usize; 3], [usize; 3])| {
        (std::array::from_fn(|i| a[i].min(c[i])), std::array::from_fn(|i| b[i].max(d[i])))
    };
    let (low, high) = (0..n).into_par_iter().map_init(Vec::new, of_slice).reduce(|| none, both);
    (low[0] != usize::MAX).then(|| (low, std::array::from_fn(|i| high[i] - low[i] + 1)))
}

/// The bounding box as 0 and [`OPEN`].
fn cut_out(mask: &LabelVolume, map: &AxisMap, low: [usize; 3], shape: [usize; 3]) -> Vec<u8> {
    let [_, h, w] = map.canonical_shape(mask.shape());
    let mut out = vec![0; shape.iter().product()];
    let boxes = out.par_chunks_exact_mut(shape[1] * shape[2]).enumerate();
    boxes.for_each_init(
        || vec![0; h * w],
        |slice, (z, out)| {
            map.read_slice(mask, low[0] + z, slice);
            for (y, out) in out.chunks_exact_mut(shape[2]).enumerate() {
                let row = &slice[(low[1] + y) * w + low[2]..][..shape[2]];
                out.iter_mut().zip(row).for_each(|(o, &v)| *o = if v == 0 { 0 } else { OPEN });
            }
        },
    );
    out
}

/// Gives each open voxel its side. `middle` is the x of the slice's middle.
fn split_box(sides: &mut [u8], shape: [usize; 3], middle: f64) {
    let [_, h, w] = shape;
    for reach in EROSIONS.into_iter().filter(|&r| r as f64 <= MOST_EROSION * w as f64) {
        let side = 2 * reach + 1;
        sides.par_chunks_mut(h * w).for_each(|slice| {
            let eroded = binary_erosion(slice, h, w, side, side);
            let open = slice.iter_mut().zip(eroded).filter(|(v, _)| **v != 0);
            open.for_each(|(v, core)| *v = if core != 0 { CORE } else { OPEN });
        });
        let pieces = Components::find(sides, shape, Connectivity::Faces, |v| v == CORE);
        let Some(pair) = two_lungs(&pieces, w) else { continue };
        let [right, left] = pair.map(|k| pieces.list[k].centroid[2]);
        let side_of = |x: f64| if (x - right).abs() <= (x - left).abs() { LUNG_RIGHT } else { LUNG_LEFT };
        pieces.paint_onto(sides, |k| side_of(pieces.list[k].centroid[2]));
        drop(pieces);
        grow(sides, shape);
        // Islands that the erosion ate, each as a whole.
        let islands = Components::find(sides, shape, Connectivity::Faces, |v| v == OPEN);
        islands.paint_onto(sides, |k| side_of(islands.list[k].centroid[2]));
        return;
    }
    let cut = valley(sides, w);
    let mean = mean_x(sides, w);
    let lone = if mean < middle { LUNG_RIGHT } else { LUNG_LEFT };
    for (i, v) in sides.iter_mut().enumerate().filter(|(_, v)| **v != 0) {
        *v = cut.map_or(lone, |cut| if i % w < cut { LUNG_RIGHT } else { LUNG_LEFT });
    }
}

/// The two pieces that are the lungs, right one first; `None` where they are still one.
fn two_lungs(pieces: &Components, width: usize) -> Option<[usize; 2]> {
    let order = pieces.by_size();
    let (&first, others) = order.split_first()?;
    let largest = &pieces.list[first];
    let apart = |k: usize| (pieces.list[k].centroid[2] - largest.centroid[2]).abs() >= APART * width as f64;
    let second = others.iter().copied().find(|&k| apart(k))?;
    if (pieces.list[second].voxels as f64) < SMALLER_LUNG * largest.voxels as f64 {
        return None;
    }
    let right_first = largest.centroid[2] <= pieces.list[second].centroid[2];
    Some(if right_first { [first, second] } else { [second, first] })
}

/// Grows the sides over the open voxels, one voxel at a time, as far as they reach.
fn grow(sides: &mut [u8], shape: [usize; 3]) {
    let [nz, h, w] = shape;
    let neighbours = |i: usize| {
        let (z, y, x) = (i / (h * w), i / w % h, i % w);
        [
            (z > 0).then(|| i - h * w),
            (y > 0).then(|| i - w),
            (x > 0).then(|| i - 1),
            (x + 1 < w).then(|| i + 1),
            (y + 1 < h).then(|| i + w),
            (z + 1 < nz).then(|| i + h * w),
        ]
        .into_iter()
        .flatten()
    };
    // From the open voxels, which are few, to their sides: in the order of the sides' places.
    let sided = |v: u8| v != 0 && v != OPEN;
    let open = (0..sides.len()).into_par_iter().filter(|&i| sides[i] == OPEN);
    let mut front: Vec<usize> = open.flat_map_iter(neighbours).filter(|&n| sided(sides[n])).collect();
    front.par_sort_unstable();
    front.dedup();
    while !front.is_empty() {
        let mut next = Vec::new();
        for &i in &front {
            for n in neighbours(i) {
                if sides[n] == OPEN {
                    sides[n] = sides[i];
                    next.push(n);
                }
            }
        }
        front = next;
    }
}

/// The column of the lowest count between two peaks, in the middle half of the profile along x.
fn valley(mask: &[u8], w: usize) -> Option<usize> {
    let mut counts = vec![0usize; w];
    mask.chunks_exact(w)
        .for_each(|row| row.iter().zip(&mut counts).for_each(|(&v, c)| *c += usize::from(v != 0)));
    let cut = (w / 4..w - w / 4).min_by_key(|&x| counts[x])?;
    let peak = |part: &[usize]| part.iter().copied().max().unwrap_or(0) as f64;
    let lower = peak(&counts[..cut]).min(peak(&counts[cut..]));
    (lower > 0.0 && (counts[cut] as f64) < VALLEY * lower).then_some(cut)
}

fn mean_x(mask: &[u8], w: usize) -> f64 {
    let (mut sum, mut count) = (0usize, 0usize);
    for (i, _) in mask.iter().enumerate().filter(|&(_, &v)| v != 0) {
        sum += i % w;
        count += 1;
    }
    sum as f64 / count.max(1) as f64 + 0.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::Orientation;

    /// Two ellipsoids with middles at these x, as wide as `radius`, in 12 x 40 x 60 voxels.
    fn lungs(middles: &[f64], radius: f64) -> LabelVolume {
        let mut mask = LabelVolume::filled([12, 40, 60], 0);
        for (i, v) in mask.data_mut().iter_mut().enumerate() {
            let (z, y, x) = ((i / 2400) as f64, (i / 60 % 40) as f64, (i % 60) as f64);
            let inside = |&m: &f64| {
                ((x - m) / radius).powi(2) + ((y - 20.0) / 16.0).powi(2) + ((z - 5.5) / 7.0).powi(2) <= 1.0
            };
            *v = u8::from(middles.iter().any(inside));
        }
        mask
    }

    /// Share of the mask's voxels left of `x` that are right lung, and of the others that are left lung.
    fn shares(mask: &LabelVolume, sides: &LabelVolume, cut: usize) -> [f64; 2] {
        let mut hits = [0.0; 2];
        let mut all = [0.0; 2];
        for (i, (&m, &s)) in mask.data().iter().zip(sides.data()).enumerate() {
            assert_eq!(m != 0, s != 0);
            if m != 0 {
                let side = usize::from(i % 60 >= cut);
                all[side] += 1.0;
                hits[side] += f64::from(u8::from(s == [LUNG_RIGHT, LUNG_LEFT][side]));
            }
        }
        [hits[0] / all[0], hits[1] / all[1]]
    }

    #[test]
    fn lungs_apart_are_told_exactly() {
        let mask = lungs(&[15.0, 44.0], 12.0);
        assert_eq!(shares(&mask, &split_lungs(mask.clone(), &AxisMap::IDENTITY), 30), [1.0, 1.0]);
    }

    #[test]
    fn touching_lungs_are_cut_where_they_touch() {
        let mask = lungs(&[16.5, 42.5], 14.5);
        assert_eq!(crate::label_3d(&mask, Connectivity::Faces).len(), 1);
        let found = shares(&mask, &split_lungs(mask.clone(), &AxisMap::IDENTITY), 30);
        assert!(found.iter().all(|&s| s > 0.98), "{found:?}");
    }

    #[test]
    fn an_airway_between_the_lungs_does_not_join_them() {
        let mut mask = lungs(&[15.0, 44.0], 12.0);
        for x in 15..44 {
            for (z, y) in [(5, 20), (6, 20), (5, 21), (6, 21)] {
                let i = mask.index(z, y, x);
                mask.data_mut()[i] = 1;
            }
        }
        let found = shares(&mask, &split_lungs(mask.clone(), &AxisMap::IDENTITY), 30);
        assert!(found.iter().all(|&s| s > 0.99), "{found:?}");
    }

    #[test]
    fn one_lung_alone_has_the_side_where_it_lies() {
        let mask = lungs(&[15.0], 12.0);
        assert_eq!(split_lungs(mask.clone(), &AxisMap::IDENTITY), mask.map(|v| v * LUNG_RIGHT));
        let mirrored = AxisMap::from_orientation(Orientation::parse("RPS").unwrap());
        assert_eq!(split_lungs(mask.clone(), &mirrored), mask.map(|v| v * LUNG_LEFT));
        let none = LabelVolume::filled([2, 3, 4], 0);
        assert_eq!(split_lungs(none.clone(), &AxisMap::IDENTITY), none);
    }

    #[test]
    fn islands_go_to_the_nearer_lung() {
        let mut mask = lungs(&[15.0, 44.0], 12.0);
        let i = mask.index(0, 0, 35);
        mask.data_mut()[i] = 7;
        assert_eq!(split_lungs(mask.clone(), &AxisMap::IDENTITY).data()[i], LUNG_LEFT);
    }

    #[test]
    fn in_a_wide_box_every_island_goes_to_one_lung_as_a_whole() {
        let shape = [6, 50, 200];
        // Two blocks joined by a band, which erosion cuts in its middle.
        let lung = |y: usize, x: usize| {
            (10..40).contains(&y) && ((10..90).contains(&x) || (110..190).contains(&x))
                || (20..24).contains(&y) && (90..110).contains(&x)
        };
        let mut expected = LabelVolume::filled(shape, 0);
        for (i, v) in expected.data_mut().iter_mut().enumerate().filter(|(i, _)| lung(i / 200 % 50, i % 200))
        {
            *v = if i % 200 < 100 { LUNG_RIGHT } else { LUNG_LEFT };
        }
        // In the corners, so that the box is the whole volume, and across the middle.
        for (z, y, xs, side) in [
            (0, 0, 0..1, LUNG_RIGHT),
            (5, 49, 199..200, LUNG_LEFT),
            (0, 45, 95..103, LUNG_RIGHT),
            (5, 4, 97..106, LUNG_LEFT),
        ] {
            let from = expected.index(z, y, 0);
            expected.data_mut()[from + xs.start..from + xs.end].fill(side);
        }
        let mut mask = expected.map(|v| u8::from(v != 0));
        assert_eq!(split_lungs(mask.clone(), &AxisMap::IDENTITY), expected);
        // Any labels do, those that stand for something on the way too.
        mask.data_mut().iter_mut().enumerate().for_each(|(i, v)| *v *= [1, 2, OPEN, CORE, 255][i % 5]);
        assert_eq!(split_lungs(mask.clone(), &AxisMap::IDENTITY), expected);
        let mirrored = AxisMap::from_orientation(Orientation::parse("RPS").unwrap());
        assert_eq!(
            split_lungs(mask.clone(), &mirrored),
            expected.map(|v| [0, LUNG_LEFT, LUNG_RIGHT][usize::from(v)])
        );
    }
}
