//! Numbers that say how far they can be trusted: intervals around the percentage, calibration, single images, patients.

use crate::run::{Fixture, TINY, arg, groundglass, json, png};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_interval_of_a_cross_validation_goes_into_a_bundle_and_out_of_analyze() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let set = path("set");
    groundglass(&["phantom", "--out", arg(&set), "--count", "18", "--size", "40x40x16", "--seed", "3"]).ok();
    // Eighteen volumes of thirteen patients.
    let cross = |task: &str, more: &[&str]| {
        let out = path(task);
        let mut args =
            vec!["crossval", task, arg(&set), "--folds", "4", "--resamples", "50", "--out", arg(&out)];
        args.extend(TINY);
        args.extend(["--set", "lung.train.epochs=2", "--set", "infection.train.epochs=2"]);
        args.extend(more);
        groundglass(&args).ok()
    };
    cross("lung", &[]);
    let ran = cross("infection", &["--lung", arg(&path("lung"))]);
    assert!(ran.stdout.contains("its intervals hold the truth of"), "{}", ran.stdout);

    let scores = json(&path("infection/scores/scores.json"));
    let measured = &scores["percent_of_lung_interval"];
    assert_eq!((measured["patients"].as_u64(), measured["without_interval"].as_u64()), (Some(13), Some(0)));
    let fit_file = path("infection/scores/interval.json");
    let fit = json(&fit_file);
    assert_eq!(fit["measured"], *measured);
    assert_eq!(fit["scans"].as_array().unwrap().len(), 18);
    assert_eq!((fit["level"].as_f64(), fit["patients"].as_u64()), (Some(0.9), Some(13)));
    let within = |c: &&serde_json::Value| {
        let interval = &c["percent_of_lung_interval"];
        let truth = c["percent_of_lung"]["truth"].as_f64().unwrap();
        interval[0].as_f64().unwrap() <= truth && truth <= interval[1].as_f64().unwrap()
    };
    let held = scores["cases"].as_array().unwrap().iter().filter(within).count();
    assert!((measured["coverage_of_volumes"].as_f64().unwrap() - held as f64 / 18.0).abs() < 1e-9);
    for key in ["dice_over_patients", "pooled_dice"] {
        assert!(scores["infection"]["summary"][key]["mean"].is_f64(), "{key}");
    }
    for section in ["lung", "infection"] {
        let reliability = &scores[section]["reliability"];
        assert!(reliability["before"]["ece"].is_f64() && reliability["after"]["ece"].is_f64());
    }
    assert!(scores["infection_free_slices"]["slices"].as_u64().unwrap() > 0);
    assert!(scores["classification_by_area"]["scores"]["auroc"].is_f64());
    for figure in ["percent_scatter", "infection_reliability", "infection_dice", "area_roc"] {
        let file = path("infection/scores/figures").join(format!("{figure}.png"));
        assert!(file.is_file(), "{}", file.display());
    }

    // A bundle knows nothing of intervals until one is put into it.
    let (bundle, with) = (path("infection/fold-0/run/model.safetensors"), path("with.safetensors"));
    let ct = set.join("ct_scans/phantom-001.nii.gz");
    let analyze = |model: &Path, out: &str| {
        let out = path(out);
        groundglass(&["analyze", arg(&ct), "--out", arg(&out), "--model", arg(model)]).ok();
        (json(&out.join("analysis.json")), fs::read_to_string(out.join("report.html")).unwrap())
    };
    let (without, page) = analyze(&bundle, "without");
    assert!(without["infection"]["percent_of_lung_interval"].is_null());
    assert!(without["infection"]["percent_of_lung_interval_level"].is_null());
    assert!(page.contains("the infection model carries no fit") && !page.contains("How sure is this share"));

    let put = |model: &Path, out: &Path| {
        groundglass(&["models", "set-interval", arg(model), arg(&fit_file), "--out", arg(out)])
    };
    put(&path("lung/fold-0/run/model.safetensors"), &with).refused(1, &["right would be infection"]);
    assert!(!with.exists());
    put(&bundle, &with).ok();
    put(&bundle, &with).refused(2, &["--force"]);
    let moved = path("moved.safetensors");
    let (lungs, folds) = (path("lung"), path("infection"));
    let median = |folds: &Path, out: &Path| {
        groundglass(&["models", "set-threshold", arg(&with), arg(folds), "--out", arg(out)])
    };
    median(&lungs, &path("x")).refused(1, &["task lung", "right would be infection"]);
    median(dir.path(), &path("x")).refused(1, &["no finished cross-validation"]);
    assert!(!path("x").exists());
    let wide = groundglass(&["models", "set-threshold", "infection", arg(&folds), "--out", arg(&path("x"))]);
    wide.refused(1, &["another than that of infection", "folds of the same recipe"]);
    median(&folds, &moved).ok();
    let bundle_json = |file: &Path| {
        serde_json::from_str::<serde_json::Value>(
            &groundglass(&["models", "show", arg(file), "--json"]).ok().stdout,
        )
        .unwrap()
    };
    // What chose the threshold is remembered: the validation scans of all folds, not of this one alone.
    groundglass(&["models", "set-threshold", arg(&bundle), arg(&folds), "--out", arg(&path("medians"))]).ok();
    let chosen_on =
        |file: &Path| bundle_json(file)["info"]["manifest"]["val_scans"].as_array().unwrap().len();
    assert!(chosen_on(&path("medians")) > chosen_on(&bundle), "{}", chosen_on(&bundle));
    // Another clean-up takes the interval out, which was fitted on other masks; the same one does not.
    let cleaned = path("cleaned.safetensors");
    let set_prediction = |set: &str, out: &Path| {
        groundglass(&["models", "set-prediction", arg(&with), set, "--out", arg(out), "--force"])
    };
    let clean = |file: &Path| bundle_json(file)["info"]["clean"].clone();
    set_prediction("infection_reach=0.05", &cleaned).ok();
    assert!(bundle_json(&cleaned)["info"]["interval"].is_null());
    assert_eq!(
        (&clean(&cleaned)["infection_reach"], &clean(&with)["infection_reach"]),
        (&0.05.into(), &0.02.into())
    );
    assert_eq!(clean(&cleaned)["doubtful_lung"], clean(&with)["doubtful_lung"]);
    assert_eq!(bundle_json(&cleaned)["info"]["weights_sha256"], bundle_json(&with)["info"]["weights_sha256"]);
    set_prediction("infection_reach=0.02", &cleaned).ok();
    assert_eq!(fs::read(&cleaned).unwrap(), fs::read(&with).unwrap());
    set_prediction("infection_reech=1", &path("x"))
        .refused(2, &["infection_reech=1: no key for the task infection", "infection_reach"]);
    set_prediction("infection_reach=2", &path("x")).refused(2, &["infection_reach is 2", "0 to 0.1"]);
    set_prediction("infection_reach", &path("x")).refused(2, &["KEY=VALUE"]);
    for (model, set, words) in [
        ("classify", "infection_reach=1", "no key for the task classify; right would be mirror"),
        ("lung", "infection_reach=1", "no key for the task lung; right would be mirror, lung_smallest"),
        ("infection", "lung_smallest=0.5", "no key for the task infection"),
        ("infection", "infection_reach=-1", "infection_reach is -1"),
    ] {
        groundglass(&["models", "set-prediction", model, set, "--out", arg(&path("x"))]).refused(2, &[words]);
    }
    groundglass(&["models", "set-prediction", "classify", "mirror=half_turn", "--out", arg(&path("x"))])
        .refused(1, &["before `models set-area`"]);
    let twice = ["infection_reach=0.01", "infection_reach=0.02"];
    groundglass(&["models", "set-prediction", "infection", twice[0], twice[1], "--out", arg(&path("x"))])
        .refused(2, &["infection_reach is given twice"]);
    set_prediction("mirror=quarter", &path("x")).refused(2, &["none, left_right or half_turn"]);
    set_prediction("mirror=half_turn", &cleaned).ok();
    assert_eq!(bundle_json(&cleaned)["info"]["mirror"], "half_turn");
    assert!(bundle_json(&cleaned)["info"]["interval"].is_null());
    assert!(!path("x").exists());
    // Folds that are there are scored again without training, as they are or predicting in another way.
    let split = path("infection/split.toml");
    let again = |trained: &Path, out: &str, more: &[&str]| {
        let out = path(out);
        let mut args = vec!["crossval", "infection", arg(&set), "--split", arg(&split), "--resamples", "50"];
        args.extend(["--trained", arg(trained), "--out", arg(&out)]);
        args.extend(more);
        groundglass(&args)
    };
    let in_lungs = ["--lung", arg(&lungs)];
    again(&folds, "again", &in_lungs).ok();
    let told =
        |scores: serde_json::Value| (scores["infection"].clone(), scores["percent_of_lung_interval"].clone());
    assert_eq!(told(json(&path("again/scores/scores.json"))), told(scores.clone()));
    assert_eq!(json(&path("again/scores/interval.json")), fit);
    for k in 0..4 {
        let bundle = |of: &str| path(&format!("{of}/fold-{k}/run/model.safetensors"));
        assert_eq!(fs::read(bundle("again")).unwrap(), fs::read(bundle("infection")).unwrap());
        fs::create_dir_all(bundle("other").parent().unwrap()).unwrap();
        let (from, to) = (bundle("infection"), bundle("other"));
        groundglass(&["models", "set-prediction", arg(&from), "infection_reach=0.1", "--out", arg(&to)]).ok();
    }
    again(&path("other"), "changed", &in_lungs).ok();
    assert_ne!(told(json(&path("changed/scores/scores.json"))), told(scores.clone()));
    // Its interval belongs to networks that predict like that.
    let theirs = path("changed/scores/interval.json");
    groundglass(&["models", "set-interval", arg(&bundle), arg(&theirs), "--out", arg(&path("x"))])
        .refused(1, &["folds of the same recipe"]);
    again(&lungs, "x", &[]).refused(1, &["task lung", "right would be infection"]);
    again(&set, "x", &[]).refused(1, &["right for --trained"]);
    again(&folds, "x", &["--set", "infection.train.epochs=1"]).refused(2, &["cannot be used with"]);
    again(&folds, "infection/x", &[]).refused(2, &["lies in the folder of --trained"]);
    // Once more in its place, without a split: that of the folds counts.
    let begun = ["crossval", "infection", arg(&set), "--trained", arg(&folds), "--lung", arg(&lungs)];
    let place = path("again");
    let once_more = [&begun[..], &["--resamples", "50", "--out", arg(&place)]].concat();
    groundglass(&once_more).refused(2, &["--force"]);
    groundglass(&[&once_more[..], &["--force"]].concat()).ok();
    assert_eq!(told(json(&path("again/scores/scores.json"))), told(scores.clone()));
    let exchanged = path("exchanged");
    for (to, from) in [(0, 1), (1, 0), (2, 2), (3, 3)] {
        let place = exchanged.join(format!("fold-{to}/run"));
        fs::create_dir_all(&place).unwrap();
        fs::copy(folds.join(format!("fold-{from}/run/model.safetensors")), place.join("model.safetensors"))
            .unwrap();
    }
    again(&exchanged, "x", &[]).refused(1, &["fold-0/run/model.safetensors", "trained on"]);
    assert!(!path("x").exists());
    // A fold whose validation holds no infection keeps 0.5, which nothing chose.
    let mut of_folds: Vec<f64> = (0..)
        .map(|k| folds.join(format!("fold-{k}/run/model.safetensors")))
        .take_while(|p| p.exists())
        .map(|p| bundle_json(&p)["info"].clone())
        .filter(|info| info["scores"]["validation"]["metric_at_threshold"].is_number())
        .map(|info| info["threshold"].as_f64().unwrap())
        .collect();
    assert!(of_folds.len() > 1, "{of_folds:?}");
    of_folds.sort_by(f64::total_cmp);
    let middle = (of_folds[(of_folds.len() - 1) / 2] + of_folds[of_folds.len() / 2]) / 2.0;
    let info = &bundle_json(&moved)["info"];
    assert!((info["threshold"].as_f64().unwrap() - middle).abs() < 1e-6, "{of_folds:?}");
    assert_eq!(info["threshold_folds"], of_folds.len());
    assert!(info["interval"].is_null(), "it was fitted on masks that were cut elsewhere");
    assert_eq!(info["weights_sha256"], bundle_json(&with)["info"]["weights_sha256"]);

    let shown = groundglass(&["models", "show", arg(&with)]).ok().stdout;
    assert!(shown.contains("90 % interval, fitted on 13 patients; it held the truth of"), "{shown}");
    let (analysis, page) = analyze(&with, "with");
    let infection = &analysis["infection"];
    let [low, high] = [0, 1].map(|i| infection["percent_of_lung_interval"][i].as_f64().unwrap());
    let percent = infection["percent_of_lung"].as_f64().unwrap();
    assert!(low <= percent && percent <= high && low < high && high <= 100.0);
    assert_eq!(infection["percent_of_lung_interval_level"], 0.9);
    assert_eq!(infection["percent_of_lung"], without["infection"]["percent_of_lung"]);
    assert!(page.contains("How sure is this share") && page.contains("Bartoli et al. 2022"));
    assert!(
        !groundglass(&["models", "set-interval", arg(&bundle), arg(&ct), "--out", arg(&path("x"))])
            .refused(1, &["phantom-001.nii.gz"])
            .stderr
            .is_empty()
    );
    the_folds_answer_together(dir.path(), &set);
}

/// The networks of all folds in one bundle: a model like any other, which knows every patient of theirs.
fn the_folds_answer_together(dir: &Path, set: &Path) {
    let path = |name: &str| dir.join(name);
    let fold = |task: &str, k: usize| path(&format!("{task}/fold-{k}/run/model.safetensors"));
    let join = |bundles: &[PathBuf], out: &str, more: &[&str]| {
        let mut args = vec!["models", "join"];
        args.extend(bundles.iter().map(|b| arg(b)));
        let out = path(out);
        args.extend(["--out", arg(&out)]);
        args.extend(more);
        groundglass(&args)
    };
    let folds: Vec<PathBuf> = (0..4).map(|k| fold("infection", k)).collect();
    join(&folds[..1], "x", &[]).refused(2, &["2 values required"]);
    join(&[fold("lung", 0), folds[0].clone()], "x", &[])
        .refused(1, &["fold-0/run/model.safetensors differ in their task (lung and infection)"]);
    join(&[folds[0].clone(), folds[0].clone()], "x", &[]).refused(1, &["the same weights"]);
    assert!(!path("x").exists());
    let shown = join(&folds, "four.safetensors", &["--name", "infection-4-folds"]).ok().stdout;
    for words in
        ["networks     4", "trained on   infection-fold3", "median of those of its 4 networks", "4 x U-Net"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    join(&folds, "four.safetensors", &[]).refused(2, &["--force"]);
    join(&folds, "x", &["--name", "a\nb"]).refused(2, &["without control characters"]);
    let four = path("four.safetensors");
    join(&[four.clone(), folds[0].clone()], "x", &[]).refused(1, &["found 4 networks in one bundle"]);

    let analysis = |ct: &str, models: &[&Path], out: &str, threads: &str| {
        let (ct, out) = (set.join(ct), path(out));
        let mut args = vec!["analyze", arg(&ct), "--threads", threads, "--out", arg(&out), "--model"];
        args.extend(models.iter().map(|m| arg(m)));
        groundglass(&args).ok();
        (json(&out.join("analysis.json")), fs::read(out.join("infection_mask.nii.gz")).unwrap())
    };
    let ct = "ct_scans/phantom-001.nii.gz";
    let (together, mask) = analysis(ct, &[&four], "together", "2");
    assert_eq!(mask, analysis(ct, &[&four], "alone", "1").1, "the same bytes at any number of threads");
    let percents: Vec<f64> = (0..4)
        .map(|k| {
            let (one, _) = analysis(ct, &[&folds[k]], &format!("fold {k}"), "2");
            one["infection"]["voxels"].as_f64().unwrap_or(0.0)
        })
        .collect();
    let found = together["infection"]["voxels"].as_f64().unwrap_or(0.0);
    assert!(percents.iter().any(|p| *p != found), "{percents:?} {found}");
    // Three of the four were trained on this scan; they are one model, which says so once.
    let told = together["warnings"].to_string();
    assert_eq!(told.matches("trained_on_this_scan").count(), 1, "{told}");
    let (set, out) = (arg(set), path("begun"));
    let mut args = vec!["train", "infection", set, "--init", arg(&four), "--out", arg(&out)];
    args.extend(TINY);
    groundglass(&args).refused(1, &["found 4 networks in one bundle"]);
    groundglass(&["models", "set-threshold", arg(&four), arg(&path("infection")), "--out", arg(&path("x"))])
        .refused(1, &["found 4 networks, each with its own temperature"]);
    groundglass(&["models", "calibrate", arg(&four), set, "--out", arg(&path("x"))])
        .refused(1, &["found 4 networks in one bundle"]);
}

#[test]
fn a_ct_is_called_infected_or_not_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let out = dir.path().join("out");
    f.analyze(&f.ct(), &out, &[]).ok();
    let analysis = json(&out.join("analysis.json"));
    let patient = &analysis["patient"];
    let [score, mean, threshold] =
        ["score", "highest_mean", "threshold"].map(|key| patient[key].as_f64().unwrap());
    assert!((0.0..=1.0).contains(&score) && score <= mean);
    assert_eq!(patient["shows_infection"], score >= threshold);
    assert_eq!(patient["neighbours"], 3);
    assert_eq!(patient["percent_of_lung"], analysis["infection"]["percent_of_lung"]);
    let highest = analysis["classification"]["probability_per_slice"]
        .as_array()
        .unwrap()
        .windows(3)
        .map(|w| w.iter().map(|p| p.as_f64().unwrap()).sum::<f64>() / 3.0)
        .fold(0.0, f64::max);
    assert!((mean - highest).abs() < 1e-6);
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("CT shows infection"));

    let both = dir.path().join("both");
    let ct = f.ct();
    f.analyze(&ct, &both, &[arg(&ct)]).ok();
    let summary = fs::read_to_string(both.join("summary.csv")).unwrap();
    for column in ["percent_of_lung_low", "percent_of_lung_high", "patient_score", "shows_infection"] {
        assert!(summary.lines().next().unwrap().contains(column), "{column}");
    }
}

#[test]
fn validation_calibrates_and_the_bundle_says_so() {
    let f = Fixture::get();
    for task in ["lung", "infection", "classify"] {
        let shown = groundglass(&["models", "show", arg(&f.bundle(task)), "--json"]).ok();
        let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
        let temperature = shown["info"]["temperature"].as_f64().unwrap();
        assert!((0.5..=10.0).contains(&temperature) && temperature != 1.0, "{task}: {temperature}");
        let likelihood =
            &shown["info"]["scores"]["validation"]["negative_log_likelihood_before_and_after_calibration"];
        assert!(likelihood[1].as_f64() <= likelihood[0].as_f64(), "{task}: {likelihood}");
    }
    let shown = groundglass(&["models", "show", "lung"]).ok().stdout;
    assert!(shown.contains("temperature  "), "{shown}");
}

/// Single pictures with labels: a grey body with two dark lungs, in some of which there is a bright disc.
fn pictures(dir: &Path) {
    let mut table = "file,covid,split\n".to_owned();
    for i in 0..30 {
        let covid = i % 2 == 1;
        let part = if i < 22 { "train" } else { "val" };
        let name = format!("{part}_{i:02}.png");
        let within = |x: usize, y: usize, cx: f64, cy: f64, r: f64| {
            (x as f64 - cx).powi(2) + (y as f64 - cy).powi(2) < r * r
        };
        let picture = png([64, 64], |x, y| {
            let noise = ((x * 31 + y * 17 + i * 7) % 23) as u8;
            let lung = within(x, y, 20.0, 32.0, 11.0) || within(x, y, 44.0, 32.0, 11.0);
            let disc = covid && within(x, y, 20.0, 36.0, 5.0);
            if disc {
                150 + noise
            } else if lung {
                20 + noise
            } else {
                200 + noise
            }
        });
        fs::write(dir.join(&name), picture).unwrap();
        table += &format!("{name},{},{part}\n", u8::from(covid));
    }
    fs::write(dir.join("labels.csv"), table).unwrap();
}

#[test]
fn images_are_a_question_of_their_own_and_the_published_validation_part_is_tested() {
    let dir = tempfile::tempdir().unwrap();
    let (set, run, out) = (dir.path().join("set"), dir.path().join("run"), dir.path().join("out"));
    fs::create_dir(&set).unwrap();
    pictures(&set);
    let mut args = vec!["train", "classify", arg(&set), "--out", arg(&run)];
    args.extend(TINY);
    args.extend(["--set", "classify.train.early_stopping={patience=1, min_delta=0.0}"]);
    groundglass(&args).ok();
    let bundle = run.join("model.safetensors");
    let shown: serde_json::Value =
        serde_json::from_str(&groundglass(&["models", "show", arg(&bundle), "--json"]).ok().stdout).unwrap();
    assert_eq!(shown["info"]["labels"]["1"], "image labelled as of COVID-19");
    let parts = &shown["info"]["manifest"]["parts"];
    assert_eq!(
        [&parts["train_cases"], &parts["val_cases"], &parts["test_cases"]].map(|n| n.as_u64().unwrap()),
        [18, 4, 8]
    );

    groundglass(&[
        "evaluate",
        arg(&set),
        "--model",
        arg(&bundle),
        "--part",
        "test",
        "--resamples",
        "50",
        "--out",
        arg(&out),
    ])
    .ok();
    let scores = json(&out.join("scores.json"));
    let images = &scores["images"];
    assert_eq!(
        [&images["scores"]["positives"], &images["scores"]["negatives"]].map(|n| n.as_u64().unwrap()),
        [4, 4]
    );
    assert!(images["scores"]["auroc"].is_f64() && images["scores_at_half"]["threshold"] == 0.5);
    assert!(images["reliability"]["before"]["ece"].is_f64());
    for other in ["classification", "patients_with_infection"] {
        assert!(scores[other].is_null(), "{other}");
    }
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Images of COVID-19") && !page.contains("Slices that show infection"));

    let slices = Fixture::get().set();
    let mixed = dir.path().join("mixed");
    let mut args = vec!["train", "classify", arg(&set), arg(&slices), "--out", arg(&mixed)];
    args.extend(TINY);
    groundglass(&args).refused(2, &["one classifier learns one of the two"]);
}
