//! On which instructions and in which precision networks run, and what `bench` measures.

use crate::run::{Fixture, Ran, arg, command, groundglass, json};
use std::path::Path;

fn forced(isa: &str, args: &[&str]) -> Ran {
    Ran::from(command(args).env("GROUNDGLASS_ISA", isa).output().unwrap())
}

#[test]
fn an_unknown_instruction_set_is_one_sentence_and_wrong_usage() {
    let ran = forced("sse9", &["config", "print"]);
    let right =
        "error: GROUNDGLASS_ISA: found instruction set \"sse9\", right would be avx512, avx2 or portable\n";
    assert_eq!(ran.refused(2, &[]).stderr, right);
}

#[test]
fn a_forced_instruction_set_is_used_named_and_gives_nearly_the_same_answer() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let [lung, infection] = ["lung", "infection"].map(|t| f.bundle(t));
    let ct = f.ct();
    let analyze = |isa: &str, name: &str| {
        let out = dir.path().join(name);
        let models = ["--model", arg(&lung), "--model", arg(&infection)];
        let mut args = vec!["analyze", arg(&ct), "--out", arg(&out), "--precision", "fp32"];
        args.extend(models);
        forced(isa, &args).ok();
        json(&out.join("analysis.json"))
    };
    let portable = analyze("portable", "right");
    for isa in gg_nn::engine::Isa::available() {
        let found = analyze(isa.name(), isa.name());
        assert_eq!(found["compute"]["instruction_set"], isa.name());
        assert_eq!(found["compute"]["precision"], "fp32");
        let voxels = |a: &serde_json::Value| a["lung"]["voxels"].as_f64().unwrap();
        assert!((voxels(&found) - voxels(&portable)).abs() <= 0.01 * voxels(&portable), "{isa}");
    }
}

#[test]
fn bf16_is_refused_in_one_sentence_on_instructions_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let ct = Fixture::get().ct();
    let ran = forced("portable", &["analyze", arg(&ct), "--out", arg(&out), "--precision", "bf16"]);
    ran.refused(2, &["--precision: found precision bf16, right would be fp32", "portable"]);
    assert!(!out.exists());
}

#[test]
fn a_training_in_bf16_says_so_and_resumes_in_no_other_precision() {
    if !gg_nn::engine::Isa::detect().has_bf16() {
        eprintln!("skipped: this processor has no bf16");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (set, run) = (Fixture::get().set(), dir.path().join("run"));
    let mut args = vec!["train", "lung", arg(&set), "--out", arg(&run), "--precision", "bf16"];
    args.extend(crate::run::TINY);
    groundglass(&args).ok();
    let manifest = json(&run.join("manifest.json"));
    assert_eq!(manifest["compute"]["precision"], "bf16");
    args[6] = "fp32";
    args.push("--resume");
    groundglass(&args).refused(2, &["another precision", "precision.txt"]);
}

#[test]
fn bench_measures_rows_and_kernels_of_each_precision() {
    let args = ["bench", "--base", "4", "--repeats", "1", "--threads", "1", "--json", "--quiet"];
    let answer: serde_json::Value = serde_json::from_str(&groundglass(&args).ok().stdout).unwrap();
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows[0]["precision"], "fp32");
    for row in rows {
        assert!(row["predict_slice_ms"].as_f64().unwrap() > 0.0, "{row}");
        if row["precision"] == "int8" {
            assert!(row["train_step_ms"].is_null(), "{row}");
        } else {
            assert!(row["train_step_ms"].as_f64().unwrap() > 0.0, "{row}");
        }
        if cfg!(target_os = "linux") {
            assert!(row["peak_rss_mb"].as_u64().unwrap() > 0, "{row}");
        }
    }
    let int8 = rows.iter().filter(|row| row["precision"] == "int8").count();
    assert_eq!(int8, usize::from(gg_nn::engine::Isa::detect().has_vnni()));
    let peaks = answer["peaks"].as_array().unwrap().len();
    assert_eq!(peaks, rows.len() - int8);
    let kernels = answer["kernels"].as_array().unwrap();
    for kernel in ["forward", "backward_data", "backward_weights"] {
        let of: Vec<_> = kernels.iter().filter(|k| k["kernel"] == kernel).collect();
        assert!(of.len() >= 17 * peaks, "{kernel}: {}", of.len());
        assert!(of.iter().all(|k| k["gflops"].as_f64().unwrap() > 0.0));
        let total = of.iter().filter(|k| k["layer"] == "all 3x3 layers but the first").count();
        assert_eq!(total, answer["peaks"].as_array().unwrap().len(), "{kernel}");
    }
    for error in answer["accuracy"].as_array().unwrap() {
        let most = if error["precision"] == "fp32" { 1e-5 } else { 0.05 };
        assert!((0.0..most).contains(&error["largest"].as_f64().unwrap()), "{error}");
    }
    let text =
        groundglass(&["bench", "--base", "4", "--repeats", "1", "--no-kernels", "--quiet"]).ok().stdout;
    assert!(text.contains("train step, ms") && text.contains("predict slice, ms"), "{text}");
}

#[test]
fn int8_is_the_same_on_every_instruction_set_and_needs_a_calibration_that_can_be_added() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let ct = f.ct();
    let analyze = |isa: &str, model: &Path, precision: &[&str], name: &str| {
        let out = dir.path().join(name);
        let mut args = vec!["analyze", arg(&ct), "--out", arg(&out), "--model", arg(model)];
        args.extend(precision);
        (forced(isa, &args), out)
    };
    let infected = |out: &Path| {
        let found = json(&out.join("analysis.json"));
        (found["lung"]["voxels"].clone(), found["infection"]["voxels"].clone())
    };
    let int8 = ["--precision", "int8"];
    let (ran, right) = analyze("portable", &f.bundle("lung"), &int8, "right");
    ran.ok();
    assert_eq!(json(&right.join("analysis.json"))["compute"]["precision"], "int8");
    for isa in gg_nn::engine::Isa::available() {
        let (ran, out) = analyze(isa.name(), &f.bundle("lung"), &int8, isa.name());
        ran.ok();
        assert_eq!(infected(&out), infected(&right), "{isa}");
    }

    // As bundles were before there was int8.
    let old = dir.path().join("old.safetensors");
    let bundle = gg_nn::Bundle::load(&f.bundle("lung")).unwrap();
    assert!(bundle.info.int8.is_some(), "training measures ranges");
    let info = gg_nn::BundleInfo { int8: None, ..bundle.info };
    gg_nn::Bundle::save(&old, info, &bundle.weights, gg_nn::Precision::F32).unwrap();
    let isa = gg_nn::engine::Isa::detect();
    let (ran, out) = analyze(isa.name(), &old, &int8, "refused");
    ran.refused(1, &["found no calibration for int8", "models calibrate"]);
    assert!(!out.exists());
    analyze(isa.name(), &old, &[], "default").0.ok();
    let new = dir.path().join("new.safetensors");
    let set = f.set();
    let mut calibrate = vec!["models", "calibrate", arg(&old), arg(&set), "--out", arg(&new)];
    groundglass(&calibrate).ok();
    groundglass(&calibrate).refused(2, &["--force"]);
    calibrate.push("--force");
    let first = std::fs::read(&new).unwrap();
    groundglass(&calibrate).ok();
    assert_eq!(std::fs::read(&new).unwrap(), first, "the same bytes each time");
    analyze(isa.name(), &new, &int8, "added").0.ok();
    assert!(groundglass(&["models", "show", arg(&new)]).ok().stdout.contains("int8         calibrated on"));
    let args = ["train", "lung", arg(&set), "--out", "run", "--precision", "int8"];
    groundglass(&args).refused(2, &["int8 is for prediction"]);
}

/// Dice of the default precision against that of fp32, with the models in the box.
#[test]
fn the_default_precision_keeps_dice_on_real_ct_within_0_002_of_fp32() {
    let Some(data) = gg_testkit::real_data("Dice of the default precision") else { return };
    let dir = tempfile::tempdir().unwrap();
    let set = data.join("covid20");
    let models = ["lung", "infection"].map(|task| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(format!("{task}.safetensors"))
    });
    let cache = dir.path().join("cache");
    let dice = |name: &str, precision: &[&str]| {
        let out = dir.path().join(name);
        let mut args = vec!["evaluate", arg(&set), "--model", arg(&models[0]), "--model", arg(&models[1])];
        args.extend([
            "--fold",
            "0",
            "--resamples",
            "10",
            "--out",
            arg(&out),
            "--cache",
            arg(&cache),
            "--quiet",
        ]);
        args.extend(precision);
        groundglass(&args).ok();
        let scores = json(&out.join("scores.json"));
        ["lung", "infection"].map(|task| scores[task]["summary"]["dice"]["mean"].as_f64().unwrap())
    };
    let right = dice("fp32", &["--precision", "fp32"]);
    // int8 where the processor has VNNI; it gives the same bytes everywhere.
    for (name, precision) in [("default", vec![]), ("int8", vec!["--precision", "int8"])] {
        let found = dice(name, &precision);
        eprintln!("Dice of lung and infection: fp32 {right:?}, {name} {found:?}");
        for (r, f) in right.iter().zip(found) {
            assert!((r - f).abs() <= 0.002, "{name}: Dice {f}, in fp32 {r}");
        }
    }
}
