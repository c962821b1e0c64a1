//! A place that should hold a model: the bundle, or a sentence that says which file was meant.

use crate::builtin;
use crate::failure::Usage;
use anyhow::{Context, Result, bail};
use gg_nn::{Bundle, BundleError};
use std::path::Path;

/// The bundle in a run folder.
pub(crate) const BUNDLE: &str = "model.safetensors";
/// How bundles are named.
const EXTENSION: &str = "safetensors";
/// What is in a run folder before the training has ended.
const CHECKPOINT: &str = "checkpoint.safetensors";

/// Reads a bundle, and gives the bytes of its file too. A task's name alone is the model in the box.
pub(crate) fn read(path: &Path) -> Result<(Bundle, Vec<u8>)> {
    if let Some(found) = builtin::named(path) {
        if path.exists() {
            let name = path.display();
            let (what, first) = match path.is_dir() {
                true => ("folder", format!("{name}/{BUNDLE}")),
                false => ("file", format!("./{name}")),
            };
            bail!(
                "{name}: both a {what} here and a model in the program are called so, right would be {first} for the first, \
                 another working folder for the second"
            );
        }
        return found;
    }
    if path.is_dir() {
        bail!("{}: {}", path.display(), folder(path));
    }
    let read = || -> Result<_, BundleError> {
        let bytes = Bundle::read(path)?;
        Ok((Bundle::from_bytes(&bytes)?, bytes))
    };
    if !path.exists() && path.extension().is_none() && path.components().count() == 1 {
        let tasks: Vec<&str> = builtin::BUNDLES.iter().map(|(task, _)| task.name()).collect();
        return Err(Usage(format!(
            "{} is neither a model in the program ({}) nor a file",
            path.display(),
            tasks.join(", ")
        ))
        .into());
    }
    read().map_err(|error| instead(path, error)).with_context(|| path.display().to_string())
}

/// [`read`] for what needs one network alone.
pub(crate) fn read_single(path: &Path) -> Result<(Bundle, Vec<u8>)> {
    let (bundle, bytes) = read(path)?;
    match bundle.info.members.len() {
        0 => Ok((bundle, bytes)),
        n => bail!("{}: found {n} networks in one bundle, right would be a bundle of one", path.display()),
    }
}

/// [`read`] for an argument of `--model`, which may have swallowed a CT.
pub(crate) fn read_named(path: &Path) -> Result<(Bundle, Vec<u8>)> {
    let run = path.join(BUNDLE).is_file() || path.join(CHECKPOINT).is_file();
    let likely = run || builtin::named(path).is_some() || path.extension().is_some_and(|e| e == EXTENSION);
    read(path).map_err(|error| match likely {
        true => error,
        false => error.context(format!(
            "{}: not named .{EXTENSION}; --model takes all names up to the next option, so that CTs and data sets stand \
             before it",
            path.display()
        )),
    })
}

fn folder(path: &Path) -> String {
    if path.join(BUNDLE).is_file() {
        format!("it is a folder; the model is the file {BUNDLE} in it")
    } else if path.join(CHECKPOINT).is_file() {
        format!("it is a training that has not ended; `train --resume` ends it and writes {BUNDLE} there")
    } else {
        format!("it is a folder without {BUNDLE}, the file that `train` writes")
    }
}

/// The error, with the file that was meant where that can be told.
fn instead(path: &Path, error: BundleError) -> anyhow::Error {
    let BundleError::TrainingFile(_) = error else { return error.into() };
    let right = match path.with_file_name(BUNDLE).is_file() {
        true => format!("the model is the file {BUNDLE} beside it"),
        false => format!("`train --resume` ends the training and writes {BUNDLE} beside it"),
    };
    anyhow::anyhow!("{error}; {right}")
}
