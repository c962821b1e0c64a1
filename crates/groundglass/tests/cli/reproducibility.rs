//! The same input gives the same bytes, whatever the number of threads and whatever the format.

use crate::run::{Fixture, arg, files, groundglass, json};
use gg_io::DicomText;
use gg_phantom::{PhantomSpec, phantom};
use std::fs;
use std::path::Path;

fn same_but_timings(a: &Path, b: &Path) {
    let (mut a, mut b) = (files(a), files(b));
    for timings in ["timings.json", "timings.jsonl"] {
        a.remove(timings);
        b.remove(timings);
    }
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(bytes == &b[name], "{name} differs");
    }
}

#[test]
fn analyze_gives_the_same_bytes_at_one_and_two_threads() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let [one, two] = ["1", "2"].map(|threads| {
        let out = dir.path().join(threads);
        f.analyze(&f.ct(), &out, &["--threads", threads]).ok();
        out
    });
    same_but_timings(&one, &two);
}

#[test]
fn slices_without_lung_change_nothing_where_the_infection_network_sees_them() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let [few, all] = [("few", None), ("all", Some("--every-slice"))].map(|(name, option)| {
        let out = dir.path().join(name);
        f.analyze(&f.ct(), &out, option.as_slice()).ok();
        out
    });
    same_but_timings(&few, &all);
}

#[test]
fn train_gives_the_same_bytes_at_one_and_two_threads() {
    let dir = tempfile::tempdir().unwrap();
    let set = Fixture::get().set();
    for task in ["classify", "lung", "infection"] {
        let [one, two] = ["1", "2"].map(|threads| {
            let out = dir.path().join(format!("{task}{threads}"));
            let cache = dir.path().join(format!("cache{threads}"));
            let mut args = vec!["train", task, arg(&set), "--out", arg(&out), "--threads", threads];
            args.extend(["--cache", arg(&cache)]);
            args.extend(crate::run::TINY);
            groundglass(&args).ok();
            out
        });
        same_but_timings(&one, &two);
    }
}

#[test]
fn prepare_split_phantom_and_convert_give_the_same_bytes_at_one_and_two_threads() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (set, ct) = (f.set(), f.ct());
    let [one, two] = ["1", "2"].map(|threads| {
        let out = dir.path().join(threads);
        let [prepared, cache] = ["prepared", "cache"].map(|n| out.join(n));
        let [split, phantoms, nifti] = ["split.toml", "phantoms", "ct.nii.gz"].map(|n| out.join(n));
        fs::create_dir(&out).unwrap();
        for args in [
            vec!["prepare", arg(&set), "--out", arg(&prepared), "--cache", arg(&cache)],
            vec!["split", arg(&set), "--folds", "3", "--out", arg(&split)],
            vec!["phantom", "--out", arg(&phantoms), "--count", "2", "--size", "48x48x16", "--dicom"],
            vec!["convert", arg(&ct), arg(&nifti)],
        ] {
            groundglass(&[&args[..], &["--threads", threads]].concat()).ok();
        }
        // A second preparation finds everything ready and says the same.
        let again = out.join("again");
        let args = ["prepare", arg(&set), "--out", arg(&again), "--cache", arg(&cache)];
        groundglass(&[&args[..], &["--threads", threads]].concat()).ok();
        same_but_timings(&prepared, &again);
        out
    });
    same_but_timings(&one, &two);
}

#[test]
fn evaluate_gives_the_same_bytes_at_one_and_two_threads() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let (set, models) = (f.set(), ["lung", "infection", "classify"].map(|t| f.bundle(t)));
    let [lung, infection, classify] = models.each_ref().map(|m| arg(m));
    let [one, two] = ["1", "2"].map(|threads| {
        let out = dir.path().join(threads);
        groundglass(&[
            "evaluate",
            arg(&set),
            "--model",
            lung,
            infection,
            classify,
            "--fold",
            "0",
            "--resamples",
            "50",
            "--out",
            arg(&out),
            "--threads",
            threads,
        ])
        .ok();
        out
    });
    same_but_timings(&one, &two);
}

/// NIfTI holds its affine in single precision, so lengths differ in the eighth digit; all else is equal.
fn same_but_rounding(a: &serde_json::Value, b: &serde_json::Value, at: &str) {
    use serde_json::Value;
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            assert_eq!(x.keys().collect::<Vec<_>>(), y.keys().collect::<Vec<_>>(), "{at}");
            x.iter().for_each(|(key, value)| same_but_rounding(value, &y[key], &format!("{at}.{key}")));
        }
        (Value::Array(x), Value::Array(y)) => {
            assert_eq!(x.len(), y.len(), "{at}");
            x.iter().zip(y).for_each(|(x, y)| same_but_rounding(x, y, at));
        }
        (Value::Number(x), Value::Number(y)) if x.is_f64() && y.is_f64() => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            assert!((x - y).abs() <= 1e-7 * x.abs().max(y.abs()), "{at}: {x} and {y}");
        }
        _ => assert_eq!(a, b, "{at}"),
    }
}

#[test]
fn dicom_with_shuffled_files_and_nifti_give_the_same_answer() {
    let dir = tempfile::tempdir().unwrap();
    let spec = PhantomSpec::new(11, [20, 64, 64], 15.0);
    let phantom = phantom(&spec);
    let series = dir.path().join("series");
    gg_io::write_dicom_series(&series, &phantom.ct, &DicomText::default()).unwrap();
    // New names in another order, spread over nested folders.
    let mut names: Vec<_> = fs::read_dir(&series).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    fs::create_dir(series.join("nested")).unwrap();
    for (i, old) in names.iter().enumerate() {
        let folder = if i % 3 == 0 { series.join("nested") } else { series.clone() };
        fs::rename(old, folder.join(format!("{}", (i * 7) % names.len() + 100))).unwrap();
    }
    let nifti = dir.path().join("ct.nii.gz");
    gg_io::write_ct_nifti(&nifti, &phantom.ct).unwrap();
    let analysis = |ct: &Path, name: &str| {
        let out = dir.path().join(name);
        Fixture::get().analyze(ct, &out, &[]).ok();
        let mut value = json(&out.join("analysis.json"));
        let input = value["input"].as_object_mut().unwrap();
        for key in ["format", "sha256"] {
            input.remove(key);
        }
        let mask = fs::read(out.join("infection_mask.nii.gz")).unwrap();
        (value, mask)
    };
    let (a, mask_a) = analysis(&series, "a");
    let (b, mask_b) = analysis(&nifti, "b");
    for key in ["lung", "infection", "severity", "classification", "slices"] {
        same_but_rounding(&a[key], &b[key], key);
    }
    assert!(mask_a == mask_b, "masks differ");
}
