//! Figures and page of an evaluation: its numbers as the drawings want them.

mod classes;

use crate::manifest::ModelUsed;
use crate::output::{self, write_drawing, write_picture};
use crate::readers::HUMAN_DICE;
use crate::scoring::{self, CaseScores, ScoredSet, Scores, SegSection, SetScores, Source};
use crate::words::number;
use anyhow::{Context, Result};
use gg_dataset::Structure;
use gg_eval::{ByBurden, FreeSummary, Interval, SegScores};
use gg_report::{
    BurdenPair, CaseRow, CaseTable, Comparison, EvaluationReport, Fact, HumanBand, Provenance, Reliability,
    ReliabilityBin, ScoreLine, SegmentationSection, SlicePicture,
};
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

/// "1 patient", "5 patients".
fn patients(n: usize) -> String {
    if n == 1 { "1 patient".to_owned() } else { format!("{n} patients") }
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

/// Beside intervals over few patients.
pub(crate) const FEW_PATIENTS: &str = "Fewer than ten patients: the intervals are too narrow to be believed.";

/// What is said of intervals of few patients: of all of them where the first is such a one, else of those that are, by name.
fn cautions<N: AsRef<str>>(measures: &[(N, &Interval)]) -> Vec<String> {
    let Some(((_, first), others)) = measures.split_first() else { return Vec::new() };
    let names = |of: &dyn Fn(&Interval) -> bool| {
        let named: Vec<&str> = others.iter().filter(|(_, i)| of(i)).map(|(name, _)| name.as_ref()).collect();
        (!named.is_empty()).then(|| named.join("; "))
    };
    let few = match first.few_groups {
        true => Some(FEW_PATIENTS.to_owned()),
        false => names(&|i| i.few_groups && i.low.is_some()).map(|names| {
            format!("Fewer than ten patients decide these, whose intervals are too narrow to be believed: {names}.")
        }),
    };
    let of_one = match first.n_groups {
        0 | 1 => None,
        _ => names(&|i| i.mean.is_some() && i.low.is_none())
            .map(|names| format!("One patient alone decides these, which have no interval: {names}.")),
    };
    few.into_iter().chain(of_one).collect()
}

/// The main numbers of one of several data sets.
pub(crate) fn set_sentence(set: &SetScores, scores: &Scores) -> String {
    let of = scores.data_sets.get(set.data_set).map_or("", |s| s.layout.name());
    let mut parts = Vec::new();
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let with =
        |i: &Interval| format!("{} ({} to {})", number(i.mean, 3), number(i.low, 3), number(i.high, 3));
    if let Some(dice) = &set.lung_dice {
        parts.push(format!("lung Dice over {} {}", count(dice.n_groups, "patient"), with(dice)));
    }
    match (&set.infection_by_burden, &set.infection_dice) {
        (Some(b), _) => {
            parts.push(format!(
                "infection Dice over {} with at least {} % infected {}, pooled {}",
                count(b.dice.n_groups, "patient"),
                b.infected_from_percent,
                with(&b.dice),
                number(b.pooled_dice, 3)
            ));
            if b.other_volumes > 0 {
                parts.push(format!("in {} {}", count(b.other_volumes, "other volume"), other_words(b)));
            }
        }
        (None, Some(dice)) => {
            parts.push(format!("infection Dice over {} {}", count(dice.n_groups, "patient"), with(dice)));
        }
        (None, None) => {}
    }
    if let Some(b) = &set.percent_of_lung {
        parts.push(format!("percentage off by {} points in the median", number(b.median_absolute_error, 2)));
    }
    if let Some(f) = &set.infection_free_slices {
        parts.push(format!(
            "on {} without infection ({}) falsely found voxels are {} % of the lung's{}",
            count(f.slices, "slice"),
            patients(f.false_percent_of_lung.n_groups),
            number(f.false_percent_of_lung.mean, 3),
            beyond(f.false_percent_of_lung.mean)
        ));
    }
    let dice = [&set.lung_dice, &set.infection_dice, &set.infection_by_burden.as_ref().map(|b| b.dice)];
    let few = dice.into_iter().flatten().any(|dice| dice.few_groups);
    let caution = if few { format!(" {FEW_PATIENTS}") } else { String::new() };
    format!(
        "Data set {} ({of}, {}): {}.{caution}",
        set.data_set + 1,
        count(set.cases, "case"),
        parts.join("; ")
    )
}

/// Sentences on the percentage, its intervals, and slices without infection.
fn infection_notes(scores: &Scores) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(b) = &scores.percent_of_lung {
        notes.push(format!(
            "Infected percentage of the lung: absolute error {} points in the median, {} in the mean, {} at most; bias {}. Infection \
             outside the lung mask of the same source does not count for it, in the truth as in the prediction.",
            number(b.median_absolute_error, 2),
            number(b.mean_absolute_error, 2),
            number(b.max_absolute_error, 2),
            number(b.bias, 2)
        ));
    }
    if let Some(c) = &scores.percent_of_lung_interval {
        let without = match c.without_interval {
            0 => String::new(),
            n => format!(" {n} more volumes have none: too few patients were left to fit it on."),
        };
        notes.push(format!(
            "Intervals around the percentage, each fitted on other patients: they hold the truth of {:.0} % of {} patients \
             ({:.0} % of {} volumes), with a median width of {:.1} points.{without}",
            100.0 * c.coverage,
            c.patients,
            100.0 * c.coverage_of_volumes,
            c.volumes,
            c.median_width
        ));
    }
    if let Some(f) = &scores.infection_free_slices {
        notes.push(free_note(f));
    }
    if scores.infection.as_ref().is_some_and(|i| i.reliability.is_some()) {
        notes.push(
            "The reliability of voxels counts those inside the predicted lungs, where there is a lung model."
                .to_owned(),
        );
    }
    notes
}

/// What was found on slices without infection, with the patients behind its interval.
fn free_note(f: &FreeSummary) -> String {
    let p = &f.false_percent_of_lung;
    let ml = f
        .false_ml_per_volume
        .mean
        .map_or(String::new(), |ml| format!(", {ml:.1} ml of a volume in the mean"));
    let interval = match p.low.zip(p.high) {
        Some((low, high)) => format!(
            " (95 % interval {low:.3} to {high:.3}{})",
            if p.few_groups { ", of fewer than ten patients and too narrow to be believed" } else { "" }
        ),
        None if p.mean.is_some() => " (one patient alone decides it: no interval)".to_owned(),
        None => String::new(),
    };
    format!(
        "On {} slices without any infection ({} volumes of {}), falsely found voxels are {} % of the lung's{}{interval}{ml}; in {} of \
         the slices anything is found.",
        f.slices,
        f.volumes,
        patients(p.n_groups),
        number(p.mean, 3),
        beyond(p.mean),
        f.slices_with_finds
    )
}

/// What was found falsely and what was missed in volumes (nearly) without infection.
pub(crate) fn other_words(b: &ByBurden) -> String {
    let missing = match b.other_missing_predictions {
        0 => String::new(),
        n => format!(" ({n} without a prediction: all missed, and left out of what is found falsely)"),
    };
    format!(
        "falsely found voxels are {} % of the lung's{}, missed ones {} %{missing}",
        number(b.false_percent_of_lung, 3),
        beyond(b.largest_false_percent),
        number(b.missed_percent_of_lung, 3)
    )
}

/// Said where more voxels are found falsely than the lung has.
fn beyond(percent: Option<f64>) -> &'static str {
    match percent.is_some_and(|percent| percent > 100.0) {
        true => " (more than 100 % is possible: voxels outside the lung count too)",
        false => "",
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

#[cfg(test)]
mod tests {
    use super::*;
    use gg_eval::{FreeSlices, ScoredVolume, by_burden, free_slices, missing_scores, seg_scores};
    use gg_volume::Volume;

    fn free(false_voxels: u64) -> FreeSlices {
        FreeSlices { slices: 10, slices_with_finds: 1, false_voxels, lung_voxels: 100, false_ml: None }
    }

    #[test]
    fn the_note_on_slices_without_infection_names_its_patients_and_cautions_where_they_are_few() {
        let found = free_slices(&[("a", free(1)), ("b", free(0)), ("b", free(0))], 1, 100).unwrap();
        let note = free_note(&found);
        assert!(note.contains("30 slices without any infection (3 volumes of 2 patients)"), "{note}");
        assert!(note.contains("falsely found voxels are 0.333 % of the lung's"), "{note}");
        assert!(note.contains("too narrow to be believed") && !note.contains("more than 100 %"), "{note}");
        let one = free_note(&free_slices(&[("a", free(1))], 1, 100).unwrap());
        assert!(one.contains("of 1 patient)") && one.contains("no interval"), "{one}");
        let names: Vec<String> = (0..12).map(|i| format!("p{i}")).collect();
        let many: Vec<(&str, FreeSlices)> = names.iter().map(|p| (p.as_str(), free(3))).collect();
        let many = free_note(&free_slices(&many, 1, 100).unwrap());
        assert!(many.contains("(95 % interval 3.000 to 3.000)"), "{many}");
    }

    #[test]
    fn more_voxels_than_the_lung_has_are_told() {
        let note = free_note(&free_slices(&[("a", free(200)), ("b", free(150))], 1, 100).unwrap());
        assert!(note.contains("175.000 % of the lung's"), "{note}");
        assert!(note.contains("more than 100 % is possible: voxels outside the lung count too"), "{note}");
    }

    #[test]
    fn volumes_without_a_prediction_are_counted_beside_what_is_found_falsely() {
        let (nothing, all) = (Volume::filled([1, 1, 4], 0u8), Volume::filled([1, 1, 4], 1u8));
        let volume = |patient, scores| ScoredVolume { patient, scores, truth_percent: 0.0, lung_voxels: 100 };
        let (found, missing) = (seg_scores(&all, &nothing, None), missing_scores(&nothing));
        let words = |volumes: &[ScoredVolume<'_>]| other_words(&by_burden(volumes, 1, 10));
        let one = words(&[volume("a", found), volume("b", missing)]);
        assert!(one.contains("falsely found voxels are 4.000 % of the lung's, missed ones 0.000 %"), "{one}");
        assert!(one.contains("(1 without a prediction"), "{one}");
        assert!(!words(&[volume("a", found)]).contains("without a prediction"));
        let tiny = ScoredVolume { lung_voxels: 2, ..volume("a", found) };
        assert!(words(&[tiny]).contains("more than 100 %"));
    }

    #[test]
    fn intervals_of_few_patients_are_named_where_others_have_many() {
        let of = |n_groups, low: Option<f64>| Interval {
            mean: Some(0.5),
            low,
            high: low,
            n_groups,
            n_values: 50,
            resamples: 100,
            undefined: 0,
            few_groups: n_groups < 10,
        };
        let (many, few, one) = (of(13, Some(0.4)), of(3, Some(0.4)), of(1, None));
        assert!(cautions(&[("A", &many), ("B", &many)]).is_empty());
        assert_eq!(cautions(&[("A", &few), ("B", &few)]), [FEW_PATIENTS]);
        let told = cautions(&[("A", &many), ("B", &few), ("C", &one), ("D", &few)]);
        assert!(told[0].contains("too narrow") && told[0].ends_with("B; D."), "{told:?}");
        assert!(told[1].contains("no interval") && told[1].ends_with("C."), "{told:?}");
        assert_eq!(told.len(), 2);
    }
}
