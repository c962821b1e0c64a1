//! The plots of training and evaluation, each from plain data.

use crate::axis::Axis;
use crate::chart::{Chart, Mark};
use crate::font::shorten;
use crate::ink::{BLUE, GREEN, INFECTION, Ink, VERMILION};
use crate::inputs::{
    BurdenPair, Confusion, EpochRow, Figure, HumanBand, Reliability, ReliabilityBin, ScoreCurve, SliceStrip,
};
use crate::numbers::decimal;
use crate::scene::{Fill, Scene, Stroke, TextStyle};

/// Side of the square plots (ROC, PR, reliability, agreement).
const SQUARE: (f64, f64) = (430.0, 460.0);

/// Learning rate, loss, accuracy, Dice and AUROC per epoch, those of them that were measured.
pub fn training_curves(epochs: &[EpochRow], best_epoch: Option<usize>) -> Vec<Figure> {
    type Pick = fn(&EpochRow) -> Option<f64>;
    let plots: [(&str, &str, Option<Pick>, Option<Pick>); 5] = [
        ("Loss", "loss", Some(|e| e.train_loss), Some(|e| e.val_loss)),
        ("Dice", "Dice", Some(|e| e.train_dice), Some(|e| e.val_dice)),
        ("Accuracy", "accuracy", Some(|e| e.train_accuracy), Some(|e| e.val_accuracy)),
        ("AUROC", "AUROC", None, Some(|e| e.val_auroc)),
        ("Learning rate", "learning rate", Some(|e| e.learning_rate), None),
    ];
    let mut figures = Vec::new();
    for (title, label, train, val) in plots {
        let mut marks = Vec::new();
        for (name, pick, ink) in [("training", train, BLUE), ("validation", val, VERMILION)] {
            let Some(pick) = pick else { continue };
            let points: Vec<_> =
                epochs.iter().map(|e| (e.epoch as f64, pick(e).unwrap_or(f64::NAN))).collect();
            if points.iter().any(|p| p.1.is_finite()) {
                let name = if label == "learning rate" { "" } else { name };
                marks.push(Mark::Line { name: name.to_owned(), points, ink, dashed: false });
            }
        }
        if marks.is_empty() {
            continue;
        }
        if let Some(best) = best_epoch.filter(|_| label != "learning rate") {
            let name = format!("best checkpoint: epoch {best}");
            marks.push(Mark::Upright { name, x: best as f64, ink: Ink::Muted });
        }
        let title = format!("{title} per epoch");
        let chart = Chart {
            title: title.clone(),
            x: Axis::fit("epoch").whole(),
            y: Axis::fit(label),
            marks,
            ..Chart::default()
        };
        figures.push(Figure { title, caption: String::new(), scene: chart.scene() });
    }
    figures
}

/// ROC curve with its area and the point of the chosen threshold.
pub fn roc_plot(curve: &ScoreCurve) -> Scene {
    let chance = Mark::Line {
        name: "chance".into(),
        points: vec![(0.0, 0.0), (1.0, 1.0)],
        ink: Ink::Muted,
        dashed: true,
    };
    let note = format!("area under the curve {}", decimal(curve.area, 3));
    let axes =
        (Axis::fixed("false-positive rate (1 − specificity)", 0.0, 1.0), "true-positive rate (sensitivity)");
    score_plot("ROC curve", note, curve, Some(chance), axes.0, axes.1)
}

/// Precision-recall curve; `prevalence` is the share of positives, the level of guessing.
pub fn pr_plot(curve: &ScoreCurve, prevalence: Option<f64>) -> Scene {
    let chance = prevalence.filter(|p| p.is_finite()).map(|p| Mark::Line {
        name: "share of positives".into(),
        points: vec![(0.0, p), (1.0, p)],
        ink: Ink::Muted,
        dashed: true,
    });
    let note = format!("average precision {}", decimal(curve.area, 3));
    score_plot(
        "Precision-recall curve",
        note,
        curve,
        chance,
        Axis::fixed("recall (sensitivity)", 0.0, 1.0),
        "precision",
    )
}

fn score_plot(
    title: &str,
    note: String,
    curve: &ScoreCurve,
    chance: Option<Mark>,
    x: Axis,
    y: &str,
) -> Scene {
    let mut marks = vec![Mark::Area { points: curve.points.clone(), ink: BLUE }];
    if !curve.points.is_empty() {
        marks.extend(chance);
    }
    let name = if curve.points.is_empty() { "" } else { "as scored" };
    marks.push(Mark::Line { name: name.into(), points: curve.points.clone(), ink: BLUE, dashed: false });
    if let Some(at) = curve.operating {
        marks.push(Mark::Points {
            name: "chosen threshold".into(),
            points: vec![at],
            ink: VERMILION,
            radius: 5.5,
        });
        marks.push(Mark::Label {
            at,
            text: format!("({}, {})", decimal(Some(at.0), 2), decimal(Some(at.1), 2)),
        });
    }
    Chart { title: title.into(), note, x, y: Axis::fixed(y, 0.0, 1.0), marks, size: SQUARE }.scene()
}

/// Share of positives against the predicted probability; the size of a dot grows with the number of cases in its bin.
pub fn reliability_plot(reliability: &Reliability) -> Scene {
    let most = reliability.after.iter().map(|b| b.count).max().unwrap_or(1).max(1) as f64;
    let points = |bins: &[ReliabilityBin]| bins.iter().map(|b| (b.predicted, b.observed)).collect();
    let mut marks = Vec::new();
    if !reliability.after.is_empty() {
        marks.push(Mark::Line {
            name: "perfectly calibrated".into(),
            points: vec![(0.0, 0.0), (1.0, 1.0)],
            ink: Ink::Muted,
            dashed: true,
        });
    }
    let named = |name: &str, ece: Option<f64>| format!("{name}, ECE {}", decimal(ece, 4));
    if !reliability.before.is_empty() {
        marks.push(Mark::Line {
            name: named("before", reliability.ece_before),
            points: points(&reliability.before),
            ink: VERMILION,
            dashed: true,
        });
    }
    if !reliability.after.is_empty() {
        let name = if reliability.before.is_empty() { "this model" } else { "calibrated" };
        let points = points(&reliability.after);
        marks.push(Mark::Line { name: named(name, reliability.ece), points, ink: BLUE, dashed: false });
    }
    for bin in &reliability.after {
        let radius = 3.0 + 5.0 * (bin.count as f64 / most).sqrt();
        let points = vec![(bin.predicted, bin.observed)];
        marks.push(Mark::Points { name: String::new(), points, ink: BLUE, radius });
    }
    Chart {
        title: "Reliability".into(),
        note: format!("larger dots stand for more {}", or_cases(&reliability.counted)),
        x: Axis::fixed("predicted probability", 0.0, 1.0),
        y: Axis::fixed("share of positives", 0.0, 1.0),
        marks,
        size: SQUARE,
    }
    .scene()
}

/// What is counted, in words.
pub(crate) fn or_cases(counted: &str) -> &str {
    if counted.is_empty() { "cases" } else { counted }
}

/// Whether there are enough cases to speak of agreement: one dot shows nothing.
pub fn shows_agreement(pairs: &[BurdenPair]) -> bool {
    pairs.iter().filter(|p| p.truth.is_finite() && p.pred.is_finite()).count() > 1
}

/// Predicted against true percentage of infected lung, one dot per case, with its interval where there is one.
pub fn agreement_scatter(pairs: &[BurdenPair]) -> Scene {
    let finite = pairs.iter().filter(|p| p.truth.is_finite() && p.pred.is_finite());
    let intervals: Vec<(f64, (f64, f64))> = finite
        .clone()
        .filter_map(|p| Some((p.truth, p.interval.filter(|(l, h)| l.is_finite() && h.is_finite())?)))
        .collect();
    let ends = intervals.iter().map(|(_, (_, high))| *high);
    let most = finite.flat_map(|p| [p.truth, p.pred]).chain(ends).fold(1.0, f64::max);
    let top = most * 1.05;
    let points: Vec<_> = pairs.iter().map(|p| (p.truth, p.pred)).collect();
    let ideal = vec![(0.0, 0.0), (top, top)];
    let mut marks = Vec::new();
    if !pairs.is_empty() {
        marks.push(Mark::Line { name: "equal".into(), points: ideal, ink: Ink::Muted, dashed: true });
        for (i, (truth, (low, high))) in intervals.into_iter().enumerate() {
            let name = if i == 0 { "interval".to_owned() } else { String::new() };
            let points = vec![(truth, low), (truth, high)];
            marks.push(Mark::Line { name, points, ink: BLUE.tint(0.55), dashed: false });
        }
        marks.push(Mark::Points { name: "cases".into(), points, ink: BLUE, radius: 4.5 });
    }
    Chart {
        title: "Infected share of the lung".into(),
        x: Axis::fixed("truth (% of lung)", 0.0, top),
        y: Axis::fixed("prediction (% of lung)", 0.0, top),
        marks,
        size: SQUARE,
        ..Chart::default()
    }
    .scene()
}

/// Difference against mean (Bland and Altman 1986), with the mean difference and the 95 % limits of agreement.
pub fn bland_altman(pairs: &[BurdenPair]) -> Scene {
    /// Normal deviate of a 95 % interval.
    const LIMIT: f64 = 1.96;
    let finite = |p: &&BurdenPair| p.truth.is_finite() && p.pred.is_finite();
    let points: Vec<(f64, f64)> =
        pairs.iter().filter(finite).map(|p| ((p.truth + p.pred) / 2.0, p.pred - p.truth)).collect();
    let n = points.len() as f64;
    let mut marks = Vec::new();
    if !points.is_empty() {
        let mean = points.iter().map(|p| p.1).sum::<f64>() / n;
        marks.push(Mark::Level { name: format!("mean {}", decimal(Some(mean), 2)), y: mean, ink: Ink::Text });
        if points.len() > 1 {
            let sd = (points.iter().map(|p| (p.1 - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
            for (name, y) in [("+1.96 SD", mean + LIMIT * sd), ("−1.96 SD", mean - LIMIT * sd)] {
                let name = format!("{name}: {}", decimal(Some(y), 2));
                marks.push(Mark::Level { name, y, ink: Ink::Muted });
            }
        }
        marks.push(Mark::Points { name: String::new(), points, ink: BLUE, radius: 4.5 });
    }
    Chart {
        title: "Bland-Altman".into(),
        x: Axis::fit("mean of truth and prediction (% of lung)"),
        y: Axis::fit("prediction − truth (percentage points)"),
        marks,
        size: SQUARE,
        ..Chart::default()
    }
    .scene()
}

/// Cases or patients that are named one by one in the strip; more of them become dots in order of Dice.
const NAMED_CASES: usize = 60;

/// Dice of each case or patient, worst on top, over an optional band of what human readers reach.
pub fn dice_strip(title: &str, cases: &[(String, Option<f64>)], band: Option<&HumanBand>) -> Scene {
    let mut known: Vec<(&str, f64)> =
        cases.iter().filter_map(|(name, d)| Some((name.as_str(), d.filter(|d| d.is_finite())?))).collect();
    known.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(b.0)));
    let undefined = cases.len() - known.len();
    let named = known.len() <= NAMED_CASES;
    let (width, row) = (620.0, if named { 20.0 } else { 4.0 });
    let left = if named { 170.0 } else { 30.0 };
    let right = width - 64.0;
    let band_h = if band.is_some() { 20.0 } else { 0.0 };
    let top = 46.0 + band_h;
    let bottom = top + (known.len().max(1) as f64) * row + 6.0;
    let note_h = if undefined > 0 { 20.0 } else { 0.0 };
    let mut scene = Scene::new(width, bottom + 44.0 + note_h, title);
    scene.text_within(16.0, 29.0, title, width - 32.0, TextStyle::new(15.0, Ink::Text).bold());
    let at = |dice: f64| left + dice.clamp(0.0, 1.0) * (right - left);
    if let Some(band) = band {
        let (x0, x1) = (at(band.low), at(band.high));
        scene.rect(x0, top - 4.0, x1 - x0, bottom - top + 4.0, Fill { ink: GREEN, opacity: 0.16 });
        scene.card((16.0, 42.0), (19.0, 10.0), 2.0, Fill { ink: GREEN, opacity: 0.25 }, None);
        scene.text_within(42.0, 51.0, &band.label, width - 60.0, TextStyle::new(12.0, Ink::Text));
    }
    let style = TextStyle::new(11.5, Ink::Muted);
    for tick in 0..=5 {
        let (dice, x) = (f64::from(tick) / 5.0, at(f64::from(tick) / 5.0));
        scene.line((x, top - 4.0), (x, bottom), Stroke::solid(Ink::Grid, 1.0));
        scene.text(x, bottom + 16.0, decimal(Some(dice), 1), style.middle());
    }
    scene.text((left + right) / 2.0, bottom + 34.0, "Dice", style.middle());
    for (i, (name, dice)) in known.iter().enumerate() {
        let y = top + (i as f64 + 0.5) * row;
        if named {
            scene.line((left, y), (at(*dice), y), Stroke::solid(Ink::Grid, 3.0));
            let text = TextStyle::new(12.0, Ink::Text);
            scene.text(left - 10.0, y + 4.0, shorten(name, text.size, text.weight, left - 26.0), text.end());
            scene.text(right + 12.0, y + 4.0, decimal(Some(*dice), 3), text);
        }
        scene.dot(at(*dice), y, if named { 5.0 } else { 3.5 }, BLUE);
    }
    if known.is_empty() {
        scene.text(
            (left + right) / 2.0,
            top + row / 2.0 + 4.0,
            "nothing with a defined Dice",
            style.middle(),
        );
    }
    if undefined > 0 {
        let note = format!("{undefined} with both masks empty: Dice undefined, not shown");
        scene.text(16.0, bottom + 54.0, note, style);
    }
    scene
}

/// Two-class confusion matrix as a table in which a darker cell holds more; counts and percentages of the true class.
pub fn confusion_matrix(title: &str, counts: &Confusion, positive: &str, negative: &str) -> Scene {
    const CELL: (f64, f64) = (150.0, 84.0);
    let (left, top) = (120.0, 92.0);
    let mut scene = Scene::new(left + 2.0 * CELL.0 + 24.0, top + 2.0 * CELL.1 + 44.0, title);
    scene.text(16.0, 29.0, title, TextStyle::new(15.0, Ink::Text).bold());
    let style = TextStyle::new(12.0, Ink::Text);
    scene.text(left + CELL.0, 58.0, "predicted", TextStyle::new(11.5, Ink::Muted).middle());
    let rows = [(positive, counts.tp, counts.fn_), (negative, counts.fp, counts.tn)];
    for (column, name) in [positive, negative].iter().enumerate() {
        scene.text_within(
            left + (column as f64 + 0.5) * CELL.0,
            top - 14.0,
            name,
            CELL.0 - 8.0,
            style.bold().middle(),
        );
    }
    scene.text(22.0, top + CELL.1, "truth", TextStyle::new(11.5, Ink::Muted).middle().upwards());
    for (r, (name, predicted_positive, predicted_negative)) in rows.into_iter().enumerate() {
        let y = top + r as f64 * CELL.1;
        scene.text_within(left - 12.0, y + CELL.1 / 2.0 + 4.0, name, left - 50.0, style.bold().end());
        let total = predicted_positive.saturating_add(predicted_negative);
        for (c, count) in [predicted_positive, predicted_negative].into_iter().enumerate() {
            let share = (total > 0).then(|| count as f64 / total as f64);
            let x = left + c as f64 * CELL.0;
            let hue = if r == c { BLUE } else { VERMILION };
            let depth = share.unwrap_or(0.0);
            let ground = hue.tint(0.94 - 0.86 * depth);
            scene.card((x + 2.0, y + 2.0), (CELL.0 - 4.0, CELL.1 - 4.0), 6.0, Fill::solid(ground), None);
            // White type on the dark half of the scale. Both are fixed colours: the cell does not follow dark mode.
            let ink = if depth > 0.5 { Ink::Rgb(0xff, 0xff, 0xff) } else { Ink::Rgb(0x1c, 0x22, 0x2b) };
            let (cx, cy) = (x + CELL.0 / 2.0, y + CELL.1 / 2.0);
            let number = TextStyle::new(20.0, ink).bold().middle();
            scene.text(cx, cy + 1.0, crate::network::thousands(count), number);
            let of_row = share.map_or("no such case".to_owned(), |s| format!("{:.1} %", s * 100.0));
            scene.text(cx, cy + 22.0, of_row, TextStyle::new(12.0, ink).middle());
        }
    }
    let bottom = top + 2.0 * CELL.1 + 24.0;
    scene.text(left + CELL.0, bottom, "percentages of each row", TextStyle::new(11.5, Ink::Muted).middle());
    scene
}

/// Infected share and the classifier's probability along z.
pub fn slice_strip(strip: &SliceStrip) -> Scene {
    let ends = strip.ends.as_ref().map_or("slice".to_owned(), |(a, b)| format!("slice ({a} → {b})"));
    let line = |pick: fn(&crate::inputs::SliceRow) -> Option<f64>, factor: f64| -> Vec<(f64, f64)> {
        strip.rows.iter().map(|r| (r.z as f64, pick(r).map_or(f64::NAN, |v| v * factor))).collect()
    };
    let infected: Vec<_> = line(|r| r.percent, 1.0).into_iter().filter(|p| p.1 > 0.0).collect();
    let probability = line(|r| r.probability, 100.0);
    let mut marks = Vec::new();
    if strip.rows.iter().any(|r| r.percent.is_some()) {
        let name = "infected share of the lung in the slice".to_owned();
        marks.push(Mark::Bars { name, points: infected, width: 0.86, ink: INFECTION });
    }
    if probability.iter().any(|p| p.1.is_finite()) {
        let name = "probability that the slice shows infection".to_owned();
        marks.push(Mark::Line { name, points: probability, ink: BLUE, dashed: false });
        if let Some(t) = strip.threshold.filter(|t| t.is_finite()) {
            let name = format!("threshold {:.0} %", t * 100.0);
            marks.push(Mark::Level { name, y: t * 100.0, ink: Ink::Muted });
        }
    }
    let first = strip.rows.first().map_or(0.0, |r| r.z as f64);
    let last = strip.rows.last().map_or(1.0, |r| r.z as f64);
    let x = Axis { whole: true, ..Axis::fixed(ends, first.min(last) - 0.5, first.max(last) + 0.5) };
    Chart {
        title: "Along the scan".into(),
        x,
        y: Axis::fixed("per cent", 0.0, 100.0),
        marks,
        size: (820.0, 300.0),
        ..Chart::default()
    }
    .scene()
}
