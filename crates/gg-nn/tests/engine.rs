//! What every engine promises: the same bytes at any number of threads, images independent of their batch, right slopes,
//! refusal of what does not fit, and learning.
#![allow(clippy::unwrap_used)]

use gg_nn::engine::{Arithmetic, BurnEngine, CpuEngine, DropoutKey, Engine, Gradients, Images, Isa};
use gg_nn::net::{Block, ClassifierBConfig, Graph, NetConfig, Skips, UnetConfig};
use gg_nn::{Adam, AdamConfig, Loss, Supervision, Weights, update_running_stats};

const LOSS: Loss = Loss::BceDice { bce: 0.5, dice: 0.5, smooth: 1.0 };
const KEY: DropoutKey = DropoutKey { seed: 3, step: 5 };

fn unet(base: usize, levels: usize, dropout: f64) -> NetConfig {
    NetConfig::Unet(UnetConfig { base, levels, dropout, ..UnetConfig::default() })
}

fn engines(graph: &Graph) -> Vec<Box<dyn Engine>> {
    vec![
        Box::new(BurnEngine::new(graph.clone())),
        Box::new(CpuEngine::new(graph.clone(), Arithmetic::fp32(Isa::detect())).unwrap()),
    ]
}

/// Numbers 0..1 from a counter.
fn noise(len: usize, seed: u32) -> Vec<f32> {
    (0..len as u32)
        .map(|i| (i.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32)
        .collect()
}

fn in_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

#[test]
fn prediction_and_gradients_are_the_same_bytes_at_one_two_and_three_threads() {
    let net = unet(16, 4, 0.25);
    let graph = net.graph().unwrap();
    let weights = Weights::init(&net, 1).unwrap();
    let (n, side) = (4, 64);
    let x = noise(n * side * side, 1);
    let y: Vec<f32> = noise(n * side * side, 9).iter().map(|v| (*v > 0.6).into()).collect();
    let images = Images { values: &x, n, height: side, width: side };
    let run = |threads| {
        in_threads(threads, || {
            let mut results: Vec<(Vec<f32>, Gradients)> = vec![];
            for mut engine in engines(&graph) {
                engine.set_weights(&weights).unwrap();
                let logits = engine.predict(&images).unwrap();
                results.push((
                    logits,
                    engine.gradients(&images, KEY, &mut |z| LOSS.value_and_slope(z, &y, &[])).unwrap(),
                ));
            }
            results
        })
    };
    let one = run(1);
    for threads in [2, 3] {
        for (a, b) in one.iter().zip(run(threads)) {
            assert_eq!(a.0, b.0, "logits at {threads} threads");
            assert_eq!(a.1.logits, b.1.logits, "training logits at {threads} threads");
            assert_eq!(a.1.batch_stats, b.1.batch_stats, "statistics at {threads} threads");
            for (name, t) in &a.1.by_param.tensors {
                assert_eq!(t, &b.1.by_param.tensors[name], "gradient of {name} at {threads} threads");
            }
        }
    }
}

#[test]
fn an_image_gets_the_same_logits_alone_and_among_others() {
    let net = unet(8, 3, 0.0);
    let graph = net.graph().unwrap();
    let x = noise(5 * 48 * 32, 4);
    for mut engine in engines(&graph) {
        engine.set_weights(&Weights::init(&net, 2).unwrap()).unwrap();
        let all = engine.predict(&Images { values: &x, n: 5, height: 48, width: 32 }).unwrap();
        let one = |i: usize| x[i * 48 * 32..(i + 1) * 48 * 32].to_vec();
        for i in 0..5 {
            let alone = engine.predict(&Images { values: &one(i), n: 1, height: 48, width: 32 }).unwrap();
            assert_eq!(alone, all[i * 48 * 32..(i + 1) * 48 * 32]);
        }
    }
}

#[test]
fn gradients_are_the_difference_quotients_of_the_loss() {
    // f32 arithmetic, so that a few parameters of each layer are checked with a wide step.
    check_gradients(&unet(4, 2, 0.25), 8);
    for (block, skips) in [(Block::Residual, Skips::Gated), (Block::Plain, Skips::Nested)] {
        check_gradients(&NetConfig::Unet(chosen(block, skips)), 16);
    }
}

fn chosen(block: Block, skips: Skips) -> UnetConfig {
    UnetConfig {
        block,
        skips,
        deep_supervision: true,
        base: 4,
        levels: 3,
        dropout: 0.0,
        ..UnetConfig::default()
    }
}

fn check_gradients(net: &NetConfig, side: usize) {
    let graph = net.graph().unwrap();
    let supervision = Supervision::new(&graph, side).unwrap();
    let weights = Weights::init(net, 12).unwrap();
    let n = 2;
    let x = noise(n * side * side, 2);
    let y: Vec<f32> = noise(n * side * side, 7).iter().map(|v| (*v > 0.5).into()).collect();
    let images = Images { values: &x, n, height: side, width: side };
    for mut engine in engines(&graph) {
        let mut loss_at = |w: &Weights| {
            engine.set_weights(w).unwrap();
            let mut loss = |z: &[f32]| supervision.value_and_slope(&LOSS, z, &y, &[]);
            engine.gradients(&images, KEY, &mut loss).unwrap()
        };
        let right = loss_at(&weights).by_param;
        for (name, t) in &right.tensors {
            let largest =
                t.values.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap().0;
            let step = 4e-4;
            let moved = |by: f32| {
                let mut w = weights.clone();
                w.tensors.get_mut(name).unwrap().values[largest] += by;
                w
            };
            let quotient =
                (loss_at(&moved(step)).loss - loss_at(&moved(-step)).loss) / (2.0 * f64::from(step));
            let slope = f64::from(t.values[largest]);
            assert!(
                (quotient - slope).abs() <= 2e-3 + 0.05 * slope.abs(),
                "{name}: slope {slope}, quotient {quotient}"
            );
        }
    }
}

#[test]
fn one_batch_can_be_learned_by_heart() {
    let (n, side) = (2, 32);
    let x = noise(n * side * side, 3);
    let mask: Vec<f32> =
        (0..n * side * side).map(|i| f32::from(u8::from((i % side) > (i / side) % side))).collect();
    let classes = vec![0.0, 1.0];
    let classifier =
        ClassifierBConfig { widths: vec![8, 8], dense: 8, dropout: 0.0, ..ClassifierBConfig::default() };
    for (net, y, loss) in [
        (unet(8, 3, 0.0), &mask, LOSS),
        (NetConfig::Unet(chosen(Block::Residual, Skips::Gated)), &mask, LOSS),
        (NetConfig::Unet(chosen(Block::Plain, Skips::Nested)), &mask, LOSS),
        (NetConfig::ClassifierB(classifier), &classes, Loss::Bce {}),
    ] {
        let graph = net.graph().unwrap();
        let supervision = Supervision::new(&graph, side).unwrap();
        for mut engine in engines(&graph) {
            let mut weights = Weights::init(&net, 4).unwrap();
            let mut adam = Adam::new(&graph);
            let mut last = f64::MAX;
            for step in 0..80 {
                engine.set_weights(&weights).unwrap();
                let images = Images { values: &x, n, height: side, width: side };
                let key = DropoutKey { seed: 0, step };
                let mut by_logits = |z: &[f32]| supervision.value_and_slope(&loss, z, y, &[]);
                let g = engine.gradients(&images, key, &mut by_logits).unwrap();
                adam.step(Isa::detect(), &AdamConfig::default(), 1e-2, &mut weights, &g.by_param);
                update_running_stats(&graph, &mut weights, &g.batch_stats);
                last = g.loss;
            }
            assert!(last < 0.05, "loss {last}");
        }
    }
}

#[test]
fn what_does_not_fit_the_network_is_refused() {
    let net = unet(4, 3, 0.0);
    let graph = net.graph().unwrap();
    for mut engine in engines(&graph) {
        let x = noise(64, 0);
        let images = Images { values: &x, n: 1, height: 8, width: 8 };
        assert_eq!(engine.predict(&images).unwrap_err().to_string(), "the engine has no weights yet");
        let other = Weights::init(&unet(8, 3, 0.0), 0).unwrap();
        let error = engine.set_weights(&other).unwrap_err().to_string();
        assert_eq!(
            error,
            "weights down.0.conv1.weight have shape [8, 1, 3, 3], the network needs [4, 1, 3, 3]"
        );
        engine.set_weights(&Weights::init(&net, 0).unwrap()).unwrap();
        let error = engine.predict(&Images { n: 2, ..images }).unwrap_err().to_string();
        assert_eq!(error, "64 values in the batch, 128 expected");
        let error = engine.predict(&Images { height: 4, width: 16, ..images }).map(|_| ());
        assert!(error.is_ok());
        let error = engine.predict(&Images { height: 2, width: 32, ..images }).unwrap_err().to_string();
        assert_eq!(error, "image of 2 x 32 pixels, this network takes sides divisible by 4");
    }
}
