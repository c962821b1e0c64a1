//! `evaluate`: what it scores, on which cases, and what its outputs say of it.

use crate::run::{Fixture, TINY, arg, groundglass, json};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn case_ids(scores: &Value) -> Vec<&str> {
    scores["cases"].as_array().unwrap().iter().map(|c| c["case_id"].as_str().unwrap()).collect()
}

#[test]
fn without_a_model_or_masks_the_usage_names_both() {
    let dir = tempfile::tempdir().unwrap();
    let (set, out) = (Fixture::get().set(), dir.path().join("out"));
    groundglass(&["evaluate", arg(&set), "--out", arg(&out)]).refused(2, &["--model", "--pred"]);
    let model = Fixture::get().bundle("lung");
    groundglass(&["evaluate", arg(&set), "--out", arg(&out), "--pred", arg(&set), "--model", arg(&model)])
        .refused(2, &["--model", "--pred"]);
}

#[test]
fn several_models_after_one_flag_are_several_models() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (set, ct, lung, infection) = (f.set(), f.ct(), f.bundle("lung"), f.bundle("infection"));
    let models = |out: &Path| {
        let models = json(out)["models"].as_array().unwrap().clone();
        models.iter().map(|m| m["task"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let out = dir.path().join("scores");
    let both = ["--model", arg(&lung), arg(&infection), "--resamples", "20", "--fold", "0", "--out"];
    groundglass(&[&["evaluate", arg(&set)], &both[..], &[arg(&out)]].concat()).ok();
    assert_eq!(models(&out.join("scores.json")), ["lung", "infection"]);
    let out = dir.path().join("analysis");
    groundglass(&["analyze", arg(&ct), "--out", arg(&out), "--model", arg(&lung), arg(&infection)]).ok();
    let analysis = json(&out.join("analysis.json"));
    for (used, bundle) in analysis["models"].as_array().unwrap().iter().zip([&lung, &infection]) {
        let scored = json(&dir.path().join("scores/scores.json"));
        assert!(scored["models"].as_array().unwrap().contains(used), "{}", bundle.display());
    }
}

#[test]
fn a_name_that_a_model_flag_swallowed_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (ct, lung, out) = (f.ct(), f.bundle("lung"), dir.path().join("out"));
    groundglass(&["analyze", arg(&ct), "--out", arg(&out), "--model", arg(&lung), arg(&ct)])
        .refused(1, &["phantom-001.nii.gz", "--model takes all names up to the next option"]);
    assert!(!out.exists());
}

#[test]
fn the_test_part_is_that_of_the_split_that_the_model_was_trained_with() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (set, run) = (f.set(), dir.path().join("run"));
    let mut args = vec!["train", "lung", arg(&set), "--seed", "2", "--fold", "1", "--out", arg(&run)];
    args.extend(TINY);
    args.extend(["--set", "lung.train.epochs=1"]);
    groundglass(&args).ok();
    let (model, split, first) = (run.join("model.safetensors"), run.join("split.toml"), f.bundle("lung"));
    let scored = |name: &str, model: &Path, more: &[&str]| {
        let out = dir.path().join(name);
        let args = ["evaluate", arg(&set), "--model", arg(model), "--resamples", "20", "--out", arg(&out)];
        groundglass(&[&args[..], more].concat()).ok();
        json(&out.join("scores.json"))
    };
    let by_model = scored("model", &model, &["--part", "test"]);
    let by_file = scored("file", &model, &["--split", arg(&split), "--fold", "1"]);
    assert_eq!(case_ids(&by_model), case_ids(&by_file));
    let other_seed = scored("other", &first, &["--part", "test"]);
    assert_ne!(case_ids(&by_model), case_ids(&other_seed), "this seed does not tell the two splits apart");
    let codes = by_model["warnings"].to_string();
    assert!(!codes.contains("trained_on"), "{codes}");

    let other = f.bundle("infection"); // holds out fold 0
    let out = dir.path().join("refused");
    let both =
        ["evaluate", arg(&set), "--model", arg(&model), arg(&other), "--part", "test", "--out", arg(&out)];
    groundglass(&both).refused(2, &["different folds (0, 1)", "--fold"]);
    assert!(!out.exists());
    // The same data under another split file: its test part cannot be guessed.
    let drawn = dir.path().join("drawn.toml");
    groundglass(&["split", arg(&set), "--folds", "2", "--seed", "7", "--out", arg(&drawn)]).ok();
    let run = dir.path().join("drawn");
    let mut args = vec!["train", "lung", arg(&set), "--split", arg(&drawn), "--out", arg(&run)];
    args.extend(TINY);
    args.extend(["--set", "lung.train.epochs=1"]);
    groundglass(&args).ok();
    let model = run.join("model.safetensors");
    let alone = ["evaluate", arg(&set), "--model", arg(&model), "--part", "test", "--out", arg(&out)];
    groundglass(&alone).refused(2, &["cannot be drawn again", "--split"]);
}

#[test]
fn millilitres_from_truth_masks_are_within_2_percent_of_the_phantoms() {
    let dir = tempfile::tempdir().unwrap();
    let dicom = dir.path().join("dicom");
    groundglass(&[
        "phantom",
        "--out",
        arg(&dicom),
        "--count",
        "3",
        "--size",
        "64x64x20",
        "--dicom",
        "--seed",
        "5",
    ])
    .ok();
    for (name, set) in [("nifti", Fixture::get().set()), ("series", dicom)] {
        let out = dir.path().join(name);
        groundglass(&["evaluate", arg(&set), "--pred", arg(&set), "--resamples", "20", "--out", arg(&out)])
            .ok();
        let scores = json(&out.join("scores.json"));
        let truths = json(&set.join("truth.json"));
        for (case, truth) in scores["cases"].as_array().unwrap().iter().zip(truths.as_array().unwrap()) {
            let truth = &truth["truth"];
            for quantity in ["lung_ml", "infection_ml", "percent_of_lung"] {
                let right = truth[quantity].as_f64().unwrap();
                for from in ["truth", "pred"] {
                    let found = case[quantity][from].as_f64().unwrap();
                    assert!(
                        (found - right).abs() <= 0.02 * right + 1e-9,
                        "{name}: {quantity} from {from}: {found} for {right}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_report_says_what_was_scored_and_on_what() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (set, lung, infection) = (f.set(), f.bundle("lung"), f.bundle("infection"));
    let page = |name: &str, more: &[&str]| {
        let out = dir.path().join(name);
        let args = ["evaluate", arg(&set), "--resamples", "20", "--out", arg(&out)];
        groundglass(&[&args[..], more].concat()).ok();
        fs::read_to_string(out.join("report.html")).unwrap()
    };
    let models = page("models", &["--fold", "0", "--model", arg(&lung), arg(&infection)]);
    let sha256 =
        json(&dir.path().join("models/scores.json"))["models"][0]["sha256"].as_str().unwrap().to_owned();
    assert!(models.contains("lung-fold0-seed1") && models.contains(&sha256));
    assert!(models.contains("Kaggle layout, phantoms"));
    let masks = page("masks", &["--pred", arg(&set)]);
    assert!(masks.contains("masks of another program") && masks.contains("6 cases, Kaggle layout, phantoms"));
    for page in [&models, &masks] {
        assert!(!page.contains("human readers"), "what people reach on patients says nothing about phantoms");
        assert!(!page.contains("HD95 (voxels)"), "a column without a value is shown");
        assert!(page.contains("HD95 (mm)") && page.contains("counted from 0 at the feet"));
    }
}

#[test]
fn what_human_readers_reach_stands_beside_patients_and_one_case_is_no_agreement() {
    let dir = tempfile::tempdir().unwrap();
    let (set, out) = (dir.path().join("set"), dir.path().join("out"));
    groundglass(&["phantom", "--out", arg(&set), "--count", "1", "--size", "48x48x16"]).ok();
    fs::remove_file(set.join("truth.json")).unwrap(); // nothing says any more that it is a phantom
    groundglass(&["evaluate", arg(&set), "--pred", arg(&set), "--resamples", "20", "--out", arg(&out)]).ok();
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("0.70 ± 0.08 (Bartoli et al. 2022"));
    assert!(page.contains("Infection") && !page.contains("Bland-Altman"));
    let figures: Vec<_> =
        fs::read_dir(out.join("figures")).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(figures.iter().any(|f| f == "infection_dice.svg"), "{figures:?}");
    assert!(!figures.iter().any(|f| f.to_str().unwrap().starts_with("percent_")), "{figures:?}");
}

#[test]
fn each_of_two_data_sets_is_scored_by_itself_as_it_would_be_alone() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (set, other, lung, infection) =
        (f.set(), dir.path().join("other"), f.bundle("lung"), f.bundle("infection"));
    groundglass(&["phantom", "--out", arg(&other), "--count", "1", "--size", "64x64x20", "--seed", "6"]).ok();
    let scored = |name: &str, sets: &[&Path]| {
        let out = dir.path().join(name);
        let mut args = vec!["evaluate"];
        args.extend(sets.iter().map(|s| arg(s)));
        args.extend(["--part", "all", "--resamples", "20", "--out", arg(&out)]);
        let ran = groundglass(&[&args[..], &["--model", arg(&lung), arg(&infection)]].concat()).ok();
        (json(&out.join("scores.json")), ran.stdout, fs::read_to_string(out.join("report.html")).unwrap())
    };
    let (both, text, page) = scored("both", &[&set, &other]);
    let by_set = both["by_data_set"].as_array().unwrap();
    assert_eq!(by_set.iter().map(|s| &s["cases"]).collect::<Vec<_>>(), [6, 1]);
    for (of, alone) in by_set.iter().zip([&set, &other]) {
        let (alone, ..) = scored(&format!("alone-{}", of["data_set"]), &[alone]);
        assert!(alone["by_data_set"].is_null(), "one data set says the same again");
        assert_eq!(of["lung_dice"]["mean"], alone["lung"]["summary"]["dice_over_patients"]["mean"]);
        assert_eq!(of["infection_by_burden"], alone["infection_by_burden"]);
        assert_eq!(of["percent_of_lung"], alone["percent_of_lung"]);
    }
    for said in [&text, &page] {
        assert!(said.contains("Data set 2 (Kaggle, 1 case): lung Dice over 1 patient "), "{said}");
    }
}

#[test]
fn a_classifier_weighs_the_infected_area_after_it_was_fitted_and_asks_for_the_masks_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (set, ct, lung, infection) = (f.set(), f.ct(), f.bundle("lung"), f.bundle("infection"));
    let (alone, both) = (f.bundle("classify"), dir.path().join("both.safetensors"));
    let evaluate = |classifier: &Path, name: &str| {
        let out = dir.path().join(name);
        let models = ["--model", arg(classifier), arg(&lung), arg(&infection)];
        let fixed = ["evaluate", arg(&set), "--fold", "0", "--resamples", "20", "--out", arg(&out)];
        groundglass(&[&fixed[..], &models[..]].concat()).ok();
        out.join("scores.json")
    };
    let scores = evaluate(&alone, "alone");
    groundglass(&["models", "set-area", arg(&infection), arg(&scores), "--out", arg(&both)])
        .refused(1, &["task infection, right would be classify"]);
    let said =
        groundglass(&["models", "set-area", arg(&alone), arg(&scores), "--out", arg(&both)]).ok().stdout;
    assert!(said.contains("the infected area counts too"), "{said}");
    let refused = dir.path().join("twice.safetensors");
    groundglass(&["models", "set-area", arg(&alone), arg(&evaluate(&both, "both")), "--out", arg(&refused)])
        .refused(1, &["weighed the infected area already"]);

    let shown = groundglass(&["models", "show", arg(&both), "--json"]).ok().stdout;
    let fit = serde_json::from_str::<Value>(&shown).unwrap()["info"]["area"].clone();
    let (before, after) = (json(&scores), json(&dir.path().join("both/scores.json")));
    // What chose the weights is not held out from them any more.
    assert!(
        after["warnings"].to_string().contains("the classify model was chosen by"),
        "{}",
        after["warnings"]
    );
    assert!(!before["warnings"].to_string().contains("the classify model was chosen by"));
    let mut slices = 0;
    let pairs = before["cases"].as_array().unwrap().iter().zip(after["cases"].as_array().unwrap());
    for (before, after) in pairs {
        for (i, slice) in after["slice_scores"].as_array().unwrap().iter().enumerate() {
            let network = before["slice_scores"][i]["probability"].as_f64().unwrap().clamp(1e-4, 1.0 - 1e-4);
            if before["slice_scores"][i]["probability"] == 0.0 {
                continue; // a slice without lung is never called infected
            }
            let area_of = |i: usize| before["slice_areas"][i]["of_largest_lung"].as_f64().unwrap_or(0.0);
            let reach = fit["neighbours"].as_u64().unwrap() as usize;
            let last = before["slice_areas"].as_array().unwrap().len() - 1;
            let near: Vec<usize> = (i.saturating_sub(reach)..=(i + reach).min(last)).collect();
            let weight_of = |k: usize| (reach + 1 - i.abs_diff(k)) as f64;
            let area = near.iter().map(|&k| weight_of(k) * area_of(k)).sum::<f64>()
                / near.iter().map(|&k| weight_of(k)).sum::<f64>();
            let weight = |key: &str| fit[key].as_f64().unwrap();
            let odds = weight("network") * (network / (1.0 - network)).ln()
                + weight("area") * (area / 1e-4 + 1.0).ln()
                + weight("offset");
            let (found, expected) = (slice["probability"].as_f64().unwrap(), 1.0 / (1.0 + (-odds).exp()));
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
            slices += 1;
        }
    }
    assert!(slices > 10, "{slices}");
    let out = dir.path().join("out");
    let lonely = ["evaluate", arg(&set), "--fold", "0", "--out", arg(&out), "--model", arg(&both)];
    groundglass(&lonely).refused(
        1,
        &["weighs the infected area of each slice too", "a lung and an infection model beside it"],
    );
    // `explain` says what `analyze` says, and what the network said before.
    groundglass(&["explain", arg(&ct), "--slice", "8", "--model", arg(&both), "--out", arg(&out)]).ok();
    let explained = json(&out.join("explanation.json"));
    let analysed = dir.path().join("analysed");
    let analyze = ["analyze", arg(&ct), "--precision", "fp32", "--out", arg(&analysed), "--model"];
    groundglass(&[&analyze[..], &[arg(&both)]].concat()).ok();
    let analysis = json(&analysed.join("analysis.json"));
    let probability = |v: &Value| v.as_f64().unwrap();
    let said = probability(&analysis["classification"]["probability_per_slice"][8]);
    assert!((probability(&explained["probability"]) - said).abs() < 0.02, "{explained} {said}");
    assert!((probability(&explained["network_probability"]) - said).abs() > 1e-6, "{explained}");
}
