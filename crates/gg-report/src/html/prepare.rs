//! The pages of a preparation, of an audit and of the quickstart: figures in order, with their captions.

use super::page::{figures, page, tally};
use crate::inputs::{AuditReport, PrepareReport, QuickstartReport};
use maud::html;

/// The HTML page of a preparation.
pub fn prepare_report(report: &PrepareReport) -> String {
    let body = html! { (tally(&report.tally)) (figures(&report.figures)) };
    page("preparation", &report.title, "", &report.provenance, body)
}

/// The HTML page of an audit of a split.
pub fn audit_report(report: &AuditReport) -> String {
    let body = html! {
        @if !report.findings.is_empty() {
            h2 { "Found in one place of the split" }
            ul { @for finding in &report.findings { li { (finding) } } }
        }
        (figures(&report.figures))
    };
    page("audit", "Audit of a split", &report.summary, &report.provenance, body)
}

/// The HTML page of the quickstart.
pub fn quickstart_report(report: &QuickstartReport) -> String {
    let body = html! {
        h2 { "Steps" }
        div.scroll { table {
            thead { tr { th { "Step" } th.text { "Outcome" } th.text { "" } } }
            tbody { @for step in &report.steps {
                tr {
                    td { @match local_link(step.link.as_deref()) {
                        Some(link) => a href=(link) { (step.name) },
                        None => (step.name),
                    } }
                    td.text { (step.outcome) }
                    td.text { @match step.passed {
                        Some(true) => span.ok { "✓ met" },
                        Some(false) => span.no { "✗ missed" },
                        None => "",
                    } }
                }
            } }
        } }
        (figures(&report.figures))
    };
    page("quickstart", "Quickstart", &report.summary, &report.provenance, body)
}

/// Only links to pages beside this one: no scheme, no way out of the folder.
fn local_link(link: Option<&str>) -> Option<&str> {
    link.filter(|l| {
        !l.contains(':') && !l.contains('\\') && !l.starts_with('/') && l.split('/').all(|part| part != "..")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_only_to_pages_beside_this_one() {
        for (link, expected) in [
            ("analysis/report.html", true),
            ("javascript:alert(1)", false),
            ("//elsewhere/x", false),
            ("../secret", false),
            ("/etc/passwd", false),
        ] {
            assert_eq!(local_link(Some(link)).is_some(), expected, "{link}");
        }
    }
}
