//! `models`: what is in the box, and everything that a bundle says about itself.

mod area;
mod change;
mod words;

use super::Context;
use crate::args::{ModelsAction, ModelsArgs, ModelsShowArgs, OutBundle};
use crate::builtin;
use crate::manifest::{self, Training};
use crate::model_file;
use crate::output;
use anyhow::{Context as _, Result};
use gg_dataset::Task;
use gg_nn::{Bundle, BundleInfo};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One line of `models list`.
#[derive(Serialize)]
struct Row {
    task: Task,
    name: String,
    network: String,
    /// Side of the square slices that it sees, in pixels.
    size: usize,
    threshold: f32,
    parameters: usize,
    bytes: usize,
    leaking: bool,
    licence: String,
    sha256: String,
}

/// `models show`: the bundle's description as it stands in the file, and the hash of the file.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Row,
    info: BundleInfo,
}

pub(super) fn run(context: &Context, args: ModelsArgs) -> Result<()> {
    match args.action {
        ModelsAction::List => list(context),
        ModelsAction::Show(args) => show(context, &args),
        ModelsAction::Calibrate(args) => super::calibrate::run(context, &args),
        ModelsAction::SetInterval(args) => change::set_interval(context, &args),
        ModelsAction::SetArea(args) => area::set_area(context, &args),
        ModelsAction::SetThreshold(args) => change::set_threshold(context, &args),
        ModelsAction::SetPrediction(args) => change::set_prediction(context, &args),
        ModelsAction::Join(args) => change::join(context, &args),
    }
}

fn list(context: &Context) -> Result<()> {
    let rows: Vec<Row> = builtin::BUNDLES
        .iter()
        .map(|(task, bytes)| {
            let bundle = builtin::load(*task, bytes)?;
            row(&bundle, bytes)
        })
        .collect::<Result<_>>()?;
    context.answer(&rows, || {
        let mut lines = vec![format!(
            "{:<10} {:<24} {:<38} {:>5} {:>10} {:>9}  sha256",
            "task", "name", "network", "size", "threshold", "MB"
        )];
        lines.extend(rows.iter().map(|r| {
            format!(
                "{:<10} {:<24} {:<38} {:>5} {:>10.3} {:>9.2}  {}",
                r.task.name(),
                r.name,
                r.network,
                r.size,
                r.threshold,
                r.bytes as f64 / 1e6,
                &r.sha256[..12.min(r.sha256.len())]
            )
        }));
        lines.push(
            "`models show TASK` tells how one was trained and what it scored; --model takes your own"
                .to_owned(),
        );
        lines.join("\n")
    })
}

fn show(context: &Context, args: &ModelsShowArgs) -> Result<()> {
    let (bundle, bytes) = model_file::read(Path::new(&args.model))?;
    let shown = Shown { row: row(&bundle, &bytes)?, info: bundle.info };
    context.answer(&shown, || words::text(&shown))
}

/// Adds scans to those that the trainings of a bundle were chosen on; bundles of earlier versions have no list of them.
///
/// # Errors
/// A description in which they have no place: what a model knows must not be lost in silence.
fn remember<'a>(info: &mut BundleInfo, scans: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
    let members = info.members.iter_mut().map(|m| &mut m.manifest);
    for manifest in std::iter::once(&mut info.manifest).chain(members) {
        if manifest.is_null() {
            *manifest = serde_json::json!({});
        }
        let fields = manifest.as_object_mut();
        let known = fields.map(|m| m.entry("val_scans").or_insert_with(|| serde_json::json!([])));
        let known = known.and_then(serde_json::Value::as_array_mut).context(
            "the bundle's manifest has no place for the scans that were chosen on; right would be fields, with a list as \
             `val_scans`",
        )?;
        for scan in scans.clone().map(serde_json::Value::from) {
            if !known.contains(&scan) {
                known.push(scan);
            }
        }
    }
    Ok(())
}

/// Refuses to write over a bundle unasked, and over an input or what is no bundle at any time.
pub(super) fn check_free(out: &OutBundle, model: impl AsRef<Path>, inputs: &[PathBuf]) -> Result<()> {
    let model = Some(model.as_ref()).filter(|m| builtin::named(m).is_none() || m.exists());
    let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).chain(model).collect();
    output::check_file_free(&out.out, out.force, &inputs, |file| model_file::read(file).is_err())
}

fn write(bytes: &[u8], out: &Path) -> Result<Shown> {
    gg_io::atomic_write(out, |file| file.write_all(bytes))
        .with_context(|| format!("writing {}", out.display()))?;
    let bundle = Bundle::from_bytes(bytes)?;
    Ok(Shown { row: row(&bundle, bytes)?, info: bundle.info })
}

fn row(bundle: &Bundle, bytes: &[u8]) -> Result<Row> {
    let info = &bundle.info;
    Ok(Row {
        task: info.task,
        name: info.name.clone(),
        network: match info.members.len() {
            0 => info.net.summary(),
            n => format!("{n} x {}", info.net.summary()),
        },
        size: info.prepare.size,
        threshold: info.threshold,
        parameters: bundle.weights.tensors.values().map(|t| t.values.len()).sum(),
        bytes: bytes.len(),
        leaking: Training::all_of(info).iter().any(|t| t.leaking),
        licence: info.licence.clone(),
        sha256: manifest::sha256(bytes),
    })
}
