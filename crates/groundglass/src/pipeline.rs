//! From a CT in memory to masks on its own grid: prepare, predict, restore. What `analyze` and `evaluate` share.
//!
//! # Memory
//! Beside the CT there are the two masks (one byte a voxel each), the prepared slices (`size * size` bytes a slice)
//! and a few slices of probabilities; nothing else grows with the volume.

use crate::interrupt::Interrupt;
use crate::manifest;
use anyhow::{Result, bail};
use gg_dataset::Task;
use gg_imaging::{Connectivity, DropReason, PrepareConfig, Prepared};
use gg_nn::{Bundle, Predictor};
use gg_volume::{AxisMap, CtVolume, LabelVolume, Volume, Warning};
use std::path::Path;

/// Slices that go through a network at once; more gain nothing and cost memory.
const BATCH: usize = 8;

/// A bundle, ready to predict.
pub(crate) struct Model {
    pub(crate) bundle: Bundle,
    pub(crate) sha256: String,
    predictor: Predictor,
}

/// At most one model per task.
#[derive(Default)]
pub(crate) struct Models {
    pub(crate) classify: Option<Model>,
    pub(crate) lung: Option<Model>,
    pub(crate) infection: Option<Model>,
}

/// What the networks found in one CT.
pub(crate) struct Findings {
    /// Lungs on the stored grid: 1 right, 2 left, or 1 where sides are unknown; `None` without a lung model.
    pub(crate) lung: Option<LabelVolume>,
    /// Infection on the stored grid, inside the lungs where there is a lung model.
    pub(crate) infection: Option<LabelVolume>,
    /// One entry per canonical slice, feet first.
    pub(crate) slices: Vec<SliceFinding>,
    pub(crate) warnings: Vec<Warning>,
}

/// One canonical slice.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SliceFinding {
    /// Why the networks did not see it.
    pub(crate) dropped: Option<String>,
    /// Whether the lung region was found; where not, the whole slice was used.
    pub(crate) roi_found: bool,
    /// Probability that it shows infection.
    pub(crate) probability: Option<f32>,
    pub(crate) lung_voxels: usize,
    pub(crate) infected_voxels: usize,
}

impl Model {
    /// Name of what computes, for manifests.
    pub(crate) fn engine(&self) -> &str {
        self.predictor.engine_name()
    }
}

impl Models {
    /// Puts a bundle in its task's place; a second one for the same task is refused.
    pub(crate) fn add(&mut self, bundle: Bundle, sha256: String) -> Result<()> {
        let place = match bundle.info.task {
            Task::Classify => &mut self.classify,
            Task::Lung => &mut self.lung,
            Task::Infection => &mut self.infection,
        };
        if place.is_some() {
            bail!("two models for the task `{}`; one is needed", bundle.info.task.name());
        }
        let channels = bundle.graph()?.in_channels();
        if channels != 1 {
            bail!(
                "the model takes {channels} neighbouring slices at once; prediction takes networks of 1 so far"
            );
        }
        let predictor = Predictor::load(&bundle)?;
        *place = Some(Model { bundle, sha256, predictor });
        Ok(())
    }

    /// Whether there is a model for the task.
    pub(crate) fn has(&self, task: Task) -> bool {
        match task {
            Task::Classify => self.classify.is_some(),
            Task::Lung => self.lung.is_some(),
            Task::Infection => self.infection.is_some(),
        }
    }

    pub(crate) fn add_file(&mut self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(path)?;
        self.add(Bundle::from_bytes(&bytes)?, manifest::sha256(&bytes))
    }

    /// All models there are, in a fixed order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Model> {
        [&self.lung, &self.infection, &self.classify].into_iter().flatten()
    }
}

/// Runs every model on one CT. `sides` is the way from stored to canonical axes, where the orientation is known.
/// Ends with an error soon after `stop` was asked for.
pub(crate) fn run(
    models: &mut Models,
    ct: &CtVolume,
    sides: Option<AxisMap>,
    stop: &Interrupt,
) -> Result<Findings> {
    let map = sides.unwrap_or(AxisMap::IDENTITY);
    let canonical = map.canonical_shape(ct.voxels.shape());
    let mut prepared = Shared::default();
    let mut found = Findings {
        lung: None,
        infection: None,
        slices: vec![SliceFinding { roi_found: true, ..SliceFinding::default() }; canonical[0]],
        warnings: Vec::new(),
    };
    if let Some(model) = &mut models.lung {
        let input = prepared.get(ct, &map, &model.bundle.info.prepare, &mut found)?;
        let all = vec![true; canonical[0]];
        let mask = segment(model, input, &map, ct.voxels.shape(), &all, stop)?;
        let mask = without_islands(mask);
        found.lung = Some(match sides {
            Some(map) => gg_imaging::split_lungs(&mask, &map),
            None => mask,
        });
    }
    if let Some(lung) = &found.lung {
        let counts = count_slices(lung, &map);
        found.slices.iter_mut().zip(counts).for_each(|(s, n)| s.lung_voxels = n);
    }
    if let Some(model) = &mut models.infection {
        let wanted: Vec<bool> =
            found.slices.iter().map(|s| found.lung.is_none() || s.lung_voxels > 0).collect();
        let input = prepared.get(ct, &map, &model.bundle.info.prepare, &mut found)?;
        let mut mask = segment(model, input, &map, ct.voxels.shape(), &wanted, stop)?;
        if let Some(lung) = &found.lung {
            mask.data_mut().iter_mut().zip(lung.data()).for_each(|(m, &l)| *m &= u8::from(l != 0));
        }
        let counts = count_slices(&mask, &map);
        found.slices.iter_mut().zip(counts).for_each(|(s, n)| s.infected_voxels = n);
        found.infection = Some(mask);
    }
    if let Some(model) = &mut models.classify {
        let input = prepared.get(ct, &map, &model.bundle.info.prepare, &mut found)?;
        for (images, ways) in input.images.chunks(BATCH).zip(input.ways.chunks(BATCH)) {
            stop.check()?;
            let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
            for (probability, way) in model.predictor.predict_slices(&images)?.iter().zip(ways) {
                found.slices[way.z].probability = probability.first().copied();
            }
        }
    }
    Ok(found)
}

/// The prepared slices, made once for all models that were trained on the same preparation.
#[derive(Default)]
struct Shared {
    made: Option<(PrepareConfig, Prepared)>,
}

impl Shared {
    fn get(
        &mut self,
        ct: &CtVolume,
        map: &AxisMap,
        config: &PrepareConfig,
        found: &mut Findings,
    ) -> Result<&Prepared> {
        if self.made.as_ref().is_none_or(|(c, _)| c != config) {
            self.made = None; // the old slices go before the new ones come
            let first = found.warnings.is_empty();
            let mut warnings = Vec::new();
            let prepared = gg_imaging::prepare(ct, map, config).drain_into(&mut warnings);
            warnings.retain(|w| first || !found.warnings.contains(w));
            found.warnings.extend(warnings);
            for (z, reason) in &prepared.dropped {
                found.slices[*z].dropped = Some(drop_reason(*reason).to_owned());
            }
            for way in &prepared.ways {
                found.slices[way.z].roi_found &= way.roi_found;
            }
            self.made = Some((config.clone(), prepared));
        }
        match &self.made {
            Some((_, prepared)) => Ok(prepared),
            None => bail!("nothing was prepared"),
        }
    }
}

/// Predicts the wanted slices and puts them back on the stored grid.
fn segment(
    model: &mut Model,
    input: &Prepared,
    map: &AxisMap,
    shape: [usize; 3],
    wanted: &[bool],
    stop: &Interrupt,
) -> Result<LabelVolume> {
    let mut mask = Volume::filled(shape, 0u8);
    let chosen: Vec<usize> = (0..input.ways.len()).filter(|&i| wanted[input.ways[i].z]).collect();
    let threshold = model.bundle.info.threshold;
    for batch in chosen.chunks(BATCH) {
        stop.check()?;
        let images: Vec<&[u8]> = batch.iter().map(|&i| input.images[i].as_slice()).collect();
        for (probabilities, &i) in model.predictor.predict_slices(&images)?.iter().zip(batch) {
            let way = &input.ways[i];
            let full = gg_imaging::restore_probabilities_slice(probabilities, way);
            let labels: Vec<u8> = full.iter().map(|&p| u8::from(p >= threshold)).collect();
            map.write_slice(&mut mask, way.z, &labels);
        }
    }
    Ok(mask)
}

/// The lungs without specks: pieces much smaller than the largest one go, closed holes are filled.
fn without_islands(mask: LabelVolume) -> LabelVolume {
    let components = gg_imaging::label_3d(&mask, Connectivity::Corners);
    let largest = components.list.iter().map(|c| c.voxels).max().unwrap_or(0);
    let least = (largest as f64 * SPECK) as usize;
    let kept: Vec<bool> = components.list.iter().map(|c| c.voxels >= least.max(1)).collect();
    let lungs = components.paint_volume(|k| u8::from(kept[k]));
    drop((mask, components)); // a byte a voxel, before the next one is taken
    gg_imaging::fill_holes_3d(&lungs)
}

/// A piece below this share of the largest one is no lung.
const SPECK: f64 = 0.02;

/// Why a slice was not used, in words.
pub(crate) fn drop_reason(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Trimmed => "in the share trimmed from both ends",
    }
}

/// Foreground voxels of each canonical slice.
fn count_slices(labels: &LabelVolume, map: &AxisMap) -> Vec<usize> {
    let [nz, ny, nx] = map.canonical_shape(labels.shape());
    let mut slice = vec![0u8; ny * nx];
    (0..nz)
        .map(|z| {
            map.read_slice(labels, z, &mut slice);
            slice.iter().filter(|&&v| v != 0).count()
        })
        .collect()
}
