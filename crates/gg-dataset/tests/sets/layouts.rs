//! Every layout, from its files to masks of 0 and 1.

use crate::fixtures::{Folder, SIDE, ct, infected, kaggle, lungs, mask, side_of};
use gg_dataset::{Dataset, Layout, LoadedCase, Part};
use gg_io::{DicomText, ReadOptions};
use gg_volume::{LabelVolume, Volume};

fn open(folder: &Folder, layout: Layout) -> Dataset {
    let set = Dataset::open(folder.root()).unwrap().value;
    assert_eq!(set.layout, layout);
    set
}

fn load(set: &Dataset, case: &str) -> LoadedCase {
    let case = set.cases.iter().find(|c| c.case_id == case).expect("the case");
    set.load(case, &ReadOptions::default()).unwrap()
}

fn binary(labels: &LabelVolume) -> LabelVolume {
    labels.map(|v| u8::from(v != 0))
}

fn codes(warnings: &[gg_volume::Warning]) -> Vec<&str> {
    warnings.iter().map(|w| w.code.as_str()).collect()
}

#[test]
fn kaggle_paths_are_resolved_by_their_ends_and_lungs_of_two_labels_are_one_mask() {
    let folder = kaggle(3, Some(&[0, 1, 1]));
    let opened = Dataset::open(folder.root()).unwrap();
    assert!(opened.warnings.is_empty());
    let set = open(&folder, Layout::Kaggle);
    assert_eq!(set.cases.iter().map(|c| c.patient.as_str()).collect::<Vec<_>>(), ["p0", "p1", "p1"]);
    let case = load(&set, "scan_0");
    assert_eq!(case.lung, Some(binary(&lungs(6))));
    assert_eq!(case.infection.unwrap().count_foreground(), 2 * 16);
    let truth = [false, false, false, false, true, true].map(Some);
    assert_eq!(case.slice_infected, Some(truth.to_vec()));
    let summary = set.summary();
    assert_eq!((summary.cases, summary.patients, summary.with_lung_mask), (3, Some(2), 3));
    assert_eq!(summary.with_infection_mask, 3);
}

#[test]
fn a_table_can_be_named_instead_of_its_folder() {
    let folder = kaggle(1, None);
    let set = Dataset::open(&folder.root().join("metadata.csv")).unwrap();
    assert_eq!(set.value.cases.len(), 1);
    assert_eq!(codes(&set.warnings), ["patients_unknown"]);
    assert_eq!(set.value.cases[0].patient, "scan_0");
}

#[test]
fn cases_whose_patient_is_not_named_are_told_from_a_table_that_names_none() {
    let folder = kaggle(5, None);
    let plain = std::fs::read_to_string(folder.root().join("metadata.csv")).unwrap();
    let told = |patients: [&str; 5]| {
        let rows = plain.lines().zip(std::iter::once("patient").chain(patients));
        let table: Vec<String> = rows.map(|(line, patient)| format!("{line},{patient}\n")).collect();
        folder.text("metadata.csv", &table.concat());
        let warnings = Dataset::open(folder.root()).unwrap().warnings;
        warnings.iter().map(|w| w.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(["A", "A", "B", "B", "C"]), Vec::<String>::new());
    assert_eq!(
        told(["", "A", "A", "A", "B"]),
        ["1 of 5 cases names no patient: it is taken for a patient of its own"]
    );
    assert_eq!(
        told(["A", "", "B", "", ""]),
        ["3 of 5 cases name no patient: each is taken for a patient of its own"]
    );
    let none = told([""; 5]);
    assert!(none.len() == 1 && none[0].starts_with("the data set does not say which cases"), "{none:?}");
    let seven = kaggle(7, Some(&[0, 1, 2, 3, 4, 5, 6]));
    let table = std::fs::read_to_string(seven.root().join("metadata.csv")).unwrap();
    let nameless = (0..6).fold(table, |table, i| table.replace(&format!(",p{i}\n"), ",\n"));
    seven.text("metadata.csv", &nameless);
    let warnings = Dataset::open(seven.root()).unwrap().warnings;
    assert!(warnings[0].message.starts_with("6 of 7 cases name no patient: each "), "{warnings:?}");
}

#[test]
fn lungs_that_are_empty_although_infected_are_remarked_on() {
    let folder = kaggle(3, Some(&[0, 1, 2]));
    let nothing = |slices: usize| mask(slices, |_, _, _| 0);
    folder.labels("lung_mask/mask_0.nii", &nothing(6));
    folder.labels("lung_mask/mask_1.nii", &nothing(7));
    folder.labels("infection_mask/mask_1.nii", &nothing(7));
    let set = open(&folder, Layout::Kaggle);
    let remarks = |name: &str| {
        let case = load(&set, name);
        let found = case.warnings.iter().filter(|w| w.code == LoadedCase::LUNGS_EMPTY);
        found.map(|w| w.message.clone()).collect::<Vec<_>>()
    };
    let told = remarks("scan_0");
    assert!(
        told.len() == 1 && told[0].starts_with("the lung mask is empty, but there is infection"),
        "{told:?}"
    );
    assert!(remarks("scan_1").is_empty(), "neither is there");
    assert!(remarks("scan_2").is_empty());
}

#[test]
fn a_combined_mask_gives_what_has_no_mask_of_its_own() {
    let folder = Folder::new();
    folder.ct("ct_scans/a.nii.gz", 5);
    let combined = mask(5, |z, y, x| if infected(z, y, x, 3) { 3 } else { side_of(y, x) });
    folder.labels("both/a.nii.gz", &combined);
    folder.text(
        "metadata.csv",
        "ct_scan,lung_mask,infection_mask,lung_and_infection_mask\nct_scans/a.nii,,,both/a.nii\n",
    );
    let case = load(&open(&folder, Layout::Kaggle), "a");
    // Infection is inside the lung even though its label is not a lung's.
    assert_eq!(case.lung, Some(binary(&combined)));
    assert_eq!(case.infection, Some(combined.map(|v| u8::from(v == 3))));
}

#[test]
fn nnunet_labels_are_read_by_name() {
    let folder = Folder::new();
    for name in ["lung_001", "lung_002"] {
        folder.ct(&format!("imagesTr/{name}_0000.nii.gz"), 5);
        let labels = mask(5, |z, y, x| if infected(z, y, x, 2) { 7 } else { side_of(y, x) });
        folder.labels(&format!("labelsTr/{name}.nii.gz"), &labels);
    }
    folder.text(
        "dataset.json",
        r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "left lung": 1, "right lung": 2, "infection": 7},
            "numTraining": 2, "file_ending": ".nii.gz"}"#,
    );
    let set = open(&folder, Layout::NnUnet);
    assert_eq!(set.cases.len(), 2);
    let case = load(&set, "lung_002");
    assert_eq!(case.infection.as_ref().unwrap().count_foreground(), 3 * 16);
    assert_eq!(case.lung.unwrap().count_foreground(), lungs(5).count_foreground());
}

fn slice_table(rows: &str) -> Folder {
    let folder = Folder::new();
    for i in 0..5 {
        folder.png(&format!("ct/{i}.png"), SIDE, SIDE, |y, x| (y * 5 + x + i * 9) as u8);
        folder.png(&format!("lung_mask/{i}.png"), SIDE, SIDE, |y, x| side_of(y, x) * 100);
        folder
            .png(&format!("infection_mask/{i}.png"), SIDE, SIDE, |y, x| u8::from(infected(i, y, x, 4)) * 255);
    }
    folder.text("slices.csv", rows);
    folder
}

#[test]
fn slices_are_grouped_by_volume_in_the_order_of_the_table() {
    let rows =
        "file,volume,patient,source,fold\n4.png,b,p,s,1\n0.png,a,q,s,0\n1.png,a,q,s,0\n3.png,b,p,s,1\n";
    let set = open(&slice_table(rows), Layout::SliceTable);
    let of = |i: usize| (set.cases[i].case_id.as_str(), set.cases[i].patient.as_str(), set.cases[i].fold);
    assert_eq!((of(0), of(1)), (("b", "p", Some(1)), ("a", "q", Some(0))));
    assert_eq!((set.summary().slices, set.summary().folds[&1]), (Some(4), 1));
    let folder = slice_table(rows);
    let set = open(&folder, Layout::SliceTable);
    let case = load(&set, "b");
    assert_eq!(case.scan.ct.voxels.at(0, 0, 1), 37.0); // picture 4 comes first
    assert_eq!(case.slice_infected, Some(vec![Some(true), Some(false)]));
    assert_eq!(case.lung.unwrap().slice(0), binary(&lungs(1)).data());
}

#[test]
fn labels_of_dicom_files_follow_their_slices_and_nothing_is_not_zero() {
    let folder = Folder::new();
    gg_io::write_dicom_series(&folder.at("P1"), &ct(6), &DicomText::default()).unwrap();
    let mut files: Vec<String> = std::fs::read_dir(folder.root().join("P1"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let labels = ["0", "", "1", "0", "1", ""];
    let mut rows: Vec<String> =
        files.iter().zip(labels).map(|(f, l)| format!("P1,covid,P1/{f},{l}\n")).collect();
    rows.swap(0, 4);
    rows.swap(1, 3);
    folder.text("labels.csv", &format!("case,class,file,slice_has_infection\n{}", rows.concat()));
    let set = open(&folder, Layout::DicomTable);
    assert_eq!(set.summary().slice_labels, Some([2, 2, 2]));
    assert_eq!(set.cases[0].class.as_deref(), Some("covid"));
    let case = load(&set, "P1");
    let expected = vec![Some(false), None, Some(true), Some(false), Some(true), None];
    assert_eq!(case.slice_infected, Some(expected));
    assert_eq!(case.scan.ct.voxels.at(5, 10, 5), 45.0); // the last slice is the one nearest the head
}

#[test]
fn pictures_of_a_table_are_cases_with_a_label_and_an_official_part() {
    let folder = Folder::new();
    for name in ["train/a", "train/b", "val/c"] {
        folder.png(&format!("{name}.png"), 30, 40, |y, x| (y * 3 + x) as u8);
    }
    folder
        .text("labels.csv", "file,covid,split\ntrain/a.png,1,train\ntrain/b.png,0,train\nval/c.png,1,val\n");
    let set = open(&folder, Layout::PictureTable);
    assert_eq!(
        set.cases.iter().map(|c| c.part).collect::<Vec<_>>(),
        [Some(Part::Train), Some(Part::Train), Some(Part::Val)]
    );
    assert_eq!(load(&set, "b").slice_infected, Some(vec![Some(false)]));
    assert_eq!(load(&set, "c").slice_infected, Some(vec![Some(true)]));
}

#[test]
fn folders_side_by_side_are_matched_by_name_whatever_the_extension() {
    let folder = Folder::new();
    for i in 0..2 {
        let grey =
            image::GrayImage::from_fn(SIDE as u32, SIDE as u32, |x, y| image::Luma([(x * 2 + y) as u8]));
        grey.save(folder.at(&format!("image/{i}.jpg"))).unwrap();
        folder
            .png(&format!("infection_mask/{i}.png"), SIDE, SIDE, |y, x| u8::from(infected(0, y, x, i)) * 255);
    }
    let set = open(&folder, Layout::FolderPairs);
    assert_eq!(load(&set, "0").infection.unwrap().count_foreground(), 16);
    assert_eq!(load(&set, "1").slice_infected, Some(vec![Some(false)]));
    assert!(!set.cases[0].has_lung());
}

#[test]
fn a_resampled_mask_is_cut_at_127_with_a_warning() {
    let folder = Folder::new();
    folder.ct("ct/a.nii", 3);
    let soft = |z: usize, y: usize, x: usize| f32::from(side_of(y, x).min(1)) * 250.0 - 20.0 + z as f32 * 0.5;
    let n = SIDE * SIDE;
    let values = (0..3 * n).map(|i| soft(i / n, i % n / SIDE, i % SIDE)).collect();
    let mut grey = ct(3);
    grey.voxels = Volume::from_vec([3, SIDE, SIDE], values).unwrap();
    gg_io::write_ct_nifti(&folder.at("lung_mask/a.nii"), &grey).unwrap();
    let case = load(&open(&folder, Layout::FolderPairs), "a");
    assert_eq!(case.lung, Some(binary(&lungs(3))));
    assert!(codes(&case.warnings).contains(&"mask_resampled"));
}

#[test]
fn a_mask_stored_along_other_axes_is_turned_onto_its_ct() {
    let folder = Folder::new();
    folder.ct("ct/a.nii", 4);
    let truth = mask(4, |z, y, x| u8::from(z == 3 && side_of(y, x) == 1));
    // The same mask, stored from head to feet.
    let stored = mask(4, |z, y, x| truth.at(3 - z, y, x));
    let mut grid = crate::fixtures::grid(stored.shape());
    let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -2.0]];
    grid.affine = Some(gg_volume::Affine::new(columns, [-20.0, -20.0, 11.0]).unwrap());
    gg_io::write_labels_nifti(&folder.at("lung_mask/a.nii"), &stored, &grid).unwrap();
    let case = load(&open(&folder, Layout::FolderPairs), "a");
    assert_eq!(case.lung, Some(truth));
    assert!(codes(&case.warnings).contains(&"mask_turned"));
}
