//! Learning rates over the run.
//!
//! * exponential: `lr * rate^(t / every)`, staircase: with the quotient rounded down (Keras's `ExponentialDecay`); t
//!   counts steps or epochs. The paper's lineage has rate 0.96 every 100,000 **steps** in staircase, which never fires in
//!   its runs; the default profile counts epochs.
//! * cosine restarts: `floor + (lr - floor) / 2 * (1 + cos(pi * t / T))`, t since the cycle's start and T its length, by
//!   epoch (as in the lineage) or by step (SGDR, Loshchilov and Hutter 2017); after the last cycle it stays at its end.
//! * plateau: factor after `patience` epochs without a metric better by `min_delta` (Keras's `ReduceLROnPlateau`).

use serde::{Deserialize, Serialize};

/// What a schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Training steps.
    Step,
    /// Epochs.
    Epoch,
}

/// Learning rate over the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// The same throughout.
    Constant {},
    /// Decay by a factor.
    Exponential {
        /// Factor per `every`.
        rate: f64,
        /// Number of units for one factor.
        every: u64,
        /// What is counted.
        unit: Unit,
        /// Whether the rate falls in stairs.
        staircase: bool,
    },
    /// Half cosines from the full rate down, started again per cycle.
    CosineRestarts {
        /// Number of cycles.
        cycles: u64,
        /// Epochs per cycle.
        epochs: u64,
        /// What moves the rate: each epoch or each step.
        unit: Unit,
        /// Lowest rate.
        floor: f64,
    },
    /// Smaller after epochs without progress on validation.
    Plateau {
        /// Factor per plateau.
        factor: f64,
        /// Epochs without progress.
        patience: u64,
        /// Smallest progress that counts.
        min_delta: f64,
        /// Lowest rate.
        floor: f64,
    },
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Epochs finished.
    pub epoch: u64,
    /// Steps taken from the run's start.
    pub step: u64,
    /// Steps in one epoch.
    pub steps_per_epoch: u64,
}

/// What a plateau schedule and early stopping remember.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Best value so far.
    pub best: Option<f64>,
    /// Epochs since.
    pub waited: u64,
    /// Factors applied.
    pub reductions: u64,
}

/// When to end before the last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Epochs without progress on validation.
    pub patience: u64,
    /// Smallest progress that counts.
    #[serde(default)]
    pub min_delta: f64,
}

impl Schedule {
    /// Learning rate of the next step.
    pub fn lr(&self, base: f64, at: Position, progress: &Progress) -> f64 {
        let per_epoch = at.steps_per_epoch.max(1) as f64;
        match *self {
            Self::Constant {} => base,
            Self::Exponential { rate, every, unit, staircase } => {
                let t = if unit == Unit::Step { at.step } else { at.epoch };
                let power =
                    if staircase { (t / every.max(1)) as f64 } else { t as f64 / every.max(1) as f64 };
                base * rate.powf(power)
            }
            Self::CosineRestarts { cycles, epochs, unit, floor } => {
                let epochs = epochs.max(1) as f64;
                let t = if unit == Unit::Step { at.step as f64 / per_epoch } else { at.epoch as f64 };
                let cycle = (t / epochs).floor();
                let part = if cycle >= cycles as f64 { 1.0 } else { t / epochs - cycle };
                floor + (base - floor) * 0.5 * (1.0 + (std::f64::consts::PI * part).cos())
            }
            Self::Plateau { factor, floor, .. } => {
                (base * factor.powf(progress.reductions as f64)).max(floor.min(base))
            }
        }
    }

    /// What is wrong with the numbers, in words; `None` where nothing is.
    pub fn problem(&self) -> Option<String> {
        let in_unit = |v: f64| v > 0.0 && v <= 1.0;
        let not_negative = |v: f64| v >= 0.0 && v.is_finite();
        match *self {
            Self::Constant {} => None,
            Self::Exponential { rate, every, .. } => (!in_unit(rate) || every == 0).then(|| {
                format!(
                    "rate {rate} every {every}, right would be a rate above 0 up to 1 and every of at least 1"
                )
            }),
            Self::CosineRestarts { cycles, epochs, floor, .. } => (cycles == 0
                || epochs == 0
                || !not_negative(floor))
            .then(|| {
                format!("{cycles} cycles of {epochs} epochs down to {floor}, right would be at least 1, 1, 0")
            }),
            Self::Plateau { factor, min_delta, floor, .. } => (!in_unit(factor)
                || !not_negative(min_delta)
                || !not_negative(floor))
            .then(|| {
                format!(
                    "plateau factor {factor}, right would be above 0 up to 1, min_delta and floor at least 0"
                )
            }),
        }
    }
}

impl Progress {
    /// Takes in the value of one epoch (higher is better); true where it counts as progress.
    pub fn record(&mut self, value: f64, min_delta: f64) -> bool {
        let better = self.best.is_none_or(|best| value > best + min_delta);
        if better {
            self.best = Some(value);
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        better
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: Schedule, at: [u64; 3], right: f64) {
        let [epoch, step, steps_per_epoch] = at;
        let lr = schedule.lr(0.1, Position { epoch, step, steps_per_epoch }, &Progress::default());
        assert!((lr - right).abs() < 1e-12, "{schedule:?} at {at:?}: {lr}, expected {right}");
    }

    #[test]
    fn each_schedule_has_the_rates_of_its_formula() {
        check(Schedule::Constant {}, [7, 70, 10], 0.1);
        let stairs = Schedule::Exponential { rate: 0.96, every: 100_000, unit: Unit::Step, staircase: true };
        check(stairs, [80, 99_999, 10], 0.1);
        check(stairs, [80, 100_000, 10], 0.096);
        let smooth = Schedule::Exponential { rate: 0.5, every: 2, unit: Unit::Epoch, staircase: false };
        check(smooth, [1, 10, 10], 0.1 * 0.5f64.sqrt());
        let cosine = |unit| Schedule::CosineRestarts { cycles: 2, epochs: 4, unit, floor: 0.02 };
        check(cosine(Unit::Epoch), [0, 5, 10], 0.1);
        check(cosine(Unit::Epoch), [2, 20, 10], 0.06);
        check(cosine(Unit::Epoch), [4, 40, 10], 0.1);
        check(cosine(Unit::Epoch), [8, 80, 10], 0.02);
        check(cosine(Unit::Step), [1, 20, 10], 0.06);
    }

    #[test]
    fn a_plateau_counts_only_progress_beyond_its_delta() {
        let mut p = Progress::default();
        assert!(p.record(0.5, 0.01));
        assert!(!p.record(0.505, 0.01));
        assert!(!p.record(0.4, 0.01));
        assert_eq!(p.waited, 2);
        assert!(p.record(0.52, 0.01));
        let plateau = Schedule::Plateau { factor: 0.5, patience: 2, min_delta: 0.0, floor: 0.03 };
        let at = Position { epoch: 0, step: 0, steps_per_epoch: 1 };
        let lr = |reductions| plateau.lr(0.1, at, &Progress { reductions, ..Progress::default() });
        assert_eq!((lr(0), lr(1), lr(5)), (0.1, 0.05, 0.03));
    }
}
