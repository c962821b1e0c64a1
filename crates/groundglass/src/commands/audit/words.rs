//! What is said on stdout, and the page.

use super::measure::Measured;
use super::paired::Paired;
use super::{Audit, Finding};
use crate::manifest::Program;
use crate::words::number;
use gg_dataset::LEAK;
use gg_eval::Interval;
use gg_report::{AuditReport, Fact, Figure, Provenance, SlicePicture};
use std::path::Path;

/// Side of a picture on the page, in pixels.
const TILE: f64 = 220.0;

fn sentence(audit: &Audit) -> String {
    let leaks = audit.duplicates.iter().filter(|d| d.leaks).count();
    if !audit.leaking {
        return format!(
            "No patient and no slice stands on both sides: {} slices of {} cases compared.",
            audit.slices, audit.cases
        );
    }
    format!(
        "The split leaks: {} of {} patients have slices in several places; pairs of cases with slices across places that look \
         alike: {leaks}.",
        audit.patients_in_several_places.len(),
        audit.patients
    )
}

fn line(d: &Finding) -> String {
    let what = match (d.found.first == d.found.second, d.same_scan, d.same_patient) {
        (true, ..) => format!("{}: {} slices with a likeness in another place", d.first, d.found.slices),
        (_, true, true) => format!("{} and {}: one patient's pictures twice", d.first, d.second),
        (_, true, false) => {
            format!("{} and {}: look like one scan under two patients' names", d.first, d.second)
        }
        _ => format!("{} and {}: {} slices look alike", d.first, d.second, d.found.slices),
    };
    let leak = if d.leaks { format!("; {} slices leak", d.found.across) } else { String::new() };
    format!("{what} (correlation up to {:.2}){leak}", d.found.best.correlation)
}

/// "1 slice", "5 slices".
fn many(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

fn interval(i: &Interval) -> String {
    match i.low.zip(i.high) {
        Some((low, high)) => format!(
            "95 % interval over patients {low:+.3} to {high:+.3}{}, without the chance of two trainings",
            if i.few_groups { ", of fewer than ten patients and too narrow to be believed" } else { "" }
        ),
        None => "one patient alone decides it: no interval".to_owned(),
    }
}

/// Both networks on the same slices.
fn same_slices(p: &Paired) -> String {
    let left_out = match p.empty_cases {
        0 => String::new(),
        n => format!("; left out: {} with nothing to find there", many(n, "case")),
    };
    format!(
        "both networks on the same {} of {}: {:.3} trained by slice ({LEAK}), {:.3} trained by patient; optimism {:+.3} ({}){left_out}",
        many(p.slices, "slice"),
        many(p.patients, "patient"),
        p.slice_split,
        p.patient_split,
        p.optimism.mean.unwrap_or(p.slice_split - p.patient_split),
        interval(&p.optimism)
    )
}

/// What was measured, as names and sentences.
fn measured(m: &Measured) -> Vec<(&'static str, String)> {
    let what = format!("{} {}", m.task, m.measure);
    let compared = match (&m.same_slices, m.not_comparable) {
        (Some(paired), _) => Some(("Optimism", format!("{what}, {}", same_slices(paired)))),
        (None, why) => why.map(|why| ("Not compared", format!("nothing can be said of optimism: {why}"))),
    };
    let reported = format!(
        "{what}, each split on its own test slices: {} by slice ({LEAK}), {} by patient",
        number(m.as_reported.slice_split, 3),
        number(m.as_reported.patient_split, 3)
    );
    compared.into_iter().chain([("As reported", reported)]).collect()
}

pub(super) fn text(audit: &Audit, out: &Path) -> String {
    let mut lines = vec![sentence(audit)];
    lines.extend(audit.patients_in_several_places.iter().map(|(p, n)| format!("patient {p}: in {n} places")));
    lines.extend(audit.duplicates.iter().map(line));
    if let Some(m) = &audit.measured {
        lines
            .extend(measured(m).into_iter().map(|(name, words)| format!("{}: {words}", name.to_lowercase())));
    }
    lines.push(format!("report: {}", out.join("report.html").display()));
    lines.join("\n")
}

pub(super) fn page(audit: &Audit, pictures: &[SlicePicture], mut warnings: Vec<String>) -> String {
    warnings.extend(audit.duplicates.iter().filter(|d| d.leaks).map(line));
    let mut facts = vec![
        Fact::new(
            "Compared",
            format!("{} slices of {} cases, {} patients", audit.slices, audit.cases, audit.patients),
        ),
        Fact::new("Taken for one picture", format!("from a correlation of {:.2} on", audit.similarity)),
    ];
    if let Some(m) = &audit.measured {
        facts.extend(measured(m).into_iter().map(|(name, words)| Fact::new(name, words)));
    }
    let figures = if pictures.is_empty() {
        Vec::new()
    } else {
        vec![Figure {
            title: "Slices that are one picture".to_owned(),
            caption: "The surest pair of each pair of cases, each slice as its data set shows it, with their correlation.".to_owned(),
            scene: gg_report::montage(pictures, 4, TILE),
        }]
    };
    gg_report::audit_report(&AuditReport {
        summary: sentence(audit),
        findings: audit.duplicates.iter().filter(|d| !d.leaks).map(line).collect(),
        figures,
        provenance: Provenance {
            leaking: !audit.patients_in_several_places.is_empty(),
            warnings,
            facts,
            models: Vec::new(),
            program: Program::this().to_string(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::measure::Reported;
    use super::*;

    fn paired(patients: usize) -> Paired {
        let low = (patients > 1).then_some(-0.01);
        Paired {
            slices: 34,
            patients,
            empty_cases: 0,
            slice_split: 0.812,
            patient_split: 0.79,
            optimism: Interval {
                mean: Some(0.022),
                low,
                high: low.map(|_| 0.05),
                n_groups: patients,
                n_values: patients,
                resamples: 100,
                undefined: 0,
                few_groups: patients < 10,
            },
        }
    }

    #[test]
    fn optimism_is_told_with_its_slices_patients_and_interval() {
        let words = same_slices(&paired(12));
        for part in [
            "the same 34 slices of 12 patients: 0.812 trained by slice (patients leak",
            "0.790 trained by patient; optimism +0.022 (95 % interval over patients -0.010 to +0.050, without",
        ] {
            assert!(words.contains(part), "{words}");
        }
        assert!(same_slices(&paired(5)).contains("fewer than ten patients"));
        let one = same_slices(&Paired { empty_cases: 2, ..paired(1) });
        assert!(one.contains("of 1 patient:") && one.contains("no interval"), "{one}");
        assert!(one.ends_with("left out: 2 cases with nothing to find there"), "{one}");
    }

    #[test]
    fn what_is_only_reported_is_not_called_optimism() {
        let reported = Reported { slice_split: Some(0.85), patient_split: Some(0.55) };
        let words = measured(&Measured {
            task: "lung",
            measure: "Dice",
            fold: 0,
            seed: 1,
            validation_share: 0.2,
            same_slices: None,
            not_comparable: Some("no slice is in the test of both splits"),
            as_reported: reported,
        });
        assert_eq!(words.iter().map(|w| w.0).collect::<Vec<_>>(), ["Not compared", "As reported"]);
        assert_eq!(words[0].1, "nothing can be said of optimism: no slice is in the test of both splits");
        assert!(words[1].1.contains("0.850 by slice") && !words[1].1.contains("optimis"), "{}", words[1].1);
    }
}
