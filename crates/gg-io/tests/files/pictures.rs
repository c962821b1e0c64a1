//! Slices as pictures.

use crate::raw::codes;
use gg_io::{Format, ReadOptions, inspect, read_ct, read_ct_files, read_labels, read_labels_files};
use gg_volume::SpacingTrust;
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage};
use std::path::{Path, PathBuf};

fn slice(seed: u32) -> GrayImage {
    GrayImage::from_fn(6, 4, |x, y| Luma([(seed * 31 + x * 7 + y * 13) as u8]))
}

fn folder(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (i, name) in names.iter().enumerate() {
        slice(i as u32).save(dir.path().join(name)).unwrap();
    }
    dir
}

fn error(path: &Path) -> String {
    read_ct(path, &ReadOptions::default()).unwrap_err().to_string()
}

#[test]
fn a_folder_is_read_in_the_order_in_which_people_count() {
    let dir = folder(&["slice_10.png", "slice_9.png", "slice_1.png"]);
    let read = read_ct(dir.path(), &ReadOptions::default()).unwrap().value;
    assert_eq!(read.format, Format::SlicePictures);
    assert_eq!(read.ct.voxels.shape(), [3, 4, 6]);
    let first: Vec<f32> = (0..3).map(|z| read.ct.voxels.at(z, 0, 0)).collect();
    assert_eq!(first, [62.0, 31.0, 0.0]);
    assert_eq!(read.ct.grid.affine, None);
    assert!(matches!(read.ct.grid.trust, SpacingTrust::Untrusted(_)));
}

#[test]
fn an_explicit_list_keeps_its_order() {
    let dir = folder(&["a.png", "b.png"]);
    let paths: Vec<PathBuf> = ["b.png", "a.png"].iter().map(|n| dir.path().join(n)).collect();
    let read = read_ct_files(&paths, &ReadOptions::default()).unwrap().value;
    assert_eq!(read.ct.voxels.at(0, 0, 0), 31.0);
    let backwards: Vec<PathBuf> = paths.into_iter().rev().collect();
    assert_ne!(read_ct_files(&backwards, &ReadOptions::default()).unwrap().value.sha256, read.sha256);
}

#[test]
fn eight_and_sixteen_bit_png_and_tiff_keep_their_values() {
    let dir = tempfile::tempdir().unwrap();
    let deep = ImageBuffer::<Luma<u16>, Vec<u16>>::from_fn(5, 3, |x, y| Luma([(x * 9000 + y * 300) as u16]));
    let expected: Vec<f32> = deep.iter().map(|&v| f32::from(v)).collect();
    for name in ["deep.png", "deep.tif"] {
        let path = dir.path().join(name);
        deep.save(&path).unwrap();
        let ct = read_ct(&path, &ReadOptions::default()).unwrap().value.ct;
        assert_eq!((ct.voxels.shape(), ct.voxels.data()), ([1, 3, 5], &expected[..]), "{name}");
        assert_eq!(
            inspect(&path, &ReadOptions::default()).unwrap().stored.as_deref(),
            Some("uint16, 1 channel")
        );
    }
    let path = dir.path().join("grey.jpg");
    GrayImage::from_pixel(16, 16, Luma([99])).save(&path).unwrap();
    assert_eq!(read_ct(&path, &ReadOptions::default()).unwrap().value.ct.voxels.at(0, 8, 8), 99.0);
}

#[test]
fn grey_in_three_channels_is_grey_and_colour_is_luminance_with_a_remark() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slice.png");
    let grey = slice(3);
    DynamicImage::ImageLuma8(grey.clone()).to_rgb8().save(&path).unwrap();
    let read = read_ct(&path, &ReadOptions::default()).unwrap();
    let expected: Vec<f32> = grey.iter().map(|&v| f32::from(v)).collect();
    assert_eq!(read.value.ct.voxels.data(), expected);
    assert!(!codes(&read).contains(&"coloured_slice"));
    RgbImage::from_pixel(6, 4, Rgb([255, 0, 0])).save(&path).unwrap();
    let read = read_ct(&path, &ReadOptions::default()).unwrap();
    assert_eq!(read.value.ct.voxels.at(0, 0, 0), 76.0);
    assert!(codes(&read).contains(&"coloured_slice"));
}

#[test]
fn one_unreadable_slice_among_many_is_left_out_with_a_remark() {
    let dir = folder(&["1.png", "2.png", "3.png"]);
    std::fs::write(dir.path().join("2.png"), b"broken").unwrap();
    std::fs::write(dir.path().join("notes.txt"), b"mine").unwrap();
    let read = read_ct(dir.path(), &ReadOptions::default()).unwrap();
    assert_eq!(read.value.ct.voxels.shape(), [2, 4, 6]);
    assert_eq!(read.value.slice_files, [0, 2]);
    assert_eq!(read.value.skipped.len(), 2);
    let warning = read.warnings.iter().find(|w| w.code == "unreadable_files").unwrap();
    assert!(warning.message.starts_with("1 of 3 slices could not be read"), "{}", warning.message);
    assert!(!warning.message.contains("2.png"), "no file name in a remark");
}

#[test]
fn a_truncated_picture_is_refused() {
    let dir = folder(&["1.png"]);
    let path = dir.path().join("1.png");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(error(&path).contains("cannot be decoded"), "{}", error(&path));
}

#[test]
fn folders_that_are_no_ct_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(error(dir.path()).contains("the folder is empty"));
    std::fs::write(dir.path().join(".hidden"), b"x").unwrap();
    assert!(error(dir.path()).contains("the folder is empty"));
    std::fs::write(dir.path().join("notes.txt"), b"x").unwrap();
    assert!(error(dir.path()).contains("none of the folder's 1 files is a CT"));
    std::fs::write(dir.path().join("1.png"), b"x").unwrap();
    std::fs::write(dir.path().join("2.png"), b"x").unwrap();
    assert!(error(dir.path()).contains("none of the 2 files could be read"));
    assert!(
        error(&dir.path().join("nothing.nii")) == "cannot be read: there is no such file or folder",
        "{}",
        error(&dir.path().join("x"))
    );
}

#[test]
fn slices_of_different_sizes_are_refused() {
    let dir = folder(&["1.png", "2.png"]);
    GrayImage::new(7, 4).save(dir.path().join("3.png")).unwrap();
    assert!(error(dir.path()).contains("differ in size: [4, 6] and [4, 7]"));
}

#[test]
fn several_nifti_files_in_a_folder_need_a_choice_and_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = crate::raw::Raw::new().bytes();
    std::fs::write(dir.path().join("a.nii"), &bytes).unwrap();
    assert_eq!(read_ct(dir.path(), &ReadOptions::default()).unwrap().value.format, Format::Nifti);
    std::fs::write(dir.path().join("b.nii"), &bytes).unwrap();
    assert_eq!(error(dir.path()), "the folder holds 2 NIfTI files; name one of them");
    let list = ["a.nii", "b.nii"].map(|n| dir.path().join(n));
    assert!(read_ct_files(&list, &ReadOptions::default()).unwrap_err().to_string().contains("2 NIfTI files"));
}

#[test]
fn pictures_of_several_scans_in_one_folder_are_refused() {
    let dir = folder(&["anna_1.png", "anna_2.png", "berta_1.png", "berta_2.png", "berta_3.png"]);
    let words = error(dir.path());
    assert!(words.contains("those of 2 series (of 2, 3 pictures)"), "{words}");
    assert!(!words.contains("anna"), "a name may be a patient's: {words}");
    let dir = folder(&["1.png", "01.png", "2.png"]);
    assert!(
        error(dir.path()).contains("two of the 3 pictures have the same number"),
        "{}",
        error(dir.path())
    );
}

#[test]
fn skipped_numbers_of_pictures_are_remarked_on() {
    let dir = folder(&["s1.png", "s2.png", "s3.png", "s6.png", "s7.png"]);
    let read = read_ct(dir.path(), &ReadOptions::default()).unwrap();
    assert!(codes(&read).contains(&"numbers_skip"), "{:?}", read.warnings);
    let seen = inspect(dir.path(), &ReadOptions::default()).unwrap();
    assert!(seen.oddities.iter().any(|o| o.code == "numbers_skip" && o.message.contains("after slice 2")));
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_entered_is_not_called_empty() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read_dir(&closed).is_ok() {
        eprintln!("skipped: this user may enter every folder");
        return;
    }
    assert_eq!(error(&closed), "cannot be read: this user has no permission for it");
}

#[test]
fn masks_as_pictures_keep_their_stored_values() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..3).map(|i| dir.path().join(format!("{i}.png"))).collect();
    for (i, path) in paths.iter().enumerate() {
        GrayImage::from_pixel(3, 2, Luma([[0, 2, 255][i]])).save(path).unwrap();
    }
    let (labels, _) = read_labels_files(&paths, &ReadOptions::default()).unwrap().value;
    assert_eq!([labels.at(0, 0, 0), labels.at(1, 0, 0), labels.at(2, 1, 2)], [0, 2, 255]);
    assert_eq!(read_labels(dir.path(), &ReadOptions::default()).unwrap().value.0, labels);
    // A mask cannot do without a slice.
    std::fs::write(&paths[1], b"broken").unwrap();
    assert!(read_labels_files(&paths, &ReadOptions::default()).is_err());
    // 16-bit values that are no labels.
    ImageBuffer::<Luma<u16>, Vec<u16>>::from_pixel(3, 2, Luma([300])).save(&paths[0]).unwrap();
    assert!(
        read_labels(&paths[0], &ReadOptions::default()).unwrap_err().to_string().contains("the value 300;")
    );
}

#[test]
fn a_picture_that_claims_to_be_huge_is_refused() {
    // A PNG header of 60,000 x 60,000 16-bit pixels, without pixels.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.png");
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(60_000u32.to_be_bytes());
    bytes.extend(60_000u32.to_be_bytes());
    bytes.extend([16, 0, 0, 0, 0]);
    bytes.extend(crc32(&bytes[12..]).to_be_bytes());
    bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    std::fs::write(&path, bytes).unwrap();
    assert!(error(&path).contains("cannot be decoded"), "{}", error(&path));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}
