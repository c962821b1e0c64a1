//! Distances between the surfaces of two masks: HD95 and the normalised surface Dice (NSD).
//!
//! The surface lies between voxels: at each corner where eight voxels meet that are not all alike there is a surface
//! element, weighted by its area ([`crate::surfel`]), and its distance is that of its corner to the nearest corner
//! with an element of the other surface. HD95 is the larger of the two directed 95th percentiles (the first distance
//! at which the cumulated share of area reaches 95 %). NSD is the share of the area of both surfaces that lies within
//! the tolerance. Volumes of one slice are measured in the plane, with outlines instead of surfaces, as a 2-D image.
//!
//! Masks that touch the border of the volume are closed there: what lies outside is background.
//!
//! # Source
//! Nikolov et al., arXiv 1809.04430 (2018); semantics of the surface-distance package 0.1.
//! Golden: `eval/surface` (HD95 and NSD of six pairs, isotropic and not).

use crate::{contour, surfel};
use gg_volume::{LabelVolume, Volume};
use rayon::prelude::*;

/// Surface elements of both masks, each with its distance to the other surface, nearest first.
///
/// # Units
/// Distances in those of the spacing, areas in their square (lengths for one slice).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SurfaceDistances {
    /// `(distance, area)` of the truth's elements to the prediction.
    pub(crate) truth_to_pred: Vec<(f64, f64)>,
    /// `(distance, area)` of the prediction's elements to the truth.
    pub(crate) pred_to_truth: Vec<(f64, f64)>,
}

/// Measures the two surfaces; `None` where a mask is empty.
///
/// # Shape
/// Both masks `[z, y, x]` of one shape. Work and memory follow the box around both masks.
pub(crate) fn surface_distances(
    pred: &LabelVolume,
    truth: &LabelVolume,
    spacing: [f64; 3],
) -> Option<SurfaceDistances> {
    let (first, last) = bounds(pred, truth)?;
    let pred = Surface::new(pred, first, last, spacing)?;
    let truth = Surface::new(truth, first, last, spacing)?;
    Some(SurfaceDistances {
        truth_to_pred: truth.distances_to(&pred, spacing),
        pred_to_truth: pred.distances_to(&truth, spacing),
    })
}

impl SurfaceDistances {
    /// The larger of the two directed percentiles.
    pub(crate) fn hausdorff(&self, percent: f64) -> f64 {
        percentile(&self.truth_to_pred, percent).max(percentile(&self.pred_to_truth, percent))
    }

    /// Share of both surfaces that lies no further than `tolerance` from the other.
    pub(crate) fn surface_dice(&self, tolerance: f64) -> f64 {
        let all = || self.truth_to_pred.iter().chain(&self.pred_to_truth);
        let near: f64 = all().filter(|(d, _)| *d <= tolerance).map(|(_, a)| a).sum();
        near / all().map(|(_, a)| a).sum::<f64>()
    }
}

fn percentile(list: &[(f64, f64)], percent: f64) -> f64 {
    let total: f64 = list.iter().map(|(_, a)| a).sum();
    let mut sum = 0.0;
    for &(d, a) in list {
        sum += a;
        if sum / total >= percent / 100.0 {
            return d;
        }
    }
    list.last().map_or(0.0, |l| l.0)
}

/// First and last voxel `[z, y, x]` of the box around both masks.
fn bounds(a: &LabelVolume, b: &LabelVolume) -> Option<([usize; 3], [usize; 3])> {
    let [_, ny, nx] = a.shape();
    let mut range = [(usize::MAX, 0usize); 3];
    let mut widen = |axis: usize, v: usize| {
        range[axis].0 = range[axis].0.min(v);
        range[axis].1 = range[axis].1.max(v);
    };
    for (row, (p, q)) in a.data().chunks_exact(nx.max(1)).zip(b.data().chunks_exact(nx.max(1))).enumerate() {
        let filled = |x: &usize| p[*x] != 0 || q[*x] != 0;
        if let Some(low) = (0..nx).find(filled) {
            let high = (low..nx).rev().find(filled).unwrap_or(low);
            widen(0, row / ny);
            widen(1, row % ny);
            widen(2, low);
            widen(2, high);
        }
    }
    (range[0].0 != usize::MAX).then(|| (range.map(|r| r.0), range.map(|r| r.1)))
}

/// The corners of a box of voxels, and what surface there is at each.
struct Surface {
    shape: [usize; 3],
    /// 0 or 255 (15 in the plane): no surface.
    codes: Vec<u8>,
    full: u8,
    areas: Vec<f64>,
}

impl Surface {
    fn new(mask: &LabelVolume, first: [usize; 3], last: [usize; 3], spacing: [f64; 3]) -> Option<Self> {
        let flat = mask.shape()[0] == 1;
        // corners lie before, between and after the voxels
        let shape: [usize; 3] = std::array::from_fn(|a| last[a] - first[a] + 2 - usize::from(flat && a == 0));
        let inside = |z: isize, y: isize, x: isize| -> bool {
            let at = [z, y, x];
            (0..3).all(|a| at[a] >= 0 && at[a] <= (last[a] - first[a]) as isize)
                && mask.at(first[0] + z as usize, first[1] + y as usize, first[2] + x as usize) != 0
        };
        let code = |z: usize, y: usize, x: usize| -> u8 {
            let mut code = 0;
            for c in if flat { 4..8usize } else { 0..8 } {
                let (dz, dy, dx) = ((c >> 2) as isize - 1, (c >> 1 & 1) as isize - 1, (c & 1) as isize - 1);
                code = code << 1 | u8::from(inside(z as isize + dz, y as isize + dy, x as isize + dx));
            }
            code
        };
        let codes: Vec<u8> = (0..shape[0])
            .into_par_iter()
            .flat_map_iter(|z| (0..shape[1] * shape[2]).map(move |i| (z, i / shape[2], i % shape[2])))
            .map(|(z, y, x)| code(z, y, x))
            .collect();
        let areas =
            if flat { contour::lengths([spacing[1], spacing[2]]).to_vec() } else { surfel::areas(spacing) };
        let full = if flat { 15 } else { 255 };
        let surface = Self { shape, codes, full, areas };
        surface.codes.iter().any(|&c| surface.is_surface(c)).then_some(surface)
    }

    fn is_surface(&self, code: u8) -> bool {
        code != 0 && code != self.full
    }

    fn distances_to(&self, other: &Self, spacing: [f64; 3]) -> Vec<(f64, f64)> {
        let away: Vec<u8> = other.codes.iter().map(|&c| u8::from(!other.is_surface(c))).collect();
        // both were made over one box, so the sizes agree
        let Ok(away) = Volume::from_vec(other.shape, away) else { return Vec::new() };
        let map = gg_imaging::distance_edt(&away, spacing);
        let mut list: Vec<(f64, f64)> = self
            .codes
            .iter()
            .zip(map.data())
            .filter(|(c, _)| self.is_surface(**c))
            .map(|(&c, &d)| (d, self.areas[usize::from(c)]))
            .collect();
        list.par_sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_testkit::Golden;
    use gg_volume::Volume;

    /// Mean distance, weighted by area.
    fn mean(list: &[(f64, f64)]) -> f64 {
        let area: f64 = list.iter().map(|(_, a)| a).sum();
        list.iter().map(|(d, a)| d * a).sum::<f64>() / area
    }

    #[test]
    fn distances_are_those_of_the_reference() {
        let golden = Golden::open("eval/surface.safetensors");
        let mut cases = 0;
        for name in golden.names().iter().filter_map(|n| n.strip_suffix(".truth")) {
            let array = |part: &str| {
                let name = format!("{name}.{part}");
                let shape = golden.shape(&name);
                let shape =
                    if shape.len() == 2 { [1, shape[0], shape[1]] } else { [shape[0], shape[1], shape[2]] };
                Volume::from_vec(shape, golden.u8(&name)).unwrap()
            };
            let spacing: [f64; 3] = golden.f64(&format!("{name}.spacing")).try_into().unwrap();
            let found = surface_distances(&array("pred"), &array("truth"), spacing).unwrap();
            let expected = golden.f64(&format!("{name}.expected")); // hd95, hd100, nsd at 1, 2 and 5, means
            let [to_pred, to_truth] = [&found.truth_to_pred, &found.pred_to_truth].map(|list| mean(list));
            let values = [
                found.hausdorff(95.0),
                found.hausdorff(100.0),
                found.surface_dice(1.0),
                found.surface_dice(2.0),
                found.surface_dice(5.0),
                to_pred,
                to_truth,
            ];
            for (i, (f, e)) in values.iter().zip(&expected).enumerate() {
                assert!((f - e).abs() < 1e-9, "{name}, value {i}: {f}, reference {e}");
            }
            cases += 1;
        }
        assert_eq!(cases, 7);
    }

    #[test]
    fn two_planes_are_as_far_apart_as_they_lie() {
        let mut a = Volume::filled([12, 5, 5], 0u8);
        let mut b = a.clone();
        a.slice_mut(2).fill(1);
        b.slice_mut(6).fill(1);
        let found = surface_distances(&a, &b, [2.5, 1.0, 1.0]).unwrap();
        assert_eq!(found.hausdorff(100.0), 10.0);
        assert_eq!(found.surface_dice(2.0), 0.0);
    }

    #[test]
    fn an_empty_mask_has_no_distances() {
        let (none, some) = (Volume::filled([2, 2, 2], 0u8), Volume::filled([2, 2, 2], 1u8));
        assert_eq!(surface_distances(&none, &some, [1.0; 3]), None);
        assert_eq!(surface_distances(&none, &none, [1.0; 3]), None);
    }
}
