//! Measures: how well masks and classifiers agree with the truth, and how much of a lung is infected.
//!
//! * masks: [`seg_scores`] (overlap, HD95, NSD), [`missing_scores`] where there is no prediction, [`summarize`] over
//!   patients, [`by_burden`] by how much there is to find, [`free_slices`] where there is
//!   nothing;
//! * classifiers: [`roc_curve`], [`pr_curve`], [`youden_threshold`], [`class_scores`], [`calibration`], [`LogitCounts`]
//!   with the temperature that makes probabilities mean what they say;
//! * slices: [`AreaFit`] weighs a classifier against the infected area;
//! * one CT: [`patient_score`] from its slices;
//! * uncertainty: [`bootstrap_by_group`] over patients; [`IntervalFit`] around one patient's percentage;
//! * agreement of two measurements: [`bland_altman`];
//! * what tissue looks like: [`attenuation`];
//! * what explains an outcome: [`explain_cohort`];
//! * the burden of infection: [`burden`];
//! * what speaks against a CT or its masks: [`check_apex`], [`check_field_of_view`] and [`check_proportions`] by the
//!   shape and place of lungs, [`check_noise`], [`check_blur`] and [`check_spine`] by grey values.
//!
//! What has no value (a mean of nothing, a Dice of two empty masks) is `None`, never 0 or NaN.

mod agreement;
mod anatomy;
mod area_fit;
mod attenuation;
mod bootstrap;
mod burden;
mod by_burden;
mod calibration;
mod classify;
mod cohort;
mod contour;
mod infection_free;
mod interval;
mod logistic;
mod patient;
mod picture;
mod pr;
mod roc;
mod seg;
mod severity;
mod sides;
mod summary;
mod surface;
mod surfel;
mod temperature;
mod zones;

pub use agreement::{BlandAltman, bland_altman};
pub use anatomy::{check_apex, check_field_of_view, check_proportions};
pub use area_fit::{AreaFit, CalledScan, CalledSlice, HeldOutSlice, Stacked};
pub use attenuation::{Attenuation, Texture, Tissue, attenuation, plausible_hu};
pub use bootstrap::{Interval, bootstrap_by_group};
pub use burden::{Amount, Burden, Infected, Part, Sides, burden};
pub use by_burden::{ByBurden, INFECTED_PERCENT, ScoredVolume, by_burden};
pub use calibration::{Calibration, CalibrationBin, calibration};
pub use classify::{ClassScores, Confusion, class_scores, class_scores_called, confusion};
pub use cohort::{
    AttributeEffect, Cohort, CohortConfig, CohortError, CohortReport, Importance, LeftOut,
    PATIENTS_PER_ATTRIBUTE, explain_cohort,
};
pub use infection_free::{FreeSlices, FreeSummary, free_slices};
pub use interval::{Coverage, CrossFit, INTERVAL_LEVEL, IntervalFit, Predicted, coverage, cross_fit};
pub use patient::{PatientScore, patient_score};
pub use picture::{check_blur, check_noise, check_spine};
pub use pr::{PrCurve, pr_curve};
pub use roc::{RocCurve, roc_curve, youden_threshold};
pub use seg::{MaskState, SegCounts, SegScores, missing_scores, seg_scores};
pub use severity::Severity;
pub use summary::{SegSummary, mean_known, median, summarize};
pub use temperature::{HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, LogitCounts, TemperatureFit};
pub use zones::{Side, Third, Zone};
