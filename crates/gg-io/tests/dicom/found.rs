//! Which files make a series: folders, names, missing marks, other objects.

use crate::support::{SHAPE, Series, codes, refusal, set, set_u16, volume};
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use gg_io::{ReadOptions, inspect, read_ct, read_ct_files};
use std::fs;

#[test]
fn a_written_series_reads_back_voxel_by_voxel() {
    let read = Series::new().read().unwrap();
    let expected = volume(SHAPE);
    assert_eq!(read.value.ct.voxels, expected.voxels);
    assert_eq!(read.value.ct.grid, expected.grid);
    assert_eq!(read.value.slice_files, [0, 1, 2, 3, 4]);
    assert!(read.value.skipped.is_empty());
}

#[test]
fn nested_folders_and_names_without_extension_change_nothing() {
    let series = Series::new();
    let plain = series.read().unwrap().value;
    let deep = series.folder().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    for (z, name) in [(0, "IM0009"), (1, "IM0003"), (2, "1.2.840.9"), (3, "z"), (4, "A")] {
        fs::rename(series.file(z), deep.join(name)).unwrap();
    }
    let moved = series.read().unwrap().value;
    assert_eq!(moved.ct, plain.ct);
    assert_eq!(moved.sha256, plain.sha256);
    assert_ne!(moved.slice_files, plain.slice_files);
}

#[test]
fn files_without_preamble_or_header_are_read() {
    let series = Series::new();
    let plain = series.read().unwrap().value.ct;
    for z in 0..SHAPE[0] {
        let bytes = fs::read(series.file(z)).unwrap();
        let object = series.object(z);
        let mut bare = Vec::new();
        use dicom_transfer_syntax_registry::entries;
        match z {
            0 => bare.extend_from_slice(&bytes[128..]), // DICM, but no preamble
            1 => bare.extend_from_slice(&bytes[132..]), // neither
            2 => {
                object.write_dataset_with_ts(&mut bare, &entries::IMPLICIT_VR_LITTLE_ENDIAN.erased()).unwrap()
            }
            3 => {
                object.write_dataset_with_ts(&mut bare, &entries::EXPLICIT_VR_LITTLE_ENDIAN.erased()).unwrap()
            }
            _ => bare = bytes,
        }
        fs::write(series.file(z), bare).unwrap();
    }
    let read = series.read().unwrap().value.ct;
    assert_eq!(read.voxels, plain.voxels);
    assert_eq!(read.grid, plain.grid);
}

#[test]
fn a_list_of_files_is_put_in_order_by_position() {
    let series = Series::new();
    let files: Vec<_> = [3, 0, 4, 1, 2].map(|z| series.file(z)).to_vec();
    let read = read_ct_files(&files, &ReadOptions::default()).unwrap().value;
    assert_eq!(read.slice_files, [1, 3, 4, 0, 2]);
    assert_eq!(read.ct.voxels, volume(SHAPE).voxels);
}

#[test]
fn a_single_file_is_a_scan_of_one_slice() {
    let series = Series::new();
    let read = read_ct(&series.file(2), &ReadOptions::default()).unwrap();
    assert_eq!(read.value.ct.grid.shape, [1, 8, 6]);
    assert_eq!(read.value.ct.grid.spacing_mm, None);
    assert_eq!(read.value.ct.grid.orientation().unwrap().to_string(), "LPS");
    assert!(read.value.ct.grid.voxel_ml().is_err());
    assert!(codes(&read).contains(&"one_slice"));
    // As NIfTI its header agrees with itself.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slice.nii");
    gg_io::write_ct_nifti(&path, &read.value.ct).unwrap();
    let again = read_ct(&path, &ReadOptions::default()).unwrap();
    let odd: Vec<&str> = codes(&again).into_iter().filter(|c| c.contains("disagree")).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[test]
fn localizers_and_other_objects_are_left_out_and_listed() {
    let series = Series::new();
    let plain = series.read().unwrap().value.ct;
    series.add("scout.dcm", 0, |o| set(o, tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\LOCALIZER"));
    series.add("report.dcm", 0, |o| {
        set(o, tags::SOP_CLASS_UID, VR::UI, uids::BASIC_TEXT_SR_STORAGE);
        set(o, tags::MODALITY, VR::CS, "SR");
        o.remove_element(tags::PIXEL_DATA);
    });
    series
        .add("screen.dcm", 0, |o| set(o, tags::SOP_CLASS_UID, VR::UI, uids::SECONDARY_CAPTURE_IMAGE_STORAGE));
    series.add("mask.dcm", 0, |o| set(o, tags::SOP_CLASS_UID, VR::UI, uids::SEGMENTATION_STORAGE));
    series.add("mr.dcm", 0, |o| {
        set(o, tags::SOP_CLASS_UID, VR::UI, uids::MR_IMAGE_STORAGE);
        set(o, tags::MODALITY, VR::CS, "MR");
    });
    series.add("raw.dcm", 0, |o| {
        set(o, tags::SOP_CLASS_UID, VR::UI, uids::RAW_DATA_STORAGE);
        o.remove_element(tags::PIXEL_DATA);
    });
    series.add("DICOMDIR", 0, |o| set(o, tags::SOP_CLASS_UID, VR::UI, uids::MEDIA_STORAGE_DIRECTORY_STORAGE));
    fs::write(series.folder().join("notes.txt"), "hello").unwrap();
    let read = series.read().unwrap();
    assert_eq!(read.value.ct, plain);
    let mut reasons: Vec<_> = read.value.skipped.iter().map(|(_, why)| why.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "a DICOMDIR, not a CT image",
            "a localizer, not a slice",
            "a secondary capture (picture of a screen), not a CT image",
            "a segmentation, not a CT image",
            "a structured report, not a CT image",
            "an object of another kind, not a CT image",
            "found MR, CT expected",
            "not DICOM",
        ]
    );
    assert!(read.warnings.iter().all(|w| w.code != "unreadable_files"), "{:?}", read.warnings);
}

#[test]
fn one_of_several_series_is_chosen_by_its_number_in_the_table() {
    let series = Series::new();
    for z in 0..3 {
        series.add(&format!("other-{z}"), z, |o| {
            set(o, tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.4");
            set(o, tags::SERIES_NUMBER, VR::IS, "2");
        });
    }
    let words = refusal(series.read());
    assert_eq!(
        words,
        "there are 2 CT series; choose one with --series:\n  1: 5 slices of 8 x 6, 2.500 mm apart\n  \
         2: 3 slices of 8 x 6, 2.500 mm apart"
    );
    for (choice, slices) in [("1", 5), ("2", 3)] {
        let options = ReadOptions { series: Some(choice.to_owned()), ..ReadOptions::default() };
        assert_eq!(series.read_with(&options).unwrap().value.ct.grid.shape[0], slices);
    }
    let none = ReadOptions { series: Some("3".to_owned()), ..ReadOptions::default() };
    assert!(refusal(series.read_with(&none)).starts_with("there is no series `3`; choose one of:"));
}

#[test]
fn a_series_whose_slices_differ_in_size_direction_or_spacing_is_several() {
    let edits: [fn(&mut dicom_object::InMemDicomObject); 3] = [
        |o| {
            set_u16(o, tags::ROWS, 4);
            set_u16(o, tags::COLUMNS, 12);
        },
        |o| set(o, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\0\\-1"),
        |o| set(o, tags::PIXEL_SPACING, VR::DS, "1\\1"),
    ];
    for edit in edits {
        let series = Series::new();
        series.add("odd", 1, edit);
        assert!(refusal(series.read()).starts_with("there are 2 CT series"));
    }
}

#[test]
fn inspect_lists_series_and_oddities() {
    let series = Series::new();
    let one = inspect(&series.folder(), &ReadOptions::default()).unwrap();
    assert_eq!((one.series.len(), one.series[0].slices, one.series[0].size), (1, 5, [8, 6]));
    assert_eq!(one.series[0].pixel_spacing_mm, Some([0.75, 0.5]));
    assert_eq!(one.series[0].slice_spacing_mm, Some(2.5));
    assert_eq!(one.series[0].transfer_syntax, "uncompressed, explicit VR little endian");
    for z in 0..3 {
        series.add(&format!("other-{z}"), z, |o| set(o, tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.4"));
    }
    let two = inspect(&series.folder(), &ReadOptions::default()).unwrap();
    assert_eq!(two.series.len(), 2);
    assert!(two.volume.is_none());
    assert!(two.oddities.iter().any(|o| o.code == "several_series"), "{:?}", two.oddities);
}

#[test]
fn explicit_data_under_an_implicit_name_is_recognised() {
    let series = Series::new();
    let bytes = fs::read(series.file(0)).unwrap();
    let (explicit, implicit) = (b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0");
    let at = bytes.windows(explicit.len()).position(|w| w == explicit).unwrap();
    let mut lying = bytes;
    lying[at..at + implicit.len()].copy_from_slice(implicit);
    fs::write(series.file(0), lying).unwrap();
    assert_eq!(series.read().unwrap().value.ct.voxels, volume(SHAPE).voxels);
}
