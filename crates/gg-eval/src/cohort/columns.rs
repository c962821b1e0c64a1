//! Which attributes can take part, and their values as the regression wants them.

use super::{Cohort, LeftOut};

/// An attribute that is missing in more than this share of the cases is left out.
const MOST_MISSING: f64 = 0.5;
/// From this share of its variance on that other attributes explain, adjusted for how many they are, an attribute is
/// left out (a variance inflation of 10).
const COLLINEAR: f64 = 0.9;
/// Spread below this share of the values' size is rounding.
const CONSTANT: f64 = 1e-9;

/// The attributes that take part.
pub(super) struct Table {
    pub(super) names: Vec<String>,
    /// One list of values per attribute.
    columns: Vec<Vec<Option<f64>>>,
}

/// What stands in for a missing value, and what an attribute is measured in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub(super) median: f64,
    pub(super) mean: f64,
    pub(super) sd: f64,
}

impl Table {
    /// The attributes of a cohort in their order, without those that are constant, mostly missing or collinear.
    pub(super) fn new(cohort: &Cohort) -> (Self, Vec<LeftOut>) {
        let n = cohort.rows.len();
        let all: Vec<usize> = (0..n).collect();
        let mut table = Self { names: Vec::new(), columns: Vec::new() };
        let mut left_out = Vec::new();
        // Orthonormal columns that span what is kept so far, and the kept columns themselves, standardised.
        let (mut basis, mut kept): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
        for (j, name) in cohort.names.iter().enumerate() {
            let column: Vec<Option<f64>> =
                cohort.rows.iter().map(|r| r[j].filter(|v| v.is_finite())).collect();
            let mut leave = |reason: String| left_out.push(LeftOut { name: name.clone(), reason });
            let missing = column.iter().filter(|v| v.is_none()).count();
            if missing as f64 > MOST_MISSING * n as f64 {
                leave(match missing == n {
                    true => "no case has a value".to_owned(),
                    false => format!("{missing} of {n} cases have no value"),
                });
                continue;
            }
            let one = Self { names: vec![name.clone()], columns: vec![column] };
            let scale = one.scale(&all)[0];
            let known: Vec<f64> = one.columns[0].iter().flatten().copied().collect();
            let spread = known.iter().copied().fold(f64::NEG_INFINITY, f64::max)
                - known.iter().copied().fold(f64::INFINITY, f64::min);
            if spread <= CONSTANT * scale.mean.abs() {
                leave("all cases have the same value".to_owned());
                continue;
            }
            let standard: Vec<f64> = all.iter().map(|&i| one.standard(i, 0, &scale)).collect();
            let length = dot(&standard, &standard);
            let mut rest = standard.clone();
            for direction in &basis {
                let along = dot(&rest, direction);
                rest.iter_mut().zip(direction).for_each(|(r, d)| *r -= along * d);
            }
            let left = dot(&rest, &rest);
            // Adjusted for how many attributes come before (Ezekiel 1930): of chance alone, as many as there are cases
            // explain all.
            let free = n as f64 - 1.0 - basis.len() as f64;
            if free < 1.0 {
                leave(format!(
                    "{} attributes before it are as many as {n} cases can tell apart",
                    basis.len()
                ));
                continue;
            }
            let explained = 1.0 - left / length * (n as f64 - 1.0) / free;
            if explained > COLLINEAR {
                let likest = (0..kept.len())
                    .max_by(|&a, &b| {
                        dot(&kept[a], &standard).abs().total_cmp(&dot(&kept[b], &standard).abs())
                    })
                    .map_or(String::new(), |k| {
                        let r = dot(&kept[k], &standard) / n as f64;
                        format!(", most like {} (correlation {r:.2})", table.names[k])
                    });
                leave(format!(
                    "collinear: {:.0} % of its variance follows from the attributes before it, adjusted for their number{likest}",
                    100.0 * explained
                ));
                continue;
            }
            let norm = left.sqrt();
            basis.push(rest.into_iter().map(|r| r / norm).collect());
            kept.push(standard);
            table.names.push(name.clone());
            table.columns.extend(one.columns);
        }
        (table, left_out)
    }

    pub(super) fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    pub(super) fn missing(&self, attribute: usize) -> usize {
        self.columns[attribute].iter().filter(|v| v.is_none()).count()
    }

    /// The values of some cases, missing ones replaced.
    pub(super) fn column(&self, attribute: usize, cases: &[usize], median: f64) -> Vec<f64> {
        cases.iter().map(|&i| self.columns[attribute][i].unwrap_or(median)).collect()
    }

    /// The scale of each attribute over some cases.
    pub(super) fn scale(&self, cases: &[usize]) -> Vec<Scale> {
        let of = |j: usize| {
            let mut known: Vec<f64> = cases.iter().filter_map(|&i| self.columns[j][i]).collect();
            known.sort_by(f64::total_cmp);
            let median = crate::bootstrap::percentile(&known, 50.0).unwrap_or(0.0);
            let values = self.column(j, cases, median);
            let n = values.len().max(1) as f64;
            let mean = values.iter().sum::<f64>() / n;
            let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            // Without spread among these cases the attribute says nothing about them; 1 keeps it a number.
            Scale { median, mean, sd: if sd > CONSTANT * mean.abs() { sd } else { 1.0 } }
        };
        (0..self.columns.len()).map(of).collect()
    }

    /// The value of one case in standard deviations from the mean.
    pub(super) fn standard(&self, case: usize, attribute: usize, scale: &Scale) -> f64 {
        (self.columns[attribute][case].unwrap_or(scale.median) - scale.mean) / scale.sd
    }

    /// Rows of some cases in standard deviations.
    pub(super) fn standardised(&self, cases: &[usize], scale: &[Scale]) -> Vec<Vec<f64>> {
        let row = |&i: &usize| scale.iter().enumerate().map(|(j, s)| self.standard(i, j, s)).collect();
        cases.iter().map(row).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
