//! The real program in a temporary folder: what a user types, what comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests fail loudly too

mod audit;
mod bad_input;
mod cache;
mod commands;
mod compute;
mod crossval;
mod dicom_edit;
mod evaluate;
mod explain;
mod honest;
mod memory;
mod nifti_edit;
mod odd_input;
mod outputs;
mod paper;
mod predictions;
mod predictions_told;
mod privacy;
mod real_data;
mod reproducibility;
mod run;
mod training;
