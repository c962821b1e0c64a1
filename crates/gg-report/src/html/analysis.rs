//! The page of one analysed CT: the answer first, then numbers, zones, pictures, slices, and how it was made.

use super::page::{SLICE_NUMBERS, colour_key, drawing, page, tally, tile};
use crate::inputs::{AnalysisReport, BurdenNumbers, PatientCall, RegionNumbers, SliceRow, SliceStrip};
use crate::interval::interval_bar;
use crate::network::thousands;
use crate::numbers::{counted, decimal, millilitres, percent};
use crate::picture::lung_box;
use crate::plots::slice_strip;
use crate::zones::{THIRDS, zone_bars};
use maud::{Markup, html};

/// `report.html` of one case.
pub fn analysis_report(report: &AnalysisReport) -> String {
    let burden = &report.burden;
    let body = html! {
        (cards(burden, report.patient))
        @if let Some(interval) = &burden.interval {
            figure.plain { (drawing(&interval_bar(interval))) }
            @for note in &interval.notes { p.note { (note) } }
        }
        h2 { "Numbers" }
        (numbers_table(burden))
        (reasons(burden))
        @if let Some(zones) = &burden.zones {
            h2 { "Where in the lungs" }
            figure.plain { (drawing(&zone_bars(zones))) }
            @if !burden.severity_note.is_empty() { p.note { (burden.severity_note) } }
        }
        (pictures(report))
        h2 { "Slices" }
        @if !has_pictures(report) { p.note { (SLICE_NUMBERS) } }
        (positive_slices(&report.strip))
        (tally(&report.tally))
        @if !report.strip.rows.is_empty() { figure.plain { (drawing(&slice_strip(&report.strip))) } }
    };
    let answer = match (report.in_doubt, summary_sentence(burden)) {
        (true, answer) => format!("In doubt, see the warnings first. {answer}"),
        (false, answer) => answer,
    };
    page("CT analysis", &report.case_id, &answer, &report.provenance, body)
}

/// The answer in one sentence.
pub fn summary_sentence(burden: &BurdenNumbers) -> String {
    let Some(share) = burden.whole.percent.filter(|p| p.is_finite()) else {
        return if burden.whole.lung_voxels == 0 {
            "No lung was found, so no share of infection can be given.".to_owned()
        } else {
            "The share of infected lung could not be computed.".to_owned()
        };
    };
    if burden.whole.infected_voxels == 0 {
        return "No infection was found in the lung.".to_owned();
    }
    let amount = percent(Some(share));
    let mut sentence = if amount.starts_with('<') {
        "Less than 0.1\u{a0}% of the lung shows infection".to_owned()
    } else {
        format!("About {amount} of the lung shows infection")
    };
    if let (Some(right), Some(left)) = (&burden.right, &burden.left) {
        sentence += &format!(" (right {}, left {})", percent(right.percent), percent(left.percent));
    }
    if let Some(severity) = burden.severity {
        sentence += &format!("; severity {severity} of 24");
    }
    sentence + "."
}

fn cards(burden: &BurdenNumbers, patient: Option<PatientCall>) -> Markup {
    let whole = &burden.whole;
    html! {
        div.cards {
            div.card.main {
                span.name { "Infected share of the lung" }
                b { (percent(whole.percent)) }
                @if let Some(ml) = whole.infected_ml { span { (millilitres(Some(ml))) " of " (millilitres(whole.lung_ml)) } }
                @if let Some(i) = &burden.interval {
                    span { (percent(Some(i.ends.0))) " to " (percent(Some(i.ends.1))) }
                }
            }
            @for (name, side) in [("Right lung", &burden.right), ("Left lung", &burden.left)] {
                @if let Some(side) = side {
                    div.card {
                        span.name { (name) }
                        b { (percent(side.percent)) }
                        @if let Some(ml) = side.infected_ml {
                            span { (millilitres(Some(ml))) " of " (millilitres(side.lung_ml)) }
                        }
                    }
                }
            }
            @if let Some(severity) = burden.severity {
                div.card {
                    span.name { "Severity" }
                    b { (severity) " of 24" }
                    span { "sum of six zones, 0 to 4 each" }
                }
            }
            @if let Some(call) = patient {
                div.card {
                    span.name { "CT shows infection" }
                    b { @if call.score >= call.threshold { "yes" } @else { "no" } }
                    span { "score " (decimal(Some(call.score), 2)) ", yes from " (decimal(Some(call.threshold), 2)) " on" }
                }
            }
        }
    }
}

fn numbers_table(burden: &BurdenNumbers) -> Markup {
    let mut rows: Vec<(String, &RegionNumbers, &str)> = vec![("Both lungs".to_owned(), &burden.whole, "sum")];
    for (side, numbers, first) in [("Right", &burden.right, 0), ("Left", &burden.left, 3)] {
        if let Some(numbers) = numbers {
            rows.push((format!("{side} lung"), numbers, "sum"));
        }
        for (third, zone) in THIRDS.iter().zip(burden.zones.iter().flat_map(|z| &z[first..first + 3])) {
            rows.push((format!("{side} {third}"), zone, "in"));
        }
    }
    html! {
        div.scroll { table {
            thead { tr {
                th { "Region" } th { "Infected share" } th { "Infected" } th { "Lung" }
                th { "Infected voxels" } th { "Lung voxels" }
            } }
            tbody { @for (name, numbers, class) in rows {
                tr class=(class) {
                    td { (name) }
                    td { (percent(numbers.percent)) }
                    td { (millilitres(numbers.infected_ml)) }
                    td { (millilitres(numbers.lung_ml)) }
                    td { (thousands(numbers.infected_voxels)) }
                    td { (thousands(numbers.lung_voxels)) }
                }
            } }
        } }
    }
}

fn reasons(burden: &BurdenNumbers) -> Markup {
    html! {
        @if let Some(reason) = &burden.ml_reason {
            p.note { "Volumes are not given in millilitres: " (reason) "." }
        }
        @if let Some(reason) = &burden.sides_reason {
            p.note { "Sides and zones are not given: " (reason) "." }
        } @else if let Some(reason) = &burden.zones_reason {
            p.note { "Zones and severity are not given: " (reason) "." }
        }
    }
}

fn has_pictures(report: &AnalysisReport) -> bool {
    !report.slices.is_empty() || report.coronal.is_some()
}

fn pictures(report: &AnalysisReport) -> Markup {
    if !has_pictures(report) {
        return html! { h2 { "Pictures" } p.note { "There is no slice to show." } };
    }
    let area = lung_box(&report.slices);
    html! {
        h2 { "Pictures" }
        input #outlines type="checkbox" checked;
        label.toggle for="outlines" { "Show outlines" }
        (colour_key())
        p.note { (SLICE_NUMBERS) }
        div.pictures {
            div.slices {
                @for slice in &report.slices {
                    @match area { Some(area) => (tile(&slice.cropped(area))), None => (tile(slice)) }
                }
            }
            @if let Some(coronal) = &report.coronal {
                @let around = lung_box(std::slice::from_ref(coronal));
                div.coronal { (tile(&around.map_or(coronal.clone(), |area| coronal.cropped(area)))) }
            }
        }
    }
}

fn positive_slices(strip: &SliceStrip) -> Markup {
    let known: Vec<f64> = strip.rows.iter().filter_map(|r| r.probability).collect();
    let Some(threshold) = strip.threshold.filter(|_| !known.is_empty()) else { return html! {} };
    let positive = known.iter().filter(|p| **p >= threshold).count();
    html! {
        p {
            (positive) " of " (counted(known.len(), "classified slice"))
            " called positive (probability of " (format!("{threshold:.3}")) " or more)."
        }
        (contradictions(strip, threshold))
    }
}

/// Slices on which the classifier says one thing and the mask another.
fn contradictions(strip: &SliceStrip, threshold: f64) -> Markup {
    let count = |called: bool| {
        let of_mask = |r: &&SliceRow| r.percent.is_some_and(|p| p > 0.0) != called;
        let of_classifier = |r: &&SliceRow| r.probability.is_some_and(|p| (p >= threshold) == called);
        strip.rows.iter().filter(of_classifier).filter(of_mask).count()
    };
    let (unmarked, uncalled) = (count(true), count(false));
    html! {
        @if unmarked + uncalled > 0 {
            p.note {
                "The classifier and the infection mask contradict each other in "
                (counted(unmarked + uncalled, "slice")) ": " (unmarked) " called positive without infection in the mask, "
                (uncalled) " called negative with infection in it."
            }
        }
    }
}
