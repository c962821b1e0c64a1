//! Warnings where the shape of the lungs says that the CT shows them otherwise than it should.

use gg_volume::{AxisMap, Grid, LabelVolume, Warning};
use rayon::prelude::*;

/// A slice is cut at a side where its lung meets the border along more than this share of the root of its area.
const MET: f64 = 0.12;
/// What part of the side the border is: 3 to 4 mm of a chest CT, less than any chest wall.
const BORDER: usize = 100;
/// Slices with lung of which at least this share is cut are no accident.
const CUT_SLICES: f64 = 0.1;

/// Height of the lungs as a multiple of their depth from front to back, which one lung alone has too: `P001` 1.3,
/// `normal001` 1.6.
const PROPORTIONS: std::ops::RangeInclusive<f64> = 0.5..=2.4;
/// Fewer slices show no whole lung.
const FEWEST_SLICES: usize = 3;

/// A warning (`lungs_cut_at_side`) where the field of view ends amid the lungs.
///
/// # Shape
/// `lung` as stored; any label but 0 is lung.
pub fn check_field_of_view(lung: &LabelVolume, map: &AxisMap) -> Option<Warning> {
    let [nz, ny, nx] = map.canonical_shape(lung.shape());
    let of_slice = |slice: &mut Vec<u8>, z: usize| {
        slice.resize(ny * nx, 0);
        map.read_slice(lung, z, slice);
        let area = slice.iter().filter(|&&l| l != 0).count();
        let column = |x: usize| slice.iter().skip(x).step_by(nx).filter(|&&l| l != 0).count();
        let row = |y: usize| slice[y * nx..(y + 1) * nx].iter().filter(|&&l| l != 0).count();
        // The mask thins out towards the border: what lies within a hundredth of the side counts as on it.
        let near = |n: usize| (0..=n / BORDER).chain(n - 1 - n / BORDER..n);
        let longest = match area {
            0 => 0,
            _ => near(nx).map(column).chain(near(ny).map(row)).max()?,
        };
        Some((area > 0, longest as f64 > MET * (area as f64).sqrt()))
    };
    let found: Vec<(bool, bool)> = (0..nz).into_par_iter().map_init(Vec::new, of_slice).flatten().collect();
    let count = |pick: fn(&(bool, bool)) -> bool| found.iter().filter(|f| pick(f)).count();
    let (with_lung, cut) = (count(|f| f.0), count(|f| f.1));
    (cut > 0 && cut as f64 >= CUT_SLICES * with_lung as f64).then(|| {
        Warning::new(
            "lungs_cut_at_side",
            format!(
                "the picture ends amid the lungs in {cut} of {with_lung} slices: what is said of the lungs is said of the part that \
                 the CT shows"
            ),
        )
    })
}

/// A warning (`lung_shape_unlikely`) where the lungs of a CT that shows them whole are much lower or higher than deep,
/// as where the distance of slices or pixels is not what the header says. Only a trusted grid tells.
///
/// # Shape
/// `lung` as stored; any label but 0 is lung.
pub fn check_proportions(lung: &LabelVolume, grid: &Grid, map: &AxisMap) -> Option<Warning> {
    let spacing = map.canonical(grid.trusted_spacing_mm()?);
    let [nz, ny, nx] = map.canonical_shape(lung.shape());
    let of_slice = |slice: &mut Vec<u8>, z: usize| {
        slice.resize(ny * nx, 0);
        map.read_slice(lung, z, slice);
        let first = slice.iter().position(|l| *l != 0)?;
        Some([first / nx, slice.iter().rposition(|l| *l != 0)? / nx])
    };
    let found: Vec<Option<[usize; 2]>> = (0..nz).into_par_iter().map_init(Vec::new, of_slice).collect();
    let (first, last) = (found.iter().position(Option::is_some)?, found.iter().rposition(Option::is_some)?);
    let rows = found.iter().flatten().copied().reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])])?;
    let high = (last + 1 - first) as f64 * spacing[0];
    let deep = (rows[1] + 1 - rows[0]) as f64 * spacing[1];
    (nz >= FEWEST_SLICES && !PROPORTIONS.contains(&(high / deep))).then(|| {
        Warning::new(
            "lung_shape_unlikely",
            format!(
                "the lungs are {high:.0} mm high and {deep:.0} mm deep from front to back, lungs in a whole chest CT are about one and a half times as \
                 high as deep: the distance of slices or of pixels is probably another than the header says, look at it before any \
                 millilitres are used"
            ),
        )
    })
}

/// A warning (`apex_below_base`) where the apices of the lungs lie at the end that the header calls the feet, as
/// [`gg_imaging::apex_base_check`] measures it.
///
/// # Shape
/// `lung` as stored; any label but 0 is lung.
pub fn check_apex(lung: &LabelVolume, map: &AxisMap) -> Option<Warning> {
    gg_imaging::apex_base_check(lung, map).filter(|found| !found.agrees).map(|_| {
        Warning::new(
            "apex_below_base",
            "the lungs are wider at the end that is said to be the head: the slices probably run the other way, and \
             upper and lower, and with them right and left, may be exchanged",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_phantom::{cohort, phantom};
    use gg_volume::{Orientation, SpacingTrust};

    #[test]
    fn phantoms_agree_with_their_header_and_contradict_a_turned_one() {
        let turned = AxisMap::from_orientation(Orientation::parse("LPI").unwrap());
        let coarse = (1..=5).flat_map(|seed| cohort(seed, 8, [24, 64, 64]));
        let fine = (1..=5).flat_map(|seed| cohort(seed, 2, [64, 64, 64]));
        for spec in coarse.chain(fine) {
            let p = phantom(&spec);
            assert_eq!(check_apex(&p.lung, &p.ct.grid.axis_map()), None);
            assert_eq!(check_apex(&p.lung, &turned).map(|w| w.code).as_deref(), Some("apex_below_base"));
        }
    }

    #[test]
    fn lungs_that_meet_the_border_are_cut() {
        let p = phantom(&cohort(1, 1, [24, 64, 64])[0]);
        let map = p.ct.grid.axis_map();
        assert_eq!(check_field_of_view(&p.lung, &map), None);
        let [n, h, w] = p.lung.shape();
        let half = p.lung.data().chunks_exact(w).flat_map(|row| row[w / 4..3 * w / 4].to_vec()).collect();
        let half = LabelVolume::from_vec([n, h, w / 2], half).unwrap();
        let told = check_field_of_view(&half, &map).map(|w| w.code);
        assert_eq!(told.as_deref(), Some("lungs_cut_at_side"));
        assert_eq!(check_field_of_view(&LabelVolume::filled([4, 3, 3], 0), &AxisMap::IDENTITY), None);
        assert_eq!(check_field_of_view(&LabelVolume::filled([0, 0, 0], 0), &AxisMap::IDENTITY), None);
    }

    #[test]
    fn lungs_that_are_flat_or_tall_are_told() {
        let p = phantom(&cohort(1, 1, [24, 64, 64])[0]);
        let map = p.ct.grid.axis_map();
        let told = |slices: f64, pixels: f64, trust: SpacingTrust| {
            let mut grid = p.ct.grid.clone();
            let [z, y, x] = grid.spacing_mm.unwrap();
            (grid.spacing_mm, grid.trust) = (Some([slices * z, pixels * y, pixels * x]), trust);
            check_proportions(&p.lung, &grid, &map).map(|w| w.code.to_string())
        };
        let unlikely = Some("lung_shape_unlikely".to_owned());
        assert_eq!(told(1.0, 1.0, SpacingTrust::Trusted), None);
        assert_eq!(told(0.2, 1.0, SpacingTrust::Trusted), unlikely);
        assert_eq!(told(1.0, 0.4, SpacingTrust::Trusted), unlikely);
        assert_eq!(told(2.0, 2.0, SpacingTrust::Trusted), None, "a large chest is no flat one");
        assert_eq!(told(0.2, 1.0, SpacingTrust::Untrusted("a guess".to_owned())), None);
        let none = LabelVolume::filled(p.lung.shape(), 0);
        assert_eq!(check_proportions(&none, &p.ct.grid, &map), None);
    }

    #[test]
    fn a_few_slices_and_an_empty_mask_say_nothing() {
        for shape in [[3, 4, 4], [0, 0, 0], [20, 4, 4]] {
            assert_eq!(check_apex(&LabelVolume::filled(shape, 0), &AxisMap::IDENTITY), None);
        }
    }
}
