//! Real CT, where it is present.

use gg_io::{ReadOptions, read_ct};
use gg_testkit::real_data;
use gg_volume::{IntensityKind, SpacingTrust};

fn check(test: &str, folder: &str, slices: usize, spacing_mm: [f64; 3], lowest: f32, codes: &[&str]) {
    let Some(root) = real_data(test) else { return };
    let read =
        read_ct(&root.join(folder), &ReadOptions::default()).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let ct = read.value.ct;
    assert_eq!(ct.grid.shape, [slices, 512, 512], "{folder}");
    let found = ct.grid.spacing_mm.unwrap();
    for (f, e) in found.iter().zip(&spacing_mm) {
        assert!((f - e).abs() < 1e-6, "{folder}: {found:?}");
    }
    assert_eq!(ct.grid.trust, SpacingTrust::Trusted, "{folder}");
    assert_eq!(ct.grid.orientation().unwrap().to_string(), "LPS", "{folder}");
    assert_eq!(ct.intensity.kind, IntensityKind::Hu, "{folder}: {:?}", ct.intensity);
    let low = ct.voxels.data().iter().copied().fold(f32::INFINITY, f32::min);
    assert_eq!(low, lowest, "{folder}");
    assert!(read.value.skipped.is_empty());
    let found: Vec<_> = read.warnings.iter().map(|w| w.code.as_str()).collect();
    assert_eq!(found, codes, "{folder}");
}

#[test]
fn the_covid_series_has_148_slices_of_2_mm() {
    let mm = 0.748_046_875;
    check("the_covid_series_has_148_slices_of_2_mm", "hu_dicom/P001", 148, [2.0, mm, mm], -1024.0, &[]);
}

#[test]
fn the_normal_series_has_6_mm_between_slices_though_its_thickness_says_2() {
    let mm = 0.634_765_625;
    check("the_normal_series_has_6_mm", "hu_dicom/normal001", 52, [6.0, mm, mm], -1024.0, &[]);
}

#[test]
fn a_jpeg_lossless_series_with_padding_reads() {
    check(
        "a_jpeg_lossless_series",
        "formats/jpeg_lossless_series",
        15,
        [1.25, 0.703_125, 0.703_125],
        -1024.0,
        &[],
    );
}

#[test]
fn two_bare_slices_with_equal_pixels_at_two_positions_read() {
    check(
        "two_bare_slices_read",
        "formats/two_slices",
        2,
        [1.0, 0.625, 0.625],
        -2048.0,
        &["same_slice_twice"],
    );
}
