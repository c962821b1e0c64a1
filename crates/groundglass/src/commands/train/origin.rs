//! The trained models that a training begins with or learns from: which are refused, and whom they knew.

use super::bundle::labels;
use crate::failure::Usage;
use crate::manifest::{Known, Training};
use crate::model_file;
use crate::scoring::Question;
use crate::settings::Settings;
use anyhow::{Result, bail};
use gg_dataset::{Parts, Task};
use gg_nn::net::{Block, NetConfig};
use gg_nn::{Bundle, Loss};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The models of one training, with what was given for each.
pub(super) struct Origins {
    pub(super) init: Option<(PathBuf, Bundle)>,
    pub(super) teachers: Vec<(PathBuf, Bundle)>,
}

impl Origins {
    /// Reads them, and refuses what cannot be begun with or learned from, whatever the data are.
    pub(super) fn read(
        init: Option<&Path>,
        teachers: &[PathBuf],
        (task, question): (Task, Question),
        settings: &Settings,
    ) -> Result<Self> {
        let init =
            init.map(|path| Ok::<_, anyhow::Error>((path.to_owned(), model_file::read_single(path)?.0)));
        let teacher = |path: &PathBuf| {
            let (bundle, _) = model_file::read(path)?;
            can_teach(&bundle, path, (task, question), settings)?;
            Ok((path.clone(), bundle))
        };
        let teachers: Vec<(PathBuf, Bundle)> = teachers.iter().map(teacher).collect::<Result<_>>()?;
        refuse_twice(&teachers)?;
        Ok(Self { init: init.transpose()?, teachers })
    }

    fn all(&self) -> impl Iterator<Item = &(PathBuf, Bundle)> {
        self.init.iter().chain(&self.teachers)
    }

    /// Whether there are none.
    pub(super) fn none(&self) -> bool {
        self.all().next().is_none()
    }

    /// Refuses each that knows one of the cases held out, given with the hashes of their files.
    pub(super) fn refuse_held_out<'a>(
        &self,
        held_out: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<()> {
        self.all().try_for_each(|(path, bundle)| {
            let scans = held_out.clone().map(|(patient, scan)| (patient, Some(scan)));
            refuse_held_out(bundle, path, scans)
        })
    }

    /// Remarks on models that do not say whom their own forerunners knew.
    pub(super) fn remarks(&self) -> Vec<String> {
        let silent = |(_, bundle): &&(PathBuf, Bundle)| {
            Training::all_of(&bundle.info).iter().any(|t| t.init_sha256.is_some() && t.forerunners.is_none())
        };
        let remark = |(path, _): &(PathBuf, Bundle)| {
            format!(
                "{} began with a model of which it does not say whom that was trained on (bundles say it since this version): a held-out \
                 patient whom only that one knew would go unnoticed",
                path.display()
            )
        };
        self.all().filter(silent).map(remark).collect()
    }

    /// Whom they and their own forerunners knew beside those whom this training knows by itself; `None` where there are no
    /// models.
    pub(super) fn forerunners(&self, own: &Known) -> Option<Vec<Known>> {
        if self.none() {
            return None;
        }
        let mut kept: Vec<Known> = Vec::new();
        for training in self.all().flat_map(|(_, bundle)| Training::all_of(&bundle.info)) {
            for known in training.all_known() {
                let of_own = |scan: &String| own.train_scans.contains(scan) || own.val_scans.contains(scan);
                let covered = !known.train_scans.is_empty()
                    && known.train_scans.is_subset(&own.train_scans)
                    && known.val_scans.iter().all(of_own);
                if !covered && !kept.contains(known) {
                    kept.push(known.clone());
                }
            }
        }
        Some(kept)
    }
}

/// An error where one model is given twice, so that it would count twice.
pub(in super::super) fn refuse_twice(teachers: &[(PathBuf, Bundle)]) -> Result<()> {
    for (k, (path, bundle)) in teachers.iter().enumerate() {
        let same = |(_, other): &&(PathBuf, Bundle)| other.info.weights_sha256 == bundle.info.weights_sha256;
        if let Some((first, _)) = teachers[..k].iter().find(same) {
            let (first, path) = (first.display(), path.display());
            return Err(Usage(format!(
                "{first} and {path} have the same weights, which would count twice; right would be each --teacher once"
            ))
            .into());
        }
    }
    Ok(())
}

/// Whether a model can teach a network with these settings: for the same task and labels, from pictures prepared alike.
pub(in super::super) fn can_teach(
    bundle: &Bundle,
    path: &Path,
    (task, question): (Task, Question),
    settings: &Settings,
) -> Result<()> {
    let (info, path) = (&bundle.info, path.display());
    if info.task != task {
        let (found, right) = (info.task.name(), task.name());
        bail!("{path}: found a network for the task {found}, right to learn from would be one for {right}");
    }
    if info.labels != labels(task, question) {
        let ours = labels(task, question).remove("1").unwrap_or_default();
        let theirs = info.labels.get("1").cloned().unwrap_or_default();
        bail!(
            "{path}: its label 1 is `{theirs}`, right to learn from would be a model whose label 1 is `{ours}`"
        );
    }
    if info.area.is_some() {
        bail!(
            "{path}: weighs the infected area beside its network, right to learn from would be a bundle before `models set-area`"
        );
    }
    let of = settings.task(task);
    let (theirs, ours) = (info.net.graph()?.in_channels(), of.network.graph()?.in_channels());
    if theirs != ours {
        bail!(
            "{path}: sees {theirs} slices at once, right to learn from would be a model that sees {ours} as this network \
             (`{}.network.in_channels`)",
            task.name()
        );
    }
    if let Some((key, theirs, ours)) = other_preparation(bundle, settings)? {
        bail!(
            "{path}: was trained on slices with `prepare.{key}` = {theirs}, right to learn from would be a model with {ours}, as this \
             training has it"
        );
    }
    if of.train.teacher_share == 0.0 {
        return Err(Usage(format!(
            "{}.train.teacher_share: found 0, so that nothing would be learned from {path}; right beside --teacher would be above 0",
            task.name()
        ))
        .into());
    }
    if matches!(of.train.loss, Loss::Focal { .. }) {
        return Err(Usage(format!(
            "{}.train.loss: found the focal loss, which knows no shares of truth; right beside --teacher would be another loss",
            task.name()
        ))
        .into());
    }
    Ok(())
}

/// The first key of the preparation in which a model and the settings differ, with both values.
fn other_preparation(bundle: &Bundle, settings: &Settings) -> Result<Option<(String, String, String)>> {
    let (theirs, ours) = (&bundle.info.prepare, &settings.prepare);
    if theirs == ours {
        return Ok(None);
    }
    let (theirs, ours) = (serde_json::to_value(theirs)?, serde_json::to_value(ours)?);
    Ok(first_difference("", &theirs, &ours))
}

fn first_difference(
    key: &str,
    a: &serde_json::Value,
    b: &serde_json::Value,
) -> Option<(String, String, String)> {
    if let (Some(of_a), Some(of_b)) = (a.as_object(), b.as_object()) {
        let none = serde_json::Value::Null;
        let keys: BTreeSet<&String> = of_a.keys().chain(of_b.keys()).collect();
        return keys.into_iter().find_map(|k| {
            let whole = if key.is_empty() { k.clone() } else { format!("{key}.{k}") };
            first_difference(&whole, of_a.get(k).unwrap_or(&none), of_b.get(k).unwrap_or(&none))
        });
    }
    let words = |v: &serde_json::Value| if v.is_null() { "none".to_owned() } else { v.to_string() };
    (a != b).then(|| (key.to_owned(), words(a), words(b)))
}

/// An error where a model, or one that it came from, knows a patient who is held out, or does not say whom it knows:
/// every score of a training with it would be worthless. Of each held-out case the patient, and the hash of its files
/// where that is known.
pub(in super::super) fn refuse_held_out<'a>(
    bundle: &Bundle,
    path: &Path,
    held_out: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Result<()> {
    let trainings = Training::all_of(&bundle.info);
    if trainings.len() != bundle.info.members.len().max(1) {
        bail!(
            "{} does not say which patients it was trained on, so that it cannot be told whether one of them is held out \
             here; a bundle that `groundglass train` wrote says it",
            path.display()
        );
    }
    let (mut same, mut named) = (0, 0);
    for (patient, scan) in held_out {
        if scan.is_some_and(|scan| trainings.iter().any(|t| t.knows_scan(scan))) {
            same += 1;
        } else if trainings.iter().any(|t| t.knows_patient(patient)) {
            named += 1;
        }
    }
    let what = match (same, named) {
        (0, 0) => return Ok(()),
        (n, 0) => format!("{n} of the cases"),
        (0, n) => format!("patients of the names of {n} of the cases"),
        (n, m) => format!("{n} of the cases, and patients of the names of {m} others,"),
    };
    bail!(
        "{} was trained on {what} that are held out here for validation or test, so that scores on them \
         would mean nothing; a bundle trained with the same split and fold would be right",
        path.display()
    )
}

/// The cases that are held out for validation or test.
pub(in super::super) fn held_out(parts: &Parts) -> BTreeSet<&str> {
    parts.val().into_iter().chain(parts.test()).collect()
}

/// How much of a model's weights a training begins with, as a sentence.
pub(in super::super) fn taken_over(bundle: &Bundle, path: &Path, network: &NetConfig) -> Result<String> {
    let graph = network.graph()?;
    let (taken, all) = (bundle.weights.shared_with(&graph), graph.params.len());
    if taken == 0 {
        bail!(
            "no layer of {} has the name and shapes of one of this network's, so that nothing would begin with it; the \
             bundle of a network of the same kind and widths would be right",
            path.display()
        );
    }
    if bundle.info.net.block() == Some(Block::Residual) && network.block() == Some(Block::Plain) {
        bail!(
            "{} has residual blocks and this network plain ones, so that its convolutions would lose what is added to \
             them; `block = \"residual\"` in the network's settings would be right",
            path.display()
        );
    }
    let rest = if taken == all { "" } else { "; layers that are not there in these shapes are drawn anew" };
    Ok(format!("first weights: {taken} of the network's {all} arrays from {}{rest}", path.display()))
}
