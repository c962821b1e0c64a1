//! DICOM series: what comes out of good ones, what is remarked on, what is refused.

mod found;
mod fuzz;
mod golden;
mod real;
mod refused;
mod support;
mod warned;
mod written;
