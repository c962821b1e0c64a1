//! Every type, byte order, scaling, form and unit against nibabel.

use crate::raw::{gzip, read, read_as};
use gg_io::{ReadOptions, write_labels_nifti};
use gg_testkit::Golden;
use gg_volume::{Affine, Grid, SpacingTrust, Volume};

/// nibabel works on the header's 32-bit floats in double precision, as we do: only the order of sums differs.
const AFFINE_TOLERANCE_MM: f64 = 1e-9;

#[test]
fn all_files_read_as_nibabel_reads_them() {
    let golden = Golden::open("io/nifti.safetensors");
    let mut files = 0;
    for array in golden.names() {
        let Some(name) = array.strip_prefix("file.") else { continue };
        let found = read(&golden.u8(&array)).unwrap_or_else(|e| panic!("{name}: {e}")).value.ct;
        let expected = golden.f32(&format!("data.{name}"));
        assert_eq!(found.voxels.shape().to_vec(), golden.shape(&format!("data.{name}")), "{name}");
        for (i, (f, e)) in found.voxels.data().iter().zip(&expected).enumerate() {
            assert!(f == e, "{name}: voxel {i} is {f}, nibabel says {e}");
        }
        let affine = format!("affine.{name}");
        // Its forms contradict each other in where the axes point: nibabel takes one of them, we none.
        let stated = golden.has(&affine) && name != "both.disagree";
        assert_eq!(found.grid.affine.is_some(), stated, "{name}: presence of an affine");
        if let Some(ours) = found.grid.affine {
            let theirs = golden.f64(&affine);
            for row in 0..3 {
                for column in 0..4 {
                    let o = if column < 3 { ours.columns()[column][row] } else { ours.origin()[row] };
                    let t = theirs[row * 4 + column];
                    let off = (o - t).abs() / t.abs().max(1.0);
                    assert!(
                        off < AFFINE_TOLERANCE_MM,
                        "{name}: affine ({row}, {column}) is {o}, nibabel says {t}"
                    );
                }
            }
        }
        files += 1;
    }
    assert!(files > 60, "only {files} golden files");
}

#[test]
fn a_compressed_file_reads_like_the_plain_one_whatever_its_name() {
    let golden = Golden::open("io/nifti.safetensors");
    let bytes = golden.u8("file.i2.little.scaled");
    let plain = read(&bytes).unwrap().value.ct;
    let packed = gzip(&bytes);
    for name in ["ct.nii.gz", "ct.nii", "CT.NII.GZ", "noname"] {
        assert_eq!(read_as(name, &packed, &ReadOptions::default()).unwrap().value.ct, plain, "{name}");
    }
    // Two gzip members in a row are one stream.
    let (a, b) = bytes.split_at(300);
    assert_eq!(read(&[gzip(a), gzip(b)].concat()).unwrap().value.ct, plain);
}

#[test]
fn the_qform_we_write_is_the_one_nibabel_writes() {
    let golden = Golden::open("io/nifti.safetensors");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mask.nii");
    for i in 0..5 {
        let a = golden.f64(&format!("write.{i}.affine"));
        let columns = std::array::from_fn(|c| [a[c], a[4 + c], a[8 + c]]);
        let affine = Affine::new(columns, [a[3], a[7], a[11]]).unwrap();
        let grid = Grid {
            shape: [3, 4, 5],
            spacing_mm: Some(affine.spacing_mm()),
            affine: Some(affine),
            trust: SpacingTrust::Trusted,
        };
        write_labels_nifti(&path, &Volume::filled([3, 4, 5], 1), &grid).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let float = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let found = [float(256), float(260), float(264)];
        let expected = golden.f32(&format!("write.{i}.quatern"));
        // The quaternion of a half turn is free in its sign.
        let sign =
            if found.iter().zip(&expected).map(|(f, e)| f * e).sum::<f32>() < 0.0 { -1.0 } else { 1.0 };
        for (f, e) in found.iter().zip(&expected) {
            assert!((f * sign - e).abs() < 1e-6, "{i}: quaternion {found:?}, nibabel says {expected:?}");
        }
        let pixdim: Vec<f32> = (0..4).map(|k| float(76 + 4 * k)).collect();
        gg_testkit::assert_close(&pixdim, &golden.f32(&format!("write.{i}.pixdim")), 1e-6, 0.0);
    }
}
