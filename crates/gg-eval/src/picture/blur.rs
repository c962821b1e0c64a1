//! How sharply the lungs of a CT in HU end: in a picture that was smoothed, or enlarged from a much smaller one, what is
//! smeared over healthy lung is called infection. The border of the lungs is where blur can be measured, not where that
//! lies: of what was found falsely in a blurred `normal001`, 1.4 % is within 8 pixels of it.
//!
//! Where a row of pixels crosses the border of the lung mask, the largest step from one pixel to the next is taken as a
//! share of the whole rise from lung to wall. Of an edge that was blurred by a Gaussian of standard deviation `s` pixels
//! that is about `1 / (s sqrt(2 pi))`.

use super::{FEWEST_PIXELS, looked_at};
use crate::summary::median;
use gg_volume::{AxisMap, CtVolume, IntensityKind, LabelVolume, Warning};
use rayon::prelude::*;

/// Pixels to each side of the border in which the largest step is looked for, and in which the rise is.
const STEP_WITHIN: usize = 4;
const RISE_WITHIN: usize = 6;
/// A border with a smaller rise, in HU, is none between lung and wall.
const LEAST_RISE_HU: f32 = 500.0;
/// With fewer borders a scan says nothing.
const FEWEST: usize = 200;
/// Largest steps below this share of the rise are those of a blurred CT: `P001` and a third of `normal001` have 0.32 and
/// 0.30, and 0.16 when blurred by 2 pixels, 0.12 when blurred by 3; 80 slices of `lungs2d` at least 0.38. With 3 pixels
/// `normal001` was given 0.9 % of infection, with 2 none. Enlarged from pictures an eighth and a sixth as wide it lies
/// below and was given 1.7 and 0.2 %; from a fourth it lies above and was given none.
const BLURRED: f64 = 0.145;

/// The remark `blurred`; only HU tell. `lung_voxels` are those of each canonical slice.
pub fn check_blur(
    ct: &CtVolume,
    lung: &LabelVolume,
    map: &AxisMap,
    lung_voxels: &[usize],
) -> Option<Warning> {
    let [_, h, w] = map.canonical_shape(ct.voxels.shape());
    if ct.intensity.kind != IntensityKind::Hu || h.min(w) < FEWEST_PIXELS {
        return None;
    }
    let of_slice = |(grey, mask): &mut (Vec<f32>, Vec<u8>), z: usize| {
        grey.resize(h * w, 0.0);
        mask.resize(h * w, 0);
        map.read_slice(&ct.voxels, z, grey);
        map.read_slice(lung, z, mask);
        let rows = grey.chunks_exact(w).zip(mask.chunks_exact(w));
        rows.flat_map(|(grey, mask)| steps(grey, mask)).collect::<Vec<f64>>()
    };
    let which = looked_at(lung_voxels);
    let found: Vec<f64> = which.into_par_iter().map_init(Default::default, of_slice).flatten_iter().collect();
    if found.len() < FEWEST {
        return None;
    }
    let pixels = |share: f64| 1.0 / (share * std::f64::consts::TAU.sqrt());
    median(found).filter(|share| *share < BLURRED).map(|share| {
        Warning::new(
            "blurred",
            format!(
                "the CT is blurred, as by a Gaussian of about {:.1} pixels, or was enlarged: healthy lung \
                 may then be called infected, and small infection be lost; right would be the CT as it was reconstructed",
                pixels(share)
            ),
        )
    })
}

/// The largest step at each border of the mask along a row, as a share of the rise there.
fn steps(grey: &[f32], mask: &[u8]) -> Vec<f64> {
    let within = |border: usize, apart: usize| {
        let from = (border + 1).saturating_sub(apart);
        &grey[from..(border + 1 + apart).min(grey.len())]
    };
    let borders = mask.windows(2).enumerate().filter(|(_, pair)| (pair[0] == 0) != (pair[1] == 0));
    borders
        .filter_map(|(border, _)| {
            let around = within(border, RISE_WITHIN);
            let high = around.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let low = around.iter().copied().fold(f32::INFINITY, f32::min);
            let step =
                within(border, STEP_WITHIN).windows(2).map(|p| (p[1] - p[0]).abs()).fold(0.0, f32::max);
            (high - low > LEAST_RISE_HU).then(|| f64::from(step / (high - low)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::{Grid, Intensity, Volume};

    const SHAPE: [usize; 3] = [3, 200, 200];

    /// The integral of a Gaussian, by steps of a hundredth of it.
    fn smooth_step(x: f64, s: f64) -> f64 {
        let gauss = |t: f64| (-t * t / (2.0 * s * s)).exp();
        let part =
            |to: f64| (-800..(100.0 * to / s) as i64).map(|i| gauss(i as f64 * s / 100.0)).sum::<f64>();
        part(x) / part(8.0 * s)
    }

    /// Lung from column 60 to 139 between walls, both edges blurred, and its mask.
    fn lung(s: f64, kind: IntensityKind) -> (CtVolume, LabelVolume) {
        let edge = |x: f64| if s == 0.0 { f64::from(u8::from(x > 0.0)) } else { smooth_step(x, s) };
        let row: Vec<f32> = (0..200)
            .map(|x| {
                let x = f64::from(x);
                (40.0 - 890.0 * (edge(x - 59.5) - edge(x - 139.5))) as f32
            })
            .collect();
        let mask: Vec<u8> = (0..200).map(|x| u8::from((60..140).contains(&x))).collect();
        let n = SHAPE[0] * SHAPE[1];
        let ct = CtVolume {
            voxels: Volume::from_vec(SHAPE, row.repeat(n)).unwrap(),
            grid: Grid::unknown(SHAPE, "made by a test"),
            intensity: Intensity::stated(kind),
        };
        (ct, Volume::from_vec(SHAPE, mask.repeat(n)).unwrap())
    }

    #[test]
    fn the_blur_of_an_edge_is_measured() {
        for s in [1.0, 2.0, 3.0] {
            let (ct, mask) = lung(s, IntensityKind::Hu);
            let found = steps(&ct.voxels.slice(1)[..200], &mask.slice(1)[..200]);
            assert_eq!(found.len(), 2);
            // The mean slope over one pixel, of the rise that lies within six of them.
            let rise = smooth_step(5.5, s) - smooth_step(-5.5, s);
            let right = (smooth_step(0.5, s) - smooth_step(-0.5, s)) / rise;
            assert!(found.iter().all(|f| (f - right).abs() < 0.03 * right), "{found:?} for {right}");
        }
        assert_eq!(steps(&[0.0; 20], &[1; 20]), Vec::<f64>::new(), "no border");
        assert_eq!(steps(&[0.0; 20], &[[0; 10], [1; 10]].concat()), Vec::<f64>::new(), "no rise");
    }

    #[test]
    fn a_blurred_ct_in_hu_is_told_and_by_how_much() {
        let told = |s: f64, kind: IntensityKind, lungs: usize| {
            let (ct, mask) = lung(s, kind);
            check_blur(&ct, &mask, &AxisMap::IDENTITY, &[lungs; 3]).map(|w| w.message)
        };
        for sharp in [0.0, 0.8, 1.5, 2.0] {
            assert_eq!(told(sharp, IntensityKind::Hu, 9), None, "{sharp}");
        }
        assert!(told(3.0, IntensityKind::Hu, 9).unwrap().contains("about 2.9 pixels"));
        assert!(told(4.0, IntensityKind::Hu, 9).is_some());
        assert_eq!(told(4.0, IntensityKind::Unknown, 9), None);
        assert_eq!(told(4.0, IntensityKind::Hu, 0), None, "no lung");
    }
}
