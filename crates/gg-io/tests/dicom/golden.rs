//! Against pydicom: values, order and positions in every encoding.

use gg_io::{Format, ReadOptions, read_ct};
use gg_testkit::Golden;
use gg_volume::SpacingTrust;
use std::path::{Path, PathBuf};

/// Largest difference between two JPEG decoders, in stored steps of 7.5 HU.
const JPEG_HU: f32 = 15.0;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dicom_fixtures").join(name)
}

fn check(name: &str, tolerance_hu: f32) {
    let golden = Golden::open("io/dicom.safetensors");
    let read = read_ct(&fixture(name), &ReadOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let scan = read.value;
    assert_eq!(scan.format, Format::DicomSeries, "{name}");
    assert_eq!(scan.ct.grid.trust, SpacingTrust::Trusted, "{name}");
    let shape = golden.shape(&format!("{name}/hu"));
    assert_eq!(scan.ct.grid.shape.to_vec(), shape, "{name}");
    let expected = golden.f32(&format!("{name}/hu"));
    for (i, (found, expected)) in scan.ct.voxels.data().iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() <= tolerance_hu, "{name}: voxel {i} is {found}, not {expected}");
    }
    let affine = scan.ct.grid.affine.expect("an affine");
    for (z, expected) in golden.f64(&format!("{name}/positions")).chunks(3).enumerate() {
        let found = affine.apply([0.0, 0.0, z as f64]);
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-4, "{name}: slice {z} lies at {found:?}, not {expected:?}");
        }
    }
    let [_, y, x] = scan.ct.grid.spacing_mm.expect("a spacing");
    assert!((y - 0.75).abs() < 1e-9 && (x - 0.5).abs() < 1e-9, "{name}: {y} {x}");
}

#[test]
fn lossless_encodings_give_the_values_of_pydicom() {
    for name in [
        "explicit",
        "implicit_signed",
        "big_endian",
        "deflated",
        "rle",
        "eight_bit",
        "rle_eight_bit",
        "jpeg_lossless",
        "jpeg_lossless_sv1_signed",
        "jpeg_lossless_8_in_16",
        "jpeg_2000",
        "jpeg_ls",
        "jpeg_ls_signed",
        "jpeg_ls_signed_12",
        "jpeg_ls_eight_bit",
        "slope_per_slice",
        "enhanced",
        "enhanced_implicit",
        "enhanced_big_endian",
        "enhanced_eight_bit",
        "enhanced_per_frame",
        "enhanced_rle",
        "enhanced_fragments",
        "enhanced_legacy",
    ] {
        check(name, 0.0);
    }
}

#[test]
fn jpeg_baseline_gives_the_values_of_pydicom_but_for_rounding() {
    check("jpeg_baseline", JPEG_HU);
}

#[test]
fn near_lossless_jpeg_ls_gives_the_values_of_pydicom() {
    check("jpeg_ls_near", 0.0);
}

#[test]
fn tilted_oblique_and_prone_series_lie_where_pydicom_says() {
    for name in ["tilted", "oblique", "prone"] {
        check(name, 0.0);
    }
}

#[test]
fn the_gantry_tilt_is_told_and_the_volume_of_a_voxel_stays_true() {
    let read = read_ct(&fixture("tilted"), &ReadOptions::default()).unwrap();
    let message = &read.warnings.iter().find(|w| w.code == "tilted_gantry").expect("a warning").message;
    assert!(message.contains("20.0 degrees"), "{message}");
    let ml = read.value.ct.grid.voxel_ml().unwrap();
    let expected = 0.5 * 0.75 * 2.5 * 20f64.to_radians().cos() / 1000.0;
    assert!((ml - expected).abs() < 1e-8, "{ml} {expected}");
}

#[test]
fn directions_follow_from_the_orientation() {
    for (name, letters, code) in [
        ("explicit", "LPS", None),
        ("prone", "LAI", Some("reversed_z")),
        ("oblique", "LIP", Some("not_axial")),
    ] {
        let read = read_ct(&fixture(name), &ReadOptions::default()).unwrap();
        assert_eq!(read.value.ct.grid.orientation().unwrap().to_string(), letters, "{name}");
        if let Some(code) = code {
            assert!(read.warnings.iter().any(|w| w.code == code), "{name}: {:?}", read.warnings);
        }
    }
}
