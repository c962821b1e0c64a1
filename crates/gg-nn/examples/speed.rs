//! Seconds of one training step (8 x 128 x 128) and of one predicted slice (256 x 256) of the U-Net, per engine.
//!
//!     cargo run --release -p gg-nn --example speed -- [BASE] [REPEATS]
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use gg_nn::engine::{BurnEngine, DropoutKey, Engine, Images};
use gg_nn::net::{NetConfig, UnetConfig};
use gg_nn::{Adam, AdamConfig, Loss, Weights, engine_for, update_running_stats};
use std::time::Instant;

fn main() {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<usize>().unwrap());
    let (base, repeats) = (args.next().unwrap_or(32), args.next().unwrap_or(5));
    let net = NetConfig::Unet(UnetConfig { base, dropout: 0.0, ..UnetConfig::default() });
    let graph = net.graph().unwrap();
    let (n, side) = (8, 128);
    let x: Vec<f32> = (0..n * side * side).map(|i| (i * 37 % 256) as f32 / 255.0).collect();
    let y: Vec<f32> = x.iter().map(|v| f32::from(u8::from(*v > 0.7))).collect();
    let loss = Loss::BceDice { bce: 0.5, dice: 0.5, smooth: 1.0 };
    let mut engines: Vec<Box<dyn Engine>> = vec![engine_for(&graph)];
    if engines[0].name() != "burn-flex" {
        engines.push(Box::new(BurnEngine::new(graph.clone())));
    }
    for mut engine in engines {
        let mut weights = Weights::init(&net, 1).unwrap();
        let mut adam = Adam::new(&graph);
        let images = Images { values: &x, n, height: side, width: side };
        let mut step = || {
            engine.set_weights(&weights).unwrap();
            let key = DropoutKey { seed: 0, step: 0 };
            let g = engine.gradients(&images, key, &mut |z| loss.value_and_slope(z, &y, &[])).unwrap();
            adam.step(&AdamConfig::default(), 1e-3, &mut weights, &g.by_param);
            update_running_stats(&graph, &mut weights, &g.batch_stats);
        };
        let train = median(repeats, &mut step);
        engine.set_weights(&weights).unwrap();
        let two = Images { values: &x, n: 2, height: 256, width: 256 };
        let predict = median(repeats, &mut || drop(engine.predict(&two).unwrap())) / 2.0;
        println!(
            "{{\"engine\":\"{}\",\"base\":{base},\"train_step_ms\":{:.1},\"predict_slice_ms\":{:.1}}}",
            engine.name(),
            1e3 * train,
            1e3 * predict
        );
    }
}

/// Median seconds of some calls after one to warm up.
fn median(repeats: usize, f: &mut dyn FnMut()) -> f64 {
    f();
    let mut secs: Vec<f64> = (0..repeats.max(1))
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64()
        })
        .collect();
    secs.sort_by(f64::total_cmp);
    secs[secs.len() / 2]
}
