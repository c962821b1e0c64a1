//! The page of an evaluation: scores with intervals first, then where they come from.

use super::page::{SLICE_NUMBERS, charts, colour_key, drawing, page, score_table, tile};
use crate::inputs::{CaseTable, ClassificationSection, Comparison, EvaluationReport, SegmentationSection};
use crate::numbers::decimal;
use crate::picture::{comparison_panels, lung_box};
use crate::plots::{
    agreement_scatter, bland_altman, confusion_matrix, dice_strip, or_cases, pr_plot, reliability_plot,
    roc_plot, shows_agreement,
};
use maud::{Markup, html};

/// The HTML page of an evaluation.
pub fn evaluation_report(report: &EvaluationReport) -> String {
    let body = html! {
        @for section in &report.segmentations { (segmentation(section)) }
        @for section in &report.classifications { (classification(section)) }
    };
    page("evaluation", &report.title, &report.summary, &report.provenance, body)
}

fn notes(notes: &[String]) -> Markup {
    html! { @for note in notes { p.note { (note) } } }
}

fn segmentation(section: &SegmentationSection) -> Markup {
    let title = format!("Dice per patient: {}", section.name.to_lowercase());
    html! {
        h2 { (section.name) }
        (score_table(&section.scores))
        (notes(&section.notes))
        @if !section.dice.is_empty() {
            figure.plain { (drawing(&dice_strip(&title, &section.dice, section.human_band.as_ref()))) }
        }
        @if shows_agreement(&section.burden) {
            (charts(&[agreement_scatter(&section.burden), bland_altman(&section.burden)]))
        }
        @if !section.reliability.after.is_empty() { (charts(&[reliability_plot(&section.reliability)])) }
        @if !section.comparisons.is_empty() {
            h3 { "Prediction beside truth" }
            p.note { (SLICE_NUMBERS) }
            figure.plain { (drawing(&comparison_panels(&around_lungs(&section.comparisons), 300.0))) }
        }
        (case_table(&section.cases))
    }
}

/// Each row cut to the lungs of its truth and its prediction.
fn around_lungs(rows: &[Comparison]) -> Vec<Comparison> {
    let cut = |row: &Comparison| match lung_box(&[row.truth.clone(), row.pred.clone()]) {
        Some(area) => Comparison {
            title: row.title.clone(),
            truth: row.truth.cropped(area),
            pred: row.pred.cropped(area),
        },
        None => row.clone(),
    };
    rows.iter().map(cut).collect()
}

fn case_table(table: &CaseTable) -> Markup {
    /// Decimals of a column for which none were given.
    const DECIMALS: usize = 3;
    html! {
        @if !table.rows.is_empty() {
            h3 { "Every case" }
            div.scroll { table.wide {
                thead { tr {
                    th { "Case" } th.text { "Patient" }
                    @for column in &table.columns { th { (column) } }
                } }
                tbody { @for row in &table.rows {
                    tr {
                        td { (row.case_id) }
                        td.text { (row.patient) }
                        @for i in 0..table.columns.len() {
                            td { (decimal(row.values.get(i).copied().flatten(), *table.decimals.get(i).unwrap_or(&DECIMALS))) }
                        }
                    }
                } }
            } }
        }
    }
}

fn classification(section: &ClassificationSection) -> Markup {
    let counts = &section.confusion;
    let (positives, negatives) = (counts.tp.saturating_add(counts.fn_), counts.fp.saturating_add(counts.tn));
    let all = positives.saturating_add(negatives);
    let prevalence = (all > 0).then(|| positives as f64 / all as f64);
    let title = format!("Confusion matrix {}", section.called);
    let mut scenes = vec![confusion_matrix(title.trim(), counts, "positive", "negative")];
    if let Some(half) = &section.confusion_at_half {
        scenes.push(confusion_matrix("Confusion matrix at 0.5", half, "positive", "negative"));
    }
    scenes.push(roc_plot(&section.roc));
    scenes.push(pr_plot(&section.pr, prevalence));
    if !section.reliability.after.is_empty() {
        scenes.push(reliability_plot(&section.reliability));
    }
    html! {
        h2 { (section.name) }
        (score_table(&section.scores))
        p.note {
            (positives) " positive and " (negatives) " negative " (or_cases(&section.counted)) "."
        }
        (notes(&section.notes))
        (charts(&scenes))
        @if !section.examples.is_empty() {
            h3 { "Classified pictures" }
            (colour_key())
            div.slices { @for example in &section.examples { (tile(example)) } }
        }
    }
}
