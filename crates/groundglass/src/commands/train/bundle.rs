//! The bundle that a training ends in.

use crate::args::{StoreName, TrainArgs};
use crate::manifest::Training;
use crate::scoring::Question;
use crate::settings::Settings;
use anyhow::{Context as _, Result};
use gg_dataset::Task;
use gg_nn::{Bundle, BundleInfo, Calibration, Precision, TrainOutcome};
use std::collections::BTreeMap;
use std::path::Path;

/// Writes it: where it lies, the run is whole.
pub(super) fn write(
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

/// What 0 and 1 mean in what a network says.
pub(super) fn labels(task: Task, question: Question) -> BTreeMap<String, String> {
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
