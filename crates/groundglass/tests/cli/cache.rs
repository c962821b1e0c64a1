//! One cache of prepared slices for `prepare`, `train` and `evaluate`, and no result depends on it.

use crate::run::{Fixture, Ran, TINY, arg, command, files, groundglass};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Prepared cases in a cache folder.
fn cases(cache: &Path) -> usize {
    let names = fs::read_dir(cache).map(|d| d.map(|e| e.unwrap().path()).collect::<Vec<PathBuf>>());
    names.unwrap_or_default().iter().filter(|p| p.extension().is_some_and(|e| e == "ggcase")).count()
}

fn prepare(set: &Path, out: &Path, more: &[&str]) -> Ran {
    let mut args = vec!["prepare", arg(set), "--out", arg(out), "--set", "prepare.size=32"];
    args.extend(more);
    groundglass(&args)
}

#[test]
fn prepare_train_and_evaluate_share_the_folder_beside_their_outputs() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let set = f.set();
    let [prepared, run, scores, cache] = ["prepared", "run", "scores", "cache"].map(|n| dir.path().join(n));
    prepare(&set, &prepared, &[]).ok();
    assert_eq!(cases(&cache), 6);
    assert!(!prepared.join("cache").exists());
    let mut args = vec!["train", "lung", arg(&set), "--out", arg(&run)];
    args.extend(TINY);
    let trained = groundglass(&args).ok();
    assert!(trained.stderr.contains("6 of 6 cases were prepared before"), "{}", trained.stderr);
    let model = f.bundle("lung");
    groundglass(&["evaluate", arg(&set), "--model", arg(&model), "--resamples", "50", "--out", arg(&scores)])
        .ok();
    assert_eq!(cases(&cache), 6, "the scores came from the same files");
}

#[test]
fn evaluate_gives_the_same_bytes_with_a_full_an_empty_and_no_cache() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (set, models) = (f.set(), ["lung", "infection", "classify"].map(|t| f.bundle(t)));
    let [full, empty, none] = ["full", "empty", "none"].map(|n| dir.path().join(n));
    prepare(&set, &dir.path().join("prepared"), &["--cache", arg(&full)]).ok();
    fs::write(&none, "a file where the folder should be").unwrap();
    let outs = [&full, &empty, &none].map(|cache| {
        let out = dir.path().join(format!("scores-{}", cache.file_name().unwrap().display()));
        let mut args = vec!["evaluate", arg(&set), "--resamples", "50", "--out", arg(&out)];
        args.extend(["--cache", arg(cache)]);
        models.iter().for_each(|m| args.extend(["--model", arg(m)]));
        groundglass(&args).ok();
        files(&out)
    });
    assert_eq!(cases(&empty), 6, "evaluate makes the cache that is missing");
    for other in &outs[1..] {
        assert_eq!(outs[0].keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
        for (name, bytes) in &outs[0] {
            assert!(bytes == &other[name], "{name} depends on the cache");
        }
    }
}

#[test]
fn a_cache_inside_the_output_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    let out = dir.path().join("cache");
    prepare(&set, &out, &[]).refused(2, &["cache", "--cache"]);
    assert!(!out.exists());
    let out = dir.path().join("out");
    prepare(&set, &out, &["--cache", arg(&out.join("slices"))]).refused(2, &["slices", "--cache"]);
    assert!(!out.exists());
}

#[test]
#[cfg(unix)]
fn an_interrupted_prepare_keeps_its_finished_cases() {
    let dir = tempfile::tempdir().unwrap();
    let [set, out, cache] = ["set", "out", "cache"].map(|n| dir.path().join(n));
    groundglass(&["phantom", "--out", arg(&set), "--count", "12", "--size", "128x128x32"]).ok();
    let child = command(&["prepare", arg(&set), "--out", arg(&out), "--threads", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..2400 {
        if cases(&cache) > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    Ran::from(child.wait_with_output().unwrap()).refused(130, &["interrupted", "kept"]);
    assert!(!out.exists(), "outputs are there when they are whole");
    let kept = cases(&cache);
    assert!(kept > 0 && kept < 12, "{kept} cases");
    let again = groundglass(&["prepare", arg(&set), "--out", arg(&out)]).ok();
    assert!(again.stderr.contains("of 12 cases were prepared before"), "{}", again.stderr);
}

#[test]
#[cfg(unix)]
fn a_file_that_changed_behind_its_time_of_change_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (set, cache) = (dir.path().join("set"), dir.path().join("cache"));
    groundglass(&["phantom", "--out", arg(&set), "--count", "2", "--size", "48x48x16"]).ok();
    let prepared = |out: &str| prepare(&set, &dir.path().join(out), &["--cache", arg(&cache)]).ok().stderr;
    prepared("first");
    let second = prepared("second");
    assert!(second.contains("2 of 2 cases were prepared before"), "{second}");
    let mask = set.join("infection_mask/phantom-001.nii.gz");
    let (mut bytes, changed) = (fs::read(&mask).unwrap(), fs::metadata(&mask).unwrap().modified().unwrap());
    bytes[9] ^= 1; // the system that gzip ran on: other bytes, and still a mask
    fs::write(&mask, &bytes).unwrap();
    fs::File::options().write(true).open(&mask).unwrap().set_modified(changed).unwrap();
    let third = prepared("third");
    assert!(third.contains("1 of 2 cases were prepared before"), "{third}");
}
