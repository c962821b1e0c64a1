//! The engine on our own kernels gives what Burn gives, for each network and each instruction set.
#![allow(clippy::unwrap_used)]

use gg_nn::engine::{Arithmetic, BurnEngine, CpuEngine, DropoutKey, Engine, Images, Isa, Precision};
use gg_nn::net::{
    Block, ClassifierAConfig, ClassifierBConfig, NetConfig, Norm, Skips, UnetClassifierConfig, UnetConfig,
};
use gg_nn::{Loss, Weights};

const LOSS: Loss = Loss::BceDice { bce: 0.5, dice: 0.5, smooth: 1.0 };

fn noise(len: usize, seed: u32) -> Vec<f32> {
    (0..len as u32)
        .map(|i| (i.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32)
        .collect()
}

/// Largest difference, relative to the largest value.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1e-6f64, |m, v| m.max(f64::from(v.abs())));
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max) / largest
}

#[test]
fn bf16_stays_near_fp32_in_prediction_and_training_and_is_refused_where_the_processor_lacks_it() {
    let plain = UnetConfig { base: 16, levels: 4, dropout: 0.0, ..UnetConfig::default() };
    bf16_stays_near_fp32(&NetConfig::Unet(plain.clone()), 0.3);
    let joined = UnetConfig { block: Block::Residual, skips: Skips::Gated, ..plain };
    bf16_stays_near_fp32(&NetConfig::Unet(joined), 0.4);
}

fn bf16_stays_near_fp32(net: &NetConfig, largest: f64) {
    let graph = net.graph().unwrap();
    let weights = Weights::init(net, 1).unwrap();
    let (n, side) = (2, 32);
    let x = noise(n * side * side, 1);
    let y: Vec<f32> = noise(n * side * side, 9).iter().map(|v| (*v > 0.6).into()).collect();
    let images = Images { values: &x, n, height: side, width: side };
    let key = DropoutKey { seed: 3, step: 5 };
    for isa in Isa::available() {
        let bf16 = Arithmetic { isa, precision: Precision::Bf16 };
        if !isa.has_bf16() {
            let error = CpuEngine::new(graph.clone(), bf16).err().unwrap().to_string();
            assert!(error.starts_with("found precision bf16, right would be fp32"), "{error}");
            continue;
        }
        let [right, found] = [Arithmetic::fp32(isa), bf16].map(|arithmetic| {
            let mut engine = CpuEngine::new(graph.clone(), arithmetic).unwrap();
            assert_eq!(engine.arithmetic(), arithmetic);
            engine.set_weights(&weights).unwrap();
            let logits = engine.predict(&images).unwrap();
            let found = engine.gradients(&images, key, &mut |z| LOSS.value_and_slope(z, &y, &[])).unwrap();
            (logits, found)
        });
        let d = difference(&found.0, &right.0);
        assert!(d > 0.0 && d < 0.03, "logits differ by {d}");
        assert!((found.1.loss - right.1.loss).abs() < 0.01 * right.1.loss);
        for (name, t) in &right.1.by_param.tensors {
            let (a, b) = (found.1.by_param.values(name), &t.values);
            let norm = |f: &dyn Fn(usize) -> f32| (0..b.len()).map(|i| f64::from(f(i)).powi(2)).sum::<f64>();
            let share = (norm(&|i| a[i] - b[i]) / norm(&|i| b[i])).sqrt();
            assert!(share < largest, "gradient of {name} differs by {share}");
        }
    }
}

#[test]
fn our_kernels_give_what_burn_gives() {
    let unet = |in_channels, base, norm| {
        NetConfig::Unet(UnetConfig { in_channels, base, levels: 3, norm, ..UnetConfig::default() })
    };
    let of_parts = |block, skips, in_channels, base, norm| {
        NetConfig::Unet(UnetConfig {
            block,
            skips,
            in_channels,
            base,
            levels: 3,
            norm,
            ..UnetConfig::default()
        })
    };
    let deep = |skips, base| {
        NetConfig::Unet(UnetConfig {
            skips,
            deep_supervision: true,
            base,
            levels: 4,
            ..UnetConfig::default()
        })
    };
    let of_unet = UnetClassifierConfig { base: 8, levels: 3, dense: 12, ..UnetClassifierConfig::default() };
    let residual = UnetClassifierConfig { block: Block::Residual, ..of_unet.clone() };
    let nets = [
        (unet(1, 16, Norm::Batch), 32),
        (unet(3, 5, Norm::Batch), 24),
        (unet(1, 8, Norm::None), 16),
        (
            NetConfig::ClassifierA(ClassifierAConfig {
                widths: vec![20, 16, 40],
                dense: 33,
                ..Default::default()
            }),
            24,
        ),
        (
            NetConfig::ClassifierB(ClassifierBConfig {
                widths: vec![16, 24],
                dense: 12,
                ..Default::default()
            }),
            24,
        ),
        (NetConfig::Encoder(of_unet.clone()), 24),
        (NetConfig::UnetArea(of_unet), 24),
        (NetConfig::Encoder(residual.clone()), 24),
        (NetConfig::UnetArea(residual), 24),
        (of_parts(Block::Residual, Skips::Plain, 1, 16, Norm::Batch), 24),
        (of_parts(Block::Residual, Skips::Plain, 3, 5, Norm::None), 16),
        (of_parts(Block::Plain, Skips::Gated, 1, 20, Norm::Batch), 24),
        (of_parts(Block::Plain, Skips::Gated, 3, 8, Norm::None), 16),
        (of_parts(Block::Plain, Skips::Nested, 1, 12, Norm::Batch), 24),
        (of_parts(Block::Residual, Skips::Nested, 3, 5, Norm::None), 16),
        (of_parts(Block::Residual, Skips::Gated, 1, 8, Norm::Batch), 16),
        (deep(Skips::Plain, 16), 16),
        (deep(Skips::Nested, 5), 16),
    ];
    for (net, side) in nets {
        let graph = net.graph().unwrap();
        let mut weights = Weights::init(&net, 1).unwrap();
        for (name, t) in &mut weights.tensors {
            if name.ends_with("bias") || name.ends_with("running_mean") {
                t.values = noise(t.values.len(), 3).iter().map(|v| v - 0.5).collect();
            }
        }
        let n = 3;
        // A seed with which no value lies so near to a ReLU's kink that rounding decides about its slope.
        let x = noise(n * graph.in_channels() * side * side, 12);
        let shapes = graph.shapes(side, side).unwrap();
        let values: usize = graph.ends().iter().map(|&i| shapes[i].iter().product::<usize>()).sum();
        let y: Vec<f32> = noise(n * values, 9).iter().map(|v| (*v > 0.6).into()).collect();
        let images = Images { values: &x, n, height: side, width: side };
        let key = DropoutKey { seed: 3, step: 5 };
        let mut burn = BurnEngine::new(graph.clone());
        burn.set_weights(&weights).unwrap();
        let logits = burn.predict(&images).unwrap();
        let right = burn.gradients(&images, key, &mut |z| LOSS.value_and_slope(z, &y, &[])).unwrap();
        for isa in Isa::available() {
            let mut cpu = CpuEngine::new(graph.clone(), Arithmetic::fp32(isa)).unwrap();
            cpu.set_weights(&weights).unwrap();
            let d = difference(&cpu.predict(&images).unwrap(), &logits);
            assert!(d < 1e-4, "{isa}: logits differ by {d}");
            // The second step runs on memory that was used before.
            for _ in 0..2 {
                let found = cpu.gradients(&images, key, &mut |z| LOSS.value_and_slope(z, &y, &[])).unwrap();
                let d = difference(&found.logits, &right.logits);
                assert!(d < 1e-4, "{isa}: training logits differ by {d}");
                assert!((found.loss - right.loss).abs() < 1e-4);
                assert_eq!(found.batch_stats.len(), right.batch_stats.len());
                for (f, r) in found.batch_stats.iter().zip(&right.batch_stats) {
                    assert_eq!((&f.layer, f.count), (&r.layer, r.count));
                    assert!(difference(&f.mean, &r.mean) < 1e-4, "{isa}: mean of {}", f.layer);
                    assert!(
                        difference(&f.biased_var, &r.biased_var) < 1e-4,
                        "{isa}: variance of {}",
                        f.layer
                    );
                }
                assert_eq!(found.by_param.tensors.len(), right.by_param.tensors.len());
                for (name, t) in &right.by_param.tensors {
                    assert_eq!(found.by_param.tensors[name].shape, t.shape);
                    let d = difference(found.by_param.values(name), &t.values);
                    assert!(d < 1e-3, "{isa}: gradient of {name} differs by {d}");
                }
            }
        }
    }
}
