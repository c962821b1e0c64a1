//! How the attributes of a cohort's cases move the prediction of an outcome: logistic regression, cross-validated by
//! patient, with what each attribute contributes.
//!
//! * Attributes that have one value, are mostly missing, or follow from others are left out and named ([`LeftOut`]).
//! * Missing values are the median of the cases that the regression was fitted on; they are counted.
//! * Attributes are standardised. The regression has one L2 penalty for all; the AUROC, importance and partial
//!   dependence are its own.
//! * Odds ratios, per standard deviation, and their intervals are those of a second regression, without a penalty
//!   (`odds.rs`): the first one's coefficients are drawn to 0 on purpose.
//! * The AUROC is that of cases whose patients the regression never saw, over pairs of the same fold (`held_out.rs`);
//!   its interval is by bootstrap over patients.
//! * Importance is what this AUROC loses where an attribute's values are dealt anew among all cases (Breiman 2001,
//!   Fisher et al. 2019); it can fall below 0 by chance.
//! * An attribute says how the prediction moves, not what causes the outcome.

mod columns;
mod folds;
mod held_out;
mod odds;
#[cfg(test)]
mod tests;

use crate::bootstrap::{Interval, percentile};
use crate::logistic::{Logistic, partial_dependence};
use crate::roc_curve;
use columns::Table;
use folds::deal;
use held_out::{auroc, held_out, importances};
use odds::{OddsRatios, odds_ratios};
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
    /// L2 penalty of the standardised coefficients; odds ratios are without it.
    pub penalty: f64,
    /// Folds of the cross-validation; fewer where a class has fewer patients.
    pub folds: usize,
    /// How often each attribute is dealt anew.
    pub repeats: usize,
    /// Bootstrap resamples behind the interval of the AUROC.
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

/// What the AUROC loses without an attribute.
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
    /// Change of the log-odds per standard deviation, of the regression with the penalty: nearer to 0 than without.
    pub penalised_coefficient: f64,
    /// Factor of the odds per standard deviation, of the regression without a penalty; `None` where separation leaves
    /// none.
    pub odds_ratio: Option<f64>,
    /// Ends of its 95 % interval over patients; `None` where there is no odds ratio.
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
    /// Folds of the cross-validation.
    pub folds: usize,
    /// AUROC of cases whose patients were not seen, over pairs of the same fold; without a value where there are none.
    pub auroc: Interval,
    /// Pairs of a case with the outcome and one without that the AUROC compares.
    pub auroc_pairs: usize,
    /// Log-odds of a case with all attributes at their mean, of the regression with the penalty.
    pub penalised_intercept: f64,
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
    let (auroc, auroc_pairs) = auroc(&held, cohort, config);
    let auroc = auroc.decided_by(rarer);
    let importances = importances(&table, &held, &cohort.outcomes, auroc.mean, config);
    let odds = odds_ratios(&rows, &cohort.outcomes, &patients);

    let mut attributes: Vec<AttributeEffect> = (0..table.names.len())
        .map(|j| {
            let values = table.column(j, &all, scale[j].median);
            let alone: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            AttributeEffect {
                name: table.names[j].clone(),
                mean: scale[j].mean,
                sd: scale[j].sd,
                missing: table.missing(j),
                penalised_coefficient: whole.coefficients[j],
                odds_ratio: odds.of(j).map(|o| o.ratio),
                odds_ratio_interval: odds.of(j).map(|o| o.interval),
                auroc_alone: roc_curve(&alone, &cohort.outcomes).auroc,
                importance: importances[j],
                dependence: dependence(&whole, &rows, j, values, scale[j].mean, scale[j].sd),
            }
        })
        .collect();
    attributes.sort_by(|a, b| {
        let weight = |e: &AttributeEffect| e.importance.map_or(0.0, |i| i.mean);
        weight(b)
            .total_cmp(&weight(a))
            .then(b.penalised_coefficient.abs().total_cmp(&a.penalised_coefficient.abs()))
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
        auroc_pairs,
        penalised_intercept: whole.intercept,
        warnings: warnings(&table, rarer, per_attribute, &auroc, &odds, &parted),
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
    per_attribute: f64,
    auroc: &Interval,
    odds: &OddsRatios,
    parted: &[&str],
) -> Vec<String> {
    let attributes = table.names.len();
    let mut warnings = Vec::new();
    warnings.extend(odds_warning(table, odds));
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
             right would be at least {PATIENTS_PER_ATTRIBUTE:.0}; coefficients and their order are not to be relied on, \
             and odds ratios tend to lie too far from 1; name fewer attributes"
        ));
    }
    if auroc.few_groups {
        warnings.push(
            "fewer than ten patients of the rarer class: the interval of the AUROC is too narrow to be believed".to_owned(),
        );
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

/// Why some attributes, or all, have no odds ratio.
fn odds_warning(table: &Table, odds: &OddsRatios) -> Option<String> {
    match odds {
        OddsRatios::Separated => Some(
            "the attributes together tell all cases with the outcome from all without (separation): without a penalty their \
             odds ratios grow without end, so that there are none and no intervals"
                .to_owned(),
        ),
        OddsRatios::NotFitted => Some(
            "the regression could not be fitted without a penalty: there are no odds ratios and no intervals"
                .to_owned(),
        ),
        OddsRatios::Found(found) => {
            let without = table.names.iter().zip(found).filter(|(_, o)| o.is_none());
            let names: Vec<&str> = without.map(|(name, _)| name.as_str()).collect();
            (!names.is_empty()).then(|| {
                format!(
                    "{}: some values, alone or together, go with one outcome alone (quasi-complete separation): without a penalty \
                     the odds ratios grow without end, so that there are none and no intervals; those of the other attributes hold",
                    names.join(", ")
                )
            })
        }
    }
}
