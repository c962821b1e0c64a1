//! 95 % intervals by the percentile bootstrap over groups: patients are drawn with replacement, each with all of its
//! values, because values of one patient resemble each other.
//!
//! Draws come from ChaCha8 with the caller's seed; groups are taken in the order of their names, so that neither the
//! order of the input nor the number of threads matters. Percentiles interpolate linearly (NumPy's default).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The value on all data; `None` where it has none.
    pub mean: Option<f64>,
    /// 2.5th percentile of the resamples; `None` with fewer than two groups that decide the value.
    pub low: Option<f64>,
    /// 97.5th percentile of the resamples; `None` with fewer than two groups that decide the value.
    pub high: Option<f64>,
    /// Number of groups (patients).
    pub n_groups: usize,
    /// Number of values.
    pub n_values: usize,
    /// Number of resamples drawn.
    pub resamples: usize,
    /// Resamples on which the value had no meaning (one class only, say); they are left out.
    pub undefined: usize,
    /// Fewer groups that decide the value than an interval can be trusted with (10).
    pub few_groups: bool,
}

impl Interval {
    /// The same of a value that fewer groups decide than were drawn, as an AUROC is decided by the rarer class.
    ///
    /// One group alone has no interval: resamples without it have no value and are left out, and all others say the same.
    pub fn decided_by(self, groups: usize) -> Self {
        let same = Self { few_groups: self.few_groups || groups < FEW_GROUPS, ..self };
        match groups {
            0 | 1 => Self { low: None, high: None, resamples: 0, undefined: 0, ..same },
            _ => same,
        }
    }
}

/// Below this an interval over groups is too narrow to be believed.
const FEW_GROUPS: usize = 10;
const LOW_PERCENT: f64 = 2.5;
const HIGH_PERCENT: f64 = 97.5;

/// Mean of all values, with its interval over groups.
pub(crate) fn bootstrap_mean_by_group(values: &[(&str, f64)], seed: u64, n: usize) -> Interval {
    let groups: Vec<&str> = values.iter().map(|(g, _)| *g).collect();
    bootstrap_by_group(&groups, seed, n, |rows| {
        (!rows.is_empty()).then(|| rows.iter().map(|&i| values[i].1).sum::<f64>() / rows.len() as f64)
    })
}

/// Any statistic of rows, with its interval over groups.
///
/// Give it the rows of the denominator alone: groups without such rows are drawn too, and count where they say nothing.
/// See [`Interval::decided_by`] where the value has no single denominator.
///
/// # Shape
/// `groups` names the group of each row; `statistic` gets row numbers, some of them more than once.
pub fn bootstrap_by_group(
    groups: &[&str],
    seed: u64,
    n: usize,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Interval {
    let groups_rows = rows_of_groups(groups);
    let all: Vec<usize> = groups_rows.iter().flatten().copied().collect();
    let n_groups = groups_rows.len();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut results = Vec::with_capacity(n);
    let mut rows = Vec::with_capacity(all.len() * 2);
    let resamples = if n_groups > 1 { n } else { 0 };
    for _ in 0..resamples {
        draw(&mut rng, &groups_rows, &mut rows);
        results.extend(statistic(&rows));
    }
    let undefined = resamples - results.len();
    results.sort_by(f64::total_cmp);
    Interval {
        mean: statistic(&all),
        low: percentile(&results, LOW_PERCENT),
        high: percentile(&results, HIGH_PERCENT),
        n_groups,
        n_values: all.len(),
        resamples,
        undefined,
        few_groups: n_groups < FEW_GROUPS,
    }
}

/// Rows of each group, in the order of the groups' names.
fn rows_of_groups(groups: &[&str]) -> Vec<Vec<usize>> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, group) in groups.iter().enumerate() {
        by_name.entry(group).or_default().push(row);
    }
    by_name.into_values().collect()
}

/// As many groups as there are, drawn with replacement: their rows.
fn draw(rng: &mut ChaCha8Rng, groups_rows: &[Vec<usize>], rows: &mut Vec<usize>) {
    rows.clear();
    for _ in 0..groups_rows.len() {
        rows.extend_from_slice(&groups_rows[below(rng, groups_rows.len())]);
    }
}

/// A whole number from 0 to `n - 1` by multiplication (Lemire without rejection; the bias is below `n / 2^64`).
pub(crate) fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// Percentile of sorted values, linear between neighbours.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = percent / 100.0 * last as f64;
    let i = at.floor() as usize;
    let next = sorted[(i + 1).min(last)];
    Some(sorted[i] + (next - sorted[i]) * (at - i as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(groups: usize) -> Vec<(String, f64)> {
        (0..groups * 3).map(|i| (format!("p{}", i / 3), ((i * 37) % 101) as f64 / 100.0)).collect()
    }

    fn run(values: &[(String, f64)], seed: u64) -> Interval {
        let list: Vec<(&str, f64)> = values.iter().map(|(g, v)| (g.as_str(), *v)).collect();
        bootstrap_mean_by_group(&list, seed, 1000)
    }

    #[test]
    fn the_interval_surrounds_the_mean_and_depends_on_the_seed_alone() {
        let v = values(20);
        let a = run(&v, 1);
        assert_eq!(a, run(&v, 1));
        assert_ne!(a, run(&v, 2));
        assert!(a.low < a.mean && a.mean < a.high && !a.few_groups);
        let mut turned = v.clone();
        turned.sort_by_key(|(g, _)| std::cmp::Reverse(g.clone()));
        assert!((run(&turned, 1).low.unwrap() - a.low.unwrap()).abs() < 1e-12);
    }

    #[test]
    fn an_interval_over_patients_is_wider_than_one_over_scans() {
        // five scans of each patient are alike: only patients are independent
        let by_patient: Vec<(String, f64)> =
            (0..60).map(|i| (format!("{:02}", i / 5), (i / 5 % 4) as f64)).collect();
        let by_scan: Vec<(String, f64)> =
            by_patient.iter().enumerate().map(|(i, (_, v))| (format!("{i:02}"), *v)).collect();
        let width = |v: &[(String, f64)]| run(v, 3).high.unwrap() - run(v, 3).low.unwrap();
        assert!(width(&by_patient) > 1.5 * width(&by_scan));
    }

    #[test]
    fn one_group_has_a_mean_and_no_interval() {
        let one = bootstrap_mean_by_group(&[("a", 1.0), ("a", 2.0)], 1, 100);
        assert_eq!((one.mean, one.low, one.high, one.few_groups), (Some(1.5), None, None, true));
        assert_eq!(bootstrap_mean_by_group(&[], 1, 100).mean, None);
    }

    #[test]
    fn a_value_that_one_group_decides_has_no_interval_and_one_that_few_decide_is_told() {
        let whole = run(&values(20), 1);
        assert_eq!(whole.decided_by(10), whole);
        assert_eq!(whole.decided_by(2), Interval { few_groups: true, ..whole });
        let one = whole.decided_by(1);
        assert_eq!((one.mean, one.n_groups, one.few_groups), (whole.mean, 20, true));
        assert_eq!((one.low, one.high, one.resamples, one.undefined), (None, None, 0, 0));
        // Few groups stay few.
        assert!(run(&values(3), 1).decided_by(12).few_groups);
    }
}
