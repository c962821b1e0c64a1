//! The models in the box: bundles under `models/`, embedded in the program.

use crate::manifest;
use crate::pipeline::Models;
use anyhow::{Context, Result};
use gg_nn::Bundle;

/// One bundle per task, in the order of the files' names.
const BUNDLES: [(&str, &[u8]); 0] = [
];

/// Adds the models in the box for the tasks that have none yet.
pub(crate) fn fill(models: &mut Models) -> Result<()> {
    for (name, bytes) in BUNDLES {
        let taken = match name {
            "classify" => models.classify.is_some(),
            "infection" => models.infection.is_some(),
            _ => models.lung.is_some(),
        };
        if !taken {
            let context = || format!("the built-in {name} model");
            let bundle = Bundle::from_bytes(bytes).with_context(context)?;
            models.add(bundle, manifest::sha256(bytes)).with_context(context)?;
        }
    }
    Ok(())
}
