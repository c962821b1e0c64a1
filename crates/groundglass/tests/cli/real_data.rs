//! Real CT, where it is present: the kind of grey values and the orientation of every set.

use crate::run::groundglass;
use gg_dataset::{Dataset, LoadedCase};
use gg_io::ReadOptions;
use gg_testkit::real_data;
use gg_volume::{AxisMap, LabelVolume, Volume};
use std::path::Path;

/// Every folder of the data with the kinds that its README allows.
const KINDS: [(&str, &[&str]); 9] = [
    ("covid20", &["contrast_8bit"]),
    ("medseg", &["lung_window_8bit"]),
    // Crops and figures of papers: 8-bit grey that differs from picture to picture, never HU.
    ("medseg100", &["lung_window_8bit", "contrast_8bit"]),
    ("covidct", &["lung_window_8bit", "contrast_8bit", "unknown"]),
    ("hu_dicom", &["hu"]),
    ("lungs2d", &["hu"]),
    ("lungs3d", &["hu"]),
    ("formats/jpeg_lossless_series", &["hu"]),
    ("formats/two_slices", &["hu"]),
];

fn inspect(path: &Path) -> serde_json::Value {
    let ran = groundglass(&["inspect", path.to_str().unwrap(), "--json", "--allow-gaps"]).ok();
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn the_kind_of_grey_values_of_every_set_is_recognised() {
    let Some(data) = real_data("the kind of grey values") else { return };
    for (set, right) in KINDS {
        let answer = inspect(&data.join(set));
        let kinds: Vec<&str> = match answer["cases_read"].as_array() {
            Some(cases) => cases.iter().map(|c| c["intensity"]["kind"].as_str().unwrap()).collect(),
            None => vec![answer["volume"]["intensity"]["kind"].as_str().unwrap()],
        };
        assert!(!kinds.is_empty() && kinds.iter().all(|k| right.contains(k)), "{set}: {kinds:?}");
    }
    // CT and label maps side by side, as a user's folder has them.
    let answer = inspect(&data.join("formats/small_nifti"));
    let volumes: Vec<&serde_json::Value> =
        answer["files"].as_array().unwrap().iter().map(|f| &f["volume"]).collect();
    let kinds: Vec<&str> = volumes.iter().map(|v| v["intensity"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["hu", "hu", "unknown", "unknown", "unknown"]);
    assert!(volumes[2..].iter().all(|v| v["labels"].is_array()), "masks are called masks");
}

#[test]
fn a_map_of_organs_of_another_program_is_refused_as_a_ct() {
    let Some(data) = real_data("a map of organs") else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mask = data.join("medseg/infection_mask/radiopaedia_40_86625_0.nii.gz");
    for (path, words) in [
        (data.join("formats/small_nifti/example_seg.nii.gz"), "a map of labels"),
        (data.join("formats/small_nifti/example_seg_fast.nii.gz"), "a map of labels"),
        (mask, "as a mask does"),
    ] {
        let args = ["analyze", path.to_str().unwrap(), "--out", out.to_str().unwrap()];
        groundglass(&args).refused(1, &[words]);
        assert!(!out.exists());
    }
}

#[test]
fn infection_lies_inside_the_lung_in_every_set_that_has_both() {
    let Some(data) = real_data("infection inside lung") else { return };
    for set in ["covid20", "medseg"] {
        for (case, loaded) in cases(&data.join(set)) {
            let (lung, infection) = (loaded.lung.unwrap(), loaded.infection.unwrap());
            let all = infection.count_foreground();
            let inside =
                lung.data().iter().zip(infection.data()).filter(|&(&l, &i)| l != 0 && i != 0).count();
            let share = inside as f64 / all as f64;
            assert!(all > 0 && share > 0.9, "{set}: {case}: {share:.3} of the infection is in the lung");
        }
    }
}

#[test]
fn the_orientation_of_every_set_is_right_or_stated_to_be_unknown() {
    let Some(data) = real_data("orientation") else { return };
    // Pictures, and headers that somebody made up, state none; and none is made up.
    for set in ["covid20", "medseg100", "covidct", "lungs2d"] {
        let answer = inspect(&data.join(set));
        let cases = answer["cases_read"].as_array().unwrap();
        assert!(cases.iter().all(|c| c["orientation"].is_null()), "{set}");
    }
    // One header of medseg runs the other way, and inspect says so.
    let answer = inspect(&data.join("medseg"));
    for case in answer["cases_read"].as_array().unwrap() {
        let contradicts = case["oddities"].as_array().unwrap().iter().any(|o| o["code"] == "apex_below_base");
        assert_eq!(contradicts, case["case_id"] == "radiopaedia_7_85703_0", "{}", case["case_id"]);
        assert_eq!(case["orientation"], "LPS");
    }
    for (case, loaded) in cases(&data.join("lungs3d")) {
        let (map, lung) = (loaded.scan.ct.grid.axis_map(), loaded.lung.unwrap());
        assert!(loaded.scan.ct.grid.affine.is_some(), "{case}");
        assert_eq!(gg_eval::check_apex(&lung, &map), None, "{case}: the apices are up");
        lies_as_a_body(&case, &loaded.scan.ct.voxels, &lung, &map);
    }
    for (case, loaded) in cases(&data.join("hu_dicom")) {
        let ct = &loaded.scan.ct;
        let map = ct.grid.axis_map();
        let lung = aerated(&ct.voxels);
        assert_eq!(gg_eval::check_apex(&lung, &map), None, "{case}: the apices are up");
        lies_as_a_body(&case, &ct.voxels, &lung, &map);
    }
}

fn cases(set: &Path) -> Vec<(String, LoadedCase)> {
    let opened = Dataset::open(set).unwrap().value;
    let load = |case| opened.load(case, &ReadOptions::default()).unwrap();
    opened.cases.iter().map(|case| (case.case_id.clone(), load(case))).collect()
}

/// Air that is no outside air: in each row of a slice between tissue on both sides, away from the slice's rim.
fn aerated(ct: &Volume<f32>) -> LabelVolume {
    let [_, ny, nx] = ct.shape();
    let mut lung = Volume::filled(ct.shape(), 0u8);
    for (row, out) in ct.data().chunks_exact(nx).zip(lung.data_mut().chunks_exact_mut(nx)) {
        let tissue = |v: &f32| (-200.0..300.0).contains(v);
        let (Some(first), Some(last)) = (row.iter().position(tissue), row.iter().rposition(tissue)) else {
            continue;
        };
        for x in first..last {
            out[x] = u8::from((-980.0..-500.0).contains(&row[x]));
        }
    }
    let rim = ny / 8;
    for z in 0..ct.shape()[0] {
        let slice = lung.slice_mut(z);
        slice[..rim * nx].fill(0);
        slice[(ny - rim) * nx..].fill(0);
    }
    lung
}

/// Canonically the spine (most of the bone near the middle) lies behind the lungs. With the apices up, front and back
/// right and axes that are no mirror image, so are right and left.
#[track_caller]
fn lies_as_a_body(case: &str, ct: &Volume<f32>, lung: &LabelVolume, map: &AxisMap) {
    let [nz, ny, nx] = map.canonical_shape(ct.shape());
    let (mut grey, mut inside) = (vec![0f32; ny * nx], vec![0u8; ny * nx]);
    let (mut air, mut bone) = (Mean::default(), Mean::default());
    for z in nz / 4..3 * nz / 4 {
        map.read_slice(ct, z, &mut grey);
        map.read_slice(lung, z, &mut inside);
        for (i, hu) in grey.iter().enumerate() {
            if inside[i] != 0 {
                air.add(i / nx);
            } else if *hu > 250.0 && (nx / 3..2 * nx / 3).contains(&(i % nx)) {
                bone.add(i / nx);
            }
        }
    }
    let (spine, lungs) = (bone.value(), air.value());
    assert!(
        spine > lungs + ny as f64 / 20.0,
        "{case}: the spine ({spine:.0}) lies behind the lungs ({lungs:.0})"
    );
}

/// The mean of rows.
#[derive(Default)]
struct Mean {
    sum: f64,
    pixels: f64,
}

impl Mean {
    fn add(&mut self, row: usize) {
        self.sum += row as f64;
        self.pixels += 1.0;
    }

    fn value(&self) -> f64 {
        self.sum / self.pixels
    }
}
