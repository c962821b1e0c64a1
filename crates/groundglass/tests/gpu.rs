//! `--device`: a GPU that is not there is one clear sentence; one that is there analyses and trains as the CPU does.
//!
//! What needs a card says so where there is none. A software renderer counts as one here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests fail loudly too
#![allow(clippy::print_stderr)] // and say what they skip

use std::path::Path;
use std::process::Command;

/// Exit code, stdout and stderr.
fn run(args: &[&str]) -> (i32, String, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_groundglass")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ran.status.code().unwrap_or(-1), text(&ran.stdout), text(&ran.stderr))
}

fn ok(args: &[&str]) -> String {
    let (code, stdout, stderr) = run(args);
    assert_eq!(code, 0, "{args:?}: {stdout}{stderr}");
    stdout
}

/// The devices of `--device list`, the processor first.
fn devices() -> Vec<serde_json::Value> {
    serde_json::from_str(&ok(&["analyze", "--device", "list", "--json"])).unwrap()
}

/// The first card, software or not.
fn card() -> Option<&'static str> {
    let found = devices().len() > 1;
    if !found {
        eprintln!("skipped: this build and machine have no GPU");
    }
    found.then_some("gpu:0")
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn an_absent_device_is_one_clear_sentence() {
    let cards = devices().len() - 1;
    let drivers = cards > 0;
    let refused = |device: &str, code: i32, sentence: &str| {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let (found, stdout, stderr) =
            run(&["analyze", "ct.nii", "--out", out.to_str().unwrap(), "--device", device]);
        let right = format!("error: --device {device}: {sentence}\n");
        assert_eq!((found, stdout.as_str()), (code, ""), "{stderr}");
        // The drivers of a card that is there may say more, before.
        assert!(stderr == right || drivers && stderr.trim_end().ends_with(right.trim_end()), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(!out.exists());
    };
    if !cfg!(feature = "cuda") {
        let sentence =
            "this program was built without cuda; `--features cuda` builds it in; right would be cpu";
        refused("cuda", 2, sentence);
    }
    if !cfg!(feature = "wgpu") {
        let sentence =
            "this program was built without vulkan; `--features wgpu` builds it in; right would be cpu";
        refused("vulkan:1", 2, sentence);
    }
    if !cfg!(any(feature = "wgpu", feature = "cuda")) {
        refused(
            "gpu",
            2,
            "this program was built for the CPU alone; `--features wgpu` (Vulkan, Metal, DirectX 12) or \
             `--features cuda` builds one for GPUs; right would be cpu",
        );
        return;
    }
    let cards = devices().len() - 1;
    if cards > 0 {
        let sentence =
            format!("found {cards} of them, numbered from 0; right would be at most {}", cards - 1);
        refused("gpu:99", 1, &sentence);
        eprintln!("skipped: this machine has a GPU; what is said where there is none");
        return;
    }
    let ways: &[&str] = &[
        if cfg!(feature = "cuda") { "cuda, " } else { "" },
        if cfg!(feature = "wgpu") { "vulkan, metal, dx12" } else { "" },
    ];
    let ways = ways.concat();
    let sentence = format!("no GPU was found through {}; right would be cpu", ways.trim_end_matches(", "));
    refused("gpu", 1, &sentence);
    refused("gpu:3", 1, &sentence);
    let text = ok(&["--device", "list"]);
    assert!(text.contains("cpu ") && text.contains("no gpu: no GPU was found through "), "{text}");
}

#[test]
fn a_name_that_is_no_device_is_wrong_usage() {
    let (code, _, stderr) = run(&["inspect", "x", "--device", "tpu"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("cpu, gpu, cuda, vulkan, metal or dx12"), "{stderr}");
}

#[test]
fn a_card_gives_the_masks_and_percentages_of_the_cpu() {
    let Some(card) = card() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    ok(&["phantom", "--out", &path("set"), "--count", "1", "--size", "96x96x16", "--seed", "5", "--quiet"]);
    let ct = path("set/ct_scans/phantom-001.nii.gz");
    let [cpu, gpu] = ["cpu", card].map(|device| {
        let out = path(&device.replace(':', ""));
        ok(&["analyze", &ct, "--out", &out, "--precision", "fp32", "--device", device, "--quiet"]);
        json(&Path::new(&out).join("analysis.json"))
    });
    eprintln!("{}", gpu["compute"]);
    let refused = ["analyze", &ct, "--out", &path("int8"), "--precision", "int8", "--device", card];
    let (code, _, stderr) = run(&refused);
    assert!(code == 2 && stderr.contains("int8 is for the CPU"), "{code}: {stderr}");
    // Nobody chose a precision: fp32, though the models in the box have a calibration for int8.
    ok(&["analyze", &ct, "--out", &path("default"), "--device", card, "--quiet"]);
    assert_eq!(json(&dir.path().join("default/analysis.json"))["compute"]["precision"], "fp32");
    assert!(gpu["compute"]["device"].as_str().unwrap().starts_with("burn-"), "{}", gpu["compute"]);
    assert_eq!(cpu["compute"]["device"].as_str().unwrap().find("burn-"), None);
    for structure in ["lung", "infection"] {
        let mask = |device: &str| -> Vec<u8> {
            let out = dir.path().join(device);
            let bytes = std::fs::read(out.join(format!("{structure}_mask.nii.gz"))).unwrap();
            let mut mask = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut mask).unwrap();
            mask
        };
        let (a, b) = (mask("cpu"), mask("gpu0"));
        let set = a.iter().filter(|v| **v != 0).count();
        let other = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        eprintln!("{structure}: {other} of {set} voxels differ");
        assert!(a.len() == b.len() && other <= 1 + set / 500, "{structure}: {other} of {set} voxels differ");
    }
}

#[test]
fn a_training_on_a_card_names_it_predicts_on_the_cpu_and_resumes_on_no_other_device() {
    let Some(card) = card() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (set, run_dir) = (path("set"), path("run"));
    ok(&["phantom", "--out", &set, "--count", "6", "--size", "64x64x16", "--seed", "5", "--quiet"]);
    let mut args = vec!["train", "lung", &set, "--out", &run_dir, "--quiet", "--set", "prepare.size=32"];
    args.extend(["--set", "lung.network={kind=\"unet\", base=4, levels=3, dropout=0.1}"]);
    args.extend(["--set", "lung.train.epochs=3", "--set", "lung.train.adam.lr=0.01", "--device"]);
    ok(&[&args[..], &[card]].concat());
    let manifest = json(&dir.path().join("run/manifest.json"));
    assert!(manifest["compute"]["device"].as_str().unwrap().starts_with("burn-"), "{}", manifest["compute"]);
    let (code, _, stderr) = run(&[&args[..], &["cpu", "--resume"]].concat());
    assert!(code == 2 && stderr.contains("another precision or device"), "{code}: {stderr}");
    let model = path("run/model.safetensors");
    let dice = ["cpu", card].map(|device| {
        let out = path(&format!("scores-{}", device.replace(':', "")));
        let mut args = vec!["evaluate", &set, "--model", &model, "--part", "all", "--out", &out, "--quiet"];
        args.extend(["--resamples", "10", "--precision", "fp32", "--device", device]);
        ok(&args);
        json(&Path::new(&out).join("scores.json"))["lung"]["summary"]["dice"]["mean"].as_f64().unwrap()
    });
    eprintln!("Dice on the CPU and on the card: {dice:?}");
    assert!((dice[0] - dice[1]).abs() <= 0.002, "{dice:?}");
}
