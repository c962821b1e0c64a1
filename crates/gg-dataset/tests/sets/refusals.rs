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
    check(&folder, "1 of 2 CTs have no mask of the same name in labelsTr (the first: `b`)");
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
    slices("file,volume\n0.png,b\n1.png,../a\n", "the case `../a` has a name that no folder can have");
    slices("file,volume\n0.png,a\tb\n", "the case `a\\tb` has a name that no folder can have");
    slices("file,volume\n0.png,a\n1.png,a\n", "the slices differ in size");
    let labels = |table: &str, expected: &str| check(&with("labels.csv", table), expected);
    labels(
        "case,class,file,slice_has_infection\na,c,ct/0.png,2\n",
        "right would be 0, 1 or nothing (unknown)",
    );
    labels(
        "case,class,file,slice_has_infection\na,c,ct/0.png,0\na,d,ct/1.png,0\n",
        "its class, patient or fold differs",
    );
    // Another patient, and one that the first row does not name.
    for first in ["p", ""] {
        let rows = format!("a,ct/0.png,0,{first}\na,ct/1.png,0,q\n");
        let table = format!("case,file,slice_has_infection,patient\n{rows}");
        labels(&table, "line 3: its class, patient or fold differs");
    }
    labels("file,covid\nct/0.png,1\nct/0.png,1\n", "case `0` stands twice");
    labels("file,covid,split\nct/0.png,1,later\n", "another word than train, val or test");
}

/// Two letters that UTF-8 does not know would else become one sign, and two patients one.
#[test]
fn tables_in_another_encoding_than_utf8_are_refused_with_the_line() {
    for (name, rows) in [
        ("metadata.csv", "ct_scan,patient\nct/0.png,Zoe\nct/1.png,M\u{fc}ller\n"),
        ("slices.csv", "file,volume,patient\n0.png,a,Zoe\n1.png,b,M\u{f6}ller\n"),
        ("labels.csv", "file,covid,patient\nct/0.png,1,Zoe\nct/1.png,0,M\u{fc}ller\n"),
        ("labels.csv", "case,file,slice_has_infection,patient\na,ct/0.png,1,Zoe\nb,ct/1.png,0,M\u{fc}ller\n"),
    ] {
        let folder = Folder::new();
        for i in 0..2 {
            folder.png(&format!("ct/{i}.png"), SIDE, SIDE, |y, x| (y * 5 + x + i) as u8);
        }
        let table = |bytes: Vec<u8>| std::fs::write(folder.at(name), bytes).unwrap();
        table(rows.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect());
        let right = "right would be the table saved as UTF-8";
        check(
            &folder,
            &format!("{name}, line 3: the encoding is not UTF-8 but another one, such as Latin-1; {right}"),
        );
        let utf16 = std::iter::once(0xfeff).chain(rows.encode_utf16());
        table(utf16.flat_map(u16::to_le_bytes).collect());
        check(&folder, &format!("{name}: the encoding is UTF-16, not UTF-8; {right}"));
        for mark in ["", "\u{feff}"] {
            table(format!("{mark}{rows}").into_bytes());
            let set = Dataset::open(folder.root()).unwrap().value;
            let patients: Vec<&str> = set.cases.iter().map(|c| c.patient.as_str()).collect();
            assert!(patients[0] == "Zoe" && patients[1].ends_with("ller"), "{patients:?}");
            assert!(!patients[1].contains(char::REPLACEMENT_CHARACTER), "{patients:?}");
        }
    }
}

#[test]
fn a_result_of_analyze_is_named_and_a_data_set_beside_such_a_file_is_read() {
    let folder = kaggle(1, None);
    folder.text("analysis.json", r#"{"case_id": "case-001", "input": {"sha256": "52d6"}}"#);
    assert!(Dataset::open(folder.root()).is_ok());
    std::fs::remove_file(folder.root().join("metadata.csv")).unwrap();
    for slices in ["", "slice,stored_index,kept\n0,0,true\n"] {
        folder.text("slices.csv", slices);
        check(&folder, "it is a result of `analyze` and no data set");
    }
    folder.text("analysis.json", "{}");
    check(&folder, "slices.csv, line 1: found the columns slice, stored_index, kept");
}

#[test]
fn a_ct_without_its_mask_is_refused_and_a_mask_without_ct_is_remarked() {
    let folder = Folder::new();
    folder.ct("ct/a.nii", 3);
    folder.ct("ct/b.nii", 3);
    folder.labels("lung_mask/a.nii", &lungs(3));
    check(
        &folder,
        "1 of 2 CTs have no mask of the same name in lung_mask (the first: `b`), right would be one for each",
    );
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
