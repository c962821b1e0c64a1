//! Enhanced CT: one object whose frames are the slices. Values and places stand in `golden.rs`.

use crate::support::{codes, refusal, save, set, set_u16};
use dicom_core::{DataElement, DicomValue, Tag, VR, value::DataSetSequence, value::PixelFragmentSequence};
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

/// Changes the groups of a frame.
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

/// Says of the last frame in place, or of all, how it was made.
fn made(all: bool, tag: Tag, value: &str) -> TempDir {
    edited("enhanced_per_frame", |o| {
        for frame in if all { 0..FRAMES } else { 2..3 } {
            in_group(o, frame, tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, |group| set(group, tag, VR::CS, value));
        }
    })
}

#[test]
fn frames_that_are_no_slices_are_left_out() {
    let technique = tags::VOLUME_BASED_CALCULATION_TECHNIQUE;
    for (tag, value, words) in [
        (technique, "MAX_IP", "a maximum intensity projection (MIP), not a slice"),
        (technique, "MIN_IP", "a minimum intensity projection (MinIP), not a slice"),
        (technique, "VOLUME_RENDER", "a rendered view, not a CT image"),
        (technique, "CURVED_MPR", "a curved reformat, whose pixels lie in no plane, not a CT image"),
        (
            tags::FRAME_TYPE,
            "DERIVED\\PRIMARY\\VOLUME\\MINIMUM",
            "a minimum intensity projection (MinIP), not a slice",
        ),
        (tags::FRAME_TYPE, "DERIVED\\PRIMARY\\LOCALIZER\\NONE", "a localizer, not a slice"),
        (
            tags::FRAME_TYPE,
            "DERIVED\\PRIMARY\\PERFUSION\\RCBV",
            "a picture calculated out of others, as its frame type says, not a CT image",
        ),
        (
            tags::FRAME_TYPE,
            "DERIVED\\PRIMARY\\VOLUME\\SUBTRACTION",
            "a picture calculated out of others, as its frame type says, not a CT image",
        ),
    ] {
        let found = read(&made(false, tag, value)).unwrap().value;
        assert_eq!(found.ct.voxels.shape()[0], FRAMES - 1, "{value}");
        let [(_, said)] = &found.skipped[..] else { panic!("{:?}", found.skipped) };
        assert_eq!(*said, format!("frame 3 of it: {words}"));
        let refused = refusal(read(&made(true, tag, value)));
        assert!(refused.contains(words.trim_end_matches(", not a slice")), "{refused}");
        assert!(!refused.contains(" 5 "), "one object, not five: {refused}");
    }
    for (tag, value) in
        [(technique, "MPR"), (technique, "MIXED"), (tags::FRAME_TYPE, "DERIVED\\PRIMARY\\VOLUME\\RESAMPLED")]
    {
        assert_eq!(read(&made(true, tag, value)).unwrap().value.ct.voxels.shape()[0], FRAMES, "{value}");
    }
}

#[test]
fn frames_that_are_left_out_for_different_reasons_are_told_apart() {
    let dir = edited("enhanced_per_frame", |o| {
        for frame in 0..FRAMES {
            in_group(o, frame, tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, |group| {
                let value = if frame < 2 { "MAX_IP" } else { "MIN_IP" };
                set(group, tags::VOLUME_BASED_CALCULATION_TECHNIQUE, VR::CS, value);
            });
        }
    });
    let refused = refusal(read(&dir));
    assert!(refused.starts_with("no CT slice: 2 projections, the first is a maximum"), "{refused}");
}

#[test]
fn an_object_that_ends_before_its_pixels_is_damaged() {
    let dir = edited("enhanced", |o| {
        o.remove_element(tags::PIXEL_DATA);
    });
    let refused = refusal(read(&dir));
    assert!(refused.contains("it has no pixel data; the file may be truncated"), "{refused}");
}

#[test]
fn maps_of_another_quantity_are_no_ct() {
    for (value, words) in [("MGML", "a material's concentration"), ("Z_EFF", "effective atomic numbers")] {
        let dir = edited("enhanced_per_frame", |o| {
            for frame in 0..FRAMES {
                in_group(o, frame, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, |group| {
                    set(group, tags::RESCALE_TYPE, VR::LO, value);
                });
            }
        });
        let refused = refusal(read(&dir));
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn what_a_frame_says_counts_before_what_all_share_and_that_before_the_object() {
    let dir = edited("enhanced_per_frame", |o| {
        let wrong =
            || InMemDicomObject::from_element_iter([DataElement::new(tags::PIXEL_SPACING, VR::DS, "9\\9")]);
        let shared = InMemDicomObject::from_element_iter([DataElement::new(
            tags::PIXEL_MEASURES_SEQUENCE,
            VR::SQ,
            DataSetSequence::from(vec![wrong()]),
        )]);
        o.put(DataElement::new(
            tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
            VR::SQ,
            DataSetSequence::from(vec![shared]),
        ));
        set(o, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "0\\1\\0\\1\\0\\0");
    });
    let right = read_ct(&fixture("enhanced_per_frame"), &ReadOptions::default()).unwrap().value;
    assert_eq!(read(&dir).unwrap().value.ct, right.ct);

    let dir = edited("enhanced", |o| set(o, tags::PIXEL_SPACING, VR::DS, "9\\9"));
    assert_eq!(read(&dir).unwrap().value.ct.grid.spacing_mm, Some([2.5, 0.75, 0.5]));
}

#[test]
fn one_frame_may_lie_in_several_fragments_without_a_table() {
    let dir = edited("enhanced_fragments", |o| {
        set(o, tags::NUMBER_OF_FRAMES, VR::IS, "1");
        o.update_value(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, |frames| {
            frames.items_mut().unwrap().truncate(1);
        });
        let pixels = o.element(tags::PIXEL_DATA).unwrap().fragments().unwrap()[..2].to_vec();
        let value = DicomValue::PixelSequence(PixelFragmentSequence::new_fragments(pixels));
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
    });
    let whole = read_ct(&fixture("enhanced_fragments"), &ReadOptions::default()).unwrap().value;
    // The first frame is the fourth slice.
    assert_eq!(read(&dir).unwrap().value.ct.voxels.slice(0), whole.ct.voxels.slice(3));
}

#[test]
fn copies_of_an_object_have_one_hash_whatever_they_are_called() {
    let hashes = ["a.dcm", "b.dcm"].map(|name| {
        let dir = tempfile::tempdir().unwrap();
        let other = if name == "a.dcm" { "b.dcm" } else { "a.dcm" };
        std::fs::copy(fixture("enhanced"), dir.path().join(name)).unwrap();
        let mut copy = open_file(fixture("enhanced")).unwrap().into_inner();
        set(&mut copy, tags::SOP_INSTANCE_UID, VR::UI, "2.25.77");
        save(&dir.path().join(other), copy, uids::EXPLICIT_VR_LITTLE_ENDIAN);
        let found = read(&dir).unwrap().value;
        let [(_, words)] = &found.skipped[..] else { panic!("{:?}", found.skipped) };
        assert_eq!(words, "5 of its frames: the same slice once more");
        found.sha256
    });
    assert_eq!(hashes[0], hashes[1]);
}

#[test]
fn a_frame_without_a_position_is_as_lost_as_a_damaged_one() {
    let dir = edited("enhanced", |o| {
        // Frame 4 is slice 1.
        in_frame(o, 3, |groups| {
            groups.remove_element(tags::PLANE_POSITION_SEQUENCE);
        });
    });
    let read = read(&dir).unwrap();
    let whole = read_ct(&fixture("enhanced"), &ReadOptions::default()).unwrap().value;
    assert_eq!(read.value.ct.voxels.slice(0), whole.ct.voxels.slice(0));
    assert_eq!(read.value.ct.voxels.slice(1), whole.ct.voxels.slice(2));
    assert!(codes(&read).contains(&"gap_in_z"), "{:?}", codes(&read));
    assert!(!codes(&read).contains(&"unreadable_files"), "it was read");
    assert_eq!(read.value.ct.grid.trusted_spacing_mm(), None);
    let words = "frame 4 of it: it does not say where it lies, as the others of its series do";
    assert_eq!(read.value.skipped[0].1, words);
}

#[test]
fn the_frames_of_a_cut_object_explain_the_gap_that_they_leave() {
    // Slices 0, 1, .. 4 of one object below, 10 to 14 of one above, and the one between them is cut in its pixels.
    let moved = |by: f64| {
        let mut object = open_file(fixture("enhanced")).unwrap().into_inner();
        for frame in 0..FRAMES {
            in_group(&mut object, frame, tags::PLANE_POSITION_SEQUENCE, |group| {
                let z: f64 =
                    group.element(tags::IMAGE_POSITION_PATIENT).unwrap().to_multi_float64().unwrap()[2];
                set(group, tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("-5\\-6\\{}", z + by));
            });
        }
        object
    };
    let dir = tempfile::tempdir().unwrap();
    for (name, by) in [("a.dcm", 0.0), ("b.dcm", 12.5), ("c.dcm", 25.0)] {
        save(&dir.path().join(name), moved(by), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    }
    let middle = dir.path().join("b.dcm");
    let bytes = std::fs::read(&middle).unwrap();
    std::fs::write(&middle, &bytes[..bytes.len() - 1000]).unwrap();
    let read = read(&dir).unwrap();
    assert_eq!(read.value.ct.voxels.shape()[0], 2 * FRAMES);
    let said = |code: &str| &read.warnings.iter().find(|w| w.code == code).unwrap().message;
    assert!(said("gap_in_z").starts_with("about 5 slices are missing"), "{}", said("gap_in_z"));
    let right = "5 frames could not be read and were left out; their slices belong between slices 4 and 5 (counted from 0)";
    assert_eq!(said("unreadable_files"), right);
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
    let said = &read.warnings.iter().find(|w| w.code == "no_position").unwrap().message;
    assert!(said.contains("all are in the order in which they are stored"), "{said}");
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
    says(&none, "many frames that does not say, in a form that is read, where each of them lies");
    let short = edited("enhanced", |o| {
        let bytes = o.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap().into_owned();
        let less = dicom_core::PrimitiveValue::U8(bytes[..bytes.len() - 2].into());
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OW, less));
    });
    says(&short, "shorter than its frames");
    let long = edited("enhanced", |o| {
        let mut bytes = o.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap().into_owned();
        bytes.resize(bytes.len() / FRAMES * (FRAMES + 1), 0);
        let more = dicom_core::PrimitiveValue::U8(bytes.into());
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OW, more));
    });
    says(&long, "holds more frames than it describes");
    let few = edited("enhanced_legacy", |o| {
        let pixels = o.element(tags::PIXEL_DATA).unwrap().fragments().unwrap()[..3].to_vec();
        let value = DicomValue::PixelSequence(PixelFragmentSequence::new_fragments(pixels));
        o.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
    });
    says(&few, "it holds 3 compressed fragments for 5 frames; it may be truncated");
    let wide = edited("enhanced", |o| set_u16(o, tags::BITS_ALLOCATED, 32));
    says(&wide, "it has 32 bits per pixel");
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
    let phases = edited("enhanced", |o| {
        for frame in 0..4 {
            in_group(o, frame, tags::PLANE_POSITION_SEQUENCE, |group| {
                set(group, tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("-5\\-6\\{}", 100 + frame / 2));
            });
        }
    });
    says(
        &phases,
        "and several slices lie at 1 other position too: right would be one time point or reconstruction",
    );
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
    let right = "one frame could not be read and was left out; its slice belongs between slices 2 and 3 (counted from 0)";
    assert_eq!(said, right);
}
