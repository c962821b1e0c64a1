//! `quickstart`: phantoms, training, evaluation and an analysis, from nothing to a report, with floors to reach.

use super::Context;
use super::analyze::analyze;
use super::evaluate::evaluate;
use super::phantom::write_set;
use super::train::{Trained, train};
use crate::analysis::Analysis;
use crate::args::{
    AnalyzeArgs, BundleArgs, CacheArgs, EvaluateArgs, FoldArgs, OutArgs, PartName, PrecisionName,
    QuickstartArgs, ReadArgs, SettingsArgs, StoreName, TaskName, TrainArgs,
};
use crate::manifest::Program;
use crate::model_file::BUNDLE;
use crate::output;
use crate::scoring::{CaseScores, Scores};
use crate::words::number;
use anyhow::{Result, bail};
use gg_report::{Fact, Provenance, QuickstartReport, QuickstartStep};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Phantoms for training and testing; some are scans of the same patient.
const PHANTOMS: usize = 100;
/// `[z, y, x]` of each.
const SHAPE: [usize; 3] = [24, 128, 128];
/// The fold that is held out.
const FOLD: usize = 0;
/// Settings: small enough for a few minutes, large enough for the floors.
///
/// Without CLAHE and with a narrow window, grey stays a measure of density. Phantoms come from one scanner and lie
/// alike, so that imitating other scanners and postures would only take more epochs. Consolidation, which has nearly
/// the grey of the chest wall, is learned last: with half the epochs the network finds ground glass alone. Half the
/// slices with lung show no infection; a third of them is enough to learn what is none, and the time goes into more epochs.
const SETTINGS: &[&str] = &[
    "validation_share=0.15",
    "clean.doubtful_lung=0.0",
    "prepare.size=80",
    "prepare.clahe_clip=none",
    "prepare.window_hu=[-950, 100]",
    "classify.network={kind = 'classifier_b', in_channels = 1, widths = [12, 16, 32, 64], dense = 64, dropout = 0.3, \
     norm_eps = 1e-3, norm_momentum = 0.97, init = 'glorot_uniform'}",
    "classify.train.epochs=14",
    "classify.train.adam.lr=2e-3",
    "classify.augment.intensity=0",
    "classify.augment.equalise=0",
    "classify.augment.blur=0",
    "classify.augment.noise=0",
    "classify.augment.affine=0",
    "classify.augment.flip_up_down=0",
    "lung.network.base=8",
    "lung.network.levels=4",
    "lung.network.dropout=0",
    "lung.train.epochs=5",
    "lung.train.adam.lr=3e-3",
    "lung.augment.intensity=0",
    "lung.augment.equalise=0",
    "lung.augment.blur=0",
    "lung.augment.noise=0",
    "lung.augment.affine=0",
    "lung.augment.flip_up_down=0",
    "infection.network.base=12",
    "infection.network.levels=4",
    "infection.train.epochs=30",
    "infection.train.adam.lr=3e-3",
    "infection.drop_lungless=true",
    "infection.blank_share=0.35",
    "infection.augment.intensity=0",
    "infection.augment.equalise=0",
    "infection.augment.blur=0",
    "infection.augment.noise=0",
    "infection.augment.affine=0",
    "infection.augment.flip_up_down=0",
];
/// What must be reached on phantoms that no network saw.
const LUNG_DICE: f64 = 0.95;
const INFECTION_DICE: f64 = 0.70;
const SLICE_AUROC: f64 = 0.90;
/// How far the analysed percentage may lie from its truth, in points.
const PERCENT_POINTS: f64 = 2.0;
/// Infection of the phantom that is analysed, in percent of the lung; half of those trained on show less than 16.
const ANALYSED_PERCENT: f64 = 8.0;

/// All files besides those of the folders that other commands fill.
const FILES: [&str; 7] = [
    "report.html",
    "phantoms/metadata.csv",
    "phantoms/truth.json",
    "phantoms/*/*.nii.gz",
    "phantom-dicom/*.dcm",
    "cache/*.ggcase",
    "cache/inputs.json",
];

/// One floor and what was reached.
#[derive(Serialize)]
struct Floor {
    name: &'static str,
    reached: Option<f64>,
    right: String,
    passed: bool,
}

#[derive(Serialize)]
struct Answer {
    floors: Vec<Floor>,
    /// Largest percentage found in a held-out phantom without infection.
    false_alarm_percent: Option<f64>,
    analysed_percent: Option<f64>,
    /// What the models in the box found in it, before any training; they never saw a phantom, so no floor is set.
    percent_by_the_box: Option<f64>,
    true_percent: f64,
    true_infection_ml: f64,
    /// Seed of phantoms and training, and that of the analysed phantom.
    seed: u64,
    analysed_seed: u64,
    report: PathBuf,
}

pub(super) fn run(context: &Context, args: QuickstartArgs) -> Result<()> {
    let out = &args.out.out;
    let _held = output::claim(out, args.out.force, &FILES, &INNER)?;
    let context = &context.begun_anew_in(out);
    let phantoms = out.join("phantoms");
    let analysed = out.join("phantom-dicom");

    let specs = gg_phantom::cohort(args.seed, PHANTOMS, SHAPE);
    let step = context.console.step("making phantoms", specs.len() as u64 + 1);
    std::fs::create_dir_all(&phantoms)?;
    write_set(&phantoms, &specs, false, || {
        step.inc();
        Ok(context.interrupt.check()?)
    })?;
    let spec = gg_phantom::PhantomSpec::new(args.seed.wrapping_add(ANALYSED_SEED), SHAPE, ANALYSED_PERCENT);
    let phantom = gg_phantom::phantom(&spec);
    gg_io::write_dicom_series(&analysed, &phantom.ct, &gg_io::DicomText::default())?;
    step.inc();
    step.finish();

    // First what an installed program gives at once: the models in the box, which saw patients and no phantom.
    let first = analyze(context, &analyze_args(&analysed, &out.join(BOX), &[]))?;
    let first_percent = first.first().and_then(|a| a.infection.whole.percent_of_lung);
    context.console.say(format!(
        "the models in the box, without any training: {} of the phantom's lung infected, in truth {:.1} % (they learned from patients, and a \
         phantom has the texture of none: far off is to be expected here, and says nothing about a CT)",
        first_percent.map_or("no percentage".to_owned(), |p| format!("{p:.1} %")),
        phantom.truth.percent_of_lung
    ));

    let tasks =
        [(TaskName::Lung, "lung"), (TaskName::Infection, "infection"), (TaskName::Classify, "classify")];
    let mut trained = Vec::new();
    for (task, name) in tasks {
        trained.push(train(context, &train_args(task, &phantoms, out, name, args.seed))?);
    }
    let models: Vec<PathBuf> = trained.iter().map(|t| t.bundle.clone()).collect();
    let scores = evaluate(context, &evaluate_args(&phantoms, out, &models))?;
    let analyses = analyze(context, &analyze_args(&analysed, &out.join(ANALYSIS), &models))?;
    let Some(analysis) = analyses.first() else { bail!("the phantom was not analysed") };

    let truth = phantom.truth.percent_of_lung;
    let floors = floors(&scores, analysis, truth);
    let report = out.join("report.html");
    let subject = Subject { seed: args.seed, analysed_seed: spec.seed, truth: phantom.truth };
    output::write_text(&report, &page(&floors, &trained, analysis, first_percent, &subject))?;
    let answer = Answer {
        false_alarm_percent: worst_false_alarm(&scores),
        analysed_percent: analysis.infection.whole.percent_of_lung,
        percent_by_the_box: first_percent,
        true_percent: truth,
        true_infection_ml: phantom.truth.infection_ml,
        seed: args.seed,
        analysed_seed: spec.seed,
        report: report.clone(),
        floors,
    };
    context.answer(&answer, || text(&answer))?;
    if answer.floors.iter().any(|f| !f.passed) {
        bail!("not every floor was reached; see {}", report.display());
    }
    Ok(())
}

/// Folders of other commands' results, each with a file of theirs.
const INNER: [(&str, &str); 6] = [
    ("runs/lung", BUNDLE),
    ("runs/infection", BUNDLE),
    ("runs/classify", BUNDLE),
    ("evaluation", "scores.json"),
    (ANALYSIS, "analysis.json"),
    (BOX, "analysis.json"),
];
/// Folders of the two analyses: by the models in the box, and by those that were trained here.
const BOX: &str = "analysis-by-the-box";
const ANALYSIS: &str = "analysis";
/// Sets the analysed phantom apart from those that the networks saw.
const ANALYSED_SEED: u64 = 77_001;

fn train_args(task: TaskName, phantoms: &Path, out: &Path, name: &str, seed: u64) -> TrainArgs {
    TrainArgs {
        task,
        dataset: vec![phantoms.to_owned()],
        out: OutArgs { out: out.join("runs").join(name), force: false },
        resume: false,
        seed: Some(seed),
        name: None,
        bundle: BundleArgs {
            licence: "trained on phantoms alone: as the program".to_owned(),
            store: StoreName::F32,
        },
        precision: PrecisionName::Fp32,
        init: None,
        teacher: Vec::new(),
        cache: CacheArgs { cache: Some(out.join("cache")) },
        fold: FoldArgs { split: None, fold: Some(FOLD) },
        settings: SettingsArgs {
            profile: None,
            config: None,
            set: SETTINGS.iter().map(|s| (*s).to_owned()).collect(),
        },
        read: ReadArgs::default(),
    }
}

fn evaluate_args(phantoms: &Path, out: &Path, models: &[PathBuf]) -> EvaluateArgs {
    const RESAMPLES: usize = 500;
    EvaluateArgs {
        dataset: vec![phantoms.to_owned()],
        model: models.to_vec(),
        pred: None,
        part: PartName::Test,
        out: OutArgs { out: out.join("evaluation"), force: false },
        cache: CacheArgs { cache: Some(out.join("cache")) },
        fold: FoldArgs { split: None, fold: Some(FOLD) },
        read: ReadArgs::default(),
        resamples: RESAMPLES,
        precision: None,
    }
}

fn analyze_args(dicom: &Path, out: &Path, models: &[PathBuf]) -> AnalyzeArgs {
    AnalyzeArgs {
        ct: vec![dicom.to_owned()],
        out: OutArgs { out: out.to_owned(), force: false },
        model: models.to_vec(),
        case_id: vec!["phantom-dicom".to_owned()],
        precision: None,
        orientation: None,
        every_slice: false,
        resume: false,
        read: ReadArgs::default(),
    }
}

fn floors(scores: &Scores, analysis: &Analysis, truth: f64) -> Vec<Floor> {
    let least = |name, reached: Option<f64>, floor: f64| Floor {
        name,
        reached,
        right: format!("at least {floor:.2}"),
        passed: reached.is_some_and(|r| r >= floor),
    };
    let dice = |s: &Option<crate::scoring::SegSection>| s.as_ref().and_then(|s| s.summary.dice.mean);
    let off = analysis.infection.whole.percent_of_lung.map(|p| (p - truth).abs());
    vec![
        least("lung Dice on held-out phantoms", dice(&scores.lung), LUNG_DICE),
        least("infection Dice on held-out phantoms with infection", infected_dice(scores), INFECTION_DICE),
        least(
            "AUROC of slices of held-out phantoms",
            scores.classification.as_ref().and_then(|c| c.scores.auroc),
            SLICE_AUROC,
        ),
        Floor {
            name: "percentage of the analysed phantom off its truth, points",
            reached: off,
            right: format!("at most {PERCENT_POINTS:.1}"),
            passed: off.is_some_and(|o| o <= PERCENT_POINTS),
        },
    ]
}

/// Mean Dice over the phantoms that have something to find. Where there is nothing, one voxel too many makes the Dice
/// 0: those phantoms are told apart, by what was found in them.
fn infected_dice(scores: &Scores) -> Option<f64> {
    let infected = |c: &&CaseScores| c.infection.is_some_and(|s| s.counts.tp + s.counts.fn_ > 0);
    gg_eval::mean_known(scores.cases.iter().filter(infected).map(|c| c.infection.and_then(|s| s.dice)))
}

/// Largest percentage that was found where there is no infection.
fn worst_false_alarm(scores: &Scores) -> Option<f64> {
    let percents = scores.cases.iter().filter_map(|c| c.percent_of_lung);
    percents.filter(|p| p.truth == Some(0.0)).filter_map(|p| p.pred).reduce(f64::max)
}

fn text(answer: &Answer) -> String {
    let mut lines: Vec<String> = answer
        .floors
        .iter()
        .map(|f| {
            let mark = if f.passed { "ok    " } else { "MISSED" };
            format!("{mark} {}: {} (right: {})", f.name, number(f.reached, 3), f.right)
        })
        .collect();
    if let Some(percent) = answer.false_alarm_percent {
        lines.push(format!("       at most {percent:.2} % found in held-out phantoms without infection"));
    }
    lines.push(format!(
        "       the analysed phantom (seed {} of quick start seed {}): {} % of the lung infected, in truth {:.2} % ({:.0} ml)",
        answer.analysed_seed,
        answer.seed,
        number(answer.analysed_percent, 2),
        answer.true_percent,
        answer.true_infection_ml
    ));
    lines.push(format!("report: {}", answer.report.display()));
    lines.join("\n")
}

/// The phantom that is analysed.
struct Subject {
    seed: u64,
    analysed_seed: u64,
    truth: gg_phantom::PhantomTruth,
}

fn page(
    floors: &[Floor],
    trained: &[Trained],
    analysis: &Analysis,
    first: Option<f64>,
    subject: &Subject,
) -> String {
    let truth = subject.truth.percent_of_lung;
    let percents = |p: Option<f64>| p.map_or("none".to_owned(), |p| format!("{p:.2} %"));
    let mut steps = vec![QuickstartStep {
        name: "Analyse a phantom with the models in the box".to_owned(),
        outcome: format!(
            "{} of the lung infected, in truth {truth:.2} %; trained on patients, never on a phantom",
            percents(first)
        ),
        passed: None,
        link: Some(format!("{BOX}/report.html")),
    }];
    steps.extend(trained.iter().map(|t| {
        let name = t.task.name();
        QuickstartStep {
            name: format!("Train the {name} network"),
            outcome: format!("best epoch {} of {}, threshold {:.2}", t.best_epoch, t.epochs, t.threshold),
            passed: None,
            link: Some(format!("runs/{name}/report.html")),
        }
    }));
    let links = [
        "evaluation/report.html",
        "evaluation/report.html",
        "evaluation/report.html",
        "analysis/report.html",
    ];
    steps.extend(floors.iter().zip(links).map(|(f, link)| QuickstartStep {
        name: f.name.to_owned(),
        outcome: format!("{} (right: {})", number(f.reached, 3), f.right),
        passed: Some(f.passed),
        link: Some(link.to_owned()),
    }));
    let percent = analysis.infection.whole.percent_of_lung;
    gg_report::quickstart_report(&QuickstartReport {
        summary: format!(
            "The analysed phantom: {} % of the lung infected, in truth {truth:.2} %.",
            percent.map_or("no".to_owned(), |p| format!("{p:.2}"))
        ),
        steps,
        figures: Vec::new(),
        provenance: Provenance {
            leaking: false,
            warnings: Vec::new(),
            facts: vec![
                Fact::new("Data", format!("{PHANTOMS} phantoms, and one more as DICOM; no patient")),
                Fact::new("Seed", format!("{} for phantoms and training", subject.seed)),
                Fact::new(
                    "The analysed phantom",
                    format!(
                        "seed {}, {truth:.2} % of the lung infected ({:.0} of {:.0} ml)",
                        subject.analysed_seed, subject.truth.infection_ml, subject.truth.lung_ml
                    ),
                ),
            ],
            models: Vec::new(),
            program: Program::this().to_string(),
        },
    })
}
