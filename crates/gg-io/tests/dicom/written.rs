//! The writer: valid files, the same bytes each time, no invented patient.

use crate::support::{SHAPE, volume};
use dicom_dictionary_std::tags;
use dicom_object::open_file;
use gg_io::{DicomText, ReadOptions, WriteError, read_ct, write_dicom_series};
use gg_volume::{Affine, Intensity, IntensityKind};
use std::fs;

#[test]
fn the_same_volume_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("deeper/b"));
    for folder in [&a, &b] {
        write_dicom_series(folder, &volume(SHAPE), &DicomText::default()).unwrap();
    }
    let names = |folder| {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&a).len(), SHAPE[0]);
    for name in names(&a) {
        assert_eq!(fs::read(a.join(&name)).unwrap(), fs::read(b.join(&name)).unwrap());
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing temporary stays");
}

#[test]
fn every_slice_has_its_own_uid_and_all_share_the_series() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("series");
    write_dicom_series(&folder, &volume(SHAPE), &DicomText::default()).unwrap();
    let (mut series, mut instances) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(&folder).unwrap() {
        let object = open_file(entry.unwrap().path()).unwrap();
        let text = |tag| object.element(tag).unwrap().to_str().unwrap().into_owned();
        series.push(text(tags::SERIES_INSTANCE_UID));
        instances.push(text(tags::SOP_INSTANCE_UID));
        assert_eq!(text(tags::SOP_INSTANCE_UID), object.meta().media_storage_sop_instance_uid());
        assert!(
            text(tags::SOP_INSTANCE_UID).len() <= 64 && text(tags::SOP_INSTANCE_UID).starts_with("2.25.")
        );
        assert_eq!(text(tags::PATIENT_NAME), "");
    }
    series.dedup();
    instances.sort();
    instances.dedup();
    assert_eq!((series.len(), instances.len()), (1, SHAPE[0]));
}

#[test]
fn sheared_and_oblique_geometry_survives() {
    let dir = tempfile::tempdir().unwrap();
    let mut ct = volume(SHAPE);
    let affine =
        Affine::new([[0.3, 0.4, 0.0], [0.0, 0.0, -0.7], [-1.2, 0.9, 0.3]], [1.0 / 3.0, -200.125, 7.0])
            .unwrap();
    ct.grid.affine = Some(affine);
    let folder = dir.path().join("s");
    write_dicom_series(&folder, &ct, &DicomText::default()).unwrap();
    let read = read_ct(&folder, &ReadOptions::default()).unwrap().value.ct;
    let found = read.grid.affine.unwrap();
    for (f, e) in found.columns().iter().flatten().zip(affine.columns().iter().flatten()) {
        assert!((f - e).abs() < 1e-9, "{found:?}");
    }
    assert_eq!(read.voxels, ct.voxels);
}

#[test]
fn markers_in_every_text_reach_no_scan() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("QQMARKERQQ");
    write_dicom_series(&folder, &volume(SHAPE), &DicomText::marked("QQMARKERQQ")).unwrap();
    let bytes = fs::read(folder.join("QQMARKERQQ-0001.dcm")).unwrap();
    assert!(bytes.windows(10).filter(|w| w == b"QQMARKERQQ").count() >= 15, "the markers are in the file");
    let read = read_ct(&folder, &ReadOptions::default()).unwrap();
    assert!(!format!("{read:?}").contains("QQMARKERQQ"));
    let mut seen = gg_io::inspect(&folder, &ReadOptions::default()).unwrap();
    seen.series_folders.clear(); // for stderr, and not serialised
    assert!(!format!("{seen:?}").contains("QQMARKERQQ"));
    fs::remove_file(folder.join("QQMARKERQQ-0003.dcm")).unwrap();
    let refused = read_ct(&folder, &ReadOptions::default()).unwrap_err();
    assert!(!format!("{refused:?} {refused}").contains("QQMARKERQQ"));
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut no_place = volume(SHAPE);
    no_place.grid.affine = None;
    let mut grey = volume(SHAPE);
    grey.intensity = Intensity::stated(IntensityKind::LungWindow8bit);
    let mut huge = volume(SHAPE);
    huge.voxels.data_mut()[100] = 40_000.0;
    let mut nan = volume(SHAPE);
    nan.voxels.data_mut()[100] = f32::NAN;
    for ct in [no_place, grey, huge, nan] {
        let refused = write_dicom_series(&dir.path().join("out"), &ct, &DicomText::default());
        assert!(matches!(refused, Err(WriteError::Unfit(_))), "{refused:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_folder_with_files_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine.txt"), "x").unwrap();
    let refused = write_dicom_series(dir.path(), &volume(SHAPE), &DicomText::default());
    assert!(matches!(refused, Err(WriteError::Unfit(_))), "{refused:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
