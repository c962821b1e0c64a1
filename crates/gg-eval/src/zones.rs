//! The six zones: thirds of each lung's own height, by slice centres, along the stored axis nearest to feet-head.

use crate::burden::{LabelCounts, Measure, Part};
use crate::severity::zone_score;
use serde::{Deserialize, Serialize};

/// A side of the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The patient's right.
    Right,
    /// The patient's left.
    Left,
}

/// A third of a lung's height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Third {
    /// Towards the head.
    Upper,
    /// Between the two.
    Middle,
    /// Towards the feet.
    Lower,
}

/// One of six zones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Which lung.
    pub side: Side,
    /// Which third of it.
    pub third: Third,
    /// What is in it.
    #[serde(flatten)]
    pub part: Part,
    /// 0 to 4; `None` where the zone holds no lung.
    pub score: Option<u8>,
}

/// A lung whose first or last slice holds more than this share of its largest one goes on beyond the CT, or is none
/// there: apices and bases taper.
const CUT_OFF: f64 = 0.25;

/// Which end of the CT cuts a lung off, by its voxels in each canonical slice: the feet's, the head's.
pub(crate) fn cut_off(areas: &[u64]) -> [bool; 2] {
    let largest = areas.iter().copied().max().unwrap_or(0) as f64;
    [areas.first(), areas.last()].map(|end| end.is_some_and(|&end| end as f64 > CUT_OFF * largest))
}

/// The six zones, or why there are none.
pub(crate) fn zones(
    slices: &[LabelCounts],
    order: [usize; 2],
    measure: &Measure,
) -> Result<Vec<Zone>, String> {
    const THIRDS: [Third; 3] = [Third::Upper, Third::Middle, Third::Lower];
    let mut zones = Vec::with_capacity(2 * THIRDS.len());
    for (label, side) in order.into_iter().zip([Side::Right, Side::Left]) {
        let holds = |s: &LabelCounts| s[label][0] > 0;
        let mut counts = [[0u64; 2]; 3];
        if let (Some(first), Some(last)) = (slices.iter().position(holds), slices.iter().rposition(holds)) {
            let height = last - first + 1;
            if height < THIRDS.len() {
                return Err("a lung is seen in fewer than three slices".to_owned());
            }
            let areas: Vec<u64> = slices.iter().map(|s| s[label][0]).collect();
            if cut_off(&areas).contains(&true) {
                return Err("a lung reaches the first or last slice with much of its width, so that its height is not known"
                    .to_owned());
            }
            for (k, slice) in slices[first..=last].iter().enumerate() {
                // the third in which the slice's centre lies, from below
                let third = (2 * k + 1) * 3 / (2 * height);
                for (sum, add) in counts[2 - third].iter_mut().zip(slice[label]) {
                    *sum += add;
                }
            }
        }
        for (third, counts) in THIRDS.into_iter().zip(counts) {
            let part = measure.part(counts);
            let score = part.infection.percent_of_lung.map(zone_score);
            zones.push(Zone { side, third, part, score });
        }
    }
    Ok(zones)
}

#[cfg(test)]
mod tests {
    use crate::burden;
    use gg_volume::{AxisMap, Grid, Volume};

    #[test]
    fn thirds_are_those_of_each_lungs_own_height() {
        // right lung in slices 1 to 9, left lung in slices 4 to 9; infection in slice 4 of both
        let mut lung = Volume::filled([11, 1, 4], 0u8);
        let mut infection = lung.clone();
        (1..10).for_each(|z| lung.slice_mut(z)[0] = 1);
        (4..10).for_each(|z| lung.slice_mut(z)[3] = 2);
        infection.slice_mut(4).fill(1);
        let grid = Grid::unknown([11, 1, 4], "made for a test");
        let b = burden(&lung, &infection, &grid, Some(&AxisMap::IDENTITY), [0, 0]).value;
        let percent: Vec<f64> =
            b.zones.unwrap().iter().map(|z| z.part.infection.percent_of_lung.unwrap().round()).collect();
        assert_eq!(percent, [0.0, 33.0, 0.0, 0.0, 0.0, 50.0]); // upper, middle, lower; right, then left
        assert_eq!(b.severity.score, Some(2 + 2));
    }

    #[test]
    fn lungs_that_the_ct_cuts_off_have_no_thirds() {
        let mut lung = Volume::filled([11, 2, 4], 0u8);
        for z in 1..10 {
            lung.slice_mut(z)[..4].copy_from_slice(&[1, 1, 2, 2]);
            lung.slice_mut(z)[4..].copy_from_slice(&[1, 1, 2, 2]);
        }
        let grid = Grid::unknown([11, 2, 4], "made for a test");
        let measured =
            |lung: &gg_volume::LabelVolume| burden(lung, lung, &grid, Some(&AxisMap::IDENTITY), [0, 0]);
        let whole = measured(&lung);
        let whole_lung = lung.clone();
        assert!(whole.value.zones.is_some() && whole.warnings.is_empty(), "{:?}", whole.warnings);
        lung.slice_mut(10)[0] = 1; // a quarter of the largest slice of that lung: an apex
        assert!(measured(&lung).value.zones.is_some());
        lung.slice_mut(10)[1] = 1;
        let cut = measured(&lung);
        assert!(cut.value.zones.is_none() && cut.value.severity.score.is_none());
        assert!(
            cut.value.sides.is_some()
                && cut.value.zones_reason.unwrap().contains("reaches the first or last slice")
        );
        let told: Vec<&str> = cut.warnings.iter().map(|w| w.code.as_str()).collect();
        assert_eq!(told, ["lungs_cut_off"]);
        // Padding beyond the cut makes no apex of it.
        let padded = burden(&whole_lung, &whole_lung, &grid, Some(&AxisMap::IDENTITY), [1, 0]);
        assert!(padded.value.zones.is_none());
        let told: Vec<&str> = padded.warnings.iter().map(|w| w.code.as_str()).collect();
        assert_eq!(told, ["lungs_cut_off"]);
    }
}
