//! The models in the box: bundles under `models/`, embedded in the program.

use crate::manifest;
use crate::pipeline::Models;
use anyhow::{Context, Result};
use gg_dataset::Task;
use gg_nn::Bundle;

/// One bundle per task.
const BUNDLES: [(Task, &[u8]); 3] = [
    (Task::Classify, include_bytes!("../../../models/classify.safetensors")),
    (Task::Infection, include_bytes!("../../../models/infection.safetensors")),
    (Task::Lung, include_bytes!("../../../models/lung.safetensors")),
];

/// Adds the models in the box for the tasks that have none yet.
pub(crate) fn fill(models: &mut Models) -> Result<()> {
    for (task, bytes) in BUNDLES {
        if !models.has(task) {
            let name = || format!("the built-in model for the task `{}`", task.name());
            models
                .add(Bundle::from_bytes(bytes).with_context(name)?, manifest::sha256(bytes))
                .with_context(name)?;
        }
    }
    Ok(())
}
