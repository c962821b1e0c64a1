//! `evaluate --pred`: masks of any program, in any of the understood layouts, however they are stored.

use crate::run::{Fixture, Ran, arg, groundglass, json};
use gg_volume::{Affine, AxisMap, Grid, LabelVolume, Orientation, Volume};
use serde_json::Value;
use std::fs;
use std::path::Path;

pub(crate) const CASES: usize = 6;

pub(crate) fn case_id(i: usize) -> String {
    format!("phantom-{:03}", i + 1)
}

/// A true mask of the fixture's data set.
pub(crate) fn truth(kind: &str, i: usize) -> (LabelVolume, Grid) {
    let path = Fixture::get().set().join(kind).join(format!("{}.nii.gz", case_id(i)));
    gg_io::read_labels(&path, &gg_io::ReadOptions::default()).unwrap().value
}

/// A prediction that is not perfect: the right half of the grid is missed.
pub(crate) fn half(labels: &LabelVolume) -> LabelVolume {
    let nx = labels.shape()[2];
    let values = labels.data().iter().enumerate();
    Volume::from_vec(labels.shape(), values.map(|(i, &v)| if i % nx < nx / 2 { 0 } else { v }).collect())
        .unwrap()
}

pub(crate) fn write(dir: &Path, name: &str, labels: &LabelVolume, grid: &Grid) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    gg_io::write_labels_nifti(&path, labels, grid).unwrap();
}

/// The same mask along other axes, with the affine that belongs to them.
pub(crate) fn stored_as(orientation: &str, labels: &LabelVolume, grid: &Grid) -> (LabelVolume, Grid) {
    let (from, to) = (grid.axis_map(), AxisMap::from_orientation(Orientation::parse(orientation).unwrap()));
    let canonical = from.canonical_shape(labels.shape());
    let mut shape = [0; 3];
    (0..3).for_each(|c| shape[to.axis[c]] = canonical[c]);
    let mut turned = Volume::filled(shape, 0u8);
    let mut slice = vec![0; canonical[1] * canonical[2]];
    for z in 0..canonical[0] {
        from.read_slice(labels, z, &mut slice);
        to.write_slice(&mut turned, z, &slice);
    }
    let at = |index: [usize; 3]| {
        let [z, y, x] = from.stored_index(labels.shape(), index);
        grid.affine.unwrap().apply([x as f64, y as f64, z as f64])
    };
    let first: [usize; 3] = std::array::from_fn(|c| if to.flip[c] { canonical[c] - 1 } else { 0 });
    let origin = at(first);
    let mut columns = [[0.0; 3]; 3];
    for c in 0..3 {
        let mut next = first;
        next[c] = if to.flip[c] { first[c] - 1 } else { first[c] + 1 };
        let step = at(next);
        columns[2 - to.axis[c]] = std::array::from_fn(|i| step[i] - origin[i]);
    }
    let affine = Affine::new(columns, origin).unwrap();
    let grid = Grid {
        shape,
        spacing_mm: Some(affine.spacing_mm()),
        affine: Some(affine),
        trust: grid.trust.clone(),
    };
    (turned, grid)
}

pub(crate) fn evaluate(pred: &Path, out: &Path) -> Ran {
    let set = Fixture::get().set();
    groundglass(&["evaluate", arg(&set), "--pred", arg(pred), "--resamples", "20", "--out", arg(out)])
}

pub(crate) fn scores(pred: &Path) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    evaluate(pred, &out).ok();
    json(&out.join("scores.json"))
}

/// Refused with these words; nothing is left.
#[track_caller]
pub(crate) fn refused(pred: &Path, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    evaluate(pred, &out).refused(1, words);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something was left behind");
}

fn without_warnings(mut scores: Value) -> Value {
    for case in scores["cases"].as_array_mut().unwrap() {
        case["warnings"] = Value::Null;
    }
    scores["warnings"] = Value::Null;
    scores
}

#[test]
fn a_prediction_stored_in_another_orientation_scores_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let [plain, turned] = ["plain", "turned"].map(|n| dir.path().join(n));
    for i in 0..CASES {
        for kind in ["lung_mask", "infection_mask"] {
            let (labels, grid) = truth(kind, i);
            let labels = half(&labels);
            let name = format!("{kind}/{}.nii.gz", case_id(i));
            write(&plain, &name, &labels, &grid);
            let orientation = ["RAS", "LPI", "PSL", "IRA", "LAS", "SPR"][i];
            let (labels, grid) = stored_as(orientation, &labels, &grid);
            write(&turned, &name, &labels, &grid);
        }
    }
    let [plain, turned] = [plain, turned].map(|pred| scores(&pred));
    let dice = plain["lung"]["summary"]["dice"]["mean"].as_f64().unwrap();
    assert!(dice > 0.2 && dice < 0.9, "{dice}");
    let codes: Vec<&Value> =
        turned["cases"].as_array().unwrap().iter().map(|c| &c["warnings"][0]["code"]).collect();
    assert_eq!(codes, ["prediction_turned"; CASES]);
    assert_eq!(without_warnings(plain), without_warnings(turned));
}

#[test]
fn a_prediction_whose_header_places_it_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (labels, mut grid) = truth("lung_mask", 0);
    let affine = grid.affine.unwrap();
    let [x, y, z] = affine.origin();
    grid.affine = Some(Affine::new(affine.columns(), [x + 30.0, y, z]).unwrap());
    write(dir.path(), "lung_mask/phantom-001.nii.gz", &labels, &grid);
    refused(dir.path(), &["phantom-001.nii.gz", "voxels away from its CT"]);
}

#[test]
fn a_true_mask_whose_header_places_it_elsewhere_is_remarked() {
    let dir = tempfile::tempdir().unwrap();
    let [set, out] = ["set", "out"].map(|n| dir.path().join(n));
    groundglass(&["phantom", "--out", arg(&set), "--count", "2", "--size", "32x32x16"]).ok();
    let pred = dir.path().join("pred");
    fs::create_dir_all(pred.join("lung_mask")).unwrap();
    let mask = |root: &Path, i: usize| root.join("lung_mask").join(format!("{}.nii.gz", case_id(i)));
    for i in 0..2 {
        fs::copy(mask(&set, i), mask(&pred, i)).unwrap();
    }
    let (labels, mut grid) =
        gg_io::read_labels(&mask(&set, 1), &gg_io::ReadOptions::default()).unwrap().value;
    let affine = grid.affine.unwrap();
    let [x, y, z] = affine.origin();
    grid.affine = Some(Affine::new(affine.columns(), [x + 60.0, y, z]).unwrap());
    gg_io::write_labels_nifti(&mask(&set, 1), &labels, &grid).unwrap();
    let args = ["evaluate", arg(&set), "--pred", arg(&pred), "--resamples", "20", "--out", arg(&out)];
    let ran = groundglass(&args).ok();
    assert!(ran.stderr.contains("in 1 of 2 cases (phantom-002)"), "{}", ran.stderr);
    assert_eq!(json(&out.join("scores.json"))["warnings"][0]["code"], "mask_elsewhere");
}

#[test]
fn a_prediction_without_a_place_is_matched_by_its_indices_with_a_remark() {
    let dir = tempfile::tempdir().unwrap();
    let (labels, grid) = truth("lung_mask", 0);
    write(dir.path(), "lung_mask/phantom-001.nii.gz", &labels, &Grid::unknown(grid.shape, "made for a test"));
    let scores = scores(dir.path());
    assert_eq!(scores["cases"][0]["lung"]["dice"], 1.0);
    assert_eq!(scores["cases"][0]["warnings"][0]["code"], "prediction_unplaced");
}

#[test]
fn labels_of_a_prediction_that_nobody_knows_are_refused_with_the_file_and_the_labels() {
    for (kind, label, words) in [
        ("lung_mask", 5, ["the labels of the lung mask are 0, 1, 2, 5", "right would be 0, 1, 2"]),
        ("infection_mask", 2, ["the labels of the infection mask are 0, 1, 2", "right would be 0, 1"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let i = (0..CASES).find(|&i| truth("infection_mask", i).0.count_foreground() > 0).unwrap();
        let (mut labels, grid) = truth(kind, i);
        labels.data_mut()[77] = label;
        let name = format!("{kind}/{}.nii.gz", case_id(i));
        write(dir.path(), &name, &labels, &grid);
        refused(dir.path(), &[&case_id(i), words[0], words[1]]);
    }
}

#[test]
fn a_ct_in_the_place_of_a_mask_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ct = Fixture::get().ct();
    let path = dir.path().join("lung_mask/phantom-001.nii.gz");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(&ct, &path).unwrap();
    refused(dir.path(), &["phantom-001.nii.gz", "labels are whole numbers from 0 to 255"]);
    // 8-bit grey values could be labels by their type alone
    let ct = gg_io::read_ct(&ct, &gg_io::ReadOptions::default()).unwrap().value.ct;
    let grey = ct.voxels.map(|v| ((v + 1000.0) / 8.0).clamp(0.0, 255.0) as u8);
    fs::remove_file(&path).unwrap();
    write(dir.path(), "lung_mask/phantom-001.nii.gz", &grey, &ct.grid);
    refused(dir.path(), &["phantom-001.nii.gz", "different values", "as in a CT"]);
}

#[test]
fn a_packed_mask_beside_an_unpacked_one_is_refused() {
    let (labels, grid) = truth("lung_mask", 1);
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "lung_mask/phantom-001.nii", &labels, &grid);
    write(dir.path(), "lung_mask/phantom-001.nii.gz", &labels, &grid);
    refused(dir.path(), &["phantom-001.nii.gz", "phantom-001.nii lies beside it"]);
}

#[test]
fn masks_of_0_and_255_are_understood() {
    let dir = tempfile::tempdir().unwrap();
    let (labels, grid) = truth("lung_mask", 0);
    write(dir.path(), "lung_mask/phantom-001.nii", &labels.map(|v| if v == 0 { 0 } else { 255 }), &grid);
    assert_eq!(scores(dir.path())["cases"][0]["lung"]["dice"], 1.0);
}

#[test]
fn one_mask_of_both_structures_is_read_by_what_explains_its_labels() {
    let dir = tempfile::tempdir().unwrap();
    // 0 outside, 1 and 2 the lungs, 3 infected lung: nothing needs to be said
    let kaggle = dir.path().join("kaggle");
    // 1 lung, 2 infection: nnU-Net's dataset.json says so
    let nnunet = dir.path().join("nnunet");
    for i in 0..CASES {
        let (labels, grid) = truth("lung_and_infection_mask", i);
        write(&kaggle, &format!("{}.nii.gz", case_id(i)), &labels, &grid);
        write(
            &nnunet,
            &format!("{}.nii.gz", case_id(i)),
            &labels.map(|v| [0, 1, 1, 2][usize::from(v)]),
            &grid,
        );
    }
    refused(&nnunet, &["phantom-001.nii.gz", "dataset.json", "hold 0, 1, 2"]);
    let names = r#"{"labels": {"background": 0, "lung": 1, "infection": 2}}"#;
    fs::write(nnunet.join("dataset.json"), names).unwrap();
    for pred in [kaggle, nnunet] {
        let scores = scores(&pred);
        assert_eq!(scores["predictions"], "masks");
        for structure in ["lung", "infection"] {
            assert_eq!(
                scores[structure]["summary"]["dice"]["mean"],
                1.0,
                "{structure} of {}",
                pred.display()
            );
        }
    }
}

#[test]
fn a_missing_prediction_counts_as_dice_zero_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let pred = dir.path().join("pred");
    for i in 0..CASES {
        let (labels, grid) = truth("lung_mask", i);
        if i != 2 {
            write(&pred, &format!("{}/lung_mask.nii.gz", case_id(i)), &labels, &grid);
        }
    }
    let out = dir.path().join("out");
    let ran = evaluate(&pred, &out).ok();
    assert!(ran.stdout.contains("missing predictions: 1"), "{}", ran.stdout);
    assert!(ran.stderr.contains("(phantom-003): each counts as Dice 0"), "{}", ran.stderr);
    let scores = json(&out.join("scores.json"));
    let summary = &scores["lung"]["summary"];
    assert_eq!(summary["missing_predictions"], 1);
    assert!((summary["dice"]["mean"].as_f64().unwrap() - 5.0 / 6.0).abs() < 1e-12, "{summary}");
    assert_eq!(summary["dice"]["n_values"], CASES);
    let case = &scores["cases"][2]["lung"];
    assert_eq!((&case["state"], &case["dice"]), (&Value::from("missing"), &Value::from(0.0)));
    assert!(case["hd95_mm"].is_null() && case["nsd_2mm"].is_null());
    // nobody predicted infection: nothing is missing there
    assert!(scores["infection"].is_null());
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("phantom-003") && page.contains("without a prediction"));
    let table = fs::read_to_string(out.join("scores.csv")).unwrap();
    assert!(
        table.lines().any(|l| l.starts_with("case,phantom-003,") && l.contains(",missing,0.0,")),
        "{table}"
    );
}

#[test]
fn a_folder_without_a_mask_of_any_case_is_refused_with_the_layouts() {
    let dir = tempfile::tempdir().unwrap();
    refused(&dir.path().join("nowhere"), &["is no folder"]);
    let layouts = ["CASE/lung_mask.nii.gz", "lung_mask/CASE.nii.gz", "phantom-001/lung_mask.nii.gz"];
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    refused(&empty, &[&["is empty"][..], &layouts].concat());
    let (labels, grid) = truth("lung_mask", 0);
    let other = dir.path().join("other");
    write(&other, "lung_mask/patient9.nii.gz", &labels, &grid);
    refused(&other, &[&["none of them of one of the 6 cases"][..], &layouts].concat());
}

#[test]
fn what_analyze_wrote_is_found_by_the_ct_it_was_made_from() {
    let dir = tempfile::tempdir().unwrap();
    let f = Fixture::get();
    let ct = |i: usize| f.set().join(format!("ct_scans/{}.nii.gz", case_id(i)));
    let [one, two] = ["one", "two"].map(|n| dir.path().join(n));
    f.analyze(&ct(3), &one, &[]).ok();
    // in another order than that of the cases, so that case-001 is not the first of them
    let last = ct(0);
    f.analyze(&ct(3), &two, &[arg(&last)]).ok();
    let out = dir.path().join("models");
    let (set, lung, infection) = (f.set(), f.bundle("lung"), f.bundle("infection"));
    let args = [
        "evaluate",
        arg(&set),
        "--model",
        arg(&lung),
        arg(&infection),
        "--resamples",
        "20",
        "--out",
        arg(&out),
    ];
    groundglass(&args).ok();
    let right = json(&out.join("scores.json"));
    for (pred, found) in [(one, &[3][..]), (two, &[0, 3])] {
        let scores = scores(&pred);
        assert_eq!(scores["lung"]["summary"]["missing_predictions"], CASES - found.len());
        for i in 0..CASES {
            for structure in ["lung", "infection"] {
                let case = &scores["cases"][i][structure];
                if found.contains(&i) {
                    assert_eq!(case, &right["cases"][i][structure], "{structure} of case {i}");
                } else {
                    assert_eq!(case["state"], "missing");
                }
            }
        }
    }
}
