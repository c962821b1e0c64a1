//! Which split a cross-validation goes by.

use super::SPLIT;
use crate::args::{CrossvalArgs, FoldArgs};
use crate::commands::{Context, data};
use crate::failure::Usage;
use anyhow::Result;
use gg_dataset::{Datasets, LEAK, Part, Split, SplitCase};
use gg_volume::Warning;
use std::collections::BTreeSet;

/// The split that was named, the data sets' own folds, or one by patient.
pub(super) fn choose(
    context: &Context,
    args: &CrossvalArgs,
    sets: &Datasets,
    seed: u64,
    validation_share: f64,
    warnings: &mut Vec<Warning>,
) -> Result<Split> {
    // Networks that are at hand were trained under the split that lies with them.
    let theirs = args.trained.iter().map(|dir| dir.join(SPLIT)).find(|file| file.is_file());
    let named = args.split.clone().or(if args.folds.is_none() { theirs } else { None });
    let fold = FoldArgs { split: named, fold: Some(0) };
    let mut remark = None;
    let split = match args.folds {
        Some(_) if args.split.is_some() => {
            return Err(
                Usage("--folds and --split both say how many folds there are; give one".to_owned()).into()
            );
        }
        Some(folds) => {
            let cases = sets.split_cases();
            let own = data::own_folds(&cases);
            let split = if own == Some(folds) && all_dealt(&cases) {
                context.console.say("taking the folds of the data set's own table");
                Split::from_table(&cases, seed)?
            } else {
                let free: Vec<SplitCase> = cases.into_iter().map(|c| SplitCase { fold: None, ..c }).collect();
                remark = own.map(|own| data::other_folds(own, folds));
                Split::by_patient(&free, folds, seed)?
            };
            Split { validation_share, ..split }
        }
        None => data::choose(context, sets, &fold, seed, validation_share)?.split,
    };
    if split.leaking() {
        return Err(Usage(format!(
            "with a split by slice {LEAK}; a cross-validation takes a split by patient, `audit --measure` shows what slices do"
        ))
        .into());
    }
    if split.folds < 2 {
        return Err(Usage(format!(
            "found a split of {} folds, right for a cross-validation would be at least 2; `train` and `evaluate` take fixed \
             parts as they are",
            split.folds
        ))
        .into());
    }
    for fold in 0..split.folds {
        if split.parts(fold)?.test().is_empty() {
            return Err(Usage(format!(
                "the split has {} folds, and no case is in fold {fold}; right would be cases in each of 0 to {}",
                split.folds,
                split.folds - 1
            ))
            .into());
        }
    }
    if let Some(tested) = split.cases.iter().find(|e| e.part == Some(Part::Test)) {
        return Err(Usage(format!(
            "the case {} has the fixed part `test` beside {} folds, so that every fold's network would be scored on it; \
             right would be a fold for it, or the part `train` or `val`",
            tested.case, split.folds
        ))
        .into());
    }
    if let Some(remark) = remark {
        context.console.warn(&remark.message);
        warnings.push(remark);
    }
    Ok(split)
}

/// Whether each case, or another of its patient, has a fold or a part in a data set's own table.
fn all_dealt(cases: &[SplitCase]) -> bool {
    let dealt: BTreeSet<&str> =
        cases.iter().filter(|c| c.fold.is_some() || c.part.is_some()).map(|c| c.patient.as_str()).collect();
    cases.iter().all(|c| dealt.contains(c.patient.as_str()))
}
