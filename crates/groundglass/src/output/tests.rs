//! Output folders of every kind against each other.

use super::folder::{claim, share};
use super::held::Held;
use super::marker::write_marker;
use super::staged::{Staged, can_be_swapped};
use crate::model_file::BUNDLE;
use std::fs;
use std::path::Path;

#[test]
fn a_folder_that_is_not_ours_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("out");
    fs::create_dir(&dest).unwrap();
    fs::write(dest.join("thesis.txt"), "years of work").unwrap();
    assert!(Staged::begin(&dest, true, "a").is_err());
    assert!(claim(&dest, true, &[], &[]).is_err());
    assert!(dest.join("thesis.txt").exists());
}

#[test]
fn results_of_another_kind_or_of_several_cases_are_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    // A cross-validation that was stopped: what it holds lies two folders down.
    drop(claim(&at("cv"), false, &["split.toml"], &[]).unwrap());
    drop(claim(&at("cv/fold-0/run"), false, &[BUNDLE], &[]).unwrap());
    fs::write(at("cv/fold-0/run").join(BUNDLE), "weights").unwrap();
    for refused in [
        Staged::begin(&at("cv"), true, "a").err().unwrap(),
        Staged::begin(&at("cv/fold-0/run"), true, "a").err().unwrap(),
        claim(&at("cv"), true, &["report.html"], &[]).unwrap_err(),
        share(&at("cv"), true, &["summary.csv"]).unwrap_err(),
    ] {
        assert!(refused.to_string().contains("left alone"), "{refused}");
    }
    assert!(at("cv/fold-0/run").join(BUNDLE).is_file());
    results(Staged::begin(&at("one"), false, "a").unwrap(), "old");
    let error = Staged::begin(&at("one"), true, "c").err().unwrap().to_string();
    assert!(error.contains("what another command wrote (a)"), "{error}");
    assert_eq!(fs::read_to_string(at("one/a")).unwrap(), "old");
    let inner = [("fold-*/run", BUNDLE)];
    assert!(
        claim(&at("cv"), true, &["split.toml"], &[("fold-*/run", "scores.json")]).is_err(),
        "of another kind"
    );
    results(Staged::begin(&at("cv/fold-0/run/patient"), false, "a").unwrap(), "a patient's");
    let error = claim(&at("cv"), true, &["split.toml"], &inner).unwrap_err().to_string();
    assert!(error.contains("such as fold-0/run/patient, which are left alone"), "{error}");
    assert!(at("cv/fold-0/run/patient/a").is_file());
    fs::remove_dir_all(at("cv/fold-0/run/patient")).unwrap();
    assert!(claim(&at("cv"), true, &["split.toml"], &[]).is_err());
    drop(claim(&at("cv"), true, &["split.toml"], &inner).unwrap());
    assert!(!at("cv/fold-0").exists(), "its own kind makes room");
    // What a killed program left inside is no result.
    results(Staged::begin(&at("out"), false, "a").unwrap(), "old");
    fs::create_dir(at("out/.groundglass-partial-x")).unwrap();
    write_marker(&at("out/.groundglass-partial-x"), &[]).unwrap();
    results(Staged::begin(&at("out"), true, "a").unwrap(), "new");
    assert_eq!(fs::read_to_string(at("out/a")).unwrap(), "new");
}

#[test]
fn an_abandoned_folder_leaves_nothing_and_a_finished_one_replaces_ours() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("out");
    drop(Staged::begin(&dest, false, "a").unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    for text in ["one", "two"] {
        let staged = Staged::begin(&dest, true, "a").unwrap();
        fs::write(staged.path().join("a"), text).unwrap();
        staged.commit().unwrap();
        assert_eq!(fs::read_to_string(dest.join("a")).unwrap(), text);
    }
    assert!(Staged::begin(&dest, false, "a").is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Results at `dest`, `text` in the file `a`.
fn results(staged: Staged, text: &str) {
    fs::create_dir(staged.path().join("b")).unwrap();
    fs::write(staged.path().join("b/c.png"), text).unwrap();
    fs::write(staged.path().join("a"), text).unwrap();
    staged.commit().unwrap();
}

#[test]
fn a_file_of_the_users_among_the_results_is_never_removed() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("out");
    for notes in ["notes.txt", "b/notes.txt", "b/c.svg"] {
        results(Staged::begin(&dest, true, "a").unwrap(), "one");
        fs::write(dest.join(notes), "mine").unwrap();
        let error = Staged::begin(&dest, true, "a").err().unwrap().to_string();
        assert!(error.contains(notes) && error.contains("a file that groundglass did not"), "{error}");
        assert!(claim(&dest, true, &[], &[]).is_err());
        assert!(dest.join(notes).is_file() && dest.join("a").is_file());
        fs::remove_file(dest.join(notes)).unwrap();
    }
    let late = Staged::begin(&dest, true, "a").unwrap();
    fs::write(dest.join("late.txt"), "mine").unwrap();
    assert!(late.commit().is_err(), "put there while the work went on");
    assert_eq!(fs::read_to_string(dest.join("late.txt")).unwrap(), "mine");
    fs::remove_file(dest.join("late.txt")).unwrap();
    #[cfg(unix)]
    {
        let late = Staged::begin(&dest, true, "a").unwrap();
        let held = Held::take(&dest).unwrap();
        assert!(Staged::begin(&dest, true, "a").is_err(), "another run is at work there");
        assert!(late.commit().is_err(), "another run began there while the work went on");
        drop(held);
    }
}

#[test]
fn a_claimed_folder_owns_its_files_and_the_marked_folders_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("run");
    let files = ["metrics.jsonl", "curves/*.svg"];
    drop(claim(&dest, false, &files, &[]).unwrap());
    fs::create_dir(dest.join("curves")).unwrap();
    fs::write(dest.join("metrics.jsonl"), "").unwrap();
    fs::write(dest.join("curves/loss.svg"), "").unwrap();
    results(Staged::begin(&dest.join("case"), false, "a").unwrap(), "one");
    drop(claim(&dest, true, &files, &[("case", "a")]).unwrap());
    assert_eq!(fs::read_dir(&dest).unwrap().count(), 1, "only the marker is left");
    fs::write(dest.join("loss.svg"), "").unwrap();
    assert!(claim(&dest, true, &files, &[]).is_err(), "not in its folder");
}

#[test]
fn a_folder_that_cannot_be_renamed_is_filled_from_inside() {
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("out");
    fs::create_dir(&dest).unwrap();
    drop(Staged::begin_inside(&dest, false, "a".to_owned()).unwrap());
    assert_eq!(fs::read_dir(&dest).unwrap().count(), 0);
    for text in ["one", "two"] {
        let staged = Staged::begin_inside(&dest, true, "a".to_owned()).unwrap();
        assert!(staged.path().starts_with(&dest));
        results(staged, text);
        assert_eq!(fs::read_to_string(dest.join("b/c.png")).unwrap(), text);
        assert_eq!(fs::read_dir(&dest).unwrap().count(), 3, "two results and the marker");
    }
    assert!(!can_be_swapped(Path::new(".")) && can_be_swapped(&dest));
    #[cfg(unix)]
    {
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&dest, &link).unwrap();
        results(Staged::begin(&link, true, "a").unwrap(), "three");
        assert_eq!(fs::read_to_string(dest.join("a")).unwrap(), "three");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
