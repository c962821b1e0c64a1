//! Each command does what its help says.

use crate::run::{Fixture, Ran, arg, command, files, groundglass, json};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn inspect_tells_a_data_set_from_a_ct() {
    let f = Fixture::get();
    let set = f.set();
    let ran = groundglass(&["inspect", arg(&set), "--json"]).ok();
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(answer["cases"], 6);
    let ct = f.ct();
    let ran = groundglass(&["inspect", arg(&ct), "--json"]).ok();
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(answer["volume"]["intensity"]["kind"], "hu");
    assert_eq!(answer["volume"]["orientation"], "LPS");
    assert!(groundglass(&["inspect", arg(&ct)]).ok().stdout.contains("64 columns x 64 rows x 20 slices"));
}

#[test]
fn a_kind_of_grey_values_has_one_name_everywhere() {
    let ct = Fixture::get().ct();
    for kind in gg_volume::IntensityKind::ALL.map(gg_volume::IntensityKind::name) {
        let ran = groundglass(&["inspect", arg(&ct), "--intensity", kind, "--json"]).ok();
        let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(answer["volume"]["intensity"]["kind"], kind);
    }
}

#[test]
fn analyze_writes_masks_numbers_and_a_page_that_stands_alone() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let out = dir.path().join("out");
    f.analyze(&f.ct(), &out, &["--case-id", "my-case"]).ok();
    let names: Vec<String> = files(&out).into_keys().collect();
    for name in [
        "lung_mask.nii.gz",
        "infection_mask.nii.gz",
        "analysis.json",
        "slices.csv",
        "report.html",
        "timings.json",
    ] {
        assert!(names.iter().any(|n| n == name), "{name}");
    }
    let a = json(&out.join("analysis.json"));
    assert_eq!(a["schema_version"], 1);
    assert_eq!(a["case_id"], "my-case");
    for key in [
        "input",
        "lung",
        "infection",
        "severity",
        "classification",
        "slices",
        "warnings",
        "models",
        "program",
    ] {
        assert!(!a[key].is_null(), "{key}");
    }
    assert_eq!(a["models"].as_array().unwrap().len(), 3);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("my-case") && page.to_lowercase().contains("research use"));
    assert!(!page.contains("src=\"http"));
    // The masks lie on the grid of the CT.
    let mask = out.join("lung_mask.nii.gz");
    let of = |path| {
        let ran = groundglass(&["inspect", path, "--json"]).ok();
        let v: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        (v["volume"]["shape"].clone(), v["volume"]["orientation"].clone(), v["volume"]["spacing_mm"].clone())
    };
    let ct = f.ct();
    assert_eq!(of(arg(&mask)), of(arg(&ct)));
}

#[test]
#[cfg(unix)]
fn ctrl_c_in_analyze_exits_130_and_leaves_whole_cases_only() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (ct, out) = (f.ct(), dir.path().join("out"));
    let models = ["lung", "infection", "classify"].map(|t| f.bundle(t));
    let mut args = vec!["analyze", "--out", arg(&out)];
    args.extend([arg(&ct); 200]);
    models.iter().for_each(|m| args.extend(["--model", arg(m)]));
    let child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..2400 {
        if out.join("case-001").is_dir() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    Ran::from(child.wait_with_output().unwrap()).refused(130, &["interrupted", "of 200 CTs"]);
    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    let with = |status: &str| summary.lines().filter(|line| line.contains(&format!(",{status},"))).count();
    let done = with("analysed");
    assert!((1..200).contains(&done), "{done}");
    assert_eq!(with("unreached"), 200 - done);
    let cases: Vec<_> =
        fs::read_dir(&out).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    assert_eq!(cases.len(), done, "{cases:?}");
    assert!(cases.iter().all(|c| c.join("report.html").is_file()));
}

#[test]
fn the_models_in_the_box_analyse_a_ct() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let ct = Fixture::get().ct();
    groundglass(&["analyze", arg(&ct), "--out", arg(&out)]).ok();
    assert_eq!(json(&out.join("analysis.json"))["models"].as_array().unwrap().len(), 3);
}

#[test]
fn a_model_in_the_box_beside_another_than_it_was_fitted_with_is_remarked_on() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (lung, infection) = (f.bundle("lung"), f.bundle("infection"));
    let told = |name: &str, models: &[&str]| {
        let out = dir.path().join(name);
        groundglass(&[&["analyze", arg(&f.ct()), "--out", arg(&out)], models].concat()).ok();
        let analysis = json(&out.join("analysis.json"));
        let codes =
            analysis["warnings"].as_array().unwrap().iter().map(|w| w["code"].as_str().unwrap().to_owned());
        ["interval_of_other_lungs", "areas_of_other_models"].map(|code| codes.clone().any(|c| c == code))
    };
    assert_eq!(told("box", &[]), [false, false]);
    assert_eq!(told("named", &["--model", "lung"]), [false, false]);
    assert_eq!(told("lung", &["--model", arg(&lung)]), [true, true]);
    assert_eq!(told("infection", &["--model", arg(&infection)]), [false, true]);
    assert_eq!(
        told("all", &["--model", arg(&lung), arg(&infection), arg(&f.bundle("classify"))]),
        [false, false]
    );
}

#[test]
fn models_tells_what_is_in_the_box_and_in_a_bundle() {
    let listed: serde_json::Value =
        serde_json::from_str(&groundglass(&["models", "list", "--json"]).ok().stdout).unwrap();
    let tasks: Vec<&str> = listed.as_array().unwrap().iter().map(|m| m["task"].as_str().unwrap()).collect();
    assert_eq!(tasks, ["classify", "infection", "lung"]);
    let shown = groundglass(&["models", "show", "lung"]).ok().stdout;
    assert!(shown.contains("CC BY-NC-SA 4.0") && shown.contains("held out"), "{shown}");
    let own = Fixture::get().bundle("infection");
    let shown: serde_json::Value =
        serde_json::from_str(&groundglass(&["models", "show", arg(&own), "--json"]).ok().stdout).unwrap();
    assert_eq!(shown["task"], "infection");
    assert_eq!(shown["sha256"].as_str().unwrap().len(), 64);
    assert!(shown["info"]["manifest"]["settings"].is_object());
    groundglass(&["models", "show", "heart"]).refused(2, &["heart", "lung", "nor a file"]);
    groundglass(&["models", "show", "Cargo.toml"]).refused(1, &["Cargo.toml"]);
}

#[test]
fn the_models_in_the_box_are_scored_begun_with_and_told_from_files_by_their_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let (f, out) = (Fixture::get(), dir.path().join("scores"));
    let set = f.set();
    groundglass(&["evaluate", arg(&set), "--model", "lung", "infection", "--out", arg(&out)]).ok();
    let scores = json(&out.join("scores.json"));
    let used = |task: &str| scores["models"].as_array().unwrap().iter().any(|m| m["task"] == task);
    assert!(used("lung") && used("infection"), "{scores}");
    // Coarse phantoms: what the network makes of them lies near 0.8, by the precision above or below.
    let dice = scores["lung"]["summary"]["dice"]["mean"].as_f64().unwrap();
    assert!(dice > 0.78, "{dice}");
    let none = dir.path().join("none");
    groundglass(&["evaluate", arg(&set), "--model", "heart", "--out", arg(&none)])
        .refused(2, &["heart", "infection", "nor a file"]);
    // A folder of a task's name leaves open which is meant.
    fs::create_dir(dir.path().join("lung")).unwrap();
    let both = |args: &[&str]| Ran::from(command(args).current_dir(dir.path()).output().unwrap());
    both(&["models", "show", "lung"])
        .refused(1, &["both a folder here and a model in the program", "lung/model.safetensors"]);
    both(&["evaluate", arg(&set), "--model", "lung", "--out", "x"]).refused(1, &["both a folder here"]);
    both(&["models", "show", "infection"]).ok();
    both(&["models", "show", "lung/"]).refused(1, &["it is a folder without model.safetensors"]);
    // Layers of the box's base are not those of a network of base 4.
    let run = dir.path().join("run");
    let train =
        ["train", "lung", arg(&set), "--out", arg(&run), "--init", "lung", "--set", "lung.network.base=4"];
    groundglass(&train).refused(1, &["no layer of lung"]);
}

#[test]
fn convert_keeps_values_and_geometry() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    groundglass(&["phantom", "--out", arg(&set), "--count", "1", "--size", "48x48x16", "--dicom"]).ok();
    let series = set.join("ct_scans/phantom-001");
    let nifti = dir.path().join("ct.nii.gz");
    groundglass(&["convert", arg(&series), arg(&nifti)]).ok();
    let options = gg_io::ReadOptions::default();
    let a = gg_io::read_ct(&series, &options).unwrap().value.ct;
    let b = gg_io::read_ct(&nifti, &options).unwrap().value.ct;
    assert_eq!(a.voxels, b.voxels);
    assert_eq!(a.grid.orientation(), b.grid.orientation());
    groundglass(&["convert", arg(&series), arg(&nifti)]).refused(2, &["--force"]);
}

#[test]
fn prepare_draws_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let set = Fixture::get().set();
    groundglass(&["prepare", arg(&set), "--out", arg(&out), "--set", "prepare.size=64"]).ok();
    let names: Vec<String> = files(&out.join("figures")).into_keys().collect();
    for number in ["02", "03", "04", "05", "09", "10", "11"] {
        assert!(
            names.iter().any(|n| n.starts_with(&format!("fig{number}")) && n.ends_with(".png")),
            "{number}: {names:?}"
        );
    }
    assert!(out.join("report.html").is_file());
}

#[test]
fn split_takes_the_tables_folds_or_says_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    groundglass(&["phantom", "--out", arg(&set), "--count", "4", "--size", "32x32x16"]).ok();
    let table = set.join("metadata.csv");
    let text = fs::read_to_string(&table).unwrap();
    let with = |folds: usize| {
        let patient = text.lines().next().unwrap().split(',').position(|c| c == "patient").unwrap();
        let mut patients = Vec::new();
        let lines = text.lines().enumerate().map(|(i, line)| {
            let name = line.split(',').nth(patient).unwrap();
            if i == 0 {
                return format!("{line},fold");
            }
            if !patients.contains(&name) {
                patients.push(name);
            }
            let at = patients.iter().position(|p| *p == name).unwrap();
            format!("{line},{}", at % folds)
        });
        fs::write(&table, lines.collect::<Vec<_>>().join("\n")).unwrap();
    };
    let split = |more: &[&str]| {
        let file = dir.path().join("split.toml");
        let mut args = vec!["split", arg(&set), "--out", arg(&file), "--force", "--json"];
        args.extend(more);
        let ran = groundglass(&args).ok();
        let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        (ran.stderr, answer["warnings"].as_array().unwrap().len())
    };
    with(2);
    for more in [&["--folds", "2"][..], &[]] {
        let (said, warnings) = split(more);
        assert!(said.contains("taking the folds of the data set's own table") && warnings == 0, "{said}");
    }
    let (said, warnings) = split(&["--folds", "3"]);
    assert!(said.contains("own table has 2 folds, 3 are asked for") && warnings == 1, "{said}");
    let (said, warnings) = split(&["--folds", "3", "--ignore-table"]);
    assert!(!said.contains("own table") && warnings == 0, "{said}");
    // One fold is none to take.
    with(1);
    let (said, warnings) = split(&["--folds", "2"]);
    assert!(!said.contains("own table") && warnings == 0, "{said}");
}

#[test]
fn split_keeps_every_patient_in_one_fold() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let file = dir.path().join("split.toml");
    groundglass(&["split", arg(&set), "--folds", "3", "--out", arg(&file)]).ok();
    let split: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    let mut folds = std::collections::BTreeMap::new();
    for entry in split["case"].as_array().unwrap() {
        let patient = entry["patient"].as_str().unwrap().to_owned();
        let fold = entry["fold"].as_integer().unwrap();
        assert_eq!(*folds.entry(patient).or_insert(fold), fold);
    }
}

#[test]
fn config_prints_what_it_accepts() {
    let dir = tempfile::tempdir().unwrap();
    for profile in ["groundglass", "paper"] {
        let printed = groundglass(&["config", "print", "--profile", profile]).ok().stdout;
        let file = dir.path().join("settings.toml");
        fs::write(&file, &printed).unwrap();
        groundglass(&["config", "check", arg(&file)]).ok();
        fs::write(&file, printed.replacen("seed =", "sead =", 1)).unwrap();
        groundglass(&["config", "check", arg(&file)]).refused(2, &["sead"]);
    }
}

#[test]
fn evaluate_draws_its_figures() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let out = dir.path().join("out");
    let (set, models) = (f.set(), ["lung", "infection", "classify"].map(|t| f.bundle(t)));
    let mut args = vec!["evaluate", arg(&set), "--fold", "0", "--resamples", "50", "--out", arg(&out)];
    models.iter().for_each(|m| args.extend(["--model", arg(m)]));
    groundglass(&args).ok();
    let names: Vec<String> = files(&out).into_keys().collect();
    for name in ["scores.json", "scores.csv", "report.html"] {
        assert!(names.iter().any(|n| n == name), "{name}");
    }
    for word in ["lung_prediction_beside_truth", "infection_dice", "confusion_matrix"] {
        assert!(names.iter().any(|n| n.contains(word)), "{word}: {names:?}");
    }
    let scores = json(&out.join("scores.json"));
    assert_eq!(scores["part"], "test");
    assert!(scores["lung"]["summary"]["dice"]["mean"].is_number());
}

#[test]
fn audit_finds_one_scan_under_two_names_and_passes_an_honest_split() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("honest");
    let set = Fixture::get().set();
    // Phantoms of 64 x 64 voxels are more alike than people.
    let ran = groundglass(&["audit", arg(&set), "--similarity", "0.95", "--out", arg(&out)]).ok();
    assert!(ran.stdout.contains("No patient and no slice stands on both sides"), "{}", ran.stdout);
    assert_eq!(json(&out.join("audit.json"))["leaking"], false);

    // The same scan as another patient, dealt to another fold.
    let copied = dir.path().join("copied");
    for (folder, source) in [("ct", "ct_scans"), ("lung_mask", "lung_mask")] {
        fs::create_dir_all(copied.join(folder)).unwrap();
        for name in ["one", "two"] {
            let source = set.join(source).join("phantom-001.nii.gz");
            fs::copy(&source, copied.join(folder).join(format!("{name}.nii.gz"))).unwrap();
        }
    }
    let split = dir.path().join("split.toml");
    groundglass(&["split", arg(&copied), "--folds", "2", "--out", arg(&split)]).ok();
    let out = dir.path().join("leaking");
    groundglass(&["audit", arg(&copied), "--split", arg(&split), "--out", arg(&out)])
        .refused(1, &["the split leaks", "report.html"]);
    let audit = json(&out.join("audit.json"));
    let found = &audit["duplicates"][0];
    assert_eq!((&found["leaks"], &found["same_scan"]), (&true.into(), &true.into()));
    assert_eq!(found["across"], found["slices"]);
    assert!(found["best"]["correlation"].as_f64().unwrap() > 0.999);
    assert!(
        fs::read_to_string(out.join("report.html"))
            .unwrap()
            .contains("look like one scan under two patients")
    );
}

#[test]
fn a_split_that_names_one_patient_twice_is_audited_and_not_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (set, split) = (at("set"), at("split.toml"));
    groundglass(&["phantom", "--out", arg(&set), "--count", "4", "--size", "32x32x16"]).ok();
    groundglass(&["split", arg(&set), "--folds", "2", "--out", arg(&split)]).ok();
    // The data set learns that two of its patients are one, who is on both sides of the split.
    let text = fs::read_to_string(&split).unwrap();
    let fold_of =
        |patient: &str| text.split("[[case]]").find(|c| c.contains(patient)).unwrap().contains("fold = 0");
    let other =
        (2..=4).map(|i| format!("patient-00{i}")).find(|p| fold_of(p) != fold_of("patient-001")).unwrap();
    let table = fs::read_to_string(set.join("metadata.csv")).unwrap();
    fs::write(set.join("metadata.csv"), table.replace(&other, "anna").replace("patient-001", "anna"))
        .unwrap();

    let out = at("audit");
    groundglass(&["audit", arg(&set), "--split", arg(&split), "--out", arg(&out)]).refused(1, &["leaks"]);
    assert_eq!(json(&out.join("audit.json"))["patients_in_several_places"].as_array().unwrap().len(), 1);
    let mut train = vec!["train", "lung", arg(&set), "--split", arg(&split)];
    let run = at("run");
    train.extend(["--fold", "0", "--out", arg(&run), "--set", "prepare.size=16"]);
    let ran = groundglass(&train).refused(1, &["split.toml", "of one patient in the data set and of two"]);
    assert!(!ran.stderr.contains("anna") && !run.exists(), "{}", ran.stderr);
}

#[test]
fn audit_says_what_a_split_by_slice_tears_apart() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let split = dir.path().join("split.toml");
    groundglass(&["split", arg(&set), "--by-slice", "--profile", "paper", "--out", arg(&split)]).ok();
    let out = dir.path().join("out");
    groundglass(&["audit", arg(&set), "--split", arg(&split), "--out", arg(&out)]).refused(1, &["leaks"]);
    let audit = json(&out.join("audit.json"));
    assert!(!audit["patients_in_several_places"].as_array().unwrap().is_empty());
}
