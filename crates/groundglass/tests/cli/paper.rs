//! The paper from data to figures, on phantoms and with networks of a few channels.

use crate::run::{Fixture, Ran, arg, command, files, groundglass, json};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Settings that train in a second; the networks learn next to nothing.
const SMALL: [&str; 11] = [
    "prepare.size=32",
    "classify.network.widths=[4, 4]",
    "classify.network.dense=8",
    "classify.train.epochs=2",
    "lung.network={kind=\"unet\", base=4, levels=3}",
    "lung.train.epochs=2",
    "lung.train.adam.lr=0.01",
    "infection.network={kind=\"unet\", base=4, levels=3}",
    "infection.train.epochs=2",
    "infection.train.schedule.epochs=1",
    "infection.train.adam.lr=0.01",
];

fn paper_args<'a>(set: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["paper", set, "--out", out, "--folds", "3", "--resamples", "50"];
    for setting in SMALL {
        args.extend(["--set", setting]);
    }
    args.extend(more);
    args
}

/// All that a run of `paper` wrote but what says how long it took.
fn untimed(out: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut written = files(out);
    written.retain(|name, _| !name.ends_with("timings.jsonl") && !name.starts_with("cache/"));
    written
}

#[test]
#[cfg(unix)]
fn the_paper_is_reproduced_from_phantoms_to_figures_and_goes_on_where_it_was_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let [whole, parts] = ["whole", "parts"].map(|n| dir.path().join(n));
    let ran = groundglass(&paper_args(arg(&set), arg(&whole), &[])).ok();
    assert!(ran.stderr.contains("run 1 of 10: classify, split by slice"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("run 10 of 10: infection, split by patient, fixed window; about "),
        "{}",
        ran.stderr
    );

    for figure in [
        "fig02_sample",
        "fig03_contrast",
        "fig04_crop",
        "fig05_prepared",
        "fig06_layers",
        "fig07_cnn",
        "fig08_unet",
        "fig09_clahe",
        "fig10_sheet",
        "fig11_side_by_side",
        "fig12_classify_slice",
        "fig12_classify_patient",
        "fig13_lung_slice",
        "fig13_lung_patient",
        "fig14_infection_slice",
        "fig14_infection_patient",
    ] {
        let file = whole.join("figures").join(format!("{figure}.png"));
        assert!(fs::metadata(&file).is_ok_and(|m| m.len() > 1000), "{}", file.display());
    }
    let found = json(&whole.join("paper.json"));
    assert_eq!(found["slice_split"], "patients leak between training and test");
    assert_eq!(found["changed"].as_array().unwrap().len(), SMALL.len());
    let results = found["results"].as_array().unwrap();
    let f1 = results.iter().find(|r| r["what"] == "CNN: F1").unwrap();
    assert_eq!(f1["paper"], 0.9596);
    for split in ["slice_split", "patient_split"] {
        let lung = results.iter().find(|r| r["what"] == "Lung: Dice on test slices, pooled").unwrap();
        assert!((0.2..=1.0).contains(&lung[split]["value"].as_f64().unwrap()), "{lung}");
    }
    let faults = found["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 10);
    for fault in faults {
        assert!(!fault["rows"].as_array().unwrap().is_empty(), "not measured: {fault}");
    }
    // Blank slices can only add false calls; a threshold from the test can only be better.
    let row = |fault: usize, i: usize, key: &str| faults[fault]["rows"][i][key].as_f64();
    // Scores and faults speak of the same calls, on any processor.
    assert_eq!(found["predicted_in"], "fp32");
    assert_eq!(f1["slice_split"]["value"].as_f64(), row(0, 0, "with_fault"));
    assert_eq!(f1["patient_split"]["value"].as_f64(), row(0, 0, "repaired"));
    for run in ["slice-classify", "patient-infection"] {
        assert_eq!(json(&whole.join("scores").join(run).join("scores.json"))["compute"]["precision"], "fp32");
    }
    for i in 0..2 {
        assert!(row(3, i, "with_fault") >= row(3, i, "repaired"));
        assert!(row(5, i, "with_fault") >= row(5, i, "repaired"));
    }
    let page = fs::read_to_string(whole.join("report.html")).unwrap();
    assert!(page.matches("Split by slice (patients leak)").count() >= 4, "the leak is said with each figure");
    assert!(!page.contains("http"));
    let text = fs::read_to_string(whole.join("paper.md")).unwrap();
    assert!(
        text.contains("patients leak")
            && text.contains("Settings differ")
            && text.contains("paper/faults.svg")
    );
    for plot in
        text.lines().filter_map(|l| l.split_once("](paper/")).map(|(_, rest)| rest.trim_end_matches(')'))
    {
        let svg = fs::read_to_string(whole.join("paper").join(plot)).unwrap();
        assert!(!svg.contains("<image"), "{plot} shows no picture of anybody");
        assert!(!plot.ends_with("_slice.svg") || svg.contains("patients leak"), "{plot}");
    }

    let args = paper_args(arg(&set), arg(&parts), &[]);
    let child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = parts.join("runs/slice-lung/metrics.jsonl");
    for _ in 0..2400 {
        if begun.is_file() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    Ran::from(child.wait_with_output().unwrap())
        .refused(130, &["interrupted; what is finished is kept in", "--resume goes on from it"]);
    assert!(!parts.join("paper.json").exists());
    groundglass(&paper_args(arg(&set), arg(&parts), &["--seed", "9", "--resume"]))
        .refused(2, &["another seed"]);
    groundglass(&paper_args(arg(&set), arg(&parts), &["--resume"])).ok();
    let (a, b) = (untimed(&whole), untimed(&parts));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(bytes == &b[name], "{name} differs after resuming");
    }
}

#[test]
fn the_paper_follows_no_other_profile() {
    let dir = tempfile::tempdir().unwrap();
    let (set, out) = (Fixture::get().set(), dir.path().join("out"));
    groundglass(&["paper", arg(&set), "--profile", "groundglass", "--out", arg(&out)])
        .refused(2, &["profile `paper`"]);
    assert!(!out.exists());
}
