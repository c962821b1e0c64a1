//! How noisy a CT in HU is, and whether its noise runs in one direction, as streaks do.
//!
//! Measured in soft tissue by `v(i) - 2 v(i + d) + v(i + 2 d)` along rows and along columns: what is even or rises
//! evenly cancels out, and the median of its size is hardly moved by edges. Noise of standard deviation `s` that does
//! not know its neighbours gives `s sqrt(6)`. What noise carries out of the range of soft tissue is not counted, so
//! that strong noise seems weaker than it is.

use super::{FEWEST_PIXELS, looked_at};
use crate::summary::median;
use gg_volume::{AxisMap, CtVolume, IntensityKind, Warning};
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// The distance `d` in pixels of a picture of [`PIXELS`] across, and about as far in others (in whole pixels): streaks
/// are smooth from one row to the next. Three pixels of `P001` at 256 across, where anatomy changes, would tell streaks
/// in 5 of 33 slices; two tell none (1.38 at most).
const APART: usize = 3;
const PIXELS: usize = 512;
/// Soft tissue, and what noise makes of it.
const SOFT_HU: RangeInclusive<f32> = -150.0..=200.0;
/// With fewer differences a slice says nothing.
const FEWEST: u64 = 500;
/// The median size of a normal value is this part of its standard deviation.
const MEDIAN_OF_NORMAL: f64 = 0.6745;
/// Streaks: noise along one axis so many times that along the other (213 slices of `lungs2d` have at most 1.17, `P001`
/// 1.28, a third of `normal001` 1.15), and at least so many HU.
const STREAKED: f64 = 1.4;
const STREAKED_HU: f64 = 15.0;
/// They are told from this share of the slices on.
const SHARE: f64 = 0.1;
/// Noise from which on faint infection is lost in it, in HU: none of 213 slices of `lungs2d` has more; `P001` with 100 HU
/// added lost a fifth.
const NOISY_HU: f64 = 80.0;

/// Remarks `streaks` and `noisy`; only HU tell. `lung_voxels` are those of each canonical slice.
pub fn check_noise(ct: &CtVolume, map: &AxisMap, lung_voxels: &[usize]) -> Vec<Warning> {
    let [_, h, w] = map.canonical_shape(ct.voxels.shape());
    if ct.intensity.kind != IntensityKind::Hu || h.min(w) < FEWEST_PIXELS {
        return Vec::new();
    }
    let which = looked_at(lung_voxels);
    let of_slice = |slice: &mut Vec<f32>, z: usize| {
        slice.resize(h * w, 0.0);
        map.read_slice(&ct.voxels, z, slice);
        noise(slice, [h, w])
    };
    let found: Vec<[f64; 2]> = which.into_par_iter().map_init(Vec::new, of_slice).flatten().collect();
    told(&found)
}

/// What noise along columns and along rows, in HU, says of the slices that it was measured in.
fn told(found: &[[f64; 2]]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let ratio = |[a, b]: &[f64; 2]| a.max(*b) / a.min(*b).max(f64::MIN_POSITIVE);
    let streaked =
        found.iter().filter(|pair| ratio(pair) > STREAKED && pair[0].max(pair[1]) > STREAKED_HU).count();
    if streaked >= found.len().clamp(1, 2) && streaked as f64 >= SHARE * found.len() as f64 {
        warnings.push(Warning::new(
            "streaks",
            format!(
                "noise runs in one direction, as streaks do, in {streaked} of the {} slices with lung that were looked at: streaks are \
                 easily called infection, look at the masks before any number is used",
                found.len()
            ),
        ));
    }
    let means: Vec<f64> = found.iter().map(|[a, b]| (a + b) / 2.0).collect();
    if let Some(hu) = median(means).filter(|hu| *hu > NOISY_HU) {
        warnings.push(Warning::new(
            "noisy",
            format!(
                "the CT is noisy: soft tissue varies by at least {hu:.0} HU from pixel to pixel, and faint infection is lost in that; a \
                 reconstruction with a softer kernel or thicker slices shows more"
            ),
        ));
    }
    warnings
}

/// Standard deviation of the noise down the columns and along the rows of a slice, in HU; `None` without enough soft
/// tissue.
fn noise(slice: &[f32], [h, w]: [usize; 2]) -> Option<[f64; 2]> {
    let apart = ((APART * h.min(w) + PIXELS / 2) / PIXELS).max(1);
    let soft = |v: &f32| SOFT_HU.contains(v);
    let along = |step: usize, lines: usize, columns: usize| {
        // Sizes of the differences, in HU; within soft tissue they are below four times its range.
        let mut sizes = vec![0u64; 1 + 4 * (SOFT_HU.end() - SOFT_HU.start()) as usize];
        for y in 0..lines {
            for x in 0..columns {
                let i = y * w + x;
                let [a, b, c] = [slice[i], slice[i + step], slice[i + 2 * step]];
                if [a, b, c].iter().all(soft) {
                    let size = (a - 2.0 * b + c).abs().round() as usize;
                    let last = sizes.len() - 1;
                    sizes[size.min(last)] += 1;
                }
            }
        }
        let n: u64 = sizes.iter().sum();
        (n >= FEWEST).then(|| median_size(&sizes, n) / (MEDIAN_OF_NORMAL * 6f64.sqrt()))
    };
    let inner = |n: usize| n.saturating_sub(2 * apart);
    Some([along(apart * w, inner(h), w)?, along(apart, h, inner(w))?])
}

/// The median of sizes that were rounded to whole numbers and counted, as if those of one number lay evenly around it.
fn median_size(counts: &[u64], n: u64) -> f64 {
    let half = n as f64 / 2.0;
    let mut below = 0.0;
    for (size, &count) in counts.iter().enumerate() {
        let count = count as f64;
        if below + count >= half {
            let (from, width) = if size == 0 { (0.0, 0.5) } else { (size as f64 - 0.5, 1.0) };
            return from + width * (half - below) / count.max(1.0);
        }
        below += count;
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::{Grid, Intensity, Volume};

    const SHAPE: [usize; 3] = [4, 200, 200];

    /// Noise of the standard deviation `hu` in each pixel, and of `rows` in each row.
    fn ct(hu: f32, rows: f32, kind: IntensityKind) -> CtVolume {
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as f32 / (1u64 << 31) as f32 - 0.5
        };
        // The sum of twelve evenly spread values is as good as normal, with a standard deviation of one.
        let mut normal = || (0..12).map(|_| uniform()).sum::<f32>();
        let [n, h, w] = SHAPE;
        let mut voxels = Vec::new();
        for _ in 0..n * h {
            let row = rows * normal();
            voxels.extend((0..w).map(|_| 40.0 + row + hu * normal()));
        }
        let grid = Grid::unknown(SHAPE, "made by a test");
        CtVolume {
            voxels: Volume::from_vec(SHAPE, voxels).unwrap(),
            grid,
            intensity: Intensity::stated(kind),
        }
    }

    fn codes(ct: &CtVolume, lung: usize) -> Vec<String> {
        let remarks = check_noise(ct, &AxisMap::IDENTITY, &[lung; 4]);
        remarks.into_iter().map(|w| w.code.to_string()).collect()
    }

    #[test]
    fn noise_is_measured_along_both_axes() {
        for (hu, rows) in [(20.0f32, 0.0f32), (30.0, 0.0), (15.0, 20.0)] {
            let ct = ct(hu, rows, IntensityKind::Hu);
            let [down, along] = noise(ct.voxels.slice(2), [200, 200]).unwrap();
            let right = f64::from(hu.hypot(rows));
            assert!((down - right).abs() < 0.12 * right, "{down} for {right}");
            assert!((along - f64::from(hu)).abs() < 0.06 * f64::from(hu), "{along} for {hu}");
        }
        assert_eq!(noise(&[-900.0; 400], [20, 20]), None, "no soft tissue");
        assert_eq!(noise(&[40.0; 30], [6, 5]), None, "too small");
    }

    #[test]
    fn anatomy_is_no_streak_because_the_picture_is_small() {
        // The same wave across the body, in pictures of 512 and of 256 pixels; three pixels of each would give 3.7 times.
        let down = |n: usize| {
            let row = |i: usize| (i / n * 512 / n) as f32 * std::f32::consts::TAU / 36.0;
            let picture: Vec<f32> = (0..n * n).map(|i| 60.0 * row(i).sin()).collect();
            noise(&picture, [n, n]).unwrap()[0]
        };
        let times = down(256) / down(512);
        assert!((1.5..2.0).contains(&times), "{times}");
    }

    #[test]
    fn streaks_and_strong_noise_are_told_in_hu_with_lung_alone() {
        assert_eq!(codes(&ct(25.0, 0.0, IntensityKind::Hu), 9), Vec::<String>::new());
        assert_eq!(codes(&ct(25.0, 40.0, IntensityKind::Hu), 9), ["streaks"]);
        assert_eq!(codes(&ct(3.0, 6.0, IntensityKind::Hu), 9), Vec::<String>::new(), "hardly any noise");
        assert_eq!(codes(&ct(25.0, 40.0, IntensityKind::Unknown), 9), Vec::<String>::new());
        assert_eq!(codes(&ct(25.0, 40.0, IntensityKind::Hu), 0), Vec::<String>::new());
        assert_eq!(codes(&ct(140.0, 0.0, IntensityKind::Hu), 9), ["noisy"]);
    }

    #[test]
    fn streaks_in_a_few_of_many_slices_are_none() {
        let (plain, streaked) = ([30.0, 30.0], [60.0, 30.0]);
        let with = |n: usize, of: usize| [vec![streaked; n], vec![plain; of - n]].concat();
        assert!(told(&with(1, 40)).is_empty() && told(&with(3, 40)).is_empty() && told(&[]).is_empty());
        assert!(told(&with(1, 5)).is_empty());
        assert!(told(&with(4, 40))[0].message.contains("in 4 of the 40 slices"));
        assert_eq!(told(&with(1, 1)).len(), 1);
        assert_eq!(told(&[[30.0, 60.0], [30.0, 61.0]]).len(), 1, "from top to bottom too");
    }
}
