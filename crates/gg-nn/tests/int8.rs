//! Prediction in int8 beside fp32: close on every network and instruction set, and refused where it cannot be.
#![allow(clippy::unwrap_used)]

use gg_nn::engine::{Arithmetic, CpuEngine, Engine, EngineError, Images, Int8Engine, Isa, Precision};
use gg_nn::net::{
    Block, ClassifierAConfig, ClassifierBConfig, Graph, NetConfig, Norm, Skips, UnetClassifierConfig,
    UnetConfig,
};
use gg_nn::{Bundle, Calibration, Predictor, Weights};
use std::path::Path;

fn noise(len: usize, seed: u32) -> Vec<f32> {
    (0..len as u32)
        .map(|i| (i.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32)
        .collect()
}

fn nets() -> Vec<(NetConfig, usize)> {
    let unet = |in_channels, base, norm| {
        NetConfig::Unet(UnetConfig { in_channels, base, levels: 3, norm, ..UnetConfig::default() })
    };
    let nested = |base, deep_supervision| {
        let plain = UnetConfig { base, levels: 3, deep_supervision, ..UnetConfig::default() };
        NetConfig::Unet(UnetConfig { skips: Skips::Nested, ..plain })
    };
    let residual = |in_channels, base, norm, skips| {
        let plain = UnetConfig { in_channels, base, levels: 3, norm, skips, ..UnetConfig::default() };
        NetConfig::Unet(UnetConfig { block: Block::Residual, ..plain })
    };
    let a = ClassifierAConfig { widths: vec![20, 16, 40], dense: 33, ..Default::default() };
    let b = ClassifierBConfig { widths: vec![16, 24], dense: 12, ..Default::default() };
    let of_unet = UnetClassifierConfig { base: 8, levels: 3, dense: 12, ..UnetClassifierConfig::default() };
    let encoder = UnetClassifierConfig { block: Block::Residual, ..of_unet.clone() };
    vec![
        (unet(1, 16, Norm::Batch), 32),
        (unet(3, 5, Norm::Batch), 20),
        (unet(1, 8, Norm::None), 36),
        (NetConfig::ClassifierA(a), 24),
        (NetConfig::ClassifierB(b), 24),
        (NetConfig::UnetArea(of_unet), 24),
        (NetConfig::Encoder(encoder), 24),
        (nested(16, false), 32),
        (nested(5, true), 20),
        (residual(1, 16, Norm::Batch, Skips::Plain), 32),
        (residual(3, 5, Norm::Batch, Skips::Nested), 20),
        (residual(1, 8, Norm::None, Skips::Plain), 36),
    ]
}

fn weights(net: &NetConfig) -> Weights {
    let mut weights = Weights::init(net, 1).unwrap();
    for (name, t) in &mut weights.tensors {
        if name.ends_with("bias") || name.ends_with("running_mean") {
            t.values = noise(t.values.len(), 3).iter().map(|v| 0.2 * (v - 0.5)).collect();
        }
    }
    weights
}

fn calibrate(graph: &Graph, weights: &Weights, isa: Isa, images: &Images<'_>) -> Calibration {
    let mut engine = CpuEngine::new(graph.clone(), Arithmetic::fp32(isa)).unwrap();
    engine.set_weights(weights).unwrap();
    Calibration::measure::<EngineError>(&mut engine, |look| look(images)).unwrap()
}

#[test]
fn int8_stays_near_fp32_and_gives_the_same_bytes_on_every_instruction_set_and_in_every_batch() {
    for (net, side) in nets() {
        let graph = net.graph().unwrap();
        let weights = weights(&net);
        let n = 3;
        let len = graph.in_channels() * side * side;
        let x = noise(n * len, 7);
        let images = Images { values: &x, n, height: side, width: side };
        let ranges = calibrate(&graph, &weights, Isa::detect(), &images);
        assert_eq!(ranges.slices, n);
        let mut fp32 = CpuEngine::new(graph.clone(), Arithmetic::fp32(Isa::detect())).unwrap();
        fp32.set_weights(&weights).unwrap();
        let right = fp32.predict(&images).unwrap();
        let mut first: Option<Vec<f32>> = None;
        for isa in Isa::available() {
            let mut engine = Int8Engine::new(graph.clone(), isa, &ranges).unwrap();
            assert!(matches!(engine.predict(&images), Err(EngineError::NoWeights)));
            engine.set_weights(&weights).unwrap();
            assert_eq!(engine.arithmetic(), Arithmetic { isa, precision: Precision::Int8 });
            let found = engine.predict(&images).unwrap();
            let mean = right.iter().sum::<f32>() / right.len() as f32;
            let power = |f: &dyn Fn(usize) -> f32| (0..right.len()).map(|i| f(i).powi(2)).sum::<f32>();
            let share = (power(&|i| found[i] - right[i]) / power(&|i| right[i] - mean)).sqrt();
            // A classifier says nearly the same of all of these images.
            let largest = right.iter().zip(&found).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            let near = share < 0.15 || (!graph.segments() && largest < 0.05);
            assert!(near, "{isa}: {net:?} differs by {share}, {largest}");
            let alone: Vec<f32> = (0..n)
                .flat_map(|i| {
                    let values = &x[i * len..(i + 1) * len];
                    engine.predict(&Images { values, n: 1, height: side, width: side }).unwrap()
                })
                .collect();
            assert_eq!(alone, found, "{isa}: images one by one");
            match &first {
                None => first = Some(found),
                Some(first) => assert_eq!(*first, found, "{isa}"),
            }
        }
    }
}

#[test]
fn int8_without_its_ranges_is_refused_in_one_sentence() {
    let (net, side) = nets().remove(0);
    let graph = net.graph().unwrap();
    let weights = weights(&net);
    let x = noise(side * side, 7);
    let images = Images { values: &x, n: 1, height: side, width: side };
    let mut ranges = calibrate(&graph, &weights, Isa::detect(), &images);
    ranges.ranges.remove("dec.0.conv1");
    let error = Int8Engine::new(graph.clone(), Isa::detect(), &ranges).err().unwrap().to_string();
    assert_eq!(error, "the calibration for int8 has no range for layer dec.0.conv1");
    let int8 = Arithmetic { isa: Isa::detect(), precision: Precision::Int8 };
    let error = CpuEngine::new(graph, int8).err().unwrap().to_string();
    assert!(error.starts_with("found no calibration for int8, right would be"), "{error}");
}

#[test]
fn networks_that_int8_cannot_compute_are_refused_by_the_layer() {
    let plain = UnetConfig { base: 4, levels: 3, ..UnetConfig::default() };
    let gated = UnetConfig { skips: Skips::Gated, ..plain };
    let error = Int8Engine::check(&NetConfig::Unet(gated).graph().unwrap()).unwrap_err().to_string();
    assert_eq!(
        error,
        "found the layer gate.0.gate, which int8 cannot compute, right would be fp32 or bf16 for this network"
    );
}

/// The models in the box on slices of their first fold's patients.
#[test]
fn int8_and_bf16_say_nearly_the_probabilities_of_fp32_on_real_ct() {
    let Some(data) = gg_testkit::real_data("probabilities in int8") else { return };
    let set = gg_dataset::Dataset::open(&data.join("covid20")).unwrap().value;
    let isa = Isa::detect();
    for task in ["lung", "infection"] {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let bundle = Bundle::load(&models.join(format!("{task}.safetensors"))).unwrap();
        let mut sums = [(0.0f64, 0.0f32, 0usize, 0usize); 2];
        for case in set.cases.iter().take(6) {
            let loaded = set.load(case, &Default::default()).unwrap();
            let ct = &loaded.scan.ct;
            let prepared = gg_imaging::prepare(ct, &ct.grid.axis_map(), &bundle.info.prepare).value;
            let chosen = prepared.images.iter().step_by(8);
            let pictures: Vec<Vec<&[u8]>> = chosen.map(|image| vec![image.as_slice()]).collect();
            let probabilities = |precision| {
                let arithmetic = Arithmetic { isa, precision };
                Predictor::load(&bundle, arithmetic).unwrap().predict(&pictures).unwrap().concat()
            };
            let right = probabilities(Precision::Fp32);
            for (precision, sums) in [Precision::Int8, Precision::Bf16].into_iter().zip(&mut sums) {
                if precision == Precision::Bf16 && !isa.has_bf16() {
                    continue;
                }
                for (a, b) in probabilities(precision).iter().zip(&right) {
                    let t = bundle.info.threshold;
                    sums.0 += f64::from((a - b).abs());
                    sums.1 = sums.1.max((a - b).abs());
                    sums.2 += usize::from((*a >= t) != (*b >= t));
                    sums.3 += 1;
                }
            }
        }
        for (name, (sum, most, turned, of)) in ["int8", "bf16"].into_iter().zip(sums) {
            let (mean, share) = (sum / of.max(1) as f64, turned as f64 / of.max(1) as f64);
            eprintln!(
                "{task} in {name}: probabilities differ by {mean:.6} in the mean, {most:.3} at most; {share:.6} of pixels \
                 change sides"
            );
            assert!(mean < 0.002 && share < 0.001, "{task} in {name}: {mean}, {share}");
        }
    }
}
