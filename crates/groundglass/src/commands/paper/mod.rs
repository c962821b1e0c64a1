//! `paper`: the paper from data to figures under its own split by slice, beside the same recipes under a split by patient,
//! and each of its faults with what repairing it changes.

mod faults;
mod figures;
mod measure;
mod page;
mod plan;

use super::evaluate::{Pictures, evaluate_with_pictures};
use super::train::{told_beside_scores, train};
use super::{Context, data};
use crate::args::{
    BundleArgs, CacheArgs, EvaluateArgs, FoldArgs, OutArgs, PaperArgs, PartName, PrecisionName, StoreName,
    TrainArgs,
};
use crate::failure::Usage;
use crate::model_file::BUNDLE;
use crate::output::{self, Held};
use crate::progress::duration;
use crate::scoring::Scores;
use crate::settings::Settings;
use anyhow::{Context as _, Result, bail};
use faults::{All, Fault};
use gg_dataset::{Cache, Datasets, Part, Parts, SampleSource as _, Split, SplitCase, Task};
use gg_volume::{IntensityKind, Warning};
use page::{Basis, ResultRow};
use plan::{Recipe, Run, SplitName};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What networks are predicted in, on any processor: scores and faults speak of the same calls.
const PREDICTED_IN: PrecisionName = PrecisionName::Fp32;

/// All files besides those of the folders with markers of their own.
const FILES: [&str; 11] = [
    "slice-split.toml",
    "patient-split.toml",
    "settings.toml",
    "report.html",
    "paper.json",
    "paper.md",
    "paper/*.svg",
    "figures/*.png",
    "figures/*.svg",
    "cache/*.ggcase",
    "cache/inputs.json",
];

/// `paper.json`.
#[derive(Serialize)]
struct Answer {
    schema_version: u32,
    #[serde(flatten)]
    basis: Basis,
    results: Vec<ResultRow>,
    faults: Vec<Fault>,
}

/// What was scored of one network of the paper's recipe.
struct Scored {
    run: Run,
    scores: Scores,
    pictures: Pictures,
}

/// Settings as typed, without those whose key stands again further on: the last one counts.
fn last_of_each_key(set: &[String]) -> Vec<String> {
    let key = |setting: &String| setting.split('=').next().map(str::trim).map(str::to_owned);
    let again = |i: usize| set[i + 1..].iter().any(|later| key(later) == key(&set[i]));
    (0..set.len()).filter(|&i| !again(i)).map(|i| set[i].clone()).collect()
}

/// The splits and parts of both kinds.
struct Splits {
    parts: [Parts; 2],
    /// Said where the patients that are tested answer no question about slices without infection.
    remark: Option<Warning>,
}

impl Splits {
    fn parts(&self, split: SplitName) -> &Parts {
        &self.parts[usize::from(split == SplitName::Patient)]
    }
}

pub(super) fn run(context: &Context, args: &PaperArgs) -> Result<()> {
    let out = &args.out.out;
    output::check_apart(out, &args.dataset)?;
    let settings_args = plan::base(args)?;
    let mut settings = Settings::resolve(&settings_args)?;
    settings.seed = args.seed.unwrap_or(settings.seed);
    settings.remarks().iter().for_each(|remark| context.console.warn_once(remark));
    let (sets, mut warnings) = data::open(context, &args.dataset)?;
    let _held = enter(args, &settings)?;
    let context = &context.resumed_in(out);
    let cache_dir = args.cache.cache.clone().unwrap_or_else(|| out.join("cache"));
    let cache = data::build_cache(context, &sets, &settings, args.read.options(), &cache_dir)?;
    warnings.extend(cache.warnings());
    let splits = splits(args, &sets, &cache, &settings)?;
    if let Some(remark) = &splits.remark {
        context.console.warn(&remark.message);
        warnings.push(remark.clone());
    }
    let hu = cache.summary().intensity.contains_key(IntensityKind::Hu.name());
    let runs = plan::runs(hu);

    let prepared = figures::preparation(args, &sets, &cache, &settings)?;
    warnings.extend(train_all(context, args, &settings, &cache, &splits, &runs, &cache_dir)?);
    drop(cache);

    let mut scored = Vec::new();
    for &run in runs.iter().filter(|r| r.recipe == Recipe::Paper) {
        let (scores, pictures) = evaluate_with_pictures(context, &evaluate_args(args, run, &cache_dir))
            .with_context(|| format!("scoring {}", run.words()))?;
        scored.push(Scored { run, scores, pictures });
    }
    let bundles: Vec<PathBuf> = runs.iter().map(|r| folder(out, *r).join(BUNDLE)).collect();
    let of_runs: Vec<(Run, &Parts, &Path)> = runs
        .iter()
        .zip(&bundles)
        .map(|(run, path)| (*run, splits.parts(run.split), path.as_path()))
        .collect();
    let (cases, measured) = measure::measure(context, args, &sets, &of_runs, &cache_dir)?;
    let all = All { cases: &cases, measured: &measured };

    let changed = last_of_each_key(&settings_args.set);
    let basis = Basis::new(args, &settings, &sets, &cases.patients, changed, warnings);
    let answer = Answer {
        schema_version: 1,
        results: page::results(out, &scored, &all)?,
        faults: faults::faults(&all),
        basis,
    };
    let drawn = figures::networks(&settings)?;
    let drawn = prepared.into_iter().chain(drawn).chain(figures::results(out, &scored)?).collect();
    page::write(out, &answer.basis, &answer.results, &answer.faults, drawn, &scored)?;
    output::write_json(&out.join("paper.json"), &answer)?;
    context.answer(&answer, || page::text(&answer.results, &answer.faults, out))
}

/// The folder of a run.
fn folder(out: &Path, run: Run) -> PathBuf {
    out.join("runs").join(run.name())
}

/// The settings that a folder was begun with.
const SETTINGS: &str = "settings.toml";

/// Takes the output folder: a new one, or with `--resume` the one that was begun with the same settings.
fn enter(args: &PaperArgs, settings: &Settings) -> Result<Held> {
    let out = &args.out.out;
    let text = settings.to_toml()?;
    if args.resume && out.is_dir() {
        if !output::is_ours(out) {
            bail!("{} holds no `paper` to resume", out.display());
        }
        return output::resume(out, || keep(out, SETTINGS, &text));
    }
    let held =
        output::claim(out, args.out.force, &FILES, &[("runs/*", BUNDLE), ("scores/*", "scores.json")])?;
    keep(out, SETTINGS, &text)?;
    Ok(held)
}

/// Writes a file that says what a folder was begun with, or checks that it says the same.
fn keep(out: &Path, name: &str, text: &str) -> Result<()> {
    let path = out.join(name);
    if !path.is_file() {
        return output::write_text(&path, text);
    }
    if std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))? != text {
        return Err(Usage(format!(
            "{} was begun with other settings, data, folds or another seed; resume with those, {name} there differs",
            out.display()
        ))
        .into());
    }
    Ok(())
}

/// Makes both splits, and keeps them.
fn splits(args: &PaperArgs, sets: &Datasets, cache: &Cache, settings: &Settings) -> Result<Splits> {
    let mut cases: Vec<SplitCase> = data::with_slice_counts(sets, &args.read.options())?
        .into_iter()
        .map(|case| SplitCase { fold: None, part: None, positives: Some(0), ..case })
        .collect();
    // Slices with infection are dealt evenly, so that no fold tests patients without any.
    for info in cache.infos().iter().filter(|i| i.infected == Some(true)) {
        if let Some(case) = cases.get_mut(info.case) {
            case.positives = case.positives.map(|n| n + 1);
        }
    }
    let share = settings.validation_share;
    let by_patient =
        Split { validation_share: share, ..Split::by_patient(&cases, args.folds, settings.seed)? };
    let by_slice = Split { validation_share: share, ..Split::by_slice(&cases, args.folds, settings.seed)? };
    let parts = |split: &Split| split.parts(args.fold).map_err(|e| Usage(e.to_string()));
    for (name, split) in [(SplitName::Slice, &by_slice), (SplitName::Patient, &by_patient)] {
        keep(&args.out.out, &name.file(), &split.to_toml()?)?;
    }
    let remark = one_class(args, &by_patient, cache)?;
    Ok(Splits { parts: [parts(&by_slice)?, parts(&by_patient)?], remark })
}

/// A remark where the split by patient cannot answer the paper's question about slices.
fn one_class(args: &PaperArgs, by_patient: &Split, cache: &Cache) -> Result<Option<Warning>> {
    let answers = |fold: usize| -> Result<bool> {
        let parts = by_patient.parts(fold).map_err(|e| Usage(e.to_string()))?;
        let both = |part: Part| {
            let samples = cache.samples(&parts, part, Task::Classify);
            let classes: BTreeSet<bool> = samples.iter().filter_map(|&i| cache.infos()[i].infected).collect();
            classes.len() == 2
        };
        Ok(both(Part::Train) && both(Part::Test))
    };
    let of_folds: Vec<bool> = (0..by_patient.folds).map(answers).collect::<Result<_>>()?;
    Ok(one_class_words(args.fold, &of_folds).map(|message| Warning::new("slices_of_one_class", message)))
}

/// The same in words, by which folds have slices of both classes to train on and to test.
fn one_class_words(fold: usize, answers: &[bool]) -> Option<String> {
    if answers.get(fold).copied().unwrap_or(true) {
        return None;
    }
    let others: Vec<String> = (0..answers.len()).filter(|&k| answers[k]).map(|k| k.to_string()).collect();
    let instead = match others.is_empty() {
        true => "no fold has both in both".to_owned(),
        false => format!("--fold {} has both in both", others.join(" or ")),
    };
    Some(format!(
        "fold {fold} of the split by patient trains on slices of one class alone, or tests such, so that precision, F1 and AUROC of its \
         slices say little; {instead}"
    ))
}

/// Trains what is not trained yet, and tells the time left over all runs; gives what is to be said of parts of one class.
fn train_all(
    context: &Context,
    args: &PaperArgs,
    settings: &Settings,
    cache: &Cache,
    splits: &Splits,
    runs: &[Run],
    cache_dir: &Path,
) -> Result<Vec<Warning>> {
    let out = &args.out.out;
    let works: Vec<f64> = runs
        .iter()
        .map(|run| plan::work(*run, settings, cache, splits.parts(run.split)))
        .collect::<Result<_>>()?;
    let mut told = Vec::new();
    for (i, &run) in runs.iter().enumerate() {
        let later: f64 = works[i + 1..].iter().sum();
        let done: f64 = works[..i].iter().sum();
        let secs: f64 = runs[..i].iter().map(|r| plan::seconds(&folder(out, *r))).sum();
        let left = match done > 0.0 && secs > 0.0 {
            true => format!("; about {} left over all runs", duration(secs / done * (works[i] + later))),
            false => String::new(),
        };
        context.console.say(format!("run {} of {}: {}{left}", i + 1, runs.len(), run.words()));
        let later = if works[i] > 0.0 { later / works[i] } else { 0.0 };
        let context = Context { later, ..context.clone() };
        let trained = train(
            &context,
            &TrainArgs {
                task: run.task.into(),
                dataset: args.dataset.clone(),
                out: OutArgs { out: folder(out, run), force: false },
                resume: args.resume && folder(out, run).is_dir(),
                seed: Some(settings.seed),
                name: Some(format!("paper-{}", run.name())),
                bundle: BundleArgs {
                    licence: "as the licence of the training data allows".to_owned(),
                    store: StoreName::F32,
                },
                precision: args.precision,
                init: None,
                teacher: Vec::new(),
                cache: CacheArgs { cache: Some(cache_dir.to_owned()) },
                fold: fold_args(args, run),
                settings: run.settings(args)?,
                read: args.read.clone(),
            },
        )
        .with_context(|| run.words())?;
        if trained.epochs == 0 {
            bail!("{}: no epoch was trained", run.words());
        }
        told.extend(
            trained
                .warnings
                .into_iter()
                .filter(told_beside_scores)
                .map(|w| Warning { message: format!("{}: {}", run.words(), w.message), ..w }),
        );
    }
    Ok(told)
}

fn fold_args(args: &PaperArgs, run: Run) -> FoldArgs {
    FoldArgs { split: Some(args.out.out.join(run.split.file())), fold: Some(args.fold) }
}

fn evaluate_args(args: &PaperArgs, run: Run, cache: &Path) -> EvaluateArgs {
    EvaluateArgs {
        dataset: args.dataset.clone(),
        model: vec![folder(&args.out.out, run).join(BUNDLE)],
        pred: None,
        part: PartName::Test,
        out: OutArgs { out: args.out.out.join("scores").join(run.name()), force: true },
        cache: CacheArgs { cache: Some(cache.to_owned()) },
        fold: fold_args(args, run),
        read: args.read.clone(),
        resamples: args.resamples,
        precision: Some(PREDICTED_IN),
    }
}

/// Index of a task's comparisons among an evaluation's pictures.
fn comparisons(scored: &Scored) -> &[gg_report::Comparison] {
    let index = usize::from(scored.run.task == Task::Infection);
    scored.pictures.compared.get(index).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::{last_of_each_key, one_class_words};

    #[test]
    fn a_fold_without_both_classes_is_told_with_those_that_have_them() {
        assert_eq!(one_class_words(1, &[false, true]), None);
        let told = one_class_words(0, &[false, true, true]).unwrap();
        assert!(told.starts_with("fold 0 of") && told.ends_with("--fold 1 or 2 has both in both"), "{told}");
        assert!(one_class_words(1, &[false, false]).unwrap().ends_with("no fold has both in both"));
    }

    #[test]
    fn of_a_setting_given_twice_the_last_one_is_told() {
        let set = ["prepare.size=96", "lung.network.base=16", "prepare.size = 128", "lung.train.epochs=8"];
        let told = last_of_each_key(&set.map(str::to_owned));
        assert_eq!(told, ["lung.network.base=16", "prepare.size = 128", "lung.train.epochs=8"]);
    }
}
