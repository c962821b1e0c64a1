//! A warning where the stated direction of the head contradicts the shape of the lungs.
//!
//! The measuring is [`gg_imaging::apex_base_check`]; this says it in words.

use gg_volume::{AxisMap, LabelVolume, Warning};

/// A warning (`apex_below_base`) where the apices of the lungs lie at the end that the header calls the feet.
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
    use gg_volume::Orientation;

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
    fn a_few_slices_and_an_empty_mask_say_nothing() {
        for shape in [[3, 4, 4], [0, 0, 0], [20, 4, 4]] {
            assert_eq!(check_apex(&LabelVolume::filled(shape, 0), &AxisMap::IDENTITY), None);
        }
    }
}
