//! `crossval`: every patient tested once by a network that never saw them. Each fold trains afresh, unless its network is at hand
//! (`--trained`), picks its thresholds on its own validation patients, if it has any, and is scored by `evaluate`; the pooled scores follow from all cases
//! together.

use super::evaluate::{class_sections, evaluate, free_words, interval_words, set_words};
use super::train::{
    can_teach, held_out, inputs, question, refuse_held_out, refuse_twice, taken_over, told_beside_scores,
    train, without_int8,
};
use super::{Context, data};
use crate::args::{CacheArgs, CrossvalArgs, EvaluateArgs, FoldArgs, OutArgs, PartName, TaskName, TrainArgs};
use crate::evaluation_page::{self, Beside};
use crate::failure::Usage;
use crate::manifest;
use crate::model_file::{self, BUNDLE};
use crate::output::{self, Staged};
use crate::scoring::{self, Basis, CaseScores, Reliability, Scores};
use crate::scoring_table;
use crate::seen;
use crate::settings::Settings;
use crate::words::number;
use anyhow::{Context as _, Result, bail};
use gg_dataset::{LEAK, Part, Split, SplitCase, Task};
use gg_eval::{INTERVAL_LEVEL, IntervalFit, LogitCounts, Predicted, cross_fit};
use gg_nn::{Bundle, BundleInfo};
use gg_volume::Warning;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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

/// `scores/interval.json`: the interval, and what it belongs to.
#[derive(Serialize, Deserialize)]
pub(super) struct FittedInterval {
    #[serde(flatten)]
    pub(super) fit: IntervalFit,
    /// Of what the networks are and do beyond their weights ([`recipe_sha256`]); earlier versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recipe_sha256: Option<String>,
    /// SHA-256 of the scans that it was fitted on.
    #[serde(default)]
    pub(super) scans: Vec<String>,
}

/// SHA-256 of a bundle's network, preparation, posture and clean-up: masks of bundles that differ in it have other errors.
pub(super) fn recipe_sha256(info: &BundleInfo) -> Result<String> {
    Ok(manifest::sha256(&serde_json::to_vec(&(&info.net, &info.prepare, info.mirror, &info.clean))?))
}

/// A temperature fitted on the voxels of patients that no network was trained on, where no fold had validation data to fit
/// one on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct HeldOutTemperature {
    /// What logits are to be divided by; for a network that is trained on all patients by the same recipe.
    pub(super) temperature: f64,
    /// Mean negative log-likelihood of the voxels as they are, and with each fold's logits divided by a temperature that was
    /// fitted on the other folds.
    pub(super) nll_before_and_after: [f64; 2],
    /// Expected calibration error of the same.
    #[serde(default)]
    pub(super) ece_before_and_after: [Option<f64>; 2],
    /// Voxels inside the predicted lungs.
    pub(super) voxels: u64,
}

pub(super) fn run(context: &Context, args: CrossvalArgs) -> Result<()> {
    let found = crossval(context, &args)?;
    context.answer(&found, || text(&found, &args.out.out))
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
    let split = choose_split(context, args, &sets, seed, settings.validation_share, &mut warnings)?;
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
    let question = question(&sets, args.task.task())?;
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
            can_teach(&bundle, &path, (args.task.task(), question), &settings)?;
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
    enter(args, &split_file, &split)?;
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
    let notes = found.held_out_temperature.iter().map(temperature_words).collect();
    evaluation_page::write(staged.path(), &found.scores, Beside { notes, ..Beside::default() })?;
    staged.commit()?;
    Ok(found)
}

/// Gives each case an interval around its percentage that was fitted on the patients of other folds alone; gives the fit
/// on all of them, for patients to come.
fn put_intervals(cases: &mut [CaseScores], folds: &[usize]) -> Option<IntervalFit> {
    let known: Vec<(usize, Predicted<'_>)> = cases
        .iter()
        .zip(folds)
        .enumerate()
        .filter_map(|(i, (case, fold))| Some((i, scoring::predicted(case, *fold)?)))
        .collect();
    let predicted: Vec<Predicted<'_>> = known.iter().map(|(_, p)| *p).collect();
    let found = cross_fit(&predicted, INTERVAL_LEVEL);
    let places: Vec<usize> = known.into_iter().map(|(i, _)| i).collect();
    for (i, interval) in places.into_iter().zip(found.intervals) {
        cases[i].percent_of_lung_interval = interval;
    }
    found.fit
}

/// The temperature that all folds' voxels ask for, and the reliability of each fold's voxels with the temperature of the others; `None` if
/// a fold brought one of its own.
fn held_out_temperature<'a>(
    voxels: impl Iterator<Item = (usize, &'a (LogitCounts, f32))>,
) -> Option<(HeldOutTemperature, Reliability)> {
    let mut of_folds: BTreeMap<usize, LogitCounts> = BTreeMap::new();
    for (fold, (counts, temperature)) in voxels {
        if *temperature != 1.0 {
            return None;
        }
        of_folds.entry(fold).or_default().merge(counts);
    }
    let merged = |left_out: Option<usize>| {
        let mut all = LogitCounts::default();
        of_folds.iter().filter(|(fold, _)| Some(**fold) != left_out).for_each(|(_, c)| all.merge(c));
        all
    };
    let all = merged(None);
    let fit = all.fit()?;
    let mut of_others = Vec::with_capacity(of_folds.len());
    for (fold, counts) in &of_folds {
        of_others.push((counts, merged(Some(*fold)).fit()?.temperature));
    }
    let after: f64 = of_others.iter().map(|(counts, t)| counts.nll_at(*t) * counts.cases() as f64).sum();
    let reliability = Reliability::of_counts(of_others.into_iter());
    let voxels = all.cases();
    let found = HeldOutTemperature {
        temperature: fit.temperature,
        nll_before_and_after: [fit.nll_before, after / voxels as f64],
        ece_before_and_after: [reliability.before.as_ref().and_then(|b| b.ece), reliability.after.ece],
        voxels,
    };
    Some((found, reliability))
}

/// The split that was named, the data sets' own folds, or one by patient.
fn choose_split(
    context: &Context,
    args: &CrossvalArgs,
    sets: &gg_dataset::Datasets,
    seed: u64,
    validation_share: f64,
    warnings: &mut Vec<Warning>,
) -> Result<Split> {
    // Networks that are at hand were trained under the split that lies with them.
    let theirs = args.trained.iter().map(|dir| dir.join(SPLIT)).find(|file| file.is_file());
    let named = args.split.clone().or(if args.folds.is_none() { theirs } else { None });
    let fold = FoldArgs { split: named, fold: Some(0) };
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
                if let Some(own) = own {
                    let warning = data::other_folds(own, folds);
                    context.console.warn(&warning.message);
                    warnings.push(warning);
                }
                let free: Vec<SplitCase> = cases.into_iter().map(|c| SplitCase { fold: None, ..c }).collect();
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
    Ok(split)
}

/// Whether each case, or another of its patient, has a fold or a part in a data set's own table.
fn all_dealt(cases: &[SplitCase]) -> bool {
    let dealt: BTreeSet<&str> =
        cases.iter().filter(|c| c.fold.is_some() || c.part.is_some()).map(|c| c.patient.as_str()).collect();
    cases.iter().all(|c| dealt.contains(c.patient.as_str()))
}

/// Takes the folder: a new one, or with `--resume` the one that was begun with the same split.
fn enter(args: &CrossvalArgs, split_file: &Path, split: &Split) -> Result<()> {
    let out = &args.out.out;
    let text = split.to_toml()?;
    if args.resume && out.is_dir() {
        let begun = std::fs::read_to_string(split_file)
            .with_context(|| format!("{} holds no cross-validation to resume", out.display()))?;
        if begun != text {
            return Err(Usage(format!(
                "{} was begun with another split; resume with the same data, folds and seed",
                out.display()
            ))
            .into());
        }
        return output::sweep(out);
    }
    output::claim(
        out,
        args.out.force,
        &[SPLIT, "cache/*.ggcase", "cache/inputs.json"],
        &[("fold-*/run", BUNDLE), ("fold-*/scores", "scores.json"), (SCORES, "scores.json")],
    )?;
    output::write_text(split_file, &text)
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
        output::claim(&run, false, &[BUNDLE], &[])?;
        gg_io::atomic_write(&bundle, |file| file.write_all(&bytes))
            .with_context(|| format!("writing {}", bundle.display()))?;
        remarks_of(&trained.join(format!("fold-{fold}")).join("scores").join("scores.json"))
    } else {
        // A fold that is trained already is compared with what it was begun with, trains no epoch, and is written out again.
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

fn text(found: &CrossVal, out: &Path) -> String {
    let s = &found.scores;
    let folds: Vec<String> = found.per_fold.iter().map(|f| number(*f, 3)).collect();
    let mut lines = vec![format!(
        "{}: {} cases of {} patients{}; per fold {}",
        found.task,
        s.cases.len(),
        s.patients,
        if seen::not_held_out(&s.warnings).is_some() {
            ""
        } else {
            ", each tested by a network that never saw them"
        },
        folds.join(", ")
    )];
    lines.extend(seen::not_held_out(&s.warnings).map(str::to_owned));
    if found.never_tested > 0 {
        lines.push(format!("{} cases are in no fold and were always trained on", found.never_tested));
    }
    for (name, section) in [("lung", &s.lung), ("infection", &s.infection)] {
        if let Some(section) = section {
            let d = &section.summary.dice;
            lines.push(format!(
                "{name:<10} Dice over volumes {} (95 % interval {} to {}, {} patients), over patients {}, pooled {}",
                number(d.mean, 3),
                number(d.low, 3),
                number(d.high, 3),
                d.n_groups,
                number(section.summary.dice_over_patients.mean, 3),
                number(section.summary.pooled_dice.mean, 3)
            ));
        }
    }
    if let Some(b) = &s.infection_by_burden {
        lines.push(format!(
            "           over patients with at least {} % infected: {} ({} to {}), pooled {}; in {} other volumes {} % of the \
             lung found falsely, {} % missed",
            b.infected_from_percent,
            number(b.dice.mean, 3),
            number(b.dice.low, 3),
            number(b.dice.high, 3),
            number(b.pooled_dice, 3),
            b.other_volumes,
            number(b.false_percent_of_lung, 3),
            number(b.missed_percent_of_lung, 3)
        ));
    }
    if let Some(b) = &s.percent_of_lung {
        lines.push(format!("percentage error: median {} points", number(b.median_absolute_error, 2)));
    }
    match &s.percent_of_lung_interval {
        Some(c) => lines.push(format!("           {}", interval_words(c))),
        None if s.percent_of_lung.is_some() && seen::not_held_out(&s.warnings).is_none() => lines.push(
            "           too few patients for intervals around the percentage: 9 must be left when a fold is taken away"
                .to_owned(),
        ),
        None => {}
    }
    if let Some(f) = &s.infection_free_slices {
        lines.push(format!("           {}", free_words(f)));
    }
    lines.extend(set_words(s));
    for (name, section) in class_sections(s) {
        let c = &section.scores;
        lines.push(format!(
            "{name:<10} AUROC {}, F1 {} ({} positive, {} negative)",
            number(c.auroc, 3),
            number(c.f1, 3),
            c.positives,
            c.negatives
        ));
    }
    lines.extend(found.held_out_temperature.iter().map(temperature_words));
    lines.push(format!("report: {}", out.join(SCORES).join("report.html").display()));
    lines.join("\n")
}

fn temperature_words(t: &HeldOutTemperature) -> String {
    let [before, after] = t.nll_before_and_after;
    let ece = match t.ece_before_and_after {
        [Some(before), Some(after)] => format!("; expected calibration error {before:.4}, then {after:.4}"),
        _ => String::new(),
    };
    format!(
        "No fold had validation data: temperature {:.2} suits the held-out patients (negative log-likelihood per voxel \
         {before:.4}; {after:.4} with that of the other folds{ece}). The reliability of voxels after calibration is that of the other \
         folds' temperatures; the scores here are of networks without any.",
        t.temperature
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Voxels of logit 2 and -2, of which so many of ten are what the sign says.
    fn voxels(right: usize) -> LogitCounts {
        let mut counts = LogitCounts::default();
        for i in 0..1000 {
            let said = i % 2 == 0;
            counts.add(if said { 2.0 } else { -2.0 }, (i / 2 % 10 < right) == said);
        }
        counts
    }

    #[test]
    fn a_temperature_is_fitted_on_held_out_voxels_and_measured_on_those_of_other_folds() {
        let (sure, unsure) = ((voxels(9), 1.0), (voxels(8), 1.0));
        let (both, reliability) =
            held_out_temperature([(0, &sure), (1, &unsure), (1, &unsure)].into_iter()).unwrap();
        // Right are (9 + 8 + 8) / 30: the logit that says so is ln 5.
        assert!((both.temperature - 2.0 / 5f64.ln()).abs() < 0.01, "{both:?}");
        assert_eq!(both.voxels, 3000);
        let [before, after] = both.nll_before_and_after;
        // Each fold with the temperature of the other: ln 4 / 2 and ln 9 / 2 as sharp.
        let nll = |right: f64, z: f64| (1.0 + (-z).exp()).ln() * right + (1.0 + z.exp()).ln() * (1.0 - right);
        let expected = (nll(0.9, 4f64.ln()) + 2.0 * nll(0.8, 9f64.ln())) / 3.0;
        assert!((after - expected).abs() < 1e-3, "{after} for {expected}");
        assert!((before - (nll(0.9, 2.0) + 2.0 * nll(0.8, 2.0)) / 3.0).abs() < 1e-6);
        // Said 0.88 of what is right in 0.9 and 0.8, in one bin; then 0.8 of the 0.9 and 0.9 of the 0.8, in two bins.
        let [said, right] = [1.0 / (1.0 + (-2f64).exp()), 2.5 / 3.0];
        let [ece_before, ece_after] = both.ece_before_and_after.map(Option::unwrap);
        assert!((ece_before - (said - right).abs()).abs() < 1e-3, "{ece_before}");
        assert!((ece_after - 0.1).abs() < 1e-3, "{ece_after}");
        assert_eq!(reliability.after.bins.iter().map(|b| b.count).sum::<u64>(), both.voxels);
    }

    #[test]
    fn folds_that_were_calibrated_or_show_one_kind_alone_need_none() {
        let (own, calibrated) = ((voxels(9), 1.0), (voxels(8), 1.4));
        assert_eq!(held_out_temperature([(0, &own), (1, &calibrated)].into_iter()), None);
        assert_eq!(held_out_temperature([(0, &own)].into_iter()), None, "no other fold");
        assert_eq!(held_out_temperature(std::iter::empty()), None);
    }
}
