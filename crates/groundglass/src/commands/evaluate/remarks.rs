//! Remarks on several cases at once.

use super::Scored;
use gg_dataset::{MASK_ELSEWHERE, Structure};
use gg_volume::Warning;

/// Cases named in a remark; more of them are counted.
const NAMED_CASES: usize = 5;

/// Names the cases of which a true mask does not lie where its CT does: their scores may compare the wrong voxels.
pub(super) fn elsewhere(scored: &[Scored]) -> Option<Warning> {
    let is_elsewhere = |s: &&Scored| s.case.warnings.iter().any(|w| w.code == MASK_ELSEWHERE);
    let names: Vec<&str> = scored.iter().filter(is_elsewhere).map(|s| s.case.case_id.as_str()).collect();
    let some = names.iter().take(NAMED_CASES).copied().collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMED_CASES { ", ..." } else { "" };
    (!names.is_empty()).then(|| {
        Warning::new(
            MASK_ELSEWHERE,
            format!(
                "in {} of {} cases ({some}{more}) the header of a true mask places it elsewhere than its CT; the voxels were \
                 matched by their indices",
                names.len(),
                scored.len()
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
        let mut names = Vec::new();
        for Scored { case, missing } in scored.iter_mut() {
            let Some(scores) = missing[i].take() else { continue };
            match structure {
                Structure::Lung => case.lung = Some(scores),
                Structure::Infection => case.infection = Some(scores),
            }
            names.push(case.case_id.clone());
        }
        if !names.is_empty() {
            let n = names.len();
            let more = if n > NAMED_CASES { format!(" and {} more", n - NAMED_CASES) } else { String::new() };
            names.truncate(NAMED_CASES);
            messages.push(format!(
                "{n} of {of} cases have a true {} mask and no predicted one ({}{more}): each counts as Dice 0",
                structure.name(),
                names.join(", ")
            ));
        }
    }
    messages
}
