//! The models in the box: bundles under `models/`, embedded in the program.

use crate::manifest;
use crate::pipeline::Models;
use anyhow::{Context, Result};
use gg_dataset::Task;
use gg_nn::Bundle;
use std::path::Path;

/// One bundle per task.
pub(crate) const BUNDLES: [(Task, &[u8]); 3] = [
    (Task::Classify, include_bytes!("../../../models/classify.safetensors")),
    (Task::Infection, include_bytes!("../../../models/infection.safetensors")),
    (Task::Lung, include_bytes!("../../../models/lung.safetensors")),
];

/// Adds the models in the box for the tasks that have none yet.
pub(crate) fn fill(models: &mut Models) -> Result<()> {
    for (task, bytes) in BUNDLES {
        if !models.has(task) {
            models.add(load(task, bytes)?, manifest::sha256(bytes)).with_context(|| name(task))?;
        }
    }
    Ok(())
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
