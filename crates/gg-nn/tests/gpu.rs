//! A graphics card gives what our kernels give, up to rounding. Without a card, or in a build without GPU, this is skipped
//! and says so. A software renderer counts as a card here.
//!
//! Tolerances are wide enough for cards that multiply fp32 with 10 bits of mantissa.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use gg_nn::engine::{
    Arithmetic, CpuEngine, DropoutKey, Engine, Gpu, Gradients, Images, Isa, Precision, Processor, gpus,
};
use gg_nn::net::{ClassifierBConfig, NetConfig, UnetConfig};
use gg_nn::{Adam, AdamConfig, Loss, Weights, engine_for, update_running_stats};
use std::sync::OnceLock;

const LOSS: Loss = Loss::BceDice { bce: 0.5, dice: 0.5, smooth: 1.0 };

/// The first card, or why a test is skipped.
fn card() -> Option<Gpu> {
    static CARD: OnceLock<Option<Gpu>> = OnceLock::new();
    let card = CARD.get_or_init(|| gpus().first().map(|found| found.open().unwrap()));
    match card {
        Some(gpu) => eprintln!("on {:?}", gpu.info()),
        None => eprintln!("skipped: this build and machine have no GPU"),
    }
    card.clone()
}

fn noise(len: usize, seed: u32) -> Vec<f32> {
    (0..len as u32)
        .map(|i| (i.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32)
        .collect()
}

/// Norm of the difference, as a share of the norm of what is right.
fn share(found: &[f32], right: &[f32]) -> f64 {
    assert_eq!(found.len(), right.len());
    let norm = |f: &dyn Fn(usize) -> f32| (0..right.len()).map(|i| f64::from(f(i)).powi(2)).sum::<f64>();
    (norm(&|i| found[i] - right[i]) / norm(&|i| right[i]).max(1e-12)).sqrt()
}

fn nets() -> [(NetConfig, usize); 2] {
    let unet = UnetConfig { in_channels: 3, base: 8, levels: 3, dropout: 0.25, ..UnetConfig::default() };
    let classifier = ClassifierBConfig { widths: vec![16, 24], dense: 12, ..Default::default() };
    [(NetConfig::Unet(unet), 32), (NetConfig::ClassifierB(classifier), 24)]
}

/// Logits of a prediction and of a training step, in this precision on the card and in fp32 on the CPU.
fn both(gpu: &Gpu, precision: Precision, net: &NetConfig, side: usize) -> [(Vec<f32>, Gradients); 2] {
    let graph = net.graph().unwrap();
    let n = 5;
    let x = noise(n * graph.in_channels() * side * side, 7);
    let y: Vec<f32> =
        noise(n * graph.output_len(side, side).unwrap(), 9).iter().map(|v| (*v > 0.6).into()).collect();
    let images = Images { values: &x, n, height: side, width: side };
    let key = DropoutKey { seed: 3, step: 5 };
    let isa = Isa::detect();
    let on = Processor::gpu(gpu.clone(), Arithmetic { isa, precision }).unwrap();
    let cpu: Box<dyn Engine> = Box::new(CpuEngine::new(graph.clone(), Arithmetic::fp32(isa)).unwrap());
    [engine_for(&graph, on), cpu].map(|mut engine| {
        engine.set_weights(&Weights::init(net, 1).unwrap()).unwrap();
        let logits = engine.predict(&images).unwrap();
        let found = engine.gradients(&images, key, &mut |z| LOSS.value_and_slope(z, &y, &[])).unwrap();
        (logits, found)
    })
}

fn compare(found: &(Vec<f32>, Gradients), right: &(Vec<f32>, Gradients), tolerance: f64) {
    let near = |what: &str, found: &[f32], right: &[f32], tolerance: f64| {
        let share = share(found, right);
        assert!(share <= tolerance, "{what} differ by {share}");
    };
    near("logits", &found.0, &right.0, tolerance);
    let (found, right) = (&found.1, &right.1);
    near("training logits", &found.logits, &right.logits, tolerance);
    assert!((found.loss - right.loss).abs() <= tolerance * right.loss, "{} and {}", found.loss, right.loss);
    assert_eq!(found.batch_stats.len(), right.batch_stats.len());
    for (f, r) in found.batch_stats.iter().zip(&right.batch_stats) {
        assert_eq!((&f.layer, f.count), (&r.layer, r.count));
        near(&format!("variances of {}", f.layer), &f.biased_var, &r.biased_var, tolerance);
    }
    assert_eq!(found.by_param.tensors.len(), right.by_param.tensors.len());
    for (name, t) in &right.by_param.tensors {
        assert_eq!(found.by_param.tensors[name].shape, t.shape);
        // A bias before a batch norm has a gradient of rounding errors alone; slopes of ReLUs flip near their kink.
        if t.values.iter().any(|v| v.abs() > 1e-5) {
            near(&format!("gradients of {name}"), found.by_param.values(name), &t.values, 10.0 * tolerance);
        }
    }
}

#[test]
fn logits_and_gradients_on_a_card_are_those_of_our_kernels() {
    let Some(gpu) = card() else { return };
    for (net, side) in nets() {
        let [found, right] = both(&gpu, Precision::Fp32, &net, side);
        eprintln!(
            "fp32: logits differ by {:.1e}, training logits by {:.1e}",
            share(&found.0, &right.0),
            share(&found.1.logits, &right.1.logits)
        );
        compare(&found, &right, 2e-3);
    }
}

#[test]
fn bf16_on_a_card_stays_near_fp32_and_is_refused_where_the_card_lacks_it() {
    let Some(gpu) = card() else { return };
    if !gpu.has(Precision::Bf16) {
        let bf16 = Arithmetic { isa: Isa::detect(), precision: Precision::Bf16 };
        let error = Processor::gpu(gpu, bf16).err().unwrap().to_string();
        assert!(error.starts_with("found precision bf16, right would be fp32: "), "{error}");
        return;
    }
    for (net, side) in nets() {
        let [found, right] = both(&gpu, Precision::Bf16, &net, side);
        let d = share(&found.0, &right.0);
        assert!(d > 0.0 && d < 0.03, "logits differ by {d}");
        compare(&found, &right, 0.03);
    }
}

#[test]
fn training_on_a_card_learns_what_training_on_the_cpu_learns() {
    let Some(gpu) = card() else { return };
    let net = NetConfig::Unet(UnetConfig { base: 8, levels: 3, dropout: 0.0, ..UnetConfig::default() });
    let graph = net.graph().unwrap();
    let (n, side, isa) = (2, 32, Isa::detect());
    let x = noise(n * side * side, 3);
    let y: Vec<f32> =
        (0..n * side * side).map(|i| f32::from(u8::from((i % side) > (i / side) % side))).collect();
    let images = Images { values: &x, n, height: side, width: side };
    let losses = |mut engine: Box<dyn Engine>| -> Vec<f64> {
        let mut weights = Weights::init(&net, 4).unwrap();
        let mut adam = Adam::new(&graph);
        let mut step = |step| {
            engine.set_weights(&weights).unwrap();
            let key = DropoutKey { seed: 0, step };
            let g = engine.gradients(&images, key, &mut |z| LOSS.value_and_slope(z, &y, &[])).unwrap();
            adam.step(isa, &AdamConfig::default(), 1e-2, &mut weights, &g.by_param);
            update_running_stats(&graph, &mut weights, &g.batch_stats);
            g.loss
        };
        (0..40).map(&mut step).collect()
    };
    let on = Processor::gpu(gpu, Arithmetic::fp32(isa)).unwrap();
    let (found, right) = (losses(engine_for(&graph, on)), losses(engine_for(&graph, Arithmetic::fp32(isa))));
    eprintln!("loss after 40 steps: {:.5} on the card, {:.5} on the CPU", found[39], right[39]);
    for (step, (f, r)) in found.iter().zip(&right).enumerate().take(5) {
        assert!((f - r).abs() <= 0.01 * r, "step {step}: loss {f}, on the CPU {r}");
    }
    assert!(found[39] < 0.15 && right[39] < 0.15, "loss {}, on the CPU {}", found[39], right[39]);
}
