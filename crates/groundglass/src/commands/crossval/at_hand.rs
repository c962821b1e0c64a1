//! The networks that a cross-validation takes from others: looked for, and asked whom they know, before its first training.

use super::bundle_of;
use crate::args::CrossvalArgs;
use crate::commands::train::{can_teach, held_out, question, refuse_held_out, refuse_twice, taken_over};
use crate::model_file;
use crate::settings::Settings;
use anyhow::{Result, bail};
use gg_dataset::{Datasets, Split, Task};
use gg_nn::Bundle;
use std::path::Path;

/// Refuses what is no folder of folds, networks for another task or question, and those that know a patient whom their fold
/// tests.
pub(super) fn check(args: &CrossvalArgs, sets: &Datasets, split: &Split, settings: &Settings) -> Result<()> {
    // Each fold's training is long: what it will need at its end is looked for before its beginning.
    let begun = args.init.iter().map(|dir| ("--init", dir));
    let others =
        args.lung.iter().map(|dir| ("--lung", dir)).chain(args.teacher.iter().map(|dir| ("--teacher", dir)));
    let again = args.trained.iter().map(|dir| ("--trained", dir));
    for (option, dir) in begun.chain(others).chain(again) {
        if !dir.join("fold-0").is_dir() {
            bail!(
                "{}: holds no folds, right for {option} would be the folder of a finished `crossval`",
                dir.display()
            );
        }
    }
    let question = question(sets, args.task.task())?;
    for fold in 0..split.folds {
        let parts = split.parts(fold)?;
        let names = held_out(&parts);
        let refuse_held_out = |bundle: &Bundle, path: &Path| {
            let cases = sets.cases().filter(|c| names.contains(c.case_id.as_str()));
            refuse_held_out(bundle, path, cases.map(|c| (c.patient.as_str(), None)))
        };
        if let Some(init) = &args.init {
            let path = bundle_of(init, fold);
            let (bundle, _) = model_file::read_single(&path)?;
            taken_over(&bundle, &path, &settings.task(args.task.task()).network)?;
            refuse_held_out(&bundle, &path)?;
        }
        if let Some(trained) = &args.trained {
            let path = bundle_of(trained, fold);
            let (bundle, _) = model_file::read(&path)?;
            let (found, right) = (bundle.info.task, args.task.task());
            if found != right {
                bail!(
                    "{}: found a network for the task {}, right would be {}",
                    path.display(),
                    found.name(),
                    right.name()
                );
            }
            refuse_held_out(&bundle, &path)?;
        }
        let mut teachers = Vec::new();
        for teacher in &args.teacher {
            let path = bundle_of(teacher, fold);
            let (bundle, _) = model_file::read(&path)?;
            can_teach(&bundle, &path, (args.task.task(), question), settings)?;
            refuse_held_out(&bundle, &path)?;
            teachers.push((path, bundle));
        }
        refuse_twice(&teachers)?;
        if let Some(lungs) = &args.lung {
            let path = bundle_of(lungs, fold);
            let (bundle, _) = model_file::read(&path)?;
            if bundle.info.task != Task::Lung {
                bail!(
                    "{}: found a network for the task {}, right would be lung",
                    path.display(),
                    bundle.info.task.name()
                );
            }
            // Infection is scored inside the lungs that it finds, and the interval is fitted on that.
            refuse_held_out(&bundle, &path)?;
        }
    }
    Ok(())
}
