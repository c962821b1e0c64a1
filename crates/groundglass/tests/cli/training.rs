//! Training that is stopped goes on to the same bytes; what it saves predicts the same.

use crate::run::{Fixture, Ran, TINY, arg, command, files, groundglass, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Slow enough to be interrupted, the same settings for both runs.
fn train_args<'a>(set: &'a str, out: &'a str, cache: &'a str) -> Vec<&'a str> {
    let mut args = vec!["train", "lung", set, "--out", out, "--cache", cache];
    args.extend(TINY);
    args.extend(["--set", "lung.train.epochs=25", "--set", "lung.train.checkpoint_minutes=0.001"]);
    args
}

/// Waits until a file has this many lines.
fn wait_for_lines(file: &Path, lines: usize) {
    for _ in 0..2400 {
        if fs::read_to_string(file).is_ok_and(|t| t.lines().count() >= lines) {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("{} never had {lines} lines", file.display());
}

/// A training that a signal ends after its second epoch and `--resume` takes up again, beside one that nothing
/// interrupts: both run folders hold the same bytes.
#[cfg(unix)]
fn stopped_by(signal: &str, check: impl FnOnce(Ran)) {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let [whole, parts, cache] = ["whole", "parts", "cache"].map(|n| dir.path().join(n));
    groundglass(&train_args(arg(&set), arg(&whole), arg(&cache))).ok();

    let mut args = train_args(arg(&set), arg(&parts), arg(&cache));
    let child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_lines(&parts.join("metrics.jsonl"), 2);
    let sent = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    check(Ran::from(child.wait_with_output().unwrap()));
    assert!(!parts.join("model.safetensors").exists(), "an interrupted run has no bundle");

    args.push("--resume");
    let resumed = groundglass(&args).ok();
    assert!(!resumed.stderr.contains("\n    1  "), "the first epoch was done again: {}", resumed.stderr);
    let (mut a, mut b) = (files(&whole), files(&parts));
    a.remove("timings.jsonl");
    b.remove("timings.jsonl");
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(bytes == &b[name], "{name} differs after resuming");
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_exits_130_and_resume_ends_in_the_same_bytes() {
    stopped_by("-INT", |ran| {
        ran.refused(130, &["interrupted", "--resume"]);
    });
}

#[test]
#[cfg(unix)]
fn a_training_that_is_asked_to_end_leaves_a_checkpoint_too() {
    stopped_by("-TERM", |ran| {
        ran.refused(130, &["interrupted", "--resume"]);
    });
}

#[test]
#[cfg(unix)]
fn a_killed_training_resumes_from_its_last_checkpoint_to_the_same_bytes() {
    stopped_by("-KILL", |ran| assert_eq!(ran.code, -1, "{}", ran.stderr));
}

#[test]
fn train_save_load_analyse_gives_identical_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let set = f.set();
    let again = dir.path().join("lung");
    let mut args = vec!["train", "lung", arg(&set), "--out", arg(&again)];
    args.extend(TINY);
    groundglass(&args).ok();
    let [first, second] = [f.bundle("lung"), again.join("model.safetensors")].map(|bundle| {
        let out = dir.path().join(format!("out{}", bundle.starts_with(dir.path())));
        let infection = f.bundle("infection");
        groundglass(&[
            "analyze",
            arg(&f.ct()),
            "--model",
            arg(&bundle),
            "--model",
            arg(&infection),
            "--out",
            arg(&out),
        ])
        .ok();
        let mut written = files(&out);
        written.remove("timings.json");
        (fs::read(&bundle).unwrap(), written)
    });
    assert!(first.0 == second.0, "two trainings with one seed give two bundles");
    assert_eq!(first.1.keys().collect::<Vec<_>>(), second.1.keys().collect::<Vec<_>>());
    for (name, bytes) in &first.1 {
        assert!(bytes == &second.1[name], "{name} differs");
    }
}

#[test]
fn a_training_long_enough_learns_its_few_slices_by_heart() {
    let dir = tempfile::tempdir().unwrap();
    let (set, run) = (Fixture::get().set(), dir.path().join("run"));
    let mut args = vec!["train", "lung", arg(&set), "--out", arg(&run)];
    args.extend(TINY);
    args.extend(["--set", "lung.train.epochs=12"]);
    groundglass(&args).ok();
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let losses: Vec<f64> = text
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["train_loss"].as_f64().unwrap())
        .collect();
    assert_eq!(losses.len(), 12);
    assert!(losses[11] < 0.5 * losses[0], "{losses:?}");
}

#[test]
fn resume_with_other_settings_another_fold_or_other_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let [out, other] = ["run", "other"].map(|n| dir.path().join(n));
    // The same names of cases and patients, one CT changed.
    groundglass(&["phantom", "--out", arg(&other), "--count", "6", "--size", "64x64x20", "--seed", "5"]).ok();
    let ct = |i: usize| other.join(format!("ct_scans/phantom-00{i}.nii.gz"));
    fs::copy(ct(2), ct(1)).unwrap();
    let with = |set: &Path, more: &[&str]| {
        let mut args = vec!["train", "lung", arg(set), "--out", arg(&out)];
        args.extend(TINY);
        args.extend(more);
        groundglass(&args)
    };
    with(&set, &[]).ok();
    let before = files(&out);
    let check = |set: &Path, more: &[&str], file: &str| {
        with(set, more).refused(2, &["was begun with other settings, another split, other data", file]);
        assert!(files(&out) == before, "{more:?} changed the run");
    };
    check(&set, &["--resume", "--seed", "9"], "settings.toml");
    check(&set, &["--resume", "--fold", "1"], "split.toml");
    check(&other, &["--resume"], "data.sha256");
    with(&set, &["--resume"]).ok();
    assert!(files(&out) == before, "resuming a finished run changes nothing");
    fs::write(out.join("program.txt"), "groundglass 0.0.1 unknown\n").unwrap();
    with(&set, &["--resume"]).refused(2, &["another version of the program", "program.txt there differs"]);
}

#[test]
fn scans_that_a_model_was_trained_on_are_remarked() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let codes = |warnings: &serde_json::Value| -> Vec<String> {
        let list = warnings.as_array().unwrap();
        list.iter()
            .map(|w| w["code"].as_str().unwrap().to_owned())
            .filter(|c| c.starts_with("trained_on"))
            .collect()
    };
    let scans = json(&f.bundle("lung").parent().unwrap().join("manifest.json"))["train_scans"].clone();
    let mut known = Vec::new();
    for case in 1..=6 {
        let out = dir.path().join(format!("{case}"));
        f.analyze(&f.set().join(format!("ct_scans/phantom-00{case}.nii.gz")), &out, &[]).ok();
        let analysis = json(&out.join("analysis.json"));
        let trained_on = scans.as_array().unwrap().contains(&analysis["input"]["sha256"]);
        let expected = if trained_on { vec!["trained_on_this_scan"; 3] } else { vec![] };
        assert_eq!(codes(&analysis["warnings"]), expected, "phantom {case}");
        known.push(trained_on);
    }
    assert!(known.contains(&true) && known.contains(&false));
    let (set, lung) = (f.set(), f.bundle("lung"));
    for (part, expected) in [("train", vec!["trained_on_this_scan"]), ("test", vec![])] {
        let out = dir.path().join(part);
        let mut args = vec!["evaluate", arg(&set), "--model", arg(&lung), "--part", part];
        args.extend(["--resamples", "50", "--out", arg(&out)]);
        groundglass(&args).ok();
        assert_eq!(codes(&json(&out.join("scores.json"))["warnings"]), expected, "{part}");
    }
}

#[test]
fn the_run_folder_holds_what_made_the_model() {
    let f = Fixture::get();
    let run = f.bundle("infection").parent().unwrap().to_owned();
    for name in
        ["model.safetensors", "manifest.json", "settings.toml", "metrics.jsonl", "report.html", "layers.txt"]
    {
        assert!(run.join(name).is_file(), "{name}");
    }
    let curves = files(&run.join("curves"));
    for word in ["loss", "dice", "learning_rate"] {
        for kind in ["svg", "png"] {
            assert!(
                curves.keys().any(|n| n.contains(word) && n.ends_with(kind)),
                "{word}.{kind}: {:?}",
                curves.keys()
            );
        }
    }
    let manifest = json(&run.join("manifest.json"));
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
    let mut args = vec!["train", "classify", arg(&set), "--out", arg(&run), "--split", arg(&split)];
    args.extend(TINY);
    let trained = groundglass(&args).ok();
    let leak = "patients leak between training and test";
    assert_eq!(trained.stderr.matches(leak).count(), 1, "{}", trained.stderr);
    assert!(trained.stdout.contains(leak), "{}", trained.stdout);
    for name in ["report.html", "metrics.jsonl"] {
        assert!(fs::read_to_string(run.join(name)).unwrap().contains(leak), "{name}");
    }
    let (model, lung) = (run.join("model.safetensors"), f.bundle("lung"));
    let out = dir.path().join("scores");
    let scored = groundglass(&[
        "evaluate",
        arg(&set),
        "--model",
        arg(&model),
        arg(&lung), // the table of scores has rows of masks alone
        "--split",
        arg(&split),
        "--resamples",
        "50",
        "--out",
        arg(&out),
    ])
    .ok();
    assert!(scored.stdout.contains(leak));
    assert_eq!(scored.stderr.matches(leak).count(), 1, "{}", scored.stderr);
    let analysed = dir.path().join("analysed");
    let ct = f.ct();
    let ran = groundglass(&["analyze", arg(&ct), "--model", arg(&model), "--out", arg(&analysed)]).ok();
    assert!(ran.stderr.contains(leak));
    // Networks that were joined leak as each of them did, and their part is not guessed at.
    let [joined, more] = ["joined.safetensors", "more"].map(|n| dir.path().join(n));
    let second = dir.path().join("second");
    args[4] = arg(&second);
    args.extend(["--seed", "2"]);
    groundglass(&args).ok();
    let other = second.join("model.safetensors");
    groundglass(&["models", "join", arg(&model), arg(&other), "--out", arg(&joined)]).ok();
    let ran = groundglass(&["analyze", arg(&ct), "--model", arg(&joined), "--out", arg(&more)]).ok();
    assert!(ran.stderr.contains(leak));
    let part = ["evaluate", arg(&set), "--part", "test", "--model", arg(&joined), "--out"];
    groundglass(&[&part[..], &[arg(&dir.path().join("part"))]].concat())
        .refused(2, &["cannot be drawn again from these data sets alone"]);
    for file in [
        out.join("scores.json"),
        out.join("scores.csv"),
        out.join("report.html"),
        analysed.join("analysis.json"),
        analysed.join("report.html"),
    ] {
        assert!(fs::read_to_string(&file).unwrap().contains(leak), "{}", file.display());
    }
}

#[test]
fn networks_of_three_neighbouring_slices_are_trained_scored_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let (set, ct) = (Fixture::get().set(), Fixture::get().ct());
    let mut models = Vec::new();
    for task in ["lung", "infection", "classify"] {
        let out = dir.path().join(task);
        let channels = format!("{task}.network.in_channels=3");
        let mut args = vec!["train", task, arg(&set), "--out", arg(&out)];
        args.extend(TINY);
        args.extend(["--set", &channels]);
        groundglass(&args).ok();
        models.push(out.join("model.safetensors"));
    }
    let (out, scores) = (dir.path().join("out"), dir.path().join("scores"));
    let mut analyze = vec!["analyze", arg(&ct), "--out", arg(&out)];
    let mut evaluate = vec!["evaluate", arg(&set), "--fold", "0", "--resamples", "50", "--out", arg(&scores)];
    for model in &models {
        analyze.extend(["--model", arg(model)]);
        evaluate.extend(["--model", arg(model)]);
    }
    groundglass(&analyze).ok();
    groundglass(&evaluate).ok();
    let analysis = json(&out.join("analysis.json"));
    assert_eq!(analysis["classification"]["classified_slices"], 20);
    let scores = json(&scores.join("scores.json"));
    assert!(scores["lung"]["summary"]["dice"]["mean"].is_number(), "{scores}");
    assert!(scores["classification"]["scores"]["auroc"].is_number(), "{scores}");
}

#[test]
fn a_classifier_begins_with_the_encoder_of_a_segmentation_network_that_saw_nobody_it_is_judged_on() {
    let dir = tempfile::tempdir().unwrap();
    let (f, out) = (Fixture::get(), dir.path().join("run"));
    let (set, infection) = (f.set(), f.bundle("infection"));
    let network = "classify.network={ kind = 'encoder', base = 4, levels = 3, dense = 8 }";
    let with = |more: &[&str]| {
        let mut args = vec!["train", "classify", arg(&set), "--out", arg(&out), "--force"];
        args.extend(TINY);
        args.extend(["--set", network, "--init", arg(&infection)]);
        args.extend(more);
        groundglass(&args)
    };
    let told = with(&[]).ok().stderr;
    assert!(told.contains("first weights: 30 of the network's 34 arrays from"), "{told}");
    assert!(told.contains("drawn anew"), "{told}");
    let bundle = json(&out.join("manifest.json"));
    assert_eq!(bundle["init_sha256"].as_str().map(str::len), Some(64), "{bundle}");
    // Another fold holds out a patient whom the infection network was trained on.
    with(&["--fold", "1"]).refused(1, &["was trained on", "held out", "same split and fold"]);
    // No array of a network of other widths fits.
    with(&["--set", "classify.network={ kind = 'encoder', base = 6, levels = 3, dense = 8 }"])
        .refused(1, &["no layer", "name and shapes", "with it; the bundle of"]);
}

#[test]
fn a_network_learns_from_another_that_saw_nobody_it_is_judged_on() {
    let dir = tempfile::tempdir().unwrap();
    let (f, out) = (Fixture::get(), dir.path().join("run"));
    let (set, infection) = (f.set(), f.bundle("infection"));
    let train = |task: &str, teachers: &[&Path], more: &[&str]| {
        let mut args = vec!["train", task, arg(&set), "--out", arg(&out), "--force"];
        args.extend(TINY);
        args.extend(teachers.iter().flat_map(|t| ["--teacher", arg(t)]));
        args.extend(more);
        groundglass(&args)
    };
    let weights = || json(&out.join("manifest.json"))["teacher_sha256"].clone();
    train("infection", &[], &[]).ok();
    let alone = fs::read(out.join("best.safetensors")).unwrap();
    assert!(weights().is_null());
    let told = train("infection", &[&infection], &[]).ok().stderr;
    assert!(told.contains("a share of 0.5 of the truth is what a trained model says"), "{told}");
    assert_ne!(fs::read(out.join("best.safetensors")).unwrap(), alone);
    assert_eq!(weights().as_array().map(Vec::len), Some(1));
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("weights learned from"), "{page}");
    let taught = dir.path().join("taught.safetensors");
    fs::copy(out.join("model.safetensors"), &taught).unwrap();
    let shown = groundglass(&["models", "show", arg(&taught)]).ok().stdout;
    assert!(shown.contains("learned from the weights "), "{shown}");
    let two = dir.path().join("two.safetensors");
    groundglass(&["models", "join", arg(&infection), arg(&taught), "--out", arg(&two)]).ok();
    train("infection", &[&infection, &two], &["--set", "infection.train.teacher_share=0.8"]).ok();
    assert_eq!(weights().as_array().map(Vec::len), Some(2));

    // What cannot be learned from is told before the run that is there is cleared.
    let whole = fs::read(out.join("model.safetensors")).unwrap();
    train("infection", &[&infection], &["--fold", "1"]).refused(1, &["was trained on", "held out"]);
    train("lung", &[&infection], &[]).refused(1, &["for the task infection", "one for lung"]);
    train("infection", &[&infection], &["--set", "prepare.size=16"])
        .refused(1, &["`prepare.size` = 32", "a model with 16"]);
    train("infection", &[&infection], &["--set", "prepare.roi.margin=0.1"])
        .refused(1, &["`prepare.roi.margin` = 0.0", "a model with 0.1"]);
    train("infection", &[&infection], &["--set", "infection.network.in_channels=3"])
        .refused(1, &["sees 1 slices at once", "infection.network.in_channels"]);
    train("infection", &[&infection], &["--set", "infection.train.teacher_share=2"])
        .refused(2, &["teacher_share is 2", "0 to 1"]);
    train("infection", &[&infection], &["--set", "infection.train.loss={kind='focal'}"])
        .refused(2, &["infection.train.loss", "focal", "--teacher"]);
    train("infection", &[&infection], &["--set", "infection.train.teacher_share=0"])
        .refused(2, &["teacher_share", "found 0", "nothing would be learned"]);
    train("infection", &[&infection, &infection], &[]).refused(2, &["the same weights", "count twice"]);
    train("infection", &[&out.join("model.safetensors")], &[]).refused(2, &["lies in the output folder"]);
    train("infection", &[Path::new("hart")], &[]).refused(2, &["hart", "lung", "nor a file"]);
    assert_eq!(fs::read(out.join("model.safetensors")).unwrap(), whole);
}

/// A split of four phantoms that all train; their names are those of other patients.
fn all_train(dir: &Path) -> PathBuf {
    let split = dir.join("all.toml");
    let cases: String = (1..=4)
        .map(|k| format!("[[case]]\ncase = \"phantom-00{k}\"\npatient = \"other-{k}\"\npart = \"train\"\n"))
        .collect();
    let head = "version = 1\nkind = \"patient\"\nseed = 1\nfolds = 1\nvalidation_share = 0.0\n";
    fs::write(&split, format!("{head}{cases}")).unwrap();
    split
}

#[test]
fn a_network_knows_those_whom_it_learned_from_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let [set, run] = ["set", "run"].map(|n| dir.path().join(n));
    groundglass(&["phantom", "--out", arg(&set), "--count", "4", "--size", "64x64x20", "--seed", "77"]).ok();
    let split = all_train(dir.path());
    let known = || {
        let mut args =
            vec!["train", "infection", arg(&set), "--out", arg(&run), "--split", arg(&split), "--force"];
        args.extend(TINY);
        groundglass(&args).ok();
        let manifest = json(&run.join("manifest.json"));
        ["train_patients", "train_scans"].map(|key| manifest[key].as_array().unwrap().len())
    };
    assert_eq!(known(), [4, 4]);
    // One of them without any truth about infection: it is in the training part and teaches nothing.
    let table = fs::read_to_string(set.join("metadata.csv")).unwrap();
    let blank = |line: &str| {
        let cells = line.split(',').map(|c| if c.contains("infection_mask/") { "" } else { c });
        cells.collect::<Vec<_>>().join(",")
    };
    let lines: Vec<String> = table
        .lines()
        .map(|line| if line.contains("phantom-002") { blank(line) } else { line.to_owned() })
        .collect();
    fs::write(set.join("metadata.csv"), lines.join("\n")).unwrap();
    assert_eq!(known(), [3, 3]);
}

/// Whom a teacher knew, its pupil knows, and the pupil's pupil too.
#[test]
fn a_network_knows_whom_those_knew_that_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let (f, other) = (Fixture::get(), dir.path().join("other"));
    let size = ["--count", "4", "--size", "64x64x20", "--seed", "77"];
    groundglass(&[&["phantom", "--out", arg(&other)][..], &size].concat()).ok();
    let infection = f.bundle("infection");
    let train = |set: &Path, out: &str, how: &str, from: &Path, more: &[&str]| {
        let out = dir.path().join(out);
        let mut args = vec!["train", "infection", arg(set), "--out", arg(&out), how, arg(from)];
        args.extend(TINY);
        args.extend(more);
        (groundglass(&args), out.join("model.safetensors"))
    };
    let split = all_train(dir.path());
    let all = ["--split", arg(&split)];
    let (ran, pupil) = train(&other, "pupil", "--teacher", &infection, &all);
    ran.ok();
    let (ran, next) = train(&other, "next", "--init", &pupil, &all);
    ran.ok();
    let manifest = json(&dir.path().join("next/manifest.json"));
    assert_eq!(
        manifest["forerunners"].as_array().map(Vec::len),
        Some(1),
        "the pupil's own data are those of this run"
    );
    let scores = dir.path().join("scores");
    let set = f.set();
    let ran = groundglass(&["evaluate", arg(&set), "--model", arg(&next), "--out", arg(&scores), "-q"]).ok();
    assert!(ran.stdout.contains("NOT HELD OUT"), "{}", ran.stdout);
    let told = json(&scores.join("scores.json"))["warnings"].to_string();
    assert!(told.contains("trained_on_this_scan"), "{told}");
    let (ran, _) = train(&set, "judged", "--init", &next, &["--fold", "1"]);
    ran.refused(1, &["was trained on", "of the cases", "held out"]);
}

/// Residual blocks and plain ones share names and shapes, and are not the same.
#[test]
fn plain_blocks_do_not_begin_with_residual_ones() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let train = |task: &str, out: &Path, more: &[&str]| {
        let mut args = vec!["train", task, arg(&set), "--out", arg(out)];
        args.extend(TINY);
        args.extend(more);
        groundglass(&args)
    };
    let residual = dir.path().join("residual");
    train("infection", &residual, &["--set", "infection.network.block=residual"]).ok();
    let model = residual.join("model.safetensors");
    let encoder = |block: &str| {
        format!("classify.network={{ kind = 'encoder', base = 4, levels = 3, dense = 8, block = '{block}' }}")
    };
    let out = dir.path().join("plain");
    train("classify", &out, &["--set", &encoder("plain"), "--init", arg(&model)])
        .refused(1, &["has residual blocks", "block = \"residual\""]);
    assert!(!out.exists());
    for fold in 0..2 {
        let run = dir.path().join(format!("folds/fold-{fold}/run"));
        fs::create_dir_all(&run).unwrap();
        fs::copy(&model, run.join("model.safetensors")).unwrap();
    }
    let folds = dir.path().join("folds");
    let mut args = vec!["crossval", "infection", arg(&set), "--folds", "2", "--out", arg(&out)];
    args.extend(TINY);
    args.extend(["--init", arg(&folds)]);
    groundglass(&args).refused(1, &["fold-0", "has residual blocks"]);
    assert!(!out.exists());
    let ran = train("classify", &out, &["--set", &encoder("residual"), "--init", arg(&model)]).ok();
    assert!(ran.stderr.contains("first weights: 45 of the network's 49 arrays"), "{}", ran.stderr);
}

/// What can be chosen about a U-Net is trained, told and used; where there are no kernels in bytes, floats are taken.
#[test]
fn unets_with_other_blocks_and_skips_are_trained_told_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (set, ct) = (f.set(), f.ct());
    let train = |out: &Path, choices: &[&str]| {
        let mut args = vec!["train", "infection", arg(&set), "--out", arg(out)];
        args.extend(TINY);
        let set = |key: &&str| ["--set".to_owned(), format!("infection.network.{key}")];
        let choices: Vec<String> = choices.iter().flat_map(set).collect();
        args.extend(choices.iter().map(String::as_str));
        groundglass(&args)
    };
    let analyze = |model: &Path, out: &str, more: &[&str]| {
        let out = dir.path().join(out);
        let mut args = vec!["analyze", arg(&ct), "--out", arg(&out), "--model", arg(model)];
        args.extend(more);
        groundglass(&args)
    };
    let all = ["block=residual", "skips=gated", "deep_supervision=true"];
    for (name, choices, words, bytes) in [
        ("all", &all[..], ", residual blocks, gated skips, deep supervision", false),
        ("nested", &["block=residual", "skips=nested"][..], ", residual blocks, nested skips", true),
    ] {
        let run = dir.path().join(name);
        train(&run, choices).ok();
        let model = run.join("model.safetensors");
        let shown = groundglass(&["models", "show", arg(&model)]).ok().stdout;
        assert!(shown.contains(words), "{shown}");
        assert_eq!(shown.contains("not for this network"), !bytes, "{shown}");
        analyze(&model, &format!("{name}-default"), &[]).ok();
        let in_bytes = analyze(&model, &format!("{name}-bytes"), &["--precision", "int8"]);
        if bytes {
            in_bytes.ok();
        } else {
            in_bytes.refused(1, &["int8", "right would be"]);
        }
        let settings = fs::read_to_string(run.join("settings.toml")).unwrap();
        assert!(settings.contains(if bytes { "nested" } else { "residual" }), "{settings}");
    }
    let refused = |choice: &str, words: &[&str]| {
        let run = dir.path().join("refused");
        train(&run, &[choice]).refused(2, words);
        assert!(!run.exists());
    };
    refused("block=wide", &["`wide`", "`residual`"]);
    refused("skips=some", &["`some`", "`nested`"]);
    let run = dir.path().join("shallow");
    train(&run, &["deep_supervision=true", "levels=2"]).refused(2, &["deep supervision is 2"]);
}
