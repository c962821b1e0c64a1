//! Lung and infection made to agree, slice by slice.

use gg_imaging::CleanUp;
use gg_volume::{AxisMap, LabelVolume};
use rayon::prelude::*;
use std::collections::VecDeque;

/// Slices that are worked on at once: their copies are the memory that this takes.
const SLICES_AT_ONCE: usize = 16;

/// Makes lung and infection agree, slice by slice: infection that hangs together with the lung is lung where it `extends`
/// it, for lung that is consolidated looks like the wall beside it and is what a lung network misses; infection elsewhere
/// is none.
///
/// Where the lungs are closed first, infection in what that closes extends them in the same way.
pub(super) fn agree(
    lung: &mut LabelVolume,
    infection: &mut LabelVolume,
    map: &AxisMap,
    extends: bool,
    clean: &CleanUp,
) {
    let closes = clean.lung_closing > 0.0;
    if extends || closes {
        extend(lung, infection, map, |in_lung, infected, [h, w]| {
            if extends {
                return spread(in_lung, infected, w);
            }
            let mut near = clean.closed_slice(in_lung, h, w);
            near.iter_mut().zip(infected).for_each(|(n, &i)| *n &= i);
            spread(in_lung, &near, w);
        });
    }
    if clean.infection_inside_lungs {
        let voxels = infection.data_mut().par_iter_mut().zip(lung.data());
        voxels.with_min_len(1 << 16).for_each(|(i, &l)| *i &= u8::from(l != 0));
    }
}

/// Changes the lung of each slice by what `f` does to it, the slice of the infection at hand.
fn extend(
    lung: &mut LabelVolume,
    infection: &LabelVolume,
    map: &AxisMap,
    f: impl Fn(&mut [u8], &[u8], [usize; 2]) + Sync,
) {
    let [nz, h, w] = map.canonical_shape(lung.shape());
    for first in (0..nz).step_by(SLICES_AT_ONCE) {
        let changed: Vec<(usize, Vec<u8>)> = (first..nz.min(first + SLICES_AT_ONCE))
            .into_par_iter()
            .map(|z| {
                let (mut in_lung, mut infected) = (vec![0u8; h * w], vec![0u8; h * w]);
                map.read_slice(lung, z, &mut in_lung);
                map.read_slice(infection, z, &mut infected);
                f(&mut in_lung, &infected, [h, w]);
                (z, in_lung)
            })
            .collect();
        changed.iter().for_each(|(z, slice)| map.write_slice(lung, *z, slice));
    }
}

/// Lets each lung, with its label, grow from pixel to neighbouring pixel through the infection of a slice `w` wide.
fn spread(lung: &mut [u8], infected: &[u8], w: usize) {
    let mut reached: VecDeque<usize> = (0..lung.len()).filter(|&i| lung[i] != 0).collect();
    while let Some(i) = reached.pop_front() {
        let x = i % w;
        let beside = [
            (x > 0).then(|| i - 1),
            (x + 1 < w).then(|| i + 1),
            i.checked_sub(w),
            Some(i + w).filter(|&n| n < lung.len()),
        ];
        for n in beside.into_iter().flatten() {
            if lung[n] == 0 && infected[n] != 0 {
                lung[n] = lung[i];
                reached.push_back(n);
            }
        }
    }
}

/// Foreground voxels of each canonical slice.
pub(super) fn count_slices(labels: &LabelVolume, map: &AxisMap) -> Vec<usize> {
    let [nz, ny, nx] = map.canonical_shape(labels.shape());
    let count = |slice: &mut Vec<u8>, z: usize| {
        slice.resize(ny * nx, 0);
        map.read_slice(labels, z, slice);
        slice.iter().filter(|&&v| v != 0).count()
    };
    (0..nz).into_par_iter().map_init(Vec::new, count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infection_beside_the_lung_is_cut_off_or_extends_it() {
        let volume = |rows: [&str; 4]| {
            let values: Vec<u8> = rows.iter().flat_map(|r| r.bytes()).map(|b| b - b'0').collect();
            LabelVolume::from_vec([2, 2, 8], values).unwrap()
        };
        let lung = volume(["00100020", "00000000", "00000000", "00000000"]);
        let infection = volume(["01101001", "10000001", "00100000", "00000000"]);
        let joined = |extends| {
            let (mut lung, mut infection) = (lung.clone(), infection.clone());
            agree(&mut lung, &mut infection, &AxisMap::IDENTITY, extends, &CleanUp::default());
            (lung, infection)
        };
        let cut = volume(["00100000", "00000000", "00000000", "00000000"]);
        assert_eq!(joined(false), (lung.clone(), cut));
        // each lung grows as what it is; the corner below the first and the other slice hang together with none
        let grown = volume(["01100022", "00000002", "00000000", "00000000"]);
        let infected = volume(["01100001", "00000001", "00000000", "00000000"]);
        assert_eq!(joined(true), (grown, infected));
    }

    #[test]
    fn closed_lungs_take_in_the_infection_of_their_bays_and_it_may_stay_anywhere() {
        let row =
            |text: &str| LabelVolume::from_vec([1, 1, 10], text.bytes().map(|b| b - b'0').collect()).unwrap();
        let joined = |clean: CleanUp| {
            let (mut lung, mut infection) = (row("0010100000"), row("0001100010"));
            agree(&mut lung, &mut infection, &AxisMap::IDENTITY, false, &clean);
            (lung, infection)
        };
        let usual = CleanUp::default();
        assert_eq!(joined(usual), (row("0010100000"), row("0000100000")));
        let closing = CleanUp { lung_closing: 0.2, ..usual };
        assert_eq!(joined(closing), (row("0011100000"), row("0001100000")));
        let anywhere = CleanUp { infection_inside_lungs: false, ..usual };
        assert_eq!(joined(anywhere), (row("0010100000"), row("0001100010")));
    }
}
