//! `split`: which patient is tested in which fold, as a file that `train` and `evaluate` take.

use super::{Context, data};
use crate::args::{ProfileName, SplitArgs};
use crate::failure::Usage;
use crate::output;
use anyhow::Result;
use gg_dataset::{LEAK, Split, SplitCase};
use gg_volume::Warning;
use serde::Serialize;
use std::collections::BTreeSet;

/// Folds where neither the user nor a table says how many.
const FOLDS: usize = 5;

#[derive(Serialize)]
struct Answer {
    kind: gg_dataset::SplitKind,
    leaking: bool,
    cases: usize,
    patients: usize,
    /// Patients tested in each fold; slices are dealt singly where the split leaks.
    patients_per_fold: Vec<usize>,
    always_trained_on: usize,
    warnings: Vec<Warning>,
}

pub(super) fn run(context: &Context, args: SplitArgs) -> Result<()> {
    if args.by_slice && args.profile != Some(ProfileName::Paper) {
        return Err(Usage(format!(
            "--by-slice makes {}; it exists to reproduce the paper, with --profile paper",
            LEAK
        ))
        .into());
    }
    output::check_file_free(&args.out, args.force, &[], |file| data::read_split(file).is_err())?;
    let (sets, _) = data::open(context, &args.dataset)?;
    let cases = sets.split_cases();
    let mut warnings = Vec::new();
    let own = data::own_folds(&cases).filter(|_| !args.by_slice && !args.ignore_table);
    let folds = args.folds.or(own).unwrap_or(FOLDS);
    if let Some(own) = own.filter(|&own| own != folds) {
        let warning = data::other_folds(own, folds);
        context.console.warn(&warning.message);
        warnings.push(warning);
    }
    let split = if args.by_slice {
        Split::by_slice(&data::with_slice_counts(&sets, &args.read.options())?, folds, args.seed)?
    } else if own == Some(folds) {
        context.console.say("taking the folds of the data set's own table; --ignore-table draws new ones");
        Split::from_table(&cases, args.seed)?
    } else {
        let free: Vec<SplitCase> = cases.into_iter().map(|c| SplitCase { fold: None, ..c }).collect();
        Split::by_patient(&free, folds, args.seed)?
    };
    if split.leaking() {
        context.console.warn(LEAK);
    }
    output::write_text(&args.out, &split.to_toml()?)?;
    let answer = summary(&split, warnings);
    context.answer(&answer, || {
        let folds: Vec<String> = answer.patients_per_fold.iter().map(usize::to_string).collect();
        format!(
            "{}: {} cases of {} patients in {} folds (patients tested: {}{}){}",
            args.out.display(),
            answer.cases,
            answer.patients,
            split.folds,
            folds.join(", "),
            match answer.always_trained_on {
                0 => String::new(),
                n => format!("; never tested, always trained on: {n}"),
            },
            if answer.leaking { format!("; {}", LEAK) } else { String::new() }
        )
    })
}

fn summary(split: &Split, warnings: Vec<Warning>) -> Answer {
    let patients = |keep: &dyn Fn(&gg_dataset::SplitEntry) -> bool| {
        split.cases.iter().filter(|e| keep(e)).map(|e| e.patient.as_str()).collect::<BTreeSet<_>>().len()
    };
    let tests = |e: &gg_dataset::SplitEntry, fold: usize| {
        e.fold == Some(fold) || e.slice_folds.as_ref().is_some_and(|f| f.contains(&fold))
    };
    Answer {
        kind: split.kind,
        leaking: split.leaking(),
        cases: split.cases.len(),
        patients: patients(&|_| true),
        patients_per_fold: (0..split.folds).map(|fold| patients(&|e| tests(e, fold))).collect(),
        always_trained_on: patients(&|e| e.part == Some(gg_dataset::Part::Train)),
        warnings,
    }
}
