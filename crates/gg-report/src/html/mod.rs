//! Pages: one self-contained HTML file each.
use crate::inputs::*;

/// Stub.
pub fn analysis_report(report: &AnalysisReport) -> String { report.case_id.clone() }
/// Stub.
pub fn evaluation_report(report: &EvaluationReport) -> String { report.title.clone() }
/// Stub.
pub fn training_report(report: &TrainingReport) -> String { report.title.clone() }
/// Stub.
pub fn prepare_report(report: &PrepareReport) -> String { report.title.clone() }
/// Stub.
pub fn quickstart_report(report: &QuickstartReport) -> String { report.summary.clone() }
