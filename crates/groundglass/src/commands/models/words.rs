//! What a bundle says about itself, in lines.

use super::Shown;
use crate::manifest::{self, Training};
use crate::words;
use gg_dataset::{LEAK, Task};
use gg_nn::BundleInfo;
use gg_nn::engine::Int8Engine;

pub(super) fn threshold_words(info: &BundleInfo) -> String {
    format!("{:.3}, {}", info.threshold, manifest::threshold_source(info))
}

pub(super) fn temperature_words(info: &BundleInfo) -> String {
    let from = match (info.threshold_folds, info.temperature == 1.0) {
        (Some(_), true) => ": not calibrated".to_owned(),
        (Some(folds), _) => {
            format!(
                ", of {}: the median, or of their held-out patients where none had validation data",
                words::folds(folds)
            )
        }
        (None, true) if !info.members.is_empty() => ", each network has its own".to_owned(),
        (None, true) => ": not calibrated".to_owned(),
        (None, false) => ", fitted on validation data".to_owned(),
    };
    format!("{:.3}{from}", info.temperature)
}

/// The interval around the percentage.
pub(super) fn interval_words(info: &BundleInfo) -> String {
    let Some(fit) = &info.interval else {
        return "none: the percentage comes without an interval".to_owned();
    };
    let measured = fit.measured.as_ref().map_or(String::new(), |m| {
        format!(
            "; it held the truth of {:.0} % of {} held-out patients, median width {:.1} points",
            100.0 * m.coverage,
            m.patients,
            m.median_width
        )
    });
    format!("{:.0} % interval, fitted on {} patients{measured}", 100.0 * fit.level, fit.patients)
}

pub(super) fn area_words(info: &BundleInfo) -> String {
    let Some(fit) = &info.area else {
        return "not weighed: the classifier alone speaks".to_owned();
    };
    let measured = fit.measured.map_or(String::new(), |m| {
        format!(
            "; AUROC of patients that the weights have not seen {:.3}, of the network alone {:.3}, of the area alone {:.3}",
            m.both, m.network, m.area
        )
    });
    let mean = match fit.neighbours {
        0 if fit.reach > 0.0 => {
            format!(", a mean over {:.0} % of the slices with lung to each side", 100.0 * fit.reach)
        }
        0 => String::new(),
        1 => ", a mean with the neighbour on each side".to_owned(),
        n => format!(", a mean with {n} neighbours on each side"),
    };
    format!(
        "the infected area counts too (weight {:.2}{mean}; the network's logit {:.2}), fitted on {} slices of {} patients{measured}",
        fit.area, fit.network, fit.slices, fit.patients
    )
}

pub(super) fn text(shown: &Shown) -> String {
    let Shown { row, info } = shown;
    let mut lines = vec![
        format!("{} ({})", row.name, row.task.name()),
        format!("network      {}, {} parameters, {} bytes", row.network, row.parameters, row.bytes),
        format!("sees         slices of {0} x {0} pixels, {1} at once", row.size, info.net.in_channels()),
        format!("predicts     {}", info.mirror.words()),
        format!("threshold    {}", threshold_words(info)),
        format!("temperature  {}", temperature_words(info)),
    ];
    if row.task != Task::Classify {
        lines.push(format!("clean        {}", manifest::clean_words(info)));
    }
    if row.task == Task::Infection {
        lines.push(format!("interval     {}", interval_words(info)));
    }
    if row.task == Task::Classify {
        lines.push(format!("area         {}", area_words(info)));
    }
    lines.extend(info.labels.iter().map(|(k, v)| format!("label {k}      {v}")));
    if !info.members.is_empty() {
        lines.push(format!("networks     {}, whose mean answers", info.members.len()));
    }
    let names = std::iter::once(&info.name).chain(info.members.iter().map(|m| &m.name));
    let manifests = std::iter::once(&info.manifest).chain(info.members.iter().map(|m| &m.manifest));
    for (name, manifest) in names.zip(manifests) {
        lines.extend(training_lines(info, name, manifest));
    }
    lines.push(match (info.has_int8(), &info.int8) {
        (true, Some(c)) => format!("int8         calibrated on {} slices", c.slices),
        (true, None) => "int8         each network is calibrated".to_owned(),
        (false, _) if info.net.graph().is_ok_and(|g| Int8Engine::check(&g).is_err()) => {
            "int8         not for this network".to_owned()
        }
        (false, _) if info.members.is_empty() => {
            "int8         no calibration; `models calibrate` adds it".to_owned()
        }
        (false, _) => {
            "int8         not every network is calibrated; `models calibrate` does it before `models join`"
                .to_owned()
        }
    });
    match info.members.is_empty() {
        true => lines.push(format!("scores       {}", score_words(info.task, &info.scores))),
        false => lines.extend(
            info.members
                .iter()
                .map(|m| format!("scores       {}: {}", m.name, score_words(info.task, &m.scores))),
        ),
    }
    lines.push(format!("licence      {}", row.licence));
    lines.push(format!("sha256       {}", row.sha256));
    lines.join("\n")
}

/// What a training says of its validation part; scores of new patients stand in no bundle.
fn score_words(task: Task, scores: &serde_json::Value) -> String {
    let of = |key: &str| scores["validation"][key].as_f64();
    let metric = if task == Task::Classify { "accuracy" } else { "Dice" };
    let found: Vec<String> = [(metric, "metric_at_threshold"), ("AUROC", "auroc"), ("loss", "loss")]
        .into_iter()
        .filter_map(|(name, key)| Some(format!("{name} {:.3}", of(key)?)))
        .collect();
    match found.is_empty() {
        true => "of new patients none: the training had no validation part".to_owned(),
        false => {
            format!("of the validation part, which chose it: {}; of new patients none", found.join(", "))
        }
    }
}

/// What one network was trained on, where its manifest is ours.
fn training_lines(info: &BundleInfo, name: &str, manifest: &serde_json::Value) -> Vec<String> {
    let Ok(trained) = serde_json::from_value::<Training>(manifest.clone()) else { return Vec::new() };
    let p = &trained.parts;
    let whose = if info.members.is_empty() { String::new() } else { format!("{name}: ") };
    let mut lines = vec![
        format!(
            "trained on   {whose}{} slices of {} cases; validation {} slices of {} cases; {} cases of the split held out",
            p.train_samples, p.train_cases, p.val_samples, p.val_cases, p.test_cases
        ),
        format!(
            "repeat       {whose}{}, seed {}, fold {}, best epoch {}, {} steps, data {}, split {}",
            trained.program,
            trained.seed,
            trained.fold,
            trained.best_epoch,
            trained.steps,
            short(&trained.data_sha256),
            short(&trained.split_sha256)
        ),
    ];
    let before = trained.init_sha256.iter().map(|hash| ("began with", hash));
    let before = before.chain(trained.teacher_sha256.iter().map(|hash| ("learned from", hash)));
    lines.extend(before.map(|(how, hash)| format!("{how:<13}{whose}the weights {}", short(hash))));
    if trained.leaking {
        lines.push(format!("warning      {whose}{LEAK}"));
    }
    lines
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
