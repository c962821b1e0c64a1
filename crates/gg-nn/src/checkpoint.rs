//! State of a training run on disk: one safetensors file `checkpoint.safetensors` (weights, moments, average; counters
//! and sums as JSON in its metadata) and the best weights so far in `best.safetensors`. Each is replaced whole, so that
//! an interrupted write leaves the former one.
//!
//! JSON numbers come back to the bit, so that a resumed run ends in the bytes of an uninterrupted one.

use crate::net::Graph;
use crate::optim::Adam;
use crate::schedule::Progress;
use crate::scoring::Sums;
use crate::store::{Decoded, Precision, StoreError, decode, encode, named, write_whole};
use crate::train::{EpochRow, TrainError};
use crate::weights::{Tensor, Weights, WeightsError};
use serde::{Deserialize, Serialize};
use std::path::Path;

const CHECKPOINT_FILE: &str = "checkpoint.safetensors";
const BEST_FILE: &str = "best.safetensors";
const FORMAT: u32 = 2;

/// The text in the file of the best weights, which says nothing.
pub(crate) const BEST_TEXT: &str = "{}";

/// Counters, sums and history of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    pub(crate) format_version: u32,
    /// Everything that must be the same when the run is resumed.
    pub(crate) run: serde_json::Value,
    /// Epochs finished, validation included.
    pub(crate) epoch: u64,
    /// Steps of the unfinished epoch.
    pub(crate) step_in_epoch: u64,
    /// Steps from the start.
    pub(crate) step: u64,
    pub(crate) sums: Sums,
    pub(crate) plateau: Progress,
    pub(crate) stopping: Progress,
    pub(crate) best_value: Option<f64>,
    pub(crate) best_epoch: u64,
    pub(crate) done: bool,
    pub(crate) rows: Vec<EpochRow>,
}

/// A run between two steps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checkpoint {
    pub(crate) state: State,
    pub(crate) weights: Weights,
    pub(crate) adam: Adam,
    pub(crate) average: Option<Weights>,
}

impl Checkpoint {
    /// Before the first step.
    pub(crate) fn start(graph: &Graph, weights: Weights, averaged: bool, run: serde_json::Value) -> Self {
        let state = State {
            format_version: FORMAT,
            run,
            epoch: 0,
            step_in_epoch: 0,
            step: 0,
            sums: Sums::default(),
            plateau: Progress::default(),
            stopping: Progress::default(),
            best_value: None,
            best_epoch: 0,
            done: false,
            rows: vec![],
        };
        let average = averaged.then(|| weights.clone());
        Self { state, adam: Adam::new(graph), average, weights }
    }

    /// Replaces the checkpoint in a folder.
    pub(crate) fn save(&self, dir: &Path) -> Result<(), StoreError> {
        let parts = [("w", Some(&self.weights)), ("m", Some(&self.adam.m)), ("v", Some(&self.adam.v))];
        let parts = parts.into_iter().chain([("a", self.average.as_ref())]);
        let all = parts.flat_map(|(prefix, part)| {
            part.into_iter().flat_map(named).map(move |(name, t)| (format!("{prefix}.{name}"), t))
        });
        let text = serde_json::to_string(&self.state).map_err(|e| StoreError::Format(e.to_string()))?;
        write_whole(&dir.join(CHECKPOINT_FILE), &encode(all, Precision::F32, &text)?)
    }

    /// The checkpoint in a folder, `None` where there is none.
    pub(crate) fn load(dir: &Path, graph: &Graph, averaged: bool) -> Result<Option<Self>, TrainError> {
        let bytes = match std::fs::read(dir.join(CHECKPOINT_FILE)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::from(e).into()),
        };
        let unusable = |e: StoreError| TrainError::Checkpoint(format!("{CHECKPOINT_FILE}: {e}"));
        let Decoded { weights: all, text, sealed } = decode(&bytes).map_err(unusable)?;
        if !sealed {
            return Err(unusable(StoreError::Hash));
        }
        let state: State = serde_json::from_str(&text).map_err(|e| TrainError::Checkpoint(e.to_string()))?;
        if state.format_version != FORMAT {
            return Err(TrainError::Checkpoint(format!(
                "format {}, this program resumes {FORMAT}",
                state.format_version
            )));
        }
        let part = |prefix: &str| {
            let strip =
                |(name, t): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_string(), t.clone()));
            Weights { tensors: all.tensors.iter().filter_map(strip).collect() }
        };
        let (weights, m, v) = (part("w."), part("m."), part("v."));
        weights.check(graph)?;
        for moments in [&m, &v] {
            check_moments(moments, graph)?;
        }
        let average = averaged.then(|| part("a."));
        if let Some(average) = &average {
            average.check(graph)?;
        }
        let adam = Adam { steps: state.step, m, v };
        Ok(Some(Self { state, weights, adam, average }))
    }
}

fn check_moments(moments: &Weights, graph: &Graph) -> Result<(), WeightsError> {
    for p in graph.params.iter().filter(|p| p.trained()) {
        match moments.tensors.get(&p.name) {
            Some(t) if t.shape == p.shape => {}
            Some(t) => {
                let (name, found, right) = (p.name.clone(), t.shape.clone(), p.shape.clone());
                return Err(WeightsError::Shape { name, found, right });
            }
            None => return Err(WeightsError::Missing { name: p.name.clone(), shape: p.shape.clone() }),
        }
    }
    Ok(())
}

/// Replaces the best weights in a folder.
pub(crate) fn save_best(dir: &Path, weights: &Weights) -> Result<(), StoreError> {
    write_whole(&dir.join(BEST_FILE), &encode(named(weights), Precision::F32, BEST_TEXT)?)
}

/// The best weights in a folder.
pub(crate) fn load_best(dir: &Path, graph: &Graph) -> Result<Weights, TrainError> {
    let bytes = std::fs::read(dir.join(BEST_FILE)).map_err(StoreError::from)?;
    let unusable = |e: StoreError| TrainError::Checkpoint(format!("{BEST_FILE}: {e}"));
    let Decoded { weights, sealed, .. } = decode(&bytes).map_err(unusable)?;
    if !sealed {
        return Err(unusable(StoreError::Hash));
    }
    weights.check(graph)?;
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{NetConfig, UnetConfig};

    #[test]
    fn a_run_is_not_resumed_from_damaged_files() {
        let dir = tempfile::tempdir().unwrap();
        let net = NetConfig::Unet(UnetConfig { base: 2, levels: 2, ..UnetConfig::default() });
        let (graph, weights) = (net.graph().unwrap(), Weights::init(&net, 1).unwrap());
        let start = Checkpoint::start(&graph, weights.clone(), true, serde_json::json!({ "seed": 1 }));
        start.save(dir.path()).unwrap();
        save_best(dir.path(), &weights).unwrap();
        assert_eq!(Checkpoint::load(dir.path(), &graph, true).unwrap(), Some(start));
        assert_eq!(load_best(dir.path(), &graph).unwrap(), weights);
        for name in [CHECKPOINT_FILE, BEST_FILE] {
            let path = dir.path().join(name);
            let good = std::fs::read(&path).unwrap();
            let key = good.windows(11).position(|w| w == b"file_sha256").unwrap();
            for at in [key, key + 20, good.len() - 1] {
                let mut bent = good.clone();
                bent[at] ^= 1;
                std::fs::write(&path, bent).unwrap();
                let error = match name {
                    CHECKPOINT_FILE => Checkpoint::load(dir.path(), &graph, true).map(drop).unwrap_err(),
                    _ => load_best(dir.path(), &graph).map(drop).unwrap_err(),
                };
                assert!(error.to_string().contains("damaged or changed"), "{name}, byte {at}: {error}");
            }
            std::fs::write(&path, good).unwrap();
        }
    }
}
