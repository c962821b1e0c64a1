//! `train`: from data sets to a model bundle, with everything that made it beside it in the run folder.

mod folder;
mod live;
mod origin;

use super::{Context, calibrate, data};
use crate::args::{PrecisionName, StoreName, TrainArgs};
use crate::failure::Usage;
use crate::manifest::{Compute, Known, PartCounts, Program, Training, patient_hash, patient_salt, sha256};
use crate::model_file::BUNDLE;
use crate::output;
use crate::scoring::Question;
use crate::settings::{Settings, TaskSettings};
use crate::training_page;
use anyhow::{Context as _, Result, bail};
use folder::{begun_with, check_run_folder, data_hash, enter};
use gg_dataset::{BatchLoader, Cache, Case, LEAK, LoaderConfig, PATIENTS_LEAK, Part, SampleSource, Task};
use gg_nn::engine::Int8Engine;
use gg_nn::{
    Bundle, BundleInfo, Calibration, Precision, Select, Teacher, TrainConfig, TrainError, TrainOutcome,
    TrainRun,
};
use gg_volume::Warning;
use live::Live;
use origin::Origins;
pub(super) use origin::{can_teach, held_out, refuse_held_out, refuse_twice, taken_over};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Code of the remark that the validation part holds one class only.
const ONE_SIDED: &str = "validation_of_one_class";
/// Code of the remark on a network that learned nothing.
const FOUND_NOTHING: &str = "found_nothing";
/// Dice below which that is said.
const NEXT_TO_NOTHING: f64 = 0.01;
/// AUROC on the validation part below which it is said of a classifier.
const NEXT_TO_CHANCE: f64 = 0.55;
/// Code of the remark that the training part holds one class only.
const ONE_CLASS: &str = "training_of_one_class";

/// Whether a remark of a training is to be said beside the scores of its network too.
pub(super) fn told_beside_scores(warning: &Warning) -> bool {
    [ONE_SIDED, ONE_CLASS, FOUND_NOTHING].contains(&warning.code.as_str())
}

/// What a finished training gives.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Trained {
    pub(crate) task: Task,
    pub(crate) bundle: PathBuf,
    pub(crate) best_epoch: u64,
    pub(crate) epochs: usize,
    pub(crate) threshold: f32,
    pub(crate) temperature: f32,
    pub(crate) val_loss: Option<f64>,
    /// Dice at the threshold, or accuracy.
    pub(crate) val_metric: Option<f64>,
    pub(crate) val_auroc: Option<f64>,
    pub(crate) warnings: Vec<Warning>,
}

pub(super) fn run(context: &Context, args: TrainArgs) -> Result<()> {
    let trained = train(context, &args)?;
    context.answer(&trained, || {
        let metric = if trained.task == Task::Classify { "accuracy" } else { "Dice" };
        format!(
            "{}: best epoch {} of {}, temperature {:.2}, threshold {:.3}, {}{}",
            trained.bundle.display(),
            trained.best_epoch,
            trained.epochs,
            trained.temperature,
            trained.threshold,
            match (trained.val_metric, trained.val_loss) {
                (Some(value), _) => format!("validation {metric} {value:.4}"),
                (None, Some(_)) => format!("no validation {metric}, for want of a second class"),
                (None, None) => "no validation part".to_owned(),
            },
            match trained.warnings.iter().find(|w| w.code == PATIENTS_LEAK) {
                Some(leak) => format!("; {}", leak.message),
                None => String::new(),
            }
        )
    })
}

/// Trains one network; `quickstart` calls it too.
pub(crate) fn train(context: &Context, args: &TrainArgs) -> Result<Trained> {
    let task = args.task.task();
    let processor = context.processor(Some(args.precision))?;
    without_int8(args.precision)?;
    let mut settings = Settings::resolve(&args.settings)?;
    settings.seed = args.seed.unwrap_or(settings.seed);
    settings.remarks().iter().for_each(|remark| context.console.warn_once(remark));
    output::check_apart(&args.out.out, &inputs(&args.dataset, args.init.iter().chain(&args.teacher)))?;
    check_run_folder(&args.out.out, args.out.force, args.resume)?;
    let (sets, mut warnings) = data::open(context, &args.dataset)?;
    let question = question(&sets, task)?;
    let origins = Origins::read(args.init.as_deref(), &args.teacher, (task, question), &settings)?;
    let chosen = data::choose(context, &sets, &args.fold, settings.seed, settings.validation_share)?;
    warnings.extend(chosen.parts.warnings.clone());
    let taught = |case: &Case| chosen.parts.train().contains(&case.case_id.as_str()) && case.can_teach(task);
    if !data::cases(&sets).any(|(_, case)| taught(case)) {
        bail!(without_truth(task));
    }
    let cache_dir = data::cache_dir(&args.cache, &args.out.out)?;
    let cache = Arc::new(data::build_cache(context, &sets, &settings, args.read.options(), &cache_dir)?);
    for warning in cache.warnings() {
        context.console.warn_once(&warning.message);
        warnings.push(warning);
    }
    let of_task = settings.task(task);
    let train_samples = select(&cache, &chosen, Part::Train, task, of_task);
    let val_samples = cache.samples(&chosen.parts, Part::Val, task);
    if train_samples.is_empty() {
        bail!(without_truth(task));
    }
    if args.resume && !args.out.out.is_dir() {
        context
            .console
            .say(format!("there is nothing to resume at {}; the training starts", args.out.out.display()));
    }
    let names = held_out(&chosen.parts);
    let untouched = cache.cases().iter().filter(|c| names.contains(c.case_id.as_str()));
    origins.refuse_held_out(untouched.map(|c| (c.patient.as_str(), c.scan.as_str())))?;
    let begins = origins.init.as_ref().map(|(path, b)| taken_over(b, path, &of_task.network)).transpose()?;
    enter(&args.out.out, args.out.force, args.resume, &begun_with(&settings, &chosen, &cache, &processor)?)?;
    if let Some(begins) = begins.filter(|_| !args.resume) {
        context.console.say(begins);
    }
    if teachers_share_unused(&args.teacher, of_task.train.teacher_share) {
        context.console.warn("teacher_share changes nothing without --teacher");
    }
    for remark in origins.remarks() {
        context.console.warn(&remark);
        warnings.push(Warning::new("unknown_forerunners", remark));
    }
    if !origins.teachers.is_empty() {
        let models = match origins.teachers.len() {
            1 => "a trained model says".to_owned(),
            n => format!("{n} trained models say"),
        };
        context
            .console
            .say(format!("a share of {} of the truth is what {models}", of_task.train.teacher_share));
    }
    let scan = |&i: &usize| cache.cases()[cache.infos()[i].case].scan.clone();
    let scans = |samples: &[usize]| samples.iter().map(scan).collect();
    let (train_scans, val_scans): (BTreeSet<String>, _) = (scans(&train_samples), scans(&val_samples));
    let train_patients: BTreeSet<String> =
        train_samples.iter().map(|&i| cache.cases()[cache.infos()[i].case].patient.clone()).collect();
    let cases =
        |samples: &[usize]| samples.iter().map(|&i| cache.infos()[i].case).collect::<BTreeSet<_>>().len();
    let graph = of_task.network.graph()?;
    if let Err(why) = Int8Engine::check(&graph) {
        context.console.warn(format!("the bundle will have no calibration for int8: {why}"));
    }
    let threads = rayon::current_num_threads();
    let positives = counts(&cache, &train_samples, task);
    if let Some(lacks) = lacking(positives, task) {
        let message =
            format!("the training part holds no {lacks}: what the network says will not tell the two apart");
        context.console.warn(&message);
        warnings.push(Warning::new(ONE_CLASS, message));
    }
    let mut loader_config = LoaderConfig {
        channels: graph.in_channels(),
        threads,
        balance: of_task.scan_balance,
        ..LoaderConfig::training(task, of_task.train.batch, settings.seed, of_task.augment.clone())
    };
    let val_config = LoaderConfig {
        channels: graph.in_channels(),
        threads,
        ..LoaderConfig::evaluation(task, of_task.train.batch)
    };
    let counted = PartCounts {
        train_cases: cases(&train_samples),
        train_samples: train_samples.len(),
        val_cases: cases(&val_samples),
        val_samples: val_samples.len(),
        test_cases: chosen.parts.test().len(),
    };
    context.console.say(format!(
        "training {}: {} slices of {} cases, {} positive; validation: {} slices of {} cases",
        task.name(),
        counted.train_samples,
        counted.train_cases,
        positives[1],
        counted.val_samples,
        counted.val_cases
    ));
    if let Some(message) = one_sided(counts(&cache, &val_samples, task), task, of_task.train.select) {
        context.console.warn(&message);
        warnings.push(Warning::new(ONE_SIDED, message));
    }
    // Validation slices where there are any: no weight was fitted to them.
    let looked_at = if val_samples.is_empty() { train_samples.clone() } else { val_samples.clone() };
    let source: Arc<dyn SampleSource> = cache.clone();
    // Classes are weighed as often as an epoch shows them, which a balance of scans changes.
    let shown = BatchLoader::new(source.clone(), train_samples.clone(), loader_config.clone())?.order(0);
    loader_config.class_weights = of_task.train.class_weights.resolve(counts(&cache, &shown, task));
    let train_loader = BatchLoader::new(source.clone(), train_samples, loader_config)?;
    let val_loader =
        if val_samples.is_empty() { None } else { Some(BatchLoader::new(source, val_samples, val_config)?) };

    let mut teaching = Teacher::load(origins.teachers.iter().map(|(_, b)| b), &processor)?;
    let mut engine = gg_nn::engine_for(&graph, processor);
    let mut live = Live::new(context, of_task.train.epochs, train_loader.steps_per_epoch(), task);
    let run = TrainRun {
        task,
        net: &of_task.network,
        config: &of_task.train,
        seed: settings.seed,
        init: origins.init.as_ref().map(|(_, b)| &b.weights),
        train: &train_loader,
        val: val_loader.as_ref(),
        dir: &args.out.out,
        leak: chosen.parts.leaking.then_some(LEAK),
        resume: args.resume,
        stop: &context.interrupt.flag(),
    };
    let outcome = match gg_nn::train(&run, engine.as_mut(), teaching.as_mut(), &mut live) {
        Err(TrainError::Interrupted) => {
            let hint = format!("the checkpoint is in {}; --resume goes on from it", args.out.out.display());
            return Err(context.interrupt.error(hint).into());
        }
        other => other.with_context(|| args.out.out.display().to_string())?,
    };
    live.step.finish();
    if let Some(message) = found_nothing(&outcome, task) {
        context.console.warn(&message);
        warnings.push(Warning::new(FOUND_NOTHING, message));
    }

    let data_sha256 = data_hash(&cache);
    let salt = patient_salt(settings.seed, &data_sha256);
    let known = Known {
        train_patients: train_patients.iter().map(|p| patient_hash(&salt, p)).collect(),
        patient_salt: salt,
        train_scans,
        val_scans,
    };
    let manifest = Training {
        program: Program::this(),
        compute: Compute::new(engine.name(), engine.arithmetic()),
        seed: settings.seed,
        fold: chosen.fold,
        split_sha256: sha256(chosen.split.to_toml()?.as_bytes()),
        leaking: chosen.parts.leaking,
        parts: counted,
        data_sha256,
        forerunners: origins.forerunners(&known),
        known,
        init_sha256: origins.init.as_ref().map(|(_, b)| b.info.weights_sha256.clone()),
        teacher_sha256: origins.teachers.iter().map(|(_, b)| b.info.weights_sha256.clone()).collect(),
        best_epoch: outcome.best_epoch,
        steps: outcome.steps,
        settings: settings.clone(),
    };
    let path = args.out.out.join(BUNDLE);
    output::write_json(&args.out.out.join("manifest.json"), &manifest)?;
    training_page::write(
        &args.out.out,
        task,
        of_task,
        settings.prepare.size,
        &manifest,
        &outcome,
        &warnings,
    )?;
    // Last: where it lies, the run is whole.
    let int8 = match Int8Engine::check(&graph) {
        Ok(()) => {
            let looked_at = (cache as _, looked_at.as_slice());
            Some(calibrate::measure(context.isa, &graph, &outcome.weights, task, looked_at)?)
        }
        Err(_) => None,
    };
    write_bundle(&path, (task, question), args, &settings, &manifest, &outcome, int8)?;
    Ok(Trained {
        task,
        bundle: path,
        best_epoch: outcome.best_epoch,
        epochs: outcome.rows.len(),
        threshold: outcome.threshold,
        temperature: outcome.temperature,
        val_loss: outcome.val.as_ref().map(|v| v.loss),
        val_metric: outcome.val.as_ref().and_then(|v| v.metric_at_threshold),
        val_auroc: outcome.val.as_ref().and_then(|v| v.auroc),
        warnings,
    })
}

/// What is to be said of a network whose masks hold none of the truth, where there is some, or that tells no classes apart.
fn found_nothing(outcome: &TrainOutcome, task: Task) -> Option<String> {
    if task == Task::Classify {
        let auroc = outcome.val.as_ref()?.auroc?;
        return (auroc < NEXT_TO_CHANCE).then(|| {
            format!(
                "the network tells the classes of the validation part apart hardly better than chance (AUROC {auroc:.3}): right would be more \
                 epochs, another rate, labels that belong to the pictures, or more of them"
            )
        });
    }
    let best = outcome.rows.iter().find(|r| r.epoch == outcome.best_epoch)?;
    let (dice, slices) = match &outcome.val {
        Some(val) => (val.metric_at_threshold?, "validation"),
        None => (best.train_metric?, "training"),
    };
    (dice < NEXT_TO_NOTHING).then(|| {
        format!(
            "the network finds next to nothing of what is true in the {slices} slices (Dice {dice:.4}): right would be more epochs, another rate, or \
             masks that belong to the pictures"
        )
    })
}

/// An error for training in int8.
pub(super) fn without_int8(precision: PrecisionName) -> Result<()> {
    if precision == PrecisionName::Int8 {
        return Err(Usage(
            "--precision: found int8, right would be fp32 or bf16: int8 is for prediction".to_owned(),
        )
        .into());
    }
    Ok(())
}

fn teachers_share_unused(teachers: &[PathBuf], share: f64) -> bool {
    teachers.is_empty() && share != TrainConfig::default().teacher_share
}

/// All that a training reads.
pub(super) fn inputs<'a>(datasets: &'a [PathBuf], others: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    datasets.iter().chain(others).cloned().collect()
}

/// Why a task cannot be learned from these data.
fn without_truth(task: Task) -> String {
    let needed = match task {
        Task::Lung => "lung masks",
        Task::Infection => "infection masks",
        Task::Classify => "infection masks or labels of slices",
    };
    format!("no slice of the training part can teach the task `{}`: it needs {needed}", task.name())
}

/// Samples of a part, less those that the settings leave out of training.
fn select(
    cache: &Cache,
    chosen: &data::Chosen,
    part: Part,
    task: Task,
    settings: &TaskSettings,
) -> Vec<usize> {
    let mut samples = cache.samples(&chosen.parts, part, task);
    if settings.drop_blank {
        samples = cache.without_blank(&samples);
    }
    samples = cache.thin_blank(&samples, settings.blank_share);
    if settings.drop_lungless {
        samples.retain(|&i| cache.infos()[i].lung_pixels != Some(0));
    }
    samples
}

/// The class that a part of these negative and positive slices lacks, where it needs both.
fn lacking(counts: [usize; 2], task: Task) -> Option<&'static str> {
    match (counts, task) {
        ([0, 0], _) => None,
        ([_, 0], Task::Lung) => Some("lung"),
        ([_, 0], Task::Infection) => Some("infection"),
        ([_, 0], Task::Classify) => Some("slice with label 1"),
        ([0, _], Task::Classify) => Some("slice with label 0"),
        _ => None,
    }
}

/// What a validation part of these negative and positive slices cannot tell.
fn one_sided(counts: [usize; 2], task: Task, select: Select) -> Option<String> {
    let without = lacking(counts, task)?;
    let epoch = match (task, select) {
        (Task::Classify, Select::Metric) => "highest accuracy",
        _ => "lowest loss",
    };
    Some(format!(
        "the validation part holds no {without}, so that it cannot choose a threshold, which stays 0.5; the epoch of its {epoch} counts"
    ))
}

/// Negative and positive samples.
fn counts(cache: &Cache, samples: &[usize], task: Task) -> [usize; 2] {
    let positive = samples.iter().filter(|&&i| cache.infos()[i].is_positive(task)).count();
    [samples.len() - positive, positive]
}

fn write_bundle(
    path: &Path,
    (task, question): (Task, Question),
    args: &TrainArgs,
    settings: &Settings,
    manifest: &Training,
    outcome: &TrainOutcome,
    int8: Option<Calibration>,
) -> Result<()> {
    let default_name = || format!("{}-fold{}-seed{}", task.name(), manifest.fold, manifest.seed);
    let store = match args.bundle.store {
        StoreName::F32 => Precision::F32,
        StoreName::F16 => Precision::F16,
        StoreName::Bf16 => Precision::Bf16,
    };
    let val = outcome.val.as_ref().map(|v| {
        serde_json::json!({
            "measured_on": "validation part; the threshold and the temperature were chosen on it, so this is no test score",
            "loss": v.loss,
            "metric_at_half": v.metric,
            "metric_at_threshold": v.metric_at_threshold,
            "auroc": v.auroc,
            "negative_log_likelihood_before_and_after_calibration": v.nll,
        })
    });
    let info = BundleInfo {
        format_version: gg_nn::BUNDLE_FORMAT,
        name: args.name.clone().unwrap_or_else(default_name),
        task,
        net: settings.task(task).network.clone(),
        prepare: settings.prepare.clone(),
        threshold: outcome.threshold,
        temperature: outcome.temperature,
        clean: settings.clean,
        threshold_folds: None,
        mirror: settings.task(task).train.mirror,
        interval: None,
        area: None,
        labels: labels(task, question),
        manifest: serde_json::to_value(manifest)?,
        scores: serde_json::json!({ "validation": val, "leaking": manifest.leaking }),
        licence: args.bundle.licence.clone(),
        weights_sha256: String::new(),
        int8,
        members: Vec::new(),
    };
    Bundle::save(path, info, &outcome.weights, store)
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(())
}

/// What the labels of slices tell; data sets that label images and ones that label slices ask different questions.
pub(super) fn question(sets: &gg_dataset::Datasets, task: Task) -> Result<Question> {
    let asked: Vec<Question> = sets.sets.iter().map(|s| Question::of(s.layout)).collect();
    let first = asked.first().copied().unwrap_or(Question::SliceShowsInfection);
    if task == Task::Classify && asked.iter().any(|q| *q != first) {
        return Err(Usage(
            "some of the data sets say which images are of COVID-19, others which slices show infection; one classifier \
             learns one of the two"
                .to_owned(),
        )
        .into());
    }
    Ok(first)
}

fn labels(task: Task, question: Question) -> BTreeMap<String, String> {
    let pairs: &[(&str, &str)] = match task {
        Task::Classify if question == Question::ImageIsCovid => {
            &[("0", "image labelled as not of COVID-19"), ("1", "image labelled as of COVID-19")]
        }
        Task::Classify => {
            &[("0", "slice without infection"), ("1", "slice whose infection mask is not blank")]
        }
        Task::Lung => &[("0", "outside the lungs"), ("1", "lung, infected or not")],
        Task::Infection => &[("0", "no infection"), ("1", "infection: ground-glass and consolidation")],
    };
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_nn::{EpochRow, PartScores, Weights};

    #[test]
    fn a_network_that_finds_nothing_of_what_is_true_is_told() {
        let outcome = |train_metric, val: Option<Option<f64>>| TrainOutcome {
            weights: Weights::default(),
            best_epoch: 1,
            threshold: 0.5,
            temperature: 1.0,
            val: val.map(|metric_at_threshold| PartScores {
                loss: 0.7,
                metric: metric_at_threshold,
                auroc: None,
                threshold: 0.5,
                metric_at_threshold,
                temperature: 1.0,
                nll: None,
            }),
            rows: vec![EpochRow {
                epoch: 1,
                step: 3,
                lr: 1e-3,
                train_loss: 0.7,
                train_metric,
                val_loss: None,
                val_metric: None,
                val_auroc: None,
                best: true,
            }],
            steps: 3,
        };
        let told = |train, val, task| found_nothing(&outcome(train, val), task).unwrap_or_default();
        assert!(told(Some(0.0), None, Task::Infection).contains("in the training slices (Dice 0.0000)"));
        assert!(
            told(Some(0.3), Some(Some(0.0015)), Task::Lung)
                .contains("in the validation slices (Dice 0.0015)")
        );
        // Accuracy is no Dice; and where nothing is true, nothing can be found.
        assert_eq!(told(Some(0.0), None, Task::Classify), "");
        for (train, val) in
            [(Some(0.1), None), (None, None), (Some(0.0), Some(Some(0.2))), (Some(0.0), Some(None))]
        {
            assert_eq!(told(train, val, Task::Infection), "", "{train:?} {val:?}");
        }
        for (auroc, is_told) in [(Some(0.31), true), (Some(0.549), true), (Some(0.55), false), (None, false)]
        {
            let mut classifier = outcome(None, Some(None));
            classifier.val.as_mut().unwrap().auroc = auroc;
            assert_eq!(found_nothing(&classifier, Task::Classify).is_some(), is_told, "{auroc:?}");
        }
    }

    #[test]
    fn a_validation_part_of_one_class_is_told_with_what_chooses_the_epoch_then() {
        let told = |counts, task, select| one_sided(counts, task, select).unwrap_or_default();
        assert!(told([9, 0], Task::Infection, Select::Metric).contains("no infection"));
        assert!(told([9, 0], Task::Infection, Select::Metric).contains("lowest loss"));
        assert!(told([9, 0], Task::Lung, Select::Auto).contains("no lung"));
        assert!(told([0, 9], Task::Classify, Select::Auto).contains("no slice with label 0"));
        assert!(told([0, 9], Task::Classify, Select::Metric).contains("highest accuracy"));
        for counts in [[0, 0], [3, 4], [0, 4]] {
            assert_eq!(one_sided(counts, Task::Infection, Select::Auto), None, "{counts:?}");
        }
    }
}
