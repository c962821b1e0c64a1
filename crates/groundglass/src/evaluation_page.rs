//! Figures and page of an evaluation: its numbers as the drawings want them.

use crate::output;
use crate::scoring::{CaseScores, ClassSection, Scores, SegSection};
use anyhow::{Context, Result};
use gg_eval::{Interval, SegScores};
use gg_report::{
    BurdenPair, CaseRow, CaseTable, ClassificationSection, Comparison, Confusion, EvaluationReport, Fact,
    HumanBand, ModelLine, Provenance, ReliabilityBin, Scene, ScoreCurve, ScoreLine, SegmentationSection,
    SlicePicture,
};
use std::path::Path;

/// Scale of the PNG beside each SVG.
const PNG_SCALE: f64 = 2.0;

/// Writes `report.html` and every figure as SVG and PNG.
pub(crate) fn write(
    dir: &Path,
    scores: &Scores,
    comparisons: Vec<Vec<Comparison>>,
    examples: Vec<SlicePicture>,
) -> Result<()> {
    let mut comparisons = comparisons.into_iter();
    let mut segmentations = Vec::new();
    let sections = [("Lung", &scores.lung), ("Infection", &scores.infection)];
    for (name, section) in sections {
        let rows = comparisons.next().unwrap_or_default();
        if let Some(section) = section {
            segmentations.push(segmentation(name, section, scores, rows));
        }
    }
    let classifications = scores.classification.as_ref().map(|c| classification(c, examples)).into_iter();
    let report = EvaluationReport {
        title: title(scores),
        summary: String::new(),
        segmentations,
        classifications: classifications.collect(),
        provenance: provenance(scores),
    };
    figures(&dir.join("figures"), &report)?;
    output::write_text(&dir.join("report.html"), &gg_report::evaluation_report(&report))
}

fn title(scores: &Scores) -> String {
    match scores.fold {
        Some(fold) => format!("Evaluation on the {} part, fold {fold}", scores.part),
        None => "Evaluation on all cases".to_owned(),
    }
}

fn line(name: &str, i: &Interval) -> ScoreLine {
    ScoreLine {
        name: name.to_owned(),
        value: i.mean,
        interval: i.low.zip(i.high),
        basis: format!("{} cases of {} patients", i.n_values, i.n_groups),
    }
}

fn segmentation(
    name: &str,
    section: &SegSection,
    scores: &Scores,
    comparisons: Vec<Comparison>,
) -> SegmentationSection {
    let s = &section.summary;
    let infection = name == "Infection";
    let pick = |c: &CaseScores| if infection { c.infection } else { c.lung };
    let mut lines = vec![
        line("Dice", &s.dice),
        line("IoU", &s.iou),
        line("Sensitivity", &s.sensitivity),
        line("Specificity", &s.specificity),
        line("Precision", &s.precision),
    ];
    let distances = [
        ("HD95 (mm)", &s.hd95_mm),
        ("NSD at 2 mm", &s.nsd_2mm),
        ("HD95 (voxels)", &s.hd95_vox),
        ("NSD at 2 voxels", &s.nsd_vox),
    ];
    lines.extend(distances.iter().filter(|(_, i)| i.n_values > 0).map(|(name, i)| line(name, i)));
    let mut notes = vec![format!(
        "{} cases; {} with nothing to find and nothing found (no Dice), {} with one of the masks empty (Dice 0, no \
         distances).",
        s.cases, s.both_empty, s.one_empty
    )];
    if s.dice.few_groups {
        notes.push("Fewer than ten patients: the intervals are too narrow to be believed.".to_owned());
    }
    let burden: Vec<BurdenPair> = scores
        .cases
        .iter()
        .filter(|_| infection)
        .filter_map(|c| c.percent_of_lung)
        .filter_map(|p| Some(BurdenPair { truth: p.truth?, pred: p.pred? }))
        .collect();
    SegmentationSection {
        name: name.to_owned(),
        scores: lines,
        cases: table(&scores.cases, pick, infection),
        dice: scores.cases.iter().filter_map(|c| Some((c.case_id.clone(), pick(c)?.dice))).collect(),
        human_band: infection.then(|| HumanBand {
            low: 0.62,
            high: 0.78,
            label: "two human readers, 0.70 ± 0.08 (Bartoli 2022)".to_owned(),
        }),
        burden,
        comparisons,
        notes,
    }
}

fn table(
    cases: &[CaseScores],
    pick: impl Fn(&CaseScores) -> Option<SegScores>,
    infection: bool,
) -> CaseTable {
    let mut columns: Vec<String> =
        ["Dice", "IoU", "Sensitivity", "Specificity", "Precision", "HD95", "NSD"].map(str::to_owned).to_vec();
    let mut decimals = vec![3, 3, 3, 4, 3, 1, 3];
    if infection {
        columns.extend(["% truth".to_owned(), "% predicted".to_owned()]);
        decimals.extend([1, 1]);
    }
    let rows = cases.iter().filter_map(|c| {
        let s = pick(c)?;
        let mut values = vec![
            s.dice,
            s.iou,
            s.sensitivity,
            s.specificity,
            s.precision,
            s.hd95_mm.or(s.hd95_vox),
            s.nsd_2mm.or(s.nsd_vox),
        ];
        if infection {
            values.extend([c.percent_of_lung.and_then(|p| p.truth), c.percent_of_lung.and_then(|p| p.pred)]);
        }
        Some(CaseRow { case_id: c.case_id.clone(), patient: c.patient.clone(), values })
    });
    CaseTable { columns, decimals, rows: rows.collect() }
}

fn classification(c: &ClassSection, examples: Vec<SlicePicture>) -> ClassificationSection {
    let s = &c.scores;
    let i = &c.intervals;
    let curve = |x: &[f64], y: &[f64]| x.iter().copied().zip(y.iter().copied()).collect::<Vec<_>>();
    let rate = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    ClassificationSection {
        name: "Slices that show infection".to_owned(),
        scores: vec![
            line("Accuracy", &i.accuracy),
            line("Precision", &i.precision),
            line("Recall (sensitivity)", &i.recall),
            line("F1", &i.f1),
            line("Specificity", &i.specificity),
            line("AUROC", &i.auroc),
        ],
        threshold: Some(s.threshold),
        confusion: Confusion {
            tp: s.confusion.tp,
            fp: s.confusion.fp,
            fn_: s.confusion.fn_,
            tn: s.confusion.tn,
        },
        roc: ScoreCurve {
            points: curve(&c.roc.fpr, &c.roc.tpr),
            area: c.roc.auroc,
            operating: rate(s.confusion.fp, s.negatives).zip(rate(s.confusion.tp, s.positives)),
        },
        pr: ScoreCurve {
            points: curve(&c.pr.recall, &c.pr.precision),
            area: c.pr.average_precision,
            operating: s.recall.zip(s.precision),
        },
        reliability: c
            .calibration
            .bins
            .iter()
            .map(|b| ReliabilityBin { predicted: b.predicted, observed: b.observed, count: b.count })
            .collect(),
        examples,
        notes: vec![format!(
            "{} slices with infection, {} without; {} whose truth nobody stated are left out. At 0.5 instead: accuracy {}, F1 {}.",
            s.positives,
            s.negatives,
            c.unlabelled,
            number(c.scores_at_half.accuracy),
            number(c.scores_at_half.f1)
        )],
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or("none".to_owned(), |v| format!("{v:.3}"))
}

fn provenance(scores: &Scores) -> Provenance {
    let mut warnings: Vec<String> = scores.warnings.iter().map(|w| w.message.clone()).collect();
    for case in &scores.cases {
        for warning in &case.warnings {
            if !warnings.contains(&warning.message) {
                warnings.push(warning.message.clone());
            }
        }
    }
    Provenance {
        leaking: scores.leak.is_some(),
        warnings,
        facts: vec![
            Fact::new(
                "Part",
                scores.fold.map_or(scores.part.clone(), |f| format!("{}, fold {f}", scores.part)),
            ),
            Fact::new("Cases", scores.cases.len().to_string()),
            Fact::new("Patients", scores.patients.to_string()),
            Fact::new("Intervals", format!("95 %, {} bootstrap resamples of patients", scores.resamples)),
        ],
        models: scores
            .models
            .iter()
            .map(|m| ModelLine {
                task: m.task.name().to_owned(),
                name: m.name.clone(),
                sha256: m.sha256.clone(),
                note: format!("threshold {:.3}, chosen on validation data", m.threshold),
            })
            .collect(),
        program: scores.program.to_string(),
    }
}

fn figures(dir: &Path, report: &EvaluationReport) -> Result<()> {
    std::fs::create_dir_all(dir).context("making the folder of figures")?;
    for s in &report.segmentations {
        let name = s.name.to_lowercase();
        let title = format!("{} Dice per case", s.name);
        save(dir, &format!("{name}_dice"), &gg_report::dice_strip(&title, &s.dice, s.human_band.as_ref()))?;
        if !s.comparisons.is_empty() {
            let panels = gg_report::comparison_panels(&s.comparisons, PANEL_WIDTH);
            save_png(dir, &format!("{name}_prediction_beside_truth"), &panels)?;
        }
        if !s.burden.is_empty() {
            save(dir, "percent_scatter", &gg_report::agreement_scatter(&s.burden))?;
            save(dir, "percent_bland_altman", &gg_report::bland_altman(&s.burden))?;
        }
    }
    for c in &report.classifications {
        let counts = &c.confusion;
        save(dir, "confusion_matrix", &gg_report::confusion_matrix(counts, "infection", "no infection"))?;
        if !c.roc.points.is_empty() {
            let all = counts.tp + counts.fp + counts.fn_ + counts.tn;
            let prevalence = (all > 0).then(|| (counts.tp + counts.fn_) as f64 / all as f64);
            save(dir, "roc", &gg_report::roc_plot(&c.roc))?;
            save(dir, "precision_recall", &gg_report::pr_plot(&c.pr, prevalence))?;
            save(dir, "reliability", &gg_report::reliability_plot(&c.reliability))?;
        }
        if !c.examples.is_empty() {
            save_png(
                dir,
                "classified_slices",
                &gg_report::montage(&c.examples, EXAMPLE_COLUMNS, PANEL_WIDTH),
            )?;
        }
    }
    Ok(())
}

/// Width of one picture in a panel, in scene units.
const PANEL_WIDTH: f64 = 240.0;
const EXAMPLE_COLUMNS: usize = 4;

/// A drawing as SVG and PNG.
pub(crate) fn save(dir: &Path, name: &str, scene: &Scene) -> Result<()> {
    output::write_text(&dir.join(format!("{name}.svg")), &scene.to_svg())?;
    save_png(dir, name, scene)
}

/// A drawing with pictures of CT in it, as PNG alone.
pub(crate) fn save_png(dir: &Path, name: &str, scene: &Scene) -> Result<()> {
    let path = dir.join(format!("{name}.png"));
    let bytes = scene.to_png(PNG_SCALE);
    gg_io::atomic_write(&path, |f| f.write_all(&bytes)).with_context(|| format!("writing {}", path.display()))
}
