//! Figures and page of an evaluation: its numbers as the drawings want them.

mod classes;
mod sentences;

pub(crate) use sentences::{FEW_PATIENTS, other_words, set_sentence};

use crate::manifest::ModelUsed;
use crate::output::{self, write_drawing, write_picture};
use crate::readers::HUMAN_DICE;
use crate::scoring::{self, CaseScores, ScoredSet, Scores, SegSection, Source};
use anyhow::{Context, Result};
use gg_dataset::Structure;
use gg_eval::{Interval, SegScores};
use gg_report::{
    BurdenPair, CaseRow, CaseTable, Comparison, EvaluationReport, Fact, HumanBand, Provenance, Reliability,
    ReliabilityBin, ScoreLine, SegmentationSection, SlicePicture,
};
use sentences::{cautions, infection_notes, patients};
use std::path::Path;

/// What a page shows beside the scores.
#[derive(Default)]
pub(crate) struct Beside {
    /// Truth and prediction on slices, of lungs and of infection.
    pub(crate) comparisons: Vec<Vec<Comparison>>,
    /// Slices that a classifier was right or wrong about.
    pub(crate) examples: Vec<SlicePicture>,
    /// Sentences under the last structure.
    pub(crate) notes: Vec<String>,
}

/// Writes `report.html` and every figure as SVG and PNG.
pub(crate) fn write(dir: &Path, scores: &Scores, beside: Beside) -> Result<()> {
    let mut comparisons = beside.comparisons.into_iter();
    let mut segmentations = Vec::new();
    for (structure, section) in Structure::BOTH.into_iter().zip([&scores.lung, &scores.infection]) {
        let rows = comparisons.next().unwrap_or_default();
        if let Some(section) = section {
            segmentations.push(segmentation(structure, section, scores, rows));
        }
    }
    if let Some(last) = segmentations.last_mut() {
        last.notes.extend(beside.notes);
    }
    let classifications = classes::sections(scores, beside.examples);
    let report = EvaluationReport {
        title: title(scores),
        summary: summary(scores),
        segmentations,
        classifications,
        provenance: provenance(scores),
    };
    figures(&dir.join("figures"), scores, &report)?;
    output::write_text(&dir.join("report.html"), &gg_report::evaluation_report(&report))
}

fn title(scores: &Scores) -> String {
    match scores.fold {
        Some(fold) => format!("Evaluation on the {} part, fold {fold}", scores.part),
        None => "Evaluation on all cases".to_owned(),
    }
}

/// The result in one sentence.
fn summary(scores: &Scores) -> String {
    let mut results = Vec::new();
    for (structure, section) in Structure::BOTH.into_iter().zip([&scores.lung, &scores.infection]) {
        if let Some(mean) = section.as_ref().and_then(|s| s.summary.dice.mean) {
            results.push(format!("mean Dice of the {} {mean:.3}", structure.name()));
        }
    }
    for (section, of) in [(&scores.classification, "slices"), (&scores.images, "images")] {
        if let Some(auroc) = section.as_ref().and_then(|c| c.scores.auroc) {
            results.push(format!("AUROC of {of} {auroc:.3}"));
        }
    }
    let whose = match scores.predictions {
        Source::Models => "Bundles",
        Source::Masks => "Masks of another program",
    };
    let on = format!("{} cases of {} patients", scores.cases.len(), scores.patients);
    match results.is_empty() {
        true => format!("{whose}, scored on {on}."),
        false => format!("{whose}, scored on {on}: {}.", results.join(", ")),
    }
}

fn line(name: &str, i: &Interval, of: &str) -> ScoreLine {
    ScoreLine {
        name: name.to_owned(),
        value: i.mean,
        interval: i.low.zip(i.high),
        basis: format!("{} {of} of {}", i.n_values, patients(i.n_groups)),
    }
}

fn human_band() -> HumanBand {
    let (mean, deviation) = HUMAN_DICE;
    HumanBand {
        low: mean - deviation,
        high: mean + deviation,
        label: format!(
            "human readers among themselves, {mean:.2} ± {deviation:.2} (Bartoli et al. 2022, low-dose CT of other patients)"
        ),
    }
}

fn segmentation(
    structure: Structure,
    section: &SegSection,
    scores: &Scores,
    comparisons: Vec<Comparison>,
) -> SegmentationSection {
    let s = &section.summary;
    let infection = structure == Structure::Infection;
    const OVER_PATIENTS: &str = "Dice, mean over patients";
    let mut measures = vec![
        ("Dice", &s.dice),
        (OVER_PATIENTS, &s.dice_over_patients),
        ("Dice, all voxels together", &s.pooled_dice),
        ("IoU", &s.iou),
        ("Sensitivity", &s.sensitivity),
        ("Specificity", &s.specificity),
        ("Precision", &s.precision),
    ];
    let distances = [
        ("HD95 (mm)", &s.hd95_mm),
        ("NSD at 2 mm", &s.nsd_2mm),
        ("HD95 (voxels)", &s.hd95_vox),
        ("NSD at 2 voxels", &s.nsd_vox),
    ];
    measures.extend(distances.into_iter().filter(|(_, i)| i.n_values > 0));
    let of = |name: &str| if name == OVER_PATIENTS { "means" } else { "cases" };
    let lines = measures.iter().map(|(name, i)| line(name, i, of(name))).collect();
    let mut notes = vec![format!(
        "{} cases; {} with nothing to find and nothing found (no Dice), {} with one of the masks empty (Dice 0, no \
         distances), {} without a prediction (Dice 0, no distances).",
        s.cases, s.both_empty, s.one_empty, s.missing_predictions
    )];
    notes.extend(cautions(&measures));
    if infection {
        notes.extend(infection_notes(scores));
    }
    // Once, under the last structure.
    if infection || scores.infection.is_none() {
        notes.extend(scores.by_data_set.iter().map(|set| set_sentence(set, scores)));
    }
    let burden: Vec<BurdenPair> = scores
        .cases
        .iter()
        .filter(|_| infection)
        .filter_map(|c| {
            let (p, interval) = (c.percent_of_lung?, c.percent_of_lung_interval);
            Some(BurdenPair { truth: p.truth?, pred: p.pred?, interval: interval.map(|[l, h]| (l, h)) })
        })
        .collect();
    let mut name = structure.name().to_owned();
    name[..1].make_ascii_uppercase();
    // What readers reach on patients says nothing about phantoms.
    let patients = scores.data_sets.iter().all(|s| !s.phantoms);
    SegmentationSection {
        name,
        scores: lines,
        cases: table(&scores.cases, structure),
        dice: section.dice_per_patient.iter().map(|(patient, dice)| (patient.clone(), *dice)).collect(),
        human_band: (infection && patients).then(human_band),
        burden,
        reliability: section.reliability.as_ref().map_or_else(Default::default, |r| reliability(r, "voxels")),
        comparisons,
        notes,
    }
}

fn reliability(found: &scoring::Reliability, counted: &str) -> Reliability {
    let bins = |c: &gg_eval::Calibration| -> Vec<ReliabilityBin> {
        let bin = |b: &gg_eval::CalibrationBin| ReliabilityBin {
            predicted: b.predicted,
            observed: b.observed,
            count: b.count,
        };
        c.bins.iter().map(bin).collect()
    };
    Reliability {
        after: bins(&found.after),
        before: found.before.as_ref().map_or_else(Vec::new, bins),
        ece: found.after.ece,
        ece_before: found.before.as_ref().and_then(|b| b.ece),
        counted: counted.to_owned(),
    }
}

/// A column of the table of cases: its heading, its decimals, its value.
type Column = (&'static str, usize, fn(&CaseScores, &SegScores) -> Option<f64>);

/// Every case; columns in which no case has a value are left out.
fn table(cases: &[CaseScores], structure: Structure) -> CaseTable {
    let mut columns: Vec<Column> = vec![
        ("Dice", 3, |_, s| s.dice),
        ("IoU", 3, |_, s| s.iou),
        ("Sensitivity", 3, |_, s| s.sensitivity),
        ("Specificity", 4, |_, s| s.specificity),
        ("Precision", 3, |_, s| s.precision),
        ("HD95 (mm)", 1, |_, s| s.hd95_mm),
        ("NSD at 2 mm", 3, |_, s| s.nsd_2mm),
        ("HD95 (voxels)", 1, |_, s| s.hd95_vox),
        ("NSD at 2 voxels", 3, |_, s| s.nsd_vox),
    ];
    let of_lung: [Column; 2] = [
        ("ml, truth", 0, |c, _| c.lung_ml.and_then(|m| m.truth)),
        ("ml, predicted", 0, |c, _| c.lung_ml.and_then(|m| m.pred)),
    ];
    let of_infection: [Column; 6] = [
        ("% of lung, truth", 1, |c, _| c.percent_of_lung.and_then(|m| m.truth)),
        ("% of lung, predicted", 1, |c, _| c.percent_of_lung.and_then(|m| m.pred)),
        ("% from", 1, |c, _| c.percent_of_lung_interval.map(|i| i[0])),
        ("% to", 1, |c, _| c.percent_of_lung_interval.map(|i| i[1])),
        ("ml, truth", 1, |c, _| c.infection_ml.and_then(|m| m.truth)),
        ("ml, predicted", 1, |c, _| c.infection_ml.and_then(|m| m.pred)),
    ];
    match structure {
        Structure::Lung => columns.extend(of_lung),
        Structure::Infection => columns.extend(of_infection),
    }
    let scored: Vec<(&CaseScores, SegScores)> =
        cases.iter().filter_map(|c| Some((c, c.of(structure)?))).collect();
    columns.retain(|(_, _, value)| scored.iter().any(|(c, s)| value(c, s).is_some()));
    let rows = scored.iter().map(|(c, s)| CaseRow {
        case_id: c.case_id.clone(),
        patient: c.patient.clone(),
        values: columns.iter().map(|(_, _, value)| value(c, s)).collect(),
    });
    CaseTable {
        rows: rows.collect(),
        columns: columns.iter().map(|(name, _, _)| (*name).to_owned()).collect(),
        decimals: columns.iter().map(|(_, decimals, _)| *decimals).collect(),
    }
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
            Fact::new(if scores.data_sets.len() == 1 { "Data set" } else { "Data sets" }, data_sets(scores)),
            Fact::new(
                "Predictions",
                match scores.predictions {
                    Source::Models => "of the models named below",
                    Source::Masks => "masks of another program, taken from a folder",
                },
            ),
            Fact::new("Cases", scores.cases.len().to_string()),
            Fact::new("Patients", scores.patients.to_string()),
            Fact::new("Intervals", format!("95 %, {} bootstrap resamples of patients", scores.resamples)),
        ],
        models: scores.models.iter().map(ModelUsed::line).collect(),
        program: scores.program.to_string(),
    }
}

fn data_sets(scores: &Scores) -> String {
    let set = |s: &ScoredSet| {
        let phantoms = if s.phantoms { ", phantoms" } else { "" };
        format!("{} cases, {} layout{phantoms}", s.cases, s.layout.name())
    };
    scores.data_sets.iter().map(set).collect::<Vec<_>>().join("; ")
}

fn figures(dir: &Path, scores: &Scores, report: &EvaluationReport) -> Result<()> {
    std::fs::create_dir_all(dir).context("making the folder of figures")?;
    for s in &report.segmentations {
        let name = s.name.to_lowercase();
        let title = format!("{} Dice per patient", s.name);
        write_drawing(
            dir,
            &format!("{name}_dice"),
            &gg_report::dice_strip(&title, &s.dice, s.human_band.as_ref()),
        )?;
        if !s.reliability.after.is_empty() {
            let plot = gg_report::reliability_plot(&s.reliability);
            write_drawing(dir, &format!("{name}_reliability"), &plot)?;
        }
        if !s.comparisons.is_empty() {
            let panels = gg_report::comparison_panels(&s.comparisons, PANEL_WIDTH);
            write_picture(dir, &format!("{name}_prediction_beside_truth"), &panels)?;
        }
        if gg_report::shows_agreement(&s.burden) {
            write_drawing(dir, "percent_scatter", &gg_report::agreement_scatter(&s.burden))?;
            write_drawing(dir, "percent_bland_altman", &gg_report::bland_altman(&s.burden))?;
        }
    }
    for (c, prefix) in report.classifications.iter().zip(classes::prefixes(scores)) {
        classes::figures(dir, c, prefix)?;
    }
    Ok(())
}

/// Width of one picture in a panel, in scene units.
const PANEL_WIDTH: f64 = 240.0;
