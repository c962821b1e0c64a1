//! What a training shows while it runs.

use super::super::Context;
use crate::progress::Step;
use gg_dataset::Task;
use gg_nn::{EpochRow, Observer, StepInfo};

/// Live progress and the epoch table.
pub(super) struct Live {
    pub(super) step: Step,
    steps_per_epoch: u64,
    metric: &'static str,
    header: bool,
}

impl Live {
    pub(super) fn new(context: &Context, epochs: u64, steps_per_epoch: usize, task: Task) -> Self {
        let total = epochs * steps_per_epoch as u64;
        Self {
            step: context.console.step_before(&format!("training {}", task.name()), total, context.later),
            steps_per_epoch: steps_per_epoch as u64,
            metric: if task == Task::Classify { "accuracy" } else { "Dice" },
            header: false,
        }
    }
}

impl Observer for Live {
    fn step(&mut self, info: &StepInfo) {
        self.step.set((info.epoch - 1) * self.steps_per_epoch + info.step_in_epoch);
        self.step.note(format!("epoch {}/{} loss {:.4}", info.epoch, info.epochs, info.mean_loss));
    }

    fn epoch(&mut self, row: &EpochRow) {
        if !self.header {
            self.header = true;
            self.step.say(format!(
                "epoch  rate       loss     {m:<8} | validation loss  {m:<8} AUROC",
                m = self.metric
            ));
        }
        let number = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{v:.4}"));
        self.step.say(format!(
            "{:>5}  {:<9.2e}  {:.4}   {:<8} | {:<16} {:<8} {:<7}{}",
            row.epoch,
            row.lr,
            row.train_loss,
            number(row.train_metric),
            number(row.val_loss),
            number(row.val_metric),
            number(row.val_auroc),
            if row.best { " best" } else { "" }
        ));
    }
}
