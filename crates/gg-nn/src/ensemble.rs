//! Several networks in one bundle, whose mean answers: those of a cross-validation's folds, or of several seeds.
//!
//! The logits of each are divided by its own temperature before the mean is taken, so that one that is too sure of
//! itself has no larger say. They see the same picture, so that it is prepared once; each costs its own time, and the
//! memory of one of them at a time.

use crate::bundle::{BUNDLE_FORMAT, Bundle, BundleInfo};
use crate::calibration::Calibration;
use crate::weights::Weights;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Before the number of a network and the name of one of its arrays.
const PREFIX: &str = "networks";

/// All of one network of several but its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Name of the model that it was.
    pub name: String,
    /// Threshold that was picked for it alone.
    pub threshold: f32,
    /// What its logits are divided by.
    pub temperature: f32,
    /// SHA-256 of its weights, as its own bundle had it.
    pub weights_sha256: String,
    /// How it was trained.
    pub manifest: serde_json::Value,
    /// Its scores, with what they were measured on.
    pub scores: serde_json::Value,
    /// Its ranges for prediction in int8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8: Option<Calibration>,
}

/// One network of a bundle, ready for an engine.
pub(crate) struct Network<'a> {
    pub(crate) weights: Cow<'a, Weights>,
    pub(crate) temperature: f32,
    pub(crate) int8: Option<&'a Calibration>,
}

/// Models that cannot answer together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// Fewer than two.
    #[error("found {0} networks, right would be at least two")]
    Few(usize),
    /// They differ where they must not.
    #[error("{first} and {other} differ in {what}; networks that answer together need the same")]
    Differ {
        /// The first model.
        first: String,
        /// The one that differs.
        other: String,
        /// In what.
        what: String,
    },
    /// The same weights twice, which would count twice.
    #[error("{first} and {other} have the same weights; right would be each network once")]
    Twice {
        /// The one.
        first: String,
        /// The other.
        other: String,
    },
    /// A bundle of several networks already, or one that weighs the infected area.
    #[error("{name} holds {found}, right would be {right}")]
    Unfit {
        /// The model.
        name: String,
        /// What it holds.
        found: &'static str,
        /// What it should be.
        right: &'static str,
    },
}

impl Bundle {
    /// The networks, one or several.
    pub(crate) fn networks(&self) -> Vec<Network<'_>> {
        let info = &self.info;
        if info.members.is_empty() {
            let weights = Cow::Borrowed(&self.weights);
            return vec![Network { weights, temperature: 1.0, int8: info.int8.as_ref() }];
        }
        let mut networks = Vec::new();
        for (k, member) in info.members.iter().enumerate() {
            let weights = Cow::Owned(of_member(&self.weights, k));
            networks.push(Network { weights, temperature: member.temperature, int8: member.int8.as_ref() });
        }
        networks
    }
}

impl BundleInfo {
    /// Whether every network has the ranges that int8 needs.
    pub fn has_int8(&self) -> bool {
        if self.members.is_empty() {
            self.int8.is_some()
        } else {
            self.members.iter().all(|m| m.int8.is_some())
        }
    }
}

/// One bundle of several, in the order given: its description, and all weights. The threshold is the median of theirs; an
/// interval, which was that of one network, is left out. `files` says how errors call the models.
///
/// # Errors
/// Models that differ in task, network, preparation, clean-up, postures or labels; the same one twice; one that holds
/// several networks or weighs the infected area.
pub fn join(bundles: &[Bundle], files: &[String], name: &str) -> Result<(BundleInfo, Weights), JoinError> {
    let [first, .., _] = bundles else { return Err(JoinError::Few(bundles.len())) };
    let of = |k: usize| files.get(k).unwrap_or(&bundles[k].info.name).clone();
    for (k, b) in bundles.iter().enumerate() {
        let unfit = |found, right| JoinError::Unfit { name: of(k), found, right };
        if !b.info.members.is_empty() {
            return Err(unfit("several networks", "a bundle of one"));
        }
        if b.info.area.is_some() {
            return Err(unfit("weights of the infected area", "a bundle before `models set-area`"));
        }
        let (a, i) = (&first.info, &b.info);
        let both = |a: String, b: String| if a == b { String::new() } else { format!(" ({a} and {b})") };
        let pixels = |i: &BundleInfo| format!("{} pixels", i.prepare.size);
        let same = [
            ("their task", a.task == i.task, both(a.task.name().into(), i.task.name().into())),
            ("their network", a.net == i.net, both(a.net.summary(), i.net.summary())),
            ("how slices are prepared", a.prepare == i.prepare, both(pixels(a), pixels(i))),
            ("the clean-up of masks", a.clean == i.clean, String::new()),
            ("the posture that slices are looked at in besides", a.mirror == i.mirror, String::new()),
            ("what their labels mean", a.labels == i.labels, String::new()),
        ];
        if let Some((what, _, which)) = same.into_iter().find(|(_, same, _)| !same) {
            let what = format!("{what}{which}");
            return Err(JoinError::Differ { first: of(0), other: of(k), what });
        }
        if let Some(twin) = bundles[..k].iter().position(|t| t.info.weights_sha256 == i.weights_sha256) {
            return Err(JoinError::Twice { first: of(twin), other: of(k) });
        }
    }
    let mut weights = Weights::default();
    for (k, bundle) in bundles.iter().enumerate() {
        let named =
            bundle.weights.tensors.iter().map(|(name, t)| (format!("{PREFIX}.{k}.{name}"), t.clone()));
        weights.tensors.extend(named);
    }
    let thresholds: Vec<f64> = bundles.iter().map(|b| f64::from(b.info.threshold)).collect();
    let mut licences: Vec<&str> = Vec::new();
    for bundle in bundles {
        if !licences.contains(&bundle.info.licence.as_str()) {
            licences.push(&bundle.info.licence);
        }
    }
    let info = BundleInfo {
        format_version: BUNDLE_FORMAT,
        name: name.to_owned(),
        threshold: gg_eval::median(thresholds).map_or(first.info.threshold, |t| t as f32),
        temperature: 1.0,
        threshold_folds: None,
        interval: None,
        members: bundles.iter().map(member).collect(),
        manifest: serde_json::Value::Null,
        scores: serde_json::Value::Null,
        licence: licences.join("; "),
        int8: None,
        ..first.info.clone()
    };
    Ok((info, weights))
}

fn member(bundle: &Bundle) -> Member {
    let info = bundle.info.clone();
    Member {
        name: info.name,
        threshold: info.threshold,
        temperature: info.temperature,
        weights_sha256: info.weights_sha256,
        manifest: info.manifest,
        scores: info.scores,
        int8: info.int8,
    }
}

/// The arrays of one network, by their own names.
fn of_member(weights: &Weights, member: usize) -> Weights {
    let prefix = format!("{PREFIX}.{member}.");
    let own = |(name, t): (&String, &_)| Some((name.strip_prefix(&prefix)?.to_owned(), Clone::clone(t)));
    Weights { tensors: weights.tensors.iter().filter_map(own).collect() }
}
