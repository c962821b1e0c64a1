//! Output folders: nothing of anybody else's is lost, nothing is half-written.

use crate::run::{Fixture, Ran, arg, command, files, groundglass};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn a_folder_that_is_not_ours_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("thesis.txt"), "years").unwrap();
    let f = Fixture::get();
    f.analyze(&f.ct(), &out, &["--force"]).refused(1, &["did not write"]);
    assert_eq!(fs::read_to_string(out.join("thesis.txt")).unwrap(), "years");
}

#[test]
fn results_are_replaced_only_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let f = Fixture::get();
    f.analyze(&f.ct(), &out, &[]).ok();
    f.analyze(&f.ct(), &out, &[]).refused(2, &["--force"]);
    f.analyze(&f.ct(), &out, &["--force"]).ok();
}

#[test]
fn force_removes_no_file_that_groundglass_did_not_write() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (set, ct) = (f.set(), f.ct());
    let [result, run, batch] = ["result", "run", "batch"].map(|n| dir.path().join(n));
    let mut train = vec!["train", "lung", arg(&set), "--out", arg(&run), "--force"];
    train.extend(crate::run::TINY);
    f.analyze(&ct, &result, &["--force"]).ok();
    groundglass(&train).ok();
    f.analyze(&ct, &batch, &[arg(&ct), "--force"]).ok();
    for (out, notes) in [(&result, "notes.txt"), (&run, "curves/notes.txt"), (&batch, "case-001/notes.txt")] {
        fs::write(out.join(notes), "mine").unwrap();
    }
    let words = ["notes.txt", "did not write"];
    f.analyze(&ct, &result, &["--force"]).refused(1, &words);
    groundglass(&train).refused(1, &words);
    f.analyze(&ct, &batch, &[arg(&ct), "--force"]).refused(1, &words);
    for (out, notes) in [(&result, "notes.txt"), (&run, "curves/notes.txt"), (&batch, "case-001/notes.txt")] {
        assert_eq!(fs::read_to_string(out.join(notes)).unwrap(), "mine");
        assert!(files(out).len() > 5, "the results are there");
        fs::remove_file(out.join(notes)).unwrap();
    }
    f.analyze(&ct, &result, &["--force"]).ok();
    // A result inside a training, or alone where a cross-validation is wanted, is neither its part nor a stranger's file.
    let inside = run.join("patient/7");
    f.analyze(&ct, &inside, &[]).ok();
    groundglass(&train).refused(1, &["results of another command, such as patient/7", "left alone"]);
    let outer = run.join("patient");
    groundglass(&["crossval", "lung", arg(&set), "--out", arg(&outer), "--force"])
        .refused(1, &["did not write it as one result", "left alone"]);
    assert!(inside.join("report.html").is_file());
    fs::remove_dir_all(&outer).unwrap();
    // A cache of prepared slices may go at any time.
    fs::create_dir(run.join("cache")).unwrap();
    fs::write(run.join("cache/0.ggcase"), "slices").unwrap();
    fs::write(run.join("cache/inputs.json"), "{}").unwrap();
    groundglass(&train).ok();
    assert!(!run.join("cache").exists());
    f.analyze(&ct, &batch, &[arg(&ct), "--force"]).ok();
    // Nor does a result take the place of one of another kind.
    let mut scored = vec!["evaluate", arg(&set), "--pred", arg(&set), "--resamples", "20", "--force"];
    scored.extend(["--out", arg(&result)]);
    groundglass(&scored).refused(1, &["what another command wrote (analysis.json)"]);
    f.analyze(&ct, &result, &[arg(&ct), "--force"]).refused(1, &["what another command wrote"]);
    f.analyze(&ct, &run, &["--force"]).refused(1, &["a training (model.safetensors)"]);
    assert!(result.join("report.html").is_file() && run.join("model.safetensors").is_file());
}

#[test]
fn a_file_that_is_an_input_or_of_another_kind_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let ct = f.ct();
    let at = |name: &str| dir.path().join(name);
    let set = at("set");
    groundglass(&["phantom", "--out", arg(&set), "--count", "2", "--size", "32x32x16"]).ok();
    let bytes = fs::read(&ct).unwrap();
    let own = at("own.nii.gz");
    fs::write(&own, &bytes).unwrap();
    groundglass(&["convert", arg(&own), arg(&own), "--force"]).refused(2, &["is an input"]);
    assert!(fs::read(&own).unwrap() == bytes);

    // Nor is a NIfTI of somebody else's, here one without the mark in `descrip` at byte 148.
    let foreign = at("foreign.nii");
    let mut plain = crate::nifti_edit::unzipped(&bytes);
    plain[148..228].fill(0);
    fs::write(&foreign, &plain).unwrap();
    let convert = |out: &Path| groundglass(&["convert", arg(&own), arg(out), "--force"]);
    convert(&foreign).refused(1, &["foreign.nii", "something else"]);
    assert!(fs::read(&foreign).unwrap() == plain);
    for _ in 0..2 {
        convert(&at("converted.nii.gz")).ok();
    }

    let notes = at("notes.toml");
    fs::write(&notes, "years = \"of work\"").unwrap();
    let split = |out: &Path| groundglass(&["split", arg(&set), "--folds", "2", "--out", arg(out), "--force"]);
    split(&notes).refused(1, &["notes.toml", "something else"]);
    assert_eq!(fs::read_to_string(&notes).unwrap(), "years = \"of work\"");
    split(&set.join("metadata.csv")).refused(1, &["metadata.csv", "something else"]);
    for _ in 0..2 {
        split(&set.join("new.toml")).ok();
    }

    let bundle = f.bundle("lung");
    let calibrate = |model: &Path, out: &Path| {
        groundglass(&["models", "calibrate", arg(model), arg(&set), "--out", arg(out), "--force"])
    };
    let copy = at("copy.safetensors");
    fs::copy(&bundle, &copy).unwrap();
    calibrate(&copy, &copy).refused(2, &["is an input"]);
    calibrate(&copy, &set.join("new.toml")).refused(2, &["lies in the input"]);
    calibrate(&copy, &notes).refused(1, &["notes.toml", "something else"]);
    assert!(fs::read(&copy).unwrap() == fs::read(&bundle).unwrap());
}

#[test]
fn results_go_into_the_folder_one_stands_in() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (ct, models) = (f.ct(), ["lung", "infection", "classify"].map(|t| f.bundle(t)));
    let mut args = vec!["analyze", arg(&ct), "--out", ".", "--force"];
    models.iter().for_each(|m| args.extend(["--model", arg(m)]));
    for _ in 0..2 {
        Ran::from(command(&args).current_dir(dir.path()).output().unwrap()).ok();
        assert!(dir.path().join("report.html").is_file());
    }
}

#[test]
fn one_of_several_cts_that_fails_takes_nothing_from_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.nii.gz");
    fs::write(&bad, "no gzip").unwrap();
    let f = Fixture::get();
    let (ct, out) = (f.ct(), dir.path().join("out"));
    let ran = f.analyze(&bad, &out, &[arg(&ct)]).refused(1, &["1 of 2 CTs", "the others are in"]);
    assert!(
        ran.stdout.starts_with("case-002: ") && ran.stdout.contains("of the lung infected"),
        "{}",
        ran.stdout
    );
    let ran = f.analyze(&bad, &out, &[arg(&ct), "--force", "--json"]).refused(1, &["1 of 2 CTs"]);
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&answer[0]["case_id"], &answer[1]["case_id"]), (&"case-001".into(), &"case-002".into()));
    assert!(answer[0]["error"].as_str().unwrap().contains("gzip"), "{}", answer[0]);
    assert!(answer[1]["infection"].is_object() && answer[1]["error"].is_null(), "{}", answer[1]);
    let none = dir.path().join("none");
    let ran = f.analyze(&bad, &none, &[arg(&bad)]).refused(1, &["none of the 2 CTs", "summary.csv"]);
    assert!(!ran.stderr.contains("the others") && ran.stdout.is_empty(), "{} {}", ran.stdout, ran.stderr);
    assert!(fs::read_to_string(none.join("summary.csv")).unwrap().contains("failed"));
}

#[test]
#[cfg(unix)]
fn a_folder_that_another_run_writes_in_is_left_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (ct, set) = (f.ct(), f.set());
    let [batch, run] = ["batch", "run"].map(|n| dir.path().join(n));
    let mut train = vec!["train", "lung", arg(&set), "--out", arg(&run)];
    train.extend(crate::run::TINY);
    f.analyze(&ct, &batch, &[arg(&ct)]).ok();
    groundglass(&train).ok();
    let held = [&batch, &run].map(|out| {
        let folder = fs::File::open(out).unwrap();
        folder.try_lock().unwrap();
        folder
    });
    let before = [files(&batch), files(&run)];
    fs::write(run.join(".groundglass-1.tmp"), "unfinished work of the other").unwrap();
    for flag in ["--force", "--resume"] {
        let ran = f.analyze(&ct, &batch, &[arg(&ct), flag]);
        ran.refused(1, &["another program, such as a second groundglass, holds", "batch", "choose another"]);
        groundglass(&[train.as_slice(), &[flag]].concat()).refused(1, &["another program", "holds"]);
    }
    f.analyze(&ct, &run, &["--force"]).refused(1, &["another program", "holds"]);
    assert!(run.join(".groundglass-1.tmp").is_file());
    fs::remove_file(run.join(".groundglass-1.tmp")).unwrap();
    assert!([files(&batch), files(&run)] == before, "something was taken from the other");
    drop(held);
    // What a run that was killed left goes with the next one.
    fs::create_dir(batch.join(".groundglass-partial-1")).unwrap();
    f.analyze(&ct, &batch, &[arg(&ct), "--resume"]).ok();
    assert!(!batch.join(".groundglass-partial-1").exists());
    groundglass(&[train.as_slice(), &["--resume"]].concat()).ok();
}

/// First and second column of `summary.csv`.
fn statuses(out: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(out.join("summary.csv")).unwrap();
    let columns = |line: &str| {
        let mut columns = line.split(',').map(str::to_owned);
        (columns.next().unwrap(), columns.next().unwrap())
    };
    text.lines().skip(1).map(columns).collect()
}

#[test]
#[cfg(unix)]
fn a_batch_that_is_interrupted_has_lost_nothing_of_the_one_before() {
    const CASES: usize = 12;
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (ct, out) = (f.ct(), dir.path().join("out"));
    f.analyze(&ct, &out, &[arg(&ct); CASES - 1]).ok();
    let report = |i: usize| out.join(format!("case-{i:03}/report.html"));
    let written = |i: usize| fs::metadata(report(i)).and_then(|m| m.modified()).ok();
    let before: Vec<_> = (1..=CASES).map(written).collect();
    let models = ["lung", "infection", "classify"].map(|t| f.bundle(t));
    let mut args = vec!["analyze", "--force", "--out", arg(&out)];
    args.extend([arg(&ct); CASES]);
    models.iter().for_each(|m| args.extend(["--model", arg(m)]));
    let child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..6000 {
        if written(1).is_some_and(|at| Some(at) != before[0]) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    Ran::from(child.wait_with_output().unwrap()).refused(130, &["interrupted", "of 12 CTs"]);
    let statuses = statuses(&out);
    assert_eq!(statuses.len(), CASES);
    for (i, (case, status)) in statuses.iter().enumerate() {
        assert_eq!(*case, format!("case-{:03}", i + 1));
        let now = written(i + 1).unwrap_or_else(|| panic!("{case} lost its report"));
        let expected = if Some(now) == before[i] { "earlier" } else { "analysed" };
        assert_eq!(status, expected, "{case}");
    }
    assert!(statuses.iter().any(|(_, s)| s == "earlier") && statuses[0].1 == "analysed");
}

#[test]
fn a_finished_batch_says_which_results_are_an_earlier_ones() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.nii.gz");
    fs::write(&bad, "no gzip").unwrap();
    let f = Fixture::get();
    let (ct, out) = (f.ct(), dir.path().join("out"));
    f.analyze(&ct, &out, &[arg(&ct), arg(&ct)]).ok();
    f.analyze(&ct, &out, &[arg(&bad), "--force"]).refused(1, &["1 of 2 CTs"]);
    let expected = [("case-001", "analysed"), ("case-002", "failed"), ("case-003", "earlier")];
    assert_eq!(statuses(&out), expected.map(|(case, status)| (case.to_owned(), status.to_owned())));
    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    assert!(summary.contains("not gzip; its folder holds the result of an earlier run"), "{summary}");
    assert!(out.join("case-002/report.html").is_file() && out.join("case-003/report.html").is_file());
    f.analyze(&ct, &out, &["--force"]).refused(1, &["several results", "case-001"]);
    assert!(out.join("case-001/report.html").is_file() && out.join("summary.csv").is_file());
}

#[test]
fn a_batch_goes_on_with_what_is_there_and_gives_the_same_table() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let ct = f.ct();
    let [out, fresh] = ["out", "fresh"].map(|name| dir.path().join(name));
    f.analyze(&ct, &out, &[arg(&ct)]).ok();
    let written = |case: &str| fs::metadata(out.join(case).join("report.html")).unwrap().modified().unwrap();
    let before = written("case-001");
    fs::remove_dir_all(out.join("case-002")).unwrap();
    let ran = f.analyze(&ct, &out, &[arg(&ct), arg(&ct), "--resume"]).ok();
    assert!(
        ran.stderr.contains("case-001: kept") && !ran.stderr.contains("case-002: kept"),
        "{}",
        ran.stderr
    );
    assert_eq!(written("case-001"), before);
    f.analyze(&ct, &fresh, &[arg(&ct), arg(&ct)]).ok();
    let table = |of: &Path| fs::read_to_string(of.join("summary.csv")).unwrap();
    assert_eq!(table(&out), table(&fresh));
    assert!(table(&out).lines().next().unwrap().ends_with(",sha256"));

    // Another setting, or a result that lost a file, is no result to go on with.
    let others = [vec!["--orientation", "RAI"], vec!["--intensity", "unknown"]];
    for other in others.iter().map(|o| [o.as_slice(), &[arg(&ct), arg(&ct), "--resume"]].concat()) {
        f.analyze(&ct, &out, &other).refused(1, &["none of the 3 CTs", "summary.csv"]);
        assert!(table(&out).contains("another result lies in its place"), "{}", table(&out));
        // The numbers of what lies there stay in the table.
        assert!(statuses(&out).iter().all(|(_, status)| status == "earlier"), "{}", table(&out));
        let hash = |of: &Path| table(of).lines().nth(1).unwrap().rsplit(',').next().map(str::to_owned);
        assert_eq!(hash(&out), hash(&fresh));
    }
    assert_eq!(written("case-001"), before);
    // Nor is one of whose files another stands in its place.
    let report = out.join("case-003/report.html");
    let own = fs::read(&report).unwrap();
    fs::copy(out.join("case-002/report.html"), &report).unwrap();
    f.analyze(&ct, &out, &[arg(&ct), arg(&ct), "--resume"]).refused(1, &["1 of 3 CTs"]);
    fs::write(&report, own).unwrap();
    let numbers = out.join("case-003/analysis.json");
    let own = fs::read_to_string(&numbers).unwrap();
    let changed = own.replacen(
        "\"case_id\": \"case-003\",",
        "\"case_id\": \"case-003\", \"research_use_only\": false,",
        1,
    );
    let changed = changed.replacen("\"research_use_only\": true,", "", 1);
    assert_ne!(changed, own);
    fs::write(&numbers, changed).unwrap();
    f.analyze(&ct, &out, &[arg(&ct), arg(&ct), "--resume"]).refused(1, &["1 of 3 CTs"]);
    fs::write(&numbers, own).unwrap();
    f.analyze(&ct, &out, &[arg(&ct), arg(&ct), "--resume"]).ok();
    fs::remove_file(out.join("case-003/lung_mask.nii.gz")).unwrap();
    f.analyze(&ct, &out, &[arg(&ct), arg(&ct), "--resume"]).refused(1, &["1 of 3 CTs"]);
    let ran = f.analyze(&ct, &out, &[arg(&ct), arg(&ct), "--resume", "--force"]).ok();
    assert!(
        ran.stderr.contains("case-002: kept") && !ran.stderr.contains("case-003: kept"),
        "{}",
        ran.stderr
    );
    assert_eq!(table(&out), table(&fresh));
    // A single result is gone on with in the same way.
    f.analyze(&ct, &dir.path().join("one"), &[]).ok();
    let ran = f.analyze(&ct, &dir.path().join("one"), &["--resume"]).ok();
    assert!(
        ran.stderr.contains("case-001: kept") && ran.stdout.contains("of the lung infected"),
        "{}",
        ran.stdout
    );
}

/// A limit on file size makes writes fail in their middle, as a full disk does.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_nothing_half_written() {
    let f = Fixture::get();
    let dir = tempfile::tempdir().unwrap();
    let script = "ulimit -f 4; trap '' XFSZ; exec \"$@\"";
    let program = env!("CARGO_BIN_EXE_groundglass");
    let (ct, file, out) = (f.ct(), dir.path().join("ct.nii"), dir.path().join("out"));
    let models = ["lung", "infection", "classify"].map(|t| f.bundle(t));
    let mut analyze = vec!["analyze", arg(&ct), "--out", arg(&out)];
    models.iter().for_each(|m| analyze.extend(["--model", arg(m)]));
    let phantom = vec!["phantom", "--out", arg(&out), "--count", "1", "--size", "48x48x16"];
    let set = f.set();
    let evaluate = vec!["evaluate", arg(&set), "--pred", arg(&set), "--resamples", "20", "--out", arg(&out)];
    let mut train = vec!["train", "lung", arg(&set), "--out", arg(&out)];
    train.extend(crate::run::TINY);
    let prepare = vec!["prepare", arg(&set), "--out", arg(&out), "--set", "prepare.size=32"];
    for args in [vec!["convert", arg(&ct), arg(&file)], phantom, analyze, evaluate, prepare, train] {
        let output = std::process::Command::new("sh")
            .args(["-c", script, "sh", program])
            .args(&args)
            .output()
            .unwrap();
        Ran::from(output).refused(1, &["error: ", "writ"]);
        assert!(!out.exists() && !file.exists(), "{args:?} left something");
        let left = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
        for path in left {
            // Prepared cases are written whole or not at all.
            assert_eq!(path.file_name().unwrap(), "cache", "{args:?} left something");
            assert!(files(&path).keys().all(|n| n == "inputs.json"), "{args:?}: {:?}", files(&path).keys());
        }
    }
}

/// As above, but with room for the prepared slices: the training itself meets the end of the disk.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_up_during_a_training_leaves_a_run_that_can_be_resumed() {
    let f = Fixture::get();
    let dir = tempfile::tempdir().unwrap();
    let (set, out, cache) = (f.set(), dir.path().join("out"), dir.path().join("cache"));
    let mut args = vec!["train", "lung", arg(&set), "--out", arg(&out), "--cache", arg(&cache)];
    args.extend(crate::run::TINY);
    groundglass(&["prepare", arg(&set), "--out", arg(&dir.path().join("p")), "--set", "prepare.size=32"])
        .ok();
    let script = "ulimit -f 16; trap '' XFSZ; exec \"$@\"";
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", script, "sh", env!("CARGO_BIN_EXE_groundglass")]).args(&args);
    Ran::from(limited.output().unwrap()).refused(1, &["error: "]);
    assert!(!out.join("model.safetensors").exists());
    assert!(files(&out).keys().all(|n| !n.ends_with(".tmp")), "{:?}", files(&out).keys());
    args.push("--resume");
    groundglass(&args).ok();
    let (again, whole) = (fs::read(out.join("model.safetensors")), fs::read(f.bundle("lung")));
    assert!(again.unwrap() == whole.unwrap(), "the same model as without a full disk");
}
