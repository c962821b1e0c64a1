//! `train`: from data sets to a model bundle, with everything that made it beside it in the run folder.

mod bundle;
mod folder;
mod live;
mod origin;
mod remarks;

use super::{Context, calibrate, data};
use crate::args::{PrecisionName, TrainArgs};
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
use gg_nn::{Teacher, TrainConfig, TrainError, TrainRun};
use gg_volume::Warning;
use live::Live;
use origin::Origins;
pub(super) use origin::{can_teach, held_out, refuse_held_out, refuse_twice, taken_over};
pub(super) use remarks::told_beside_scores;
use remarks::{FOUND_NOTHING, ONE_CLASS, ONE_SIDED, counts, found_nothing, lacking, one_sided};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

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
    let int8 = match Int8Engine::check(&graph) {
        Ok(()) => {
            let looked_at = (cache as _, looked_at.as_slice());
            Some(calibrate::measure(context.isa, &graph, &outcome.weights, task, looked_at)?)
        }
        Err(_) => None,
    };
    bundle::write(&path, (task, question), args, &settings, &manifest, &outcome, int8)?;
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
