//! One training step and one predicted slice of the U-Net, with the peak memory of this process.

use crate::args::BenchPart;
use anyhow::Result;
use gg_nn::engine::{
    Arithmetic, BurnEngine, CpuEngine, DropoutKey, Engine, EngineError, Images, Int8Engine, Precision,
    Processor,
};
use gg_nn::net::{Graph, Op, UnetConfig};
use gg_nn::{Adam, AdamConfig, Calibration, Loss, NetConfig, Weights, engine_for, update_running_stats};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Images of a training step, and their side.
const TRAIN: (usize, usize) = (8, 128);
/// Images of a prediction, and their side.
const PREDICT: (usize, usize) = (2, 256);
/// Rounds before the clock runs.
const WARM_UP: usize = 3;

/// What is measured.
#[derive(Serialize)]
pub(super) struct Sizes {
    pub(super) base: usize,
    pub(super) train: String,
    pub(super) predict: String,
    /// One multiply-add = 2; a training step counts as three times its forward pass.
    pub(super) train_gflop: f64,
    pub(super) predict_gflop_per_slice: f64,
}

/// What one process measured.
#[derive(Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) engine: String,
    pub(super) precision: String,
    /// Per training step, or per predicted slice.
    pub(super) ms: f64,
    pub(super) peak_rss_mb: Option<u64>,
}

impl Sizes {
    pub(super) fn of(base: usize) -> Self {
        let graph = net(base).graph();
        let gflop = |side: usize| graph.as_ref().map_or(0.0, |g| gflop(g, side));
        let text = |(n, side): (usize, usize)| format!("{n} x {side} x {side}");
        Self {
            base,
            train: text(TRAIN),
            predict: text(PREDICT),
            train_gflop: 3.0 * TRAIN.0 as f64 * gflop(TRAIN.1),
            predict_gflop_per_slice: gflop(PREDICT.1),
        }
    }
}

fn net(base: usize) -> NetConfig {
    NetConfig::Unet(UnetConfig { base, dropout: 0.0, ..UnetConfig::default() })
}

/// Multiply-adds of the convolutions for one image, times 2.
fn gflop(graph: &Graph, side: usize) -> f64 {
    let Ok(shapes) = graph.shapes(side, side) else { return 0.0 };
    let layers = graph.layers.iter().zip(&shapes);
    let flops = layers.map(|(layer, shape)| {
        let ins: usize = layer.inputs.first().map_or(0, |&i| graph.layers[i].channels);
        let taps = match layer.op {
            Op::Conv { kernel, .. } => kernel * kernel,
            // Each pixel of the result has one tap.
            Op::ConvTranspose => 1,
            _ => 0,
        };
        (2 * taps * ins * shape.iter().product::<usize>()) as f64
    });
    flops.sum::<f64>() / 1e9
}

pub(super) fn measure(part: BenchPart, on: Processor, base: usize, repeats: usize) -> Result<Measured> {
    let net = net(base);
    let graph = net.graph()?;
    let mut weights = Weights::init(&net, 1)?;
    let mut engine: Box<dyn Engine> = match part {
        BenchPart::BurnTrain | BenchPart::BurnPredict => Box::new(BurnEngine::new(graph.clone())),
        _ if on.arithmetic.precision == Precision::Int8 => in_bytes(&graph, &weights, on.arithmetic)?,
        _ => engine_for(&graph, on),
    };
    let ms = match part {
        BenchPart::Train | BenchPart::BurnTrain => train(engine.as_mut(), &graph, &mut weights, repeats)?,
        _ => {
            engine.set_weights(&weights)?;
            drop(weights);
            let (n, side) = PREDICT;
            let x = picture(n * side * side);
            let images = Images { values: &x, n, height: side, width: side };
            median_ms(repeats, || engine.predict(&images).map(drop))? / n as f64
        }
    };
    Ok(Measured {
        engine: engine.name().to_owned(),
        precision: engine.arithmetic().precision.name().to_owned(),
        ms,
        peak_rss_mb: peak_rss_mb(),
    })
}

/// The engine for int8, calibrated on a corner of what it is to predict: no time depends on the ranges.
fn in_bytes(graph: &Graph, weights: &Weights, arithmetic: Arithmetic) -> Result<Box<dyn Engine>> {
    let side = graph.side_multiple;
    let x = picture(side * side);
    let corner = Images { values: &x, n: 1, height: side, width: side };
    let mut engine = CpuEngine::new(graph.clone(), Arithmetic::fp32(arithmetic.isa))?;
    engine.set_weights(weights)?;
    let ranges = Calibration::measure::<EngineError>(&mut engine, |look| look(&corner))?;
    Ok(Box::new(Int8Engine::new(graph.clone(), arithmetic.isa, &ranges)?))
}

fn train(engine: &mut dyn Engine, graph: &Graph, weights: &mut Weights, repeats: usize) -> Result<f64> {
    let (n, side) = TRAIN;
    let x = picture(n * side * side);
    let y: Vec<f32> = x.iter().rev().map(|v| f32::from(u8::from(*v > 0.7))).collect();
    let loss = Loss::BceDice { bce: 1.0, dice: 1.0, smooth: 1.0 };
    let images = Images { values: &x, n, height: side, width: side };
    let mut adam = Adam::new(graph);
    let isa = engine.arithmetic().isa;
    engine.set_weights(weights)?;
    median_ms(repeats, || {
        let key = DropoutKey { seed: 0, step: 0 };
        let found = engine.gradients(&images, key, &mut |z| loss.value_and_slope(z, &y, &[]))?;
        adam.step(isa, &AdamConfig::default(), 1e-3, weights, &found.by_param);
        update_running_stats(graph, weights, &found.batch_stats);
        engine.recycle(found);
        engine.set_weights(weights)
    })
}

/// Numbers 0..1 from a counter.
fn picture(len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32).collect()
}

/// Median milliseconds of some calls.
fn median_ms<E>(repeats: usize, mut f: impl FnMut() -> Result<(), E>) -> Result<f64>
where
    anyhow::Error: From<E>,
{
    for _ in 0..WARM_UP {
        f()?;
    }
    let mut ms = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        f()?;
        ms.push(1e3 * start.elapsed().as_secs_f64());
    }
    ms.sort_by(f64::total_cmp);
    let middle = ms.len() / 2;
    Ok(if ms.len() % 2 == 1 { ms[middle] } else { (ms[middle - 1] + ms[middle]) / 2.0 })
}

/// The most memory that this process ever held, where the system tells.
fn peak_rss_mb() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kb: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kb / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_of_base_32_takes_the_operations_that_the_literature_of_the_benchmark_states() {
        let sizes = Sizes::of(32);
        assert!((sizes.train_gflop - 144.4).abs() < 0.1, "{}", sizes.train_gflop);
        assert!((sizes.predict_gflop_per_slice - 24.07).abs() < 0.01, "{}", sizes.predict_gflop_per_slice);
    }
}
