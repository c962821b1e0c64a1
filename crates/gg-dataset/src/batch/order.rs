//! Which samples an epoch shows, and in which order.
//!
//! Slices of one scan resemble each other, so that a scan of 200 slices teaches little more than one of 20, and a
//! single slice of another patient much more than either's last. With a balance `b` each scan of n slices gets a share
//! of the epoch in proportion to n^(1 - b): 0 shows every slice once, 1 every scan equally often. The number of samples
//! in an epoch stays that of the slices. A scan's slices are gone through in rounds, each in an order of its own, that
//! go on from epoch to epoch: none comes a second time before all others came.

use crate::random::{Purpose, Stream};
use std::collections::BTreeMap;

/// The samples of one epoch in their order; `case_of` gives the scan of a sample.
pub(super) fn drawn(
    chosen: &[usize],
    case_of: impl Fn(usize) -> usize,
    balance: f64,
    seed: u64,
    epoch: u64,
) -> Vec<usize> {
    let mut order = Vec::with_capacity(chosen.len());
    if balance == 0.0 {
        order.extend_from_slice(chosen);
    } else {
        let mut cases: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        chosen.iter().for_each(|&i| cases.entry(case_of(i)).or_default().push(i));
        let sizes: Vec<usize> = cases.values().map(Vec::len).collect();
        for ((case, slices), quota) in cases.iter().zip(quotas(&sizes, balance)) {
            let from = epoch * quota as u64;
            let mut round = None;
            for at in from..from + quota as u64 {
                let n = slices.len() as u64;
                let this = at / n;
                if round.as_ref().is_none_or(|(known, _)| *known != this) {
                    let mut mixed = slices.clone();
                    Stream::new(seed, Purpose::Balance, this, *case as u64).shuffle(&mut mixed);
                    round = Some((this, mixed));
                }
                order.extend(round.iter().map(|(_, mixed)| mixed[(at % n) as usize]));
            }
        }
    }
    Stream::new(seed, Purpose::Order, epoch, 0).shuffle(&mut order);
    order
}

/// How many samples of an epoch each scan gets; they add up to all slices (largest remainders, the first of equals).
fn quotas(sizes: &[usize], balance: f64) -> Vec<usize> {
    let weights: Vec<f64> = sizes.iter().map(|&n| (n as f64).powf(1.0 - balance)).collect();
    let (all, sum) = (sizes.iter().sum::<usize>(), weights.iter().sum::<f64>());
    let exact: Vec<f64> = weights.iter().map(|w| all as f64 * w / sum).collect();
    let mut quotas: Vec<usize> = exact.iter().map(|v| v.floor() as usize).collect();
    let mut by_rest: Vec<usize> = (0..sizes.len()).collect();
    by_rest.sort_by(|&a, &b| (exact[b].fract()).total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    let left = all.saturating_sub(quotas.iter().sum());
    by_rest.iter().take(left).for_each(|&i| quotas[i] += 1);
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scan of 16 slices, one of 4 and one of a single slice.
    const SIZES: [usize; 3] = [16, 4, 1];

    fn case_of(i: usize) -> usize {
        if i < 16 { 0 } else { usize::from(i >= 20) + 1 }
    }

    fn counts(epochs: u64, balance: f64) -> [Vec<usize>; 3] {
        let chosen: Vec<usize> = (0..21).collect();
        let mut seen = [0usize; 21];
        for epoch in 0..epochs {
            let order = drawn(&chosen, case_of, balance, 7, epoch);
            assert_eq!(order.len(), 21);
            order.iter().for_each(|&i| seen[i] += 1);
        }
        [seen[..16].to_vec(), seen[16..20].to_vec(), seen[20..].to_vec()]
    }

    #[test]
    fn without_balance_every_slice_comes_once_and_with_it_scans_get_their_share() {
        assert_eq!(counts(1, 0.0).concat(), [1; 21]);
        assert_eq!(quotas(&SIZES, 1.0), [7, 7, 7]);
        assert_eq!(quotas(&SIZES, 0.5), [12, 6, 3]);
        let per_scan = counts(1, 0.5).map(|c| c.iter().sum::<usize>());
        assert_eq!(per_scan, [12, 6, 3]);
    }

    #[test]
    fn no_slice_of_a_scan_comes_more_than_once_more_often_than_another() {
        for epochs in [1, 3, 10] {
            for scan in counts(epochs, 0.5) {
                let (least, most) = (scan.iter().min().unwrap(), scan.iter().max().unwrap());
                assert!(most - least <= 1, "{scan:?}");
            }
        }
    }
}
