//! `evaluate --pred`: what is said of masks that lie otherwise, in part, twice, nowhere or are empty.

use crate::predictions::{CASES, case_id, evaluate, half, refused, scores, stored_as, truth, write};
use crate::run::{arg, json};
use gg_volume::{Affine, Grid, LabelVolume, Volume};
use serde_json::Value;
use std::fs;

/// The remark of the whole evaluation with this code.
#[track_caller]
fn remark(scores: &Value, code: &str) -> String {
    let all: Vec<&Value> =
        scores["warnings"].as_array().unwrap().iter().filter(|w| w["code"] == code).collect();
    assert_eq!(all.len(), 1, "{code} in {}", scores["warnings"]);
    all[0]["message"].as_str().unwrap().to_owned()
}

#[track_caller]
fn without_remark(scores: &Value, code: &str) {
    let has = |warnings: &Value| warnings.as_array().unwrap().iter().any(|w| w["code"] == code);
    assert!(!has(&scores["warnings"]), "{code} in {}", scores["warnings"]);
    assert!(!scores["cases"].as_array().unwrap().iter().any(|c| has(&c["warnings"])), "{code}");
}

/// The same mask with rows and columns exchanged and the header left as it was.
fn transposed(labels: &LabelVolume) -> LabelVolume {
    let [nz, ny, nx] = labels.shape();
    assert_eq!(ny, nx);
    let at = |i: usize| labels.at(i / ny / nx, i % nx, i / nx % ny);
    Volume::from_vec([nz, ny, nx], (0..labels.len()).map(at).collect()).unwrap()
}

#[test]
fn masks_that_would_fit_if_they_were_stored_otherwise_are_told_with_the_change() {
    let dir = tempfile::tempdir().unwrap();
    let [turned, swapped] = ["turned", "swapped"].map(|n| dir.path().join(n));
    let kinds = ["lung_mask", "infection_mask"];
    for i in 0..CASES {
        for (kind, other) in [(kinds[0], kinds[1]), (kinds[1], kinds[0])] {
            let (labels, grid) = truth(kind, i);
            write(&turned, &format!("{kind}/{}.nii.gz", case_id(i)), &transposed(&labels), &grid);
            let labels = labels.map(|v| u8::from(v != 0));
            write(&swapped, &format!("{other}/{}.nii.gz", case_id(i)), &labels, &grid);
        }
    }
    for (pred, change) in [
        (turned, "with rows and columns exchanged"),
        (swapped, "with the masks of lung and infection exchanged"),
    ] {
        let change = format!("{change}, the lung Dice of 6 would be 1.000 in the mean and not 0.");
        let out = pred.join("out");
        let ran = evaluate(&pred, &out).ok();
        let scores = json(&out.join("scores.json"));
        let message = remark(&scores, "masks_lie_otherwise");
        assert!(message.starts_with("the masks of 6 of 6 cases (phantom-001, "), "{message}");
        assert!(message.contains(&change) && message.contains("nothing was changed"), "{message}");
        assert!(ran.stderr.contains(&message), "{}", ran.stderr);
        assert!(fs::read_to_string(out.join("report.html")).unwrap().contains(&change));
        assert!(
            scores["lung"]["summary"]["dice"]["mean"].as_f64().unwrap() < 0.7,
            "the scores are as they were"
        );
    }
}

/// Lungs are nearly their own mirror image; their infection is not.
#[test]
fn infection_that_is_mirrored_is_told_beside_lungs_that_fit() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..CASES {
        let (lung, grid) = truth("lung_mask", i);
        write(dir.path(), &format!("lung_mask/{}.nii.gz", case_id(i)), &lung, &grid);
        let (infection, grid) = truth("infection_mask", i);
        let [nz, ny, nx] = infection.shape();
        let at = |k: usize| infection.at(k / nx / ny, k / nx % ny, nx - 1 - k % nx);
        let mirrored = Volume::from_vec([nz, ny, nx], (0..infection.len()).map(at).collect()).unwrap();
        write(dir.path(), &format!("infection_mask/{}.nii.gz", case_id(i)), &mirrored, &grid);
    }
    let scores = scores(dir.path());
    assert!(scores["lung"]["summary"]["dice"]["mean"].as_f64().unwrap() > 0.99);
    let message = remark(&scores, "masks_lie_otherwise");
    assert!(
        message.contains("mirrored along x (columns in reverse order), the infection Dice of"),
        "{message}"
    );
}

#[test]
fn masks_that_no_change_would_mend_are_not_said_to_lie_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..CASES {
        let (labels, grid) = truth("lung_mask", i);
        write(dir.path(), &format!("lung_mask/{}.nii.gz", case_id(i)), &half(&half(&labels)), &grid);
    }
    let scores = scores(dir.path());
    assert!(scores["lung"]["summary"]["dice"]["mean"].as_f64().unwrap() < 0.7);
    without_remark(&scores, "masks_lie_otherwise");
}

#[test]
fn masks_without_a_place_are_counted_on_stderr() {
    let dir = tempfile::tempdir().unwrap();
    let pred = dir.path().join("pred");
    for i in 0..2 {
        let (labels, grid) = truth("lung_mask", i);
        let grid = Grid::unknown(grid.shape, "made for a test");
        write(&pred, &format!("lung_mask/{}.nii.gz", case_id(i)), &labels, &grid);
    }
    let out = dir.path().join("out");
    let ran = evaluate(&pred, &out).ok();
    let message = remark(&json(&out.join("scores.json")), "prediction_unplaced");
    assert!(message.starts_with("in 2 of 6 cases (phantom-001, phantom-002)"), "{message}");
    assert!(message.ends_with("the voxels were matched by their indices"), "{message}");
    assert!(ran.stderr.contains(&message), "{}", ran.stderr);
}

/// A box of a mask, its header moved by as many voxels and by parts of one along x.
fn cropped(
    labels: &LabelVolume,
    grid: &Grid,
    first: [usize; 3],
    shape: [usize; 3],
    beside: f64,
) -> (LabelVolume, Grid) {
    let [_, ny, nx] = shape;
    let at = |i: usize| labels.at(first[0] + i / nx / ny, first[1] + i / nx % ny, first[2] + i % nx);
    let part = Volume::from_vec(shape, (0..shape.iter().product()).map(at).collect()).unwrap();
    let affine = grid.affine.unwrap();
    let origin = affine.apply([first[2] as f64 + beside, first[1] as f64, first[0] as f64]);
    let affine = Affine::new(affine.columns(), origin).unwrap();
    (part, Grid { shape, affine: Some(affine), ..grid.clone() })
}

/// The smallest box around a mask: its first voxel and its shape.
fn bounds(labels: &LabelVolume) -> ([usize; 3], [usize; 3]) {
    let [_, ny, nx] = labels.shape();
    let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
    for (i, _) in labels.data().iter().enumerate().filter(|(_, v)| **v != 0) {
        for (a, index) in [i / nx / ny, i / nx % ny, i % nx].into_iter().enumerate() {
            low[a] = low[a].min(index);
            high[a] = high[a].max(index + 1);
        }
    }
    (low, std::array::from_fn(|a| high[a] - low[a]))
}

#[test]
fn a_mask_of_a_part_of_its_ct_lies_where_its_header_says() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..CASES {
        let (labels, grid) = truth("lung_mask", i);
        let (first, shape) = bounds(&labels);
        assert!(first[1] > 0 && first[2] > 0 && shape != grid.shape);
        let (part, own) = cropped(&labels, &grid, first, shape, 0.0);
        // every second one along other axes too
        let (part, own) = if i % 2 == 0 { (part, own) } else { stored_as("SPR", &part, &own) };
        write(dir.path(), &format!("lung_mask/{}.nii.gz", case_id(i)), &part, &own);
    }
    let scores = scores(dir.path());
    for i in 0..CASES {
        assert_eq!(scores["cases"][i]["lung"]["dice"], 1.0, "case {i}");
        let warnings = scores["cases"][i]["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 1, "case {i}: {warnings:?}");
        assert_eq!(warnings[0]["code"], "prediction_part", "case {i}");
    }
}

#[test]
fn a_cropped_mask_with_the_header_of_its_ct_is_laid_at_its_corner_and_told() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..CASES {
        let (labels, grid) = truth("lung_mask", i);
        let (first, shape) = bounds(&labels);
        let (part, own) = cropped(&labels, &grid, first, shape, 0.0);
        let kept = Grid { affine: if i == 0 { grid.affine } else { own.affine }, ..own };
        write(dir.path(), &format!("lung_mask/{}.nii.gz", case_id(i)), &part, &kept);
    }
    let into = tempfile::tempdir().unwrap();
    let out = into.path().join("scores");
    let ran = evaluate(dir.path(), &out).ok();
    let message = remark(&json(&out.join("scores.json")), "prediction_at_corner");
    assert!(message.starts_with("in 1 of 6 cases (phantom-001)"), "{message}");
    assert!(ran.stderr.contains(&message), "{}", ran.stderr);
}

#[test]
fn a_mask_of_a_part_between_the_voxels_or_outside_of_its_ct_is_refused_with_its_offset() {
    let (labels, grid) = truth("lung_mask", 0);
    let (first, shape) = bounds(&labels);
    let [z, y, x] = first;
    let right = "right would be that of its CT, 64 x 64 x 20";
    for (beside, words) in [
        (
            0.4,
            [
                format!("first voxel at {x}.40, {y}.00, {z}.00 of the CT"),
                "right would be whole numbers".to_owned(),
            ],
        ),
        (
            -1.0 - x as f64,
            [
                format!("first voxel at -1.00, {y}.00, {z}.00 of the CT"),
                "marked voxels lie outside".to_owned(),
            ],
        ),
        (
            500.0,
            [
                format!("first voxel at {}.00, {y}.00, {z}.00 of the CT", x + 500),
                "marked voxels lie outside".to_owned(),
            ],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (part, own) = cropped(&labels, &grid, first, shape, beside);
        write(dir.path(), "lung_mask/phantom-001.nii.gz", &part, &own);
        refused(dir.path(), &["phantom-001.nii.gz", right, &words[0], &words[1]]);
    }
    // other spacing: the shape alone is told
    let dir = tempfile::tempdir().unwrap();
    let (part, mut own) = cropped(&labels, &grid, first, shape, 0.0);
    let affine = own.affine.unwrap();
    own.affine = Some(Affine::new(affine.columns().map(|c| c.map(|v| v * 1.5)), affine.origin()).unwrap());
    write(dir.path(), "lung_mask/phantom-001.nii.gz", &part, &own);
    refused(dir.path(), &["phantom-001.nii.gz", right]);
}

#[test]
fn masks_in_two_layouts_are_told_where_they_differ() {
    let dir = tempfile::tempdir().unwrap();
    let [pred, out] = ["pred", "out"].map(|n| dir.path().join(n));
    for i in 0..CASES {
        let (labels, grid) = truth("lung_mask", i);
        write(&pred, &format!("{}/lung_mask.nii.gz", case_id(i)), &labels, &grid);
        // the first two are the same in both, as 0 and 255
        let other = if i < 2 { labels.map(|v| if v == 0 { 0 } else { 255 }) } else { half(&labels) };
        write(&pred, &format!("lung_mask/{}.nii.gz", case_id(i)), &other, &grid);
    }
    let ran = evaluate(&pred, &out).ok();
    let scores = json(&out.join("scores.json"));
    assert_eq!(scores["lung"]["summary"]["dice"]["mean"], 1.0);
    let message = remark(&scores, "prediction_twice");
    assert!(message.starts_with("in 4 of 6 cases (phantom-003, "), "{message}");
    let right = "the folder holds for the lung two masks that differ: that of CASE/lung_mask was taken, that of lung_mask/CASE was not";
    assert!(message.ends_with(right), "{message}");
    assert!(ran.stderr.contains(&message), "{}", ran.stderr);
    without_remark(&scores, "prediction_of_no_case");
}

#[test]
fn masks_of_cases_that_the_data_set_lacks_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let [pred, out] = ["pred", "out"].map(|n| dir.path().join(n));
    let (labels, grid) = truth("lung_mask", 0);
    // two names: one has a mask of either kind
    for name in ["lung_mask/phantom-001", "lung_mask/other-1", "infection_mask/other-1", "other-2/lung_mask"]
    {
        write(&pred, &format!("{name}.nii.gz"), &labels, &grid);
    }
    let ran = evaluate(&pred, &out).ok();
    let message = remark(&json(&out.join("scores.json")), "prediction_of_no_case");
    assert!(message.ends_with("were left out: 2 names"), "{message}");
    assert!(ran.stderr.contains(&message), "{}", ran.stderr);
}

#[test]
fn a_broken_mask_of_one_case_is_refused_with_its_file() {
    let (labels, grid) = truth("lung_mask", 0);
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "lung_mask/phantom-001.nii.gz", &labels, &grid);
    let whole = fs::read(dir.path().join("lung_mask/phantom-001.nii.gz")).unwrap();
    for broken in [&whole[..whole.len() / 2], &[], b"no picture at all"] {
        let path = dir.path().join("lung_mask/phantom-004.nii.gz");
        fs::write(&path, broken).unwrap();
        refused(dir.path(), &[arg(&path)]);
    }
}

#[test]
fn empty_predicted_lungs_are_said_to_leave_no_percentage() {
    let dir = tempfile::tempdir().unwrap();
    let [pred, out] = ["pred", "out"].map(|n| dir.path().join(n));
    for i in 0..CASES {
        for kind in ["lung_mask", "infection_mask"] {
            let (labels, grid) = truth(kind, i);
            write(&pred, &format!("{kind}/{}.nii.gz", case_id(i)), &labels.map(|_| 0), &grid);
        }
    }
    let ran = evaluate(&pred, &out).ok();
    let words = "percentage error: none, as the predicted lungs of 6 cases are empty";
    assert!(ran.stdout.contains(words), "{}", ran.stdout);
    let message = remark(&json(&out.join("scores.json")), "predicted_lungs_empty");
    assert!(message.starts_with("the predicted lungs of 6 of 6 cases (phantom-001, "), "{message}");
    assert!(ran.stderr.contains(&message), "{}", ran.stderr);
    // one that is there has a percentage
    let (labels, grid) = truth("lung_mask", 0);
    write(&pred, "lung_mask/phantom-001.nii.gz", &labels, &grid);
    let out = dir.path().join("again");
    let ran = evaluate(&pred, &out).ok();
    assert!(ran.stdout.contains("percentage error: median"), "{}", ran.stdout);
    let message = remark(&json(&out.join("scores.json")), "predicted_lungs_empty");
    assert!(message.starts_with("the predicted lungs of 5 of 6 cases"), "{message}");
}
