//! `evaluate`: scores of bundles, or of masks from anywhere, volume by volume on the grid of the input.

use super::{Context, data};
use crate::args::{EvaluateArgs, PartName};
use crate::evaluation_page;
use crate::manifest::Training;
use crate::output::{self, Staged};
use crate::pictures::Shown;
use crate::pipeline::{self, Model, Models};
use crate::scoring::{self, Basis, CaseScores, Percent, ScoredModel, Scores, SliceScore};
use anyhow::{Context as _, Result, bail};
use gg_dataset::{Case, Dataset, Datasets, LoadedCase, Part, Parts};
use gg_eval::{MaskState, SegScores, seg_scores};
use gg_report::{Comparison, SlicePicture};
use gg_volume::{AxisMap, LabelVolume, Volume, Warning};
use std::path::{Path, PathBuf};

/// Where predicted masks come from.
enum Source<'a> {
    Models(&'a mut Models, data::Slices),
    Folder(&'a Path),
}

/// Predicted masks and slice probabilities of one case, on its stored grid.
struct Predicted {
    lung: Option<LabelVolume>,
    infection: Option<LabelVolume>,
    probabilities: Vec<Option<f32>>,
    warnings: Vec<Warning>,
}

/// Which structure a comparison is made for.
#[derive(Clone, Copy, PartialEq)]
enum Structure {
    Lung,
    Infection,
}

pub(super) fn run(context: &Context, args: EvaluateArgs) -> Result<()> {
    let scores = evaluate(context, &args)?;
    context.answer(&scores, || summary(&scores, &args.out.out))
}

/// Scores and writes everything; `quickstart` calls it too.
pub(crate) fn evaluate(context: &Context, args: &EvaluateArgs) -> Result<Scores> {
    if let Some(folder) = args.pred.as_ref().filter(|f| !f.is_dir()) {
        bail!("{} is no folder; --pred takes a folder of masks", folder.display());
    }
    let staged = Staged::begin(&args.out.out, args.out.force)?;
    let (sets, mut warnings) = data::open(context, &args.dataset)?;
    let mut models = Models::default();
    for path in &args.model {
        models.add_file(path).with_context(|| path.display().to_string())?;
    }
    let chosen = choose_part(context, args, &sets, &models)?;
    warnings.extend(chosen.warnings.clone());
    let leak = leak(&models, chosen.parts.as_ref());
    if let Some(leak) = &leak {
        context.console.warn(leak);
        warnings.push(Warning::new("patients_leak", leak.clone()));
    }
    warn_of_known_patients(context, &models, &sets, &chosen, &mut warnings);
    let wanted: Vec<(&Dataset, &Case)> = data::cases(&sets).filter(|(_, c)| chosen.holds(c)).collect();
    if wanted.is_empty() {
        bail!("no case belongs to the part `{}`", chosen.name);
    }

    let scored_models = list_models(&models);
    let mut source = match &args.pred {
        Some(folder) => Source::Folder(folder),
        None => {
            let cache = data::cache_dir(&args.cache, &args.out.out)?;
            Source::Models(&mut models, data::Slices::open(context, &cache, args.read.options()))
        }
    };
    let step = context.console.step("scoring", wanted.len() as u64);
    let mut cases = Vec::new();
    for &(set, case) in &wanted {
        context.interrupt.check()?;
        step.note(case.case_id.clone());
        let loaded = data::load(set, case, &args.read)?;
        let predicted = predict(context, &mut source, case, &loaded)?;
        cases.push(score(case, &loaded, &predicted, &chosen)?);
        step.inc();
    }
    step.finish();
    for (kind, missing) in missing_predictions(&cases, &wanted) {
        let message = format!(
            "{missing} of {} cases have a true {kind} mask and no predicted one; they are left out of the means",
            cases.len()
        );
        context.console.warn(&message);
        warnings.push(Warning::new("prediction_missing", message));
    }
    let basis = Basis {
        leak,
        part: chosen.name.clone(),
        fold: chosen.fold,
        models: scored_models,
        resamples: args.resamples,
        warnings,
    };
    let scores = scoring::sum_up(cases, basis);
    if scores.lung.is_none() && scores.infection.is_none() && scores.classification.is_none() {
        bail!("nothing could be scored: no case has both a prediction and a truth for the same task");
    }

    let mut comparisons = Vec::new();
    for structure in [Structure::Lung, Structure::Infection] {
        let picked = pick(&scores, structure);
        let step = context.console.step("pictures", picked.len() as u64);
        let mut rows = Vec::new();
        for (why, index) in picked {
            let (set, case) = wanted[index];
            let loaded = data::load(set, case, &args.read)?;
            let predicted = predict(context, &mut source, case, &loaded)?;
            rows.extend(compare(structure, why, &scores.cases[index], &loaded, &predicted)?);
            step.inc();
        }
        step.finish();
        comparisons.push(rows);
    }
    let examples = match &source {
        Source::Models(..) if scores.classification.is_some() => examples(&scores, &wanted, args)?,
        _ => Vec::new(),
    };
    if let Source::Models(_, slices) = source {
        slices.close(context);
    }

    let dir = staged.path();
    output::write_json(&dir.join("scores.json"), &scores)?;
    output::write_text(&dir.join("scores.csv"), &scoring::to_csv(&scores)?)?;
    evaluation_page::write(dir, &scores, comparisons, examples)?;
    staged.commit()?;
    Ok(scores)
}

/// Seed and validation share of the split where neither a split file nor a model tells them.
const DEFAULT_SEED: u64 = 1;
const DEFAULT_SHARE: f64 = 0.2;

/// The cases to score.
struct ChosenPart {
    name: String,
    fold: Option<usize>,
    part: Option<Part>,
    parts: Option<Parts>,
    warnings: Vec<Warning>,
}

impl ChosenPart {
    fn holds(&self, case: &Case) -> bool {
        match (&self.parts, self.part) {
            (Some(parts), Some(part)) if parts.leaking => parts.cases(part).contains(&case.case_id.as_str()),
            (Some(parts), Some(part)) => parts.part_for(&case.case_id, &case.patient, 0) == Some(part),
            _ => true,
        }
    }

    /// Canonical slices of a case that belong to the part; `None` for all of them.
    fn slices(&self, case_id: &str, n: usize) -> Option<Vec<usize>> {
        let (Some(parts), Some(part)) = (&self.parts, self.part) else { return None };
        if !parts.leaking {
            return None;
        }
        Some((0..n).filter(|&z| parts.part_of(case_id, z) == Some(part)).collect())
    }
}

fn choose_part(
    context: &Context,
    args: &EvaluateArgs,
    sets: &Datasets,
    models: &Models,
) -> Result<ChosenPart> {
    let split_given = args.fold.split.is_some() || args.fold.fold.is_some();
    let part = match args.part {
        PartName::Auto if split_given => Some(Part::Test),
        PartName::Auto | PartName::All => None,
        PartName::Test => Some(Part::Test),
        PartName::Val => Some(Part::Val),
        PartName::Train => Some(Part::Train),
    };
    let Some(part) = part else {
        return Ok(ChosenPart {
            name: "all".into(),
            fold: None,
            part: None,
            parts: None,
            warnings: Vec::new(),
        });
    };
    // Without a split file the parts are those that the model was trained with.
    let trained = models.all().find_map(|m| Training::of(&m.bundle));
    let (seed, validation_share) =
        trained.map_or((DEFAULT_SEED, DEFAULT_SHARE), |t| (t.seed, t.settings.validation_share));
    let chosen = data::choose(context, sets, &args.fold, seed, validation_share)?;
    let name = match part {
        Part::Train => "train",
        Part::Val => "val",
        Part::Test => "test",
    };
    Ok(ChosenPart {
        name: name.into(),
        fold: Some(chosen.fold),
        part: Some(part),
        warnings: chosen.parts.warnings.clone(),
        parts: Some(chosen.parts),
    })
}

fn leak(models: &Models, parts: Option<&Parts>) -> Option<String> {
    let trained = models.all().any(|m| Training::of(&m.bundle).is_some_and(|t| t.leaking));
    (trained || parts.is_some_and(|p| p.leaking)).then(|| data::LEAK.to_owned())
}

/// A bundle remembers the patients it learnt from (as hashes of their names): scores on them are no scores.
fn warn_of_known_patients(
    context: &Context,
    models: &Models,
    sets: &Datasets,
    chosen: &ChosenPart,
    warnings: &mut Vec<Warning>,
) {
    for model in models.all() {
        let seen = data::cases(sets)
            .filter(|(_, c)| chosen.holds(c))
            .filter(|(_, c)| knows(model, &c.patient))
            .count();
        if seen > 0 {
            let message = format!(
                "the {} model was trained on patients of the same names as those of {seen} scored cases; where they \
                 are the same people its scores on them say nothing about new patients",
                model.bundle.info.task.name()
            );
            context.console.warn(&message);
            warnings.push(Warning::new("scored_on_training_patients", message));
        }
    }
}

fn knows(model: &Model, patient: &str) -> bool {
    Training::of(&model.bundle).is_some_and(|t| t.knows_patient(patient))
}

fn list_models(models: &Models) -> Vec<ScoredModel> {
    models
        .all()
        .map(|m| ScoredModel {
            task: m.bundle.info.task,
            name: m.bundle.info.name.clone(),
            sha256: m.sha256.clone(),
            threshold: m.bundle.info.threshold,
        })
        .collect()
}

fn predict(
    context: &Context,
    source: &mut Source<'_>,
    case: &Case,
    loaded: &LoadedCase,
) -> Result<Predicted> {
    let ct = &loaded.scan.ct;
    match source {
        Source::Models(models, slices) => {
            let run = pipeline::Run {
                sides: ct.grid.affine.map(|_| ct.grid.axis_map()),
                prepare: &mut |config| Ok(slices.get(context, case, loaded, config)),
                told: &|_, _| (),
                stop: &context.interrupt,
            };
            let found = pipeline::run(models, ct, run)?;
            Ok(Predicted {
                lung: found.lung,
                infection: found.infection,
                probabilities: found.slices.iter().map(|s| s.probability).collect(),
                warnings: found.warnings,
            })
        }
        Source::Folder(folder) => {
            let shape = ct.voxels.shape();
            Ok(Predicted {
                lung: read_prediction(folder, &case.case_id, "lung_mask", shape)?,
                infection: read_prediction(folder, &case.case_id, "infection_mask", shape)?,
                probabilities: Vec::new(),
                warnings: Vec::new(),
            })
        }
    }
}

/// The mask of one case in either of the two layouts; `None` where there is none.
fn read_prediction(
    folder: &Path,
    case_id: &str,
    kind: &str,
    shape: [usize; 3],
) -> Result<Option<LabelVolume>> {
    let bases = [folder.join(case_id).join(kind), folder.join(kind).join(case_id)];
    let candidates =
        bases.iter().flat_map(|b| ["nii.gz", "nii"].map(|e| PathBuf::from(format!("{}.{e}", b.display()))));
    let Some(path) = candidates.into_iter().find(|p| p.is_file()) else { return Ok(None) };
    let (labels, _) = gg_io::read_labels(&path, &gg_io::ReadOptions::default())
        .with_context(|| path.display().to_string())?
        .value;
    if labels.shape() != shape {
        let text = |[z, y, x]: [usize; 3]| format!("{x} x {y} x {z}");
        bail!(
            "{}: the mask has the shape {}, right would be that of its CT, {} (columns x rows x slices)",
            path.display(),
            text(labels.shape()),
            text(shape)
        );
    }
    Ok(Some(labels))
}

fn score(case: &Case, loaded: &LoadedCase, predicted: &Predicted, chosen: &ChosenPart) -> Result<CaseScores> {
    let ct = &loaded.scan.ct;
    let map = ct.grid.axis_map();
    let n = map.canonical_shape(ct.voxels.shape())[0];
    let part = chosen.slices(&case.case_id, n);
    let cut = |labels: &LabelVolume| match &part {
        Some(slices) => keep_slices(labels, &map, slices),
        None => Ok(labels.clone()),
    };
    let spacing = ct.grid.trusted_spacing_mm();
    let segmentation = |pred: &Option<LabelVolume>,
                        truth: &Option<LabelVolume>|
     -> Result<Option<SegScores>> {
        let (Some(pred), Some(truth)) = (pred, truth) else { return Ok(None) };
        match &part {
            None => Ok(Some(seg_scores(pred, truth, spacing))),
            Some(_) => {
                // The stored axes may be turned; a canonical copy has canonical spacing.
                let spacing = spacing.map(|s| map.canonical(s));
                let scores = seg_scores(&cut(pred)?, &cut(truth)?, spacing);
                // Slices that are no neighbours have no surface in common: no distances.
                Ok(Some(SegScores { hd95_mm: None, hd95_vox: None, nsd_2mm: None, nsd_vox: None, ..scores }))
            }
        }
    };
    let percent = |lung: &Option<LabelVolume>, infection: &Option<LabelVolume>| -> Result<Option<f64>> {
        let (Some(lung), Some(infection)) = (lung, infection) else { return Ok(None) };
        let (lung, infection) = (cut(lung)?, cut(infection)?);
        let lungs = lung.count_foreground();
        let both = lung.data().iter().zip(infection.data()).filter(|&(&l, &i)| l != 0 && i != 0).count();
        Ok((lungs > 0).then(|| 100.0 * both as f64 / lungs as f64))
    };
    let percent_of_lung = Percent {
        truth: percent(&loaded.lung, &loaded.infection)?,
        pred: percent(&predicted.lung, &predicted.infection)?,
    };
    let slice_scores = predicted
        .probabilities
        .iter()
        .enumerate()
        .filter(|(z, _)| part.as_ref().is_none_or(|p| p.contains(z)))
        .filter_map(|(z, probability)| {
            let truth = loaded.slice_infected.as_ref().and_then(|t| t.get(z).copied().flatten());
            Some(SliceScore { slice: z, probability: (*probability)?, truth })
        })
        .collect();
    let mut warnings = loaded.warnings.clone();
    warnings.extend(predicted.warnings.iter().filter(|w| !loaded.warnings.contains(w)).cloned());
    Ok(CaseScores {
        case_id: case.case_id.clone(),
        patient: case.patient.clone(),
        sha256: loaded.scan.sha256.clone(),
        intensity: ct.intensity.clone(),
        slices: part.as_ref().map_or(n, Vec::len),
        lung: segmentation(&predicted.lung, &loaded.lung)?,
        infection: segmentation(&predicted.infection, &loaded.infection)?,
        percent_of_lung: (percent_of_lung.truth.is_some() || percent_of_lung.pred.is_some())
            .then_some(percent_of_lung),
        slice_scores,
        warnings,
    })
}

/// The chosen canonical slices alone, as a canonical volume.
fn keep_slices(labels: &LabelVolume, map: &AxisMap, slices: &[usize]) -> Result<LabelVolume> {
    let [_, h, w] = map.canonical_shape(labels.shape());
    let mut values = vec![0u8; slices.len() * h * w];
    for (&z, out) in slices.iter().zip(values.chunks_exact_mut(h * w)) {
        map.read_slice(labels, z, out);
    }
    Ok(Volume::from_vec([slices.len(), h, w], values)?)
}

/// How many cases lack a prediction that others have.
fn missing_predictions(cases: &[CaseScores], wanted: &[(&Dataset, &Case)]) -> Vec<(&'static str, usize)> {
    let count = |has_truth: fn(&Case) -> bool, scored: fn(&CaseScores) -> bool| {
        let pairs = cases.iter().zip(wanted);
        let missing = pairs.filter(|(c, (_, case))| has_truth(case) && !scored(c)).count();
        if cases.iter().any(scored) { missing } else { 0 }
    };
    let lung = count(Case::has_lung, |c| c.lung.is_some());
    let infection = count(Case::has_infection, |c| c.infection.is_some());
    [("lung", lung), ("infection", infection)].into_iter().filter(|(_, n)| *n > 0).collect()
}

/// Best, median and worst case by Dice, among those with something to find.
fn pick(scores: &Scores, structure: Structure) -> Vec<(&'static str, usize)> {
    let mut known: Vec<(usize, f64)> = scores
        .cases
        .iter()
        .enumerate()
        .filter_map(|(i, c)| {
            let found = if structure == Structure::Lung { c.lung } else { c.infection }?;
            (found.state != MaskState::BothEmpty).then_some((i, found.dice?))
        })
        .collect();
    known.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut picked = Vec::new();
    for (why, at) in [("Best", 0), ("Median", known.len() / 2), ("Worst", known.len().saturating_sub(1))] {
        if let Some(&(index, _)) = known.get(at)
            && !picked.iter().any(|&(_, i)| i == index)
        {
            picked.push((why, index));
        }
    }
    picked
}

/// Truth and prediction on the slice where both together are largest.
fn compare(
    structure: Structure,
    why: &str,
    scores: &CaseScores,
    loaded: &LoadedCase,
    predicted: &Predicted,
) -> Result<Option<Comparison>> {
    let (pred, truth, dice) = match structure {
        Structure::Lung => (&predicted.lung, &loaded.lung, scores.lung.and_then(|s| s.dice)),
        Structure::Infection => {
            (&predicted.infection, &loaded.infection, scores.infection.and_then(|s| s.dice))
        }
    };
    let (Some(pred), Some(truth)) = (pred, truth) else { return Ok(None) };
    let ct = &loaded.scan.ct;
    let map = ct.grid.axis_map();
    let [n, h, w] = map.canonical_shape(ct.voxels.shape());
    let mut slice = vec![0u8; h * w];
    let mut area = |labels: &LabelVolume, z: usize| {
        map.read_slice(labels, z, &mut slice);
        slice.iter().filter(|&&v| v != 0).count()
    };
    let Some(z) = (0..n).rev().max_by_key(|&z| area(truth, z) + area(pred, z)) else { return Ok(None) };
    let picture = |labels: &LabelVolume, caption: &str| -> Result<SlicePicture> {
        let shown = Shown {
            ct,
            map,
            oriented: ct.grid.affine.is_some(),
            // The lung of the truth frames the picture of the infection.
            lung: if structure == Structure::Lung { Some(labels) } else { loaded.lung.as_ref() },
            infection: (structure == Structure::Infection).then_some(labels),
        };
        shown.axial(z, format!("{caption}, slice {z}"))
    };
    let dice = dice.map_or(String::new(), |d| format!(" · Dice {d:.3}"));
    Ok(Some(Comparison {
        title: format!("{why} · {}{dice}", scores.case_id),
        truth: picture(truth, "truth")?,
        pred: picture(pred, "prediction")?,
    }))
}

/// Slices of the four kinds of the confusion matrix, the surest of each first.
fn examples(scores: &Scores, wanted: &[(&Dataset, &Case)], args: &EvaluateArgs) -> Result<Vec<SlicePicture>> {
    const OF_EACH: usize = 2;
    let Some(threshold) = scores.classification.as_ref().map(|c| c.scores.threshold as f32) else {
        return Ok(Vec::new());
    };
    let mut all: Vec<(usize, SliceScore, bool)> = Vec::new();
    for (i, case) in scores.cases.iter().enumerate() {
        all.extend(case.slice_scores.iter().filter_map(|s| Some((i, *s, s.truth?))));
    }
    let mut chosen: Vec<(usize, SliceScore, &str)> = Vec::new();
    for (truth, called, name) in [
        (true, true, "true positive"),
        (false, false, "true negative"),
        (false, true, "false positive"),
        (true, false, "false negative"),
    ] {
        let mut kind: Vec<_> =
            all.iter().filter(|(_, s, t)| *t == truth && (s.probability >= threshold) == called).collect();
        kind.sort_by(|a, b| {
            let sure = |s: &SliceScore| (s.probability - threshold).abs();
            sure(&b.1).total_cmp(&sure(&a.1)).then((a.0, a.1.slice).cmp(&(b.0, b.1.slice)))
        });
        chosen.extend(kind.into_iter().take(OF_EACH).map(|(i, s, _)| (*i, *s, name)));
    }
    let mut pictures = Vec::new();
    for (index, slice, name) in chosen {
        let (set, case) = wanted[index];
        let loaded = data::load(set, case, &args.read)?;
        let ct = &loaded.scan.ct;
        let shown = Shown {
            ct,
            map: ct.grid.axis_map(),
            oriented: ct.grid.affine.is_some(),
            lung: None,
            infection: loaded.infection.as_ref(),
        };
        pictures.push(shown.axial(slice.slice, format!("{name}: {:.2}", slice.probability))?);
    }
    Ok(pictures)
}

fn summary(scores: &Scores, out: &Path) -> String {
    let number = |v: Option<f64>| v.map_or("none".to_owned(), |v| format!("{v:.3}"));
    let mut lines = vec![format!(
        "{} cases of {} patients, part `{}`{}",
        scores.cases.len(),
        scores.patients,
        scores.part,
        scores.leak.as_ref().map_or(String::new(), |l| format!("; {l}"))
    )];
    for (name, section) in [("lung", &scores.lung), ("infection", &scores.infection)] {
        if let Some(s) = section {
            let d = &s.summary.dice;
            lines.push(format!(
                "{name:<10} Dice {} (95 % interval {} to {}, {} patients)",
                number(d.mean),
                number(d.low),
                number(d.high),
                d.n_groups
            ));
        }
    }
    if let Some(b) = &scores.percent_of_lung {
        lines.push(format!("percentage error: median {} points", number(b.median_absolute_error)));
    }
    if let Some(c) = &scores.classification {
        let s = &c.scores;
        lines.push(format!(
            "slices     AUROC {}, accuracy {}, precision {}, recall {}, F1 {} ({} positive, {} negative)",
            number(s.auroc),
            number(s.accuracy),
            number(s.precision),
            number(s.recall),
            number(s.f1),
            s.positives,
            s.negatives
        ));
    }
    lines.push(format!("report: {}", out.join("report.html").display()));
    lines.join("\n")
}
