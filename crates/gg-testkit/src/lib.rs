//! For tests only: golden files made by other programs, the folder of real CT, and comparisons that say where they fail.
//!
//! A golden file is one safetensors file under `golden/`, written by the script of the same name in
//! `golden/scripts/` (Python, pinned in `golden/requirements.txt`, run by hand). No Python runs at test time.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr)] // a test that cannot load its truth must fail loudly

mod fuzz;

pub use fuzz::{Random, bend, seeds};
use safetensors::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/gg-testkit lies two folders deep")
        .into()
}

/// The folder of real CT (`GROUNDGLASS_DATA`, else `../shared/data` beside the project), or `None` with a line
/// on stderr saying that `test` is skipped.
pub fn real_data(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("GROUNDGLASS_DATA")
        .map_or_else(|| workspace_root().join("../shared/data"), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: {test} needs real CT; set GROUNDGLASS_DATA to its folder");
    None
}

/// One golden file: named arrays with shapes.
pub struct Golden {
    bytes: Vec<u8>,
    name: String,
}

impl Golden {
    /// Opens `golden/NAME`, e.g. `imaging/clahe.safetensors`.
    pub fn open(name: &str) -> Self {
        let path = workspace_root().join("golden").join(name);
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("golden file {name}: {e}"));
        Self { bytes, name: name.to_owned() }
    }

    /// Names of all arrays, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors().names().into_iter().map(|n| n.to_string()).collect();
        names.sort();
        names
    }

    /// Whether the file has an array of this name.
    pub fn has(&self, array: &str) -> bool {
        self.tensors().tensor(array).is_ok()
    }

    /// Shape of an array.
    pub fn shape(&self, array: &str) -> Vec<usize> {
        self.tensors()
            .tensor(array)
            .unwrap_or_else(|e| panic!("{}: {array}: {e}", self.name))
            .shape()
            .to_vec()
    }

    /// Values of a `uint8` or `bool` array.
    pub fn u8(&self, array: &str) -> Vec<u8> {
        self.raw(array, &[Dtype::U8, Dtype::BOOL])
    }

    /// Values of an `int16` array.
    pub fn i16(&self, array: &str) -> Vec<i16> {
        self.raw(array, &[Dtype::I16]).as_chunks().0.iter().map(|b| i16::from_le_bytes(*b)).collect()
    }

    /// Values of an `int32` array.
    pub fn i32(&self, array: &str) -> Vec<i32> {
        self.raw(array, &[Dtype::I32]).as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()
    }

    /// Values of an `int64` array.
    pub fn i64(&self, array: &str) -> Vec<i64> {
        self.raw(array, &[Dtype::I64]).as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
    }

    /// Values of a `float32` array.
    pub fn f32(&self, array: &str) -> Vec<f32> {
        self.raw(array, &[Dtype::F32]).as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    /// Values of a `float64` array.
    pub fn f64(&self, array: &str) -> Vec<f64> {
        self.raw(array, &[Dtype::F64]).as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap_or_else(|e| panic!("golden file {}: {e}", self.name))
    }

    fn raw(&self, array: &str, wanted: &[Dtype]) -> Vec<u8> {
        let tensors = self.tensors();
        let view = tensors.tensor(array).unwrap_or_else(|e| panic!("{}: {array}: {e}", self.name));
        assert!(
            wanted.contains(&view.dtype()),
            "{}: {array} is {:?}, not {wanted:?}",
            self.name,
            view.dtype()
        );
        view.data().to_vec()
    }
}

/// Panics with the first place where two arrays differ by more than `absolute + relative * |expected|`.
#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f32], absolute: f32, relative: f32) {
    assert_eq!(found.len(), expected.len(), "number of values");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let off = (f - e).abs();
        assert!(off <= absolute + relative * e.abs(), "value {i}: found {f}, expected {e}, off by {off}");
    }
}
