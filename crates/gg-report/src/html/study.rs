//! A page of sections in order, each with sentences, tables and drawings: what `explain` and `paper` write.

use super::page::{charts, figures, page};
use crate::study::{Section, StudyReport, TextTable};
use maud::{Markup, html};

/// The HTML page of a study.
pub fn study_report(report: &StudyReport) -> String {
    let body = html! { @for section in &report.sections { (one(section)) } };
    page(&report.kind, &report.title, &report.summary, &report.provenance, body)
}

fn one(section: &Section) -> Markup {
    html! {
        @if !section.title.is_empty() { h2 { (section.title) } }
        @for note in &section.notes { p { (note) } }
        @for table in &section.tables { (table_of(table)) }
        (figures(&section.figures))
        @if !section.charts.is_empty() { (charts(&section.charts)) }
    }
}

fn table_of(table: &TextTable) -> Markup {
    let class = |i: usize| if table.text.contains(&i) { "text" } else { "" };
    html! {
        div.scroll { table class=(if table.columns.len() > WIDE { "study wide" } else { "study" }) {
            @if !table.caption.is_empty() { caption { (table.caption) } }
            thead { tr { @for (i, name) in table.columns.iter().enumerate() { th class=(class(i)) { (name) } } } }
            tbody { @for row in &table.rows {
                tr { @for (i, cell) in row.iter().enumerate() { td class=(class(i)) { (cell) } } }
            } }
        } }
    }
}

/// Tables with more columns than this are set smaller.
const WIDE: usize = 5;
