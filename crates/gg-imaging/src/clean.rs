//! What is done to masks: infection from means over slices before its threshold, and after thresholds specks dropped,
//! holes filled, infection kept to the lungs.
//!
//! The settings travel with a model, beside its preparation.

use crate::components::{Connectivity, label_3d};
use crate::fill::fill_holes;
use gg_volume::LabelVolume;
use serde::{Deserialize, Serialize};

/// Lungs that are a smaller share of the volume are none: specks, where something else hides the lungs.
const LEAST_LUNG: f64 = 5e-4;
/// Of fewer slices an apex may be all that is seen of a lung.
const FEWEST_SLICES: usize = 3;
/// Share of the slices with lung that a mean reaches to each side at most.
const MOST_REACH: f64 = 0.1;
/// Slices that a mean reaches to each side at most: twice as many and one are in memory at once.
const MOST_SLICES: f64 = 8.0;

/// Every setting of the clean-up. The lung model's copy says what is done to lungs, the infection model's the rest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CleanUp {
    /// Pieces of lung below this share of the largest piece are dropped.
    pub lung_smallest: f64,
    /// Closed holes in the lungs become lung.
    pub lung_fill_holes: bool,
    /// Infection outside the lungs is dropped, where there is a lung model.
    pub infection_inside_lungs: bool,
    /// Infection that hangs together with the lungs counts as lung where the lung network gives at least this probability;
    /// consolidated lung looks like the wall beside it, and is what such a network doubts. 1: only where the lungs are. The
    /// infection model's copy counts.
    pub doubtful_lung: f64,
    /// Pieces of infection below this share of the lungs' volume are dropped. 0: none.
    pub infection_smallest: f64,
    /// Before the threshold, each slice's probabilities of infection become a mean with those of the slices to each
    /// side, whose weights fall in a straight line and reach so far: a share of the slices with lung, so that thick and
    /// thin slices are treated alike. 0: none.
    pub infection_reach: f64,
}

impl Default for CleanUp {
    fn default() -> Self {
        Self {
            lung_smallest: 0.08,
            lung_fill_holes: true,
            infection_inside_lungs: true,
            doubtful_lung: 0.05,
            infection_smallest: 0.0,
            infection_reach: 0.02,
        }
    }
}

impl CleanUp {
    /// What is wrong, as a sentence that begins with the key; `None` where all can be used.
    pub fn fault(&self) -> Option<String> {
        let shares = [
            ("lung_smallest", self.lung_smallest),
            ("doubtful_lung", self.doubtful_lung),
            ("infection_smallest", self.infection_smallest),
        ];
        if let Some((key, found)) = shares.into_iter().find(|(_, v)| !(0.0..=1.0).contains(v)) {
            return Some(format!("{key} is {found}; right would be 0 to 1"));
        }
        let found = self.infection_reach;
        let right = (0.0..=MOST_REACH).contains(&found);
        (!right).then(|| format!("infection_reach is {found}; right would be 0 to {MOST_REACH}"))
    }

    /// How far means of infection reach to each side, in slices, where so many hold lung.
    pub fn infection_slices(&self, with_lung: usize) -> f64 {
        (self.infection_reach * with_lung as f64).min(MOST_SLICES)
    }

    /// The probability of lung from which infection beside the lungs counts as lung; `None`: nowhere.
    pub fn doubtful(&self) -> Option<f64> {
        (self.doubtful_lung < 1.0).then_some(self.doubtful_lung)
    }

    /// The lungs without specks and holes.
    pub fn lungs(&self, mask: LabelVolume) -> LabelVolume {
        let largest = |components: &crate::Components| components.list.iter().map(|c| c.voxels).max();
        let mut mask =
            without_pieces(mask, |c| (largest(c).unwrap_or(0) as f64 * self.lung_smallest) as usize);
        if self.lung_fill_holes {
            fill_holes(&mut mask);
        }
        let voxels = mask.data().len() as f64;
        if mask.shape()[0] >= FEWEST_SLICES && (mask.count_foreground() as f64) < LEAST_LUNG * voxels {
            mask.data_mut().fill(0);
        }
        mask
    }

    /// Infection without specks; `lung_voxels` is the lungs' volume.
    pub fn infection(&self, mask: LabelVolume, lung_voxels: usize) -> LabelVolume {
        let least = (lung_voxels as f64 * self.infection_smallest) as usize;
        if least > 1 { without_pieces(mask, |_| least) } else { mask }
    }
}

/// The mask without the pieces that have fewer voxels than `least` says; holds 0 and 1.
fn without_pieces(mut mask: LabelVolume, least: impl Fn(&crate::Components) -> usize) -> LabelVolume {
    let components = label_3d(&mask, Connectivity::Corners);
    let least = least(&components).max(1);
    components.paint_onto(mask.data_mut(), |k| u8::from(components.list[k].voxels >= least));
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::Volume;

    /// A row of voxels, as a volume.
    fn row(values: &[u8]) -> LabelVolume {
        Volume::from_vec([1, 1, values.len()], values.to_vec()).unwrap()
    }

    #[test]
    fn a_speck_in_many_slices_is_no_lung() {
        let count = |slices: usize, voxels: usize| {
            let mut mask = LabelVolume::filled([slices, 100, 100], 0);
            mask.data_mut()[..voxels].fill(1);
            CleanUp::default().lungs(mask).count_foreground()
        };
        assert_eq!([count(10, 49), count(10, 50), count(2, 5)], [0, 50, 5]);
    }

    #[test]
    fn specks_go_by_their_share() {
        let mask = row(&[1, 1, 1, 1, 0, 1, 0, 1, 1]);
        let lungs = |lung_smallest| {
            let clean = CleanUp { lung_smallest, lung_fill_holes: false, ..CleanUp::default() };
            clean.lungs(mask.clone()).data().to_vec()
        };
        assert_eq!(lungs(0.0), mask.data());
        assert_eq!(lungs(0.5), [1, 1, 1, 1, 0, 0, 0, 1, 1]);
        assert_eq!(lungs(1.0), [1, 1, 1, 1, 0, 0, 0, 0, 0]);
        let infection = |share| {
            let clean = CleanUp { infection_smallest: share, ..CleanUp::default() };
            clean.infection(mask.clone(), 100).count_foreground()
        };
        assert_eq!([infection(0.0), infection(0.01), infection(0.02), infection(0.03)], [7, 7, 6, 4]);
        assert_eq!(CleanUp::default().lungs(row(&[0; 4])).count_foreground(), 0);
    }

    #[test]
    fn holes_are_filled_where_asked_for() {
        let mut mask = LabelVolume::filled([3, 3, 3], 1);
        mask.data_mut()[13] = 0;
        let fill = |lung_fill_holes| {
            CleanUp { lung_fill_holes, ..CleanUp::default() }.lungs(mask.clone()).count_foreground()
        };
        assert_eq!([fill(true), fill(false)], [27, 26]);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        assert_eq!(CleanUp::default().fault(), None);
        let fault = CleanUp { doubtful_lung: 1.5, ..CleanUp::default() }.fault();
        assert!(fault.is_some_and(|f| f.contains("doubtful_lung is 1.5")));
        let fault = CleanUp { infection_smallest: f64::NAN, ..CleanUp::default() }.fault();
        assert!(fault.is_some_and(|f| f.contains("infection_smallest")));
        let reach = |infection_reach| CleanUp { infection_reach, ..CleanUp::default() }.fault();
        assert_eq!((reach(0.0), reach(0.1)), (None, None));
        for wrong in [2.0, -0.1, f64::NAN] {
            assert!(reach(wrong).is_some_and(|f| f.contains("infection_reach is")), "{wrong}");
        }
    }

    #[test]
    fn the_reach_is_a_share_of_the_slices_with_lung_and_bounded() {
        let of = |infection_reach, with_lung| {
            CleanUp { infection_reach, ..CleanUp::default() }.infection_slices(with_lung)
        };
        assert_eq!([of(0.02, 50), of(0.02, 150), of(0.02, 2000), of(0.0, 99)], [1.0, 3.0, 8.0, 0.0]);
    }
}
