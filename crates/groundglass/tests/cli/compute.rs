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
        for key in ["train_step_ms", "predict_slice_ms"] {
            assert!(row[key].as_f64().unwrap() > 0.0, "{key}: {row}");
        }
        if cfg!(target_os = "linux") {
            assert!(row["peak_rss_mb"].as_u64().unwrap() > 0, "{row}");
        }
    }
    assert_eq!(answer["peaks"].as_array().unwrap().len(), rows.len());
    let kernels = answer["kernels"].as_array().unwrap();
    for kernel in ["forward", "backward_data", "backward_weights"] {
        let of: Vec<_> = kernels.iter().filter(|k| k["kernel"] == kernel).collect();
        assert!(of.len() >= 17 * rows.len(), "{kernel}: {}", of.len());
        assert!(of.iter().all(|k| k["gflops"].as_f64().unwrap() > 0.0));
    }
    let text =
        groundglass(&["bench", "--base", "4", "--repeats", "1", "--no-kernels", "--quiet"]).ok().stdout;
    assert!(text.contains("train step, ms") && text.contains("predict slice, ms"), "{text}");
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
    let (right, found) = (dice("fp32", &["--precision", "fp32"]), dice("default", &[]));
    eprintln!("Dice of lung and infection: fp32 {right:?}, default {found:?}");
    for (r, f) in right.iter().zip(found) {
        assert!((r - f).abs() <= 0.002, "Dice {f}, in fp32 {r}");
    }
}
