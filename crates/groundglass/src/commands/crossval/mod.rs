//! `crossval`: every patient tested once by a network that never saw them. Each fold trains afresh, unless its network
//! is at hand (`--trained`), picks its thresholds on its own validation patients, if it has any, and is scored by
//! `evaluate`; the pooled scores follow from all cases together.

mod at_hand;
mod held_out;
mod split;
mod words;

use super::evaluate::evaluate;
use super::train::{inputs, told_beside_scores, train, without_int8};
use super::{Context, data};
use crate::args::{CacheArgs, CrossvalArgs, EvaluateArgs, FoldArgs, OutArgs, PartName, TaskName, TrainArgs};
use crate::evaluation_page::{self, Beside};
use crate::failure::Usage;
use crate::model_file::{self, BUNDLE};
use crate::output::{self, Held, Staged};
use crate::scoring::{self, Basis, CaseScores, Scores};
use crate::scoring_table;
use crate::settings::Settings;
use anyhow::{Context as _, Result};
use gg_dataset::{Part, Split};
use gg_volume::Warning;
pub(super) use held_out::{FittedInterval, HeldOutTemperature, recipe_sha256};
use held_out::{held_out_temperature, put_intervals};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The split in the folder of a cross-validation.
const SPLIT: &str = "split.toml";
/// The scores of all folds together, beside the folds.
const SCORES: &str = "scores";

/// The interval fitted on all folds, beside the scores; `models set-interval` puts it into a bundle.
const INTERVAL: &str = "interval.json";

/// `scores/scores.json`: what the folds say together.
#[derive(Serialize)]
struct CrossVal {
    task: &'static str,
    folds: usize,
    /// Cases that no fold tests: they are always trained on.
    never_tested: usize,
    /// Mean of each fold's own mean, in the order of the folds, so that their spread can be seen.
    per_fold: Vec<Option<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_out_temperature: Option<HeldOutTemperature>,
    #[serde(flatten)]
    scores: Scores,
}

pub(super) fn run(context: &Context, args: CrossvalArgs) -> Result<()> {
    let found = crossval(context, &args)?;
    context.answer(&found, || words::text(&found, &args.out.out))
}

fn crossval(context: &Context, args: &CrossvalArgs) -> Result<CrossVal> {
    without_int8(args.precision)?;
    let out = &args.out.out;
    let split_file = out.join(SPLIT);
    let models = args.init.iter().chain(&args.lung).chain(&args.teacher).chain(&args.trained);
    output::check_apart(&args.out.out, &inputs(&args.dataset, models))?;
    if args.lung.is_some() && args.task == TaskName::Lung {
        return Err(Usage(
            "--lung gives lungs to another task; right for lung would be no --lung".to_owned(),
        )
        .into());
    }
    if let Some(dir) = &args.trained {
        let inside = std::path::absolute(out)
            .is_ok_and(|out| std::path::absolute(dir).is_ok_and(|dir| out.starts_with(dir)));
        if inside {
            return Err(Usage(format!(
                "{} lies in the folder of --trained, {}; choose another folder for the outputs",
                out.display(),
                dir.display()
            ))
            .into());
        }
    }
    let (sets, mut warnings) = data::open(context, &args.dataset)?;
    let settings = Settings::resolve(&args.settings)?;
    let seed = args.seed.unwrap_or(settings.seed);
    let split = split::choose(context, args, &sets, seed, settings.validation_share, &mut warnings)?;
    at_hand::check(args, &sets, &split, &settings)?;
    let _held = enter(args, &split_file, &split)?;
    let context = &match args.trained {
        Some(_) => context.begun_anew_in(out),
        None => context.resumed_in(out),
    };

    let mut cases: Vec<CaseScores> = Vec::new();
    let mut folds_of_cases: Vec<usize> = Vec::new();
    let mut per_fold = Vec::new();
    let mut basis: Option<Basis> = None;
    for fold in 0..split.folds {
        context.console.say(format!("fold {fold} of 0 to {}", split.folds - 1));
        let scores = one_fold(context, args, &split_file, fold)?;
        per_fold.push(headline(&scores, args.task));
        let whole = basis.get_or_insert_with(|| Basis {
            leak: scores.leak.clone(),
            part: "test".to_owned(),
            fold: None,
            data_sets: Vec::new(),
            predictions: scores.predictions,
            models: Vec::new(),
            compute: scores.compute.clone(),
            resamples: args.resamples,
            warnings: std::mem::take(&mut warnings),
        });
        scoring::add_sets(&mut whole.data_sets, &scores.data_sets);
        whole.models.extend(scores.models);
        if let (Some(whole), Some(of_fold)) = (&mut whole.compute, &scores.compute) {
            whole.add(of_fold);
        }
        for warning in scores.warnings {
            if !whole.warnings.contains(&warning) {
                whole.warnings.push(warning);
            }
        }
        folds_of_cases.resize(cases.len() + scores.cases.len(), fold);
        cases.extend(scores.cases);
    }
    let basis = basis.context("the split has no folds")?;
    let interval = put_intervals(&mut cases, &folds_of_cases);
    let structure = if matches!(args.task, TaskName::Lung) { 0 } else { 1 };
    let voxels =
        folds_of_cases.iter().zip(&cases).filter_map(|(f, c)| Some((*f, c.voxels[structure].as_ref()?)));
    let (held_out_temperature, reliability) = held_out_temperature(voxels).unzip();
    let mut scores = scoring::sum_up(cases, basis);
    let scored = if structure == 0 { &mut scores.lung } else { &mut scores.infection };
    if let (Some(scored), Some(_)) = (scored, &reliability) {
        scored.reliability = reliability;
    }
    let found = CrossVal {
        task: args.task.task().name(),
        folds: split.folds,
        never_tested: split.cases.iter().filter(|e| e.part == Some(Part::Train)).count(),
        per_fold,
        held_out_temperature,
        scores,
    };
    let staged = Staged::begin(&out.join(SCORES), true, "scores.json")?;
    output::write_json(&staged.path().join("scores.json"), &found)?;
    output::write_text(&staged.path().join("scores.csv"), &scoring_table::to_csv(&found.scores)?)?;
    if let Some(fit) = interval {
        let (bundle, _) = model_file::read(&bundle_of(out, 0))?;
        let scans = found.scores.cases.iter().map(|c| c.sha256.clone()).collect::<BTreeSet<_>>();
        let fitted = FittedInterval {
            fit,
            recipe_sha256: Some(recipe_sha256(&bundle.info)?),
            scans: scans.into_iter().collect(),
        };
        output::write_json(&staged.path().join(INTERVAL), &fitted)?;
    }
    let notes = found.held_out_temperature.iter().map(words::temperature).collect();
    evaluation_page::write(staged.path(), &found.scores, Beside { notes, ..Beside::default() })?;
    staged.commit()?;
    Ok(found)
}

/// Takes the folder: a new one, or with `--resume` the one that was begun with the same split.
fn enter(args: &CrossvalArgs, split_file: &Path, split: &Split) -> Result<Held> {
    let out = &args.out.out;
    let text = split.to_toml()?;
    if args.resume && out.is_dir() {
        return output::resume(out, || {
            let begun = std::fs::read_to_string(split_file)
                .with_context(|| format!("{} holds no cross-validation to resume", out.display()))?;
            if begun != text {
                return Err(Usage(format!(
                    "{} was begun with another split; resume with the same data, folds and seed",
                    out.display()
                ))
                .into());
            }
            Ok(())
        });
    }
    let held = output::claim(
        out,
        args.out.force,
        &[SPLIT, "cache/*.ggcase", "cache/inputs.json"],
        &[("fold-*/run", BUNDLE), ("fold-*/scores", "scores.json"), (SCORES, "scores.json")],
    )?;
    output::write_text(split_file, &text)?;
    Ok(held)
}

/// Trains one fold, unless it is trained already or another's network is taken over, and scores it.
fn one_fold(context: &Context, args: &CrossvalArgs, split: &Path, fold: usize) -> Result<Scores> {
    let dir = args.out.out.join(format!("fold-{fold}"));
    let run = dir.join("run");
    let bundle = bundle_of(&args.out.out, fold);
    let fold_args = FoldArgs { split: Some(split.to_owned()), fold: Some(fold) };
    let cache =
        CacheArgs { cache: Some(args.cache.cache.clone().unwrap_or_else(|| args.out.out.join("cache"))) };
    let warnings = if let Some(trained) = &args.trained {
        let from = bundle_of(trained, fold);
        let bytes = std::fs::read(&from).with_context(|| format!("reading {}", from.display()))?;
        let _held = output::claim(&run, false, &[BUNDLE], &[])?;
        gg_io::atomic_write(&bundle, |file| file.write_all(&bytes))
            .with_context(|| format!("writing {}", bundle.display()))?;
        remarks_of(&trained.join(format!("fold-{fold}")).join("scores").join("scores.json"))
    } else {
        // A fold that is trained already is compared with what it was begun with, trains no epoch, and is written out
        // again.
        let args = TrainArgs {
            task: args.task,
            dataset: args.dataset.clone(),
            out: OutArgs { out: run, force: false },
            resume: args.resume,
            seed: args.seed,
            name: None,
            bundle: args.bundle.clone(),
            precision: args.precision,
            init: args.init.as_ref().map(|folds| bundle_of(folds, fold)),
            teacher: args.teacher.iter().map(|folds| bundle_of(folds, fold)).collect(),
            cache: cache.clone(),
            fold: fold_args.clone(),
            settings: args.settings.clone(),
            read: args.read.clone(),
        };
        train(context, &args)?.warnings
    };
    let mut model = vec![bundle];
    model.extend(args.lung.as_ref().map(|lungs| bundle_of(lungs, fold)));
    let mut scores = evaluate(
        context,
        &EvaluateArgs {
            dataset: args.dataset.clone(),
            model,
            pred: None,
            part: PartName::Test,
            out: OutArgs { out: dir.join("scores"), force: true },
            cache,
            fold: fold_args,
            read: args.read.clone(),
            resamples: args.resamples,
            precision: None,
        },
    )
    .with_context(|| format!("fold {fold}"))?;
    scores.warnings.extend(warnings.into_iter().filter(told_beside_scores));
    Ok(scores)
}

/// What was remarked beside a fold's scores, where there are some.
fn remarks_of(scores: &Path) -> Vec<Warning> {
    #[derive(Deserialize)]
    struct Remarked {
        warnings: Vec<Warning>,
    }
    let text = std::fs::read_to_string(scores).ok();
    text.and_then(|text| serde_json::from_str::<Remarked>(&text).ok()).map_or(Vec::new(), |r| r.warnings)
}

/// The network of one fold in the folder of a cross-validation.
fn bundle_of(crossval: &Path, fold: usize) -> PathBuf {
    crossval.join(format!("fold-{fold}")).join("run").join(BUNDLE)
}

/// The one number of a task: mean Dice over volumes, or AUROC over slices.
pub(super) fn headline(scores: &Scores, task: TaskName) -> Option<f64> {
    match task {
        TaskName::Classify => scores.classification.as_ref().or(scores.images.as_ref())?.scores.auroc,
        TaskName::Lung => scores.lung.as_ref()?.summary.dice.mean,
        TaskName::Infection => scores.infection.as_ref()?.summary.dice.mean,
    }
}
