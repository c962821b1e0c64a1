//! A model bundle: one safetensors file with everything that a prediction needs, so that nobody repeats a setting by hand.
//!
//! Weights are arrays under their PyTorch-style names; all else is JSON in the file's metadata. A bundle of a newer
//! format, weights that do not fit the network, a file cut short, and one whose description or weights were changed since
//! it was written are refused.

use crate::calibration::{CALIBRATION_FORMAT, Calibration};
use crate::checkpoint::{BEST_TEXT, State};
use crate::ensemble::Member;
use crate::mirror::Mirror;
use crate::net::{Graph, NetConfig, NetError};
use crate::store::{self, Decoded, Precision, StoreError, decode, encode, named, with_text, write_whole};
use crate::weights::{Weights, WeightsError};
use gg_dataset::Task;
use gg_eval::{AreaFit, HIGHEST_TEMPERATURE, IntervalFit, LOWEST_TEMPERATURE};
use gg_imaging::{CleanUp, PrepareConfig};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// Version of the file's format that this program writes; it reads all up to it. Format 1 has no temperature, no
/// interval, no clean-up and no ranges for int8: it is read as temperature 1, no interval and the clean-up of that
/// time.
/// From format 6 on there is a hash over the description, too.
pub const BUNDLE_FORMAT: u32 = 6;
const SEALED_FORMAT: u64 = 6;
/// Larger files are no bundles; nothing of them is read.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// All of a bundle but its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleInfo {
    /// Version of the format.
    pub format_version: u32,
    /// Name of the model, e.g. `infection-covid20`.
    pub name: String,
    /// What the network was trained for.
    pub task: Task,
    /// The network.
    pub net: NetConfig,
    /// How its input is prepared, the handling of grey values included.
    pub prepare: PrepareConfig,
    /// Calibrated probability from which on a pixel or slice is positive; picked on validation data.
    pub threshold: f32,
    /// What logits are divided by, so that probabilities mean what they say; fitted on validation data, 1 without.
    #[serde(default = "uncalibrated")]
    pub temperature: f32,
    /// Of how many folds of a cross-validation threshold and temperature are the medians; none where this network's own
    /// validation part gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_folds: Option<usize>,
    /// What each slice is looked at with besides as it is.
    #[serde(default, skip_serializing_if = "Mirror::is_none")]
    pub mirror: Mirror,
    /// What is done to masks, and before them to probabilities.
    #[serde(default)]
    pub clean: CleanUp,
    /// What makes an interval around the infected percentage, where it was fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<IntervalFit>,
    /// What the infected area of a slice adds to what a classifier says of it, where it was fitted; the threshold is
    /// then that of both together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<AreaFit>,
    /// What each label means, and what the truth was made from.
    pub labels: BTreeMap<String, String>,
    /// How it was trained: data, split, seed, configuration, program.
    pub manifest: serde_json::Value,
    /// Scores with what they were measured on.
    pub scores: serde_json::Value,
    /// Licence of the weights.
    pub licence: String,
    /// SHA-256 of the weights as they are in memory after loading.
    pub weights_sha256: String,
    /// Ranges for prediction in int8, since format 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8: Option<Calibration>,
    /// The networks whose mean answers, where there are several, since format 4; each has its own temperature, ranges
    /// and manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

fn uncalibrated() -> f32 {
    1.0
}

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// All but the weights.
    pub info: BundleInfo,
    /// The weights.
    pub weights: Weights,
}

/// A file that is no bundle, or none that this program can use.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of a run folder that is no model.
    #[error("the file holds {0} of a training and no finished model")]
    TrainingFile(&'static str),
    /// Made by a newer program.
    #[error(
        "model bundle of format {found}, this program reads up to {BUNDLE_FORMAT}; use a newer groundglass"
    )]
    Newer {
        /// The version found.
        found: u64,
    },
    /// A description that cannot be understood.
    #[error("description of the model: {0}")]
    Description(String),
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Weights of another network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Weights that were changed.
    #[error("the weights have another SHA-256 than the bundle says: the file was damaged or changed")]
    Hash,
}

impl Bundle {
    /// A bundle from its parts; computes the hash, after rounding the weights to what `precision` keeps.
    ///
    /// # Errors
    /// Parts that do not fit together.
    pub fn new(
        mut info: BundleInfo,
        weights: &Weights,
        precision: Precision,
    ) -> Result<(Self, Vec<u8>), BundleError> {
        info.format_version = BUNDLE_FORMAT;
        let Decoded { weights: rounded, .. } = decode(&encode(named(weights), precision, "")?)?;
        info.weights_sha256 = weights_sha256(&rounded);
        let bundle = Self { info, weights: rounded };
        bundle.check()?;
        let text =
            serde_json::to_string(&bundle.info).map_err(|e| BundleError::Description(e.to_string()))?;
        let bytes = encode(named(&bundle.weights), precision, &text)?;
        Ok((bundle, bytes))
    }

    /// Writes a bundle whole or not at all, and gives back what [`Bundle::load`] would.
    ///
    /// # Errors
    /// As [`Bundle::new`], and the file system's.
    pub fn save(
        path: &Path,
        info: BundleInfo,
        weights: &Weights,
        precision: Precision,
    ) -> Result<Self, BundleError> {
        let (bundle, bytes) = Self::new(info, weights, precision)?;
        write_whole(path, &bytes)?;
        Ok(bundle)
    }

    /// Reads a bundle from a file.
    ///
    /// # Errors
    /// As [`Bundle::from_bytes`], and the file system's.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        Self::from_bytes(&Self::read(path)?)
    }

    /// The bytes of a file for [`Bundle::from_bytes`]; one that is larger than any model is not read.
    ///
    /// # Errors
    /// The file system's, and a file that is too large.
    pub fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
        let len = std::fs::metadata(path).map_err(StoreError::from)?.len();
        if len > MAX_FILE_BYTES {
            return Err(StoreError::Format(format!("{len} bytes, more than any model has")).into());
        }
        Ok(std::fs::read(path).map_err(StoreError::from)?)
    }

    /// Reads a bundle, e.g. one embedded in the program.
    ///
    /// # Errors
    /// Bytes that are no whole bundle, one of a newer format, weights that do not fit their network or their hash.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BundleError> {
        let text = store::text(bytes)?;
        let unreadable = |e: serde_json::Error| BundleError::Description(e.to_string());
        if text == BEST_TEXT {
            return Err(BundleError::TrainingFile("the best weights so far"));
        }
        if serde_json::from_str::<State>(&text).is_ok() {
            return Err(BundleError::TrainingFile("a checkpoint"));
        }
        let version = serde_json::from_str::<VersionOnly>(&text).map_err(unreadable)?.format_version;
        if version > u64::from(BUNDLE_FORMAT) {
            return Err(BundleError::Newer { found: version });
        }
        let Decoded { weights, text, sealed } = decode(bytes)?;
        if version >= SEALED_FORMAT && !sealed {
            return Err(StoreError::Hash.into());
        }
        let info: BundleInfo = if version < REACH_FORMAT {
            let mut info: serde_json::Value = serde_json::from_str(&text).map_err(unreadable)?;
            with_former_clean_up(&mut info, version);
            serde_json::from_value(info).map_err(unreadable)?
        } else {
            serde_json::from_str(&text).map_err(unreadable)?
        };
        let bundle = Self { info, weights };
        bundle.check()?;
        if weights_sha256(&bundle.weights) != bundle.info.weights_sha256 {
            return Err(BundleError::Hash);
        }
        Ok(bundle)
    }

    /// The same bundle with another description; the weights stay as they are, byte for byte.
    ///
    /// # Errors
    /// As [`Bundle::from_bytes`], and a description that does not suit the weights.
    pub fn described(bytes: &[u8], change: impl FnOnce(&mut BundleInfo)) -> Result<Vec<u8>, BundleError> {
        let mut bundle = Self::from_bytes(bytes)?;
        change(&mut bundle.info);
        bundle.info.format_version = BUNDLE_FORMAT;
        bundle.check()?;
        let text =
            serde_json::to_string(&bundle.info).map_err(|e| BundleError::Description(e.to_string()))?;
        Ok(with_text(bytes, &text)?)
    }

    /// The network's layers.
    ///
    /// # Errors
    /// A configuration outside its range.
    pub fn graph(&self) -> Result<Graph, NetError> {
        self.info.net.graph()
    }

    fn check(&self) -> Result<(), BundleError> {
        let graph = self.graph()?;
        let networks = self.networks();
        for network in &networks {
            network.weights.check(&graph)?;
            if let Some(c) = network.int8 {
                check_ranges(c)?;
            }
        }
        let arrays: usize = networks.iter().map(|n| n.weights.tensors.len()).sum();
        if arrays != self.weights.tensors.len() || networks.iter().any(|n| !usable(n.temperature)) {
            return Err(BundleError::Description(format!(
                "{} networks whose weights or temperatures are not all their own",
                networks.len()
            )));
        }
        if let Some(fault) = self.info.prepare.fault() {
            return Err(BundleError::Description(fault));
        }
        graph.shapes(self.info.prepare.size, self.info.prepare.size)?;
        if graph.segments() == (self.info.task == Task::Classify) {
            let found = if graph.segments() { "one value per pixel" } else { "one value per slice" };
            return Err(BundleError::Description(format!(
                "a network of {found} for the task {}",
                self.info.task.name()
            )));
        }
        if !(self.info.threshold > 0.0 && self.info.threshold < 1.0) {
            let found = self.info.threshold;
            return Err(BundleError::Description(format!(
                "threshold {found}, right would be between 0 and 1"
            )));
        }
        let found = self.info.temperature;
        if !usable(found) {
            return Err(BundleError::Description(format!(
                "temperature {found}, right would be {LOWEST_TEMPERATURE} to {HIGHEST_TEMPERATURE}"
            )));
        }
        if let Some(fault) = self.info.clean.fault() {
            return Err(BundleError::Description(format!("clean-up: {fault}")));
        }
        if let Some(area) = &self.info.area {
            if self.info.task != Task::Classify {
                return Err(BundleError::Description(format!(
                    "a weight of the infected area for the task {}, right would be classify",
                    self.info.task.name()
                )));
            }
            if let Some(fault) = area.fault() {
                return Err(BundleError::Description(fault));
            }
        }
        if let Some(interval) = &self.info.interval {
            if self.info.task != Task::Infection {
                return Err(BundleError::Description(format!(
                    "an interval of the infected percentage for the task {}, right would be infection",
                    self.info.task.name()
                )));
            }
            if let Some(fault) = interval.fault() {
                return Err(BundleError::Description(fault));
            }
        }
        Ok(())
    }
}

fn usable(temperature: f32) -> bool {
    (LOWEST_TEMPERATURE..=HIGHEST_TEMPERATURE).contains(&f64::from(temperature))
}

fn check_ranges(c: &Calibration) -> Result<(), BundleError> {
    if c.version <= CALIBRATION_FORMAT && c.ranges.values().flatten().all(|v| v.is_finite()) {
        return Ok(());
    }
    Err(BundleError::Description(format!(
        "int8 calibration of format {}, right would be finite ranges of format {CALIBRATION_FORMAT}",
        c.version
    )))
}

/// Since this format, the clean-up of masks knows doubtful lung.
const DOUBTFUL_FORMAT: u64 = 3;
/// Since this format, it knows means over neighbouring slices.
const REACH_FORMAT: u64 = 5;

/// Puts what bundles of an older format did to masks into today's words.
fn with_former_clean_up(info: &mut serde_json::Value, version: u64) {
    let mut extends = former_settings(info, version);
    for member in info.get_mut("members").and_then(serde_json::Value::as_array_mut).into_iter().flatten() {
        extends |= former_settings(member, version);
    }
    if let Some(info) = info.as_object_mut() {
        let clean = info.entry("clean").or_insert_with(|| serde_json::json!({}));
        former_clean_up(clean, extends, version);
    }
}

/// The same for the settings in a manifest; whether they said that infection extends the lungs everywhere.
fn former_settings(of: &mut serde_json::Value, version: u64) -> bool {
    let settings = of.pointer_mut("/manifest/settings").and_then(serde_json::Value::as_object_mut);
    let Some(settings) = settings else { return false };
    let extends = settings.remove("infection_extends_lung") == Some(true.into());
    let clean = settings.entry("clean").or_insert_with(|| serde_json::json!({}));
    former_clean_up(clean, extends, version);
    extends
}

fn former_clean_up(clean: &mut serde_json::Value, extends: bool, version: u64) {
    let Some(clean) = clean.as_object_mut() else { return };
    if version < DOUBTFUL_FORMAT {
        clean.remove("lung_closing");
        clean.entry("lung_smallest").or_insert_with(|| 0.02.into());
        clean.entry("doubtful_lung").or_insert_with(|| if extends { 0.0 } else { 1.0 }.into());
    }
    clean.insert("infection_reach".into(), 0.0.into());
}

/// Only the version, which any format has.
#[derive(Deserialize)]
struct VersionOnly {
    format_version: u64,
}

/// SHA-256 of names, shapes and values, in the order of names.
pub fn weights_sha256(weights: &Weights) -> String {
    let mut hash = Sha256::new();
    for (name, t) in &weights.tensors {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update((t.shape.len() as u64).to_le_bytes());
        for side in &t.shape {
            hash.update((*side as u64).to_le_bytes());
        }
        for v in &t.values {
            hash.update(v.to_le_bytes());
        }
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
