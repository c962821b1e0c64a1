//! Remarks on an analysis whose numbers look wrong.

use super::Classification;
use anyhow::{Result, bail};
use gg_eval::{Burden, plausible_hu};
use gg_io::Holes;
use gg_volume::{AxisMap, CtVolume, Grid, IntensityKind, LabelVolume, Warning};
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// Lungs of adults, from a breath out to a breath in, in ml: well beyond what total lung capacities reach.
const LUNG_ML: RangeInclusive<f64> = 500.0..=10_000.0;
/// Fewer slices show no whole chest.
const FEWEST_SLICES_OF_A_CHEST: usize = 3;
/// More than this share of the lungs, in percent, is hardly ever infected.
const HIGHEST_PERCENT: f64 = 90.0;
/// Lungs are hardly ever more than this share of the slices that show them, even where the picture is cut to them (0.66
/// at most in 238 pictures).
const HIGHEST_LUNG_SHARE: f64 = 0.7;
/// With more than this share of the lungs without a number, in percent, nothing is measured: what is missing could be
/// what is looked for. Below, it moves no percentage by more.
const MOST_WITHOUT_NUMBER: f64 = 1.0;
/// Healthy lung is mostly air; what is denser than this on average, in HU, and not called infected is ill or none. True
/// lungs of the 213 single slices of `lungs2d`, which are dense, have -654 HU in the median; 10 of them are above this.
const DENSEST_LUNG_HU: f64 = -550.0;

/// A border whose middle shade is above this share of white, and most of which lies within so many shades of that, is
/// the air of a negative: 62 and 89 % of it in negatives of two CTs; crops amid the body are uneven. Lungs hold at most
/// this share of black (0.8 % in slices of `covid20`, none in `medseg`; 8 and 11 % in those negatives).
const BRIGHT: f32 = 0.55;
const SHADES: usize = 256;
const ALIKE: usize = 12;
const EVEN: f64 = 0.6;
const BLACK: f32 = 1.5 / 255.0;
const MOST_BLACK: f64 = 0.03;

/// Wider pixels give other percentages: `P001` with 2.3 mm 1.8 %, with 3 mm 1.2 to 1.4 % instead of 2.1; `normal001`
/// with 5 mm 2.8 % instead of 0.03.
const COARSEST_MM: f64 = 2.7;

/// A remark where what was called healthy lung cannot be lung, by its density. Only HU tell.
pub(super) fn dense_lungs(ct: &CtVolume, lung: &LabelVolume, infection: &LabelVolume) -> Option<Warning> {
    if ct.intensity.kind != IntensityKind::Hu {
        return None;
    }
    let of_slice = |z: usize| {
        let masks = lung.slice(z).iter().zip(infection.slice(z));
        let healthy = ct.voxels.slice(z).iter().zip(masks).filter(|(_, (l, i))| **l != 0 && **i == 0);
        healthy.fold((0.0, 0u64), |(sum, n), (v, _)| (sum + f64::from(plausible_hu(*v)), n + 1))
    };
    // The sums of the slices are added in their order, at any number of threads.
    let slices: Vec<(f64, u64)> = (0..lung.shape()[0]).into_par_iter().map(of_slice).collect();
    let (sum, n) = slices.into_iter().fold((0.0, 0u64), |(sum, n), (s, m)| (sum + s, n + m));
    let mean = sum / n as f64;
    (n > 0 && mean > DENSEST_LUNG_HU).then(|| {
        Warning::new(
            "lung_too_dense",
            format!(
                "what was taken for lung without infection has {mean:.0} HU on average, healthy lung has -900 to -600: either disease that fills \
                 the lungs evenly is missed, or the lung mask is wrong: look at the CT and at the masks before any number is used"
            ),
        )
    })
}

/// A remark on lung voxels that held no number, where the reader put the lowest value.
///
/// # Errors
/// Where there are too many.
pub(super) fn holes(holes: Option<&Holes>, lung: &LabelVolume) -> Result<Option<Warning>> {
    let Some(holes) = holes else { return Ok(None) };
    let between = between(holes, lung);
    let n = holes.count_in(lung) + between;
    if n == 0 {
        return Ok(None);
    }
    let percent = 100.0 * n as f64 / (lung.count_foreground() + between) as f64;
    if percent > MOST_WITHOUT_NUMBER {
        bail!(
            "{n} voxels in the lungs, {percent:.1} % of them, hold no number; at most {MOST_WITHOUT_NUMBER} % is measured, right would \
             be a CT without holes"
        );
    }
    let message = format!(
        "{n} voxels in the lungs, {percent:.2} % of them, hold no number; they count as air without infection"
    );
    Ok(Some(Warning::new("non_finite_in_lungs", message)))
}

/// Voxels without a number in which no lung was found, though it was in the same place of the nearest slices with lung
/// on both sides: no network finds lung where nothing is.
fn between(holes: &Holes, lung: &LabelVolume) -> usize {
    let [slices, height, width] = lung.shape();
    let with_lung: Vec<usize> = (0..slices).filter(|&z| lung.slice(z).iter().any(|l| *l != 0)).collect();
    let of_slice = |z: usize| {
        let below = with_lung.iter().rev().find(|&&s| s < z);
        let above = with_lung.iter().find(|&&s| s > z);
        let (Some(below), Some(above)) = (below, above) else { return 0 };
        let (below, own, above) = (lung.slice(*below), lung.slice(z), lung.slice(*above));
        let size = height * width;
        let lost = |&i: &usize| below[i] != 0 && above[i] != 0 && own[i] == 0 && holes.at(z * size + i);
        (0..size).filter(lost).count()
    };
    (0..slices).into_par_iter().map(of_slice).sum()
}

/// A remark where the lungs fill nearly all of the slices that show any: there is more body than lung in a chest, and
/// what is found is the rest of the picture, as where black and white are exchanged. `lung_voxels` are those of each
/// canonical slice.
pub(super) fn crowded(lung_voxels: &[usize], voxels_of_slice: usize) -> Option<Warning> {
    let with_lung: Vec<usize> = lung_voxels.iter().copied().filter(|&n| n > 0).collect();
    let share = with_lung.iter().sum::<usize>() as f64 / (with_lung.len() * voxels_of_slice).max(1) as f64;
    (share > HIGHEST_LUNG_SHARE).then(|| {
        Warning::new(
            "lung_share_unlikely",
            format!(
                "{:.0} % of the pictures was taken for lung, of a chest it is hardly ever more than {:.0} %: look at the lung mask, and \
                 whether black and white are exchanged, before any number is used",
                100.0 * share,
                100.0 * HIGHEST_LUNG_SHARE
            ),
        )
    })
}

/// A remark where a picture of grey is probably a negative: evenly bright at its border, as air is there, and black in
/// what was taken for lung. HU of the wrong sign are told when they are read.
pub(super) fn negative(ct: &CtVolume, lung: &LabelVolume, map: &AxisMap) -> Option<Warning> {
    let white = match ct.intensity.kind {
        IntensityKind::LungWindow8bit | IntensityKind::Contrast8bit => 255.0f32,
        IntensityKind::UnitRange => 1.0,
        _ => return None,
    };
    let [n, h, w] = map.canonical_shape(ct.voxels.shape());
    // Of each slice: the border's pixels by their shade, then pixels of lung, and those of them that are black.
    let of_slice = |(grey, mask): &mut (Vec<f32>, Vec<u8>), z: usize| {
        grey.resize(h * w, 0.0);
        mask.resize(h * w, 0);
        map.read_slice(&ct.voxels, z, grey);
        map.read_slice(lung, z, mask);
        let mut counts = [0u64; SHADES + 2];
        for (i, (v, l)) in grey.iter().zip(&*mask).enumerate() {
            if i < w || i >= (h - 1) * w || i % w == 0 || i % w == w - 1 {
                let shade = (v / white * (SHADES - 1) as f32).round().clamp(0.0, (SHADES - 1) as f32);
                counts[shade as usize] += 1;
            }
            counts[SHADES] += u64::from(*l != 0);
            counts[SHADES + 1] += u64::from(*l != 0 && *v <= BLACK * white);
        }
        counts
    };
    let sum = |a: [u64; SHADES + 2], b: [u64; SHADES + 2]| std::array::from_fn(|i| a[i] + b[i]);
    let counts = (0..n)
        .into_par_iter()
        .map_init(|| (Vec::new(), Vec::new()), of_slice)
        .reduce(|| [0; SHADES + 2], sum);
    let (border, [lungs, black]) = (&counts[..SHADES], [counts[SHADES], counts[SHADES + 1]]);
    let all: u64 = border.iter().sum();
    let mut passed = 0;
    let middle = border.iter().position(|n| {
        passed += n;
        2 * passed >= all
    })?;
    let alike: u64 = border[middle.saturating_sub(ALIKE)..(middle + ALIKE + 1).min(SHADES)].iter().sum();
    let air = middle as f32 > BRIGHT * SHADES as f32 && alike as f64 > EVEN * all as f64;
    (air && black as f64 > MOST_BLACK * lungs as f64).then(|| {
        Warning::new(
            "probably_negative",
            "the border of the picture is bright and what was taken for lung holds black: black and white are probably exchanged; right would be \
             dark air and bright bone: look at the CT before any number is used",
        )
    })
}

/// A remark where the pixels are too coarse for small infection, and for the networks.
pub(super) fn coarse(grid: &Grid, map: &AxisMap) -> Option<Warning> {
    let [_, y, x] = map.canonical(grid.trusted_spacing_mm()?);
    let mm = y.max(x);
    (mm > COARSEST_MM).then(|| {
        let message = format!(
            "the pixels are {mm:.1} mm wide, those of a chest CT are below 1 mm: small infection is lost in them, and healthy lung may be \
             called infected, from {COARSEST_MM} mm on"
        );
        Warning::new("coarse_pixels", message)
    })
}

/// Lungs that are much smaller or larger than those of adults, or infected nearly everywhere: more often the mask, the
/// spacing or the input is wrong than the patient so rare.
pub(super) fn unlikely(burden: &Burden, slices: usize) -> Vec<Warning> {
    let mut found = Vec::new();
    let whole = slices >= FEWEST_SLICES_OF_A_CHEST;
    if let Some(ml) = burden.lung.ml.filter(|ml| whole && *ml > 0.0 && !LUNG_ML.contains(ml)) {
        found.push(Warning::new(
            "lung_volume_unlikely",
            format!(
                "{ml:.0} ml of lung were found, lungs of adults in a whole chest CT hold {:.0} to {:.0}: look at the lung mask, \
                 the spacing and what of the chest the CT shows before any number is used",
                LUNG_ML.start(),
                LUNG_ML.end()
            ),
        ));
    }
    if let Some(percent) = burden.infection.percent_of_lung.filter(|p| *p > HIGHEST_PERCENT) {
        found.push(Warning::new(
            "burden_unlikely",
            format!(
                "{percent:.0} % of the lung were found infected, rarely seen even in the gravest disease: look at the CT and at both masks \
                 before the number is used"
            ),
        ));
    }
    found
}

/// A remark where the classifier and the infection mask give the whole scan opposite answers.
pub(super) fn contradiction(classification: &Classification, burden: &Burden) -> Option<Warning> {
    /// Percent of the lungs from which on the mask is said to show infection: a few voxels are not worth a remark.
    const SHOWS: f64 = 0.1;
    let shown = burden.infection.percent_of_lung.map_or(burden.infection.amount.voxels > 0, |p| p >= SHOWS);
    let message = match (classification.positive_slices, burden.infection.amount.voxels) {
        _ if classification.classified_slices == 0 => return None,
        (0, 1..) if shown => {
            "the infection mask shows infection, but the classifier calls no slice positive".to_owned()
        }
        (n @ 1.., 0) => format!("the classifier calls {n} slices positive, but the infection mask is empty"),
        _ => return None,
    };
    Some(Warning::new("classifier_contradicts_mask", message))
}

/// Codes of remarks after which no number is to be used before somebody has looked at the CT and the masks.
pub(crate) const DOUBTS: [&str; 17] = [
    "apex_below_base",
    "blurred",
    "burden_unlikely",
    "coarse_pixels",
    "hu_doubtful",
    "intensity_contradicted",
    "lone_lung",
    "lung_shape_unlikely",
    "lung_share_unlikely",
    "lung_too_dense",
    "lung_volume_unlikely",
    "lungs_not_side_by_side",
    "no_lung_found",
    "probably_negative",
    "spine_at_the_front",
    "streaks",
    "unknown_intensity",
];

/// Whether a remark of this code puts the numbers of an analysis in doubt.
pub(crate) fn is_doubt(code: &str) -> bool {
    DOUBTS.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::{SpacingTrust, Volume};

    /// A volume of so many slices that is lung all over, of which every nth voxel is infected.
    fn codes(slices: usize, spacing_mm: f64, nth: usize) -> Vec<String> {
        let shape = [slices, 10, 10];
        let lung = Volume::filled(shape, 1u8);
        let values = (0..slices * 100).map(|i| u8::from(i % nth == 0)).collect();
        let infection = Volume::from_vec(shape, values).unwrap();
        let spacing_mm = Some([spacing_mm; 3]);
        let grid = Grid { shape, spacing_mm, affine: None, trust: SpacingTrust::Trusted };
        let burden = gg_eval::burden(&lung, &infection, &grid, None, [0, 0]).value;
        unlikely(&burden, slices).into_iter().map(|w| w.code.to_string()).collect()
    }

    #[test]
    fn lungs_that_are_dense_all_over_are_remarked() {
        let shape = [2, 2, 2];
        let told = |hu: f32, kind: IntensityKind, infected: u8| {
            let voxels = Volume::filled(shape, hu);
            let grid = Grid::unknown(shape, "made by a test");
            let ct = CtVolume { voxels, grid, intensity: gg_volume::Intensity::stated(kind) };
            dense_lungs(&ct, &Volume::filled(shape, 1), &Volume::filled(shape, infected)).map(|w| w.message)
        };
        assert!(told(-540.0, IntensityKind::Hu, 0).unwrap().contains("has -540 HU on average"));
        assert_eq!(told(-560.0, IntensityKind::Hu, 0), None);
        assert_eq!(told(-540.0, IntensityKind::Hu, 1), None, "all of it is called infected");
        assert_eq!(told(-540.0, IntensityKind::Unknown, 0), None, "no HU");
    }

    #[test]
    fn negatives_are_remarked_and_pictures_within_the_body_are_not() {
        let shape = [2, 20, 20];
        let told = |border: f32, lungs: f32, kind: IntensityKind| {
            let at = |i: usize| (5..15).contains(&(i / 20 % 20)) && (5..15).contains(&(i % 20));
            let grey = (0..800).map(|i| if at(i) { lungs } else { border }).collect();
            let lung = (0..800).map(|i| u8::from(at(i))).collect();
            let grid = Grid::unknown(shape, "made by a test");
            let intensity = gg_volume::Intensity::stated(kind);
            let ct = CtVolume { voxels: Volume::from_vec(shape, grey).unwrap(), grid, intensity };
            negative(&ct, &Volume::from_vec(shape, lung).unwrap(), &AxisMap::IDENTITY).is_some()
        };
        assert!(told(200.0, 0.0, IntensityKind::LungWindow8bit) && told(0.9, 0.0, IntensityKind::UnitRange));
        assert!(!told(255.0, 40.0, IntensityKind::LungWindow8bit), "a picture that ends in the body");
        assert!(!told(0.0, 0.0, IntensityKind::LungWindow8bit), "emphysema");
        assert!(!told(100.0, 0.0, IntensityKind::LungWindow8bit), "a dark border");
        assert!(!told(200.0, 0.0, IntensityKind::Hu));
    }

    #[test]
    fn coarse_pixels_are_remarked_where_their_size_is_known() {
        let told = |spacing: [f64; 3], trust: SpacingTrust| {
            let grid = Grid { shape: [4, 8, 8], spacing_mm: Some(spacing), affine: None, trust };
            coarse(&grid, &AxisMap::IDENTITY).map(|w| w.message)
        };
        assert_eq!(told([8.0, 0.8, 0.8], SpacingTrust::Trusted), None);
        assert_eq!(told([1.0, 2.5, 2.5], SpacingTrust::Trusted), None);
        assert!(told([1.0, 3.5, 1.0], SpacingTrust::Trusted).unwrap().contains("3.5 mm wide"));
        assert_eq!(told([1.0, 3.5, 3.5], SpacingTrust::Untrusted("a guess".to_owned())), None);
    }

    #[test]
    fn lungs_that_fill_the_picture_are_remarked() {
        assert!(crowded(&[0, 50, 60, 0], 100).is_none());
        assert!(crowded(&[], 100).is_none() && crowded(&[0], 100).is_none());
        let told = crowded(&[0, 75, 75, 0], 100).unwrap();
        assert!(told.message.starts_with("75 % of the pictures"), "{}", told.message);
    }

    #[test]
    fn lungs_of_an_unlikely_volume_or_burden_are_remarked() {
        assert_eq!(codes(10, 15.0, 2), Vec::<String>::new(), "3.4 litres");
        assert_eq!(codes(10, 7.0, 2), ["lung_volume_unlikely"]);
        assert_eq!(codes(10, 25.0, 2), ["lung_volume_unlikely"]);
        assert_eq!(codes(2, 7.0, 2), Vec::<String>::new(), "two slices are no chest");
        assert_eq!(codes(10, 15.0, 1), ["burden_unlikely"]);
    }
}
