//! Data sets that are refused, each with one clear sentence and without a path.

use crate::fixtures::{Folder, SIDE, kaggle, lungs, mask};
use gg_dataset::Dataset;
use gg_io::ReadOptions;

/// Opens the data set and reads all its cases; the error must hold `expected` and no path.
#[track_caller]
fn check(folder: &Folder, expected: &str) {
    let error = match Dataset::open(folder.root()) {
        Err(e) => e,
        Ok(set) => {
            let set = set.value;
            set.cases.iter().find_map(|c| set.load(c, &ReadOptions::default()).err()).expect("a refusal")
        }
    };
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(e) = source {
        text = format!("{text}: {e}");
        source = e.source();
    }
    assert!(text.contains(expected), "{text}");
    assert!(!text.contains(&folder.root().to_string_lossy().into_owned()), "{text}");
}

#[test]
fn a_folder_of_no_layout_names_all_layouts() {
    let folder = Folder::new();
    for layout in ["Kaggle", "nnU-Net raw", "slice table", "DICOM table", "picture table", "folder pairs"] {
        check(&folder, layout);
    }
    let missing = Dataset::open(&folder.root().join("nowhere")).unwrap_err();
    assert!(missing.to_string().contains("no folder"));
}

#[test]
fn a_missing_file_is_named_by_its_row_and_column() {
    let folder = kaggle(2, None);
    std::fs::remove_file(folder.root().join("lung_mask/mask_1.nii")).unwrap();
    check(&folder, "metadata.csv, line 3: the file in the column lung_mask is missing");
}

#[test]
fn a_mask_of_another_shape_than_its_ct_is_refused() {
    let folder = kaggle(1, None);
    folder.labels("lung_mask/mask_0.nii", &lungs(5));
    check(&folder, "has the shape [5, 48, 48] (z, y, x), right would be [6, 48, 48] as its CT");
}

#[test]
fn labels_unknown_to_the_layout_are_refused() {
    let folder = kaggle(1, None);
    folder.labels("lung_mask/mask_0.nii", &mask(6, |z, _, _| if z == 2 { 4 } else { 0 }));
    check(&folder, "the lung mask of case `scan_0` holds the label 4, right would be 0, 1, 2");
    let folder = kaggle(1, None);
    folder.labels("infection_mask/mask_0.nii", &mask(6, |z, _, _| u8::from(z == 2) * 2));
    check(&folder, "holds the label 2, right would be 0, 1");
}

#[test]
fn several_channels_and_cts_without_labels_are_refused() {
    let json = r#"{"labels": {"background": 0, "lung": 1}, "channel_names": {"0": "CT"}}"#;
    let folder = Folder::new();
    folder.text("dataset.json", json);
    folder.text("labelsTr/a.nii", "");
    folder.text("imagesTr/a_0000.nii", "");
    folder.text("imagesTr/a_0001.nii", "");
    check(&folder, "found 2 channels per case, right would be 1");
    let folder = Folder::new();
    folder.text("dataset.json", &json.replace(r#""0": "CT""#, r#""0": "CT", "1": "PET""#));
    folder.text("labelsTr/a.nii", "");
    folder.text("imagesTr/a_0000.nii", "");
    check(&folder, "found 2 channels");
    folder.text("dataset.json", json);
    folder.text("imagesTr/b_0000.nii", "");
    check(&folder, "1 of 2 CTs have no mask of the same name in labelsTr");
    folder.text("dataset.json", &json.replace("lung", "spleen"));
    check(&folder, "`spleen`");
    folder.text("dataset.json", "{");
    check(&folder, "dataset.json");
}

#[test]
fn tables_that_contradict_themselves_are_refused() {
    let with = |name: &str, table: &str| {
        let folder = Folder::new();
        for i in 0..2 {
            for part in ["ct", "lung_mask"] {
                folder.png(&format!("{part}/{i}.png"), SIDE, SIDE - i, |_, _| 0);
            }
        }
        folder.text(name, table);
        folder
    };
    let slices = |table: &str, expected: &str| check(&with("slices.csv", table), expected);
    slices("file,volume,patient\n0.png,a,p\n1.png,a,q\n", "line 3: its patient or fold differs");
    slices("file,volume,fold\n0.png,a,x\n", "the column fold holds no whole number");
    slices("file,volume\n2.png,a\n", "line 2: its picture is missing from the folder ct");
    slices("file\n0.png\n", "right would be one called volume too");
    slices("file,volume\n", "found no row below the header");
    slices("file,volume\n0.png\n", "the row does not have one cell for each column");
    slices("file,volume\n0.png,../a\n", "a case has a name that no folder can have");
    slices("file,volume\n0.png,a\n1.png,a\n", "the slices differ in size");
    let labels = |table: &str, expected: &str| check(&with("labels.csv", table), expected);
    labels(
        "case,class,file,slice_has_infection\na,c,ct/0.png,2\n",
        "right would be 0, 1 or nothing (unknown)",
    );
    labels(
        "case,class,file,slice_has_infection\na,c,ct/0.png,0\na,d,ct/1.png,0\n",
        "its class or fold differs",
    );
    labels("file,covid\nct/0.png,1\nct/0.png,1\n", "case `0` stands twice");
    labels("file,covid,split\nct/0.png,1,later\n", "another word than train, val or test");
}

#[test]
fn a_ct_without_its_mask_is_refused_and_a_mask_without_ct_is_remarked() {
    let folder = Folder::new();
    folder.ct("ct/a.nii", 3);
    folder.ct("ct/b.nii", 3);
    folder.labels("lung_mask/a.nii", &lungs(3));
    check(&folder, "1 of 2 CTs have no mask of the same name in lung_mask");
    folder.labels("lung_mask/b.nii", &lungs(3));
    folder.labels("lung_mask/c.nii", &lungs(3));
    let opened = Dataset::open(folder.root()).unwrap();
    assert_eq!(opened.warnings[0].code, "mask_without_ct");
}

#[test]
fn a_damaged_volume_is_named_by_its_case() {
    let folder = kaggle(2, None);
    folder.text("ct_scans/scan_1.nii", "this is no volume");
    check(&folder, "the CT of case `scan_1`");
}
