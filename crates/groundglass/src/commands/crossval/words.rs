//! What a cross-validation says in words.

use super::SCORES;
use super::{CrossVal, HeldOutTemperature};
use crate::commands::evaluate::{class_sections, free_words, interval_words, set_words};
use crate::evaluation_page::other_words;
use crate::seen;
use crate::words::number;
use std::path::Path;

pub(super) fn text(found: &CrossVal, out: &Path) -> String {
    let s = &found.scores;
    let folds: Vec<String> = found.per_fold.iter().map(|f| number(*f, 3)).collect();
    let mut lines = vec![format!(
        "{}: {} cases of {} patients{}; per fold {}",
        found.task,
        s.cases.len(),
        s.patients,
        if seen::not_held_out(&s.warnings).is_some() {
            ""
        } else {
            ", each tested by a network that never saw them"
        },
        folds.join(", ")
    )];
    lines.extend(seen::not_held_out(&s.warnings).map(str::to_owned));
    if found.never_tested > 0 {
        lines.push(format!("{} cases are in no fold and were always trained on", found.never_tested));
    }
    for (name, section) in [("lung", &s.lung), ("infection", &s.infection)] {
        if let Some(section) = section {
            let d = &section.summary.dice;
            lines.push(format!(
                "{name:<10} Dice over volumes {} (95 % interval {} to {}, {} patients), over patients {}, pooled {}",
                number(d.mean, 3),
                number(d.low, 3),
                number(d.high, 3),
                d.n_groups,
                number(section.summary.dice_over_patients.mean, 3),
                number(section.summary.pooled_dice.mean, 3)
            ));
        }
    }
    if let Some(b) = &s.infection_by_burden {
        lines.push(format!(
            "           over patients with at least {} % infected: {} ({} to {}), pooled {}; in {} other volumes {}",
            b.infected_from_percent,
            number(b.dice.mean, 3),
            number(b.dice.low, 3),
            number(b.dice.high, 3),
            number(b.pooled_dice, 3),
            b.other_volumes,
            other_words(b)
        ));
    }
    if let Some(b) = &s.percent_of_lung {
        lines.push(format!("percentage error: median {} points", number(b.median_absolute_error, 2)));
    }
    match &s.percent_of_lung_interval {
        Some(c) => lines.push(format!("           {}", interval_words(c))),
        None if s.percent_of_lung.is_some() && seen::not_held_out(&s.warnings).is_none() => lines.push(
            "           too few patients for intervals around the percentage: 9 must be left when a fold is taken away"
                .to_owned(),
        ),
        None => {}
    }
    if let Some(f) = &s.infection_free_slices {
        lines.push(format!("           {}", free_words(f)));
    }
    lines.extend(set_words(s));
    for (name, section) in class_sections(s) {
        let c = &section.scores;
        lines.push(format!(
            "{name:<10} AUROC {}, F1 {} ({} positive, {} negative)",
            number(c.auroc, 3),
            number(c.f1, 3),
            c.positives,
            c.negatives
        ));
    }
    lines.extend(found.held_out_temperature.iter().map(temperature));
    lines.push(format!("report: {}", out.join(SCORES).join("report.html").display()));
    lines.join("\n")
}

pub(super) fn temperature(t: &HeldOutTemperature) -> String {
    let [before, after] = t.nll_before_and_after;
    let ece = match t.ece_before_and_after {
        [Some(before), Some(after)] => format!("; expected calibration error {before:.4}, then {after:.4}"),
        _ => String::new(),
    };
    format!(
        "No fold had validation data: temperature {:.2} suits the held-out patients (negative log-likelihood per voxel \
         {before:.4}; {after:.4} with that of the other folds{ece}). The reliability of voxels after calibration is that of the other \
         folds' temperatures; the scores here are of networks without any.",
        t.temperature
    )
}
