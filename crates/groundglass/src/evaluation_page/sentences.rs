//! Sentences beside the numbers of an evaluation.

use crate::scoring::{Scores, SetScores};
use crate::words::number;
use gg_eval::{ByBurden, FreeSummary, Interval};

/// Beside intervals over few patients.
pub(crate) const FEW_PATIENTS: &str = "Fewer than ten patients: the intervals are too narrow to be believed.";

/// What is said of intervals of few patients: of all of them where the first is such a one, else of those that are, by name.
pub(super) fn cautions<N: AsRef<str>>(measures: &[(N, &Interval)]) -> Vec<String> {
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
pub(super) fn infection_notes(scores: &Scores) -> Vec<String> {
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

/// "1 patient", "5 patients".
pub(super) fn patients(n: usize) -> String {
    if n == 1 { "1 patient".to_owned() } else { format!("{n} patients") }
}

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
