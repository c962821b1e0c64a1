//! Model bundles: one file, the same bytes each time, and no harm from bytes that are none.
#![allow(clippy::unwrap_used)]

use gg_imaging::PrepareConfig;
use gg_nn::engine::{Arithmetic, Isa};
use gg_nn::net::UnetConfig;
use gg_nn::*;
use proptest::prelude::*;

fn net() -> NetConfig {
    NetConfig::Unet(UnetConfig { base: 2, levels: 2, ..UnetConfig::default() })
}

fn info() -> BundleInfo {
    BundleInfo {
        format_version: BUNDLE_FORMAT,
        name: "infection-phantom".into(),
        task: Task::Infection,
        net: net(),
        prepare: PrepareConfig { size: 32, ..PrepareConfig::default() },
        threshold: 0.42,
        temperature: 1.5,
        clean: gg_imaging::CleanUp { infection_smallest: 0.001, ..Default::default() },
        threshold_folds: Some(5),
        mirror: Mirror::None,
        interval: Some(interval()),
        area: None,
        labels: [("1".to_string(), "infection".to_string())].into(),
        manifest: serde_json::json!({ "seed": 1, "lr": 0.1 }),
        scores: serde_json::json!({ "val_dice": 0.875 }),
        licence: "MIT OR Apache-2.0".into(),
        weights_sha256: String::new(),
        int8: None,
        members: Vec::new(),
    }
}

fn area() -> gg_eval::AreaFit {
    gg_eval::AreaFit {
        network: 0.5,
        area: 1.0,
        neighbours: 1,
        reach: 0.0,
        offset: -2.0,
        slices: 10,
        patients: 2,
        measured: None,
    }
}

fn interval() -> gg_eval::IntervalFit {
    gg_eval::IntervalFit {
        version: 1,
        level: 0.9,
        factor: 1.75,
        floor_points: 1.0,
        patients: 13,
        measured: None,
    }
}

fn weights() -> Weights {
    Weights::init(&net(), 9).unwrap()
}

/// The file with its description changed, and without its hash, as earlier versions wrote it.
fn with_text(bytes: &[u8], change: impl Fn(String) -> String) -> Vec<u8> {
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header = String::from_utf8(bytes[8..8 + len].to_vec()).unwrap();
    let seal = ",\\\"file_sha256\\\":\\\"";
    let at = header.find(seal).unwrap();
    header.replace_range(at..at + seal.len() + 64 + 2, "");
    let unsealed = header.replace("\\\"format_version\\\":6", "\\\"format_version\\\":5");
    let header = change(unsealed);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + len..]].concat()
}

#[test]
fn a_bundle_comes_back_as_it_was_and_predicts_the_same() {
    for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let bundle = Bundle::save(&path, info(), &weights(), precision).unwrap();
        let loaded = Bundle::load(&path).unwrap();
        assert_eq!(loaded, bundle);
        let (_, again) = Bundle::new(info(), &weights(), precision).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), again, "the same bytes each time");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
        let slice: Vec<u8> = (0..32 * 32).map(|i| (i * 7 % 251) as u8).collect();
        let predict = |b: &Bundle| {
            Predictor::load(b, Arithmetic::fp32(Isa::detect()))
                .unwrap()
                .predict(&[vec![slice.as_slice()]])
                .unwrap()
        };
        assert_eq!(predict(&loaded), predict(&bundle));
        if precision == Precision::F32 {
            assert_eq!(loaded.weights, weights());
        }
    }
}

#[test]
fn slices_get_the_same_probabilities_alone_and_in_any_number() {
    for channels in [1, 3] {
        let net = NetConfig::Unet(UnetConfig {
            in_channels: channels,
            base: 2,
            levels: 2,
            ..UnetConfig::default()
        });
        let weights = Weights::init(&net, 9).unwrap();
        let (bundle, _) = Bundle::new(BundleInfo { net, ..info() }, &weights, Precision::F32).unwrap();
        let slices: Vec<Vec<u8>> =
            (0..11).map(|k| (0..32 * 32).map(|i| ((i * 7 + k * 31) % 251) as u8).collect()).collect();
        let pictures: Vec<Vec<&[u8]>> = (0..11)
            .map(|i| gg_dataset::neighbours(i, channels, 11, |_| true))
            .map(|around| around.into_iter().map(|i| slices[i].as_slice()).collect())
            .collect();
        let mut predictor = Predictor::load(&bundle, Arithmetic::fp32(Isa::detect())).unwrap();
        assert_eq!(predictor.channels(), channels);
        let probs = predictor.predict(&pictures).unwrap();
        assert_eq!(probs.len(), 11);
        for batch in [1, 2, 8] {
            let parts = pictures.chunks(batch).flat_map(|p| predictor.predict(p).unwrap());
            assert_eq!(parts.collect::<Vec<_>>(), probs, "{channels} channels in batches of {batch}");
        }
        assert!(predictor.predict(&[]).unwrap().is_empty());
        let error = predictor.predict(&[vec![&slices[0][..100]; channels]]).unwrap_err().to_string();
        assert_eq!(error, "100 values in the batch, 1024 expected");
        let error = predictor.predict(&[vec![&slices[0][..]; 2]]).unwrap_err().to_string();
        assert_eq!(error, format!("2048 values in the batch, {} expected", 1024 * channels));
    }
}

/// Training hands over a slice's neighbours as prediction does.
#[test]
fn a_network_of_three_channels_predicts_what_it_sees_in_training() {
    use gg_dataset::{BatchLoader, LoaderConfig, MemorySamples, Sample, neighbours};
    use std::sync::Arc;
    let net = NetConfig::Unet(UnetConfig { in_channels: 3, base: 2, levels: 2, ..UnetConfig::default() });
    let weights = Weights::init(&net, 4).unwrap();
    let (bundle, _) = Bundle::new(BundleInfo { net, ..info() }, &weights, Precision::F32).unwrap();
    let sample = |z: usize| Sample {
        image: (0..32 * 32).map(|i| ((i * 3 + z * 41) % 253) as u8).collect(),
        lung: None,
        infection: Some(vec![0; 32 * 32]),
        infected: None,
        case: 0,
        z,
    };
    let samples: Vec<Sample> = (0..5).map(sample).collect();
    let source = Arc::new(MemorySamples::new(32, samples.clone()).unwrap());
    let config = LoaderConfig { channels: 3, ..LoaderConfig::evaluation(Task::Infection, 5) };
    let loader = BatchLoader::new(source, (0..5).collect(), config).unwrap();
    let batch = loader.epoch(0, 0).next().unwrap().unwrap();
    let mut engine = engine_for(&bundle.graph().unwrap(), Arithmetic::fp32(Isa::detect()));
    engine.set_weights(&bundle.weights).unwrap();
    let images = engine::Images { values: &batch.images, n: batch.n, height: 32, width: 32 };
    let calibrated = |z: &f32| sigmoid(z / bundle.info.temperature);
    let in_training: Vec<f32> = engine.predict(&images).unwrap().iter().map(calibrated).collect();

    let pictures: Vec<Vec<&[u8]>> = (0..5)
        .map(|i| neighbours(i, 3, 5, |_| true).into_iter().map(|i| samples[i].image.as_slice()).collect())
        .collect();
    let predicted =
        Predictor::load(&bundle, Arithmetic::fp32(Isa::detect())).unwrap().predict(&pictures).unwrap();
    assert_eq!(predicted.concat(), in_training);
}

#[test]
fn a_bundle_from_before_int8_is_read_and_ranges_come_back_as_they_were() {
    let (_, good) = Bundle::new(info(), &weights(), Precision::F32).unwrap();
    let old = with_text(&good, |t| t.replace("\\\"format_version\\\":5", "\\\"format_version\\\":1"));
    let old = Bundle::from_bytes(&old).unwrap();
    assert_eq!((old.info.format_version, &old.info.int8), (1, &None));
    let int8 = Arithmetic { isa: Isa::detect(), precision: gg_nn::engine::Precision::Int8 };
    let error = Predictor::load(&old, int8).err().unwrap().to_string();
    assert!(error.starts_with("found no calibration for int8"), "{error}");
    let mut ranges = Calibration { version: CALIBRATION_FORMAT, slices: 3, ranges: Default::default() };
    ranges.ranges.insert("down.0.conv1".into(), [0.0, 0.1]);
    let with = |ranges: &Calibration| {
        Bundle::new(BundleInfo { int8: Some(ranges.clone()), ..info() }, &weights(), Precision::F32)
    };
    let (_, bytes) = with(&ranges).unwrap();
    assert_eq!(Bundle::from_bytes(&bytes).unwrap().info.int8.as_ref(), Some(&ranges));
    ranges.version += 1;
    assert!(with(&ranges).unwrap_err().to_string().contains("int8 calibration of format 2"));
}

#[test]
fn what_cannot_be_used_is_refused_in_one_sentence() {
    let (_, good) = Bundle::new(info(), &weights(), Precision::F32).unwrap();
    let error = |bytes: &[u8]| Bundle::from_bytes(bytes).unwrap_err().to_string();
    let newer = with_text(&good, |t| {
        t.replace("\\\"format_version\\\":5", "\\\"format_version\\\":7,\\\"more\\\":0")
    });
    assert_eq!(
        error(&newer),
        "model bundle of format 7, this program reads up to 6; use a newer groundglass"
    );
    let other = with_text(&good, |t| t.replace("\\\"base\\\":2", "\\\"base\\\":3"));
    assert_eq!(
        error(&other),
        "weights down.0.conv1.weight have shape [2, 1, 3, 3], the network needs [3, 1, 3, 3]"
    );
    let deeper = with_text(&good, |t| t.replace("\\\"levels\\\":2", "\\\"levels\\\":3"));
    assert!(error(&deeper).starts_with("no weights named") || error(&deeper).contains("the network needs"));
    let shallow = with_text(&good, |t| t.replace("\\\"levels\\\":2", "\\\"levels\\\":1"));
    assert!(error(&shallow).contains("does not have"), "{}", error(&shallow));
    let unknown = with_text(&good, |t| t.replace("\\\"licence\\\"", "\\\"license\\\""));
    assert!(error(&unknown).contains("license"));
    assert!(error(&good[..good.len() - 1]).starts_with("not a whole safetensors file"));
    assert!(error(&[]).starts_with("not a whole safetensors file"));
    assert!(error(b"not a model at all, but text").starts_with("not a whole safetensors file"));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let damaged = "the content has another SHA-256 than the file says: it was damaged or changed";
    assert_eq!(error(&flipped), damaged);
    // Files of earlier versions have a hash of the weights alone.
    let mut flipped = with_text(&good, |t| t);
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(error(&flipped), BundleError::Hash.to_string());
    let mut changed = good.clone();
    let threshold = b"\\\"threshold\\\":0.";
    let at = changed.windows(threshold.len()).position(|w| w == threshold).unwrap() + threshold.len();
    changed[at] ^= 4;
    assert_eq!(error(&changed), damaged);
    let unsealed = with_text(&good, |t| t.replace("\\\"format_version\\\":5", "\\\"format_version\\\":6"));
    assert_eq!(error(&unsealed), damaged);
    let huge = with_text(&good, |t| t.replace("[2,1,3,3]", "[4000000000,4000000000,4000000000,3]"));
    assert!(error(&huge).starts_with("not a whole safetensors file"));
}

#[test]
fn a_bundle_of_the_first_format_is_read_as_uncalibrated() {
    let plain = BundleInfo {
        temperature: 1.0,
        threshold_folds: None,
        clean: Default::default(),
        interval: None,
        area: None,
        ..info()
    };
    let (bundle, bytes) = Bundle::new(plain, &weights(), Precision::F32).unwrap();
    let text = serde_json::to_string(&bundle.info).unwrap();
    let from = text.find("\"temperature\"").unwrap();
    let to = text.find("\"labels\"").unwrap();
    let gone = text[from..to].replace('"', "\\\"");
    let old = with_text(&bytes, |t| {
        assert!(t.contains(&gone));
        t.replace(&gone, "").replace("\\\"format_version\\\":5", "\\\"format_version\\\":1")
    });
    let read = Bundle::from_bytes(&old).unwrap();
    let clean = gg_imaging::CleanUp {
        lung_smallest: 0.02,
        doubtful_lung: 1.0,
        infection_reach: 0.0,
        ..Default::default()
    };
    assert_eq!(read.info, BundleInfo { format_version: 1, clean, ..bundle.info.clone() });
    assert_eq!(read.weights, bundle.weights);
    // An interval makes it one of this format, and leaves the weights as they are stored.
    for precision in [Precision::F32, Precision::Bf16] {
        let (bundle, bytes) = Bundle::new(bundle.info.clone(), &weights(), precision).unwrap();
        let more =
            |info: &mut BundleInfo| (info.interval, info.mirror) = (Some(interval()), Mirror::HalfTurn);
        let less = |info: &mut BundleInfo| (info.interval, info.mirror) = (None, Mirror::None);
        let with = Bundle::described(&bytes, more).unwrap();
        let read = Bundle::from_bytes(&with).unwrap();
        assert_eq!(
            read.info,
            BundleInfo { interval: Some(interval()), mirror: Mirror::HalfTurn, ..bundle.info }
        );
        assert_eq!(read.weights, bundle.weights);
        assert_eq!(Bundle::described(&with, less).unwrap(), bytes);
    }
    let unfit = gg_eval::IntervalFit { factor: f64::INFINITY, ..interval() };
    assert!(Bundle::described(&bytes, |info| info.interval = Some(unfit)).is_err());
}

/// The same bytes with another description.
fn with_description(bytes: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let text = header["__metadata__"]["groundglass"].as_str().unwrap().to_owned();
    let mut info: serde_json::Value = serde_json::from_str(&text).unwrap();
    info.as_object_mut().unwrap().remove("file_sha256").unwrap();
    info["format_version"] = 5.into();
    change(&mut info);
    header["__metadata__"]["groundglass"] = serde_json::to_string(&info).unwrap().into();
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &bytes[8 + length..]].concat()
}

#[test]
fn older_bundles_do_to_masks_what_they_did() {
    let (bundle, bytes) = Bundle::new(info(), &weights(), Precision::F32).unwrap();
    let old = |extends: Option<bool>, clean: Option<serde_json::Value>| {
        let bytes = with_description(&bytes, |info| {
            info["format_version"] = 2.into();
            info["manifest"] = serde_json::json!({ "settings": { "seed": 1 } });
            if let Some(extends) = extends {
                info["manifest"]["settings"]["infection_extends_lung"] = extends.into();
            }
            match clean {
                Some(clean) => info["clean"] = clean,
                None => drop(info.as_object_mut().unwrap().remove("clean")),
            }
        });
        Bundle::from_bytes(&bytes).unwrap()
    };
    let closing = serde_json::json!({ "lung_smallest": 0.3, "lung_closing": 0.0 });
    for (read, expected) in [
        (old(None, None), (0.02, 1.0)),
        (old(Some(false), Some(closing.clone())), (0.3, 1.0)),
        (old(Some(true), Some(closing)), (0.3, 0.0)),
        (old(None, Some(serde_json::json!({ "doubtful_lung": 0.2 }))), (0.02, 0.2)),
    ] {
        assert_eq!((read.info.clean.lung_smallest, read.info.clean.doubtful_lung), expected);
        assert_eq!(read.info.clean.infection_reach, 0.0);
        let settings = &read.info.manifest["settings"];
        assert_eq!(settings.get("infection_extends_lung"), None);
        assert_eq!((&settings["seed"], &settings["clean"]["infection_reach"]), (&1.into(), &0.0.into()));
        assert_eq!(read.weights, bundle.weights);
    }
    // The last format that knew no means over slices wrote all else.
    let clean = gg_imaging::CleanUp { infection_reach: 0.0, ..bundle.info.clean };
    let last = with_description(&bytes, |info| {
        info["format_version"] = 4.into();
        info["clean"].as_object_mut().unwrap().remove("infection_reach").unwrap();
    });
    assert_eq!(Bundle::from_bytes(&last).unwrap().info.clean, clean);
    assert_eq!(Bundle::from_bytes(&bytes).unwrap().info.clean, bundle.info.clean);
    // Only what older bundles may hold is let through.
    let wrong = with_description(&bytes, |info| info["clean"]["lung_closing"] = 0.0.into());
    assert!(Bundle::from_bytes(&wrong).unwrap_err().to_string().contains("lung_closing"));
}

#[test]
fn a_file_larger_than_any_model_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.safetensors");
    std::fs::File::create(&path).unwrap().set_len(5 << 30).unwrap();
    assert!(Bundle::read(&path).unwrap_err().to_string().contains("more than any model has"));
}

#[test]
fn parts_that_do_not_fit_together_make_no_bundle() {
    for (wrong, word) in [
        (BundleInfo { threshold: 1.0, ..info() }, "threshold"),
        (BundleInfo { threshold: f32::NAN, ..info() }, "threshold"),
        (BundleInfo { temperature: 0.0, ..info() }, "temperature 0"),
        (BundleInfo { temperature: f32::NAN, ..info() }, "temperature"),
        (
            BundleInfo { clean: gg_imaging::CleanUp { doubtful_lung: 2.0, ..info().clean }, ..info() },
            "doubtful_lung",
        ),
        (BundleInfo { task: Task::Lung, ..info() }, "interval"),
        (BundleInfo { area: Some(area()), ..info() }, "a weight of the infected area for the task infection"),
        (
            BundleInfo { interval: Some(gg_eval::IntervalFit { factor: 0.5, ..interval() }), ..info() },
            "factor 0.5",
        ),
        (BundleInfo { task: Task::Classify, ..info() }, "classify"),
        (
            BundleInfo { prepare: PrepareConfig { size: 33, ..PrepareConfig::default() }, ..info() },
            "divisible by 2",
        ),
        (BundleInfo { prepare: PrepareConfig { size: 0, ..PrepareConfig::default() }, ..info() }, "size"),
    ] {
        let error = Bundle::new(wrong, &weights(), Precision::F32).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let mut large = weights();
    large.tensors.get_mut("out.bias").unwrap().values[0] = 1e6;
    let error = Bundle::new(info(), &large, Precision::F16).unwrap_err().to_string();
    assert_eq!(error, "a value of out.bias is too large for F16");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn changed_bytes_never_panic_and_never_pass_for_the_model(
        at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>(), cutting in any::<bool>(),
    ) {
        let (bundle, mut bytes) = Bundle::new(info(), &weights(), Precision::F32).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = value;
        if cutting {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(loaded) = Bundle::from_bytes(&bytes) {
            prop_assert_eq!(loaded, bundle);
        }
    }
}

/// Models of several networks, in a file of one.
#[test]
fn several_networks_answer_with_the_mean_of_what_each_says_at_its_own_temperature() {
    let single = |seed: u64, temperature: f32| {
        let name = format!("infection-{seed}");
        let info = BundleInfo { name, temperature, threshold: 0.2 + 0.1 * seed as f32, ..info() };
        Bundle::new(info, &Weights::init(&net(), seed).unwrap(), Precision::F32).unwrap().0
    };
    let bundles = [single(1, 0.5), single(2, 1.0), single(3, 2.0)];
    let (joined, all) = join(&bundles, &[], "three").unwrap();
    let (_, bytes) = Bundle::new(joined, &all, Precision::F32).unwrap();
    let joined = Bundle::from_bytes(&bytes).unwrap();
    assert_eq!((joined.info.threshold, joined.info.members.len()), (0.4, 3));
    assert!(joined.info.interval.is_none() && !joined.info.has_int8());
    assert_eq!(joined.info.members[1].weights_sha256, bundles[1].info.weights_sha256);

    let side = 32;
    let picture: Vec<u8> = (0..side * side).map(|i| (i * 37 % 251) as u8).collect();
    let arithmetic = Arithmetic::fp32(Isa::detect());
    let predict = |bundle: &Bundle| {
        let mut predictor = Predictor::load(bundle, arithmetic).unwrap();
        predictor.predict(&[vec![&picture[..]]]).unwrap().remove(0)
    };
    let singles: Vec<Vec<f32>> = bundles.iter().map(predict).collect();
    let logit = |p: f32| (f64::from(p) / (1.0 - f64::from(p))).ln();
    let mut spread = 0.0f64;
    for (i, found) in predict(&joined).into_iter().enumerate() {
        let mean = singles.iter().map(|s| logit(s[i])).sum::<f64>() / 3.0;
        assert!((logit(found) - mean).abs() < 1e-4, "pixel {i}");
        spread = spread.max((logit(singles[0][i]) - mean).abs());
    }
    assert!(spread > 0.1, "the networks say different things");

    let refused = |bundles: &[Bundle], words: &str| {
        let error = join(bundles, &["a".into(), "b".into()], "x").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(&bundles[..1], "found 1 networks");
    refused(&[bundles[0].clone(), bundles[0].clone()], "a and b have the same weights");
    refused(&[joined.clone(), bundles[0].clone()], "several networks");
    let with = |change: &dyn Fn(&mut BundleInfo)| {
        let mut other = bundles[1].clone();
        change(&mut other.info);
        [bundles[0].clone(), other]
    };
    refused(&with(&|i| i.task = Task::Lung), "a and b differ in their task (infection and lung)");
    refused(&with(&|i| i.prepare.clahe_clip = Some(7.0)), "how slices are prepared");
    refused(&with(&|i| i.mirror = Mirror::LeftRight), "posture");
    refused(&with(&|i| i.area = Some(area())), "infected area");
}

#[test]
fn a_bundle_of_several_networks_with_arrays_too_many_or_few_is_refused() {
    let single =
        |seed: u64| Bundle::new(info(), &Weights::init(&net(), seed).unwrap(), Precision::F32).unwrap().0;
    let (joined, all) = join(&[single(1), single(2)], &[], "two").unwrap();
    let mut more = all.clone();
    more.tensors.insert("networks.2.x".into(), Tensor::filled(&[1], 0.0));
    assert!(Bundle::new(joined.clone(), &more, Precision::F32).is_err());
    let mut fewer = all.clone();
    fewer.tensors.pop_last();
    assert!(Bundle::new(joined.clone(), &fewer, Precision::F32).is_err());
    let mut hot = joined;
    hot.members[1].temperature = f32::INFINITY;
    assert!(Bundle::new(hot, &all, Precision::F32).is_err());
}
