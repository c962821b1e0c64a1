//! Several data sets together.

use crate::fixtures::{Folder, SIDE, kaggle};
use gg_dataset::{Datasets, Part, Split};

fn pictures(volumes: &[(&str, Option<&str>)]) -> Folder {
    let folder = Folder::new();
    let mut table = String::from("file,volume,patient\n");
    for (i, (volume, patient)) in volumes.iter().enumerate() {
        folder.png(&format!("ct/{i}.png"), SIDE, SIDE, |y, x| (x + y) as u8);
        table.push_str(&format!("{i}.png,{volume},{}\n", patient.unwrap_or("")));
    }
    folder.text("slices.csv", &table);
    folder
}

/// Case and patient of all cases after joining.
fn joined(folders: &[&Folder]) -> (Vec<(String, String)>, Vec<String>) {
    let paths: Vec<_> = folders.iter().map(|f| f.root().to_owned()).collect();
    let sets = Datasets::open(&paths).map_err(|(_, e)| e).unwrap();
    let names = sets.value.cases().map(|c| (c.case_id.clone(), c.patient.clone())).collect();
    (names, sets.warnings.into_iter().map(|w| w.code).collect())
}

#[track_caller]
fn check(folders: &[&Folder], expected: &[(&str, &str)], code: &str) {
    let (names, codes) = joined(folders);
    let names: Vec<(&str, &str)> = names.iter().map(|(c, p)| (c.as_str(), p.as_str())).collect();
    assert_eq!(names, expected);
    assert!(code.is_empty() || codes.iter().any(|c| c == code), "{codes:?}");
}

#[test]
fn patients_of_equal_name_are_one_and_clashing_case_names_get_a_number() {
    let a = pictures(&[("v1", Some("p")), ("v2", Some("q"))]);
    let b = pictures(&[("v1", Some("p")), ("v3", Some("q"))]);
    check(&[&a, &b], &[("v1", "p"), ("v2", "q"), ("set2_v1", "p"), ("v3", "q")], "case_names_clash");
}

#[test]
fn a_scan_of_the_same_name_has_the_same_patient_whatever_a_table_leaves_out() {
    let known = pictures(&[("scan7", Some("p")), ("scan8", Some("p"))]);
    let unknown = pictures(&[("scan8", None), ("scan9", None)]);
    let expected = [("scan7", "p"), ("scan8", "p"), ("set2_scan8", "p"), ("scan9", "scan9")];
    check(&[&known, &unknown], &expected, "patients_joined");
}

#[test]
fn tables_that_name_the_patient_of_one_scan_differently_are_joined_with_a_warning() {
    let a = pictures(&[("scan7", Some("smith")), ("scan8", Some("x"))]);
    let b = pictures(&[("scan7", Some("p07"))]);
    check(&[&a, &b], &[("scan7", "p07"), ("scan8", "x"), ("set2_scan7", "p07")], "patients_joined");
}

#[test]
fn names_of_the_published_table_and_of_its_masks_are_the_same_scan() {
    let a = pictures(&[("coronacases_001", Some("p"))]);
    let b = pictures(&[("coronacases_org_001", None)]);
    check(&[&a, &b], &[("coronacases_001", "p"), ("coronacases_org_001", "p")], "patients_joined");
}

#[test]
fn the_files_of_a_case_give_it_other_names() {
    // The Kaggle fixture's masks are called mask_0.
    let a = kaggle(1, None);
    let b = pictures(&[("mask_0", Some("p"))]);
    check(&[&a, &b], &[("scan_0", "p"), ("mask_0", "p")], "patients_joined");
}

#[test]
fn numbers_are_counters_and_join_nothing() {
    let a = pictures(&[("0", None), ("1", None)]);
    let b = pictures(&[("0", None)]);
    check(&[&a, &b], &[("0", "0"), ("1", "1"), ("set2_0", "set2_0")], "case_names_clash");
}

#[test]
fn a_split_of_joined_sets_keeps_a_patient_on_one_side() {
    let a = pictures(&[("a1", Some("p")), ("a2", Some("q")), ("a3", Some("r"))]);
    let b = pictures(&[("b1", Some("p")), ("b2", Some("q"))]);
    let paths = [a.root().to_owned(), b.root().to_owned()];
    let sets = Datasets::open(&paths).map_err(|(_, e)| e).unwrap().value;
    let split = Split::by_patient(&sets.split_cases(), 3, 1).unwrap();
    for fold in 0..3 {
        let parts = split.parts(fold).unwrap();
        assert_eq!(parts.part_of("a1", 0), parts.part_of("b1", 0));
        assert_eq!(parts.part_of("a2", 0), parts.part_of("b2", 0));
    }
    let mut train_only = sets.clone();
    train_only.sets[1].cases.iter_mut().for_each(|c| c.part = Some(Part::Train));
    let split = Split::by_patient(&train_only.split_cases(), 2, 1);
    // The patients of the training set are no longer free, so one is left to deal.
    assert_eq!(
        split.unwrap_err().to_string(),
        "data set too small to split: found 1 patients, right would be at least 2"
    );
    assert_eq!(train_only.split_cases()[3].part, Some(Part::Train));
}
