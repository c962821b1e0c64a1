//! Settings: a profile, over it a settings file, over that single values from the command line.
//!
//! The two profiles are commented TOML files in `profiles/`; they are the documentation of every key. What is merged
//! here is text first (unknown keys and wrong types are refused by the typed structs), then validated values.

use crate::args::{ProfileName, SettingsArgs};
use crate::failure::Usage;
use anyhow::{Context, Result};
use gg_dataset::{AugmentConfig, Task};
use gg_imaging::PrepareConfig;
use gg_nn::{NetConfig, Schedule, TrainConfig};
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

const GROUNDGLASS: &str = include_str!("../profiles/groundglass.toml");
const PAPER: &str = include_str!("../profiles/paper.toml");

/// The word that takes an optional setting away, as in `clahe_clip = "none"`.
const NONE: &str = "none";

/// Which lineage the settings follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Profile {
    /// The steps of the paper with their faults repaired.
    Groundglass,
    /// The paper as it stands.
    Paper,
}

/// Every setting, resolved and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) profile: Profile,
    pub(crate) seed: u64,
    /// Share of the patients outside the test fold on which thresholds and the best epoch are chosen.
    pub(crate) validation_share: f64,
    pub(crate) prepare: PrepareConfig,
    pub(crate) classify: TaskSettings,
    pub(crate) lung: TaskSettings,
    pub(crate) infection: TaskSettings,
}

/// Settings of one network and its training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskSettings {
    /// Slices without infection are left out of training (and of it alone).
    #[serde(default)]
    pub(crate) drop_blank: bool,
    /// Slices without any lung are left out of training (and of it alone).
    #[serde(default)]
    pub(crate) drop_lungless: bool,
    pub(crate) network: NetConfig,
    pub(crate) train: TrainConfig,
    pub(crate) augment: AugmentConfig,
}

impl Settings {
    /// Settings from what was typed.
    pub(crate) fn resolve(args: &SettingsArgs) -> Result<Self> {
        Self::parse(&document(args)?.to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut settings: Self =
            toml::from_str(text).map_err(|e| Usage(format!("settings: {}", one_line(&e.to_string()))))?;
        for task in [&mut settings.classify, &mut settings.lung, &mut settings.infection] {
            task.stretch_schedule();
        }
        match settings.fault() {
            Some(fault) => Err(Usage(format!("settings: {fault}")).into()),
            None => Ok(settings),
        }
    }

    /// Settings of one task.
    pub(crate) fn task(&self, task: Task) -> &TaskSettings {
        match task {
            Task::Classify => &self.classify,
            Task::Lung => &self.lung,
            Task::Infection => &self.infection,
        }
    }

    /// As a TOML file that gives exactly these settings again.
    pub(crate) fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string_pretty(self)?)
    }

    /// What is wrong, as one sentence.
    fn fault(&self) -> Option<String> {
        if let Some(fault) = self.prepare.fault() {
            return Some(format!("prepare.{fault}"));
        }
        if !(0.05..=0.5).contains(&self.validation_share) {
            return Some(format!(
                "validation_share is {}; right would be 0.05 to 0.5",
                self.validation_share
            ));
        }
        for (name, task) in
            [("classify", &self.classify), ("lung", &self.lung), ("infection", &self.infection)]
        {
            if let Err(e) = task.augment.validate() {
                return Some(format!("{name}.augment: {e}"));
            }
            let size = self.prepare.size;
            if let Err(e) = task.network.graph().and_then(|g| g.shapes(size, size)) {
                return Some(format!("{name}.network: {e}"));
            }
            if let Some(fault) = task.train.fault() {
                return Some(format!("{name}.train: {fault}"));
            }
        }
        None
    }
}

impl TaskSettings {
    /// A cosine schedule of 0 epochs per cycle shares the run's epochs among its cycles.
    fn stretch_schedule(&mut self) {
        if let Schedule::CosineRestarts { cycles, epochs, .. } = &mut self.train.schedule
            && *epochs == 0
        {
            *epochs = self.train.epochs.div_ceil((*cycles).max(1));
        }
    }
}

/// The commented text with all changes laid over the profile.
pub(crate) fn document(args: &SettingsArgs) -> Result<DocumentMut> {
    let file = args.config.as_deref().map(read_file).transpose()?;
    let named = file.as_ref().and_then(|f| f.get("profile")).and_then(|p| p.as_str()).map(str::to_owned);
    let profile = match (args.profile, named.as_deref()) {
        (Some(ProfileName::Paper), _) | (None, Some("paper")) => PAPER,
        (Some(ProfileName::Groundglass), _) | (None, None | Some("groundglass")) => GROUNDGLASS,
        (None, Some(other)) => {
            return Err(Usage(format!("profile is `{other}`; right would be groundglass or paper")).into());
        }
    };
    let mut document: DocumentMut = profile.parse().context("the built-in profile")?;
    if let Some(mut file) = file {
        file.remove("profile");
        merge(document.as_table_mut(), file.as_table());
    }
    for pair in &args.set {
        let wrong = || Usage(format!("--set {pair}: should be KEY=VALUE, as in lung.train.epochs=20"));
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        let value = value.trim();
        let parsed: Value = value.parse().unwrap_or_else(|_| Value::from(value));
        let mut change = Table::new();
        let mut place = &mut change;
        let mut names: Vec<&str> = key.trim().split('.').collect();
        let last = names.pop().filter(|n| !n.is_empty()).ok_or_else(wrong)?;
        for name in names {
            let next = place.entry(name).or_insert(Item::Table(Table::new()));
            place = next.as_table_mut().ok_or_else(wrong)?;
        }
        place.insert(last, Item::Value(parsed));
        merge(document.as_table_mut(), &change);
    }
    Ok(document)
}

/// Checks a settings file and gives what it resolves to.
pub(crate) fn check_file(path: &Path) -> Result<Settings> {
    let args = SettingsArgs { config: Some(path.to_owned()), ..SettingsArgs::default() };
    Settings::resolve(&args).with_context(|| path.display().to_string())
}

fn read_file(path: &Path) -> Result<DocumentMut> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    text.parse().map_err(|e: toml_edit::TomlError| {
        Usage(format!("{}: {}", path.display(), one_line(&e.to_string()))).into()
    })
}

/// Lays `over` on `base`, keeping the comments of `base`.
fn merge(base: &mut dyn TableLike, over: &dyn TableLike) {
    for (key, item) in over.iter() {
        if item.as_str() == Some(NONE) && !base.get(key).is_some_and(|b| b.is_str()) {
            base.remove(key);
            continue;
        }
        match (base.get_mut(key), item) {
            (Some(old), new) if old.is_table_like() && new.is_table_like() => {
                let (Some(old), Some(new)) = (old.as_table_like_mut(), new.as_table_like()) else { continue };
                // Another kind of network or schedule has other keys: the old ones must not linger.
                let kind = |t: &dyn TableLike| t.get("kind").and_then(Item::as_str).map(str::to_owned);
                if kind(new).is_some() && kind(new) != kind(old) {
                    old.clear();
                }
                merge(old, new);
            }
            (Some(Item::Value(old)), Item::Value(new)) => {
                let decor = old.decor().clone();
                *old = new.clone();
                *old.decor_mut() = decor;
            }
            (_, new) => {
                base.insert(key, new.clone());
            }
        }
    }
}

fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('|'));
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[&str]) -> Result<Settings> {
        Settings::resolve(&SettingsArgs {
            set: set.iter().map(|s| s.to_string()).collect(),
            ..SettingsArgs::default()
        })
    }

    #[test]
    fn both_profiles_resolve_and_come_back_from_their_own_text() {
        for profile in [ProfileName::Groundglass, ProfileName::Paper] {
            let args = SettingsArgs { profile: Some(profile), ..SettingsArgs::default() };
            let settings = Settings::resolve(&args).unwrap();
            assert_eq!(Settings::parse(&settings.to_toml().unwrap()).unwrap(), settings);
        }
    }

    #[test]
    fn the_default_profile_prepares_as_the_library_does_by_default() {
        assert_eq!(with(&[]).unwrap().prepare, PrepareConfig::default());
        let paper = SettingsArgs { profile: Some(ProfileName::Paper), ..SettingsArgs::default() };
        assert_eq!(Settings::resolve(&paper).unwrap().prepare, PrepareConfig::paper());
    }

    #[test]
    fn a_single_value_wins_and_an_optional_one_can_be_taken_away() {
        let settings = with(&["lung.train.epochs=7"]).unwrap();
        assert_eq!(settings.lung.train.epochs, 7);
        assert!(matches!(settings.lung.train.schedule, Schedule::CosineRestarts { epochs: 7, .. }));
        let settings = with(&["lung.train.schedule.floor=1e-4"]).unwrap();
        assert!(matches!(settings.lung.train.schedule, Schedule::CosineRestarts { cycles: 1, .. }));
        assert_eq!(with(&["prepare.clahe_clip=none"]).unwrap().prepare.clahe_clip, None);
        assert!(with(&["prepare.window_hu=[-1000, 400]"]).is_ok());
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_wrong_usage() {
        for set in ["lung.train.epoch=7", "speling=1", "prepare.size=0", "lung", "=3", "seed=\"x\""] {
            let error = with(&[set]).unwrap_err();
            assert!(error.chain().any(|e| e.is::<Usage>()), "{set}: {error:#}");
        }
    }
}
