//! Remarks on several cases at once.

use super::Scored;
use gg_dataset::{MASK_ELSEWHERE, Structure};
use gg_volume::Warning;

/// Cases named in a remark; more of them are counted.
const NAMED_CASES: usize = 5;

fn some(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED_CASES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_CASES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Names the cases of which a true mask does not lie where its CT does: their scores may compare the wrong voxels.
pub(super) fn elsewhere(scored: &[Scored]) -> Option<Warning> {
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

/// Where some cases have a prediction of a structure and others none, those count as Dice 0; says so.
pub(super) fn count_missing(scored: &mut [Scored]) -> Vec<String> {
    let mut messages = Vec::new();
    for (i, structure) in Structure::BOTH.into_iter().enumerate() {
        if scored.iter().all(|s| s.case.of(structure).is_none()) {
            continue;
        }
        let of = scored.len();
        let mut names: Vec<&str> = Vec::new();
        for Scored { case, missing } in scored.iter_mut() {
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
