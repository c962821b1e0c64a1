//! What is said on stdout.

use super::remarks;
use crate::evaluation_page;
use crate::scoring::{ClassSection, Scores};
use crate::seen;
use crate::words::number;
use gg_eval::{Coverage, FreeSummary, MaskState, SegScores};
use std::path::Path;

pub(super) fn summary(scores: &Scores, out: &Path) -> String {
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
pub(in crate::commands) fn class_sections(scores: &Scores) -> Vec<(&'static str, &ClassSection)> {
    let all = [
        ("slices", &scores.classification),
        ("by area", &scores.classification_by_area),
        ("images", &scores.images),
        ("patients", &scores.patients_with_infection),
    ];
    all.into_iter().filter_map(|(name, section)| Some((name, section.as_ref()?))).collect()
}

/// What intervals around percentages are worth, in words.
pub(in crate::commands) fn interval_words(c: &Coverage) -> String {
    format!(
        "its intervals hold the truth of {} of {} patients; median width {} points",
        (c.coverage * c.patients as f64).round(),
        c.patients,
        number(Some(c.median_width), 1)
    )
}

/// Each of several data sets by itself, a line each.
pub(in crate::commands) fn set_words(scores: &Scores) -> Vec<String> {
    scores.by_data_set.iter().map(|set| format!("  {}", evaluation_page::set_sentence(set, scores))).collect()
}

/// False infection on slices without any, in words.
pub(in crate::commands) fn free_words(f: &FreeSummary) -> String {
    let of = &f.false_percent_of_lung;
    format!(
        "on {} slices without infection (patients: {}) falsely found voxels are {} % of the lung's, in {} slices anything is found",
        f.slices,
        of.n_groups,
        number(of.mean, 3),
        f.slices_with_finds
    )
}
