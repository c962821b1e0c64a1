//! `models`: what is in the box, and everything that a bundle says about itself.

use super::Context;
use super::crossval::{FittedInterval, HeldOutTemperature, recipe_sha256};
use crate::args::{
    ModelsAction, ModelsArgs, ModelsJoinArgs, ModelsSetAreaArgs, ModelsSetIntervalArgs,
    ModelsSetPredictionArgs, ModelsSetThresholdArgs, ModelsShowArgs, OutBundle,
};
use crate::builtin;
use crate::manifest::{self, Training};
use crate::model_file;
use crate::output;
use crate::scoring::{self, ClassIntervals, ClassSection};
use crate::seen;
use crate::settings::Prediction;
use crate::words::{self, number};
use anyhow::{Context as _, Result};
use gg_dataset::{LEAK, Task};
use gg_eval::{AreaFit, CalledScan, CalledSlice, ClassScores, youden_threshold};
use gg_nn::engine::Int8Engine;
use gg_nn::{Bundle, BundleInfo};
use gg_volume::Warning;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
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

/// `models set-area`: the bundle, and what fits on the other patients say of each one's slices.
#[derive(Serialize)]
struct AreaAnswer {
    #[serde(flatten)]
    shown: Shown,
    held_out: Option<ClassSection>,
}

pub(super) fn run(context: &Context, args: ModelsArgs) -> Result<()> {
    match args.action {
        ModelsAction::List => list(context),
        ModelsAction::Show(args) => show(context, &args),
        ModelsAction::Calibrate(args) => super::calibrate::run(context, &args),
        ModelsAction::SetInterval(args) => set_interval(context, &args),
        ModelsAction::SetArea(args) => set_area(context, &args),
        ModelsAction::SetThreshold(args) => set_threshold(context, &args),
        ModelsAction::SetPrediction(args) => set_prediction(context, &args),
        ModelsAction::Join(args) => join(context, &args),
    }
}

/// Of the intervals around what fits on other patients say.
const RESAMPLES: usize = 2000;
const INTERVAL_TAKEN_OUT: &str =
    "interval     taken out: it was fitted on other masks; `models set-interval` puts one in";

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
    context.answer(&shown, || text(&shown))
}

/// Puts an interval into a copy of a bundle; its weights stay as they are.
fn set_interval(context: &Context, args: &ModelsSetIntervalArgs) -> Result<()> {
    check_free(&args.out, &args.model, std::slice::from_ref(&args.interval))?;
    let (bundle, bytes) = model_file::read(Path::new(&args.model))?;
    let file = || args.interval.display().to_string();
    let text = std::fs::read_to_string(&args.interval).with_context(|| format!("reading {}", file()))?;
    let fitted: FittedInterval = serde_json::from_str(&text)
        .with_context(|| format!("{}: no interval.json as `crossval infection` writes it", file()))?;
    let own = recipe_sha256(&bundle.info)?;
    let other = fitted.recipe_sha256.as_ref().is_some_and(|theirs| *theirs != own);
    if other && bundle.info.task == Task::Infection {
        anyhow::bail!(
            "{}: the networks that it was fitted with, their preparation or what is done to their masks is another than that of {}; \
             right would be the interval of folds of the same recipe",
            file(),
            args.model
        );
    }
    let bytes = Bundle::described(&bytes, |info| {
        info.interval = Some(fitted.fit);
        remember(info, fitted.scans.iter().map(String::as_str));
    })
    .with_context(|| args.model.clone())?;
    let shown = write(&bytes, &args.out.out)?;
    context.answer(&shown, || format!("{}: {}", args.out.out.display(), interval_words(&shown.info)))
}

/// Puts the medians of the folds' thresholds and temperatures into a copy of a bundle; its weights stay as they are.
fn set_threshold(context: &Context, args: &ModelsSetThresholdArgs) -> Result<()> {
    check_free(&args.out, &args.model, std::slice::from_ref(&args.crossval))?;
    let (bundle, bytes) = model_file::read(Path::new(&args.model))?;
    if bundle.info.area.is_some() {
        anyhow::bail!(
            "{}: its threshold belongs to the weights of the infected area; right would be a bundle before `models set-area`",
            args.model
        );
    }
    if !bundle.info.members.is_empty() {
        anyhow::bail!(
            "{}: found {} networks, each with its own temperature; right would be a bundle of one, before `models join`",
            args.model,
            bundle.info.members.len()
        );
    }
    let folds = folds_of(&args.crossval)?;
    let task = bundle.info.task;
    if let Some((path, fold)) = folds.iter().find(|(_, fold)| fold.info.task != task) {
        anyhow::bail!(
            "{}: found a network for the task {}, right would be {}",
            path.display(),
            fold.info.task.name(),
            task.name()
        );
    }
    if let Some((path, _)) = folds.iter().find(|(_, fold)| {
        let (a, b) = (&fold.info, &bundle.info);
        (&a.net, &a.prepare, &a.clean, a.mirror) != (&b.net, &b.prepare, &b.clean, b.mirror)
    }) {
        anyhow::bail!(
            "{}: the network, its preparation or what is done to its masks is another than that of {}; right would be folds of the same recipe",
            path.display(),
            args.model
        );
    }
    // Validation slices of one class choose nothing: 0.5 is no threshold of theirs.
    let all: Vec<&Bundle> = folds.iter().map(|(_, fold)| fold).collect();
    let some: Vec<&Bundle> =
        all.iter().copied().filter(|fold| manifest::chosen_on_validation(&fold.info)).collect();
    let telling = if some.is_empty() { all } else { some };
    let median_of = |value: &dyn Fn(&BundleInfo) -> f32| {
        gg_eval::median(telling.iter().map(|fold| f64::from(value(&fold.info))).collect()).map(|m| m as f32)
    };
    let (Some(threshold), Some(mut temperature)) =
        (median_of(&|i| i.threshold), median_of(&|i| i.temperature))
    else {
        anyhow::bail!("{}: holds no folds", args.crossval.display());
    };
    // Without validation data, masks are cut at one half, and one half stays one half at any temperature.
    if folds.iter().all(|(_, fold)| fold.info.scores["validation"].is_null()) {
        temperature = held_out_temperature(&args.crossval)?;
    }
    let had_interval = bundle.info.interval.is_some();
    let bytes = Bundle::described(&bytes, |info| {
        info.threshold = threshold;
        info.temperature = temperature;
        info.threshold_folds = Some(telling.len());
        // Masks cut elsewhere have other errors than those that it was fitted on.
        info.interval = None;
    })
    .with_context(|| args.model.clone())?;
    let shown = write(&bytes, &args.out.out)?;
    context.answer(&shown, || {
        let lines = [threshold_words(&shown.info), temperature_words(&shown.info)];
        let interval = if had_interval { format!("\n{INTERVAL_TAKEN_OUT}") } else { String::new() };
        format!("{}\nthreshold    {}\ntemperature  {}{interval}", args.out.out.display(), lines[0], lines[1])
    })
}

/// Puts another posture and other settings of the clean-up into a copy of a bundle; its weights stay as they are.
fn set_prediction(context: &Context, args: &ModelsSetPredictionArgs) -> Result<()> {
    check_free(&args.out, &args.model, &[])?;
    let (bundle, bytes) = model_file::read(Path::new(&args.model))?;
    let before = Prediction { mirror: bundle.info.mirror, clean: bundle.info.clean };
    let after = before.with(bundle.info.task, &args.set)?;
    if bundle.info.area.is_some() && after != before {
        anyhow::bail!(
            "{}: its threshold and the weights of the infected area were fitted on what it says now; right would be a bundle before \
             `models set-area`",
            args.model
        );
    }
    let had_interval = bundle.info.interval.is_some() && after != before;
    let bytes = Bundle::described(&bytes, |info| {
        (info.mirror, info.clean) = (after.mirror, after.clean);
        if after != before {
            info.interval = None;
        }
        if let Some(name) = &args.name {
            info.name.clone_from(name);
        }
    })
    .with_context(|| args.model.clone())?;
    let shown = write(&bytes, &args.out.out)?;
    context.answer(&shown, || {
        let mut lines =
            vec![args.out.out.display().to_string(), format!("predicts     {}", shown.info.mirror.words())];
        if shown.info.task != Task::Classify {
            lines.push(format!("clean        {}", manifest::clean_words(&shown.info)));
        }
        if after != before {
            lines.push(format!(
                "threshold    {:.3}, as it was, and so is the temperature: `crossval --trained` of folds that predict like this finds \
                 others, for `models set-threshold`",
                shown.info.threshold
            ));
        }
        lines.extend(had_interval.then(|| INTERVAL_TAKEN_OUT.to_owned()));
        lines.join("\n")
    })
}

/// Puts several networks into one bundle.
fn join(context: &Context, args: &ModelsJoinArgs) -> Result<()> {
    check_free(&args.out, &args.models[0], &args.models[1..])?;
    let read = |path: &PathBuf| Ok(model_file::read_single(path)?.0);
    let bundles: Vec<Bundle> = args.models.iter().map(read).collect::<Result<_>>()?;
    let name = || format!("{}-of-{}", bundles[0].info.task.name(), bundles.len());
    let files: Vec<String> = args.models.iter().map(|path| path.display().to_string()).collect();
    let (info, weights) = gg_nn::join(&bundles, &files, &args.name.clone().unwrap_or_else(name))?;
    let (_, bytes) = Bundle::new(info, &weights, super::calibrate::store_of(&weights))?;
    let shown = write(&bytes, &args.out.out)?;
    context.answer(&shown, || text(&shown))
}

/// The temperature that a cross-validation without validation data fitted on its held-out patients; 1 where it found none.
fn held_out_temperature(crossval: &Path) -> Result<f32> {
    #[derive(Deserialize)]
    struct Found {
        held_out_temperature: Option<HeldOutTemperature>,
    }
    let path = crossval.join("scores").join("scores.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let found: Found = serde_json::from_str(&text)
        .with_context(|| format!("{}: no scores.json as `crossval` writes it", path.display()))?;
    Ok(found.held_out_temperature.map_or(1.0, |t| t.temperature as f32))
}

/// What is read of a `scores.json`.
#[derive(Deserialize)]
struct ScoredSlices {
    #[serde(default)]
    leak: Option<String>,
    warnings: Vec<Warning>,
    cases: Vec<ScoredCase>,
}

#[derive(Deserialize)]
struct ScoredCase {
    patient: String,
    sha256: String,
    #[serde(default)]
    area_weighed: bool,
    #[serde(default)]
    slice_scores: Vec<ScoredSlice>,
    #[serde(default)]
    slice_areas: Vec<MarkedSlice>,
}

#[derive(Deserialize)]
struct ScoredSlice {
    slice: usize,
    probability: f32,
    truth: Option<bool>,
}

#[derive(Deserialize)]
struct MarkedSlice {
    slice: usize,
    of_largest_lung: Option<f64>,
}

/// Fits the weights of classifier and infected area, and puts them into a copy of a bundle; its weights stay as they are.
fn set_area(context: &Context, args: &ModelsSetAreaArgs) -> Result<()> {
    check_free(&args.out, &args.model, &args.scores)?;
    let (bundle, bytes) = model_file::read(Path::new(&args.model))?;
    if bundle.info.task != Task::Classify {
        anyhow::bail!(
            "{}: found a network for the task {}, right would be classify",
            args.model,
            bundle.info.task.name()
        );
    }
    let scores: Vec<ScoredSlices> =
        args.scores.iter().map(|path| read_scores(path)).collect::<Result<_>>()?;
    let mut scans = BTreeSet::new();
    if let Some(twice) = scores.iter().flat_map(|s| &s.cases).find(|c| !scans.insert(&c.sha256)) {
        anyhow::bail!(
            "a scan of the patient {} stands in the scores twice; right would be each scan once",
            twice.patient
        );
    }
    let scans: Vec<CalledScan<'_>> =
        scores.iter().flat_map(|s| &s.cases).map(called_scan).collect::<Result<_>>()?;
    let fit = AreaFit::fit(&scans).context(
        "found no slices both with and without infection that have a classifier's probability and an infected area; right \
         would be scores of a classifier, an infection and a lung model together",
    )?;
    if let Some(fault) = fit.tells_nothing() {
        anyhow::bail!("{fault}; right would be scores in which either follows the truth");
    }
    let (mut probabilities, mut labels) = (Vec::new(), Vec::new());
    for scan in &scans {
        let areas = fit.areas(&scan.areas, scan.with_lung);
        probabilities.extend(scan.called.iter().map(|s| fit.probability(s.probability, areas[s.slice])));
        labels.extend(scan.called.iter().map(|s| s.infected));
    }
    let threshold = youden_threshold(&probabilities, &labels).context("no threshold parts the slices")?;
    let held_out = fit.held_out(&scans).and_then(|slices| scoring::held_out(&slices, RESAMPLES));
    let choosers: Vec<&ScoredCase> = scores
        .iter()
        .flat_map(|s| &s.cases)
        .zip(&scans)
        .filter(|(_, s)| !s.called.is_empty())
        .map(|(c, _)| c)
        .collect();
    let bytes = Bundle::described(&bytes, |info| {
        info.area = Some(fit);
        info.threshold = threshold;
        // What it says of these scans is not held out any more.
        remember(info, choosers.iter().map(|case| case.sha256.as_str()));
    })
    .with_context(|| args.model.clone())?;
    let shown = write(&bytes, &args.out.out)?;
    let answer = AreaAnswer { shown, held_out };
    context.answer(&answer, || {
        let info = &answer.shown.info;
        let mut lines = vec![
            args.out.out.display().to_string(),
            format!("area         {}", area_words(info)),
            format!("threshold    {}", threshold_words(info)),
        ];
        lines.extend(answer.held_out.iter().flat_map(held_out_words));
        lines.join("\n")
    })
}

/// What fits on the other patients say of each one's slices, in lines.
fn held_out_words(found: &ClassSection) -> Vec<String> {
    let counts = |at: &str, s: &ClassScores, i: &ClassIntervals| {
        let c = &s.confusion;
        format!(
            "held out     {at}: {} true and {} false positive, {} true and {} false negative slices; accuracy {} ({} to {}), \
             F1 {} ({} to {})",
            c.tp,
            c.fp,
            c.tn,
            c.fn_,
            number(s.accuracy, 3),
            number(i.accuracy.low, 3),
            number(i.accuracy.high, 3),
            number(s.f1, 3),
            number(i.f1.low, 3),
            number(i.f1.high, 3)
        )
    };
    let mut lines = vec![counts("at the threshold that the others chose", &found.scores, &found.intervals)];
    if let (Some(s), Some(i)) = (&found.scores_at_half, &found.intervals_at_half) {
        lines.push(counts("at 0.5", s, i));
    }
    let auroc = &found.intervals.auroc;
    let reliability = found.reliability.as_ref().map(|r| &r.after);
    lines.push(format!(
        "held out     AUROC {} ({} to {}), expected calibration error {}, Brier score {}; intervals over {} patients{}",
        number(found.scores.auroc, 3),
        number(auroc.low, 3),
        number(auroc.high, 3),
        number(reliability.and_then(|r| r.ece), 3),
        number(reliability.and_then(|r| r.brier), 3),
        auroc.n_groups,
        if auroc.few_groups { ", too few for intervals that can be believed" } else { "" }
    ));
    lines
}

/// Adds scans to those that the trainings of a bundle were chosen on; bundles of earlier versions have no list of them.
fn remember<'a>(info: &mut BundleInfo, scans: impl Iterator<Item = &'a str> + Clone) {
    let members = info.members.iter_mut().map(|m| &mut m.manifest);
    for manifest in std::iter::once(&mut info.manifest).chain(members) {
        let known =
            manifest.as_object_mut().map(|m| m.entry("val_scans").or_insert_with(|| serde_json::json!([])));
        let Some(known) = known.and_then(|known| known.as_array_mut()) else { continue };
        for scan in scans.clone().map(serde_json::Value::from) {
            if !known.contains(&scan) {
                known.push(scan);
            }
        }
    }
}

fn read_scores(path: &Path) -> Result<ScoredSlices> {
    let file = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", file()))?;
    let scores: ScoredSlices = serde_json::from_str(&text)
        .with_context(|| format!("{}: no scores.json as `evaluate` writes it", file()))?;
    if let Some(leak) = &scores.leak {
        anyhow::bail!("{}: right would be scores of patients that no model was trained on; {leak}", file());
    }
    if scores.cases.iter().any(|c| c.area_weighed) {
        anyhow::bail!(
            "{}: the classifier weighed the infected area already; right would be one that does not",
            file()
        );
    }
    if seen::not_held_out(&scores.warnings).is_some() {
        anyhow::bail!(
            "{}: a model was trained or chosen on a scan that it was scored on; right would be patients that it never saw",
            file()
        );
    }
    Ok(scores)
}

/// A case with those of its slices that have all that the fit needs.
fn called_scan(case: &ScoredCase) -> Result<CalledScan<'_>> {
    let marked = &case.slice_areas;
    if let Some((place, odd)) = marked.iter().enumerate().find(|(place, a)| a.slice != *place) {
        anyhow::bail!(
            "a scan of the patient {} has the slice {} where right would be {place}: the scores are not whole",
            case.patient,
            odd.slice
        );
    }
    let with_lung = |slice: usize| marked.get(slice).is_some_and(|a| a.of_largest_lung.is_some());
    let called =
        case.slice_scores.iter().filter(|s| with_lung(s.slice)).filter_map(|s| {
            Some(CalledSlice { slice: s.slice, probability: s.probability, infected: s.truth? })
        });
    Ok(CalledScan {
        patient: &case.patient,
        called: called.collect(),
        areas: marked.iter().map(|a| a.of_largest_lung.unwrap_or(0.0)).collect(),
        with_lung: marked.iter().filter(|a| a.of_largest_lung.is_some()).count(),
    })
}

/// The bundles of all folds of a cross-validation.
fn folds_of(dir: &Path) -> Result<Vec<(PathBuf, Bundle)>> {
    let mut folds = Vec::new();
    loop {
        let path = dir.join(format!("fold-{}", folds.len())).join("run").join("model.safetensors");
        if !path.exists() {
            break;
        }
        let (bundle, _) = model_file::read(&path)?;
        folds.push((path, bundle));
    }
    if folds.is_empty() || !dir.join("scores").join("scores.json").exists() {
        anyhow::bail!(
            "{}: no finished cross-validation, right would be the folder that `crossval --out` wrote",
            dir.display()
        );
    }
    Ok(folds)
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

fn threshold_words(info: &BundleInfo) -> String {
    format!("{:.3}, {}", info.threshold, manifest::threshold_source(info))
}

fn temperature_words(info: &BundleInfo) -> String {
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

/// What is done to the masks of its task.
fn interval_words(info: &BundleInfo) -> String {
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

fn area_words(info: &BundleInfo) -> String {
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

fn text(shown: &Shown) -> String {
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
