//! The training loop.
//!
//! In a run's folder: `checkpoint.safetensors` and `best.safetensors`, `metrics.jsonl` (one row per epoch, the same bytes
//! for the same run) and `timings.jsonl` (seconds). A run that is stopped and resumed ends in the bytes of one that was
//! not: order and augmentation of samples depend on (seed, epoch, place), dropout on (seed, step), and the rest stands in
//! the checkpoint.

use crate::checkpoint::{Checkpoint, load_best, save_best};
use crate::engine::{DropoutKey, Engine, EngineError, Images};
use crate::loss::Loss;
use crate::mirror::Mirror;
use crate::net::{Graph, NetConfig, NetError};
use crate::optim::{update_average, update_running_stats};
use crate::predict::predict_logits;
use crate::schedule::{Position, Schedule};
use crate::scoring::{PartScores, Scorer, Sums};
use crate::store::{StoreError, write_whole};
use crate::supervision::Supervision;
use crate::teacher::Teacher;
use crate::train_config::{Select, TrainConfig};
use crate::weights::{Weights, WeightsError};
use gg_dataset::{Batch, BatchError, BatchLoader, Task};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One training run.
pub struct TrainRun<'a> {
    /// What is learned.
    pub task: Task,
    /// The network.
    pub net: &'a NetConfig,
    /// How.
    pub config: &'a TrainConfig,
    /// Seed of first weights and dropout; the loaders have their own.
    pub seed: u64,
    /// Trained weights to begin with, in each layer of the same name and shapes; the rest is drawn.
    pub init: Option<&'a Weights>,
    /// Batches of the training part.
    pub train: &'a BatchLoader,
    /// Batches of the validation part; without, training values choose the best epoch and the threshold is 0.5.
    pub val: Option<&'a BatchLoader>,
    /// Folder for checkpoints and metrics; must exist.
    pub dir: &'a Path,
    /// Said in every row of the metrics: that patients leak between the parts, where they do.
    pub leak: Option<&'a str>,
    /// Go on from the folder's checkpoint, if there is one.
    pub resume: bool,
    /// Set from elsewhere (Ctrl-C) to stop after the current step with a checkpoint.
    pub stop: &'a AtomicBool,
}

/// One row of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRow {
    /// From 1.
    pub epoch: u64,
    /// Steps from the start.
    pub step: u64,
    /// Learning rate of the epoch's last step.
    pub lr: f64,
    /// Mean over the epoch while weights change, with augmentation and dropout; of side outputs too, where there are
    /// some, and against the teacher's share of the truth too, where there is one.
    pub train_loss: f64,
    /// Dice at 0.5 over the epoch's pixels, or accuracy.
    pub train_metric: Option<f64>,
    /// Mean over the validation part.
    pub val_loss: Option<f64>,
    /// Dice at 0.5 over the part's pixels, or accuracy.
    pub val_metric: Option<f64>,
    /// Area under the ROC curve of slices.
    pub val_auroc: Option<f64>,
    /// Whether this is the best epoch so far.
    pub best: bool,
}

/// Where a run stands, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepInfo {
    /// Running epoch, from 1.
    pub epoch: u64,
    /// Epochs at most.
    pub epochs: u64,
    /// Steps finished in this epoch.
    pub step_in_epoch: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Loss of the step.
    pub loss: f64,
    /// Mean loss of the epoch so far.
    pub mean_loss: f64,
    /// Dice or accuracy of the epoch so far.
    pub metric: Option<f64>,
}

/// Watches a run.
pub trait Observer {
    /// After each training step.
    fn step(&mut self, _info: &StepInfo) {}
    /// After each validation batch: finished and all.
    fn validation(&mut self, _done: usize, _of: usize) {}
    /// After each epoch.
    fn epoch(&mut self, _row: &EpochRow) {}
}

/// A finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOutcome {
    /// Weights of the best epoch (their moving average where one was asked for).
    pub weights: Weights,
    /// The best epoch, from 1.
    pub best_epoch: u64,
    /// Threshold picked on validation, of calibrated probabilities.
    pub threshold: f32,
    /// What logits are divided by to calibrate them, fitted on validation; 1 without.
    pub temperature: f32,
    /// Scores of the best weights on the validation part.
    pub val: Option<PartScores>,
    /// All epochs.
    pub rows: Vec<EpochRow>,
    /// Steps taken.
    pub steps: u64,
}

/// A run that cannot start, go on or end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Settings out of range.
    #[error("training settings: {0}")]
    Config(String),
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The data.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Files of the run.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Weights of a checkpoint.
    #[error("checkpoint: {0}")]
    Weights(#[from] WeightsError),
    /// A checkpoint that cannot be resumed.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// The run in the folder is another one.
    #[error(
        "the checkpoint belongs to a run with other settings, network, seed, data or teacher ({0}); resume with those"
    )]
    OtherRun(String),
    /// Numbers without end.
    #[error(
        "the loss is not finite at step {step} of epoch {epoch}: a smaller learning rate or gradient clipping may help"
    )]
    Diverged {
        /// Epoch, from 1.
        epoch: u64,
        /// Step in the epoch, from 1.
        step: u64,
    },
    /// Stopped from outside; the checkpoint is written.
    #[error("interrupted; the checkpoint is written")]
    Interrupted,
}

/// Trains a network until its last epoch, early stopping, or `stop`; with a teacher, the truth of the training part is
/// in part what that says ([`crate::Teacher`]), while scores of the validation part are against masks or labels alone.
///
/// # Errors
/// Settings out of range, a checkpoint of another run, data that cannot be read, a loss that is not finite;
/// [`TrainError::Interrupted`] after `stop` was set.
pub fn train(
    run: &TrainRun<'_>,
    engine: &mut dyn Engine,
    mut teacher: Option<&mut Teacher>,
    observer: &mut dyn Observer,
) -> Result<TrainOutcome, TrainError> {
    if let Some(fault) = run.config.fault() {
        return Err(TrainError::Config(fault));
    }
    if teacher.is_some() && matches!(run.config.loss, Loss::Focal { .. }) {
        return Err(TrainError::Config(
            "the focal loss knows no shares of truth, which a teacher gives".to_owned(),
        ));
    }
    let graph = run.net.graph()?;
    let segments = run.task != Task::Classify;
    if graph.segments() != segments {
        return Err(TrainError::Config(format!("this network does not suit the task {}", run.task.name())));
    }
    let mut at = start(run, &graph, teacher.as_deref())?;
    let mut saved = Instant::now();
    while !at.state.done {
        let epoch_started = Instant::now();
        let lr =
            train_epoch(run, &graph, (&mut *engine, teacher.as_deref_mut()), observer, &mut at, &mut saved)?;
        let train_secs = epoch_started.elapsed().as_secs_f64();
        let kept = at.average.as_ref().unwrap_or(&at.weights).clone();
        let val = match run.val {
            Some(part) => Some(score_part(run, engine, observer, part, (&kept, Mirror::None), &at)?),
            None => None,
        };
        end_epoch(run, &mut at, lr, val.as_ref(), &kept)?;
        at.save(run.dir)?;
        saved = Instant::now();
        write_metrics(run, &at.state.rows)?;
        write_timing(run.dir, at.state.epoch, train_secs, epoch_started.elapsed().as_secs_f64())?;
        if let Some(row) = at.state.rows.last() {
            observer.epoch(row);
        }
    }
    let weights = load_best(run.dir, &graph)?;
    let val = match run.val {
        Some(part) => Some(score_part(run, engine, observer, part, (&weights, run.config.mirror), &at)?),
        None => None,
    };
    Ok(TrainOutcome {
        weights,
        best_epoch: at.state.best_epoch,
        threshold: val.as_ref().map_or(0.5, |v| v.threshold),
        temperature: val.as_ref().map_or(1.0, |v| v.temperature),
        val,
        steps: at.state.step,
        rows: at.state.rows,
    })
}

/// The checkpoint to go on from, or a new one, written.
fn start(run: &TrainRun<'_>, graph: &Graph, teacher: Option<&Teacher>) -> Result<Checkpoint, TrainError> {
    let averaged = run.config.ema.is_some();
    let identity = identity(run, teacher)?;
    if run.resume
        && let Some(at) = Checkpoint::load(run.dir, graph, averaged)?
    {
        if at.state.run != identity {
            return Err(TrainError::OtherRun(first_difference(&at.state.run, &identity)));
        }
        return Ok(at);
    }
    let mut weights = Weights::init(run.net, run.seed)?;
    if let Some(trained) = run.init
        && weights.take_from(trained) == 0
    {
        return Err(TrainError::Config(
            "no layer of the weights to begin with has the name and shapes of one of this network's"
                .to_owned(),
        ));
    }
    let at = Checkpoint::start(graph, weights, averaged, identity);
    at.save(run.dir)?;
    write_metrics(run, &[])?;
    Ok(at)
}

/// Everything that a resumed run must share with its beginning.
fn identity(run: &TrainRun<'_>, teacher: Option<&Teacher>) -> Result<serde_json::Value, TrainError> {
    let mut config = run.config.clone();
    config.checkpoint_minutes = TrainConfig::default().checkpoint_minutes; // changes no result
    let json = |e: serde_json::Error| TrainError::Checkpoint(e.to_string());
    let mut value = serde_json::json!({
        "task": run.task.name(),
        "net": serde_json::to_value(run.net).map_err(json)?,
        "config": serde_json::to_value(&config).map_err(json)?,
        "seed": run.seed,
        "init": run.init.map(crate::bundle::weights_sha256),
        "train_samples": run.train.chosen().len(),
        "train_steps": run.train.steps_per_epoch(),
        "val_samples": run.val.map_or(0, |v| v.chosen().len()),
    });
    if let Some(teacher) = teacher {
        value["teacher"] = teacher.identity().into();
    }
    // numbers as they will be read back
    serde_json::from_str(&value.to_string()).map_err(json)
}

fn first_difference(a: &serde_json::Value, b: &serde_json::Value) -> String {
    let mut keys = [a, b].into_iter().filter_map(|v| v.as_object()).flat_map(|m| m.keys());
    keys.find(|k| a.get(k.as_str()) != b.get(k.as_str())).cloned().unwrap_or_else(|| "data".to_owned())
}

/// The steps of one epoch that are still to do; gives the last learning rate.
fn train_epoch(
    run: &TrainRun<'_>,
    graph: &Graph,
    (engine, mut teacher): (&mut dyn Engine, Option<&mut Teacher>),
    observer: &mut dyn Observer,
    at: &mut Checkpoint,
    saved: &mut Instant,
) -> Result<f64, TrainError> {
    let steps = run.train.steps_per_epoch() as u64;
    let epoch = at.state.epoch;
    let pause = Duration::from_secs_f64(run.config.checkpoint_minutes.min(1e6) * 60.0);
    let lr_at = |step: u64, at: &Checkpoint| {
        let position = Position { epoch, step, steps_per_epoch: steps };
        run.config.schedule.lr(run.config.adam.lr, position, &at.state.plateau)
    };
    for batch in run.train.epoch(epoch, at.state.step_in_epoch as usize) {
        if run.stop.load(Ordering::Relaxed) {
            at.save(run.dir)?;
            return Err(TrainError::Interrupted);
        }
        let batch = batch?;
        let lr = lr_at(at.state.step, at);
        let loss = train_step(run, graph, (&mut *engine, teacher.as_deref_mut()), at, &batch, lr)?;
        at.state.step += 1;
        at.state.step_in_epoch += 1;
        if !loss.is_finite() {
            return Err(TrainError::Diverged { epoch: epoch + 1, step: at.state.step_in_epoch });
        }
        observer.step(&StepInfo {
            epoch: epoch + 1,
            epochs: run.config.epochs,
            step_in_epoch: at.state.step_in_epoch,
            steps_per_epoch: steps,
            lr,
            loss,
            mean_loss: at.state.sums.loss(),
            metric: at.state.sums.metric(run.task != Task::Classify),
        });
        if saved.elapsed() >= pause {
            at.save(run.dir)?;
            *saved = Instant::now();
        }
    }
    Ok(lr_at(at.state.step.saturating_sub(1), at))
}

fn train_step(
    run: &TrainRun<'_>,
    graph: &Graph,
    (engine, teacher): (&mut dyn Engine, Option<&mut Teacher>),
    at: &mut Checkpoint,
    batch: &Batch,
    lr: f64,
) -> Result<f64, TrainError> {
    engine.set_weights(&at.weights)?;
    let key = DropoutKey { seed: run.seed, step: at.state.step };
    let supervision = Supervision::new(graph, batch.size)?;
    let images = images_of(batch);
    let taught = teacher.map(|t| t.targets(&images, &batch.targets, run.config.teacher_share)).transpose()?;
    let targets = taught.as_deref().unwrap_or(&batch.targets);
    let mut by_logits = |z: &[f32]| supervision.value_and_slope(&run.config.loss, z, targets, &batch.weights);
    let mut found = engine.gradients(&images, key, &mut by_logits)?;
    if !found.loss.is_finite() {
        return Ok(found.loss);
    }
    run.config.clip.apply(&mut found.by_param);
    at.adam.step(engine.arithmetic().isa, &run.config.adam, lr, &mut at.weights, &found.by_param);
    update_running_stats(graph, &mut at.weights, &found.batch_stats);
    if let (Some(average), Some(decay)) = (&mut at.average, run.config.ema) {
        update_average(average, &at.weights, decay, at.state.step);
    }
    at.state.sums.add(found.loss, batch.n, &found.logits[..batch.targets.len()], &batch.targets);
    let loss = found.loss;
    engine.recycle(found);
    Ok(loss)
}

/// Row, best weights, schedule and stopping after an epoch.
fn end_epoch(
    run: &TrainRun<'_>,
    at: &mut Checkpoint,
    lr: f64,
    val: Option<&PartScores>,
    kept: &Weights,
) -> Result<(), TrainError> {
    let segments = run.task != Task::Classify;
    let s = &mut at.state;
    let (train_loss, train_metric) = (s.sums.loss(), s.sums.metric(segments));
    let (loss, metric) = val.map_or((train_loss, train_metric), |v| (v.loss, v.metric));
    let value = match run.config.select {
        Select::Loss => -loss,
        Select::Metric => metric.unwrap_or(-loss),
        Select::Auto if segments => metric.unwrap_or(-loss),
        Select::Auto => val.and_then(|v| v.auroc).unwrap_or(-loss),
    };
    s.epoch += 1;
    s.step_in_epoch = 0;
    s.sums = Sums::default();
    let best = s.best_value.is_none_or(|b| value > b);
    if best {
        (s.best_value, s.best_epoch) = (Some(value), s.epoch);
        save_best(run.dir, kept)?;
    }
    if let Schedule::Plateau { patience, min_delta, .. } = run.config.schedule {
        s.plateau.record(value, min_delta);
        if s.plateau.waited >= patience.max(1) {
            s.plateau.waited = 0;
            s.plateau.reductions += 1;
        }
    }
    s.done = s.epoch >= run.config.epochs;
    if let Some(stopping) = run.config.early_stopping {
        s.stopping.record(value, stopping.min_delta);
        s.done |= s.stopping.waited >= stopping.patience.max(1);
    }
    s.rows.push(EpochRow {
        epoch: s.epoch,
        step: s.step,
        lr,
        train_loss,
        train_metric,
        val_loss: val.map(|v| v.loss),
        val_metric: val.and_then(|v| v.metric),
        val_auroc: val.and_then(|v| v.auroc),
        best,
    });
    Ok(())
}

/// Scores of weights on a whole part; stops between batches with the checkpoint written.
fn score_part(
    run: &TrainRun<'_>,
    engine: &mut dyn Engine,
    observer: &mut dyn Observer,
    part: &BatchLoader,
    (weights, mirror): (&Weights, Mirror),
    at: &Checkpoint,
) -> Result<PartScores, TrainError> {
    engine.set_weights(weights)?;
    let mut scorer = Scorer::new(run.task != Task::Classify);
    for (i, batch) in part.epoch(0, 0).enumerate() {
        if run.stop.load(Ordering::Relaxed) {
            at.save(run.dir)?;
            return Err(TrainError::Interrupted);
        }
        let batch = batch?;
        let logits = predict_logits(engine, &images_of(&batch), mirror)?;
        scorer.add(&run.config.loss, batch.n, &logits, &batch.targets, &batch.weights);
        observer.validation(i + 1, part.steps_per_epoch());
    }
    Ok(scorer.finish())
}

fn images_of(batch: &Batch) -> Images<'_> {
    Images { values: &batch.images, n: batch.n, height: batch.size, width: batch.size }
}

/// All rows again, so that a resumed run leaves no row twice.
fn write_metrics(run: &TrainRun<'_>, rows: &[EpochRow]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        row: &'a EpochRow,
        #[serde(skip_serializing_if = "Option::is_none")]
        leak: Option<&'a str>,
    }
    let mut text = String::new();
    for row in rows {
        text += &serde_json::to_string(&Line { row, leak: run.leak })
            .map_err(|e| StoreError::Format(e.to_string()))?;
        text.push('\n');
    }
    write_whole(&run.dir.join("metrics.jsonl"), text.as_bytes())
}

fn write_timing(dir: &Path, epoch: u64, train_secs: f64, epoch_secs: f64) -> Result<(), StoreError> {
    let row = serde_json::json!({ "epoch": epoch, "train_secs": train_secs, "epoch_secs": epoch_secs });
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("timings.jsonl"))?;
    Ok(writeln!(file, "{row}")?)
}
