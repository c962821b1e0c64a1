//! What is written reads back as it was.

use crate::raw::codes;
use gg_io::{
    ReadOptions, WriteError, is_own_nifti, read_ct, read_labels, write_ct_nifti, write_labels_nifti,
};
use gg_volume::{Affine, CtVolume, Grid, Intensity, IntensityKind, SpacingTrust, Volume};
use proptest::prelude::*;
use std::path::Path;

const SHAPE: [usize; 3] = [3, 4, 5];

fn rotation(a: f64, b: f64) -> [[f64; 3]; 3] {
    let ((sa, ca), (sb, cb)) = (a.sin_cos(), b.sin_cos());
    [[ca, sa, 0.0], [-sa * cb, ca * cb, sb], [sa * sb, -ca * sb, cb]]
}

fn grid(affine: Option<Affine>, trusted: bool) -> Grid {
    let trust = if trusted { SpacingTrust::Trusted } else { SpacingTrust::Untrusted("test".to_owned()) };
    Grid { shape: SHAPE, spacing_mm: affine.map(|a| a.spacing_mm()), affine, trust }
}

fn same_place(found: &Grid, wrote: &Grid) {
    let (Some(f), Some(w)) = (found.affine, wrote.affine) else {
        assert_eq!(found.affine, wrote.affine);
        return;
    };
    let numbers = |a: Affine| a.columns().into_iter().flatten().chain(a.origin());
    for (f, w) in numbers(f).zip(numbers(w)) {
        assert!((f - w).abs() <= 1e-5 * w.abs().max(1.0), "{f} against {w}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn labels_and_their_place_survive(
        values in prop::collection::vec(any::<u8>(), 60),
        angles in (0.0..6.2f64, 0.0..6.2f64),
        spacing in (0.1..9.0f64, 0.1..9.0f64, 0.1..9.0f64),
        origin in prop::array::uniform3(-500.0..500.0f64),
        flags in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let (mirror, gz, placed) = flags;
        let mut columns = rotation(angles.0, angles.1);
        for (c, s) in columns.iter_mut().zip([spacing.0, spacing.1, if mirror { -spacing.2 } else { spacing.2 }]) {
            *c = c.map(|v| v * s);
        }
        let grid = grid(placed.then(|| Affine::new(columns, origin).unwrap()), true);
        let labels = Volume::from_vec(SHAPE, values).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(if gz { "mask.nii.gz" } else { "mask.nii" });
        write_labels_nifti(&path, &labels, &grid).unwrap();
        let read = read_labels(&path, &ReadOptions::default()).unwrap();
        prop_assert!(!read.warnings.iter().any(|w| w.code == "sform_qform_disagree"), "{:?}", read.warnings);
        prop_assert_eq!(&read.value.0, &labels);
        same_place(&read.value.1, &grid);
    }

    #[test]
    fn a_ct_survives_as_integers_or_as_floats(
        values in prop::collection::vec(-32768i32..=32767, 60),
        fraction in prop::sample::select(vec![0.0f32, 0.25]),
    ) {
        let voxels = Volume::from_vec(SHAPE, values.iter().map(|&v| v as f32 + fraction).collect()).unwrap();
        let ct = CtVolume { voxels, grid: grid(None, false), intensity: Intensity::stated(IntensityKind::Hu) };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ct.nii");
        write_ct_nifti(&path, &ct).unwrap();
        let bits = std::fs::read(&path).unwrap()[72];
        prop_assert_eq!(bits, if fraction == 0.0 { 16 } else { 32 });
        prop_assert_eq!(read_ct(&path, &ReadOptions::default()).unwrap().value.ct.voxels, ct.voxels);
    }
}

/// Half turns leave nothing of a quaternion's first number but rounding, which long axes would show.
#[test]
fn axes_along_the_body_in_any_order_agree_with_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mask.nii");
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for signs in 0..8 {
            let column = |i: usize| {
                std::array::from_fn(|axis| match (axis == order[i], signs >> i & 1) {
                    (false, _) => 0.0,
                    (true, 0) => 1.4,
                    (true, _) => -1.4,
                })
            };
            let affine = Affine::new([0, 1, 2].map(column), [10.0, -20.0, 30.0]).unwrap();
            for shape in [[2, 3, 4000], [4000, 2, 3], [3, 4000, 2]] {
                let grid = Grid { shape, ..grid(Some(affine), true) };
                write_labels_nifti(&path, &Volume::filled(shape, 1), &grid).unwrap();
                let read = read_labels(&path, &ReadOptions::default()).unwrap();
                let odd = read.warnings.iter().any(|w| w.code.contains("disagree"));
                assert!(!odd, "{order:?} {signs} {shape:?}: {:?}", read.warnings);
            }
        }
    }
}

fn ct() -> CtVolume {
    let affine =
        Affine::new([[0.7, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.1, 2.0]], [-100.0, -90.0, 5.0]).unwrap();
    let voxels = Volume::from_vec(SHAPE, (0..60).map(|v| v as f32 * 30.0 - 1000.0).collect()).unwrap();
    CtVolume { voxels, grid: grid(Some(affine), true), intensity: Intensity::stated(IntensityKind::Hu) }
}

#[test]
fn a_sheared_grid_has_no_qform_and_reads_back_without_a_remark_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.nii.gz");
    write_ct_nifti(&path, &ct()).unwrap();
    let read = read_ct(&path, &ReadOptions::default()).unwrap();
    assert!(!codes(&read).contains(&"sform_qform_disagree"));
    same_place(&read.value.ct.grid, &ct().grid);
}

#[test]
fn the_same_volume_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let path = dir.path().join(name);
        write_ct_nifti(&path, &ct()).unwrap();
        std::fs::read(path).unwrap()
    };
    let (a, b) = (write("a.nii.gz"), write("b.nii.gz"));
    assert_eq!(a, b, "neither the name nor the time is in the file");
    assert_eq!(a[4..8], [0; 4], "no time in the gzip header");
}

#[test]
fn what_is_written_is_known_again_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["ct.nii", "ct.nii.gz"] {
        let path = dir.path().join(name);
        assert!(!is_own_nifti(&path), "it is not there");
        write_ct_nifti(&path, &ct()).unwrap();
        assert!(is_own_nifti(&path));
        std::fs::write(&path, "notes").unwrap();
        assert!(!is_own_nifti(&path));
    }
    let path = dir.path().join("foreign.nii");
    std::fs::write(&path, crate::raw::Raw::new().bytes()).unwrap();
    assert!(!is_own_nifti(&path));
}

#[test]
fn untrusted_spacing_names_no_unit_so_that_it_stays_untrusted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.nii");
    let mut ct = ct();
    let unit = |ct: &CtVolume| {
        write_ct_nifti(&path, ct).unwrap();
        std::fs::read(&path).unwrap()[123]
    };
    assert_eq!(unit(&ct), 2);
    ct.grid.trust = SpacingTrust::Untrusted("test".to_owned());
    assert_eq!(unit(&ct), 0);
    let stated = ReadOptions { intensity: Some(IntensityKind::Hu), ..ReadOptions::default() };
    assert_eq!(read_ct(&path, &stated).unwrap().value.ct.grid.trusted_spacing_mm(), None);
}

#[test]
fn what_nifti_cannot_hold_is_refused_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mask.nii");
    let shape = [1, 1, 40_000];
    let refused = write_labels_nifti(&path, &Volume::filled(shape, 0), &Grid::unknown(shape, "test"));
    assert!(matches!(&refused, Err(WriteError::Unfit(m)) if m.contains("40000 voxels")), "{refused:?}");
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_to_is_an_error() {
    let refused =
        write_labels_nifti(Path::new("/proc/mask.nii"), &Volume::filled(SHAPE, 0), &grid(None, true));
    assert!(matches!(refused, Err(WriteError::Io(_))), "{refused:?}");
}
