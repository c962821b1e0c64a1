//! Networks, losses, gradients, running statistics and Adam against PyTorch (`golden/scripts/nn.py`).
#![allow(clippy::unwrap_used, clippy::panic)]

use gg_nn::engine::{Arithmetic, BurnEngine, CpuEngine, DropoutKey, Engine, Images, Isa};
use gg_nn::net::{Block, ClassifierAConfig, ClassifierBConfig, Graph, NetConfig, Skips, UnetConfig};
use gg_nn::{Adam, AdamConfig, Loss, Supervision, Tensor, Weights, update_running_stats};
use gg_testkit::{Golden, assert_close};

const KEY: DropoutKey = DropoutKey { seed: 0, step: 0 };

fn nets() -> [(&'static str, NetConfig, Loss); 6] {
    const BOTH: Loss = Loss::BceDice { bce: 0.5, dice: 0.5, smooth: 1.0 };
    let unet = UnetConfig { base: 4, levels: 3, dropout: 0.0, ..UnetConfig::default() };
    let a = ClassifierAConfig {
        widths: vec![4, 4, 8, 8],
        dense: 8,
        dropout: 0.0,
        ..ClassifierAConfig::default()
    };
    let b =
        ClassifierBConfig { widths: vec![4, 4, 8], dense: 8, dropout: 0.0, ..ClassifierBConfig::default() };
    [
        ("unet", NetConfig::Unet(unet.clone()), BOTH),
        ("unet_residual", NetConfig::Unet(UnetConfig { block: Block::Residual, ..unet.clone() }), BOTH),
        (
            "unet_gated",
            NetConfig::Unet(UnetConfig { skips: Skips::Gated, deep_supervision: true, ..unet.clone() }),
            BOTH,
        ),
        (
            "unet_nested",
            NetConfig::Unet(UnetConfig { skips: Skips::Nested, deep_supervision: true, ..unet }),
            BOTH,
        ),
        ("classifier_a", NetConfig::ClassifierA(a), Loss::Bce {}),
        ("classifier_b", NetConfig::ClassifierB(b), Loss::Bce {}),
    ]
}

fn engines(graph: &Graph) -> Vec<Box<dyn Engine>> {
    vec![
        Box::new(BurnEngine::new(graph.clone())),
        Box::new(CpuEngine::new(graph.clone(), Arithmetic::fp32(Isa::detect())).unwrap()),
    ]
}

fn weights(golden: &Golden, prefix: &str) -> Weights {
    let mut weights = Weights::default();
    for full in golden.names() {
        if let Some(name) = full.strip_prefix(&format!("{prefix}.")) {
            let tensor = Tensor { shape: golden.shape(&full), values: golden.f32(&full) };
            weights.tensors.insert(name.to_string(), tensor);
        }
    }
    weights
}

#[track_caller]
fn assert_weights_close(found: &Weights, right: &Weights, absolute: f32, relative: f32) {
    assert_eq!(found.tensors.keys().collect::<Vec<_>>(), right.tensors.keys().collect::<Vec<_>>());
    for (name, t) in &right.tensors {
        assert_eq!(found.tensors[name].shape, t.shape, "{name}");
        for (i, (f, r)) in found.tensors[name].values.iter().zip(&t.values).enumerate() {
            assert!(
                (f - r).abs() <= absolute + relative * r.abs(),
                "{name} value {i}: found {f}, expected {r}"
            );
        }
    }
}

#[test]
fn forward_gradients_statistics_and_ten_adam_steps_equal_pytorch() {
    for (name, net, loss) in nets() {
        let golden = Golden::open(&format!("nn/{name}.safetensors"));
        let graph = net.graph().unwrap();
        let (x, y) = (golden.f32("x"), golden.f32("y"));
        let s = if golden.has("s") { golden.f32("s") } else { vec![] };
        let images = Images { values: &x, n: golden.shape("x")[0], height: 32, width: 32 };
        let start = weights(&golden, "w");
        for mut engine in engines(&graph) {
            eprintln!("{name} on {}", engine.name());
            engine.set_weights(&start).unwrap();
            assert_close(&engine.predict(&images).unwrap(), &golden.f32("eval_logits"), 1e-5, 1e-5);

            let supervision = Supervision::new(&graph, 32).unwrap();
            let mut by_logits = |z: &[f32]| supervision.value_and_slope(&loss, z, &y, &s);
            let found = engine.gradients(&images, KEY, &mut by_logits).unwrap();
            assert_close(&found.logits, &golden.f32("train_logits"), 2e-5, 1e-5);
            assert_close(&[found.loss as f32], &golden.f32("loss"), 1e-6, 1e-6);
            assert_weights_close(&found.by_param, &weights(&golden, "g"), 2e-6, 1e-4);
            let mut after = start.clone();
            update_running_stats(&graph, &mut after, &found.batch_stats);
            after.tensors.retain(|n, _| n.contains("running"));
            assert_weights_close(&after, &weights(&golden, "r"), 1e-6, 1e-6);

            let mut trained = start.clone();
            let mut adam = Adam::new(&graph);
            let mut losses = vec![];
            for _ in 0..10 {
                engine.set_weights(&trained).unwrap();
                let g = engine.gradients(&images, KEY, &mut by_logits).unwrap();
                losses.push(g.loss as f32);
                adam.step(Isa::detect(), &AdamConfig::default(), 1e-3, &mut trained, &g.by_param);
                update_running_stats(&graph, &mut trained, &g.batch_stats);
            }
            assert_close(&losses, &golden.f32("losses"), 1e-5, 1e-5);
            let mut right = weights(&golden, "a");
            without_cancelled(&mut trained, &mut right, &weights(&golden, "g"));
            assert_weights_close(&trained, &right, 1e-4, 1e-4);
        }
    }
}

/// Leaves out values whose gradient is 0 up to rounding, as of a bias that a batch norm cancels: Adam divides the rounding
/// by itself, so that they move in a direction of their own.
fn without_cancelled(found: &mut Weights, right: &mut Weights, gradients: &Weights) {
    let mut left_out = 0;
    for (name, g) in &gradients.tensors {
        for (i, _) in g.values.iter().enumerate().filter(|(_, g)| g.abs() < 1e-9) {
            for w in [&mut *found, &mut *right] {
                w.tensors.get_mut(name).unwrap().values[i] = 0.0;
            }
            left_out += 1;
        }
    }
    assert!(left_out < 40, "{left_out} values left out");
}

#[test]
fn losses_and_their_slopes_equal_pytorch() {
    let golden = Golden::open("nn/losses.safetensors");
    let (z, y, s) = (golden.f32("z"), golden.f32("y"), golden.f32("s"));
    for (name, loss, weights) in [
        ("bce", Loss::Bce {}, &[][..]),
        ("bce_weighted", Loss::Bce {}, &s),
        ("dice", Loss::Dice { smooth: 1.0 }, &[]),
        ("bce_dice", Loss::BceDice { bce: 0.5, dice: 0.5, smooth: 1.0 }, &[]),
        ("tversky", Loss::Tversky { alpha: 0.3, beta: 0.7, smooth: 1.0 }, &[]),
        ("focal", Loss::Focal { gamma: 2.0, alpha: 0.25 }, &[]),
    ] {
        let (value, slope) = loss.value_and_slope(&z, &y, weights);
        eprintln!("{name}");
        assert_close(&[value as f32], &golden.f32(name), 1e-7, 1e-6);
        assert_close(&slope, &golden.f32(&format!("d_{name}")), 1e-9, 1e-5);
    }
}
