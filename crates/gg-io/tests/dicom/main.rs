//! DICOM series: what comes out of good ones, what is remarked on, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests fail loudly too

mod enhanced;
mod found;
mod fuzz;
mod golden;
mod real;
mod refused;
mod support;
mod warned;
mod written;
