//! Real CT, where it is present: the kind of grey values and the orientation of every set.

use crate::run::groundglass;
use gg_testkit::real_data;

#[test]
fn the_kind_of_grey_values_of_every_set_is_recognised() {
    let Some(data) = real_data("the kind of grey values") else { return };
    for (set, right) in [
        ("covid20", "contrast_8bit"),
        ("medseg", "lung_window_8bit"),
        ("hu_dicom", "hu"),
        ("lungs2d", "hu"),
        ("lungs3d", "hu"),
    ] {
        let path = data.join(set);
        let ran = groundglass(&["inspect", path.to_str().unwrap(), "--json"]).ok();
        let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        for case in answer["cases_read"].as_array().unwrap() {
            assert_eq!(case["intensity"]["kind"], right, "{set}: {}", case["case_id"]);
        }
    }
}

#[test]
fn infection_lies_inside_the_lung_in_every_set_that_has_both() {
    let Some(data) = real_data("infection inside lung") else { return };
    for set in ["covid20", "medseg"] {
        let opened = gg_dataset::Dataset::open(&data.join(set)).unwrap().value;
        for case in &opened.cases {
            let loaded = opened.load(case, &gg_io::ReadOptions::default()).unwrap();
            let (lung, infection) = (loaded.lung.unwrap(), loaded.infection.unwrap());
            let all = infection.count_foreground();
            let inside =
                lung.data().iter().zip(infection.data()).filter(|&(&l, &i)| l != 0 && i != 0).count();
            let share = inside as f64 / all as f64;
            assert!(
                all > 0 && share > 0.9,
                "{set}: {}: {share:.3} of the infection is in the lung",
                case.case_id
            );
        }
    }
}
