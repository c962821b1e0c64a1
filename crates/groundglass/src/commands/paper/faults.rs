//! The faults of the paper's lineage, each put in and taken out by itself.
//!
//! Those of the training are measured by a second training in which only that is repaired; those of the evaluation on the
//! same predictions, counted the faulty and the right way.

use super::measure::{Cases, Counts, Measured, Slice, THRESHOLDS};
use super::plan::{Recipe, SplitName};
use gg_dataset::Task;
use gg_eval::median;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One fault and what repairing it changes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) fault: &'static str,
    /// What the default profile does instead.
    pub(super) repair: &'static str,
    pub(super) rows: Vec<Row>,
    /// Anything to say beside the numbers, as sentences.
    pub(super) notes: Vec<String>,
}

/// One measure with and without a fault.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) measure: String,
    /// Under which split; the first fault is the split itself.
    pub(super) split: &'static str,
    pub(super) with_fault: Option<f64>,
    pub(super) repaired: Option<f64>,
}

/// Everything that was measured.
pub(super) struct All<'a> {
    pub(super) cases: &'a Cases,
    pub(super) measured: &'a [Measured],
}

impl All<'_> {
    /// What was measured of one run.
    pub(super) fn of(&self, split: SplitName, task: Task, recipe: Recipe) -> Option<&Measured> {
        self.measured.iter().find(|m| m.run.split == split && m.run.task == task && m.run.recipe == recipe)
    }
}

/// Dice over all pixels of some slices together.
pub(super) fn pooled<'a>(
    slices: impl IntoIterator<Item = &'a Slice>,
    pick: impl Fn(&Slice) -> Counts,
) -> Option<f64> {
    let mut sum = Counts::default();
    slices.into_iter().for_each(|s| sum.add(pick(s)));
    sum.dice()
}

fn test(m: &Measured) -> impl Iterator<Item = &Slice> {
    m.slices.iter().filter(|s| s.test)
}

/// Slices that the paper's lineage would score: kept, and not blank.
fn positive(s: &&Slice) -> bool {
    s.kept && s.input.truth > 0
}

/// Dice as the paper counts it: pixels of the prepared pictures of slices that are not blank.
pub(super) fn paper_dice(m: &Measured, of_test: bool) -> Option<f64> {
    pooled(m.slices.iter().filter(|s| s.test == of_test).filter(positive), |s| s.prepared)
}

/// F1 of slices at the threshold that validation chose.
pub(super) fn f1(m: &Measured) -> Option<f64> {
    let known = test(m).filter_map(|s| Some((s.probability? >= m.threshold, s.infected?)));
    let mut counts = Counts::default();
    for (called, truth) in known {
        counts.called += u64::from(called);
        counts.truth += u64::from(truth);
        counts.both += u64::from(called && truth);
    }
    counts.dice()
}

/// All faults, in the order of their table.
pub(super) fn faults(all: &All<'_>) -> Vec<Fault> {
    vec![
        leaking(all),
        true_crop(all),
        grey_masks(all),
        blank_slices(all),
        lost_crops(all),
        chosen_on_test(all),
        decay(all),
        window(all),
        percentage(all),
        patients(all),
    ]
}

fn leaking(all: &All<'_>) -> Fault {
    let value = |split, task| {
        let m = all.of(split, task, Recipe::Paper)?;
        if task == Task::Classify { f1(m) } else { paper_dice(m, true) }
    };
    let row = |task, measure: &str| Row {
        measure: measure.to_owned(),
        split: "slice, then patient",
        with_fault: value(SplitName::Slice, task),
        repaired: value(SplitName::Patient, task),
    };
    let mut notes = vec!["Two trainings of each network; the test slices differ, as they must.".to_owned()];
    for split in SplitName::BOTH {
        let slices = |m| test(m).filter(|s| s.infected == Some(false)).count();
        if all.of(split, Task::Classify, Recipe::Paper).map(slices) == Some(0) {
            notes.push(format!(
                "{}: no test slice is without infection, so that precision is 1 whatever the network says and F1 is recall \
                 alone.",
                split.heading()
            ));
        }
    }
    Fault {
        fault: "slices of one patient in training and test",
        repair: "splits by patient",
        rows: vec![
            row(Task::Classify, "F1 of slices"),
            row(Task::Lung, "lung Dice"),
            row(Task::Infection, "infection Dice, positive slices"),
        ],
        notes,
    }
}

/// Rows of one task under both splits.
fn both(
    all: &All<'_>,
    task: Task,
    measure: &str,
    with_fault: impl Fn(&Measured) -> Option<f64>,
    repaired: impl Fn(&Measured) -> Option<f64>,
) -> Vec<Row> {
    SplitName::BOTH
        .into_iter()
        .filter_map(|split| {
            let m = all.of(split, task, Recipe::Paper)?;
            Some(Row {
                measure: measure.to_owned(),
                split: split.name(),
                with_fault: with_fault(m),
                repaired: repaired(m),
            })
        })
        .collect()
}

fn true_crop(all: &All<'_>) -> Fault {
    let rows = |task, measure| {
        both(
            all,
            task,
            measure,
            |m| pooled(test(m).filter(positive), |s| s.true_crop),
            |m| pooled(test(m).filter(positive), |s| s.input),
        )
    };
    Fault {
        fault: "crop from the true lung mask at test time",
        repair: "crop from the image alone",
        rows: [
            rows(Task::Lung, "lung Dice, voxels of the input"),
            rows(Task::Infection, "infection Dice, positive slices, voxels of the input"),
        ]
        .concat(),
        notes: vec![
            "The same networks, trained on crops from the image; only the crop of the test slices differs."
                .to_owned(),
        ],
    }
}

fn grey_masks(all: &All<'_>) -> Fault {
    let faulty = |m: &Measured| {
        let (twice, sum) =
            test(m).filter(positive).fold((0.0, 0.0), |(a, b), s| (a + s.grey[0], b + s.grey[1]));
        (sum > 0.0).then_some(twice / sum)
    };
    Fault {
        fault: "labels 0, 1, 2 not made binary, masks made grey by resizing",
        repair: "masks are labels, resized by majority; Dice cannot exceed 1",
        rows: both(all, Task::Lung, "lung Dice", faulty, |m| paper_dice(m, true)),
        notes: vec![
            "The same predictions; a perfect mask would score 1.2 where both lungs are as large.".to_owned(),
        ],
    }
}

fn blank_slices(all: &All<'_>) -> Fault {
    let mut notes = Vec::new();
    for split in SplitName::BOTH {
        let Some(m) = all.of(split, Task::Infection, Recipe::Paper) else { continue };
        let blank: Vec<&Slice> = test(m).filter(|s| s.kept && s.input.truth == 0).collect();
        let false_calls = blank.iter().filter(|s| s.input.called > 0).count();
        notes.push(format!(
            "Split by {}: infection was called in {false_calls} of {} blank slices.",
            split.name(),
            blank.len()
        ));
    }
    Fault {
        fault: "blank slices removed from the test too",
        repair: "test on whole volumes, the slices that were trimmed included",
        rows: both(
            all,
            Task::Infection,
            "infection Dice, voxels of the input",
            |m| pooled(test(m).filter(positive), |s| s.input),
            |m| pooled(test(m), |s| s.input),
        ),
        notes,
    }
}

fn lost_crops(all: &All<'_>) -> Fault {
    let mut notes = Vec::new();
    for split in SplitName::BOTH {
        let Some(m) = all.of(split, Task::Infection, Recipe::Paper) else { continue };
        let kept: Vec<&Slice> = test(m).filter(|s| s.kept).collect();
        let lost = kept.iter().filter(|s| !s.roi_found).count();
        notes.push(format!(
            "Split by {}: no lung region in {lost} of {} test slices.",
            split.name(),
            kept.len()
        ));
    }
    Fault {
        fault: "slices where cropping fails silently dropped",
        repair: "the whole slice is used, counted and reported",
        rows: both(
            all,
            Task::Infection,
            "infection Dice, kept slices, voxels of the input",
            |m| pooled(test(m).filter(|s| s.kept && s.roi_found), |s| s.input),
            |m| pooled(test(m).filter(|s| s.kept), |s| s.input),
        ),
        notes,
    }
}

fn chosen_on_test(all: &All<'_>) -> Fault {
    let best = |m: &Measured| {
        let at = |k: usize| {
            pooled(test(m).filter(positive), |s| Counts {
                called: s.at.get(k).map_or(0, |c| c[0]),
                both: s.at.get(k).map_or(0, |c| c[1]),
                truth: s.prepared.truth,
            })
        };
        // The threshold of the bundle is one of those that could have been chosen.
        (0..THRESHOLDS).map(at).chain([paper_dice(m, true)]).flatten().reduce(f64::max)
    };
    let mut rows = both(
        all,
        Task::Infection,
        "infection Dice, positive slices; threshold chosen on the test",
        best,
        |m| paper_dice(m, true),
    );
    rows.extend(both(
        all,
        Task::Infection,
        "infection Dice, positive slices; scored where epoch and threshold were chosen",
        |m| paper_dice(m, false),
        |m| paper_dice(m, true),
    ));
    Fault {
        fault: "threshold and best epoch picked on the reported set",
        repair: "picked on validation, reported on test",
        rows,
        notes: vec![
            "The second comparison is between two sets of slices; in the split by patient other patients, so that chance has \
             a part in it."
                .to_owned(),
        ],
    }
}

/// A measure of the paper's recipe and of one with a repair, under both splits.
fn trained_again(
    all: &All<'_>,
    task: Task,
    recipe: Recipe,
    measure: &str,
    value: impl Fn(&Measured) -> Option<f64>,
) -> Vec<Row> {
    SplitName::BOTH
        .into_iter()
        .filter_map(|split| {
            let (before, after) = (all.of(split, task, Recipe::Paper)?, all.of(split, task, recipe)?);
            Some(Row {
                measure: measure.to_owned(),
                split: split.name(),
                with_fault: value(before),
                repaired: value(after),
            })
        })
        .collect()
}

fn decay(all: &All<'_>) -> Fault {
    Fault {
        fault: "exponential decay that never fires",
        repair: "decay per epoch, shown in the plot",
        rows: trained_again(all, Task::Lung, Recipe::Decay, "lung Dice", |m| paper_dice(m, true)),
        notes: vec![
            "A second training of the lung network, its rate times 0.96 after each epoch.".to_owned(),
        ],
    }
}

fn window(all: &All<'_>) -> Fault {
    let hu = |m: &Measured| pooled(test(m).filter(positive).filter(|s| s.hu), |s| s.input);
    let rows = trained_again(
        all,
        Task::Infection,
        Recipe::Window,
        "infection Dice, positive slices of CT in HU, voxels of the input",
        hu,
    );
    let note = match rows.is_empty() {
        true => "No CT of these data sets is in HU: nothing to measure.",
        false => "A second training of the infection network with the window of the default profile.",
    };
    Fault {
        fault: "per-slice minimum and maximum destroy HU",
        repair: "a fixed lung window where the input is in HU",
        rows,
        notes: vec![note.to_owned()],
    }
}

fn percentage(all: &All<'_>) -> Fault {
    let mut rows = Vec::new();
    for split in SplitName::BOTH {
        let of = |task| all.of(split, task, Recipe::Paper);
        let (Some(lung), Some(infection)) = (of(Task::Lung), of(Task::Infection)) else { continue };
        // Per case: prepared, input, truth, of lung and of infection.
        let mut sums: BTreeMap<usize, [[u64; 3]; 2]> = BTreeMap::new();
        for (which, m) in [lung, infection].into_iter().enumerate() {
            for s in test(m) {
                let sum = &mut sums.entry(s.case).or_default()[which];
                sum[0] += s.prepared.called;
                sum[1] += s.input.called;
                sum[2] += s.input.truth;
            }
        }
        let error = |way: usize| {
            let percent =
                |s: &[[u64; 3]; 2], i: usize| (s[0][i] > 0).then(|| 100.0 * s[1][i] as f64 / s[0][i] as f64);
            median(sums.values().filter_map(|s| Some((percent(s, way)? - percent(s, 2)?).abs())).collect())
        };
        rows.push(Row {
            measure: "absolute error of the infected percentage, median, points".to_owned(),
            split: split.name(),
            with_fault: error(0),
            repaired: error(1),
        });
    }
    Fault {
        fault: "percentage of pixels of resized slices",
        repair: "voxels of the grid of the input",
        rows,
        notes: vec!["The same predictions; crops of different sizes are resized to one.".to_owned()],
    }
}

fn patients(all: &All<'_>) -> Fault {
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    if let Some(m) = all.of(SplitName::Patient, Task::Classify, Recipe::Paper) {
        let mut known: BTreeMap<&str, [bool; 2]> = BTreeMap::new();
        for s in test(m) {
            let (Some(p), Some(truth)) = (s.probability, s.infected) else { continue };
            let [infected, called] = known.entry(&all.cases.patients[s.case]).or_default();
            *infected |= truth;
            *called |= p >= m.threshold;
        }
        let share = |truth: bool| {
            let of: Vec<&[bool; 2]> = known.values().filter(|k| k[0] == truth).collect();
            let right = of.iter().filter(|k| k[1] == truth).count();
            ((!of.is_empty()).then(|| right as f64 / of.len() as f64), of.len())
        };
        let ((sensitivity, infected), (specificity, free)) = (share(true), share(false));
        // Two questions with one answer each: what the paper could ask of its set, and what its set cannot say.
        let row = |measure: &str, with_fault, repaired| Row {
            measure: measure.to_owned(),
            split: SplitName::Patient.name(),
            with_fault,
            repaired,
        };
        rows.push(row("patients with infection called positive by any slice", sensitivity, None));
        rows.push(row("patients without infection called positive by no slice", None, specificity));
        notes.push(match free {
            0 => format!(
                "All {infected} test patients are infected: calling everybody positive would score 1, and nothing here says how \
                 often a patient without infection is called positive."
            ),
            _ => format!("{infected} test patients with infection, {free} without."),
        });
    }
    let all_patients: BTreeSet<&str> = all.cases.patients.iter().map(String::as_str).collect();
    notes.push(format!("{} patients in all data sets.", all_patients.len()));
    Fault {
        fault: "\"patient is positive\" from slices of an all-positive data set",
        repair: "results of slices and of patients are never mixed",
        rows,
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::paper::plan::Run;

    fn run(split: SplitName, task: Task, slices: Vec<Slice>) -> Measured {
        Measured { run: Run { split, task, recipe: Recipe::Paper }, threshold: 0.5, slices }
    }

    fn slice(called: u64, truth: u64, both: u64) -> Slice {
        let counts = Counts { called, truth, both };
        Slice { test: true, kept: true, roi_found: true, input: counts, prepared: counts, ..Slice::default() }
    }

    #[test]
    fn a_false_call_in_a_blank_slice_counts_only_where_blank_slices_stay() {
        let slices = vec![slice(10, 10, 10), slice(10, 0, 0)];
        let all = All {
            cases: &Cases { patients: vec!["p".into()] },
            measured: &[run(SplitName::Patient, Task::Infection, slices)],
        };
        let fault = blank_slices(&all);
        assert_eq!((fault.rows[0].with_fault, fault.rows[0].repaired), (Some(1.0), Some(2.0 / 3.0)));
        assert!(fault.notes[0].contains("1 of 1 blank"));
    }

    #[test]
    fn a_threshold_chosen_on_the_test_is_never_worse() {
        let mut s = slice(4, 10, 4);
        s.at = (0..THRESHOLDS).map(|k| if k == 3 { [10, 9] } else { [0, 0] }).collect();
        let all = All {
            cases: &Cases { patients: vec!["p".into()] },
            measured: &[run(SplitName::Slice, Task::Infection, vec![s])],
        };
        let row = &chosen_on_test(&all).rows[0];
        assert_eq!(row.with_fault, Some(0.9));
        assert!(row.repaired.unwrap() < 0.6);
    }

    #[test]
    fn patients_without_infection_are_told_apart_or_said_to_be_missing() {
        let classified = |p: f32, truth: bool| Slice {
            probability: Some(p),
            infected: Some(truth),
            test: true,
            ..Slice::default()
        };
        let all = All {
            cases: &Cases { patients: vec!["a".into()] },
            measured: &[run(
                SplitName::Patient,
                Task::Classify,
                vec![classified(0.9, true), classified(0.8, false)],
            )],
        };
        let fault = patients(&all);
        assert_eq!((fault.rows[0].with_fault, fault.rows[0].repaired), (Some(1.0), None));
        assert!(fault.notes[0].contains("calling everybody positive"));
        assert_eq!(f1(&all.measured[0]), Some(2.0 / 3.0));
    }
}
