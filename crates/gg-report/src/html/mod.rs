//! Pages: one HTML file each, style and pictures inside, no script, no reference to anything outside.
//!
//! Every value goes through maud, which escapes it; only our own SVG and style sheet are put in as they are.

mod analysis;
mod evaluation;
mod page;
mod prepare;
mod study;
mod training;

pub use analysis::{analysis_report, summary_sentence};
pub use evaluation::evaluation_report;
pub use prepare::{audit_report, prepare_report, quickstart_report};
pub use study::study_report;
pub use training::training_report;
