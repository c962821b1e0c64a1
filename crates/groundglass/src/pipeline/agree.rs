//! Lung and infection made to agree, slice by slice.

use gg_imaging::CleanUp;
use gg_volume::{AxisMap, LabelVolume};
use rayon::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Slices that are worked on at once: their copies are the memory that this takes.
const SLICES_AT_ONCE: usize = 16;

/// Makes lung and infection agree, slice by slice: infection that hangs together with the lung is lung where that is
/// `doubtful`, for lung that is consolidated looks like the wall beside it and is what a lung network misses; infection
/// elsewhere is none.
pub(super) fn agree(
    lung: &mut LabelVolume,
    infection: &mut LabelVolume,
    map: &AxisMap,
    doubtful: &Doubtful,
    clean: &CleanUp,
) {
    extend(lung, infection, map, doubtful);
    if clean.infection_inside_lungs {
        let voxels = infection.data_mut().par_iter_mut().zip(lung.data());
        voxels.with_min_len(1 << 16).for_each(|(i, &l)| *i &= u8::from(l != 0));
    }
}

/// Where a lung network gives at least the least probability that counts: runs of pixels of canonical slices, which are few
/// where lungs are found in whole pieces.
#[derive(Debug, Default)]
pub(super) struct Doubtful {
    slices: BTreeMap<usize, Vec<Range<u32>>>,
}

impl Doubtful {
    /// The runs of pixels of one slice that have any label, in the lungs or doubtful.
    pub(super) fn runs(labels: &[u8]) -> Vec<Range<u32>> {
        let mut runs = Vec::new();
        let mut from = 0;
        for same in labels.chunk_by(|a, b| (*a != 0) == (*b != 0)) {
            let to = from + same.len() as u32;
            if same[0] != 0 {
                runs.push(from..to);
            }
            from = to;
        }
        runs.shrink_to_fit();
        runs
    }

    /// 1 where a slice of so many pixels is doubtful or lung.
    #[cfg(test)]
    pub(super) fn slice(&self, z: usize, pixels: usize) -> Vec<u8> {
        let mut mask = vec![0; pixels];
        for run in self.slices.get(&z).into_iter().flatten() {
            mask[run.start as usize..run.end as usize].fill(1);
        }
        mask
    }

    /// Takes in the runs of a slice.
    pub(super) fn put(&mut self, z: usize, runs: Vec<Range<u32>>) {
        if !runs.is_empty() {
            self.slices.insert(z, runs);
        }
    }
}

/// Lets the lungs grow through infection where they are doubtful.
fn extend(lung: &mut LabelVolume, infection: &LabelVolume, map: &AxisMap, doubtful: &Doubtful) {
    let [_, h, w] = map.canonical_shape(lung.shape());
    let slices: Vec<(&usize, &Vec<Range<u32>>)> = doubtful.slices.iter().collect();
    for some in slices.chunks(SLICES_AT_ONCE) {
        let changed: Vec<(usize, Vec<u8>)> = some
            .par_iter()
            .map(|&(&z, runs)| {
                let [mut in_lung, mut infected, mut near] = [(); 3].map(|()| vec![0u8; h * w]);
                map.read_slice(lung, z, &mut in_lung);
                map.read_slice(infection, z, &mut infected);
                for run in runs {
                    let run = run.start as usize..run.end as usize;
                    near[run.clone()].copy_from_slice(&infected[run]);
                }
                spread(&mut in_lung, &near, w);
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
        let joined = |doubtful: &[(usize, Range<u32>)]| {
            let (mut lung, mut infection) = (lung.clone(), infection.clone());
            let mut rims = Doubtful::default();
            doubtful.iter().for_each(|(z, run)| rims.put(*z, vec![run.clone()]));
            agree(&mut lung, &mut infection, &AxisMap::IDENTITY, &rims, &CleanUp::default());
            (lung, infection)
        };
        let cut = volume(["00100000", "00000000", "00000000", "00000000"]);
        assert_eq!(joined(&[]), (lung.clone(), cut));
        // each lung grows as what it is; the corner below the first and the other slice hang together with none
        let grown = volume(["01100022", "00000002", "00000000", "00000000"]);
        let infected = volume(["01100001", "00000001", "00000000", "00000000"]);
        assert_eq!(joined(&[(0, 0..16), (1, 0..16)]), (grown, infected));
        // infection beyond what is doubtful stays outside
        let grown = volume(["01100020", "00000000", "00000000", "00000000"]);
        let infected = volume(["01100000", "00000000", "00000000", "00000000"]);
        assert_eq!(joined(&[(0, 0..4), (1, 0..16)]), (grown, infected));
    }

    #[test]
    fn infection_may_stay_anywhere_where_that_is_asked_for() {
        let row = LabelVolume::from_vec([1, 1, 4], vec![0, 1, 0, 0]).unwrap();
        let infection = LabelVolume::from_vec([1, 1, 4], vec![0, 0, 0, 1]).unwrap();
        let clean = CleanUp { infection_inside_lungs: false, ..CleanUp::default() };
        let (mut lung, mut found) = (row.clone(), infection.clone());
        agree(&mut lung, &mut found, &AxisMap::IDENTITY, &Doubtful::default(), &clean);
        assert_eq!((lung, found), (row, infection));
    }

    #[test]
    fn runs_are_what_lies_together() {
        assert_eq!(Doubtful::runs(&[2, 1, 0, 0, 2]), [0..2, 4..5]);
        assert_eq!(Doubtful::runs(&[0, 0]), []);
        assert_eq!(Doubtful::runs(&[]), []);
    }
}
