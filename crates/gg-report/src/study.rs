//! Sections of text, tables and drawings, and the drawings of a cohort: odds, importance, dependence.

use crate::axis::Axis;
use crate::chart::{Chart, Mark};
use crate::font::shorten;
use crate::ink::{BLUE, Ink, VERMILION};
use crate::inputs::{Figure, Provenance};
use crate::numbers::decimal;
use crate::scene::{Scene, Stroke, TextStyle};

/// Input of [`crate::study_report`].
#[derive(Debug, Clone, Default)]
pub struct StudyReport {
    /// What sort of page it is, e.g. `explanation`.
    pub kind: String,
    /// Heading.
    pub title: String,
    /// The result in one sentence; may be empty.
    pub summary: String,
    /// In order.
    pub sections: Vec<Section>,
    /// Warnings, settings, models.
    pub provenance: Provenance,
}

/// A part of a study: sentences, then tables, then drawings large and small.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// Heading; empty for none.
    pub title: String,
    /// Paragraphs.
    pub notes: Vec<String>,
    /// Tables.
    pub tables: Vec<TextTable>,
    /// Drawings below each other, with headings and captions.
    pub figures: Vec<Figure>,
    /// Small drawings beside each other where there is room.
    pub charts: Vec<Scene>,
}

/// A table whose cells are texts already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextTable {
    /// A line above; may be empty.
    pub caption: String,
    /// Headings.
    pub columns: Vec<String>,
    /// One cell per column.
    pub rows: Vec<Vec<String>>,
    /// Columns of words, set to the left; numbers are set to the right.
    pub text: Vec<usize>,
}

impl TextTable {
    /// The table in Markdown.
    pub fn to_markdown(&self) -> String {
        let cell = |text: &String| text.replace('|', "\\|").replace('\n', " ");
        let line =
            |cells: &[String]| format!("| {} |\n", cells.iter().map(cell).collect::<Vec<_>>().join(" | "));
        let mut out = line(&self.columns);
        let rule = |i: usize| if i == 0 || self.text.contains(&i) { "---" } else { "---:" };
        out += &format!("|{}|\n", (0..self.columns.len()).map(rule).collect::<Vec<_>>().join("|"));
        self.rows.iter().for_each(|row| out += &line(row));
        out
    }
}

/// One row of a drawing of ratios or losses: a name, a value and its ends.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectRow {
    /// The attribute.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Lower and upper end.
    pub ends: Option<(f64, f64)>,
}

const NAMES: f64 = 210.0;
const WIDTH: f64 = 640.0;
const ROW: f64 = 24.0;
const TOP: f64 = 62.0;

/// Odds ratios from here on, and from its inverse down, are drawn at the edge.
pub const ODDS_EDGE: f64 = 64.0;

/// Odds ratios with their intervals on a logarithmic axis about 1, in the given order.
pub fn odds_figure(rows: &[EffectRow], note: &str) -> Scene {
    /// The axis reaches at least this far from 1.
    const LEAST: f64 = 2.0;
    let reach = |v: f64| if v > 0.0 { v.max(1.0 / v) } else { 1.0 };
    let furthest = rows
        .iter()
        .flat_map(|r| [Some(r.value), r.ends.map(|e| e.0), r.ends.map(|e| e.1)])
        .flatten()
        .map(reach)
        .fold(LEAST, f64::max)
        .min(ODDS_EDGE);
    let span = furthest.log2().ceil().max(1.0);
    let ticks: Vec<(f64, String)> = (-(span as i32)..=span as i32)
        .map(|k| (f64::from(k), if k >= 0 { format!("{}", 1u64 << k) } else { format!("1/{}", 1u64 << -k) }))
        .collect();
    let at = |v: f64| v.max(f64::MIN_POSITIVE).log2().clamp(-span, span);
    let rows: Vec<EffectRow> = rows
        .iter()
        .map(|r| EffectRow {
            name: r.name.clone(),
            value: at(r.value),
            ends: r.ends.map(|(l, h)| (at(l), at(h))),
        })
        .collect();
    // What lies at an end of the axis was drawn there from beyond, or is just that.
    let end = 1u64 << span as u32;
    strip("Odds ratio per standard deviation", note, &rows, (-span, span), &ticks, |v| match v {
        v if v >= span => format!("{end} or more"),
        v if v <= -span => format!("1/{end} or less"),
        v => decimal(Some(v.exp2()), 2),
    })
}

/// What the AUROC loses without each attribute, with one standard deviation to either side, in the given order.
pub fn importance_figure(rows: &[EffectRow], note: &str) -> Scene {
    let all = || {
        rows.iter().flat_map(|r| [r.value, r.ends.map_or(r.value, |e| e.0), r.ends.map_or(r.value, |e| e.1)])
    };
    let (low, high) = (all().fold(0.0, f64::min), all().fold(0.02, f64::max));
    let step = [0.01, 0.02, 0.05, 0.1, 0.2].into_iter().find(|s| (high - low) / s <= 7.0).unwrap_or(0.5);
    let (first, last) = ((low / step).floor() as i32, (high / step).ceil() as i32);
    let ticks: Vec<(f64, String)> =
        (first..=last).map(|k| (f64::from(k) * step, decimal(Some(f64::from(k) * step), 2))).collect();
    let range = (f64::from(first) * step, f64::from(last) * step);
    strip("Importance: loss of AUROC where the values are dealt anew", note, rows, range, &ticks, |v| {
        decimal(Some(v), 3)
    })
}

fn strip(
    title: &str,
    note: &str,
    rows: &[EffectRow],
    (low, high): (f64, f64),
    ticks: &[(f64, String)],
    number: impl Fn(f64) -> String,
) -> Scene {
    let bottom = TOP + rows.len().max(1) as f64 * ROW;
    let mut scene = Scene::new(WIDTH, bottom + 30.0, title);
    scene.text_within(16.0, 29.0, title, WIDTH - 32.0, TextStyle::new(15.0, Ink::Text).bold());
    scene.text_within(16.0, 48.0, note, WIDTH - 32.0, TextStyle::new(12.0, Ink::Muted));
    let (left, right) = (NAMES, WIDTH - 66.0);
    let at = |v: f64| left + ((v - low) / (high - low)).clamp(0.0, 1.0) * (right - left);
    let style = TextStyle::new(11.5, Ink::Muted);
    for (value, label) in ticks {
        let ink = if *value == 0.0 { Ink::Muted } else { Ink::Grid };
        scene.line((at(*value), TOP), (at(*value), bottom), Stroke::solid(ink, 1.0));
        scene.text(at(*value), bottom + 16.0, label, style.middle());
    }
    for (i, row) in rows.iter().enumerate() {
        let y = TOP + (i as f64 + 0.5) * ROW;
        let text = TextStyle::new(12.0, Ink::Text);
        scene.text(
            left - 12.0,
            y + 4.0,
            shorten(&row.name, text.size, text.weight, NAMES - 28.0),
            text.end(),
        );
        let ink = if row.value >= 0.0 { VERMILION } else { BLUE };
        if let Some((low, high)) = row.ends {
            scene.line((at(low), y), (at(high), y), Stroke::solid(ink, 2.0));
        }
        scene.dot(at(row.value), y, 5.0, ink);
        scene.text(right + 12.0, y + 4.0, number(row.value), text);
    }
    scene
}

/// Before and after of one measure, with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectPair {
    /// What was measured.
    pub name: String,
    /// With the cause.
    pub before: f64,
    /// Without it.
    pub after: f64,
}

/// Pairs of values from 0 to 1 (or beyond) joined by lines; `names` are those of the two dots.
pub fn pairs_figure(title: &str, names: [&str; 2], rows: &[EffectPair]) -> Scene {
    const LABELS: f64 = 470.0;
    const PAIRS_WIDTH: f64 = 900.0;
    let high = rows.iter().flat_map(|r| [r.before, r.after]).fold(1.0, f64::max);
    let high = (high * 5.0).ceil() / 5.0;
    let bottom = TOP + rows.len().max(1) as f64 * ROW;
    let mut scene = Scene::new(PAIRS_WIDTH, bottom + 30.0, title);
    scene.text_within(16.0, 29.0, title, PAIRS_WIDTH - 32.0, TextStyle::new(15.0, Ink::Text).bold());
    let style = TextStyle::new(12.0, Ink::Text);
    let mut x = LABELS;
    for (name, ink) in names.into_iter().zip([VERMILION, BLUE]) {
        scene.dot(x + 5.0, 46.0, 5.0, ink);
        scene.text(x + 16.0, 50.0, name, style);
        x += 16.0 + style.width(name) + 22.0;
    }
    let at = |v: f64| LABELS + v.clamp(0.0, high) / high * (PAIRS_WIDTH - 30.0 - LABELS);
    let ticks = (high * 5.0).round() as usize;
    let muted = TextStyle::new(11.5, Ink::Muted);
    for k in 0..=ticks {
        let v = k as f64 / 5.0;
        scene.line((at(v), TOP), (at(v), bottom), Stroke::solid(Ink::Grid, 1.0));
        scene.text(at(v), bottom + 16.0, decimal(Some(v), 1), muted.middle());
    }
    for (i, row) in rows.iter().enumerate() {
        let y = TOP + (i as f64 + 0.5) * ROW;
        scene.text(
            LABELS - 12.0,
            y + 4.0,
            shorten(&row.name, 11.0, style.weight, LABELS - 28.0),
            TextStyle::new(11.0, Ink::Text).end(),
        );
        scene.line((at(row.before), y), (at(row.after), y), Stroke::solid(Ink::Muted, 1.5));
        scene.dot(at(row.before), y, 5.0, VERMILION);
        scene.dot(at(row.after), y, 5.0, BLUE);
    }
    scene
}

/// The mean predicted probability over the values of one attribute, beside the share of cases with the outcome.
pub fn dependence_figure(name: &str, points: &[(f64, f64)], prevalence: f64) -> Scene {
    Chart {
        title: name.to_owned(),
        x: Axis::fit(name),
        y: Axis::fixed("mean predicted probability", 0.0, 1.0),
        marks: vec![
            Mark::Level { name: "share with the outcome".to_owned(), y: prevalence, ink: Ink::Muted },
            Mark::Line { name: String::new(), points: points.to_vec(), ink: BLUE, dashed: false },
        ],
        size: (430.0, 300.0),
        ..Chart::default()
    }
    .scene()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_below_one_lie_left_of_it_and_keep_their_number() {
        let row = |name: &str, value: f64| EffectRow {
            name: name.to_owned(),
            value,
            ends: Some((value * 0.8, value * 1.2)),
        };
        let svg = odds_figure(&[row("up", 2.5), row("down", 0.4)], "").to_svg();
        assert!(svg.contains(">2.50<") && svg.contains(">0.40<") && svg.contains(">1/2<"), "{svg}");
        let empty = importance_figure(&[], "").to_svg();
        assert!(empty.contains("Importance"));
    }

    #[test]
    fn a_table_in_markdown_keeps_its_columns() {
        let table = TextTable {
            columns: vec!["a".into(), "b".into()],
            rows: vec![vec!["x|y".into(), "1".into()]],
            ..TextTable::default()
        };
        assert_eq!(table.to_markdown(), "| a | b |\n|---|---:|\n| x\\|y | 1 |\n");
    }
}
