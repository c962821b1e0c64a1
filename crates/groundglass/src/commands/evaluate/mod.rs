//! `evaluate`: scores of bundles, or of masks from anywhere, volume by volume on the grid of the input.

mod comparisons;
mod mask_file;
mod otherwise;
mod part;
mod predictions;
mod remarks;
mod score;
mod truth;
mod words;

use super::{Context, data};
use crate::args::EvaluateArgs;
use crate::evaluation_page::{self, Beside};
use crate::output::{self, Staged};
use crate::pipeline::{self, Model, Models};
use crate::scoring::{self, Basis, CaseScores, Question, ScoredSet, Scores};
use crate::scoring_table;
use crate::seen::{self, Asked};
use anyhow::{Result, bail};
use gg_dataset::{Case, Dataset, Datasets, LEAK, LoadedCase, PATIENTS_LEAK, Parts, Structure};
use gg_eval::{IntervalFit, LogitCounts, SegScores};
use gg_report::{Comparison, SlicePicture};
use gg_volume::{LabelVolume, Warning};
use otherwise::Otherwise;
use part::Chosen;
use predictions::Folder;
use truth::Against;
pub(super) use words::{class_sections, free_words, interval_words, set_words};

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
    /// What would make masks of another program fit better.
    otherwise: Option<Otherwise>,
}

pub(super) fn run(context: &Context, args: EvaluateArgs) -> Result<()> {
    let scores = evaluate(context, &args)?;
    context.answer(&scores, || words::summary(&scores, &args.out.out))
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
        let mut one = score::score(case, of, &loaded, &predicted, &chosen)?;
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
                prepare: &mut |config, sizes| Ok(slices.sizes(context, case, loaded, (config, sizes))),
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
