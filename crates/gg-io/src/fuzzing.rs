//! What fuzzers call: arbitrary bytes in, a panic where an invariant breaks.
#![allow(clippy::expect_used, clippy::panic)] // a broken invariant must stop the fuzzer

pub use crate::dicom::fuzz_dicom;
use crate::nifti::{read_ct_from, write_ct_to};
pub use crate::pictures::fuzz_picture;
use crate::{ReadOptions, WriteError};

/// Voxels a fuzzed file may have: small, so that many files pass in a second.
const MAX_VOXELS: usize = 1 << 22;
/// Rounding of geometry to the 32-bit floats of the header, relative to its largest number.
const ROUNDING: f64 = 1e-5;

/// Any bytes may be refused. What is read can be written, and reads again as the same volume at the same place.
///
/// Says whether the bytes were read, so that a test can tell that it tests something.
pub fn fuzz_nifti(bytes: &[u8]) -> bool {
    let options = ReadOptions { max_voxels: MAX_VOXELS, trust_spacing: true, ..ReadOptions::default() };
    let Ok((read, _)) = read_ct_from(bytes, bytes.len() as u64, false, &options) else { return false };
    let ct = read.value.ct;
    assert_eq!(ct.voxels.shape(), ct.grid.shape, "shape of the grid");
    assert!(ct.voxels.data().iter().all(|v| v.is_finite()), "all values are finite");
    let mut written = Vec::new();
    match write_ct_to(&mut written, &ct) {
        Ok(()) => {}
        Err(WriteError::Unfit(_)) => return true, // geometry beyond 32-bit floats
        Err(e) => panic!("writing to memory failed: {e}"),
    }
    let length = written.len() as u64;
    let (again, _) = read_ct_from(&written[..], length, false, &options).expect("our own file reads");
    let again = again.value.ct;
    assert!(ct.voxels.data() == again.voxels.data(), "values survive");
    assert_eq!(ct.voxels.shape(), again.voxels.shape(), "shape survives");
    assert_eq!(ct.intensity, again.intensity, "kind of grey values survives");
    if let (Some(a), Some(b)) = (ct.grid.affine, again.grid.affine) {
        let numbers =
            |affine: gg_volume::Affine| affine.columns().into_iter().flatten().chain(affine.origin());
        let scale = numbers(a).fold(0.0, |m: f64, v| m.max(v.abs()));
        for (a, b) in numbers(a).zip(numbers(b)) {
            assert!((a - b).abs() <= ROUNDING * scale, "affine survives: {a} against {b}");
        }
    }
    assert_eq!(ct.grid.affine.is_some(), again.grid.affine.is_some(), "presence of the affine survives");
    true
}
