//! Reading and writing files, from the outside: NIfTI, pictures, the kind of grey values, and hostile bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails must fail loudly

mod bad_nifti;
mod fuzz;
mod intensity;
mod nifti_golden;
mod odd_nifti;
mod pictures;
mod raw;
mod real;
mod write;
