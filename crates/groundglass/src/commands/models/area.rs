//! `models set-area`: how much the infected area of a slice counts beside a classifier.

use super::words::{area_words, threshold_words};
use super::{Context, Shown, check_free, remember, write};
use crate::args::ModelsSetAreaArgs;
use crate::model_file;
use crate::scoring::{self, ClassIntervals, ClassSection};
use crate::seen;
use crate::words::number;
use anyhow::{Context as _, Result};
use gg_dataset::Task;
use gg_eval::{AreaFit, CalledScan, CalledSlice, ClassScores, youden_threshold};
use gg_nn::Bundle;
use gg_volume::Warning;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// Of the intervals around what fits on other patients say.
const RESAMPLES: usize = 2000;

/// `models set-area`: the bundle, and what fits on the other patients say of each one's slices.
#[derive(Serialize)]
struct AreaAnswer {
    #[serde(flatten)]
    shown: Shown,
    held_out: Option<ClassSection>,
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
pub(super) fn set_area(context: &Context, args: &ModelsSetAreaArgs) -> Result<()> {
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
    let mut remembered = Ok(());
    let bytes = Bundle::described(&bytes, |info| {
        info.area = Some(fit);
        info.threshold = threshold;
        // What it says of these scans is not held out any more.
        remembered = remember(info, choosers.iter().map(|case| case.sha256.as_str()));
    })
    .with_context(|| args.model.clone())?;
    remembered.with_context(|| args.model.clone())?;
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
    let (auroc, intervals) = (&found.intervals.auroc, &found.intervals);
    let reliability = found.reliability.as_ref().map(|r| &r.after);
    let ends = match (auroc.low, auroc.high) {
        (Some(low), Some(high)) => format!("{low:.3} to {high:.3}"),
        _ => "no interval: one patient alone has slices of a class".to_owned(),
    };
    let rarer = intervals.recall.n_groups.min(intervals.specificity.n_groups);
    let few = format!(
        ", {rarer} of them with slices of the rarer class: too few for intervals that can be believed"
    );
    lines.push(format!(
        "held out     AUROC {} ({ends}), expected calibration error {}, Brier score {}; over {} patients{}",
        number(found.scores.auroc, 3),
        number(reliability.and_then(|r| r.ece), 3),
        number(reliability.and_then(|r| r.brier), 3),
        auroc.n_groups,
        if auroc.few_groups { few.as_str() } else { "" }
    ));
    lines
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
