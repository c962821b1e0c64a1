//! What each network of `paper` says of each slice that validates or tests, counted so that every fault can be put in and
//! taken out of the same predictions.

use super::PREDICTED_IN;
use super::plan::{Recipe, Run};
use crate::args::PaperArgs;
use crate::commands::{Context, data};
use crate::pipeline;
use anyhow::{Context as _, Result};
use gg_dataset::{LoadedCase, Part, Parts, Task};
use gg_imaging::{Prepared, Rect, SliceWay, prepare_in_boxes, resize_area_u8, restore_probabilities_slice};
use gg_nn::{Bundle, PREDICT_BATCH, Predictor};
use gg_volume::{AxisMap, IntensityKind, LabelVolume};
use std::collections::BTreeMap;
use std::path::Path;

/// Thresholds that a test could be fitted with: 0.05 to 0.95.
pub(super) const THRESHOLDS: usize = 19;

pub(super) fn threshold(index: usize) -> f32 {
    0.05 * (index + 1) as f32
}

/// Pixels called, truly positive, and both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) called: u64,
    pub(super) truth: u64,
    pub(super) both: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.called += other.called;
        self.truth += other.truth;
        self.both += other.both;
    }

    /// Dice; `None` where nothing is and nothing was called.
    pub(super) fn dice(self) -> Option<f64> {
        let sum = self.called + self.truth;
        (sum > 0).then(|| 2.0 * self.both as f64 / sum as f64)
    }
}

/// One slice as one network saw it.
#[derive(Debug, Clone, Default)]
pub(super) struct Slice {
    pub(super) case: usize,
    pub(super) test: bool,
    /// Whether it was kept by the preparation; where not, nothing was called.
    pub(super) kept: bool,
    pub(super) roi_found: bool,
    pub(super) hu: bool,
    /// Whether it shows infection, where known.
    pub(super) infected: Option<bool>,
    pub(super) probability: Option<f32>,
    /// On the grid of the input.
    pub(super) input: Counts,
    /// On the prepared picture, at the threshold of the bundle.
    pub(super) prepared: Counts,
    /// On the prepared picture, at each threshold: called and both.
    pub(super) at: Vec<[u64; 2]>,
    /// Twice the overlap and the sum of a mask whose labels 0, 1 and 2 were resized as grey, in 255ths.
    pub(super) grey: [f64; 2],
    /// On the grid of the input, from a crop by the true lungs.
    pub(super) true_crop: Counts,
}

/// What was measured of one run, and the threshold of its bundle.
pub(super) struct Measured {
    pub(super) run: Run,
    pub(super) threshold: f32,
    pub(super) slices: Vec<Slice>,
}

/// The patients of all cases, by the index that slices carry.
pub(super) struct Cases {
    pub(super) patients: Vec<String>,
}

/// Puts every slice that validates or tests through the networks.
pub(super) fn measure(
    context: &Context,
    args: &PaperArgs,
    sets: &gg_dataset::Datasets,
    runs: &[(Run, &Parts, &Path)],
    cache: &Path,
) -> Result<(Cases, Vec<Measured>)> {
    let processor = context.processor(Some(PREDICTED_IN))?;
    let mut loaded_runs = Vec::new();
    for (run, parts, path) in runs {
        let bundle = Bundle::from_bytes(&Bundle::read(path)?).with_context(|| path.display().to_string())?;
        let predictor = Predictor::load(&bundle, processor.clone())?;
        loaded_runs.push((*run, *parts, bundle, predictor));
    }
    let mut measured: Vec<Measured> = loaded_runs
        .iter()
        .map(|(run, _, bundle, _)| Measured {
            run: *run,
            threshold: bundle.info.threshold,
            slices: Vec::new(),
        })
        .collect();
    let mut slices = data::Slices::open(context, cache, args.read.options());
    let step = context.console.step("measuring", sets.len() as u64);
    let mut patients = Vec::new();
    for (index, (set, case)) in data::cases(sets).enumerate() {
        context.interrupt.check()?;
        step.note(case.case_id.clone());
        patients.push(case.patient.clone());
        let n_slices = |loaded: &LoadedCase| {
            let grid = &loaded.scan.ct.grid;
            grid.axis_map().canonical_shape(grid.shape)[0]
        };
        let loaded = data::load(set, case, &args.read)?;
        for ((run, parts, bundle, predictor), out) in loaded_runs.iter_mut().zip(&mut measured) {
            let part = |z: usize| parts.part_for(&case.case_id, &case.patient, z);
            let wanted: Vec<bool> =
                (0..n_slices(&loaded)).map(|z| matches!(part(z), Some(Part::Val | Part::Test))).collect();
            if !wanted.contains(&true) {
                continue;
            }
            let prepared = slices.get(context, case, &loaded, &bundle.info.prepare).value;
            let mut found = one(*run, bundle, predictor, &loaded, &prepared, &wanted)?;
            for (z, slice) in &mut found {
                slice.case = index;
                slice.test = part(*z) == Some(Part::Test);
            }
            out.slices.extend(found.into_values());
        }
        step.inc();
    }
    step.finish();
    slices.close(context);
    Ok((Cases { patients }, measured))
}

/// The wanted slices of one case, by number.
fn one(
    run: Run,
    bundle: &Bundle,
    predictor: &mut Predictor,
    loaded: &LoadedCase,
    prepared: &Prepared,
    wanted: &[bool],
) -> Result<BTreeMap<usize, Slice>> {
    let ct = &loaded.scan.ct;
    let map = ct.grid.axis_map();
    let mut found: BTreeMap<usize, Slice> = BTreeMap::new();
    let truth = match run.task {
        Task::Classify => None,
        Task::Lung => loaded.lung.as_ref(),
        Task::Infection => loaded.infection.as_ref(),
    };
    if run.task != Task::Classify && truth.is_none() {
        return Ok(found);
    }
    for z in (0..wanted.len()).filter(|&z| wanted[z]) {
        let infected = loaded.slice_infected.as_ref().and_then(|s| s.get(z).copied().flatten());
        let mut slice = Slice { infected, hu: ct.intensity.kind == IntensityKind::Hu, ..Slice::default() };
        if let Some(truth) = truth {
            let count = read(truth, &map, z).iter().filter(|&&v| v != 0).count() as u64;
            slice.input.truth = count;
            slice.true_crop.truth = count;
        }
        found.insert(z, slice);
    }
    // Labels 0, 1 and 2, as the set's own lung masks have them; ours were made 0 and 1 when they were read.
    let labels = match (run.task, truth) {
        (Task::Lung, Some(lung)) => Some(gg_imaging::split_lungs(lung.clone(), &map)),
        _ => None,
    };
    let chosen =
        |p: &Prepared| -> Vec<usize> { (0..p.ways.len()).filter(|&i| wanted[p.ways[i].z]).collect() };
    predict(predictor, prepared, &chosen(prepared), |way, probabilities| {
        let Some(slice) = found.get_mut(&way.z) else { return };
        (slice.kept, slice.roi_found) = (true, way.roi_found);
        let Some(truth) = truth else {
            slice.probability = probabilities.first().copied();
            return;
        };
        count(slice, bundle.info.threshold, way, probabilities, &map, truth, labels.as_ref());
    })?;
    if let (Some(truth), Some(lung)) = (truth, &loaded.lung)
        && run.recipe == Recipe::Paper
        && bundle.info.prepare.rotate_quarter_turns.is_multiple_of(4)
    {
        let cropped = prepare_in_boxes(ct, &map, &bundle.info.prepare, &|z| lung_box(lung, &map, z)).value;
        predict(predictor, &cropped, &chosen(&cropped), |way, probabilities| {
            let Some(slice) = found.get_mut(&way.z) else { return };
            let full = restore_probabilities_slice(probabilities, way);
            let counts = overlap(&full, bundle.info.threshold, &read(truth, &map, way.z));
            slice.true_crop = counts;
        })?;
    }
    Ok(found)
}

fn predict(
    predictor: &mut Predictor,
    input: &Prepared,
    chosen: &[usize],
    mut take: impl FnMut(&SliceWay, &[f32]),
) -> Result<()> {
    let channels = predictor.channels();
    for batch in chosen.chunks(PREDICT_BATCH) {
        let pictures: Vec<Vec<&[u8]>> =
            batch.iter().map(|&i| pipeline::picture(input, i, channels)).collect();
        for (probabilities, &i) in predictor.predict(&pictures)?.iter().zip(batch) {
            take(&input.ways[i], probabilities);
        }
    }
    Ok(())
}

fn read(labels: &LabelVolume, map: &AxisMap, z: usize) -> Vec<u8> {
    let [_, h, w] = map.canonical_shape(labels.shape());
    let mut slice = vec![0u8; h * w];
    map.read_slice(labels, z, &mut slice);
    slice
}

fn overlap(probabilities: &[f32], threshold: f32, truth: &[u8]) -> Counts {
    let mut counts = Counts::default();
    for (&p, &t) in probabilities.iter().zip(truth) {
        let (called, positive) = (p >= threshold, t != 0);
        counts.called += u64::from(called);
        counts.truth += u64::from(positive);
        counts.both += u64::from(called && positive);
    }
    counts
}

fn count(
    slice: &mut Slice,
    threshold_chosen: f32,
    way: &SliceWay,
    probabilities: &[f32],
    map: &AxisMap,
    truth: &LabelVolume,
    labels: Option<&LabelVolume>,
) {
    let full = restore_probabilities_slice(probabilities, way);
    slice.input = overlap(&full, threshold_chosen, &read(truth, map, way.z));
    let small = gg_imaging::prepare_labels(truth, map, std::slice::from_ref(way)).remove(0);
    slice.prepared = overlap(probabilities, threshold_chosen, &small);
    slice.at = (0..THRESHOLDS)
        .map(|k| {
            let c = overlap(probabilities, threshold(k), &small);
            [c.called, c.both]
        })
        .collect();
    let grey = resized_as_grey(labels.unwrap_or(truth), map, way);
    for (&p, &t) in probabilities.iter().zip(&grey) {
        let called = f64::from(u8::from(p >= threshold_chosen));
        slice.grey[0] += 2.0 * called * t;
        slice.grey[1] += called + t;
    }
}

/// A mask resized like a picture, its labels as numbers: what the lineage's programs compare with.
fn resized_as_grey(labels: &LabelVolume, map: &AxisMap, way: &SliceWay) -> Vec<f64> {
    /// Room between labels, so that means of them survive 8 bits.
    const SCALE: u8 = 100;
    let [h, w] = way.canonical;
    let raw: Vec<u8> = read(labels, map, way.z).iter().map(|&l| l.saturating_mul(SCALE)).collect();
    let turned = gg_imaging::turn_quarters(&raw, h, w, way.quarter_turns);
    let [turned_h, turned_w] = way.turned();
    let cut = way.crop.cut(&turned, turned_h, turned_w, 0);
    let small = resize_area_u8(&cut, way.crop.h, way.crop.w, way.size, way.size);
    small.iter().map(|&v| f64::from(v) / f64::from(SCALE)).collect()
}

/// The box around the true lungs of a slice.
fn lung_box(lung: &LabelVolume, map: &AxisMap, z: usize) -> Option<Rect> {
    let [_, _, w] = map.canonical_shape(lung.shape());
    let slice = read(lung, map, z);
    let mut found: Option<[i64; 4]> = None;
    for i in (0..slice.len()).filter(|&i| slice[i] != 0) {
        let (y, x) = ((i / w) as i64, (i % w) as i64);
        let b = found.get_or_insert([y, x, y, x]);
        *b = [b[0].min(y), b[1].min(x), b[2].max(y), b[3].max(x)];
    }
    found.map(|[y0, x0, y1, x1]| Rect::from_corners(y0, x0, y1, x1))
}
