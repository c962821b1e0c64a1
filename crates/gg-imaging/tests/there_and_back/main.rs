//! There and back: what `prepare` cuts, turns and pads, `restore` puts where it came from.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // the helpers of tests are tests too

mod real_data;
mod round_trip;

use gg_imaging::{SliceWay, restore_probabilities_slice};
use gg_volume::{AxisMap, LabelVolume};

/// Label pictures put back as predictions are: each label as a probability, taken where it reaches one half.
fn restore(slices: &[Vec<u8>], ways: &[SliceWay], map: &AxisMap, stored: [usize; 3]) -> LabelVolume {
    let mut volume = LabelVolume::filled(stored, 0);
    for (slice, way) in slices.iter().zip(ways) {
        let mut full = vec![0; way.canonical[0] * way.canonical[1]];
        for label in (1..=7).filter(|label| slice.contains(label)) {
            let one: Vec<f32> = slice.iter().map(|&v| f32::from(u8::from(v == label))).collect();
            let restored = restore_probabilities_slice(&one, way);
            full.iter_mut().zip(restored).filter(|(_, p)| *p >= 0.5).for_each(|(v, _)| *v = label);
        }
        map.write_slice(&mut volume, way.z, &full);
    }
    volume
}
