//! Copies of a bundle with another interval, threshold or way of predicting, and several in one; weights stay as they are.

use super::words::{interval_words, temperature_words, text, threshold_words};
use super::{Context, check_free, remember, write};
use crate::args::{ModelsJoinArgs, ModelsSetIntervalArgs, ModelsSetPredictionArgs, ModelsSetThresholdArgs};
use crate::commands::calibrate;
use crate::commands::crossval::{FittedInterval, HeldOutTemperature, recipe_sha256};
use crate::manifest::{self, Training};
use crate::model_file;
use crate::settings::Prediction;
use anyhow::{Context as _, Result};
use gg_dataset::Task;
use gg_nn::{Bundle, BundleInfo};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const INTERVAL_TAKEN_OUT: &str =
    "interval     taken out: it was fitted on other masks; `models set-interval` puts one in";

/// Puts an interval into a copy of a bundle; its weights stay as they are.
pub(super) fn set_interval(context: &Context, args: &ModelsSetIntervalArgs) -> Result<()> {
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
    let mut remembered = Ok(());
    let bytes = Bundle::described(&bytes, |info| {
        info.interval = Some(fitted.fit);
        remembered = remember(info, fitted.scans.iter().map(String::as_str));
    })
    .with_context(|| args.model.clone())?;
    remembered.with_context(|| args.model.clone())?;
    let shown = write(&bytes, &args.out.out)?;
    context.answer(&shown, || format!("{}: {}", args.out.out.display(), interval_words(&shown.info)))
}

/// Puts the medians of the folds' thresholds and temperatures into a copy of a bundle; its weights stay as they are.
pub(super) fn set_threshold(context: &Context, args: &ModelsSetThresholdArgs) -> Result<()> {
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
    let validated = |fold: &Bundle| Training::of(fold).map_or_else(BTreeSet::new, |t| t.known.val_scans);
    let mut scans: BTreeSet<String> = telling.iter().flat_map(|fold| validated(fold)).collect();
    // Without validation data, masks are cut at one half, and one half stays one half at any temperature.
    if folds.iter().all(|(_, fold)| fold.info.scores["validation"].is_null()) {
        let (fitted, of) = held_out_temperature(&args.crossval)?;
        temperature = fitted;
        scans.extend(of);
    }
    let had_interval = bundle.info.interval.is_some();
    let mut remembered = Ok(());
    let bytes = Bundle::described(&bytes, |info| {
        info.threshold = threshold;
        info.temperature = temperature;
        info.threshold_folds = Some(telling.len());
        remembered = remember(info, scans.iter().map(String::as_str));
        // Masks cut elsewhere have other errors than those that it was fitted on.
        info.interval = None;
    })
    .with_context(|| args.model.clone())?;
    remembered.with_context(|| args.model.clone())?;
    let shown = write(&bytes, &args.out.out)?;
    context.answer(&shown, || {
        let lines = [threshold_words(&shown.info), temperature_words(&shown.info)];
        let interval = if had_interval { format!("\n{INTERVAL_TAKEN_OUT}") } else { String::new() };
        format!("{}\nthreshold    {}\ntemperature  {}{interval}", args.out.out.display(), lines[0], lines[1])
    })
}

/// Puts another posture and other settings of the clean-up into a copy of a bundle; its weights stay as they are.
pub(super) fn set_prediction(context: &Context, args: &ModelsSetPredictionArgs) -> Result<()> {
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
pub(super) fn join(context: &Context, args: &ModelsJoinArgs) -> Result<()> {
    check_free(&args.out, &args.models[0], &args.models[1..])?;
    let read = |path: &PathBuf| Ok(model_file::read_single(path)?.0);
    let bundles: Vec<Bundle> = args.models.iter().map(read).collect::<Result<_>>()?;
    let name = || format!("{}-of-{}", bundles[0].info.task.name(), bundles.len());
    let files: Vec<String> = args.models.iter().map(|path| path.display().to_string()).collect();
    let (info, weights) = gg_nn::join(&bundles, &files, &args.name.clone().unwrap_or_else(name))?;
    let (_, bytes) = Bundle::new(info, &weights, calibrate::store_of(&weights))?;
    let shown = write(&bytes, &args.out.out)?;
    context.answer(&shown, || text(&shown))
}

/// The temperature that a cross-validation without validation data fitted on its held-out patients, and their scans; 1
/// where it found none.
fn held_out_temperature(crossval: &Path) -> Result<(f32, Vec<String>)> {
    #[derive(Deserialize)]
    struct Found {
        held_out_temperature: Option<HeldOutTemperature>,
        #[serde(default)]
        cases: Vec<Scored>,
    }
    #[derive(Deserialize)]
    struct Scored {
        sha256: String,
    }
    let path = crossval.join("scores").join("scores.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let found: Found = serde_json::from_str(&text)
        .with_context(|| format!("{}: no scores.json as `crossval` writes it", path.display()))?;
    Ok(match found.held_out_temperature {
        Some(fitted) => {
            (fitted.temperature as f32, found.cases.into_iter().map(|case| case.sha256).collect())
        }
        None => (1.0, Vec::new()),
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
