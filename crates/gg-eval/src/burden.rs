//! How much of the lungs is infected: in voxels, millilitres and percent, by side and by zone, and as a score.
//!
//! Rules:
//! * counted on the grid of the masks, voxel by voxel; any label of the infection mask but 0 is infection;
//! * infection outside the lung mask is not part of the burden; it is counted apart;
//! * millilitres only from a trusted grid, else `null` with the reason;
//! * sides come from geometry: the label of a lung only tells the two lungs apart, which one lies to the patient's
//!   right follows from the axes. A mask with one label for both lungs is split by its shape;
//! * zones are thirds of each lung's own height (slice centres), along the stored axis nearest to feet-head;
//! * without a known orientation there are no sides and no zones; without a lung no percentages;
//! * a lung that reaches the first or last slice that shows anything with much of its width has no known height, and so
//!   no thirds;
//! * lungs that lie one in front of the other have no sides: the picture is turned.

use crate::severity::Severity;
use crate::sides::Lungs;
use crate::zones::{Zone, cut_off, zones};
use gg_volume::{AxisMap, Grid, LabelVolume, Warned, Warning};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A volume in voxels and, where the grid is trusted, in millilitres.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Amount {
    /// Number of voxels.
    pub voxels: u64,
    /// Millilitres.
    pub ml: Option<f64>,
    /// Why there are no millilitres.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ml_reason: Option<String>,
}

/// Infection within a part of the lung.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Infected {
    /// Its volume.
    #[serde(flatten)]
    pub amount: Amount,
    /// Its share of the part; `None` where the part holds no lung.
    pub percent_of_lung: Option<f64>,
}

/// A part of the lungs and the infection in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// All of it, infected or not.
    pub lung: Amount,
    /// The infected share.
    pub infection: Infected,
}

/// Both lungs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sides {
    /// The patient's right lung.
    pub right: Part,
    /// The patient's left lung.
    pub left: Part,
}

/// The burden of infection of one scan, as it stands in `analysis.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Burden {
    /// Both lungs together.
    pub lung: Amount,
    /// Infection within the lungs.
    pub infection: Infected,
    /// Infection outside the lung mask, which counts nowhere else.
    pub infection_outside_lung: Amount,
    /// By side; `None` where the sides are unknown.
    pub sides: Option<Sides>,
    /// Why the sides are unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sides_reason: Option<String>,
    /// Right upper, middle, lower, then left; `None` where they are unknown.
    pub zones: Option<Vec<Zone>>,
    /// Why the zones are unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zones_reason: Option<String>,
    /// Score out of the six zones.
    pub severity: Severity,
}

/// Fewer slices show no whole lung, and nobody expects it.
const FEWEST_SLICES: usize = 3;

/// Counts of one slice by label of the lung mask: `[lung, infection]`; label 0 is outside.
pub(crate) type LabelCounts = [[u64; 2]; 3];

/// Measures the burden.
///
/// # Shape
/// Both masks as stored, of the grid's shape. `lung`: any labels but 0; two labels are the two lungs, in any order.
/// `map`: `None` where the orientation is unknown. `padding`: how many canonical slices at the feet and at the head
/// show nothing.
pub fn burden(
    lung: &LabelVolume,
    infection: &LabelVolume,
    grid: &Grid,
    map: Option<&AxisMap>,
    padding: [usize; 2],
) -> Warned<Burden> {
    let mut warnings = Vec::new();
    let lungs = Lungs::new(lung, map);
    let slices = count(lungs.mask(lung), infection, map, &lungs.kinds);
    let head = slices.len().saturating_sub(padding[1]);
    let shown = &slices[padding[0].min(head)..head];
    let ml = grid.voxel_ml();
    let measure = Measure { ml: ml.as_ref().ok().copied() };
    let total = |label: usize, what: usize| slices.iter().map(|s| s[label][what]).sum::<u64>();
    let counts = [total(1, 0) + total(2, 0), total(1, 1) + total(2, 1)];
    let mut both = measure.part(counts);
    let reason = ml.err();
    both.lung.ml_reason.clone_from(&reason);
    both.infection.amount.ml_reason.clone_from(&reason);
    let mut outside = measure.amount(total(0, 1));
    outside.ml_reason = reason;
    if counts[0] == 0 {
        warnings.push(Warning::new("no_lung_found", "no lung was found: percentages have no value"));
    }
    if total(0, 1) > 0 {
        warnings.push(Warning::new(
            "infection_outside_lung",
            format!("{} voxels of infection lie outside the lung mask and are not counted", total(0, 1)),
        ));
    }
    warnings.extend(beyond_the_slices(shown));
    warnings.extend(lungs.turned());
    warnings.extend(lungs.alone());
    let sides = lungs.order(counts[0]);
    if let Ok([right, left]) = sides
        && (total(right, 0) == 0) != (total(left, 0) == 0)
    {
        let name = if total(right, 0) == 0 { "right" } else { "left" };
        warnings.push(Warning::new("one_lung_found", format!("no {name} lung was found")));
    }
    let zones = sides.clone().and_then(|order| zones(shown, order, &measure));
    let severity = Severity::new(zones.clone().and_then(|zones| {
        let scores: Option<Vec<u8>> = zones.iter().map(|z| z.score).collect();
        scores.map(|s| s.iter().sum()).ok_or_else(|| "a zone holds no lung".to_owned())
    }));
    let parts = sides.map(|[right, left]| Sides {
        right: measure.part([total(right, 0), total(right, 1)]),
        left: measure.part([total(left, 0), total(left, 1)]),
    });
    let value = Burden {
        lung: both.lung,
        infection: both.infection,
        infection_outside_lung: outside,
        sides_reason: parts.as_ref().err().cloned(),
        sides: parts.ok(),
        zones_reason: zones.as_ref().err().cloned(),
        zones: zones.ok(),
        severity,
    };
    Warned::new(value, warnings)
}

/// A remark where lungs reach the first or last slice. One or two slices show no whole lung anyway.
fn beyond_the_slices(slices: &[LabelCounts]) -> Option<Warning> {
    if slices.len() < FEWEST_SLICES {
        return None;
    }
    let ends = [1, 2].map(|label| cut_off(&slices.iter().map(|s| s[label][0]).collect::<Vec<_>>()));
    let end = match [0, 1].map(|end| ends.iter().any(|lung| lung[end])) {
        [false, false] => return None,
        [true, false] => "first slice (at the feet, where the orientation is known)",
        [false, true] => "last slice (at the head, where the orientation is known)",
        [true, true] => "first and the last slice",
    };
    Some(Warning::new(
        "lungs_cut_off",
        format!(
            "lung reaches the {end} with much of its width: the CT cuts it off there, and all that is said of the lungs is said of \
             the part that it shows, or something else was taken for lung"
        ),
    ))
}

/// Counts of each canonical slice; `kinds` gives 1 or 2 for each label of the lung mask but 0.
fn count(
    lung: &LabelVolume,
    infection: &LabelVolume,
    map: Option<&AxisMap>,
    kinds: &[u8; 256],
) -> Vec<LabelCounts> {
    let map = map.copied().unwrap_or(AxisMap::IDENTITY);
    let [nz, ny, nx] = map.canonical_shape(lung.shape());
    let slice = |z: usize| {
        let (mut l, mut i) = (vec![0u8; ny * nx], vec![0u8; ny * nx]);
        map.read_slice(lung, z, &mut l);
        map.read_slice(infection, z, &mut i);
        let mut counts = LabelCounts::default();
        for (&l, &i) in l.iter().zip(&i) {
            let kind = if l == 0 { 0 } else { usize::from(kinds[usize::from(l)]) };
            counts[kind][0] += 1;
            counts[kind][1] += u64::from(i != 0);
        }
        counts
    };
    (0..nz).into_par_iter().map(slice).collect()
}

/// Turns counts into amounts.
pub(crate) struct Measure {
    ml: Option<f64>,
}

impl Measure {
    fn amount(&self, voxels: u64) -> Amount {
        Amount { voxels, ml: self.ml.map(|ml| ml * voxels as f64), ml_reason: None }
    }

    pub(crate) fn part(&self, [lung, infection]: [u64; 2]) -> Part {
        let percent_of_lung = (lung > 0).then(|| 100.0 * infection as f64 / lung as f64);
        Part {
            lung: self.amount(lung),
            infection: Infected { amount: self.amount(infection), percent_of_lung },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_phantom::{Phantom, PhantomSpec, cohort, phantom};
    use gg_volume::{Orientation, SpacingTrust, Volume};

    const SHAPE: [usize; 3] = [30, 72, 72];

    #[test]
    fn a_lone_lung_has_a_side_only_well_beside_the_middle_of_the_picture() {
        let at = |from: usize| {
            let mut lung = Volume::filled([7, 6, 40], 0u8);
            for z in 1..6 {
                for row in lung.slice_mut(z).chunks_exact_mut(40).skip(1).take(4) {
                    row[from..from + 8].fill(1);
                }
            }
            let grid = Grid::unknown([7, 6, 40], "made for a test");
            burden(&lung, &lung, &grid, Some(&AxisMap::IDENTITY), [0, 0])
        };
        let found = [4, 18, 28].map(at);
        let remarked = |of: &Warned<Burden>| of.warnings.iter().any(|w| w.code == "lone_lung");
        assert_eq!(found.each_ref().map(remarked), [false, true, false]);
        let [right, middle, left] = found.map(|of| of.value);
        assert!(right.sides.is_some_and(|s| s.right.lung.voxels > 0 && s.left.lung.voxels == 0));
        assert!(left.sides.is_some_and(|s| s.left.lung.voxels > 0 && s.right.lung.voxels == 0));
        assert!(middle.sides.is_none() && middle.zones.is_none() && middle.lung.voxels > 0);
        assert!(middle.sides_reason.unwrap().starts_with("one lung alone was found"));
    }

    #[test]
    fn lungs_one_in_front_of_the_other_have_no_sides() {
        let lung_at = |at: fn(usize) -> [usize; 2]| {
            let mut lung = Volume::filled([7, 20, 20], 0u8);
            for z in 1..6 {
                for (i, label) in [1, 2].into_iter().enumerate() {
                    let [y, x] = at(i);
                    (y..y + 6).for_each(|y| lung.slice_mut(z)[y * 20 + x..y * 20 + x + 6].fill(label));
                }
            }
            let grid = Grid::unknown([7, 20, 20], "made for a test");
            burden(&lung, &lung, &grid, Some(&AxisMap::IDENTITY), [0, 0])
        };
        let beside = lung_at(|i| [7, 2 + 10 * i]);
        assert!(beside.value.sides.is_some() && beside.warnings.is_empty(), "{:?}", beside.warnings);
        let turned = lung_at(|i| [2 + 10 * i, 7]);
        assert!(turned.value.zones.is_none() && turned.value.severity.score.is_none());
        assert!(turned.value.sides_reason.unwrap().starts_with("one lung lies in front of the other"));
        assert_eq!(turned.warnings[0].code, "lungs_not_side_by_side");
        assert!(
            turned.warnings[0].message.contains("in 5 of the 5 slices"),
            "{}",
            turned.warnings[0].message
        );
        // A lone lung in two pieces in one of many slices is no turned picture.
        let mut lone = Volume::filled([30, 20, 20], 0u8);
        for z in 1..29 {
            (4..16).for_each(|y| lone.slice_mut(z)[y * 20 + 2..y * 20 + 6].fill(1));
        }
        lone.slice_mut(14)[9 * 20..11 * 20].fill(0);
        let grid = Grid::unknown([30, 20, 20], "made for a test");
        let found = burden(&lone, &lone, &grid, Some(&AxisMap::IDENTITY), [0, 0]);
        assert!(found.value.sides.is_some_and(|s| s.left.lung.voxels == 0), "{:?}", found.warnings);
    }

    fn measured(p: &Phantom) -> Burden {
        burden(&p.lung, &p.infection, &p.ct.grid, Some(&p.ct.grid.axis_map()), [0, 0]).value
    }

    fn close(found: f64, expected: f64, share: f64) {
        assert!((found - expected).abs() <= share * expected.abs().max(1e-9), "{found}, expected {expected}");
    }

    #[test]
    fn millilitres_and_percentages_are_those_of_the_phantoms() {
        for spec in cohort(5, 6, SHAPE) {
            let p = phantom(&spec);
            let b = measured(&p);
            close(b.lung.ml.unwrap(), p.truth.lung_ml, 0.02);
            close(b.infection.amount.ml.unwrap(), p.truth.infection_ml, 0.02);
            close(b.infection.percent_of_lung.unwrap(), p.truth.percent_of_lung, 1e-9);
            let sides = b.sides.unwrap();
            assert_eq!([sides.right.lung.voxels, sides.left.lung.voxels], p.truth.lung_voxels);
            let infected = [sides.right, sides.left].map(|s| s.infection.amount.voxels);
            assert_eq!(infected, p.truth.infection_voxels);
            let zones = b.zones.unwrap();
            assert_eq!(zones.iter().map(|z| z.part.lung.voxels).sum::<u64>(), b.lung.voxels);
            assert_eq!(zones.iter().map(|z| z.score.unwrap()).sum::<u8>(), b.severity.score.unwrap());
            assert_eq!(b.severity.score == Some(0), !spec.infected());
        }
    }

    #[test]
    fn sides_and_zones_come_from_geometry_and_not_from_label_numbers() {
        let p = phantom(&PhantomSpec::new(3, SHAPE, 15.0));
        let expected = measured(&p);
        let map = p.ct.grid.axis_map();
        for relabel in [|l| [0, 2, 1][usize::from(l)], |l: u8| l * 90] {
            let lung = p.lung.map(relabel);
            assert_eq!(burden(&lung, &p.infection, &p.ct.grid, Some(&map), [0, 0]).value, expected);
        }
    }

    #[test]
    fn a_mask_with_one_label_is_split_by_its_shape() {
        let p = phantom(&PhantomSpec::new(3, SHAPE, 15.0));
        let expected = measured(&p).sides.unwrap();
        let one = p.lung.map(|l| u8::from(l != 0));
        let found =
            burden(&one, &p.infection, &p.ct.grid, Some(&p.ct.grid.axis_map()), [0, 0]).value.sides.unwrap();
        close(found.right.lung.ml.unwrap(), expected.right.lung.ml.unwrap(), 0.01);
        close(found.left.lung.ml.unwrap(), expected.left.lung.ml.unwrap(), 0.01);
    }

    #[test]
    fn a_volume_stored_in_another_order_has_the_same_burden() {
        let p = phantom(&PhantomSpec::new(8, SHAPE, 20.0));
        let expected = measured(&p);
        for text in ["RAS", "LPI", "PSL", "IRA"] {
            let map = AxisMap::from_orientation(Orientation::parse(text).unwrap());
            let mut shape = [0; 3];
            (0..3).for_each(|c| shape[map.axis[c]] = SHAPE[c]);
            let store = |from: &LabelVolume| {
                let mut to = Volume::filled(shape, 0u8);
                (0..SHAPE[0]).for_each(|z| map.write_slice(&mut to, z, from.slice(z)));
                to
            };
            let mut grid = p.ct.grid.clone();
            grid.shape = shape;
            let found = burden(&store(&p.lung), &store(&p.infection), &grid, Some(&map), [0, 0]).value;
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn without_orientation_or_trust_there_are_reasons_in_place_of_numbers() {
        let p = phantom(&PhantomSpec::new(8, SHAPE, 20.0));
        let mut grid = p.ct.grid.clone();
        grid.trust = SpacingTrust::Untrusted("the header states no unit".into());
        let b = burden(&p.lung, &p.infection, &grid, None, [0, 0]).value;
        assert_eq!(b.lung.ml, None);
        assert_eq!(b.lung.ml_reason.as_deref(), Some("the header states no unit"));
        close(b.infection.percent_of_lung.unwrap(), p.truth.percent_of_lung, 1e-9);
        assert_eq!((b.sides.is_none(), b.zones.is_none(), b.severity.score), (true, true, None));
        assert_eq!(b.sides_reason.as_deref(), Some("the orientation is unknown"));
    }

    #[test]
    fn without_a_lung_percentages_are_null_and_a_warning_says_so() {
        let none = Volume::filled(SHAPE, 0u8);
        let mut infection = none.clone();
        infection.data_mut()[7] = 1;
        let grid = Grid::unknown(SHAPE, "made for a test");
        let found = burden(&none, &infection, &grid, Some(&AxisMap::IDENTITY), [0, 0]);
        let codes: Vec<&str> = found.warnings.iter().map(|w| w.code.as_str()).collect();
        assert_eq!(codes, ["no_lung_found", "infection_outside_lung"]);
        let b = found.value;
        assert_eq!((b.infection.percent_of_lung, b.infection.amount.voxels), (None, 0));
        assert_eq!((b.infection_outside_lung.voxels, b.severity.score), (1, None));
        assert_eq!(b.zones_reason.as_deref(), Some("no lung was found"));
    }

    #[test]
    fn infection_outside_the_lung_is_counted_apart() {
        let p = phantom(&PhantomSpec::new(8, SHAPE, 20.0));
        let all = Volume::filled(SHAPE, 1u8);
        let b = burden(&p.lung, &all, &p.ct.grid, Some(&AxisMap::IDENTITY), [0, 0]).value;
        assert_eq!(b.infection.percent_of_lung, Some(100.0));
        assert_eq!(b.severity.score, Some(24));
        assert_eq!(b.infection_outside_lung.voxels + b.lung.voxels, all.len() as u64);
    }

    #[test]
    fn one_slice_has_sides_but_no_zones() {
        let lung = Volume::from_vec([1, 1, 6], vec![0, 1, 1, 0, 2, 2]).unwrap();
        let infection = Volume::from_vec([1, 1, 6], vec![0, 1, 0, 0, 0, 0]).unwrap();
        let grid = Grid::unknown([1, 1, 6], "a picture");
        let b = burden(&lung, &infection, &grid, Some(&AxisMap::IDENTITY), [0, 0]).value;
        assert_eq!(b.sides.unwrap().right.infection.percent_of_lung, Some(50.0));
        assert_eq!((b.zones, b.severity.score), (None, None));
    }

    #[test]
    fn the_burden_survives_json() {
        let p = phantom(&PhantomSpec::new(8, SHAPE, 20.0));
        let b = measured(&p);
        let text = serde_json::to_string(&b).unwrap();
        assert!(text.contains("\"percent_of_lung\"") && text.contains("\"third\":\"upper\""), "{text}");
        assert_eq!(serde_json::from_str::<Burden>(&text).unwrap(), b);
    }
}
