//! Enhanced CT: one object whose frames are the slices. Values and places stand in `golden.rs`.

use crate::support::{codes, refusal, save, set};
use dicom_core::{DataElement, DicomValue, Tag, VR, value::PixelFragmentSequence};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{InMemDicomObject, open_file};
use gg_io::{ReadError, ReadOptions, Scan, read_ct};
use gg_volume::Warned;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Frames of the fixtures.
const FRAMES: usize = 5;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dicom_fixtures").join(name).join("a.dcm")
}

/// A folder with the object of a fixture, changed by `edit`.
fn edited(name: &str, edit: impl FnOnce(&mut InMemDicomObject)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = open_file(fixture(name)).unwrap();
    let syntax = file.meta().transfer_syntax().to_owned();
    let mut object = file.into_inner();
    edit(&mut object);
    save(&dir.path().join("ct.dcm"), object, &syntax);
    dir
}

/// Changes a group of a frame, or takes it away where `edit` says so.
fn in_frame(object: &mut InMemDicomObject, frame: usize, edit: impl FnOnce(&mut InMemDicomObject)) {
    let mut edit = Some(edit);
    object.update_value(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, |frames| {
        let edit = edit.take().unwrap();
        edit(&mut frames.items_mut().unwrap()[frame]);
    });
}

fn in_group(
    object: &mut InMemDicomObject,
    frame: usize,
    group: Tag,
    edit: impl FnOnce(&mut InMemDicomObject),
) {
    let mut edit = Some(edit);
    in_frame(object, frame, |groups| {
        groups.update_value(group, |items| {
            let edit = edit.take().unwrap();
            edit(&mut items.items_mut().unwrap()[0]);
        });
    });
}

fn read(dir: &TempDir) -> Result<Warned<Scan>, ReadError> {
    read_ct(dir.path(), &ReadOptions::default())
}

#[test]
fn a_file_by_itself_and_its_folder_are_one_scan_with_the_hash_of_the_file() {
    let file = fixture("enhanced");
    let alone = read_ct(&file, &ReadOptions::default()).unwrap();
    let folder = read_ct(file.parent().unwrap(), &ReadOptions::default()).unwrap();
    assert_eq!(alone, folder);
    assert_eq!(alone.value.sha256, gg_io::sha256_hex(&std::fs::read(&file).unwrap()));
    assert!(alone.value.slice_files.is_empty(), "a table of files says nothing of frames");
    assert_eq!(codes(&alone), Vec::<&str>::new());
}

#[test]
fn what_a_frame_was_made_from_is_not_taken_for_its_own() {
    // Positions, spacings and slopes stand in other sequences of every frame of the fixtures too.
    let read = read_ct(&fixture("enhanced"), &ReadOptions::default()).unwrap().value;
    assert_eq!(read.ct.grid.spacing_mm, Some([2.5, 0.75, 0.5]));
    // Names stand there too, and in nothing that is read.
    assert!(std::fs::read(fixture("enhanced")).unwrap().windows(6).any(|w| w == b"SECRET"));
    assert!(!format!("{read:?}").contains("SECRET"));
}

#[test]
fn two_objects_of_one_series_are_one_volume_and_two_series_need_a_choice() {
    let dir = tempfile::tempdir().unwrap();
    let object = || open_file(fixture("enhanced")).unwrap().into_inner();
    let mut above = object();
    for frame in 0..FRAMES {
        in_group(&mut above, frame, tags::PLANE_POSITION_SEQUENCE, |group| {
            let z: f64 = group.element(tags::IMAGE_POSITION_PATIENT).unwrap().to_multi_float64().unwrap()[2];
            set(group, tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("-5\\-6\\{}", z + 12.5));
        });
    }
    save(&dir.path().join("b.dcm"), object(), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    save(&dir.path().join("a.dcm"), above.clone(), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let both = read(&dir).unwrap().value;
    assert_eq!(both.ct.voxels.shape()[0], 2 * FRAMES);
    let lower = read_ct(&fixture("enhanced"), &ReadOptions::default()).unwrap().value;
    assert_eq!(both.ct.voxels.slice(0), lower.ct.voxels.slice(0));
    assert_eq!(both.ct.voxels.slice(FRAMES), lower.ct.voxels.slice(0));

    set(&mut above, tags::SERIES_INSTANCE_UID, VR::UI, "2.25.9");
    save(&dir.path().join("a.dcm"), above, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    assert!(matches!(read(&dir), Err(ReadError::SeveralSeries(table)) if table.len() == 2));
}

#[test]
fn frames_that_are_no_slices_are_left_out() {
    let dir = edited("enhanced_per_frame", |o| {
        // The frame that lies last.
        in_group(o, 2, tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, |group| {
            set(group, tags::FRAME_TYPE, VR::CS, "DERIVED\\PRIMARY\\VOLUME\\MAX_IP");
        });
    });
    let found = read(&dir).unwrap().value;
    assert_eq!(found.ct.voxels.shape()[0], FRAMES - 1);
    let [(_, words)] = &found.skipped[..] else { panic!("{:?}", found.skipped) };
    assert!(words.contains("maximum intensity projection"), "{words}");

    let all = edited("enhanced_per_frame", |o| {
        for frame in 0..FRAMES {
            in_group(o, frame, tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, |group| {
                set(group, tags::FRAME_TYPE, VR::CS, "DERIVED\\PRIMARY\\VOLUME\\MIN_IP");
            });
        }
    });
    assert!(refusal(read(&all)).contains("minimum intensity projection"));
}

#[test]
fn without_positions_nothing_is_known_of_the_place() {
    let dir = edited("enhanced", |o| {
        for frame in 0..FRAMES {
            in_frame(o, frame, |groups| {
                groups.remove_element(tags::PLANE_POSITION_SEQUENCE);
            });
        }
    });
    let read = read(&dir).unwrap();
    assert_eq!(read.value.ct.grid.affine, None);
    assert!(codes(&read).contains(&"no_position"), "{:?}", codes(&read));
}

#[test]
fn contradictions_are_refused() {
    let says = |dir: &TempDir, expected: &str| {
        let words = refusal(read(dir));
        assert!(words.contains(expected), "{words}");
    };
    let six = edited("enhanced", |o| set(o, tags::NUMBER_OF_FRAMES, VR::IS, "6"));
    says(&six, "it states 6 frames and describes 5");
    let none = edited("enhanced", |o| {
        o.remove_element(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    });
    says(&none, "many frames that does not say where each of them lies");
    let short = edited("enhanced", |o| {
        let bytes = o.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap().into_owned();
        let less = dicom_core::PrimitiveValue::U8(bytes[..bytes.len() - 2].into());
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OW, less));
    });
    says(&short, "shorter than its frames");
    let untold = edited("enhanced_fragments", |o| {
        let pixels = o.element(tags::PIXEL_DATA).unwrap().fragments().unwrap().to_vec();
        assert_eq!(pixels.len(), 2 * FRAMES);
        let value = DicomValue::PixelSequence(PixelFragmentSequence::new_fragments(pixels));
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
    });
    says(&untold, "which of its compressed fragments belong to which frame is not told");
    let twice = edited("enhanced", |o| {
        in_group(o, 0, tags::PLANE_POSITION_SEQUENCE, |group| {
            set(group, tags::IMAGE_POSITION_PATIENT, VR::DS, "-5\\-6\\100");
        });
    });
    says(&twice, "at one position");
}

#[test]
fn a_damaged_frame_is_left_out_and_its_place_is_told() {
    let dir = edited("enhanced_legacy", |o| {
        let mut pixels = o.element(tags::PIXEL_DATA).unwrap().fragments().unwrap().to_vec();
        pixels[0].truncate(40);
        let value = DicomValue::PixelSequence(PixelFragmentSequence::new_fragments(pixels));
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
    });
    // Frame 1 is slice 3.
    let read = read(&dir).unwrap();
    assert_eq!(read.value.ct.voxels.shape()[0], FRAMES - 1);
    let said = &read.warnings.iter().find(|w| w.code == "unreadable_files").unwrap().message;
    assert!(said.contains("its slice belongs"), "{said}");
}
