//! Ranges of activations for prediction in int8: measured at the end of each training, or added to a bundle that exists.

use super::models::check_free;
use super::{Context, data};
use crate::args::ModelsCalibrateArgs;
use crate::manifest::Training;
use crate::model_file;
use anyhow::{Context as _, Result, anyhow, bail};
use gg_dataset::{BatchLoader, LoaderConfig, SampleSource, Task};
use gg_nn::engine::{Arithmetic, CpuEngine, Engine, Images, Int8Engine, Isa};
use gg_nn::net::Graph;
use gg_nn::{Bundle, CALIBRATION_SLICES, Calibration, Precision, Weights};
use std::sync::Arc;

/// Slices that go through the network at once.
const BATCH: usize = 4;

/// Measures the ranges of a network on some of these samples, spread evenly.
pub(super) fn measure(
    isa: Isa,
    graph: &Graph,
    weights: &Weights,
    task: Task,
    (source, samples): (Arc<dyn SampleSource>, &[usize]),
) -> Result<Calibration> {
    let count = samples.len().min(CALIBRATION_SLICES);
    let chosen = (0..count).map(|i| samples[i * samples.len() / count]).collect();
    let config =
        LoaderConfig { channels: graph.in_channels(), ..LoaderConfig::evaluation(task, BATCH.min(count)) };
    let loader = BatchLoader::new(source, chosen, config)?;
    let mut engine = CpuEngine::new(graph.clone(), Arithmetic::fp32(isa))?;
    engine.set_weights(weights)?;
    Calibration::measure(&mut engine, |look| -> Result<()> {
        for batch in loader.epoch(0, 0) {
            let batch = batch?;
            look(&Images { values: &batch.images, n: batch.n, height: batch.size, width: batch.size })?;
        }
        Ok(())
    })
}

/// `models calibrate`.
pub(super) fn run(context: &Context, args: &ModelsCalibrateArgs) -> Result<()> {
    check_free(&args.out, &args.model, &args.dataset)?;
    let out = &args.out.out;
    let (mut bundle, _) = model_file::read_single(&args.model)?;
    Int8Engine::check(&bundle.graph()?).with_context(|| args.model.display().to_string())?;
    let training = Training::of(&bundle).ok_or_else(|| {
        anyhow!("the bundle does not say which patients it was trained on")
            .context(args.model.display().to_string())
    })?;
    let (sets, _) = data::open(context, &args.dataset)?;
    let mut settings = training.settings.clone();
    settings.prepare = bundle.info.prepare.clone();
    let cache_dir = data::cache_dir(&args.cache, out)?;
    let cache = data::build_cache(context, &sets, &settings, args.read.options(), &cache_dir)?;
    let known: Vec<bool> =
        data::cases(&sets).map(|(_, case)| training.knows_patient(&case.patient)).collect();
    let task = bundle.info.task;
    let of_training = |i: &usize| {
        let info = &cache.infos()[*i];
        known[info.case] && info.has_target(task)
    };
    let samples: Vec<usize> = (0..cache.infos().len()).filter(of_training).collect();
    if samples.is_empty() {
        bail!("found no slice of a patient that the model was trained on; right would be its training data");
    }
    let ranges = measure(context.isa, &bundle.graph()?, &bundle.weights, task, (Arc::new(cache), &samples))?;
    let slices = ranges.slices;
    bundle.info.int8 = Some(ranges);
    let saved = Bundle::save(out, bundle.info, &bundle.weights, store_of(&bundle.weights));
    let saved = saved.with_context(|| format!("writing {}", out.display()))?;
    context.answer(&saved.info.int8, || format!("{}: calibrated on {slices} slices", out.display()))
}

/// The smallest way to store weights that keeps all bits.
pub(super) fn store_of(weights: &Weights) -> Precision {
    let all = || {
        weights.tensors.iter().filter(|(name, _)| !name.contains(".running_")).flat_map(|(_, t)| &t.values)
    };
    let halves = [Precision::F16, Precision::Bf16];
    halves.into_iter().find(|p| all().all(|v| p.keeps(*v))).unwrap_or_default()
}
