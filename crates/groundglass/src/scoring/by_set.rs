//! The main numbers of each data set by itself: annotators, grey values and the choice of slices differ between sets, so
//! that a mean over several says little about any of them.

use super::{CaseScores, free, percentages, told_apart};
use gg_dataset::Structure;
use gg_eval::{BlandAltman, ByBurden, FreeSummary, Interval, SegScores, summarize};
use serde::Serialize;

/// One data set. Each part is `None` where nothing of the kind was scored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SetScores {
    /// Index among the data sets that were scored.
    pub(crate) data_set: usize,
    pub(crate) cases: usize,
    /// Dice of the lungs: mean over patients of the mean over each one's cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lung_dice: Option<Interval>,
    /// Dice of the infection, likewise, of all cases that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) infection_dice: Option<Interval>,
    /// The infection of volumes with and (nearly) without it, told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) infection_by_burden: Option<ByBurden>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) percent_of_lung: Option<BlandAltman>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) infection_free_slices: Option<FreeSummary>,
}

/// The scores of each of several data sets in which anything was segmented; none of a single one, which would say the same
/// again.
pub(super) fn by_set(cases: &[CaseScores], sets: usize, resamples: usize) -> Vec<SetScores> {
    if sets < 2 {
        return Vec::new();
    }
    let of = |data_set: usize| {
        let own: Vec<CaseScores> = cases.iter().filter(|c| c.data_set == data_set).cloned().collect();
        let segmented = own.iter().any(|c| c.lung.is_some() || c.infection.is_some());
        segmented.then(|| SetScores {
            data_set,
            cases: own.len(),
            lung_dice: dice(&own, Structure::Lung, resamples),
            infection_dice: dice(&own, Structure::Infection, resamples),
            infection_by_burden: told_apart(&own, resamples),
            percent_of_lung: percentages(&own),
            infection_free_slices: free(&own, resamples),
        })
    };
    (0..sets).filter_map(of).collect()
}

/// Mean over patients, with an interval over patients.
fn dice(cases: &[CaseScores], structure: Structure, resamples: usize) -> Option<Interval> {
    let scored: Vec<(&str, SegScores)> =
        cases.iter().filter_map(|c| Some((c.patient.as_str(), c.of(structure)?))).collect();
    (!scored.is_empty()).then(|| summarize(&scored, super::BOOTSTRAP_SEED, resamples).dice_over_patients)
}
