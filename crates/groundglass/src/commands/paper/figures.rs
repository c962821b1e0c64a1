//! The paper's figures under their numbers, those of results for both splits, and the plots of `paper.md`.

use super::plan::SplitName;
use super::{Scored, comparisons, folder};
use crate::args::PaperArgs;
use crate::commands::{data, prepare};
use crate::settings::Settings;
use crate::training_page;
use anyhow::{Context as _, Result, anyhow};
use gg_dataset::{Cache, Datasets, Task};
use gg_report::{Confusion, EpochRow, Figure, Ink, Scene, ScoreCurve, ScoreLine, TextStyle};
use std::path::Path;

/// A figure with the name of its file.
pub(super) struct Drawn {
    pub(super) name: String,
    pub(super) figure: Figure,
}

fn drawn(
    name: impl Into<String>,
    title: impl Into<String>,
    caption: impl Into<String>,
    scene: Scene,
) -> Drawn {
    Drawn { name: name.into(), figure: Figure { title: title.into(), caption: caption.into(), scene } }
}

/// Fig. 2 to 5 and 9 to 11, of the slice with the largest infection.
pub(super) fn preparation(
    args: &PaperArgs,
    sets: &Datasets,
    cache: &Cache,
    settings: &Settings,
) -> Result<Vec<Drawn>> {
    let (case, z) = prepare::choose(cache, None, None)?;
    let (set, source) = data::cases(sets).nth(case).ok_or_else(|| anyhow!("no such case"))?;
    let loaded = data::load(set, source, &args.read)?;
    let sheet = prepare::sheet(cache, case)?;
    let figures = prepare::figures(settings, &loaded, &source.case_id, z, sheet)?;
    Ok(figures.into_iter().map(|(name, figure)| Drawn { name: name.to_owned(), figure }).collect())
}

/// Fig. 6 to 8: the networks.
pub(super) fn networks(settings: &Settings) -> Result<Vec<Drawn>> {
    let side = settings.prepare.size;
    let table = |task: Task| -> Result<_> { Ok(settings.task(task).network.graph()?.table(side, side)?) };
    let (cnn, unet) = (table(Task::Classify)?, table(Task::Infection)?);
    let cnn_figure = training_page::drawing(&settings.classify.network, &cnn, side);
    let unet_figure = training_page::drawing(&settings.infection.network, &unet, side);
    Ok(vec![
        drawn(
            "fig06_layers",
            "Fig. 6 · Layers of the CNN",
            "Every layer with the shape of its output and its values.",
            gg_report::layer_table("Layers of the CNN", &training_page::layers(&cnn)),
        ),
        Drawn { name: "fig07_cnn".to_owned(), figure: cnn_figure },
        Drawn { name: "fig08_unet".to_owned(), figure: unet_figure },
    ])
}

/// Fig. 12 to 14, under each split.
pub(super) fn results(out: &Path, scored: &[Scored]) -> Result<Vec<Drawn>> {
    let mut all = Vec::new();
    for s in scored {
        let split = s.run.split;
        let (number, what) = of_task(s.run.task);
        let rows = epochs(&folder(out, s.run), s.run.task)?;
        let scene = match s.run.task {
            Task::Classify => {
                let (scores, confusion) = class_lines(s);
                gg_report::classification_figure(&scores, &confusion, &s.pictures.examples)
            }
            _ => gg_report::segmentation_figure(what, &rows.epochs, rows.best, comparisons(s)),
        };
        let caption = match s.run.task {
            Task::Classify => "Test slices at the threshold that validation chose; intervals over patients.",
            _ => {
                "Curves of the training; test volumes, their slices of the most truth and prediction together."
            }
        };
        all.push(drawn(
            format!("fig{number}_{}_{}", s.run.task.name(), split.name()),
            format!("Fig. {number} · {what} · {}", split.heading()),
            caption,
            headed(&scene, split),
        ));
    }
    Ok(all)
}

/// The number and the title of a network's figure in the paper.
fn of_task(task: Task) -> (u8, &'static str) {
    match task {
        Task::Classify => (12, "Classification"),
        Task::Lung => (13, "Lung segmentation"),
        Task::Infection => (14, "Infection segmentation"),
    }
}

/// The plots of `paper.md`, each a part of the figure whose number it has: curves, ROC and confusion matrix, no picture
/// of anybody.
pub(super) fn plots(out: &Path, scored: &[Scored]) -> Result<Vec<Drawn>> {
    let mut all = Vec::new();
    for s in scored {
        let (split, task) = (s.run.split, s.run.task.name());
        let (number, _) = of_task(s.run.task);
        let rows = epochs(&folder(out, s.run), s.run.task)?;
        for figure in gg_report::training_curves(&rows.epochs, rows.best) {
            let kind: &str = figure.title.split_whitespace().next().unwrap_or("curve");
            if matches!(kind, "Loss" | "Dice" | "Accuracy") {
                let kind = kind.to_lowercase();
                all.push(drawn(
                    format!("{task}_{kind}_{}", split.name()),
                    format!("Fig. {number} · {task}: {kind} per epoch · {}", split.heading()),
                    "",
                    headed(&figure.scene, split),
                ));
            }
        }
        if let Some(c) = &s.scores.classification {
            let points = c.roc.fpr.iter().copied().zip(c.roc.tpr.iter().copied()).collect();
            let curve = ScoreCurve { points, area: c.roc.auroc, operating: None };
            let title = |what: &str| format!("Fig. {number} · classify: {what} · {}", split.heading());
            all.push(drawn(
                format!("classify_roc_{}", split.name()),
                title("ROC curve of test slices"),
                "",
                headed(&gg_report::roc_plot(&curve), split),
            ));
            let confusion =
                gg_report::confusion_matrix("Confusion matrix", &class_lines(s).1, "positive", "negative");
            all.push(drawn(
                format!("classify_confusion_{}", split.name()),
                title("confusion matrix of test slices"),
                "",
                headed(&confusion, split),
            ));
        }
    }
    Ok(all)
}

/// A drawing that says under which split it was made: a file of it may be looked at alone.
fn headed(scene: &Scene, split: SplitName) -> Scene {
    const LINE: f64 = 26.0;
    let mut headed =
        Scene::new(scene.width, scene.height + LINE, format!("{}: {}", split.heading(), scene.label));
    let style = TextStyle::new(12.0, if split == SplitName::Slice { LEAK_INK } else { Ink::Muted }).bold();
    headed.text_within(16.0, 18.0, split.heading(), scene.width - 32.0, style);
    headed.place(scene, 0.0, LINE);
    headed
}

/// The colour in which a leak is named.
const LEAK_INK: Ink = Ink::Rgb(0xc0, 0x39, 0x2b);

fn class_lines(s: &Scored) -> (Vec<ScoreLine>, Confusion) {
    let Some(c) = &s.scores.classification else { return (Vec::new(), Confusion::default()) };
    let i = &c.intervals;
    let lines = [
        ("Precision", &i.precision),
        ("Recall", &i.recall),
        ("F1", &i.f1),
        ("Specificity", &i.specificity),
        ("Accuracy", &i.accuracy),
        ("AUROC", &i.auroc),
    ];
    let line = |(name, i): &(&str, &gg_eval::Interval)| ScoreLine {
        name: (*name).to_owned(),
        value: i.mean,
        interval: i.low.zip(i.high),
        basis: String::new(),
    };
    let counts = &c.scores.confusion;
    let confusion = Confusion { tp: counts.tp, fp: counts.fp, fn_: counts.fn_, tn: counts.tn };
    (lines.iter().map(line).collect(), confusion)
}

/// The epochs of a run.
pub(super) struct Epochs {
    pub(super) epochs: Vec<EpochRow>,
    pub(super) best: Option<usize>,
    pub(super) last: Option<gg_nn::EpochRow>,
}

/// Reads the epochs of a run from its metrics.
pub(super) fn epochs(dir: &Path, task: Task) -> Result<Epochs> {
    let path = dir.join("metrics.jsonl");
    let named = || format!("reading {}", path.display());
    let text = std::fs::read_to_string(&path).with_context(named)?;
    let mut rows: Vec<gg_nn::EpochRow> = Vec::new();
    for line in text.lines() {
        let mut value: serde_json::Value = serde_json::from_str(line).with_context(named)?;
        if let Some(fields) = value.as_object_mut() {
            fields.remove("leak"); // said by every drawing of its own
        }
        rows.push(serde_json::from_value(value).with_context(named)?);
    }
    Ok(Epochs {
        epochs: rows.iter().map(|r| training_page::epoch(r, task)).collect(),
        best: rows.iter().rev().find(|r| r.best).and_then(|r| usize::try_from(r.epoch).ok()),
        last: rows.pop(),
    })
}
