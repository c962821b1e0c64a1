//! How the attributes of a cohort's cases move the prediction of an outcome: logistic regression, cross-validated by
//! patient, with what each attribute contributes.
//!
//! * Attributes that have one value, are mostly missing, or follow from others are left out and named ([`LeftOut`]).
//! * Missing values are the median of the cases that the regression was fitted on; they are counted.
//! * Attributes are standardised; one L2 penalty holds for all; odds ratios are per standard deviation.
//! * The AUROC is that of cases whose patients the regression never saw, pooled over folds; its interval is by
//!   bootstrap over patients. Those of the odds ratios lie around the coefficient by 1.96 of its standard errors over
//!   the same resamples: percentiles would not hold it for sure, for a resample has fewer different patients, and the
//!   penalty more to say.
//! * Importance is what the pooled AUROC loses where an attribute's values are dealt anew among all cases (Breiman 2001,
//!   Fisher et al. 2019); it can fall below 0 by chance.
//! * An attribute says how the prediction moves, not what causes the outcome.

mod columns;
mod folds;
#[cfg(test)]
mod tests;

use crate::bootstrap::{Interval, below, bootstrap_by_group, percentile, resampled_rows};
use crate::logistic::{Logistic, partial_dependence};
use crate::roc_curve;
use columns::Table;
use folds::deal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Cases with attributes and an outcome.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cohort {
    /// Names of the attributes.
    pub names: Vec<String>,
    /// One row per case; `None` where a value is missing.
    pub rows: Vec<Vec<Option<f64>>>,
    /// Whether each case had the outcome.
    pub outcomes: Vec<bool>,
    /// The patient of each case.
    pub patients: Vec<String>,
}

/// How a cohort is explained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CohortConfig {
    /// L2 penalty of the standardised coefficients.
    pub penalty: f64,
    /// Folds of the cross-validation; fewer where a class has fewer patients.
    pub folds: usize,
    /// How often each attribute is dealt anew.
    pub repeats: usize,
    /// Bootstrap resamples behind each interval.
    pub resamples: usize,
    /// Seed of folds, deals and resamples.
    pub seed: u64,
}

impl Default for CohortConfig {
    fn default() -> Self {
        Self { penalty: 1.0, folds: 5, repeats: 30, resamples: 2000, seed: 1 }
    }
}

/// An attribute that takes no part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why, as a clause.
    pub reason: String,
}

/// What the pooled AUROC loses without an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Importance {
    /// Mean loss over the deals.
    pub mean: f64,
    /// Standard deviation over the deals.
    pub sd: f64,
}

/// How one attribute moves the prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttributeEffect {
    /// Its name.
    pub name: String,
    /// Mean over all cases, missing ones at the median.
    pub mean: f64,
    /// Standard deviation (divisor n), the unit of the coefficient.
    pub sd: f64,
    /// Cases without a value.
    pub missing: usize,
    /// Change of the log-odds per standard deviation.
    pub coefficient: f64,
    /// Factor of the odds per standard deviation, with its 95 % interval over patients.
    pub odds_ratio: f64,
    /// Ends of that interval; `None` where too few resamples could be fitted.
    pub odds_ratio_interval: Option<(f64, f64)>,
    /// AUROC of the attribute alone, no regression and no validation; below 0.5 where low values go with the outcome.
    pub auroc_alone: Option<f64>,
    /// `None` without a cross-validation.
    pub importance: Option<Importance>,
    /// Value of the attribute and mean predicted probability, from its 5th to its 95th percentile.
    pub dependence: Vec<(f64, f64)>,
}

/// What explains the outcome in a cohort.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CohortReport {
    /// Cases used.
    pub cases: usize,
    /// Of them with the outcome.
    pub positive_cases: usize,
    /// Patients of the cases.
    pub patients: usize,
    /// Of them with the outcome in at least one case.
    pub positive_patients: usize,
    /// Patients of the rarer class per attribute.
    pub patients_per_attribute: f64,
    /// Folds of the cross-validation; 0 where there was none.
    pub folds: usize,
    /// Pooled AUROC of cases whose patients were not seen.
    pub auroc: Interval,
    /// Log-odds of a case with all attributes at their mean.
    pub intercept: f64,
    /// The most important first.
    pub attributes: Vec<AttributeEffect>,
    /// Attributes that take no part.
    pub left_out: Vec<LeftOut>,
    /// Remarks, as sentences.
    pub warnings: Vec<String>,
    /// How it was computed.
    pub config: CohortConfig,
}

/// A cohort that explains nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CohortError {
    /// Lists of different lengths.
    #[error(
        "{rows} cases with {outcomes} outcomes and {patients} patients, right would be one of each per case"
    )]
    Lengths {
        /// Cases.
        rows: usize,
        /// Outcomes.
        outcomes: usize,
        /// Patients.
        patients: usize,
    },
    /// One class is (nearly) missing.
    #[error(
        "{positive} patients with the outcome and {negative} without, right would be at least {FEWEST} of each"
    )]
    OneClass {
        /// Patients with the outcome.
        positive: usize,
        /// Patients without it.
        negative: usize,
    },
    /// Nothing to explain with.
    #[error("no attribute is left: {0}; right would be a column of numbers that differ")]
    NoAttribute(String),
    /// The penalty is no number above 0.
    #[error("the penalty is {0}, right would be a number above 0")]
    Penalty(String),
}

impl CohortError {
    /// None was left of these.
    pub fn no_attribute(left_out: &[LeftOut]) -> Self {
        let why: Vec<String> = left_out.iter().map(|l| format!("{} ({})", l.name, l.reason)).collect();
        Self::NoAttribute(if why.is_empty() { "no column is one".to_owned() } else { why.join(", ") })
    }
}

/// Fewest patients of each class: below, nobody can be held out.
const FEWEST: usize = 2;
/// Patients of the rarer class that each attribute needs (Peduzzi et al. 1996).
pub const PATIENTS_PER_ATTRIBUTE: f64 = 10.0;
/// Points of a partial-dependence curve.
const GRID: usize = 25;
/// Percentiles between which it runs.
const GRID_ENDS: [f64; 2] = [5.0, 95.0];
/// Share of the resamples that must be fitted for an interval.
const FITTED_SHARE: f64 = 0.5;
/// A penalty that holds coefficients back hardly at all.
const HARDLY: f64 = 1e-6;
/// Half the width of a 95 % interval, in standard errors.
const NORMAL_95: f64 = 1.959_963_984_540_054;
/// Sets the streams of random numbers apart.
const DEALS: u64 = 0x6465_616c;

/// Explains a cohort.
///
/// # Errors
/// [`CohortError`].
pub fn explain_cohort(cohort: &Cohort, config: CohortConfig) -> Result<CohortReport, CohortError> {
    check(cohort, config)?;
    let patients: Vec<&str> = cohort.patients.iter().map(String::as_str).collect();
    let mut positive_of: BTreeMap<&str, bool> = BTreeMap::new();
    for (&patient, &outcome) in patients.iter().zip(&cohort.outcomes) {
        *positive_of.entry(patient).or_default() |= outcome;
    }
    let positive = positive_of.values().filter(|&&p| p).count();
    let negative = positive_of.len() - positive;
    let rarer = positive.min(negative);
    if rarer < FEWEST {
        return Err(CohortError::OneClass { positive, negative });
    }
    let (table, left_out) = Table::new(cohort);
    if table.names.is_empty() {
        return Err(CohortError::no_attribute(&left_out));
    }

    let all: Vec<usize> = (0..cohort.rows.len()).collect();
    let scale = table.scale(&all);
    let standard = table.standardised(&all, &scale);
    let rows: Vec<&[f64]> = standard.iter().map(Vec::as_slice).collect();
    let whole = Logistic::fit(&rows, &cohort.outcomes, config.penalty)
        .ok_or(CohortError::OneClass { positive, negative })?;

    let folds = config.folds.clamp(2, rarer);
    let held = held_out(cohort, &table, &deal(&positive_of, folds, config.seed), folds, config);
    let scores: Vec<f32> = held.iter().map(|h| h.log_odds as f32).collect();
    let auroc_of = |rows: &[usize], scores: &[f32]| {
        let picked: Vec<f32> = rows.iter().map(|&i| scores[i]).collect();
        let labels: Vec<bool> = rows.iter().map(|&i| cohort.outcomes[i]).collect();
        roc_curve(&picked, &labels).auroc
    };
    let auroc = bootstrap_by_group(&patients, config.seed, config.resamples, |rows| auroc_of(rows, &scores));
    let importances = importances(&table, &held, &cohort.outcomes, auroc.mean, config);
    let separated = is_separated(&rows, &cohort.outcomes);
    let errors = match separated {
        true => vec![None; table.names.len()],
        false => standard_errors(&rows, &cohort.outcomes, &patients, config),
    };

    let mut attributes: Vec<AttributeEffect> = (0..table.names.len())
        .map(|j| {
            let values = table.column(j, &all, scale[j].median);
            let coefficient = whole.coefficients[j];
            let alone: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            AttributeEffect {
                name: table.names[j].clone(),
                mean: scale[j].mean,
                sd: scale[j].sd,
                missing: table.missing(j),
                coefficient,
                odds_ratio: coefficient.exp(),
                odds_ratio_interval: errors[j].map(|se| {
                    let by = NORMAL_95 * se;
                    ((coefficient - by).exp(), (coefficient + by).exp())
                }),
                auroc_alone: roc_curve(&alone, &cohort.outcomes).auroc,
                importance: importances[j],
                dependence: dependence(&whole, &rows, j, values, scale[j].mean, scale[j].sd),
            }
        })
        .collect();
    attributes.sort_by(|a, b| {
        let weight = |e: &AttributeEffect| e.importance.map_or(0.0, |i| i.mean);
        weight(b).total_cmp(&weight(a)).then(b.coefficient.abs().total_cmp(&a.coefficient.abs()))
    });

    let parted: Vec<&str> = attributes
        .iter()
        .filter(|a| a.auroc_alone.is_some_and(|auroc| auroc == 0.0 || auroc == 1.0))
        .map(|a| a.name.as_str())
        .collect();
    let per_attribute = rarer as f64 / attributes.len() as f64;
    let report = CohortReport {
        cases: cohort.rows.len(),
        positive_cases: cohort.outcomes.iter().filter(|&&y| y).count(),
        patients: positive_of.len(),
        positive_patients: positive,
        patients_per_attribute: per_attribute,
        folds,
        auroc,
        intercept: whole.intercept,
        warnings: warnings(&table, rarer, attributes.len(), per_attribute, &auroc, (separated, &parted)),
        attributes,
        left_out,
        config,
    };
    Ok(report)
}

fn check(cohort: &Cohort, config: CohortConfig) -> Result<(), CohortError> {
    let (rows, outcomes, patients) = (cohort.rows.len(), cohort.outcomes.len(), cohort.patients.len());
    let wide = cohort.rows.iter().all(|r| r.len() == cohort.names.len());
    if rows != outcomes || rows != patients || !wide {
        return Err(CohortError::Lengths { rows, outcomes, patients });
    }
    if !config.penalty.is_finite() || config.penalty <= 0.0 {
        return Err(CohortError::Penalty(config.penalty.to_string()));
    }
    Ok(())
}

/// A case as the regression saw it that was fitted without its patient.
struct HeldOut {
    log_odds: f64,
    /// The coefficients of that regression, and what centres and scales its attributes.
    model: std::sync::Arc<(Logistic, Vec<columns::Scale>)>,
}

fn held_out(
    cohort: &Cohort,
    table: &Table,
    fold_of: &BTreeMap<&str, usize>,
    folds: usize,
    config: CohortConfig,
) -> Vec<HeldOut> {
    let mut held: Vec<Option<HeldOut>> = cohort.rows.iter().map(|_| None).collect();
    for fold in 0..folds {
        let (test, train): (Vec<usize>, Vec<usize>) =
            (0..cohort.rows.len()).partition(|&i| fold_of.get(cohort.patients[i].as_str()) == Some(&fold));
        let scale = table.scale(&train);
        let standard = table.standardised(&train, &scale);
        let rows: Vec<&[f64]> = standard.iter().map(Vec::as_slice).collect();
        let outcomes: Vec<bool> = train.iter().map(|&i| cohort.outcomes[i]).collect();
        let Some(model) = Logistic::fit(&rows, &outcomes, config.penalty) else { continue };
        let model = std::sync::Arc::new((model, scale));
        for (&i, row) in test.iter().zip(table.standardised(&test, &model.1)) {
            held[i] = Some(HeldOut { log_odds: model.0.log_odds(&row), model: model.clone() });
        }
    }
    held.into_iter().flatten().collect()
}

/// What the pooled AUROC loses where each attribute's values are dealt anew among all cases.
fn importances(
    table: &Table,
    held: &[HeldOut],
    outcomes: &[bool],
    auroc: Option<f64>,
    config: CohortConfig,
) -> Vec<Option<Importance>> {
    let n = table.rows();
    let Some(auroc) = auroc.filter(|_| held.len() == n && config.repeats > 0) else {
        return vec![None; table.names.len()];
    };
    let of = |j: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed ^ DEALS);
        rng.set_stream(j as u64);
        let losses: Vec<f64> = (0..config.repeats)
            .filter_map(|_| {
                let mut dealt: Vec<usize> = (0..n).collect();
                for i in (1..n).rev() {
                    dealt.swap(i, below(&mut rng, i + 1));
                }
                let moved = |(i, h): (usize, &HeldOut)| {
                    let (model, scale) = &*h.model;
                    let by = table.standard(dealt[i], j, &scale[j]) - table.standard(i, j, &scale[j]);
                    (h.log_odds + model.coefficients[j] * by) as f32
                };
                let scores: Vec<f32> = held.iter().enumerate().map(moved).collect();
                Some(auroc - roc_curve(&scores, outcomes).auroc?)
            })
            .collect();
        let count = losses.len() as f64;
        let mean = losses.iter().sum::<f64>() / count;
        let sd = (losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / count).sqrt();
        (count > 0.0).then_some(Importance { mean, sd })
    };
    (0..table.names.len()).into_par_iter().map(of).collect()
}

/// Whether some weights of the attributes tell all cases with the outcome from all without: a regression that is hardly
/// held back finds them then.
fn is_separated(rows: &[&[f64]], outcomes: &[bool]) -> bool {
    let Some(free) = Logistic::fit(rows, outcomes, HARDLY) else { return false };
    let of = |outcome: bool| {
        rows.iter().zip(outcomes).filter(move |(_, o)| **o == outcome).map(|(row, _)| free.log_odds(row))
    };
    of(false).fold(f64::NEG_INFINITY, f64::max) < of(true).fold(f64::INFINITY, f64::min)
}

/// Standard errors of the coefficients, by refitting on resamples of patients.
fn standard_errors(
    rows: &[&[f64]],
    outcomes: &[bool],
    patients: &[&str],
    config: CohortConfig,
) -> Vec<Option<f64>> {
    let refit = |picked: &Vec<usize>| {
        let rows: Vec<&[f64]> = picked.iter().map(|&i| rows[i]).collect();
        let outcomes: Vec<bool> = picked.iter().map(|&i| outcomes[i]).collect();
        Logistic::fit(&rows, &outcomes, config.penalty).map(|m| m.coefficients)
    };
    let drawn = resampled_rows(patients, config.seed, config.resamples);
    let fitted: Vec<Vec<f64>> = drawn.par_iter().filter_map(refit).collect();
    let count = fitted.len() as f64;
    let enough = fitted.len() > 1 && count >= FITTED_SHARE * config.resamples as f64;
    let of = |j: usize| {
        let mean = fitted.iter().map(|c| c[j]).sum::<f64>() / count;
        let squares: f64 = fitted.iter().map(|c| (c[j] - mean).powi(2)).sum();
        enough.then(|| (squares / (count - 1.0)).sqrt())
    };
    (0..rows.first().map_or(0, |r| r.len())).map(of).collect()
}

fn dependence(
    model: &Logistic,
    rows: &[&[f64]],
    attribute: usize,
    mut values: Vec<f64>,
    mean: f64,
    sd: f64,
) -> Vec<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let [low, high] = GRID_ENDS.map(|p| percentile(&values, p).unwrap_or(mean));
    let grid: Vec<f64> = (0..GRID).map(|i| low + (high - low) * i as f64 / (GRID - 1) as f64).collect();
    let standard: Vec<f64> = grid.iter().map(|v| (v - mean) / sd).collect();
    grid.into_iter().zip(partial_dependence(model, rows, attribute, &standard)).collect()
}

fn warnings(
    table: &Table,
    rarer: usize,
    attributes: usize,
    per_attribute: f64,
    auroc: &Interval,
    (separated, parted): (bool, &[&str]),
) -> Vec<String> {
    let mut warnings = Vec::new();
    if separated {
        warnings.push(
            "the attributes together tell all cases with the outcome from all without (separation): only the penalty keeps their odds \
             ratios from growing without end, so that they have no intervals"
                .to_owned(),
        );
    }
    if !parted.is_empty() {
        warnings.push(format!(
            "{} by itself tells all cases with the outcome from all without: where it was made from the outcome, or the outcome from \
             it, right would be the other attributes without it",
            parted.join(", and ")
        ));
    }
    if per_attribute < PATIENTS_PER_ATTRIBUTE {
        warnings.push(format!(
            "too few cases: {rarer} patients of the rarer class for {attributes} attributes are {per_attribute:.1} for each, \
             right would be at least {PATIENTS_PER_ATTRIBUTE:.0}; coefficients and their order are not to be relied on, name \
             fewer attributes"
        ));
    }
    if auroc.few_groups {
        warnings.push("fewer than ten patients: the intervals are too narrow to be believed".to_owned());
    }
    if auroc.low.zip(auroc.high).is_some_and(|(low, high)| low <= 0.5 && high >= 0.5) {
        warnings.push(
            "the interval of the AUROC holds 0.5: these attributes may not predict the outcome at all"
                .to_owned(),
        );
    }
    let missing: BTreeSet<&str> =
        (0..table.names.len()).filter(|&j| table.missing(j) > 0).map(|j| table.names[j].as_str()).collect();
    if !missing.is_empty() {
        warnings.push(format!(
            "values are missing in {}: the median stands in for them",
            missing.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    warnings
}
