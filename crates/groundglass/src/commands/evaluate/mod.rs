//! `evaluate`: scores of bundles, or of masks from anywhere, volume by volume on the grid of the input.

mod comparisons;
mod mask_file;
mod otherwise;
mod part;
mod predictions;
mod remarks;
mod truth;

use super::{Context, data};
use crate::args::EvaluateArgs;
use crate::evaluation_page::{self, Beside};
use crate::output::{self, Staged};
use crate::pipeline::{self, Model, Models};
use crate::scoring::{
    self, Basis, CaseScores, ClassSection, Measured, Question, ScoredSet, Scores, SliceScore,
};
use crate::scoring_table;
use crate::seen::{self, Asked};
use crate::words::number;
use anyhow::{Result, bail};
use gg_dataset::{Case, Dataset, Datasets, LEAK, LoadedCase, PATIENTS_LEAK, Parts, Structure};
use gg_eval::{
    Coverage, FreeSummary, IntervalFit, LogitCounts, MaskState, SegScores, missing_scores, patient_score,
    seg_scores,
};
use gg_imaging::PrepareConfig;
use gg_report::{Comparison, SlicePicture};
use gg_volume::{AxisMap, LabelVolume, Volume, Warned, Warning};
use otherwise::Otherwise;
use part::Chosen;
use predictions::Folder;
use std::path::Path;
use truth::Against;

/// Where predicted masks come from.
enum Source<'a> {
    Models(&'a mut Models, data::Slices),
    Folder(Folder),
}

/// How a classifier's probabilities are to be read.
#[derive(Clone, Copy)]
struct Operating {
    threshold: f32,
    /// What the logits were divided by; `None` where the infected area was weighed in after that.
    temperature: Option<f32>,
}

/// Predicted masks and slice probabilities of one case, on its stored grid.
struct Predicted {
    lung: Option<LabelVolume>,
    infection: Option<LabelVolume>,
    probabilities: Vec<Option<f32>>,
    /// Of the classifier, where one ran.
    classifier: Option<Operating>,
    /// Whether the probabilities have the infected area in them.
    area_weighed: bool,
    /// Interval around the percentage, where the infection model can make one.
    interval: Option<IntervalFit>,
    /// Probabilities of lung and infection against the truth, with the temperature of each network.
    voxels: [Option<(LogitCounts, f32)>; 2],
    warnings: Vec<Warning>,
}

/// What one case gave.
struct Scored {
    case: CaseScores,
    /// Scores of the structures that have a truth and no prediction, should other cases have one.
    missing: [Option<SegScores>; 2],
    /// What would make masks of another program fit that fit badly.
    otherwise: Option<Otherwise>,
}

pub(super) fn run(context: &Context, args: EvaluateArgs) -> Result<()> {
    let scores = evaluate(context, &args)?;
    context.answer(&scores, || summary(&scores, &args.out.out))
}

/// Scores and writes everything; `quickstart` calls it too.
pub(crate) fn evaluate(context: &Context, args: &EvaluateArgs) -> Result<Scores> {
    Ok(evaluate_with_pictures(context, args)?.0)
}

/// The pictures of an evaluation.
pub(crate) struct Pictures {
    /// Prediction beside truth of the lungs, then of the infection.
    pub(crate) compared: Vec<Vec<Comparison>>,
    /// Classified slices.
    pub(crate) examples: Vec<SlicePicture>,
}

/// The same, with the pictures for another page.
pub(crate) fn evaluate_with_pictures(context: &Context, args: &EvaluateArgs) -> Result<(Scores, Pictures)> {
    output::check_apart(&args.out.out, &args.dataset)?;
    let staged = Staged::begin(&args.out.out, args.out.force, "scores.json")?;
    let (sets, mut warnings) = data::open(context, &args.dataset)?;
    let mut models = Models::open(&args.model, context.processor(args.precision)?, args.precision.is_none())?;
    models.check_company()?;
    let chosen = part::choose(context, args, &sets, &models)?;
    warnings.extend(chosen.warnings.clone());
    let leak = leak(&models, chosen.parts.as_ref());
    if let Some(leak) = &leak {
        let warning = Warning::new(PATIENTS_LEAK, leak.clone());
        if !warnings.contains(&warning) {
            context.console.warn(leak);
            warnings.push(warning);
        }
    }
    let trainings = seen::trainings(&models);
    let wanted: Vec<(&Dataset, &Case)> = data::cases(&sets).filter(|(_, c)| chosen.holds(c)).collect();
    if wanted.is_empty() {
        bail!("no case belongs to the part `{}`", chosen.name);
    }

    let used = models.used();
    let compute = (!used.is_empty()).then(|| models.compute());
    let mut source = match &args.pred {
        Some(folder) => {
            Source::Folder(Folder::open(folder, &wanted.iter().map(|(_, case)| *case).collect::<Vec<_>>())?)
        }
        None => {
            let cache = data::cache_dir(&args.cache, &args.out.out)?;
            Source::Models(&mut models, data::Slices::open(context, &cache, args.read.options()))
        }
    };
    let step = context.console.step("scoring", wanted.len() as u64);
    let mut scored = Vec::new();
    for &(set, case) in &wanted {
        context.interrupt.check()?;
        step.note(case.case_id.clone());
        let loaded = data::load(set, case, &args.read)?;
        let predicted = predict(context, &mut source, case, &loaded)?;
        let data_set = sets.sets.iter().position(|s| std::ptr::eq(s, set)).unwrap_or(0);
        let of = (data_set, Question::of(set.layout));
        let mut one = score(case, of, &loaded, &predicted, &chosen)?;
        if let Source::Folder(_) = source {
            one.otherwise = otherwise::look(&one.case, &loaded, &predicted);
        }
        scored.push(one);
        step.inc();
    }
    step.finish();
    let asked = |s: &Scored| Asked { patient: Some(s.case.patient.clone()), scan: s.case.sha256.clone() };
    for warning in seen::warnings(&trainings, &scored.iter().map(asked).collect::<Vec<_>>()) {
        context.console.warn(&warning.message);
        warnings.push(warning);
    }
    let mut remarked = remarks::on_all(&mut scored);
    if let Source::Folder(folder) = &source {
        let all: Vec<&Case> = sets.cases().collect();
        let scans = scored.iter().map(|s| s.case.sha256.as_str()).collect();
        remarked.extend(folder.of_no_case(&all, (all.len() == scored.len()).then_some(&scans))?);
    }
    for warning in remarked {
        context.console.warn(&warning.message);
        warnings.push(warning);
    }
    let basis = Basis {
        leak,
        part: chosen.name.to_owned(),
        fold: chosen.fold,
        data_sets: scored_sets(&sets, &chosen),
        predictions: match source {
            Source::Models(..) => scoring::Source::Models,
            Source::Folder(_) => scoring::Source::Masks,
        },
        models: used,
        compute,
        resamples: args.resamples,
        warnings,
    };
    let scores = scoring::sum_up(scored.into_iter().map(|s| s.case).collect(), basis);
    let classified = scores.classification.is_some() || scores.images.is_some();
    let by_area = scores.classification_by_area.is_some();
    if scores.lung.is_none() && scores.infection.is_none() && !classified && !by_area {
        bail!("nothing could be scored: no case has both a prediction and a truth for the same task");
    }

    let mut compared = Vec::new();
    for structure in Structure::BOTH {
        let picked = comparisons::pick(&scores, structure);
        let step = context.console.step("pictures", picked.len() as u64);
        let mut rows = Vec::new();
        for (why, index) in picked {
            let (set, case) = wanted[index];
            let loaded = data::load(set, case, &args.read)?;
            let predicted = predict(context, &mut source, case, &loaded)?;
            rows.extend(comparisons::compare(structure, why, &scores.cases[index], &loaded, &predicted)?);
            step.inc();
        }
        step.finish();
        compared.push(rows);
    }
    let examples = match &source {
        Source::Models(..) if classified => comparisons::examples(&scores, &wanted, args)?,
        _ => Vec::new(),
    };
    if let Source::Models(_, slices) = source {
        slices.close(context);
    }

    let dir = staged.path();
    output::write_json(&dir.join("scores.json"), &scores)?;
    output::write_text(&dir.join("scores.csv"), &scoring_table::to_csv(&scores)?)?;
    let pictures = Pictures { compared, examples };
    let beside = Beside {
        comparisons: pictures.compared.clone(),
        examples: pictures.examples.clone(),
        notes: Vec::new(),
    };
    evaluation_page::write(dir, &scores, beside)?;
    staged.commit()?;
    Ok((scores, pictures))
}

/// What is said of each data set: no name, for that is the user's.
fn scored_sets(sets: &Datasets, chosen: &Chosen) -> Vec<ScoredSet> {
    let scored = |set: &Dataset| ScoredSet {
        layout: set.layout,
        cases: set.cases.iter().filter(|c| chosen.holds(c)).count(),
        // `phantom` writes its set itself, with the truth beside it.
        phantoms: set.root.join("truth.json").is_file() && set.root.join("metadata.csv").is_file(),
    };
    sets.sets.iter().map(scored).collect()
}

fn leak(models: &Models, parts: Option<&Parts>) -> Option<String> {
    let trained = seen::leaking(&seen::trainings(models));
    (trained || parts.is_some_and(|p| p.leaking)).then(|| LEAK.to_owned())
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
            let mut against = Against::new(loaded);
            let run = pipeline::Run {
                sides: ct.grid.affine.map(|_| ct.grid.axis_map()),
                prepare: &mut |config, sizes| {
                    let mut warnings = Vec::new();
                    let sized = |&size: &usize| PrepareConfig { size, ..config.clone() };
                    let get = |config| slices.get(context, case, loaded, &config).drain_into(&mut warnings);
                    let prepared = sizes.iter().map(sized).map(get).collect();
                    Ok(Warned::new(prepared, warnings))
                },
                told: &|_, _| (),
                seen: Some(&mut |seen| against.add(&seen)),
                every_slice: false,
                stop: &context.interrupt,
            };
            let found = pipeline::run(models, ct, run)?;
            let model = |m: &Option<Model>| m.as_ref().map(|m| m.bundle.info.clone());
            let (lung, infection) = (model(&models.lung), model(&models.infection));
            let [of_lung, of_infection] = against.counts;
            Ok(Predicted {
                lung: found.lung,
                infection: found.infection,
                probabilities: found.slices.iter().map(|s| s.probability).collect(),
                area_weighed: model(&models.classify).is_some_and(|i| i.area.is_some()),
                classifier: model(&models.classify).map(|info| Operating {
                    threshold: info.threshold,
                    temperature: info.area.is_none().then_some(info.temperature),
                }),
                voxels: [
                    of_lung.zip(lung.map(|info| info.temperature)),
                    of_infection.zip(infection.as_ref().map(|info| info.temperature)),
                ],
                interval: infection.and_then(|info| info.interval),
                warnings: found.warnings,
            })
        }
        Source::Folder(folder) => {
            let masks = folder.read(case, &loaded.scan)?;
            Ok(Predicted {
                lung: masks.lung,
                infection: masks.infection,
                probabilities: Vec::new(),
                classifier: None,
                area_weighed: false,
                interval: None,
                voxels: [None, None],
                warnings: masks.warnings,
            })
        }
    }
}

fn score(
    case: &Case,
    (data_set, question): (usize, Question),
    loaded: &LoadedCase,
    predicted: &Predicted,
    chosen: &Chosen,
) -> Result<Scored> {
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
    let missing = |pred: &Option<LabelVolume>, truth: &Option<LabelVolume>| -> Result<Option<SegScores>> {
        match (pred, truth) {
            (None, Some(truth)) => Ok(Some(missing_scores(&cut(truth)?))),
            _ => Ok(None),
        }
    };
    let ml = ct.grid.voxel_ml().ok();
    let measure = |lung: &Option<LabelVolume>, infection: &Option<LabelVolume>| -> Result<[Option<f64>; 3]> {
        let Some(lung) = lung else { return Ok([None; 3]) };
        let lung = cut(lung)?;
        let lungs = lung.count_foreground();
        let infected = infection.as_ref().map(cut).transpose()?.map(|infection| {
            lung.data().iter().zip(infection.data()).filter(|&(&l, &i)| l != 0 && i != 0).count()
        });
        let percent = infected.filter(|_| lungs > 0).map(|i| 100.0 * i as f64 / lungs as f64);
        Ok([percent, ml.map(|ml| ml * lungs as f64), ml.zip(infected).map(|(ml, i)| ml * i as f64)])
    };
    let truth = measure(&loaded.lung, &loaded.infection)?;
    let pred = measure(&predicted.lung, &predicted.infection)?;
    let [percent_of_lung, lung_ml, infection_ml] = std::array::from_fn(|i| Measured::of(truth[i], pred[i]));
    let true_lung_voxels =
        loaded.lung.as_ref().map(cut).transpose()?.map(|lung| lung.count_foreground() as u64);
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
    // Probabilities of voxels and of the CT are those of the whole scan: they say nothing of a part of it.
    let whole = part.is_none();
    let found_percent = percent_of_lung.and_then(|p| p.pred);
    let interval = found_percent.zip(predicted.interval.as_ref());
    let probabilities: Vec<f32> = predicted.probabilities.iter().copied().flatten().collect();
    let by_slice = truth::by_slice(loaded, predicted, part.as_deref(), &map);
    let mut warnings = loaded.warnings.clone();
    warnings.extend(predicted.warnings.iter().filter(|w| !loaded.warnings.contains(w)).cloned());
    Ok(Scored {
        otherwise: None,
        missing: [missing(&predicted.lung, &loaded.lung)?, missing(&predicted.infection, &loaded.infection)?],
        case: CaseScores {
            case_id: case.case_id.clone(),
            patient: case.patient.clone(),
            data_set,
            sha256: loaded.scan.sha256.clone(),
            intensity: ct.intensity.clone(),
            question,
            slices: part.as_ref().map_or(n, Vec::len),
            lung: segmentation(&predicted.lung, &loaded.lung)?,
            infection: segmentation(&predicted.infection, &loaded.infection)?,
            percent_of_lung,
            percent_of_lung_interval: interval.map(|(percent, fit)| fit.around(percent)),
            infection_free: by_slice.free,
            voxels: if whole { predicted.voxels.clone() } else { [None, None] },
            true_lung_voxels,
            lung_ml,
            infection_ml,
            classify_threshold: predicted.classifier.map(|c| c.threshold),
            classify_temperature: predicted.classifier.and_then(|c| c.temperature),
            area_weighed: predicted.area_weighed,
            patient_score: patient_score(&probabilities, found_percent).filter(|_| whole),
            shows_infection: truth::shows_infection(case, loaded),
            slice_areas: by_slice.areas,
            slice_scores,
            warnings,
        },
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

fn summary(scores: &Scores, out: &Path) -> String {
    let number = |v: Option<f64>| number(v, 3);
    let mut lines = vec![format!(
        "{} cases of {} patients, part `{}`{}{}",
        scores.cases.len(),
        scores.patients,
        scores.part,
        scores.leak.as_ref().map_or(String::new(), |l| format!("; {l}")),
        seen::not_held_out(&scores.warnings).map_or(String::new(), |words| format!("; {words}"))
    )];
    for (name, section) in [("lung", &scores.lung), ("infection", &scores.infection)] {
        if let Some(s) = section {
            let d = &s.summary.dice;
            lines.push(format!(
                "{name:<10} Dice {} (95 % interval {} to {}, {} patients{})",
                number(d.mean),
                number(d.low),
                number(d.high),
                d.n_groups,
                match s.summary.missing_predictions {
                    0 => String::new(),
                    n => format!("; missing predictions: {n}, each counts as 0"),
                }
            ));
        }
    }
    let missing = |s: &Option<SegScores>| s.as_ref().is_some_and(|s| s.state == MaskState::Missing);
    let left_out = match scores.cases.iter().filter(|c| missing(&c.lung) || missing(&c.infection)).count() {
        0 => String::new(),
        n => format!(" ({n} cases that lack a mask are left out)"),
    };
    if let Some(b) = &scores.percent_of_lung {
        let median = number(b.median_absolute_error);
        lines.push(format!("percentage error: median {median} points{left_out}"));
    } else if let n @ 1.. = scores.cases.iter().filter(|c| remarks::lacks_lungs(c)).count() {
        lines.push(format!(
            "percentage error: none, as the predicted lungs of {n} cases are empty, and no other has a percentage"
        ));
    }
    if let Some(c) = &scores.percent_of_lung_interval {
        lines.push(format!("           {}", interval_words(c)));
    }
    if let Some(f) = &scores.infection_free_slices {
        lines.push(format!("           {}", free_words(f)));
    }
    lines.extend(set_words(scores));
    for (name, section) in class_sections(scores) {
        let s = &section.scores;
        lines.push(format!(
            "{name:<10} AUROC {}, accuracy {}, precision {}, recall {}, F1 {} ({} positive, {} negative){left_out}",
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

/// The questions of yes and no that were answered, by short names.
pub(super) fn class_sections(scores: &Scores) -> Vec<(&'static str, &ClassSection)> {
    let all = [
        ("slices", &scores.classification),
        ("by area", &scores.classification_by_area),
        ("images", &scores.images),
        ("patients", &scores.patients_with_infection),
    ];
    all.into_iter().filter_map(|(name, section)| Some((name, section.as_ref()?))).collect()
}

/// What intervals around percentages are worth, in words.
pub(super) fn interval_words(c: &Coverage) -> String {
    format!(
        "its intervals hold the truth of {} of {} patients; median width {} points",
        (c.coverage * c.patients as f64).round(),
        c.patients,
        number(Some(c.median_width), 1)
    )
}

/// Each of several data sets by itself, a line each.
pub(super) fn set_words(scores: &Scores) -> Vec<String> {
    scores.by_data_set.iter().map(|set| format!("  {}", evaluation_page::set_sentence(set, scores))).collect()
}

/// False infection on slices without any, in words.
pub(super) fn free_words(f: &FreeSummary) -> String {
    format!(
        "on {} slices without infection {} % of the lung found falsely, in {} of them anything",
        f.slices,
        number(f.false_percent_of_lung.mean, 3),
        f.slices_with_finds
    )
}
