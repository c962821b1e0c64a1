//! The page of a training run: curves, the table of epochs, the network.

use super::page::{charts, drawing, figures, page};
use crate::inputs::{EpochRow, TrainingReport};
use crate::network::layer_table;
use crate::numbers::NONE;
use crate::plots::training_curves;
use crate::scene::Scene;
use maud::{Markup, html};

/// The HTML page of a training run.
pub fn training_report(report: &TrainingReport) -> String {
    let curves: Vec<Scene> =
        training_curves(&report.epochs, report.best_epoch).into_iter().map(|f| f.scene).collect();
    let body = html! {
        h2 { "Curves" }
        @if curves.is_empty() { p.note { "No epoch has been finished." } }
        (charts(&curves))
        (epoch_table(&report.epochs, report.best_epoch))
        @if !report.figures.is_empty() { h2 { "Pictures" } (figures(&report.figures)) }
        @if !report.layers.is_empty() {
            h2 { "Network" }
            figure.plain { (drawing(&layer_table("Layers", &report.layers))) }
        }
    };
    page("training", &report.title, &report.summary, &report.provenance, body)
}

fn epoch_table(epochs: &[EpochRow], best: Option<usize>) -> Markup {
    type Pick = fn(&EpochRow) -> Option<f64>;
    let columns: [(&str, Pick); 8] = [
        ("Learning rate", |e| e.learning_rate),
        ("Training loss", |e| e.train_loss),
        ("Validation loss", |e| e.val_loss),
        ("Training accuracy", |e| e.train_accuracy),
        ("Validation accuracy", |e| e.val_accuracy),
        ("Training Dice", |e| e.train_dice),
        ("Validation Dice", |e| e.val_dice),
        ("Validation AUROC", |e| e.val_auroc),
    ];
    let measured: Vec<_> =
        columns.into_iter().filter(|(_, pick)| epochs.iter().any(|e| pick(e).is_some())).collect();
    html! {
        @if !epochs.is_empty() {
            details {
                summary { "All epochs as a table" }
                div.scroll { table {
                    thead { tr { th { "Epoch" } @for (name, _) in &measured { th { (name) } } } }
                    tbody { @for epoch in epochs {
                        tr class=(if Some(epoch.epoch) == best { "sum" } else { "" }) {
                            td { (epoch.epoch) @if Some(epoch.epoch) == best { " (best)" } }
                            @for (name, pick) in &measured { td { (value(name, pick(epoch))) } }
                        }
                    } }
                } }
            }
        }
    }
}

fn value(column: &str, value: Option<f64>) -> String {
    match value.filter(|v| v.is_finite()) {
        Some(v) if column == "Learning rate" => format!("{v:.2e}"),
        Some(v) => format!("{v:.4}"),
        None => NONE.to_owned(),
    }
}
