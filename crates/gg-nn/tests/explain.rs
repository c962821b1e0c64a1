//! Grad-CAM against PyTorch (`golden/scripts/explain.py`) and against numerical differentiation; occlusion against a
//! network whose answer is known.
#![allow(clippy::unwrap_used, clippy::panic)]

use gg_dataset::Task;
use gg_imaging::PrepareConfig;
use gg_nn::engine::{Arithmetic, BurnEngine, CpuEngine, Engine, Images, Isa, LayerGradient};
use gg_nn::explain::{Patch, grad_cam, last_maps, occlusion, weighted_maps};
use gg_nn::net::{ClassifierAConfig, ClassifierBConfig, NetConfig, UnetConfig};
use gg_nn::{BUNDLE_FORMAT, Bundle, BundleInfo, Precision, Tensor, Weights};
use gg_testkit::{Golden, assert_close};

fn nets() -> [(&'static str, NetConfig, &'static str); 3] {
    let a = ClassifierAConfig { widths: vec![4, 4, 8, 8], dense: 8, dropout: 0.0, ..Default::default() };
    let b = ClassifierBConfig { widths: vec![4, 4, 8], dense: 8, dropout: 0.0, ..Default::default() };
    let unet = UnetConfig { base: 4, levels: 3, dropout: 0.0, ..Default::default() };
    [
        ("classifier_a", NetConfig::ClassifierA(a), "relu.3"),
        ("classifier_b", NetConfig::ClassifierB(b), "pair.2.relu2"),
        ("unet", NetConfig::Unet(unet), "dec.1.relu2"),
    ]
}

fn weights(golden: &Golden) -> Weights {
    let mut weights = Weights::default();
    for full in golden.names() {
        if let Some(name) = full.strip_prefix("w.") {
            let tensor = Tensor { shape: golden.shape(&full), values: golden.f32(&full) };
            weights.tensors.insert(name.to_string(), tensor);
        }
    }
    weights
}

#[test]
fn maps_and_their_gradients_equal_pytorch_in_every_network() {
    let right = Golden::open("nn/grad_cam.safetensors");
    for (name, net, layer_name) in nets() {
        let golden = Golden::open(&format!("nn/{name}.safetensors"));
        let graph = net.graph().unwrap();
        let layer = last_maps(&graph).unwrap();
        assert_eq!(graph.layers[layer].name, layer_name);
        let x = golden.f32("x");
        let n = golden.shape("x")[0];
        let mut engine = BurnEngine::new(graph);
        engine.set_weights(&weights(&golden)).unwrap();
        let found = engine.layer_gradient(&Images { values: &x, n, height: 32, width: 32 }, layer).unwrap();
        assert_close(&found.values, &right.f32(&format!("{name}.values")), 1e-5, 1e-5);
        assert_close(&found.gradient, &right.f32(&format!("{name}.gradient")), 1e-6, 1e-4);
        let maps = right.f32(&format!("{name}.map"));
        let (per_map, per_image) = (maps.len() / n, found.values.len() / n);
        for i in 0..n {
            let one = LayerGradient {
                shape: found.shape,
                values: found.values[i * per_image..(i + 1) * per_image].to_vec(),
                gradient: found.gradient[i * per_image..(i + 1) * per_image].to_vec(),
            };
            assert_close(&weighted_maps(&one).values, &maps[i * per_map..(i + 1) * per_map], 1e-5, 1e-4);
        }
    }
}

/// The derivative by a convolution's bias is the sum of those by its output; the other engine, which knows nothing of
/// derivatives in prediction mode, gives the differences.
#[test]
fn gradients_equal_differences_of_the_other_engines_logits() {
    const STEP: f32 = 2e-3;
    for (name, net, conv) in
        [("classifier_a", &nets()[0].1, "conv.3"), ("classifier_b", &nets()[1].1, "pair.1.conv2")]
    {
        let golden = Golden::open(&format!("nn/{name}.safetensors"));
        let graph = net.graph().unwrap();
        let layer = graph.layers.iter().position(|l| l.name == conv).unwrap();
        let start = weights(&golden);
        let x = golden.f32("x");
        let images = Images { values: &x[..32 * 32], n: 1, height: 32, width: 32 };
        let mut burn = BurnEngine::new(graph.clone());
        burn.set_weights(&start).unwrap();
        let found = burn.layer_gradient(&images, layer).unwrap();
        let [channels, h, w] = found.shape;
        let mut cpu = CpuEngine::new(graph, Arithmetic::fp32(Isa::detect())).unwrap();
        for c in 0..channels {
            let mut logit = |by: f32| {
                let mut moved = start.clone();
                moved.tensors.get_mut(&format!("{conv}.bias")).unwrap().values[c] += by;
                cpu.set_weights(&moved).unwrap();
                f64::from(cpu.predict(&images).unwrap()[0])
            };
            let numeric = (logit(STEP) - logit(-STEP)) / f64::from(2.0 * STEP);
            let ours: f64 = found.gradient[c * h * w..(c + 1) * h * w].iter().map(|g| f64::from(*g)).sum();
            assert!(
                (numeric - ours).abs() < 2e-3 + 0.02 * ours.abs(),
                "{name} channel {c}: {ours}, {numeric}"
            );
        }
    }
}

const SIDE: usize = 32;

/// A network that fires on brightness: identity convolution less one half, mean, a steep line.
fn brightness(channels: usize) -> Bundle {
    let net = NetConfig::ClassifierA(ClassifierAConfig {
        in_channels: channels,
        widths: vec![1],
        dense: 1,
        dropout: 0.0,
        ..Default::default()
    });
    let mut weights = Weights::init(&net, 1).unwrap();
    let mut set = |name: &str, values: Vec<f32>| weights.tensors.get_mut(name).unwrap().values = values;
    let mut kernel = vec![0.0; 9 * channels];
    kernel[9 * (channels / 2) + 4] = 1.0;
    set("conv.0.weight", kernel);
    set("conv.0.bias", vec![-0.5]);
    set("dense.weight", vec![1.0]);
    set("dense.bias", vec![0.0]);
    set("out.weight", vec![100.0]);
    set("out.bias", vec![-2.0]);
    let info = BundleInfo {
        format_version: BUNDLE_FORMAT,
        name: "brightness".into(),
        task: Task::Classify,
        net,
        prepare: PrepareConfig { size: SIDE, ..PrepareConfig::default() },
        threshold: 0.5,
        temperature: 1.0,
        clean: Default::default(),
        threshold_folds: None,
        mirror: gg_nn::Mirror::None,
        interval: None,
        area: None,
        labels: Default::default(),
        manifest: serde_json::Value::Null,
        scores: serde_json::Value::Null,
        licence: "none".into(),
        weights_sha256: String::new(),
        int8: None,
        members: Vec::new(),
    };
    Bundle::new(info, &weights, Precision::F32).unwrap().0
}

#[test]
fn both_maps_light_up_where_the_network_is_known_to_look() {
    for channels in [1, 3] {
        let bundle = brightness(channels);
        let mut slice = vec![60u8; SIDE * SIDE];
        for y in 8..14 {
            slice[y * SIDE + 20..y * SIDE + 26].fill(250);
        }
        let dark = vec![60u8; SIDE * SIDE];
        let picture: Vec<&[u8]> = if channels == 1 { vec![&slice] } else { vec![&dark, &slice, &dark] };
        let cam = grad_cam(&bundle, &picture).unwrap();
        assert_eq!((cam.layer.as_str(), cam.map.side), ("relu.0", [SIDE, SIDE]));
        let mut told = (0, 0);
        let hidden = occlusion(
            &bundle,
            Arithmetic::fp32(Isa::detect()),
            &picture,
            Patch { side: 4, step: 2 },
            &mut |done, of| told = (done, of),
        )
        .unwrap();
        assert_eq!(told, (225, 225));
        let logit = f64::from(cam.logit);
        assert!((f64::from(hidden.probability) - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-5);
        assert!(hidden.largest_drop > 0.01);
        for (name, map) in [("Grad-CAM", &cam.map.values), ("occlusion", &hidden.map.values)] {
            let peak = (0..map.len()).max_by(|&a, &b| map[a].total_cmp(&map[b])).unwrap();
            let (y, x) = (peak / SIDE, peak % SIDE);
            assert!((8..14).contains(&y) && (20..26).contains(&x), "{name} of {channels}: {y}, {x}");
            assert!(map[25 * SIDE + 5].abs() < 1e-6, "{name}: a far corner is not looked at");
        }
    }
}

#[test]
fn a_layer_that_is_not_there_and_a_picture_of_another_size_are_refused() {
    let bundle = brightness(1);
    let mut engine = BurnEngine::new(bundle.graph().unwrap());
    engine.set_weights(&bundle.weights).unwrap();
    let values = vec![0.0; SIDE * SIDE];
    let images = Images { values: &values, n: 1, height: SIDE, width: SIDE };
    for layer in [0, 99] {
        let error = engine.layer_gradient(&images, layer).unwrap_err().to_string();
        assert!(error.contains(&format!("layer {layer}")) && error.contains("right would be"), "{error}");
    }
    let small = vec![0u8; 16];
    assert!(grad_cam(&bundle, &[&small]).is_err());
}
