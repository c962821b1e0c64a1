//! The models in the box: bundles under `models/`, embedded in the program.

use crate::manifest;
use crate::pipeline::Models;
use anyhow::{Context, Result};
use gg_dataset::Task;
use gg_nn::Bundle;
use gg_volume::Warning;
use std::path::Path;

/// One bundle per task.
pub(crate) const BUNDLES: [(Task, &[u8]); 3] = [
    (Task::Classify, include_bytes!("../../../models/classify.safetensors")),
    (Task::Infection, include_bytes!("../../../models/infection.safetensors")),
    (Task::Lung, include_bytes!("../../../models/lung.safetensors")),
];

/// Adds the models in the box for the tasks that have none yet.
pub(crate) fn fill(models: &mut Models) -> Result<()> {
    let hashes = BUNDLES.map(|(_, bytes)| manifest::sha256(bytes));
    for ((task, bytes), sha256) in BUNDLES.into_iter().zip(&hashes) {
        if !models.has(task) {
            models.add(load(task, bytes)?, sha256.clone()).with_context(|| name(task))?;
        }
    }
    models.mark_in_box(&hashes);
    Ok(())
}

/// Remarks where a model in the box was fitted beside others than those that it works with.
pub(crate) fn beside_others(models: &Models) -> Vec<Warning> {
    let [classify, infection, lung] =
        [Task::Classify, Task::Infection, Task::Lung].map(|t| models.is_in_box(t));
    let mut found = Vec::new();
    if infection && !lung {
        found.push(Warning::new(
            "interval_of_other_lungs",
            "the interval around the percentage was fitted with the lung model in the box, and this is another: how often it \
             holds the truth is not known",
        ));
    }
    if classify && !(infection && lung) {
        found.push(Warning::new(
            "areas_of_other_models",
            "the classifier in the box goes by the infected area that the infection and lung models in the box find, and these are others: \
             its probabilities and its threshold were not fitted to them",
        ));
    }
    found
}

/// One of [`BUNDLES`], read.
pub(crate) fn load(task: Task, bytes: &[u8]) -> Result<Bundle> {
    Bundle::from_bytes(bytes).with_context(|| name(task))
}

/// The model in the box that is called so, by its task, and its bytes.
pub(crate) fn named(name: &Path) -> Option<Result<(Bundle, Vec<u8>)>> {
    let (task, bytes) = BUNDLES.iter().find(|(task, _)| task.name() == name.as_os_str())?;
    Some(load(*task, bytes).map(|bundle| (bundle, bytes.to_vec())))
}

fn name(task: Task) -> String {
    format!("the built-in model for the task `{}`", task.name())
}
