//! The run folder: what a training was begun with stands there, so that only the same one is resumed.

use super::super::data;
use crate::failure::Usage;
use crate::manifest::{Program, sha256};
use crate::model_file::BUNDLE;
use crate::output::{self, Held};
use crate::settings::Settings;
use anyhow::{Context as _, Result, bail};
use gg_dataset::Cache;
use gg_nn::engine::Processor;
use std::path::Path;

/// The resolved settings in the run folder.
const SETTINGS: &str = "settings.toml";
/// The split in the run folder; `evaluate --split` takes it.
const SPLIT: &str = "split.toml";
/// The hash of data and preparation in the run folder.
const DATA: &str = "data.sha256";

/// The program that began the run, in its folder.
const PROGRAM: &str = "program.txt";
/// What the networks' convolutions multiply, and whether on a graphics card, in the run folder.
const PRECISION: &str = "precision.txt";
/// All files of a run folder.
const FILES: [&str; 15] = [
    SETTINGS,
    SPLIT,
    DATA,
    PROGRAM,
    PRECISION,
    BUNDLE,
    "manifest.json",
    "checkpoint.safetensors",
    "best.safetensors",
    "metrics.jsonl",
    "timings.jsonl",
    "layers.txt",
    "report.html",
    "curves/*.svg",
    "curves/*.png",
];

/// What a run is made of, as files in its folder: settings, split, a hash of data and preparation, the program, the
/// precision and the device.
pub(super) fn begun_with(
    settings: &Settings,
    chosen: &data::Chosen,
    cache: &Cache,
    processor: &Processor,
) -> Result<[(&'static str, String); 5]> {
    let split = format!("{}\n# trained with fold {} held out\n", chosen.split.to_toml()?, chosen.fold);
    let Program { name, version, commit } = Program::this();
    let on = if processor.gpu.is_some() { " on a gpu" } else { "" };
    Ok([
        (SETTINGS, settings.to_toml()?),
        (SPLIT, split),
        (DATA, format!("{}\n", data_hash(cache))),
        (PROGRAM, format!("{name} {version} {commit}\n")),
        (PRECISION, format!("{}{}\n", processor.arithmetic.precision.name(), on)),
    ])
}

/// Refuses, before hours of work, a run folder that cannot be taken.
pub(super) fn check_run_folder(out: &Path, force: bool, resume: bool) -> Result<()> {
    drop(output::hold(out)?);
    if !(resume && out.is_dir()) {
        return output::check_free(out, force);
    }
    if !output::is_ours(out) {
        bail!("{} is no run folder of groundglass; there is nothing to resume", out.display());
    }
    Ok(())
}

/// Takes the run folder: a new one, or with `--resume` the one that was begun with the same files.
pub(super) fn enter(out: &Path, force: bool, resume: bool, files: &[(&str, String)]) -> Result<Held> {
    check_run_folder(out, force, resume)?;
    if resume && out.is_dir() {
        return output::resume(out, || begun_alike(out, files));
    }
    let held = output::claim(out, force, &FILES, &[])?;
    files.iter().try_for_each(|(name, text)| output::write_text(&out.join(name), text))?;
    Ok(held)
}

/// Refuses to go on with what was begun with other files.
fn begun_alike(out: &Path, files: &[(&str, String)]) -> Result<()> {
    for (name, text) in files {
        let path = out.join(name);
        let begun = match std::fs::read_to_string(&path) {
            Err(e) if *name == PROGRAM && e.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.with_context(|| format!("reading {}", path.display()))?,
        };
        if begun != *text {
            return Err(Usage(format!(
                "{} was begun with other settings, another split, other data, another version of the program, another precision or \
                 device; resume with those, {name} there differs",
                out.display()
            ))
            .into());
        }
    }
    Ok(())
}

pub(super) fn data_hash(cache: &Cache) -> String {
    let contents: Vec<&str> = cache.cases().iter().map(|c| c.content.as_str()).collect();
    sha256(contents.join("\n").as_bytes())
}
