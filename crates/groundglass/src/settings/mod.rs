//! Settings: a profile, over it a settings file, over that single values from the command line.
//!
//! The two profiles are commented TOML files in `profiles/`; they are the documentation of every key. What is merged
//! here is text first (unknown keys and wrong types are refused by the typed structs), then validated values.

mod blame;
mod text;

use crate::args::SettingsArgs;
use crate::failure::Usage;
use anyhow::Result;
use blame::Fault;
use gg_dataset::{AugmentConfig, Task};
use gg_imaging::{CleanUp, PrepareConfig, RoiConfig, RoiMode};
use gg_nn::{Mirror, NetConfig, Schedule, TrainConfig};
use serde::{Deserialize, Serialize};
use std::path::Path;
pub(crate) use text::document;
use toml_edit::DocumentMut;

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
    /// What is done to masks.
    #[serde(default)]
    pub(crate) clean: CleanUp,
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
    /// Share of the slices without infection that training keeps.
    #[serde(default = "whole")]
    pub(crate) blank_share: f64,
    /// Slices without any lung are left out of training (and of it alone).
    #[serde(default)]
    pub(crate) drop_lungless: bool,
    /// How far training balances scans; left out where it does not, so that older runs can still be resumed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) scan_balance: f64,
    pub(crate) network: NetConfig,
    pub(crate) train: TrainConfig,
    pub(crate) augment: AugmentConfig,
}

fn whole() -> f64 {
    1.0
}

fn is_zero(v: &f64) -> bool {
    *v == 0.0
}

impl Settings {
    /// Settings from what was typed.
    pub(crate) fn resolve(args: &SettingsArgs) -> Result<Self> {
        let document = document(args)?;
        Self::parse(&document).map_err(|fault| Usage(blame::sentence(args, &document, &fault)).into())
    }

    fn parse(document: &DocumentMut) -> Result<Self, Fault> {
        let text = text::without_absent(document).to_string();
        let mut settings: Self = toml::from_str(&text).map_err(|e| Fault {
            key: e.span().map_or(Vec::new(), |s| blame::key_at(&text, s.start)),
            message: e.message().to_owned(),
        })?;
        for task in [&mut settings.classify, &mut settings.lung, &mut settings.infection] {
            task.stretch_schedule();
        }
        match settings.fault() {
            Some(message) => Err(Fault { key: Vec::new(), message }),
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

    /// As a TOML file that gives exactly these settings again, whatever profile it is laid over.
    pub(crate) fn to_toml(&self) -> Result<String> {
        text::with_absent(&toml::to_string_pretty(self)?)
    }

    /// Settings that are changed and have no effect, as sentences.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let (roi, usual) = (&self.prepare.roi, RoiConfig::default());
        let (mode, margin_counts) = match roi.mode {
            RoiMode::Slice => return Vec::new(),
            RoiMode::Volume => ("volume", true),
            RoiMode::None => ("none", false),
        };
        let changed = [
            ("centre_fraction", roi.centre_fraction != usual.centre_fraction),
            ("erosion", roi.erosion != usual.erosion),
            ("dilation", roi.dilation != usual.dilation),
            ("max_extent", roi.max_extent != usual.max_extent),
            ("top_band", roi.top_band != usual.top_band),
            ("bottom_band", roi.bottom_band != usual.bottom_band),
            ("margin", roi.margin != usual.margin && !margin_counts),
        ];
        let idle = changed.into_iter().filter(|(_, changed)| *changed);
        idle.map(|(key, _)| format!("prepare.roi.{key} has no effect where prepare.roi.mode is \"{mode}\""))
            .collect()
    }

    /// What is wrong, as one sentence that begins with the key.
    fn fault(&self) -> Option<String> {
        if let Some(fault) = self.prepare.fault() {
            return Some(format!("prepare.{fault}"));
        }
        if let Some(fault) = self.clean.fault() {
            return Some(format!("clean.{fault}"));
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
            if !(0.0..=1.0).contains(&task.blank_share) {
                return Some(format!("{name}.blank_share is {}; right would be 0 to 1", task.blank_share));
            }
            if !(0.0..=1.0).contains(&task.scan_balance) {
                return Some(format!("{name}.scan_balance is {}; right would be 0 to 1", task.scan_balance));
            }
            if let Err(e) = task.augment.validate() {
                return Some(format!("{name}.augment: {e}"));
            }
            match task.network.graph() {
                Ok(graph) if graph.in_channels().is_multiple_of(2) => {
                    let found = graph.in_channels();
                    return Some(format!(
                        "{name}.network.in_channels is {found}; right would be an odd number, the slice and its neighbours"
                    ));
                }
                _ => {}
            }
            if let Ok(graph) = task.network.graph()
                && graph.segments() == (name == "classify")
            {
                let (found, right) = match graph.segments() {
                    true => ("masks", "\"classifier_a\", \"classifier_b\", \"encoder\" or \"unet_area\""),
                    false => ("one answer per slice", "\"unet\""),
                };
                return Some(format!(
                    "{name}.network.kind is one that gives {found}; right would be {right}"
                ));
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

/// Checks a settings file and gives what it resolves to.
pub(crate) fn check_file(path: &Path) -> Result<Settings> {
    Settings::resolve(&SettingsArgs { config: Some(path.to_owned()), ..SettingsArgs::default() })
}

/// What a finished network does beyond its weights: settings that can be changed without training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prediction {
    pub(crate) mirror: Mirror,
    #[serde(flatten)]
    pub(crate) clean: CleanUp,
}

impl Prediction {
    /// The keys that count for a task's network.
    fn keys(task: Task) -> &'static [&'static str] {
        match task {
            Task::Classify => &["mirror"],
            Task::Lung => &["mirror", "lung_smallest", "lung_fill_holes"],
            Task::Infection => &[
                "mirror",
                "infection_inside_lungs",
                "doubtful_lung",
                "infection_smallest",
                "infection_reach",
            ],
        }
    }

    /// The same with single settings changed, each as KEY=VALUE with a key that counts for the task.
    pub(crate) fn with(&self, task: Task, set: &[String]) -> Result<Self> {
        let mut changed = self.clone();
        let mut seen = Vec::new();
        for pair in set {
            let wrong = |what: String| Usage(format!("{pair}: {what}"));
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| wrong("should be KEY=VALUE, as in mirror=half_turn".to_owned()))?;
            let (key, value) = (key.trim(), value.trim());
            let keys = Self::keys(task);
            if !keys.contains(&key) {
                let right = keys.join(", ");
                let task = task.name();
                return Err(wrong(format!("no key for the task {task}; right would be {right}")).into());
            }
            if seen.contains(&key) {
                return Err(wrong(format!("{key} is given twice; right would be once")).into());
            }
            seen.push(key);
            let mut table = toml::Table::try_from(&changed)?;
            let value = value.parse().unwrap_or_else(|_| toml::Value::String(value.to_owned()));
            table.insert(key.to_owned(), value);
            changed = table.try_into().map_err(|e: toml::de::Error| wrong(e.message().to_owned()))?;
            if let Some(fault) = changed.clean.fault() {
                return Err(wrong(fault).into());
            }
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ProfileName;
    use gg_nn::EarlyStopping;
    use gg_nn::net::{Block, Skips};
    use toml_edit::TableLike;

    const BOTH: [ProfileName; 2] = [ProfileName::Groundglass, ProfileName::Paper];

    fn of_profile(profile: ProfileName) -> SettingsArgs {
        SettingsArgs { profile: Some(profile), ..SettingsArgs::default() }
    }

    fn with(set: &[&str]) -> Result<Settings> {
        Settings::resolve(&SettingsArgs {
            set: set.iter().map(|s| s.to_string()).collect(),
            ..SettingsArgs::default()
        })
    }

    /// A settings file laid over the default profile.
    fn with_file(text: &str, set: &[&str]) -> Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.toml");
        std::fs::write(&path, text).unwrap();
        let set = set.iter().map(|s| s.to_string()).collect();
        Settings::resolve(&SettingsArgs { config: Some(path), set, profile: None })
    }

    #[test]
    fn the_resolved_settings_as_a_file_give_themselves_again() {
        for profile in BOTH {
            let settings = Settings::resolve(&of_profile(profile)).unwrap();
            assert_eq!(with_file(&settings.to_toml().unwrap(), &[]).unwrap(), settings);
        }
        let bare =
            with(&["prepare.clahe_clip=none", "prepare.window_hu=none", "lung.train.ema=none"]).unwrap();
        assert_eq!((bare.prepare.clahe_clip, bare.prepare.window_hu), (None, None));
        assert_eq!(with_file(&bare.to_toml().unwrap(), &[]).unwrap(), bare);
    }

    /// Keys of `a` that `b` lacks; below a value that is no table in `b` nothing is looked for.
    fn lacking(a: &dyn TableLike, b: &dyn TableLike, path: &str, found: &mut Vec<String>) {
        for (key, item) in a.iter() {
            let path = format!("{path}.{key}");
            match (item.as_table_like(), b.get(key)) {
                (_, None) => found.push(path),
                (Some(a), Some(b)) if b.is_table_like() => {
                    lacking(a, b.as_table_like().unwrap(), &path, found);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_key_of_every_network_stands_in_both_profiles() {
        for profile in BOTH {
            let args = of_profile(profile);
            let mut settings = Settings::resolve(&args).unwrap();
            settings.prepare.window_hu = Some([0.0, 1.0]);
            settings.prepare.clahe_clip = Some(1.0);
            for task in [&mut settings.classify, &mut settings.lung, &mut settings.infection] {
                if let NetConfig::Unet(net) = &mut task.network {
                    (net.block, net.skips, net.deep_supervision) = (Block::Residual, Skips::Gated, true);
                }
                task.train.ema = Some(0.5);
                task.train.teacher_share = 0.25; // a half would be left out
                task.train.early_stopping = Some(EarlyStopping { patience: 1, min_delta: 0.0 });
            }
            let all: DocumentMut = toml::to_string(&settings).unwrap().parse().unwrap();
            let stated = document(&args).unwrap();
            let mut found = Vec::new();
            lacking(all.as_table(), stated.as_table(), "", &mut found);
            assert_eq!(found, Vec::<String>::new(), "{profile:?}");
        }
    }

    #[test]
    fn a_fault_is_sought_where_the_user_wrote_it() {
        let file = "# mine\nseed = 3\n[lung.train]\nepochs = 5\nbatch = 4\n";
        let check = |text: &str, set: &[&str], words: &[&str]| {
            let error = format!("{:#}", with_file(text, set).unwrap_err());
            for word in words {
                assert!(error.contains(word), "no `{word}` in: {error}");
            }
            assert!(error.matches("mine.toml").count() <= 1, "{error}");
            assert!(!error.contains('\n'), "{error}");
        };
        check(&file.replace("epochs", "epoch"), &[], &["mine.toml:4: ", "lung.train.epoch", "unknown field"]);
        check(&file.replace("seed", "sead"), &[], &["mine.toml:2: ", "`sead`"]);
        check(&file.replace("seed = 3", "seed = \"x\""), &[], &["mine.toml:2: seed", "invalid type"]);
        check(&file.replace("= 4", "= 0"), &[], &["mine.toml:5: lung.train", "batch 0"]);
        check("[prepare]\nsize = 0\n", &[], &["mine.toml:2: prepare.size is 0"]);
        check("[lung]\nnetwork = { kind = \"unet\", bases = 3 }\n", &[], &["mine.toml:2: ", "`bases`"]);
        check("seed = 3\nseed = = 4\n", &[], &["mine.toml:2: "]);
        check("seed = 3\n[lung.train\nepochs = 5\n", &[], &["mine.toml:2: unclosed table"]);
        check("\r\n\r\nvalidation_share = 9\r\n", &[], &["mine.toml:3: validation_share is 9"]);
        check("\n[lung.augment]\n\nflip_left_right = 3.0\n", &[], &["mine.toml:4: lung.augment"]);
        check("\n\nprofile = \"x\"\n", &[], &["mine.toml:3: profile is `x`"]);
        // A kind drops the keys of another kind that stood there, not those that came with it, in whatever order.
        let classify = |set: &[&str]| with(set).unwrap().classify.network.summary();
        let right = "U-Net encoder with a dense layer, base 4, 3 levels, residual blocks";
        let keys =
            ["classify.network.base=4", "classify.network.levels=3", "classify.network.block=residual"];
        let kind = "classify.network.kind=encoder";
        assert_eq!(classify(&[kind, keys[0], keys[1], keys[2]]), right);
        assert_eq!(classify(&[keys[0], keys[1], keys[2], kind]), right);
        let whole = "classify.network={ kind = 'encoder', base = 4, levels = 3, block = 'residual' }";
        assert_eq!(classify(&["classify.network.widths=[4, 4]", whole]), right);
        assert_eq!(classify(&[whole, "classify.network.levels=2"]), right.replace('3', "2"));
        let of_file = "[classify.network]\nbase = 4\nlevels = 3\nblock = \"residual\"\n";
        assert_eq!(with_file(of_file, &[kind]).unwrap().classify.network.summary(), right);
        check(file, &["classify.network.typo=3", kind], &["typo", "unknown field"]);
        check(file, &["classify.network.kind=unet"], &["classify.network.kind is one that gives masks"]);
        let typo = "infection.network.block=residul";
        check(
            file,
            &[typo],
            &["--set infection.network.block=residul: infection.network.block", "`residual`"],
        );
        check("[lung.network]\nbase = 4\nskips = \"non\"\n", &[], &["mine.toml:3: lung.network.skips"]);
        check(file, &["lung.network.kind=encoder"], &["lung.network.kind", "right would be \"unet\""]);
        check(file, &["lung.train.epoch=7"], &["--set lung.train.epoch=7: ", "unknown field"]);
        check(file, &["prepare.size=0"], &["--set prepare.size=0: ", "right would be"]);
        check(file, &["prepare.size=33"], &["settings: classify.network", "divisible by"]);
    }

    #[test]
    fn settings_of_the_lung_region_that_do_nothing_are_remarked() {
        assert_eq!(with(&[]).unwrap().remarks(), Vec::<String>::new());
        let said = with(&["prepare.roi.erosion=5", "prepare.roi.margin=0.1"]).unwrap().remarks();
        assert_eq!(said, ["prepare.roi.erosion has no effect where prepare.roi.mode is \"volume\""]);
        assert!(with(&["prepare.roi.mode=slice", "prepare.roi.erosion=5"]).unwrap().remarks().is_empty());
        assert_eq!(with(&["prepare.roi.mode=none", "prepare.roi.margin=0.1"]).unwrap().remarks().len(), 1);
        assert!(Settings::resolve(&of_profile(ProfileName::Paper)).unwrap().remarks().is_empty());
    }

    #[test]
    fn the_default_profile_prepares_as_the_library_does_by_default() {
        assert_eq!(with(&[]).unwrap().prepare, PrepareConfig::default());
        let paper = of_profile(ProfileName::Paper);
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
        for set in [
            "lung.train.epoch=7",
            "speling=1",
            "prepare.size=0",
            "clean.doubtful_lung=1.7",
            "clean.infection_reach=2",
            "clean.infection_reach=-0.1",
            "lung",
            "=3",
            "seed=\"x\"",
            "lung.network.in_channels=2",
        ] {
            let error = with(&[set]).unwrap_err();
            assert!(error.chain().any(|e| e.is::<Usage>()), "{set}: {error:#}");
        }
    }
}
