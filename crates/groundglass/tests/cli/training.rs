//! Training that is stopped goes on to the same bytes; what it saves predicts the same.

use crate::run::{Fixture, Ran, TINY, arg, command, files, groundglass};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

/// Slow enough to be interrupted, the same settings for both runs.
fn train_args<'a>(set: &'a str, out: &'a str, cache: &'a str) -> Vec<&'a str> {
    let mut args = vec!["train", "lung", set, "--out", out, "--cache", cache];
    args.extend(TINY);
    args.extend(["--set", "lung.train.epochs=25", "--set", "lung.train.checkpoint_minutes=0.001"]);
    args
}

#[test]
#[cfg(unix)]
fn ctrl_c_exits_130_and_resume_ends_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let [whole, parts, cache] = ["whole", "parts", "cache"].map(|n| dir.path().join(n));
    groundglass(&train_args(arg(&set), arg(&whole), arg(&cache))).ok();

    let mut args = train_args(arg(&set), arg(&parts), arg(&cache));
    let child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Interrupt once the first epoch is done.
    let metrics = parts.join("metrics.jsonl");
    for _ in 0..600 {
        if fs::read_to_string(&metrics).is_ok_and(|t| t.lines().count() >= 1) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let interrupted = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let ran = Ran::from(child.wait_with_output().unwrap());
    ran.refused(130, &["interrupted", "--resume"]);
    assert!(!parts.join("model.safetensors").exists(), "an interrupted run has no bundle");

    args.push("--resume");
    groundglass(&args).ok();
    let (mut a, mut b) = (files(&whole), files(&parts));
    a.remove("timings.jsonl");
    b.remove("timings.jsonl");
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(bytes == &b[name], "{name} differs after resuming");
    }
}

#[test]
fn resume_with_other_settings_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let out = dir.path().join("run");
    let mut args = vec!["train", "lung", arg(&set), "--out", arg(&out)];
    args.extend(TINY);
    groundglass(&args).ok();
    args.extend(["--resume", "--seed", "9"]);
    groundglass(&args).refused(2, &["other settings"]);
}

#[test]
fn the_run_folder_holds_what_made_the_model() {
    let f = Fixture::get();
    let run = f.bundle("infection").parent().unwrap().to_owned();
    for name in ["model.safetensors", "manifest.json", "settings.toml", "metrics.jsonl", "report.html", "layers.txt"] {
        assert!(run.join(name).is_file(), "{name}");
    }
    let curves = files(&run.join("curves"));
    for word in ["loss", "dice", "learning_rate"] {
        for kind in ["svg", "png"] {
            assert!(curves.keys().any(|n| n.contains(word) && n.ends_with(kind)), "{word}.{kind}: {:?}", curves.keys());
        }
    }
    let manifest = crate::run::json(&run.join("manifest.json"));
    assert_eq!(manifest["leaking"], false);
    let text = fs::read_to_string(run.join("manifest.json")).unwrap();
    assert!(!text.contains("patient-001"), "a bundle names no patient");
}

#[test]
fn a_split_by_slice_is_called_leaking_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (set, split) = (f.set(), dir.path().join("split.toml"));
    groundglass(&["split", arg(&set), "--by-slice", "--profile", "paper", "--out", arg(&split)]).ok();
    let run = dir.path().join("run");
    let mut args = vec!["train", "classify", arg(&set), "--split", arg(&split), "--out", arg(&run)];
    args.extend(TINY);
    let trained = groundglass(&args).ok();
    let leak = "patients leak between training and test";
    assert!(trained.stderr.contains(leak));
    assert!(fs::read_to_string(run.join("report.html")).unwrap().contains(leak));
    let model = run.join("model.safetensors");
    let out = dir.path().join("scores");
    let scored = groundglass(&[
        "evaluate", arg(&set), "--model", arg(&model), "--split", arg(&split), "--resamples", "50", "--out", arg(&out),
    ])
    .ok();
    assert!(scored.stdout.contains(leak));
    assert!(fs::read_to_string(out.join("scores.json")).unwrap().contains(leak));
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains(leak));
}
