//! The questions of yes and no, each as a section of its own: slices, images, patients.

use super::sentences::{cautions, patients};
use super::{PANEL_WIDTH, line, reliability};
use crate::output::{write_drawing, write_picture};
use crate::scoring::{ClassIntervals, ClassSection, Scores};
use crate::words::number;
use anyhow::Result;
use gg_dataset::Task;
use gg_eval::Interval;
use gg_report::{ClassificationSection, Confusion, ScoreCurve, ScoreLine, SlicePicture};
use std::collections::BTreeSet;
use std::path::Path;

const EXAMPLE_COLUMNS: usize = 4;

/// A question: its heading, what it counts, and what stands before the names of its figures.
type Asked<'a> = (&'a ClassSection, &'static str, &'static str, &'static str);

fn asked(scores: &Scores) -> Vec<Asked<'_>> {
    let all = [
        (&scores.classification, "Slices that show infection", "slices", ""),
        (&scores.classification_by_area, "Slices that show infection, by infected area", "slices", "area_"),
        (&scores.images, "Images of COVID-19", "images", "images_"),
        (&scores.patients_with_infection, "Patients whose CT shows infection", "patients", "patients_"),
    ];
    all.into_iter()
        .filter_map(|(c, name, counted, prefix)| Some((c.as_ref()?, name, counted, prefix)))
        .collect()
}

/// What stands before the names of each section's figures.
pub(super) fn prefixes(scores: &Scores) -> impl Iterator<Item = &'static str> {
    asked(scores).into_iter().map(|(_, _, _, prefix)| prefix)
}

/// One section per question that was answered; the first that the classifier answered gets the examples.
pub(super) fn sections(scores: &Scores, examples: Vec<SlicePicture>) -> Vec<ClassificationSection> {
    let mut examples = Some(examples);
    let source = threshold_source(scores);
    asked(scores)
        .into_iter()
        .map(|(c, name, counted, prefix)| ClassificationSection {
            examples: examples.take_if(|_| prefix != "area_").unwrap_or_default(),
            ..section(c, name, counted, &source)
        })
        .collect()
}

/// What chose the classifier's threshold, in words.
fn threshold_source(scores: &Scores) -> String {
    let sources: BTreeSet<&str> = scores
        .models
        .iter()
        .filter(|m| m.task == Task::Classify)
        .map(|m| m.threshold_source.as_str())
        .collect();
    match sources.first() {
        Some(source) if sources.len() == 1 => (*source).to_owned(),
        _ => "chosen as stands beside each network".to_owned(),
    }
}

fn section(c: &ClassSection, name: &str, counted: &str, source: &str) -> ClassificationSection {
    let s = &c.scores;
    let curve = |x: &[f64], y: &[f64]| x.iter().copied().zip(y.iter().copied()).collect::<Vec<_>>();
    let rate = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let counts = |c: &gg_eval::Confusion| Confusion { tp: c.tp, fp: c.fp, fn_: c.fn_, tn: c.tn };
    // An area is no probability: one half means nothing there.
    let probabilities = c.reliability.is_some();
    let called = match s.threshold {
        Some(t) if probabilities => format!("at {}", number(Some(t), 3)),
        _ if probabilities => "at the thresholds of the folds".to_owned(),
        _ => "where anything was found".to_owned(),
    };
    let mut scores = lines(&c.intervals, counted, &called);
    if let Some(at_half) = &c.intervals_at_half {
        scores.extend(lines(at_half, counted, "at 0.5"));
    }
    scores.push(auroc_line(&c.intervals, counted));
    let mut notes = Vec::new();
    if probabilities {
        notes.push(match counted {
            "patients" => format!(
                "A patient's score is the largest mean probability of neighbouring slices, lowered in proportion where less than \
                 0.5 % of the lung is marked; he is called by the threshold for slices ({source})."
            ),
            _ => format!("Two operating points: the classifier's threshold ({source}), and 0.5."),
        });
    }
    notes.extend(cautions(&named(c, &called)));
    if c.unlabelled > 0 {
        notes.push(format!("{} {counted} whose truth nobody stated are left out.", c.unlabelled));
    }
    ClassificationSection {
        name: name.to_owned(),
        scores,
        counted: counted.to_owned(),
        called,
        confusion: counts(&s.confusion),
        confusion_at_half: c.scores_at_half.as_ref().map(|s| counts(&s.confusion)),
        roc: ScoreCurve {
            points: curve(&c.roc.fpr, &c.roc.tpr),
            area: c.roc.auroc,
            operating: rate(s.confusion.fp, s.negatives)
                .zip(rate(s.confusion.tp, s.positives))
                .filter(|_| probabilities),
        },
        pr: ScoreCurve {
            points: curve(&c.pr.recall, &c.pr.precision),
            area: c.pr.average_precision,
            operating: s.recall.zip(s.precision).filter(|_| probabilities),
        },
        reliability: c.reliability.as_ref().map_or_else(Default::default, |r| reliability(r, counted)),
        examples: Vec::new(),
        notes,
    }
}

/// The scores of calls; each names what it counts.
fn lines(i: &ClassIntervals, counted: &str, called: &str) -> Vec<ScoreLine> {
    let over = [
        counted.to_owned(),
        format!("{counted} called positive"),
        format!("positive {counted}"),
        counted.to_owned(),
        format!("negative {counted}"),
    ];
    let of = calls(i).into_iter().zip(over);
    of.map(|((name, i), over)| line(&format!("{name} {called}"), i, &over)).collect()
}

/// What is made of calls.
fn calls(i: &ClassIntervals) -> [(&'static str, &Interval); 5] {
    [
        ("Accuracy", &i.accuracy),
        ("Precision", &i.precision),
        ("Recall (sensitivity)", &i.recall),
        ("F1", &i.f1),
        ("Specificity", &i.specificity),
    ]
}

/// The AUROC, which those with and those without infection decide together.
fn auroc_line(i: &ClassIntervals, counted: &str) -> ScoreLine {
    let of = |i: &Interval| format!("{} {counted} of {}", i.n_values, patients(i.n_groups));
    ScoreLine {
        basis: format!("positive: {}; negative: {}", of(&i.recall), of(&i.specificity)),
        ..line("AUROC", &i.auroc, counted)
    }
}

/// All that has an interval, the accuracy first, which is over all.
fn named<'a>(c: &'a ClassSection, called: &str) -> Vec<(String, &'a Interval)> {
    let at = |i: &'a ClassIntervals, called: &str| {
        calls(i).map(|(name, i)| (format!("{name} {called}"), i)).into_iter()
    };
    let half = c.intervals_at_half.as_ref().map(|i| at(i, "at 0.5"));
    let auroc = ("AUROC".to_owned(), &c.intervals.auroc);
    at(&c.intervals, called).chain(half.into_iter().flatten()).chain([auroc]).collect()
}

/// The figures of one section as SVG and PNG.
pub(super) fn figures(dir: &Path, c: &ClassificationSection, prefix: &str) -> Result<()> {
    let name = |figure: &str| format!("{prefix}{figure}");
    let counts = &c.confusion;
    let matrix = |title: &str, counts: &Confusion| {
        gg_report::confusion_matrix(title.trim(), counts, "positive", "negative")
    };
    write_drawing(
        dir,
        &name("confusion_matrix"),
        &matrix(&format!("Confusion matrix {}", c.called), counts),
    )?;
    if let Some(half) = &c.confusion_at_half {
        write_drawing(dir, &name("confusion_matrix_at_half"), &matrix("Confusion matrix at 0.5", half))?;
    }
    if !c.roc.points.is_empty() {
        let all = counts.tp + counts.fp + counts.fn_ + counts.tn;
        let prevalence = (all > 0).then(|| (counts.tp + counts.fn_) as f64 / all as f64);
        write_drawing(dir, &name("roc"), &gg_report::roc_plot(&c.roc))?;
        write_drawing(dir, &name("precision_recall"), &gg_report::pr_plot(&c.pr, prevalence))?;
    }
    if !c.reliability.after.is_empty() {
        write_drawing(dir, &name("reliability"), &gg_report::reliability_plot(&c.reliability))?;
    }
    if !c.examples.is_empty() {
        let examples = gg_report::montage(&c.examples, EXAMPLE_COLUMNS, PANEL_WIDTH);
        write_picture(dir, &name("classified_slices"), &examples)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoring;
    use gg_eval::HeldOutSlice;

    #[test]
    fn each_score_names_what_it_counts_and_one_patient_s_negatives_have_no_interval() {
        let names: Vec<String> = (0..13).map(|i| format!("p{i:02}")).collect();
        let slice =
            |patient, probability, infected| HeldOutSlice { patient, probability, threshold: 0.5, infected };
        let mut slices: Vec<HeldOutSlice<'_>> =
            names.iter().flat_map(|p| [0.9, 0.4].map(|found| slice(p.as_str(), found, true))).collect();
        slices.extend((0..22).map(|i| slice("p03", if i == 0 { 0.8 } else { 0.1 }, false)));
        let found = scoring::held_out(&slices, 100).unwrap();
        let page = section(&found, "Slices", "slices", "chosen");
        let of = |name: &str| page.scores.iter().find(|s| s.name.starts_with(name)).unwrap();
        assert_eq!(of("Accuracy").basis, "48 slices of 13 patients");
        assert_eq!(of("Precision").basis, "14 slices called positive of 13 patients");
        assert_eq!(of("Recall").basis, "26 positive slices of 13 patients");
        assert_eq!(of("Specificity").basis, "22 negative slices of 1 patient");
        assert_eq!(of("AUROC").basis, "positive: 26 slices of 13 patients; negative: 22 slices of 1 patient");
        assert_eq!((of("Specificity").interval, of("AUROC").interval), (None, None));
        assert!(of("Accuracy").interval.is_some());
        let note = page.notes.iter().find(|n| n.contains("One patient alone")).unwrap();
        assert!(note.contains("Specificity") && note.ends_with("AUROC."), "{note}");
        assert!(!note.contains("Recall"), "{note}");
    }
}
