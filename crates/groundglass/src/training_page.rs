//! Curves, drawings of the network and the page of a training run.

use crate::manifest::Training;
use crate::output::{self, write_drawing};
use crate::settings::TaskSettings;
use anyhow::{Context, Result};
use gg_dataset::Task;
use gg_nn::TrainOutcome;
use gg_nn::net::{NetConfig, NetTable, Op};
use gg_report::{EpochRow, Fact, Figure, LayerKind, LayerRow, Provenance, TrainingReport, UnetLevel};
use gg_volume::Warning;
use std::path::Path;

/// Writes `curves/*.svg|png`, `layers.txt` and `report.html`.
pub(crate) fn write(
    dir: &Path,
    task: Task,
    settings: &TaskSettings,
    size: usize,
    manifest: &Training,
    outcome: &TrainOutcome,
    warnings: &[Warning],
) -> Result<()> {
    let epochs: Vec<EpochRow> = outcome.rows.iter().map(|r| epoch(r, task)).collect();
    let best = usize::try_from(outcome.best_epoch).ok();
    let curves = dir.join("curves");
    std::fs::create_dir_all(&curves).context("making the folder of curves")?;
    for figure in gg_report::training_curves(&epochs, best) {
        let name: String =
            figure.title.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        write_drawing(&curves, &name, &figure.scene)?;
    }
    let table = settings.network.graph()?.table(size, size)?;
    output::write_text(&dir.join("layers.txt"), &format!("{table}\n"))?;
    let drawing = drawing(&settings.network, &table, size);
    write_drawing(&curves, "network", &drawing.scene)?;
    let metric = if task == Task::Classify { "accuracy" } else { "Dice" };
    let value = outcome.val.as_ref().and_then(|v| v.metric_at_threshold);
    let report = TrainingReport {
        title: format!("Training: {}", task.name()),
        summary: match value {
            None if outcome.val.is_some() => format!(
                "Best epoch {} of {}; the validation part holds one class only, so that it scores nothing and chose no threshold.",
                outcome.best_epoch,
                outcome.rows.len()
            ),
            Some(v)
                if task == Task::Classify
                    && outcome.val.as_ref().is_some_and(|part| part.auroc.is_none()) =>
            {
                format!(
                    "Best epoch {} of {}: validation {metric} {v:.3} at 0.5; the validation part holds one class only, so that it chose no threshold.",
                    outcome.best_epoch,
                    outcome.rows.len()
                )
            }
            Some(v) => format!(
                "Best epoch {} of {}: validation {metric} {v:.3} at the threshold {:.2}, which was chosen on the same \
                 validation part.",
                outcome.best_epoch,
                outcome.rows.len(),
                outcome.threshold
            ),
            None => format!(
                "Best epoch {} of {}; there was no validation part.",
                outcome.best_epoch,
                outcome.rows.len()
            ),
        },
        epochs,
        best_epoch: best,
        layers: layers(&table),
        figures: vec![drawing],
        provenance: provenance(manifest, warnings),
    };
    output::write_text(&dir.join("report.html"), &gg_report::training_report(&report))
}

/// An epoch as the curves want it.
pub(crate) fn epoch(row: &gg_nn::EpochRow, task: Task) -> EpochRow {
    let classify = task == Task::Classify;
    let pick = |wanted: bool, v: Option<f64>| v.filter(|_| wanted);
    EpochRow {
        epoch: row.epoch as usize,
        learning_rate: Some(row.lr),
        train_loss: Some(row.train_loss),
        val_loss: row.val_loss,
        train_accuracy: pick(classify, row.train_metric),
        val_accuracy: pick(classify, row.val_metric),
        train_dice: pick(!classify, row.train_metric),
        val_dice: pick(!classify, row.val_metric),
        val_auroc: row.val_auroc,
    }
}

/// The rows of the layer table as the drawing wants them; an activation stands with the layer it follows.
pub(crate) fn layers(table: &NetTable) -> Vec<LayerRow> {
    let mut rows: Vec<LayerRow> = Vec::new();
    for r in &table.rows {
        let Some(kind) = kind(r.op) else {
            if let Some(last) = rows.last_mut() {
                last.name.push_str(", ReLU");
            }
            continue;
        };
        let [c, h, w] = r.output;
        let output = format!("{c} x {h} x {w}");
        rows.push(LayerRow {
            kind,
            name: format!("{}: {}", r.name, r.kind),
            output,
            parameters: r.params as u64,
        });
    }
    rows
}

fn kind(op: Op) -> Option<LayerKind> {
    Some(match op {
        Op::Input => LayerKind::Input,
        Op::Conv { .. } => LayerKind::Conv,
        Op::ConvTranspose => LayerKind::Up,
        Op::BatchNorm { .. } => LayerKind::Norm,
        Op::MaxPool | Op::GlobalAvgPool => LayerKind::Pool,
        Op::Concat | Op::Add | Op::Gate => LayerKind::Concat,
        Op::Linear => LayerKind::Dense,
        Op::Dropout { .. } => LayerKind::Dropout,
        Op::Relu => return None,
    })
}

/// The network as the paper draws it.
pub(crate) fn drawing(net: &NetConfig, table: &NetTable, size: usize) -> Figure {
    match net {
        NetConfig::Unet(c) => {
            let levels: Vec<UnetLevel> =
                (0..c.levels).map(|i| UnetLevel { channels: c.base << i, size: size >> i }).collect();
            let choices = c.choices();
            let beyond = match choices.strip_prefix(", ") {
                Some(choices) => format!("; drawn without its {choices}"),
                None => String::new(),
            };
            let note = format!("{:.2} million trained values{beyond}", table.trained as f64 / 1e6);
            Figure {
                title: "Fig. 8 · The U-Net".to_owned(),
                caption: "Feature maps and their side in pixels, level by level.".to_owned(),
                scene: gg_report::unet_drawing("U-Net", &levels, &note),
            }
        }
        NetConfig::ClassifierA(_)
        | NetConfig::ClassifierB(_)
        | NetConfig::Encoder(_)
        | NetConfig::UnetArea(_) => Figure {
            title: "Fig. 7 · The CNN".to_owned(),
            caption: "Layers from the slice to one probability.".to_owned(),
            scene: gg_report::cnn_drawing("CNN", &layers(table)),
        },
    }
}

fn provenance(manifest: &Training, warnings: &[Warning]) -> Provenance {
    let p = &manifest.parts;
    let before =
        |title: &str, weights: &[String]| (!weights.is_empty()).then(|| Fact::new(title, weights.join(", ")));
    let begun = before("SHA-256 of the weights begun with", manifest.init_sha256.as_slice());
    let taught = before("SHA-256 of the weights learned from", &manifest.teacher_sha256);
    Provenance {
        leaking: manifest.leaking,
        warnings: warnings.iter().map(|w| w.message.clone()).collect(),
        facts: [
            Fact::new("Held-out fold", manifest.fold.to_string()),
            Fact::new("Training part", format!("{} slices of {} cases", p.train_samples, p.train_cases)),
            Fact::new("Validation part", format!("{} slices of {} cases", p.val_samples, p.val_cases)),
            Fact::new("Test part", format!("{} cases, not looked at here", p.test_cases)),
            Fact::new("Seed", manifest.seed.to_string()),
            Fact::new("Steps", manifest.steps.to_string()),
            Fact::new("SHA-256 of the split", &manifest.split_sha256),
            Fact::new("SHA-256 of the prepared data", &manifest.data_sha256),
            Fact::new(
                "Computed with",
                format!(
                    "{}, {}, {}",
                    manifest.compute.device, manifest.compute.instruction_set, manifest.compute.precision
                ),
            ),
        ]
        .into_iter()
        .chain(begun)
        .chain(taught)
        .collect(),
        models: Vec::new(),
        program: manifest.program.to_string(),
    }
}
