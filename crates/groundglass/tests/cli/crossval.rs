//! Every patient is tested once, by networks that never saw them.

use crate::run::{Fixture, TINY, arg, groundglass, json};
use std::collections::BTreeSet;
use std::fs;

#[test]
fn folds_learn_from_the_networks_of_their_own_folds() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let run = |out: &str, more: &[&str]| {
        let out = dir.path().join(out);
        let mut args =
            vec!["crossval", "infection", arg(&set), "--folds", "2", "--resamples", "50", "--out", arg(&out)];
        args.extend(TINY);
        args.extend(more);
        groundglass(&args)
    };
    run("first", &[]).ok();
    let first = dir.path().join("first");
    run("taught", &["--teacher", arg(&first)]).ok();
    for fold in 0..2 {
        let weights = |root: &str| json(&dir.path().join(format!("{root}/fold-{fold}/run/manifest.json")));
        assert_eq!(weights("taught")["teacher_sha256"].as_array().map(Vec::len), Some(1));
        assert!(weights("first")["teacher_sha256"].is_null());
    }
    run("taught", &["--resume"]).refused(1, &["(teacher)"]);
    // Folds drawn otherwise: told before the first is trained, and before anything is cleared.
    run("taught", &["--teacher", arg(&first), "--seed", "9", "--force"])
        .refused(1, &["first/fold-", "was trained on patients of the names of", "same split"]);
    run("taught", &["--teacher", arg(&first), "--teacher", arg(&first), "--force"])
        .refused(2, &["the same weights", "each --teacher once"]);
    run("taught", &["--precision", "int8", "--force"]).refused(2, &["int8 is for prediction"]);
    run("first", &["--teacher", arg(&first), "--force"]).refused(2, &["lies in the output folder"]);
    // Lungs that know the patients of another fold are no better.
    let lungs = dir.path().join("lungs");
    for fold in 0..2 {
        let run = lungs.join(format!("fold-{fold}/run"));
        fs::create_dir_all(&run).unwrap();
        fs::copy(Fixture::get().bundle("lung"), run.join("model.safetensors")).unwrap();
    }
    run("inside", &["--lung", arg(&lungs)])
        .refused(1, &["lungs/fold-", "was trained on patients of the names of", "same split"]);
    assert!(!dir.path().join("inside").exists());
    assert!(first.join("fold-1/run/model.safetensors").is_file());
    assert!(dir.path().join("taught/scores/scores.json").is_file());
}

#[test]
fn crossval_tests_every_patient_once_and_goes_on_where_it_was_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let run = |task: &str, out: &str, more: &[&str]| {
        let out = dir.path().join(out);
        let mut args =
            vec!["crossval", task, arg(&set), "--folds", "2", "--resamples", "50", "--out", arg(&out)];
        args.extend(TINY);
        args.extend(more);
        groundglass(&args)
    };
    run("lung", "lung", &[]).ok();
    let lungs = dir.path().join("lung");
    // What the folds will need is looked for before the first is trained.
    let nowhere = dir.path().join("nowhere");
    run("infection", "infection", &["--lung", arg(&nowhere)])
        .refused(1, &["nowhere", "holds no folds", "right for --lung"]);
    assert!(!dir.path().join("infection").exists());
    let ran = run("infection", "infection", &["--lung", arg(&lungs)]).ok();
    let wrong = dir.path().join("infection");
    run("infection", "other", &["--lung", arg(&wrong)])
        .refused(1, &["task infection", "right would be lung"]);
    assert!(ran.stdout.contains("tested by a network that never saw them"), "{}", ran.stdout);

    let root = dir.path().join("infection");
    let out = root.join("scores");
    let scores = json(&out.join("scores.json"));
    let cases: Vec<&str> =
        scores["cases"].as_array().unwrap().iter().map(|c| c["case_id"].as_str().unwrap()).collect();
    assert_eq!(cases.len(), 6);
    assert_eq!(cases.iter().collect::<BTreeSet<_>>().len(), 6);
    assert_eq!(scores["per_fold"].as_array().unwrap().len(), 2);
    assert_eq!(scores["models"].as_array().unwrap().len(), 4); // lung and infection of each fold
    assert_eq!(scores["data_sets"][0]["cases"], 6);
    let told = &scores["infection_by_burden"];
    assert_eq!(told["infected_volumes"].as_u64().unwrap() + told["other_volumes"].as_u64().unwrap(), 6);
    let codes = scores["warnings"].as_array().unwrap().iter().map(|w| w["code"].as_str().unwrap());
    let known: Vec<&str> =
        codes.filter(|c| c.starts_with("trained_on") || c.starts_with("chosen_on")).collect();
    assert!(known.is_empty(), "tested by networks that never saw them: {known:?}");
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("Bland"));

    // Stopped after the first fold: the second is trained again, and all comes out the same.
    let whole = fs::read(out.join("scores.json")).unwrap();
    fs::remove_dir_all(root.join("fold-1")).unwrap();
    fs::remove_file(out.join("scores.json")).unwrap();
    run("infection", "infection", &["--lung", arg(&lungs), "--resume"]).ok();
    assert!(fs::read(out.join("scores.json")).unwrap() == whole);
    run("infection", "infection", &["--seed", "9", "--resume"]).refused(2, &["another split"]);
    run("infection", "infection", &["--set", "infection.train.epochs=1", "--resume"])
        .refused(2, &["other settings"]);
}

#[test]
fn crossval_of_the_classifier_pools_folds_with_a_threshold_each() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let out = dir.path().join("out");
    let mut args =
        vec!["crossval", "classify", arg(&set), "--folds", "2", "--resamples", "50", "--out", arg(&out)];
    args.extend(TINY);
    groundglass(&args).ok();
    let scores = json(&out.join("scores/scores.json"));
    let thresholds: BTreeSet<String> =
        scores["models"].as_array().unwrap().iter().map(|m| m["threshold"].to_string()).collect();
    let pooled = &scores["classification"]["scores"];
    assert_eq!(pooled["threshold"].is_null(), thresholds.len() > 1, "{thresholds:?}");
    let confusion = &pooled["confusion"];
    let n: u64 = ["tp", "fp", "fn", "tn"].iter().map(|k| confusion[k].as_u64().unwrap()).sum();
    assert_eq!(n, 6 * 20);
}

#[test]
fn crossval_refuses_a_split_that_does_not_test_every_case_once_and_clears_nothing_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let [split, out] = ["split.toml", "out"].map(|n| dir.path().join(n));
    let run = |more: &[&str]| {
        let mut args = vec!["crossval", "lung", arg(&set), "--resamples", "50", "--out", arg(&out)];
        args.extend(TINY);
        args.extend(more);
        groundglass(&args)
    };
    run(&["--folds", "2"]).ok();
    let finished = out.join("scores/scores.json");
    let folds = fs::read_to_string(out.join("split.toml")).unwrap();
    let again = ["--split", arg(&split), "--force"];
    let parts = folds.replace("fold = 0", "part = \"test\"").replace("fold = 1", "part = \"train\"");
    fs::write(&split, parts.replace("folds = 2", "folds = 0")).unwrap();
    run(&again).refused(2, &["found a split of 0 folds", "at least 2"]);
    fs::write(&split, folds.replacen("fold = 0", "part = \"test\"", 1)).unwrap();
    run(&again).refused(2, &["the fixed part `test` beside 2 folds", "a fold for it"]);
    fs::write(&split, folds.replace("folds = 2", "folds = 3")).unwrap();
    run(&again).refused(2, &["3 folds, and no case is in fold 2"]);
    assert!(finished.is_file(), "nothing was cleared");
    // What is always trained on is told apart from what chooses.
    fs::write(&split, folds.replacen("fold = 0", "part = \"train\"", 1)).unwrap();
    assert!(run(&again).ok().stdout.contains("1 cases are in no fold and were always trained on"));
    fs::write(&split, folds.replacen("fold = 0", "part = \"val\"", 1)).unwrap();
    assert!(!run(&again).ok().stdout.contains("in no fold"));
}

#[test]
fn crossval_refuses_a_split_by_slice() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let split = dir.path().join("split.toml");
    groundglass(&["split", arg(&set), "--by-slice", "--profile", "paper", "--out", arg(&split)]).ok();
    let out = dir.path().join("out");
    groundglass(&["crossval", "lung", arg(&set), "--split", arg(&split), "--out", arg(&out)])
        .refused(2, &["patients leak", "audit --measure"]);
    assert!(!out.exists());
}
