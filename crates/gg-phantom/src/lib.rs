//! Synthetic chest CT in Hounsfield units with exact truth: demonstration data, and the truth of end-to-end tests.
//!
//! A [`PhantomSpec`] (seeds, shape, spacing, extent of infection) becomes a [`Phantom`]: a CT, the lungs (1 right,
//! 2 left), the infection, and what can be counted from them. Anatomy is a few dozen implicit surfaces and a few
//! thousand tubes in millimetres, so that any grid may be laid over it; the same spec gives the same bytes at any
//! number of threads.
//!
//! * [`cohort`]: a mix of patients, infected and not, some scanned more than once;
//! * [`phantom`]: one scan.
//!
//! It is drawn, not measured: body with fat, muscle and bones, lungs with vessels and airways, heart, great vessels,
//! liver and stomach, the table, scanner noise. No disease but ground-glass and consolidation is in it.

mod anatomy;
mod lesions;
mod random;
mod render;
mod skeleton;
mod spec;
mod texture;
mod tree;
mod tubes;

pub use render::{Phantom, PhantomTruth, phantom};
pub use spec::{PhantomSpec, cohort};
