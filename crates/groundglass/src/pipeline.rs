//! From a CT in memory to masks on its own grid: prepare, predict, restore. What `analyze` and `evaluate` share.
//!
//! # Memory
//! Beside the CT there are the two masks (one byte a voxel each), the prepared slices (`size * size` bytes a slice)
//! and a few slices of probabilities; nothing else grows with the volume.

use crate::interrupt::Interrupt;
use crate::manifest::{self, Compute, ModelUsed, Training};
use crate::model_file;
use anyhow::{Context as _, Result, bail};
use gg_dataset::{Task, neighbours};
use gg_imaging::{CleanUp, DropReason, PrepareConfig, Prepared, SliceWay};
use gg_nn::engine::{Arithmetic, Precision, Processor};
use gg_nn::{Bundle, PREDICT_BATCH, Predictor};
use gg_volume::{AxisMap, CtVolume, LabelVolume, Volume, Warned, Warning};
use std::cell::Cell;
use std::collections::VecDeque;
use std::path::PathBuf;

/// A bundle, ready to predict.
pub(crate) struct Model {
    pub(crate) bundle: Bundle,
    pub(crate) sha256: String,
    predictor: Predictor,
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
}

/// Probabilities of one canonical slice, as a network gave them.
pub(crate) struct Seen<'a> {
    pub(crate) task: Task,
    pub(crate) z: usize,
    pub(crate) probabilities: &'a [f32],
    /// Where they count: inside the lungs, for infection where there is a lung model.
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

impl Model {
    /// What computes.
    fn compute(&self) -> Compute {
        Compute::new(self.predictor.engine_name(), self.predictor.arithmetic())
    }
}

impl Models {
    /// None yet; those that come will compute like this.
    pub(crate) fn new(on: impl Into<Processor>) -> Self {
        Self { on: on.into(), or_int8: false, classify: None, lung: None, infection: None }
    }

    /// What computes, for manifests; all of it, where models differ.
    pub(crate) fn compute(&self) -> Compute {
        let mut all = self.all().map(Model::compute);
        let Some(mut compute) = all.next() else { return Compute::new("none", self.on.arithmetic) };
        for other in all {
            if !compute.device.split(", ").any(|d| d == other.device) {
                compute.device = format!("{}, {}", compute.device, other.device);
            }
            if !compute.precision.split(", ").any(|p| p == other.precision) {
                compute.precision = format!("{}, {}", compute.precision, other.precision);
            }
        }
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
        let in_bytes = self.or_int8 && on_cpu && isa.has_vnni() && bundle.info.int8.is_some();
        let on =
            if in_bytes { Arithmetic { isa, precision: Precision::Int8 }.into() } else { self.on.clone() };
        let predictor = Predictor::load(&bundle, on)?;
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
        let used = |m: &Model| ModelUsed {
            task: m.bundle.info.task,
            name: m.bundle.info.name.clone(),
            sha256: m.sha256.clone(),
            threshold: m.bundle.info.threshold,
            licence: m.bundle.info.licence.clone(),
        };
        self.all().map(used).collect()
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
    /// Makes the slices that the networks see, or finds them made.
    pub(crate) prepare: &'a mut dyn FnMut(&PrepareConfig) -> Result<Warned<Prepared>>,
    /// Told how many slices of how many went through the networks.
    pub(crate) told: &'a dyn Fn(usize, usize),
    /// Shown the probabilities behind each mask, slice by slice.
    pub(crate) seen: &'a mut dyn FnMut(Seen<'_>),
    /// Ends the run with an error soon after it was asked for.
    pub(crate) stop: &'a Interrupt,
}

/// Runs every model on one CT.
pub(crate) fn run(models: &mut Models, ct: &CtVolume, run: Run<'_>) -> Result<Findings> {
    let Run { sides, prepare, told, seen, stop } = run;
    let map = sides.unwrap_or(AxisMap::IDENTITY);
    let shape = ct.voxels.shape();
    let canonical @ [_, h, w] = map.canonical_shape(shape);
    let mut prepared = Shared { prepare, made: None };
    let progress = Progress { told, done: Cell::new(0), total: canonical[0] * models.all().count(), stop };
    let mut found = Findings {
        lung: None,
        infection: None,
        slices: vec![SliceFinding { roi_found: true, ..SliceFinding::default() }; canonical[0]],
        warnings: Vec::new(),
    };
    let split = |mask: LabelVolume| match &sides {
        Some(map) => gg_imaging::split_lungs(&mask, map),
        None => mask,
    };
    if let Some(model) = &mut models.lung {
        let clean = model.bundle.info.clean;
        let input = prepared.get(&model.bundle.info.prepare, &mut found)?;
        let all = vec![true; canonical[0]];
        let mask = segment(model, input, &map, shape, &all, &progress, |z, probabilities| {
            seen(Seen { task: Task::Lung, z, probabilities, inside: None });
        })?;
        found.lung = Some(split(clean.lungs(mask)));
    }
    if let Some(model) = &mut models.infection {
        let clean = model.bundle.info.clean;
        let wanted = match &found.lung {
            Some(lung) => count_slices(lung, &map).iter().map(|&n| n > 0).collect(),
            None => vec![true; canonical[0]],
        };
        let input = prepared.get(&model.bundle.info.prepare, &mut found)?;
        let mut inside = vec![0u8; h * w];
        let mut mask = segment(model, input, &map, shape, &wanted, &progress, |z, probabilities| {
            if let Some(lung) = &found.lung {
                map.read_slice(lung, z, &mut inside);
            }
            let inside = found.lung.as_ref().map(|_| inside.as_slice());
            seen(Seen { task: Task::Infection, z, probabilities, inside });
        })?;
        if let Some(lung) = &mut found.lung {
            let extends = Training::of(&model.bundle).is_some_and(|t| t.settings.infection_extends_lung);
            join(lung, &mut mask, &map, extends, &clean);
            mask = clean.infection(mask, lung.count_foreground());
        }
        let counts = count_slices(&mask, &map);
        found.slices.iter_mut().zip(counts).for_each(|(s, n)| s.infected_voxels = n);
        found.infection = Some(mask);
    }
    if let Some(lung) = &found.lung {
        let counts = count_slices(lung, &map);
        found.slices.iter_mut().zip(counts).for_each(|(s, n)| s.lung_voxels = n);
    }
    if let Some(model) = &mut models.classify {
        let input = prepared.get(&model.bundle.info.prepare, &mut found)?;
        let all: Vec<usize> = (0..input.ways.len()).collect();
        predict(&mut model.predictor, input, &all, PREDICT_BATCH, &progress, |way, probability| {
            found.slices[way.z].probability = probability.first().copied();
        })?;
    }
    Ok(found)
}

/// How many slices went through the networks; those that a network need not see count as done.
struct Progress<'a> {
    told: &'a dyn Fn(usize, usize),
    done: Cell<usize>,
    total: usize,
    stop: &'a Interrupt,
}

impl Progress<'_> {
    fn add(&self, slices: usize) {
        self.done.set(self.done.get() + slices);
        (self.told)(self.done.get(), self.total);
    }
}

/// The prepared slices, made once for all models that were trained on the same preparation.
struct Shared<'a> {
    prepare: &'a mut dyn FnMut(&PrepareConfig) -> Result<Warned<Prepared>>,
    made: Option<(PrepareConfig, Prepared)>,
}

impl Shared<'_> {
    fn get(&mut self, config: &PrepareConfig, found: &mut Findings) -> Result<&Prepared> {
        if self.made.as_ref().is_none_or(|(c, _)| c != config) {
            self.made = None; // the old slices go before the new ones come
            let first = found.warnings.is_empty();
            let mut warnings = Vec::new();
            let prepared = (self.prepare)(config)?.drain_into(&mut warnings);
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

/// Predicts the wanted slices and puts them back on the stored grid; shows the probabilities of each.
fn segment(
    model: &mut Model,
    input: &Prepared,
    map: &AxisMap,
    shape: [usize; 3],
    wanted: &[bool],
    progress: &Progress<'_>,
    mut seen: impl FnMut(usize, &[f32]),
) -> Result<LabelVolume> {
    let mut mask = Volume::filled(shape, 0u8);
    let chosen: Vec<usize> = (0..input.ways.len()).filter(|&i| wanted[input.ways[i].z]).collect();
    let threshold = model.bundle.info.threshold;
    predict(&mut model.predictor, input, &chosen, PREDICT_BATCH, progress, |way, probabilities| {
        let full = gg_imaging::restore_probabilities_slice(probabilities, way);
        seen(way.z, &full);
        let labels: Vec<u8> = full.iter().map(|&p| u8::from(p >= threshold)).collect();
        map.write_slice(&mut mask, way.z, &labels);
    })?;
    Ok(mask)
}

/// A prepared slice between its neighbours, as a network of so many channels sees it.
pub(crate) fn picture(input: &Prepared, index: usize, channels: usize) -> Vec<&[u8]> {
    let adjacent = |i: usize| input.ways[i + 1].z == input.ways[i].z + 1;
    let around = neighbours(index, channels, input.ways.len(), adjacent);
    around.into_iter().map(|i| input.images[i].as_slice()).collect()
}

/// Puts the chosen slices through a network, `batch` at a time, each between its neighbours as in training; `take` gets
/// the probabilities of each.
fn predict(
    predictor: &mut Predictor,
    input: &Prepared,
    chosen: &[usize],
    batch: usize,
    progress: &Progress<'_>,
    mut take: impl FnMut(&SliceWay, &[f32]),
) -> Result<()> {
    let channels = predictor.channels();
    let left_out = input.canonical_shape[0] - chosen.len();
    progress.add(left_out);
    for batch in chosen.chunks(batch) {
        progress.stop.check()?;
        let pictures: Vec<Vec<&[u8]>> = batch.iter().map(|&i| picture(input, i, channels)).collect();
        for (probabilities, &i) in predictor.predict(&pictures)?.iter().zip(batch) {
            take(&input.ways[i], probabilities);
        }
        progress.add(batch.len());
    }
    Ok(())
}

/// Makes lung and infection agree, slice by slice: infection that hangs together with the lung is lung where it `extends`
/// it, for lung that is consolidated looks like the wall beside it and is what a lung network misses; infection elsewhere
/// is none.
///
/// Where the lungs are closed first, infection in what that closes extends them in the same way.
fn join(lung: &mut LabelVolume, infection: &mut LabelVolume, map: &AxisMap, extends: bool, clean: &CleanUp) {
    let closes = clean.lung_closing > 0.0;
    let [nz, ny, nx] = map.canonical_shape(lung.shape());
    let (mut in_lung, mut infected) = (vec![0u8; ny * nx], vec![0u8; ny * nx]);
    for z in 0..nz {
        map.read_slice(lung, z, &mut in_lung);
        map.read_slice(infection, z, &mut infected);
        if extends {
            spread(&mut in_lung, &infected, nx);
        } else if closes {
            let mut near = clean.closed_slice(&in_lung, ny, nx);
            near.iter_mut().zip(&infected).for_each(|(n, &i)| *n &= i);
            spread(&mut in_lung, &near, nx);
        }
        if extends || closes {
            map.write_slice(lung, z, &in_lung);
        }
        if clean.infection_inside_lungs {
            infected.iter_mut().zip(&in_lung).for_each(|(i, &l)| *i &= u8::from(l != 0));
            map.write_slice(infection, z, &infected);
        }
    }
}

/// Lets each lung, with its label, grow from pixel to neighbouring pixel through the infection of a slice `w` wide.
fn spread(lung: &mut [u8], infected: &[u8], w: usize) {
    let mut reached: VecDeque<usize> = (0..lung.len()).filter(|&i| lung[i] != 0).collect();
    while let Some(i) = reached.pop_front() {
        let x = i % w;
        let beside = [
            (x > 0).then(|| i - 1),
            (x + 1 < w).then(|| i + 1),
            i.checked_sub(w),
            Some(i + w).filter(|&n| n < lung.len()),
        ];
        for n in beside.into_iter().flatten() {
            if lung[n] == 0 && infected[n] != 0 {
                lung[n] = lung[i];
                reached.push_back(n);
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use gg_nn::net::UnetConfig;
    use gg_nn::{BUNDLE_FORMAT, BundleInfo, NetConfig, Weights};

    const SIZE: usize = 16;

    fn bundle(in_channels: usize) -> Bundle {
        let net = NetConfig::Unet(UnetConfig { in_channels, base: 2, levels: 2, ..UnetConfig::default() });
        let weights = Weights::init(&net, 3).unwrap();
        let info = BundleInfo {
            format_version: BUNDLE_FORMAT,
            name: "test".into(),
            task: Task::Infection,
            net,
            prepare: PrepareConfig { size: SIZE, ..PrepareConfig::default() },
            threshold: 0.5,
            temperature: 1.0,
            clean: CleanUp::default(),
            interval: None,
            labels: Default::default(),
            manifest: serde_json::Value::Null,
            scores: serde_json::Value::Null,
            licence: "none".into(),
            weights_sha256: String::new(),
            int8: None,
        };
        Bundle::new(info, &weights, gg_nn::Precision::F32).unwrap().0
    }

    /// Slices 0 to 5 and, after a gap, 8 to 10.
    fn prepared() -> Prepared {
        let zs: Vec<usize> = (0..6).chain(8..11).collect();
        let way = |&z: &usize| SliceWay {
            z,
            canonical: [SIZE, SIZE],
            quarter_turns: 0,
            crop: gg_imaging::Rect::whole(SIZE, SIZE),
            size: SIZE,
            roi_found: true,
        };
        let image = |&z: &usize| (0..SIZE * SIZE).map(|i| ((i * 5 + z * 67) % 251) as u8).collect();
        Prepared {
            ways: zs.iter().map(way).collect(),
            images: zs.iter().map(image).collect(),
            dropped: Vec::new(),
            canonical_shape: [11, SIZE, SIZE],
        }
    }

    fn predicted(predictor: &mut Predictor, chosen: &[usize], batch: usize) -> Vec<(usize, Vec<f32>)> {
        let mut found = Vec::new();
        let told = Cell::new((0, 0));
        let stop = Interrupt::default();
        let progress =
            Progress { told: &|done, of| told.set((done, of)), done: Cell::new(0), total: 11, stop: &stop };
        predict(predictor, &prepared(), chosen, batch, &progress, |way, probabilities| {
            found.push((way.z, probabilities.to_vec()));
        })
        .unwrap();
        assert_eq!(told.get(), (11, 11));
        found
    }

    #[test]
    fn neither_the_batch_nor_the_chosen_slices_change_what_a_network_of_three_channels_says() {
        let mut predictor =
            Predictor::load(&bundle(3), gg_nn::engine::Arithmetic::fp32(gg_nn::engine::Isa::detect()))
                .unwrap();
        let all = predicted(&mut predictor, &(0..9).collect::<Vec<_>>(), 4);
        assert_eq!(all.iter().map(|(z, _)| *z).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 8, 9, 10]);
        for batch in [1, 2, 9] {
            assert_eq!(predicted(&mut predictor, &(0..9).collect::<Vec<_>>(), batch), all);
        }
        let chosen = [1, 5, 6];
        let expected: Vec<_> = chosen.iter().map(|&i| all[i].clone()).collect();
        assert_eq!(predicted(&mut predictor, &chosen, 2), expected);
        let input = prepared();
        let of = |a: usize, b: usize, c: usize| [a, b, c].map(|i| input.images[i].as_slice()).to_vec();
        let by_hand = predictor.predict(&[of(0, 1, 2), of(4, 5, 5), of(6, 6, 7)]).unwrap();
        assert_eq!(expected.into_iter().map(|(_, p)| p).collect::<Vec<_>>(), by_hand);
    }

    #[test]
    fn infection_beside_the_lung_is_cut_off_or_extends_it() {
        let volume = |rows: [&str; 4]| {
            let values: Vec<u8> = rows.iter().flat_map(|r| r.bytes()).map(|b| b - b'0').collect();
            LabelVolume::from_vec([2, 2, 8], values).unwrap()
        };
        let lung = volume(["00100020", "00000000", "00000000", "00000000"]);
        let infection = volume(["01101001", "10000001", "00100000", "00000000"]);
        let joined = |extends| {
            let (mut lung, mut infection) = (lung.clone(), infection.clone());
            join(&mut lung, &mut infection, &AxisMap::IDENTITY, extends, &CleanUp::default());
            (lung, infection)
        };
        let cut = volume(["00100000", "00000000", "00000000", "00000000"]);
        assert_eq!(joined(false), (lung.clone(), cut));
        // each lung grows as what it is; the corner below the first and the other slice hang together with none
        let grown = volume(["01100022", "00000002", "00000000", "00000000"]);
        let infected = volume(["01100001", "00000001", "00000000", "00000000"]);
        assert_eq!(joined(true), (grown, infected));
    }

    #[test]
    fn closed_lungs_take_in_the_infection_of_their_bays_and_it_may_stay_anywhere() {
        let row =
            |text: &str| LabelVolume::from_vec([1, 1, 10], text.bytes().map(|b| b - b'0').collect()).unwrap();
        let joined = |clean: CleanUp| {
            let (mut lung, mut infection) = (row("0010100000"), row("0001100010"));
            join(&mut lung, &mut infection, &AxisMap::IDENTITY, false, &clean);
            (lung, infection)
        };
        let usual = CleanUp::default();
        assert_eq!(joined(usual), (row("0010100000"), row("0000100000")));
        let closing = CleanUp { lung_closing: 0.2, ..usual };
        assert_eq!(joined(closing), (row("0011100000"), row("0001100000")));
        let anywhere = CleanUp { infection_inside_lungs: false, ..usual };
        assert_eq!(joined(anywhere), (row("0010100000"), row("0001100010")));
    }

    #[test]
    fn a_network_without_a_middle_slice_is_refused() {
        let error = Models::new(gg_nn::engine::Arithmetic::fp32(gg_nn::engine::Isa::detect()))
            .add(bundle(2), String::new())
            .unwrap_err()
            .to_string();
        assert!(error.contains("2 slices at once"), "{error}");
    }
}
