//! Where the spine lies: a header that calls the wrong side of the picture the back exchanges right and left, or says
//! nothing true.
//!
//! In the middle third of the lungs' width, where there is less lung than beside it, bone is counted in the tenth of
//! their depth at the back and beyond, and in the same at the front: the spine has more of it than the breastbone.
//! Contrast in the heart and the great vessels, as bright as bone, lies between the two.

use gg_volume::{AxisMap, CtVolume, IntensityKind, LabelVolume, Warning};
use rayon::prelude::*;

/// Bone, and little else there.
const BONE_HU: f32 = 300.0;
/// Fewer pixels of lung, or of bone at front and back together, say nothing of a slice.
const FEWEST_LUNG: usize = 200;
const FEWEST_BONE: usize = 10;
/// How far the counts reach into the lungs' depth, and beyond it, as shares of it.
const WITHIN: f64 = 0.1;
const BEYOND: f64 = 0.3;
/// Fewer slices that say something tell nothing, nor does a smaller share of them with the spine at the front: single
/// slices are wrong now and then (11 of 138 in `P001`, 4 of 44 in a third of `normal001`; in `lungs2d`, of which many
/// have contrast, 4 of 213, and those four lie prone).
const FEWEST_SLICES: usize = 8;
const SHARE: f64 = 0.75;

/// A remark (`spine_at_the_front`) where the spine lies at the side that the orientation calls the front. Only HU tell.
pub fn check_spine(ct: &CtVolume, lung: &LabelVolume, map: &AxisMap) -> Option<Warning> {
    if ct.intensity.kind != IntensityKind::Hu {
        return None;
    }
    let [n, h, w] = map.canonical_shape(ct.voxels.shape());
    let of_slice = |(hu, mask): &mut (Vec<f32>, Vec<u8>), z: usize| {
        mask.resize(h * w, 0);
        map.read_slice(lung, z, mask);
        if mask.iter().filter(|l| **l != 0).count() < FEWEST_LUNG {
            return None;
        }
        hu.resize(h * w, 0.0);
        map.read_slice(&ct.voxels, z, hu);
        front_of(hu, mask, w)
    };
    let told: Vec<bool> =
        (0..n).into_par_iter().map_init(|| (Vec::new(), Vec::new()), of_slice).flatten().collect();
    let front = told.iter().filter(|front| **front).count();
    (told.len() >= FEWEST_SLICES && front as f64 >= SHARE * told.len() as f64).then(|| {
        Warning::new(
            "spine_at_the_front",
            format!(
                "in {front} of {} slices the spine lies where the orientation of the CT has the front: the picture is turned by half or \
                 mirrored against its header, so that sides, zones and severity are not known; --orientation states how it lies",
                told.len()
            ),
        )
    })
}

/// Whether more bone lies at the front of a canonical slice than at its back; `None` where there is next to none.
fn front_of(hu: &[f32], lung: &[u8], width: usize) -> Option<bool> {
    let pixels = || lung.iter().enumerate().filter(|(_, l)| **l != 0).map(|(i, _)| i);
    let [left, right] = middle_of(pixels().map(|i| i % width), width);
    let [top, bottom] = middle_of(pixels().map(|i| i / width), lung.len() / width);
    let (across, down) = (right - left, bottom - top);
    let columns = (left + across / 3.0) as usize..(right - across / 3.0) as usize;
    // A lone lung has no middle where another bone than its own ribs lies.
    let lung_in = |x: usize| lung.iter().skip(x).step_by(width).filter(|l| **l != 0).count();
    let most = (left as usize..=right as usize).map(lung_in).max().unwrap_or(0);
    if 2 * lung_in(((left + right) / 2.0) as usize) > most {
        return None;
    }
    let bone = |from: f64, to: f64| {
        let rows = from.max(0.0) as usize..(to.max(0.0) as usize).min(lung.len() / width);
        rows.flat_map(|y| columns.clone().map(move |x| y * width + x)).filter(|&i| hu[i] > BONE_HU).count()
    };
    let back = bone(bottom - WITHIN * down, bottom + BEYOND * down);
    let front = bone(top - BEYOND * down, top + WITHIN * down);
    (front + back >= FEWEST_BONE).then_some(front > back)
}

/// The first and the last place of some, without the outermost hundredth at either end.
fn middle_of(places: impl Iterator<Item = usize>, end: usize) -> [f64; 2] {
    let mut counts = vec![0usize; end + 1];
    places.for_each(|place| counts[place] += 1);
    let all: usize = counts.iter().sum();
    [first_of(&counts, all, 0..=end), first_of(&counts, all, (0..=end).rev())]
}

/// The first place, in this order, at which more than a hundredth of all were passed.
fn first_of(counts: &[usize], all: usize, mut order: impl Iterator<Item = usize>) -> f64 {
    let mut passed = 0;
    let found = order.find(|&place| {
        passed += counts[place];
        100 * passed > all
    });
    found.unwrap_or(0) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::{Grid, Intensity, Volume};

    const SHAPE: [usize; 3] = [10, 60, 60];

    /// Two lungs with bone between them: in so many slices at the front, in the others at the back.
    fn chest(front: usize, kind: IntensityKind) -> (CtVolume, LabelVolume) {
        let [n, h, w] = SHAPE;
        let (mut hu, mut lung) = (Vec::new(), Vec::new());
        for i in 0..n * h * w {
            let (z, y, x) = (i / (h * w), i / w % h, i % w);
            let inside = (15..45).contains(&y) && ((10..25).contains(&x) || (35..50).contains(&x));
            let rows = if z < front { 10..16 } else { 42..50 };
            let bone = rows.contains(&y) && (27..33).contains(&x);
            hu.push(if bone {
                700.0
            } else if inside {
                -850.0
            } else {
                40.0
            });
            lung.push(u8::from(inside));
        }
        let grid = Grid::unknown(SHAPE, "made by a test");
        let ct = CtVolume {
            voxels: Volume::from_vec(SHAPE, hu).unwrap(),
            grid,
            intensity: Intensity::stated(kind),
        };
        (ct, Volume::from_vec(SHAPE, lung).unwrap())
    }

    #[test]
    fn a_spine_at_the_front_of_most_slices_is_told() {
        let told = |front: usize, kind: IntensityKind| {
            let (ct, lung) = chest(front, kind);
            check_spine(&ct, &lung, &AxisMap::IDENTITY).map(|w| w.message)
        };
        assert_eq!(told(0, IntensityKind::Hu), None);
        assert_eq!(told(7, IntensityKind::Hu), None);
        assert!(told(8, IntensityKind::Hu).unwrap().starts_with("in 8 of 10 slices"));
        assert_eq!(told(10, IntensityKind::LungWindow8bit), None, "no HU");
        // The same picture under an orientation that has the front below.
        let (ct, lung) = chest(0, IntensityKind::Hu);
        let turned = AxisMap::from_orientation(gg_volume::Orientation::parse("RAS").unwrap());
        assert!(check_spine(&ct, &lung, &turned).is_some());
        // Heart and vessels full of contrast lie between the two.
        let (mut ct, lung) = chest(0, IntensityKind::Hu);
        let bright = |i: usize| (24..36).contains(&(i / 60 % 60)) && (26..34).contains(&(i % 60));
        ct.voxels.data_mut().iter_mut().enumerate().filter(|(i, _)| bright(*i)).for_each(|(_, v)| *v = 500.0);
        assert_eq!(check_spine(&ct, &lung, &AxisMap::IDENTITY), None);
    }

    #[test]
    fn slices_without_bone_or_lung_say_nothing() {
        let (mut ct, lung) = chest(10, IntensityKind::Hu);
        ct.voxels.data_mut().iter_mut().for_each(|v| *v = v.min(200.0));
        assert_eq!(check_spine(&ct, &lung, &AxisMap::IDENTITY), None);
        let (ct, lung) = chest(10, IntensityKind::Hu);
        let none = Volume::filled(lung.shape(), 0u8);
        assert_eq!(check_spine(&ct, &none, &AxisMap::IDENTITY), None);
        let lone = (0..lung.len()).map(|i| u8::from(lung.data()[i] != 0 && i % 60 < 30)).collect();
        let lone = Volume::from_vec(lung.shape(), lone).unwrap();
        assert_eq!(check_spine(&ct, &lone, &AxisMap::IDENTITY), None);
    }
}
