//! What is said of a training's classes and of what it came to.

use gg_dataset::{Cache, SampleSource as _, Task};
use gg_nn::{Select, TrainOutcome};
use gg_volume::Warning;

/// Code of the remark that the validation part holds one class only.
pub(super) const ONE_SIDED: &str = "validation_of_one_class";
/// Code of the remark on a network that learned nothing.
pub(super) const FOUND_NOTHING: &str = "found_nothing";
/// Dice below which that is said.
const NEXT_TO_NOTHING: f64 = 0.01;
/// AUROC on the validation part below which it is said of a classifier.
const NEXT_TO_CHANCE: f64 = 0.55;
/// Code of the remark that the training part holds one class only.
pub(super) const ONE_CLASS: &str = "training_of_one_class";

/// Whether a remark of a training is to be said beside the scores of its network too.
pub(in crate::commands) fn told_beside_scores(warning: &Warning) -> bool {
    [ONE_SIDED, ONE_CLASS, FOUND_NOTHING].contains(&warning.code.as_str())
}

/// What is to be said of a network whose masks hold none of the truth, where there is some, or that tells no classes apart.
pub(super) fn found_nothing(outcome: &TrainOutcome, task: Task) -> Option<String> {
    if task == Task::Classify {
        let auroc = outcome.val.as_ref()?.auroc?;
        return (auroc < NEXT_TO_CHANCE).then(|| {
            format!(
                "the network tells the classes of the validation part apart hardly better than chance (AUROC {auroc:.3}): right would be more \
                 epochs, another rate, labels that belong to the pictures, or more of them"
            )
        });
    }
    let best = outcome.rows.iter().find(|r| r.epoch == outcome.best_epoch)?;
    let (dice, slices) = match &outcome.val {
        Some(val) => (val.metric_at_threshold?, "validation"),
        None => (best.train_metric?, "training"),
    };
    (dice < NEXT_TO_NOTHING).then(|| {
        format!(
            "the network finds next to nothing of what is true in the {slices} slices (Dice {dice:.4}): right would be more epochs, another rate, or \
             masks that belong to the pictures"
        )
    })
}

/// The class that a part of these negative and positive slices lacks, where it needs both.
pub(super) fn lacking(counts: [usize; 2], task: Task) -> Option<&'static str> {
    match (counts, task) {
        ([0, 0], _) => None,
        ([_, 0], Task::Lung) => Some("lung"),
        ([_, 0], Task::Infection) => Some("infection"),
        ([_, 0], Task::Classify) => Some("slice with label 1"),
        ([0, _], Task::Classify) => Some("slice with label 0"),
        _ => None,
    }
}

/// What a validation part of these negative and positive slices cannot tell.
pub(super) fn one_sided(counts: [usize; 2], task: Task, select: Select) -> Option<String> {
    let without = lacking(counts, task)?;
    let epoch = match (task, select) {
        (Task::Classify, Select::Metric) => "highest accuracy",
        _ => "lowest loss",
    };
    Some(format!(
        "the validation part holds no {without}, so that it cannot choose a threshold, which stays 0.5; the epoch of its {epoch} counts"
    ))
}

/// Negative and positive samples.
pub(super) fn counts(cache: &Cache, samples: &[usize], task: Task) -> [usize; 2] {
    let positive = samples.iter().filter(|&&i| cache.infos()[i].is_positive(task)).count();
    [samples.len() - positive, positive]
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_nn::{EpochRow, PartScores, Weights};

    #[test]
    fn a_network_that_finds_nothing_of_what_is_true_is_told() {
        let outcome = |train_metric, val: Option<Option<f64>>| TrainOutcome {
            weights: Weights::default(),
            best_epoch: 1,
            threshold: 0.5,
            temperature: 1.0,
            val: val.map(|metric_at_threshold| PartScores {
                loss: 0.7,
                metric: metric_at_threshold,
                auroc: None,
                threshold: 0.5,
                metric_at_threshold,
                temperature: 1.0,
                nll: None,
            }),
            rows: vec![EpochRow {
                epoch: 1,
                step: 3,
                lr: 1e-3,
                train_loss: 0.7,
                train_metric,
                val_loss: None,
                val_metric: None,
                val_auroc: None,
                best: true,
            }],
            steps: 3,
        };
        let told = |train, val, task| found_nothing(&outcome(train, val), task).unwrap_or_default();
        assert!(told(Some(0.0), None, Task::Infection).contains("in the training slices (Dice 0.0000)"));
        assert!(
            told(Some(0.3), Some(Some(0.0015)), Task::Lung)
                .contains("in the validation slices (Dice 0.0015)")
        );
        // Accuracy is no Dice; and where nothing is true, nothing can be found.
        assert_eq!(told(Some(0.0), None, Task::Classify), "");
        for (train, val) in
            [(Some(0.1), None), (None, None), (Some(0.0), Some(Some(0.2))), (Some(0.0), Some(None))]
        {
            assert_eq!(told(train, val, Task::Infection), "", "{train:?} {val:?}");
        }
        for (auroc, is_told) in [(Some(0.31), true), (Some(0.549), true), (Some(0.55), false), (None, false)]
        {
            let mut classifier = outcome(None, Some(None));
            classifier.val.as_mut().unwrap().auroc = auroc;
            assert_eq!(found_nothing(&classifier, Task::Classify).is_some(), is_told, "{auroc:?}");
        }
    }

    #[test]
    fn a_validation_part_of_one_class_is_told_with_what_chooses_the_epoch_then() {
        let told = |counts, task, select| one_sided(counts, task, select).unwrap_or_default();
        assert!(told([9, 0], Task::Infection, Select::Metric).contains("no infection"));
        assert!(told([9, 0], Task::Infection, Select::Metric).contains("lowest loss"));
        assert!(told([9, 0], Task::Lung, Select::Auto).contains("no lung"));
        assert!(told([0, 9], Task::Classify, Select::Auto).contains("no slice with label 0"));
        assert!(told([0, 9], Task::Classify, Select::Metric).contains("highest accuracy"));
        for counts in [[0, 0], [3, 4], [0, 4]] {
            assert_eq!(one_sided(counts, Task::Infection, Select::Auto), None, "{counts:?}");
        }
    }
}
