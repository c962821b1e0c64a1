//! Remarks on several cases at once.

use super::{Scored, mask_file, otherwise, predictions};
use crate::scoring::CaseScores;
use gg_dataset::{LoadedCase, MASK_ELSEWHERE, Structure};
use gg_eval::MaskState;
use gg_volume::Warning;

/// Cases named in a remark; more of them are counted.
const NAMED_CASES: usize = 5;

/// All remarks on the cases together; scores of missing predictions are counted here.
pub(super) fn on_all(scored: &mut [Scored]) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = elsewhere(scored).into_iter().collect();
    for code in [LoadedCase::LUNGS_EMPTY, mask_file::UNPLACED, mask_file::AT_CORNER, predictions::TWICE] {
        warnings.extend(of_cases(scored, code));
    }
    let otherwise: Vec<_> =
        scored.iter().filter_map(|s| Some((s.case.case_id.as_str(), s.otherwise.as_ref()?))).collect();
    warnings.extend(otherwise::remark(&otherwise, scored.len()));
    warnings.extend(without_lungs(scored));
    let missing = count_missing(scored);
    warnings.extend(missing.into_iter().map(|message| Warning::new("prediction_missing", message)));
    warnings
}

/// The first of some names, and how many there are besides.
pub(super) fn some(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED_CASES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_CASES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Names the cases of which a true mask does not lie where its CT does: their scores may compare the wrong voxels.
fn elsewhere(scored: &[Scored]) -> Option<Warning> {
    let is_elsewhere = |s: &&Scored| s.case.warnings.iter().any(|w| w.code == MASK_ELSEWHERE);
    let names: Vec<&str> = scored.iter().filter(is_elsewhere).map(|s| s.case.case_id.as_str()).collect();
    (!names.is_empty()).then(|| {
        Warning::new(
            MASK_ELSEWHERE,
            format!(
                "in {} of {} cases ({}) the header of a true mask places it elsewhere than its CT; the voxels were matched by \
                 their indices",
                names.len(),
                scored.len(),
                some(&names)
            ),
        )
    })
}

/// What was remarked on single cases under a code: each sentence once, with the cases that it is said of.
fn of_cases(scored: &[Scored], code: &str) -> Vec<Warning> {
    let mut said: Vec<(&str, Vec<&str>)> = Vec::new();
    for Scored { case, .. } in scored {
        for warning in case.warnings.iter().filter(|w| w.code == code) {
            match said.iter_mut().find(|(message, _)| *message == warning.message) {
                Some((_, names)) => names.push(&case.case_id),
                None => said.push((&warning.message, vec![&case.case_id])),
            }
        }
    }
    let of = scored.len();
    let told = |(message, names): &(&str, Vec<&str>)| {
        Warning::new(code, format!("in {} of {of} cases ({}) {message}", names.len(), some(names)))
    };
    said.iter().map(told).collect()
}

/// Whether a case has an infected percentage in truth and none in prediction, because no lung was predicted.
pub(super) fn lacks_lungs(case: &CaseScores) -> bool {
    let empty = |s: gg_eval::SegScores| s.state == MaskState::OneEmpty && s.counts.tp + s.counts.fp == 0;
    case.percent_of_lung.is_some_and(|p| p.truth.is_some() && p.pred.is_none())
        && case.lung.is_some_and(empty)
        && case.infection.is_some_and(|s| s.state != MaskState::Missing)
}

/// Names the cases whose predicted lungs are empty: they have no infected percentage.
fn without_lungs(scored: &[Scored]) -> Option<Warning> {
    let names: Vec<&str> =
        scored.iter().filter(|s| lacks_lungs(&s.case)).map(|s| s.case.case_id.as_str()).collect();
    (!names.is_empty()).then(|| {
        Warning::new(
            "predicted_lungs_empty",
            format!(
                "the predicted lungs of {} of {} cases ({}) are empty: there is no infected percentage of them, and the error of \
                 the percentage leaves them out",
                names.len(),
                scored.len(),
                some(&names)
            ),
        )
    })
}

/// Where some cases have a prediction of a structure and others none, those count as Dice 0; says so.
fn count_missing(scored: &mut [Scored]) -> Vec<String> {
    let mut messages = Vec::new();
    for (i, structure) in Structure::BOTH.into_iter().enumerate() {
        if scored.iter().all(|s| s.case.of(structure).is_none()) {
            continue;
        }
        let of = scored.len();
        let mut names: Vec<&str> = Vec::new();
        for Scored { case, missing, .. } in scored.iter_mut() {
            let Some(scores) = missing[i].take() else { continue };
            match structure {
                Structure::Lung => case.lung = Some(scores),
                Structure::Infection => case.infection = Some(scores),
            }
            names.push(&case.case_id);
        }
        if !names.is_empty() {
            messages.push(format!(
                "{} of {of} cases have a true {} mask and no predicted one ({}): each counts as Dice 0",
                names.len(),
                structure.name(),
                some(&names)
            ));
        }
    }
    messages
}
