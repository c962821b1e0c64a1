//! Whether the stated direction of the head agrees with the anatomy: lungs are narrow at the apex and wide at the base.
//!
//! The left-right extent of both lungs is compared at 10 to 30 % and at 70 to 90 % of their height. Extents, unlike
//! areas, hardly suffer from the diaphragm's domes. Golden: none; held by phantoms and by real scans, of which one
//! states the wrong direction.

use gg_volume::{AxisMap, LabelVolume, Warning};

/// Fewer slices with lung than this tell nothing.
const FEWEST_SLICES: usize = 10;
/// How much wider the headward part must be to contradict the header.
const CONTRADICTION: f64 = 1.1;
/// Parts of the lungs' height that are compared, in tenths.
const LOW: [usize; 2] = [1, 3];
const HIGH: [usize; 2] = [7, 9];

/// A warning (`apex_below_base`) where the lungs are wider at the end that the header calls the head.
///
/// # Shape
/// `lung` as stored; any label but 0 is lung.
pub fn check_apex(lung: &LabelVolume, map: &AxisMap) -> Option<Warning> {
    let [nz, ny, nx] = map.canonical_shape(lung.shape());
    let mut slice = vec![0u8; ny * nx];
    let mut widths = Vec::with_capacity(nz);
    for z in 0..nz {
        map.read_slice(lung, z, &mut slice);
        let (mut low, mut high) = (usize::MAX, 0);
        for row in slice.chunks_exact(nx.max(1)) {
            if let Some(first) = row.iter().position(|v| *v != 0) {
                low = low.min(first);
                high = high.max(row.iter().rposition(|v| *v != 0).unwrap_or(first));
            }
        }
        widths.push(if low > high { 0 } else { high - low + 1 });
    }
    let first = widths.iter().position(|w| *w > 0)?;
    let last = widths.iter().rposition(|w| *w > 0)?;
    let widths = &widths[first..=last];
    if widths.len() < FEWEST_SLICES {
        return None;
    }
    let mean = |part: [usize; 2]| {
        let range = part.map(|tenth| tenth * widths.len() / 10);
        let some = &widths[range[0]..range[1]];
        some.iter().sum::<usize>() as f64 / some.len() as f64
    };
    (mean(HIGH) > CONTRADICTION * mean(LOW)).then(|| {
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
        for spec in cohort(2, 5, [30, 64, 64]) {
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
