//! `train`: from data sets to a model bundle, with everything that made it beside it in the run folder.

mod bundle;
mod folder;
mod live;
mod origin;
mod plan;
mod remarks;

use super::{Context, calibrate};
use crate::args::{PrecisionName, TrainArgs};
use crate::failure::Usage;
use crate::manifest::Compute;
use crate::model_file::BUNDLE;
use crate::output;
use crate::scoring::Question;
use crate::training_page;
use anyhow::{Context as _, Result};
use gg_dataset::{LEAK, PATIENTS_LEAK, SampleSource, Task};
use gg_nn::engine::{Engine, Int8Engine};
use gg_nn::net::Graph;
use gg_nn::{Teacher, TrainError, TrainOutcome, TrainRun};
use gg_volume::Warning;
use live::Live;
pub(super) use origin::{can_teach, held_out, refuse_held_out, refuse_twice, taken_over};
use plan::Plan;
pub(super) use remarks::told_beside_scores;
use remarks::{FOUND_NOTHING, found_nothing};
use serde::Serialize;
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
    let mut plan = Plan::check(context, args)?;
    let _held = plan.enter(context, args)?;
    let graph = plan.of_task().network.graph()?;
    let int8 = Int8Engine::check(&graph);
    if let Err(why) = &int8 {
        context.console.warn(format!("the bundle will have no calibration for int8: {why}"));
    }
    plan.say_what_is_shown(context);
    let mut engine = gg_nn::engine_for(&graph, plan.processor.clone());
    let outcome = learn(context, args, &plan, engine.as_mut())?;
    if let Some(message) = found_nothing(&outcome, plan.task) {
        plan.warn(context, FOUND_NOTHING, message);
    }
    let compute = Compute::new(engine.name(), engine.arithmetic());
    drop(engine); // its buffers make room for those that measure ranges
    let bundle = write(context, args, &plan, &outcome, (compute, int8.is_ok().then_some(&graph)))?;
    Ok(Trained {
        task: plan.task,
        bundle,
        best_epoch: outcome.best_epoch,
        epochs: outcome.rows.len(),
        threshold: outcome.threshold,
        temperature: outcome.temperature,
        val_loss: outcome.val.as_ref().map(|v| v.loss),
        val_metric: outcome.val.as_ref().and_then(|v| v.metric_at_threshold),
        val_auroc: outcome.val.as_ref().and_then(|v| v.auroc),
        warnings: plan.warnings,
    })
}

/// The epochs, with a checkpoint every few minutes.
fn learn(context: &Context, args: &TrainArgs, plan: &Plan, engine: &mut dyn Engine) -> Result<TrainOutcome> {
    let (train, val) = plan.loaders()?;
    let (origins, of_task) = (&plan.origins, plan.of_task());
    let mut teaching = Teacher::load(origins.teachers.iter().map(|(_, b)| b), &plan.processor)?;
    let mut live = Live::new(context, of_task.train.epochs, train.steps_per_epoch(), plan.task);
    let run = TrainRun {
        task: plan.task,
        net: &of_task.network,
        config: &of_task.train,
        seed: plan.settings.seed,
        init: origins.init.as_ref().map(|(_, b)| &b.weights),
        train: &train,
        val: val.as_ref(),
        dir: &args.out.out,
        leak: plan.chosen.parts.leaking.then_some(LEAK),
        resume: args.resume,
        stop: &context.interrupt.flag(),
    };
    let outcome = match gg_nn::train(&run, engine, teaching.as_mut(), &mut live) {
        Err(TrainError::Interrupted) => {
            let hint = format!("the checkpoint is in {}; --resume goes on from it", args.out.out.display());
            return Err(context.interrupt.error(hint).into());
        }
        other => other.with_context(|| args.out.out.display().to_string())?,
    };
    live.step.finish();
    Ok(outcome)
}

/// Writes how it was trained, the page and, last, the bundle, with ranges for int8 where there is a network to measure
/// them with; gives the bundle's path.
fn write(
    context: &Context,
    args: &TrainArgs,
    plan: &Plan,
    outcome: &TrainOutcome,
    (compute, to_int8): (Compute, Option<&Graph>),
) -> Result<PathBuf> {
    let (out, task) = (&args.out.out, plan.task);
    let manifest = plan.manifest(compute, outcome)?;
    output::write_json(&out.join("manifest.json"), &manifest)?;
    training_page::write(
        out,
        task,
        plan.of_task(),
        plan.settings.prepare.size,
        &manifest,
        outcome,
        &plan.warnings,
    )?;
    let measure = |graph: &Graph| {
        let looked_at = (plan.cache.clone() as Arc<dyn SampleSource>, plan.looked_at());
        calibrate::measure(context.isa, graph, &outcome.weights, task, looked_at)
    };
    let int8 = to_int8.map(measure).transpose()?;
    let path = out.join(BUNDLE);
    bundle::write(&path, (task, plan.question), args, &plan.settings, &manifest, outcome, int8)?;
    Ok(path)
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

/// All that a training reads.
pub(super) fn inputs<'a>(datasets: &'a [PathBuf], others: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    datasets.iter().chain(others).cloned().collect()
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
