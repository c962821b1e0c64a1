//! The trainings of `paper`, their settings and their share of the work.

use crate::args::{PaperArgs, ProfileName, SettingsArgs};
use crate::failure::Usage;
use crate::settings::Settings;
use anyhow::Result;
use gg_dataset::{Cache, Part, Parts, Task};
use serde::Deserialize;
use std::path::Path;

/// Which slices a training may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SplitName {
    /// The paper's: slices of one patient on both sides.
    Slice,
    /// No patient on both sides.
    Patient,
}

/// What is changed in a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipe {
    /// The paper's.
    Paper,
    /// The learning rate decays by epoch, not by 100,000 steps.
    Decay,
    /// HU are seen through the fixed window of the default profile.
    Window,
}

/// One training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) split: SplitName,
    pub(super) task: Task,
    pub(super) recipe: Recipe,
}

impl SplitName {
    pub(super) const BOTH: [Self; 2] = [Self::Slice, Self::Patient];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Slice => "slice",
            Self::Patient => "patient",
        }
    }

    /// Its split file in the output folder.
    pub(super) fn file(self) -> String {
        format!("{}-split.toml", self.name())
    }

    /// As a heading; the leak is never left unsaid.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Slice => "Split by slice (patients leak)",
            Self::Patient => "Split by patient",
        }
    }
}

impl Run {
    /// Its folder under `runs`.
    pub(super) fn name(self) -> String {
        let recipe = match self.recipe {
            Recipe::Paper => "",
            Recipe::Decay => "-decay",
            Recipe::Window => "-window",
        };
        format!("{}-{}{recipe}", self.split.name(), self.task.name())
    }

    /// What it trains, in words.
    pub(super) fn words(self) -> String {
        let recipe = match self.recipe {
            Recipe::Paper => "",
            Recipe::Decay => ", decay by epoch",
            Recipe::Window => ", fixed window",
        };
        format!("{}, split by {}{recipe}", self.task.name(), self.split.name())
    }

    /// The typed settings of this run.
    pub(super) fn settings(self, args: &PaperArgs) -> Result<SettingsArgs> {
        let mut settings = base(args)?;
        match self.recipe {
            Recipe::Paper => {}
            Recipe::Decay => settings.set.push(DECAY.to_owned()),
            Recipe::Window => {
                if let Some([low, high]) = window()? {
                    settings.set.push(format!("prepare.window_hu=[{low:?}, {high:?}]"));
                }
            }
        }
        Ok(settings)
    }
}

/// The decay that the lineage's programs meant and never saw.
const DECAY: &str =
    "lung.train.schedule={kind = 'exponential', rate = 0.96, every = 1, unit = 'epoch', staircase = true}";
/// Settings of `--quick`: a tenth of the epochs, smaller pictures and networks.
pub(super) const QUICK: [&str; 9] = [
    "prepare.size=96",
    "classify.network.widths=[16, 16, 32, 64]",
    "classify.network.dense=128",
    "classify.train.epochs=10",
    "lung.network.base=16",
    "lung.train.epochs=8",
    "infection.network.base=16",
    "infection.train.epochs=12",
    "infection.train.schedule.epochs=3",
];

/// The paper's profile with `--quick` and what the user set.
pub(super) fn base(args: &PaperArgs) -> Result<SettingsArgs> {
    if args.settings.profile == Some(ProfileName::Groundglass) {
        return Err(
            Usage("`paper` follows the profile `paper`; right would be no --profile".to_owned()).into()
        );
    }
    let mut set: Vec<String> = Vec::new();
    if args.quick {
        set.extend(QUICK.map(str::to_owned));
    }
    set.extend(args.settings.set.iter().cloned());
    Ok(SettingsArgs { profile: Some(ProfileName::Paper), config: args.settings.config.clone(), set })
}

/// The HU window of the default profile.
pub(super) fn window() -> Result<Option<[f32; 2]>> {
    Ok(Settings::resolve(&SettingsArgs::default())?.prepare.window_hu)
}

/// All trainings in order; those of the window only where there are HU to see through it.
pub(super) fn runs(hu: bool) -> Vec<Run> {
    let mut runs = Vec::new();
    for split in SplitName::BOTH {
        for task in [Task::Classify, Task::Lung, Task::Infection] {
            runs.push(Run { split, task, recipe: Recipe::Paper });
        }
    }
    for split in SplitName::BOTH {
        runs.push(Run { split, task: Task::Lung, recipe: Recipe::Decay });
        if hu {
            runs.push(Run { split, task: Task::Infection, recipe: Recipe::Window });
        }
    }
    runs
}

/// The work of a training in operations: pictures times epochs times those of the network.
pub(super) fn work(run: Run, settings: &Settings, cache: &Cache, parts: &Parts) -> Result<f64> {
    let task = settings.task(run.task);
    let mut samples = cache.samples(parts, Part::Train, run.task);
    if task.drop_blank {
        samples = cache.without_blank(&samples);
    }
    samples = cache.thin_blank(&samples, task.blank_share);
    let side = settings.prepare.size;
    let flops = task.network.graph()?.table(side, side)?.flops as f64;
    Ok(samples.len() as f64 * task.train.epochs as f64 * flops)
}

/// Seconds that a run has taken so far, over all its sittings.
pub(super) fn seconds(dir: &Path) -> f64 {
    #[derive(Deserialize)]
    struct Row {
        epoch_secs: f64,
    }
    let text = std::fs::read_to_string(dir.join("timings.jsonl")).unwrap_or_default();
    let rows = text.lines().filter_map(|l| serde_json::from_str::<Row>(l).ok());
    rows.map(|r| r.epoch_secs).sum()
}
