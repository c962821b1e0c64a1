//! Refused: one sentence that says what was found and what would be right.

use crate::support::{SHAPE, Series, refusal, save, set, set_pixels, set_position, set_u16};
use dicom_core::{DataElement, DicomValue, VR, value::PixelFragmentSequence};
use dicom_dictionary_std::{tags, uids};
use gg_io::{ReadOptions, read_ct};
use std::fs;

const PIXELS: usize = SHAPE[1] * SHAPE[2];

/// Reads the series and compares the sentence, which must hold no path and no identifier.
#[track_caller]
fn check(series: &Series, expected: &str) {
    let words = refusal(series.read());
    assert!(words.contains(expected), "{words}");
    assert!(!words.contains("2.25.") && !words.contains(series.folder().to_str().unwrap()), "{words}");
}

#[test]
fn an_empty_folder() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refusal(read_ct(dir.path(), &ReadOptions::default())).starts_with("the folder is empty"));
}

#[test]
fn a_nifti_file_beside_the_slices_or_their_folder_is_told_wherever_its_name_stands() {
    for name in ["a.nii", "m.nii.gz", "z.NII.GZ"] {
        for beside in [true, false] {
            let series = Series::new();
            let root = if beside { series.folder() } else { series.dir.path().to_owned() };
            fs::write(root.join(name), "any content").unwrap();
            let words = refusal(read_ct(&root, &ReadOptions::default()));
            assert_eq!(words, "the folder holds NIfTI files beside DICOM files; name one of them", "{name}");
        }
    }
    // Deeper, hidden or no file at all: no volume that could be meant.
    let series = Series::new();
    for folder in ["masks", "zz.nii"] {
        fs::create_dir(series.folder().join(folder)).unwrap();
    }
    for name in ["masks/lung.nii.gz", ".a.nii", ".z.nii"] {
        fs::write(series.folder().join(name), "any content").unwrap();
    }
    assert_eq!(series.read().unwrap().value.ct.grid.shape, SHAPE);
}

#[test]
fn colour_is_refused_by_name() {
    let series = Series::edited(|_, o| set_u16(o, tags::SAMPLES_PER_PIXEL, 3));
    check(&series, "found colour images; groundglass reads CT");
}

#[test]
fn no_image_of_a_ct() {
    let series = Series::edited(|_, o| set(o, tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\LOCALIZER"));
    check(&series, "no CT image in 5 DICOM objects; the first is a localizer, not a slice");
    fs::write(series.folder().join("notes.txt"), "none of them is an object").unwrap();
    check(&series, "no CT image in 5 DICOM objects;");
    let series = Series::edited(|_, o| set(o, tags::SOP_CLASS_UID, VR::UI, uids::BASIC_TEXT_SR_STORAGE));
    check(&series, "no CT image in 5 DICOM objects; the first is a structured report, not a CT image");
    let series = Series::edited(|_, o| {
        o.remove_element(tags::PIXEL_DATA);
    });
    check(
        &series,
        "none of the 5 files could be read; the first: it has no pixel data; the file may be truncated",
    );
}

#[test]
fn projections_in_the_place_of_slices() {
    for (kind, name) in [
        ("DERIVED\\SECONDARY\\AXIAL\\MIP", "a maximum intensity projection (MIP)"),
        ("DERIVED\\SECONDARY\\AXIAL\\CSA MIP THICK", "a maximum intensity projection (MIP)"),
        ("DERIVED\\SECONDARY\\REFORMATTED\\MIN_IP", "a minimum intensity projection (MinIP)"),
        ("DERIVED\\PRIMARY\\MINIP", "a minimum intensity projection (MinIP)"),
        ("DERIVED\\SECONDARY\\PROJECTION IMAGE", "a PROJECTION IMAGE, as ImageType says"),
    ] {
        let series = Series::edited(|_, o| set(o, tags::IMAGE_TYPE, VR::CS, kind));
        check(
            &series,
            &format!("no CT slice: 5 projections, the first is {name}; right would be the slices"),
        );
    }
}

#[test]
fn slices_of_several_frames_of_reference() {
    let frames = |frame: fn(usize) -> &'static str| {
        Series::edited(|z, o| set(o, tags::FRAME_OF_REFERENCE_UID, VR::UI, frame(z)))
    };
    let mixed = frames(|z| if z < 3 { "2.25.7" } else { "2.25.8" });
    check(&mixed, "the slices of one series lie in 2 frames of reference");
    assert!(frames(|_| "2.25.7").read().is_ok());
    assert!(
        frames(|z| if z < 3 { "2.25.7" } else { "" }).read().is_ok(),
        "one that is not named contradicts none"
    );
}

#[test]
fn another_modality() {
    let series = Series::edited(|_, o| set(o, tags::MODALITY, VR::CS, "MR"));
    check(&series, "found MR images; groundglass reads CT");
    // A modality could hold anything; only the standard's words are repeated.
    let series = Series::edited(|_, o| set(o, tags::MODALITY, VR::CS, "SECRET"));
    check(&series, "found another modality images");
}

#[test]
fn a_gap_in_z() {
    let series = Series::new();
    fs::remove_file(series.file(2)).unwrap();
    check(
        &series,
        "the series has a gap: 5.000 mm between slices 1 and 2 (counted from 0) where 2.500 mm are usual, and no \
         unreadable file that belongs there; --allow-gaps",
    );
}

#[test]
fn a_file_that_belongs_elsewhere_does_not_explain_a_gap() {
    // Slice 1 is missing; the truncated file is the last one, as its header says.
    let series = Series::new();
    fs::remove_file(series.file(1)).unwrap();
    let bytes = fs::read(series.file(4)).unwrap();
    fs::write(series.file(4), &bytes[..bytes.len() - 10]).unwrap();
    check(&series, "the series has a gap");
    // A file without any header may have been the missing one.
    fs::write(series.file(4), vec![0xAB; bytes.len()]).unwrap();
    assert!(series.read().is_ok());
}

#[test]
fn a_damaged_file_of_another_series_does_not_explain_a_gap() {
    let series = Series::new();
    series.add("other", 2, |o| set(o, tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.4"));
    let other = series.folder().join("other");
    let bytes = fs::read(&other).unwrap();
    fs::write(&other, &bytes[..bytes.len() - 10]).unwrap();
    fs::remove_file(series.file(2)).unwrap();
    check(&series, "the series has a gap");
}

#[test]
fn a_text_file_does_not_explain_a_gap() {
    let series = Series::new();
    fs::remove_file(series.file(2)).unwrap();
    fs::write(series.folder().join("notes.txt"), "hello").unwrap();
    check(&series, "the series has a gap");
}

#[test]
fn two_different_slices_at_one_position() {
    let series = Series::new();
    series.add("other", 2, |o| set_pixels(o, &[5; PIXELS]));
    check(&series, "two different slices lie at one position (slice 2 along the normal, counted from 0)");
}

#[test]
fn unsupported_compression_by_its_name() {
    for (uid, name) in
        [(uids::MPEG4HP41, "MPEG video"), (uids::JPEGXL, "JPEG XL"), ("1.2.3.4", "a private transfer syntax")]
    {
        let series = Series::new();
        for z in 0..SHAPE[0] {
            let mut object = series.object(z);
            let fragments = PixelFragmentSequence::new_fragments(vec![vec![0xFF, 0xD8, 0xFF, 0xF7]]);
            object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, DicomValue::PixelSequence(fragments)));
            // The writer knows no private syntax: write as another and rename it in the bytes.
            let known = if uid == "1.2.3.4" { uids::JPEGXL } else { uid };
            save(&series.file(z), object, known);
            if uid == "1.2.3.4" {
                let mut bytes = fs::read(series.file(z)).unwrap();
                let at = bytes.windows(known.len()).position(|w| w == known.as_bytes()).unwrap();
                bytes[at..at + known.len()].fill(0);
                bytes[at..at + uid.len()].copy_from_slice(uid.as_bytes());
                fs::write(series.file(z), bytes).unwrap();
            }
        }
        check(&series, &format!("the images are compressed as {name}, which groundglass does not decode"));
    }
}

#[test]
fn twelve_bit_jpeg_by_its_name() {
    let series = Series::new();
    for z in 0..SHAPE[0] {
        let mut object = series.object(z);
        let [_, rows, columns] = SHAPE.map(|n| n as u8);
        let stream =
            vec![0xFF, 0xD8, 0xFF, 0xC1, 0, 11, 12, 0, rows, 0, columns, 1, 1, 0x11, 0, 0xFF, 0xD9, 0];
        let fragments = PixelFragmentSequence::new_fragments(vec![stream]);
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, DicomValue::PixelSequence(fragments)));
        save(&series.file(z), object, uids::JPEG_EXTENDED12_BIT);
    }
    check(&series, "the images are compressed as JPEG Extended with 12 bits");
}

#[test]
fn objects_of_many_frames_without_a_place_for_each() {
    let words = "the file is an object of many frames that does not say, in a form that is read, where each of them lies";
    check(
        &Series::edited(|_, o| set(o, tags::SOP_CLASS_UID, VR::UI, uids::ENHANCED_CT_IMAGE_STORAGE)),
        words,
    );
    check(&Series::edited(|_, o| set(o, tags::NUMBER_OF_FRAMES, VR::IS, "3")), words);
}

#[test]
fn spacing_that_is_none() {
    for (spacing, words) in [
        ("0\\0.5", "the spacing along y is 0 mm; it must be a positive number"),
        ("0.5\\-1", "the spacing along x is -1 mm; it must be a positive number"),
        ("nan\\1", "the spacing along y is NaN mm"),
        ("a\\b", "the spacing along y is NaN mm"),
    ] {
        check(&Series::edited(|_, o| set(o, tags::PIXEL_SPACING, VR::DS, spacing)), words);
    }
}

#[test]
fn directions_that_are_none() {
    for orientation in ["1\\0\\0\\1\\0\\0", "2\\0\\0\\0\\1\\0", "0\\0\\0\\0\\0\\0", "nan\\0\\0\\0\\1\\0"] {
        let series = Series::edited(|_, o| set(o, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, orientation));
        check(&series, "ImageOrientationPatient is no pair of perpendicular directions of length 1");
    }
}

#[test]
fn slices_without_any_order() {
    let series = Series::edited(|_, o| {
        o.remove_element(tags::IMAGE_POSITION_PATIENT);
        o.remove_element(tags::INSTANCE_NUMBER);
    });
    check(&series, "neither positions nor different numbers");
}

#[test]
fn a_header_that_lies_about_its_size() {
    let series = Series::edited(|_, o| set_u16(o, tags::ROWS, 30_000));
    let words = refusal(read_ct(&series.file(0), &ReadOptions::default()));
    assert_eq!(words, "the DICOM object cannot be used: its pixel data is shorter than rows x columns");
    let tight = ReadOptions { max_voxels: 1000, ..ReadOptions::default() };
    assert_eq!(refusal(series.read_with(&tight)), "the header claims 900000 voxels; at most 1000 are read");
}

#[test]
fn fields_that_contradict_each_other() {
    type Edit = fn(&mut dicom_object::InMemDicomObject);
    let edits: [(Edit, &str); 5] = [
        (|o| set_u16(o, tags::BITS_STORED, 17), "bits stored, high bit and bits allocated contradict"),
        (|o| set_u16(o, tags::BITS_ALLOCATED, 32), "it has 32 bits per pixel; 8 and 16 are read"),
        (|o| set_u16(o, tags::ROWS, 0), "it states no number of rows and columns"),
        (|o| set(o, tags::RESCALE_SLOPE, VR::DS, "0"), "its rescale slope is zero"),
        (|o| set(o, tags::RESCALE_INTERCEPT, VR::DS, "inf"), "rescale values are not numbers"),
    ];
    for (edit, words) in edits {
        check(&Series::edited(|_, o| edit(o)), words);
    }
}

#[test]
fn a_jpeg_ls_stream_of_another_size_or_with_restart_intervals() {
    let [_, rows, columns] = SHAPE.map(|n| n as u8);
    let scan = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0];
    for (rows, restart, words) in [
        (rows + 1, 0, "its JPEG-LS stream is 9 x 6, and its header says 8 x 6"),
        (
            rows,
            2,
            "the images are compressed as JPEG-LS with restart intervals, which groundglass does not decode",
        ),
    ] {
        let mut stream = vec![0xFF, 0xD8, 0xFF, 0xF7, 0, 11, 12, 0, rows, 0, columns, 1, 1, 0x11, 0];
        stream.extend([0xFF, 0xDD, 0, 4, 0, restart].into_iter().chain(scan));
        let series = Series::new();
        for z in 0..SHAPE[0] {
            let mut object = series.object(z);
            let fragments = PixelFragmentSequence::new_fragments(vec![stream.clone()]);
            object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, DicomValue::PixelSequence(fragments)));
            save(&series.file(z), object, uids::JPEGLS_LOSSLESS);
        }
        check(&series, words);
    }
}

#[test]
fn a_jpeg_2000_stream_of_another_size() {
    // SOC, SIZ of 9 x 9 where the header says 8 x 6.
    let mut stream = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0];
    for word in [9_u32, 9, 0, 0, 9, 9, 0, 0] {
        stream.extend_from_slice(&word.to_be_bytes());
    }
    stream.extend_from_slice(&[0, 1, 15, 1, 1, 0]);
    let series = Series::new();
    let mut object = series.object(0);
    let fragments = PixelFragmentSequence::new_fragments(vec![stream]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, DicomValue::PixelSequence(fragments)));
    save(&series.file(0), object, uids::JPEG2000_LOSSLESS);
    let words = refusal(read_ct(&series.file(0), &ReadOptions::default()));
    assert!(words.ends_with("its JPEG 2000 stream is 9 x 9, and its header says 8 x 6"), "{words}");
}

#[test]
fn a_truncated_file_alone() {
    let series = Series::new();
    let bytes = fs::read(series.file(0)).unwrap();
    for length in [140, 300, 600, bytes.len() - 4] {
        fs::write(series.file(0), &bytes[..length]).unwrap();
        let words = refusal(read_ct(&series.file(0), &ReadOptions::default()));
        assert!(words.starts_with("the DICOM object cannot be used: it"), "{length}: {words}");
    }
}

#[test]
fn one_spoilt_position_does_not_invent_a_place() {
    // It is left out as an unreadable one would be: the others lie where they say, and nothing is measured across the gap.
    let series = Series::new();
    series.edit(1, |o| set(o, tags::IMAGE_POSITION_PATIENT, VR::DS, "a\\b\\c"));
    let read = series.read().unwrap();
    assert_eq!(read.value.ct.voxels.shape()[0], SHAPE[0] - 1);
    assert_eq!(read.value.ct.grid.trusted_spacing_mm(), None);
    let [(_, words)] = &read.value.skipped[..] else { panic!("{:?}", read.value.skipped) };
    assert!(words.starts_with("it does not say where it lies"), "{words}");
    // Also where what is left is evenly spaced.
    for without in [&[0][..], &[4], &[1, 3]] {
        let series = Series::edited(|z, o| {
            if without.contains(&z) {
                o.remove_element(tags::IMAGE_POSITION_PATIENT);
            }
        });
        let read = series.read().unwrap();
        assert_eq!(read.value.ct.voxels.shape()[0], SHAPE[0] - without.len());
        assert_eq!(read.value.ct.grid.trusted_spacing_mm(), None, "{without:?}");
        let said = &read.warnings.iter().find(|w| w.code == "slices_without_place").unwrap().message;
        let right = match without.len() {
            1 => "1 slice does not say where it lies, as the others do, and was left out",
            _ => "2 slices do not say where they lie, as the others do, and were left out",
        };
        assert!(said.starts_with(right), "{said}");
    }
    // Where half of them say nothing, the order is that of their numbers, without any place.
    let half = Series::edited(|z, o| {
        if z > 1 {
            set(o, tags::IMAGE_POSITION_PATIENT, VR::DS, "a\\b\\c");
        }
    });
    let half = half.read().unwrap();
    assert_eq!((half.value.ct.voxels.shape()[0], half.value.ct.grid.affine), (SHAPE[0], None));
    let said = &half.warnings.iter().find(|w| w.code == "no_position").unwrap().message;
    assert!(
        said.starts_with("3 slices state no position or orientation; all are in the order of their numbers"),
        "{said}"
    );
    series.edit(1, |o| set_position(o, [-10.0, -20.0, 1e300]));
    assert!(series.read().is_err());
}

#[test]
fn maps_of_another_quantity() {
    for (value, words) in [
        ("Z_EFF", "a map of effective atomic numbers"),
        ("ED", "a map of electron density"),
        ("edw ", "a map of electron density"),
        ("MGML", "a map of a material's concentration"),
        ("OD", "a map of optical density"),
        ("PCT", "a map in per cent"),
    ] {
        check(&Series::edited(|_, o| set(o, tags::RESCALE_TYPE, VR::LO, value)), words);
    }
    for value in ["HU", "US", "HU_MOD", "hounsfield units", ""] {
        assert!(Series::edited(|_, o| set(o, tags::RESCALE_TYPE, VR::LO, value)).read().is_ok(), "{value}");
    }
}

#[test]
fn slices_of_two_patients_in_one_series() {
    let series =
        Series::edited(|z, o| set(o, tags::PATIENT_ID, VR::LO, if z < 3 { "ALPHA" } else { "OMEGA" }));
    let words = refusal(series.read());
    assert!(words.contains("one series carry 2 different patient ids"), "{words}");
    assert!(!words.contains("ALPHA") && !words.contains("OMEGA"), "{words}");
    // One id, padded or absent in some files, is one person.
    let series = Series::edited(|z, o| match z {
        0 => drop(o.remove_element(tags::PATIENT_ID)),
        1 => set(o, tags::PATIENT_ID, VR::LO, "ALPHA "),
        _ => set(o, tags::PATIENT_ID, VR::LO, "ALPHA"),
    });
    assert!(series.read().is_ok());
}

#[test]
fn more_rows_and_columns_than_any_file_holds_are_refused_however_often_a_position_repeats() {
    let series = Series::edited(|z, o| {
        set_u16(o, tags::ROWS, u16::MAX);
        set_u16(o, tags::COLUMNS, u16::MAX);
        if z > 2 {
            set_position(o, [-10.0, -20.0, 30.0]);
        }
    });
    check(&series, "found 5 slices of 65535 x 65535 pixels, right would be at most 32767 along each axis");
    let series = Series::edited(|_, o| {
        set_u16(o, tags::ROWS, 32767);
        set_u16(o, tags::COLUMNS, 32767);
        set_position(o, [-10.0, -20.0, 30.0]);
    });
    let options = ReadOptions { max_voxels: 1 << 20, ..ReadOptions::default() };
    let words = refusal(series.read_with(&options));
    assert!(words.contains("the header claims 1073676289 voxels; at most 1048576 are read"), "{words}");
}
