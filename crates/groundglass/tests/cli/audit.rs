//! `audit --measure`: two networks on the same slices.

use crate::run::{Fixture, TINY, arg, groundglass, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A split file.
fn split(file: &Path) -> toml::Table {
    fs::read_to_string(file).unwrap().parse().unwrap()
}

fn text<'a>(entry: &'a toml::Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap()
}

/// Names of the cases whose patients fold 0 tests, with the number of their slices that fold 0 of the other split tests.
fn tested_by_both(by_patient: &toml::Table, by_slice: &toml::Table) -> BTreeMap<String, usize> {
    let tested = |name: &str| {
        let all = by_patient["case"].as_array().unwrap();
        all.iter().any(|e| text(e, "case") == name && e["fold"].as_integer() == Some(0))
    };
    let slices = |e: &toml::Value| {
        let folds = e.get("slice_folds").and_then(toml::Value::as_array);
        folds.into_iter().flatten().filter(|f| f.as_integer() == Some(0)).count()
    };
    let all = by_slice["case"].as_array().unwrap();
    all.iter()
        .map(|e| (text(e, "case").to_owned(), slices(e)))
        .filter(|(name, n)| tested(name) && *n > 0)
        .collect()
}

#[test]
fn what_a_leak_does_is_measured_on_the_slices_that_both_splits_test() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let set = Fixture::get().set();
    // Phantoms of 64 x 64 voxels are more alike than people.
    let mut args = vec!["audit", arg(&set), "--measure", "lung", "--similarity", "0.95"];
    args.extend(["--resamples", "50", "--set", "validation_share=0.4", "--out", arg(&out)]);
    args.extend(TINY);
    let ran = groundglass(&args).ok();

    let [by_patient, by_slice] =
        ["patient", "slice"].map(|name| split(&out.join(format!("{name}-split.toml"))));
    for split in [&by_patient, &by_slice] {
        assert_eq!(split["validation_share"].as_float(), Some(0.4));
    }
    let tested = tested_by_both(&by_patient, &by_slice);
    assert!(!tested.is_empty());
    let audit = json(&out.join("audit.json"));
    let measured = &audit["measured"];
    let same = &measured["same_slices"];
    assert_eq!(same["patients"].as_u64(), Some(tested.len() as u64), "{measured}");
    assert_eq!(same["slices"].as_u64(), Some(tested.values().sum::<usize>() as u64), "{measured}");
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let difference = number(&same["slice_split"]) - number(&same["patient_split"]);
    assert!((number(&same["optimism"]["mean"]) - difference).abs() < 1e-9, "{measured}");

    // The slices of a tested patient that the split by slice tests are the common ones: `evaluate` scored them too.
    let scores = json(&out.join("slice-scores/scores.json"));
    let dice: Vec<f64> = scores["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| tested.contains_key(case["case_id"].as_str().unwrap()))
        .map(|case| number(&case["lung"]["dice"]))
        .collect();
    let mean = dice.iter().sum::<f64>() / dice.len() as f64;
    assert_eq!(dice.len(), tested.len());
    assert!((number(&same["slice_split"]) - mean).abs() < 1e-9, "{measured} {mean}");

    for name in ["patient", "slice"] {
        let scores = json(&out.join(format!("{name}-scores/scores.json")));
        let reported = &measured["as_reported"][format!("{name}_split")];
        assert_eq!(reported, &scores["lung"]["summary"]["dice"]["mean"]);
    }
    for words in
        ["optimism: lung Dice, both networks on the same", "as reported: lung Dice, each split on its own"]
    {
        assert!(ran.stdout.contains(words), "{}", ran.stdout);
    }
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("both networks on the same") && page.contains("As reported"));
}

/// The data set, a file with its split into two folds, and a place for outputs.
fn in_two_folds(dir: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let (set, file) = (Fixture::get().set(), dir.join("split.toml"));
    groundglass(&["split", arg(&set), "--folds", "2", "--out", arg(&file)]).ok();
    (set, file, dir.join("out"))
}

#[test]
fn a_fold_that_tests_nobody_is_refused_before_anything_is_trained() {
    let dir = tempfile::tempdir().unwrap();
    let (set, file, out) = in_two_folds(dir.path());
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("fold = 1", "fold = 0")).unwrap();
    let mut args = vec!["audit", arg(&set), "--split", arg(&file), "--fold", "1", "--measure", "lung"];
    args.extend(["--out", arg(&out)]);
    groundglass(&args)
        .refused(2, &["fold 1 of the split tests no case of these data sets with a truth for lung"]);
    assert!(!out.exists());
}

#[test]
fn a_case_that_is_always_trained_on_is_so_under_both_splits() {
    let dir = tempfile::tempdir().unwrap();
    let (set, file, out) = in_two_folds(dir.path());
    let mut stated = split(&file);
    let cases = stated["case"].as_array_mut().unwrap();
    let of_fold_1 = cases.iter().find(|e| e["fold"].as_integer() == Some(1)).unwrap();
    let patient = text(of_fold_1, "patient").to_owned();
    let mut n = 0;
    for case in cases.iter_mut().filter(|e| text(e, "patient") == patient) {
        let case = case.as_table_mut().unwrap();
        case.remove("fold");
        case.insert("part".to_owned(), "train".into());
        n += 1;
    }
    fs::write(&file, toml::to_string(&stated).unwrap()).unwrap();
    let mut args = vec!["audit", arg(&set), "--split", arg(&file), "--measure", "lung"];
    args.extend(["--similarity", "0.95", "--resamples", "50", "--out", arg(&out)]);
    args.extend(TINY);
    groundglass(&args).ok();
    let [by_patient, by_slice] = ["patient", "slice"].map(|name| {
        let split = split(&out.join(format!("{name}-split.toml")));
        let cases = split["case"].as_array().unwrap().iter();
        let fixed = cases.filter(|e| e.get("part").is_some_and(|part| part.as_str() == Some("train")));
        fixed.map(|e| text(e, "case").to_owned()).collect::<Vec<_>>()
    });
    assert_eq!((by_patient.len(), &by_patient), (n, &by_slice));
    assert!(!json(&out.join("audit.json"))["measured"]["same_slices"].is_null());
}
