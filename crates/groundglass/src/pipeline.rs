//! From a CT in memory to masks on its own grid: prepare, predict, restore. What `analyze` and `evaluate` share.
//!
//! # Memory
//! Beside the CT there are the two masks (one byte a voxel each), the prepared slices (`size * size` bytes a slice) and
//! a few slices of probabilities, and where the lungs begin and end in each row (8 bytes a run); nothing else grows
//! with the volume.

mod agree;
mod near;
mod prepared;
mod segment;

use crate::interrupt::Interrupt;
use crate::manifest::{self, Compute, ModelUsed};
use crate::model_file;
use agree::{Doubtful, agree, count_slices};
use anyhow::{Context as _, Result, bail};
use gg_dataset::Task;
use gg_eval::AreaFit;
use gg_imaging::{DropReason, PrepareConfig, Prepared};
use gg_nn::engine::{Arithmetic, Precision, Processor};
use gg_nn::{Bundle, Predictor};
use gg_volume::{AxisMap, CtVolume, LabelVolume, Warned, Warning};
use prepared::Shared;
pub(crate) use segment::picture;
use segment::{Place, Progress, SeeSlice, classify, segment};
use std::path::PathBuf;
use std::time::Instant;

/// Batches that go through a network at once, where there are as many threads. Within a batch all threads wait for each
/// other at each layer; with two of them one goes on meanwhile. More would cost the memory of their layers.
const STREAMS: usize = 2;

/// Probability of a classifier whose network is not asked.
const UNDECIDED: f32 = 0.5;

/// A bundle, ready to predict.
pub(crate) struct Model {
    pub(crate) bundle: Bundle,
    pub(crate) sha256: String,
    /// Whether it is the model in the box for its task.
    in_box: bool,
    /// Several of the same, each for its own slices.
    predictors: Vec<Predictor>,
}

/// At most one model per task.
pub(crate) struct Models {
    on: Processor,
    /// Whether a model that can computes in int8 instead, where that is fast.
    or_int8: bool,
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
    pub(crate) secs: RunSecs,
}

/// Probabilities of one canonical slice, as a network gave them.
pub(crate) struct Seen<'a> {
    pub(crate) task: Task,
    pub(crate) z: usize,
    pub(crate) probabilities: &'a [f32],
    /// Where they count: inside the lungs as their network found them, for infection where there is a lung model.
    pub(crate) inside: Option<&'a [u8]>,
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

impl Findings {
    /// What becomes of a classifier's probabilities by the masks: where there is no lung, none is infected, whatever the
    /// classifier makes of the abdomen or the neck, and the infected area has its say where the bundle gives it one.
    pub(crate) fn weighed(&self, fit: Option<&AreaFit>) -> impl Fn(usize, f32) -> f32 {
        let largest = self.slices.iter().map(|s| s.lung_voxels).max().unwrap_or(0).max(1);
        let areas: Vec<f64> = self.slices.iter().map(|s| s.infected_voxels as f64 / largest as f64).collect();
        let with_lung = self.slices.iter().filter(|s| s.lung_voxels > 0).count();
        let areas = fit.map(|fit| fit.areas(&areas, with_lung));
        move |z, probability| match fit.zip(areas.as_ref()) {
            _ if self.slices[z].lung_voxels == 0 => 0.0,
            Some((fit, areas)) => fit.probability(probability, areas[z]),
            None => probability,
        }
    }

    /// Puts that into the slices.
    fn weigh(&mut self, fit: Option<&AreaFit>) {
        let area_alone = fit.is_some_and(|fit| !fit.asks_network());
        let weighed = self.weighed(fit);
        let network = |s: &SliceFinding| match s.dropped {
            None if area_alone => Some(UNDECIDED),
            _ => s.probability,
        };
        let all: Vec<Option<f32>> =
            self.slices.iter().enumerate().map(|(z, s)| network(s).map(|p| weighed(z, p))).collect();
        drop(weighed);
        self.slices.iter_mut().zip(all).for_each(|(s, p)| s.probability = p);
    }

    /// Takes the classifier's answers over.
    fn put(&mut self, probabilities: Vec<(usize, Option<f32>)>) {
        for (z, probability) in probabilities {
            self.slices[z].probability = probability;
        }
    }
}

impl Model {
    /// What computes; nothing does for a network that is not asked.
    fn compute(&self) -> Option<Compute> {
        let predictor = self.predictors.first()?;
        Some(Compute::new(predictor.engine_name(), predictor.arithmetic()))
    }

    /// Whether its network is asked: not that of a classifier for which the infected area alone counts.
    fn is_asked(&self) -> bool {
        is_asked(&self.bundle)
    }
}

/// Whether its probabilities become means over neighbouring slices before they are calibrated: those of infection,
/// where asked for.
fn averages(bundle: &Bundle) -> bool {
    bundle.info.task == Task::Infection && bundle.info.clean.infection_reach > 0.0
}

fn is_asked(bundle: &Bundle) -> bool {
    bundle.info.area.as_ref().is_none_or(AreaFit::asks_network)
}

impl Models {
    /// None yet; those that come will compute like this.
    pub(crate) fn new(on: impl Into<Processor>) -> Self {
        Self { on: on.into(), or_int8: false, classify: None, lung: None, infection: None }
    }

    /// What computes, for manifests; all of it, where models differ.
    pub(crate) fn compute(&self) -> Compute {
        let mut all = self.all().filter_map(Model::compute);
        let Some(mut compute) = all.next() else { return Compute::new("none", self.on.arithmetic) };
        all.for_each(|other| compute.add(&other));
        compute
    }

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
        if channels.is_multiple_of(2) {
            bail!(
                "the network takes {channels} slices at once; right would be an odd number, the predicted one in the middle"
            );
        }
        let Arithmetic { isa, .. } = self.on.arithmetic;
        let on_cpu = self.on.gpu.is_none();
        let in_bytes = self.or_int8 && on_cpu && isa.has_vnni() && bundle.info.has_int8();
        let on =
            if in_bytes { Arithmetic { isa, precision: Precision::Int8 }.into() } else { self.on.clone() };
        let streams = if !is_asked(&bundle) {
            0
        } else if on.gpu.is_none() {
            STREAMS.min(rayon::current_num_threads())
        } else {
            1
        };
        let mut predictors = Predictor::load_several(&bundle, on, streams)?;
        if averages(&bundle) {
            predictors = predictors.into_iter().map(Predictor::uncalibrated).collect();
        }
        *place = Some(Model { bundle, sha256, in_box: false, predictors });
        Ok(())
    }

    /// Whether there is a model for the task.
    pub(crate) fn has(&self, task: Task) -> bool {
        self.of(task).is_some()
    }

    fn of(&self, task: Task) -> Option<&Model> {
        match task {
            Task::Classify => self.classify.as_ref(),
            Task::Lung => self.lung.as_ref(),
            Task::Infection => self.infection.as_ref(),
        }
    }

    /// Tells the models of these hashes from others: they are those in the box.
    pub(crate) fn mark_in_box(&mut self, hashes: &[String]) {
        let all = [&mut self.classify, &mut self.lung, &mut self.infection];
        all.into_iter().flatten().for_each(|m| m.in_box = hashes.contains(&m.sha256));
    }

    /// Whether the model for a task is that in the box.
    pub(crate) fn is_in_box(&self, task: Task) -> bool {
        self.of(task).is_some_and(|m| m.in_box)
    }

    /// Refuses a classifier that weighs the infected area without the models that measure it.
    pub(crate) fn check_company(&self) -> Result<()> {
        let Some(model) = self.classify.iter().find(|m| m.bundle.info.area.is_some()) else { return Ok(()) };
        let missing = match (&self.lung, &self.infection) {
            (Some(_), Some(_)) => return Ok(()),
            (None, Some(_)) => "a lung model",
            (Some(_), None) => "an infection model",
            (None, None) => "a lung and an infection model",
        };
        bail!(
            "the model `{}` weighs the infected area of each slice too; right would be {missing} beside it",
            model.bundle.info.name
        )
    }

    /// Loads the bundles that `--model` names. `or_int8`: nobody chose the precision, so that models with a calibration may
    /// compute in int8, if on the CPU.
    pub(crate) fn open(paths: &[PathBuf], on: Processor, or_int8: bool) -> Result<Self> {
        let mut models = Self { or_int8, ..Self::new(on) };
        for path in paths {
            let (bundle, bytes) = model_file::read_named(path)?;
            models.add(bundle, manifest::sha256(&bytes)).with_context(|| path.display().to_string())?;
        }
        Ok(models)
    }

    /// The models as results name them.
    pub(crate) fn used(&self) -> Vec<ModelUsed> {
        self.all().map(|m| ModelUsed::of(&m.bundle.info, &m.sha256)).collect()
    }

    /// Those whose networks are asked.
    fn asked(&self) -> impl Iterator<Item = &Model> {
        self.all().filter(|m| m.is_asked())
    }

    /// All models there are, in a fixed order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Model> {
        [&self.lung, &self.infection, &self.classify].into_iter().flatten()
    }
}

/// One run of the models, besides the models and the CT.
pub(crate) struct Run<'a> {
    /// The way from stored to canonical axes, where the orientation is known.
    pub(crate) sides: Option<AxisMap>,
    /// Makes the slices that the networks see, or finds them made: in each of these sizes, whatever the configuration's
    /// own.
    pub(crate) prepare: &'a mut PrepareFn<'a>,
    /// Told how many slices of how many went through the networks.
    pub(crate) told: &'a (dyn Fn(usize, usize) + Sync),
    /// Shown the probabilities behind each mask, slice by slice.
    pub(crate) seen: Option<&'a mut dyn FnMut(Seen<'_>)>,
    /// Whether the infection network sees slices without lung too, where nothing that it finds counts.
    pub(crate) every_slice: bool,
    /// Ends the run with an error soon after it was asked for.
    pub(crate) stop: &'a Interrupt,
}

/// Prepares one CT in several sizes.
pub(crate) type PrepareFn<'a> = dyn FnMut(&PrepareConfig, &[usize]) -> Result<Warned<Vec<Prepared>>> + 'a;

/// Where the time of a run went, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RunSecs {
    /// Making the slices that the networks see.
    pub(crate) prepare: f64,
    /// The networks, and their probabilities back on the grid of the input.
    pub(crate) predict: f64,
    /// Cleaning the masks up; what of the networks runs beside that counts here.
    pub(crate) clean: f64,
}

/// Runs every model on one CT.
pub(crate) fn run(models: &mut Models, ct: &CtVolume, run: Run<'_>) -> Result<Findings> {
    let Run { sides, prepare, told, mut seen, every_slice, stop } = run;
    let map = sides.unwrap_or(AxisMap::IDENTITY);
    let shape = ct.voxels.shape();
    let canonical @ [_, h, w] = map.canonical_shape(shape);
    let mut prepared = Shared::new(prepare, models.asked().map(|m| m.bundle.info.prepare.clone()).collect());
    let progress = Progress::new(told, canonical[0] * models.asked().count(), stop);
    let mut found = Findings {
        lung: None,
        infection: None,
        slices: vec![SliceFinding { roi_found: true, ..SliceFinding::default() }; canonical[0]],
        warnings: Vec::new(),
        secs: RunSecs::default(),
    };
    models.check_company()?;
    let all = vec![true; canonical[0]];
    let mut classified = false;
    let mut lung = None;
    let mut doubts = Doubtful::default();
    let split = |lung: LabelVolume| match &sides {
        Some(map) => gg_imaging::split_lungs(lung, map),
        None => lung,
    };
    if let Some(model) = &mut models.lung {
        let clean = model.bundle.info.clean;
        let input = prepared.get(&model.bundle.info.prepare, &mut found)?;
        let start = Instant::now();
        let mut see = seen.as_mut().map(|seen| {
            |z: usize, probabilities: &[f32]| seen(Seen { task: Task::Lung, z, probabilities, inside: None })
        });
        let see = see.as_mut().map(|see| see as &mut SeeSlice<'_>);
        let place = Place { map: &map, shape };
        let doubtful = models.infection.as_ref().and_then(|m| m.bundle.info.clean.doubtful());
        let (mask, below) = segment(model, input, place, [&all, &all], doubtful, &progress, see)?;
        doubts = below;
        found.secs.predict += start.elapsed().as_secs_f64();
        let start = Instant::now();
        // Much of the clean-up is the work of one thread: the classifier, which asks for no lungs, runs beside it.
        let classifier = models.classify.as_mut().filter(|m| m.is_asked());
        let classifier = classifier.and_then(|m| Some((prepared.at_hand(&m.bundle.info.prepare)?, m)));
        let (cleaned, probabilities) = rayon::join(
            || clean.lungs(mask),
            || classifier.map(|(input, model)| classify(model, input, &progress)),
        );
        lung = Some(cleaned);
        if let Some(probabilities) = probabilities {
            found.put(probabilities?);
            classified = true;
        }
        found.secs.clean += start.elapsed().as_secs_f64();
    }
    if let Some(model) = &mut models.infection {
        let clean = model.bundle.info.clean;
        let wanted = match &lung {
            Some(lung) => count_slices(lung, &map).iter().map(|&n| n > 0).collect(),
            None => all.clone(),
        };
        let through = if every_slice { &all } else { &wanted };
        let input = prepared.get(&model.bundle.info.prepare, &mut found)?;
        let start = Instant::now();
        let place = Place { map: &map, shape };
        let chosen: [&[bool]; 2] = [through, &wanted];
        let mut mask = match seen {
            Some(seen) => {
                lung = lung.map(split);
                let mut inside = vec![0u8; h * w];
                let mut see = |z: usize, probabilities: &[f32]| {
                    let inside = lung.as_ref().map(|lung| {
                        map.read_slice(lung, z, &mut inside);
                        inside.as_slice()
                    });
                    seen(Seen { task: Task::Infection, z, probabilities, inside });
                };
                segment(model, input, place, chosen, None, &progress, Some(&mut see))?.0
            }
            // Which slices hold lung is known; which lung it is can be told meanwhile.
            None => {
                let (sided, mask) = rayon::join(
                    || lung.map(split),
                    || segment(model, input, place, chosen, None, &progress, None),
                );
                lung = sided;
                mask?.0
            }
        };
        found.secs.predict += start.elapsed().as_secs_f64();
        let start = Instant::now();
        if let Some(lung) = &mut lung {
            agree(lung, &mut mask, &map, &doubts, &clean);
            mask = clean.infection(mask, count_slices(lung, &map).iter().sum());
        }
        let counts = count_slices(&mask, &map);
        found.slices.iter_mut().zip(counts).for_each(|(s, n)| s.infected_voxels = n);
        found.infection = Some(mask);
        found.secs.clean += start.elapsed().as_secs_f64();
    } else {
        lung = lung.map(split);
    }
    if let Some(lung) = &lung {
        let counts = count_slices(lung, &map);
        found.slices.iter_mut().zip(counts).for_each(|(s, n)| s.lung_voxels = n);
    }
    found.lung = lung;
    if let Some(model) = models.classify.as_mut().filter(|m| m.is_asked() && !classified) {
        let input = prepared.get(&model.bundle.info.prepare, &mut found)?;
        let start = Instant::now();
        let probabilities = classify(model, input, &progress)?;
        found.put(probabilities);
        found.secs.predict += start.elapsed().as_secs_f64();
    }
    if found.lung.is_some() {
        let fit = models.classify.as_ref().and_then(|m| m.bundle.info.area.as_ref());
        found.weigh(fit);
    }
    Ok(found)
}

/// Why a slice was not used, in words.
pub(crate) fn drop_reason(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Trimmed => "in the share trimmed from both ends",
    }
}
