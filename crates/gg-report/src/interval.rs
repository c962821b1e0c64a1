//! A percentage with its interval, over the range that human readers leave open.

use crate::ink::{GREEN, INFECTION, Ink};
use crate::inputs::PercentInterval;
use crate::numbers::percent;
use crate::scene::{Fill, Scene, Stroke, TextStyle};

/// Where the axis may end, in percent.
const ENDS: [f64; 6] = [5.0, 10.0, 25.0, 50.0, 75.0, 100.0];

/// Two bars over one axis of percentages: the interval with the percentage as a dot, and what two readers may differ by.
pub fn interval_bar(interval: &PercentInterval) -> Scene {
    const ROW: f64 = 34.0;
    let (width, left, right, top) = (620.0, 150.0, 500.0, 56.0);
    let bottom = top + 2.0 * ROW;
    let mut scene = Scene::new(width, bottom + 46.0, "Interval around the infected share");
    scene.text(16.0, 29.0, "How sure is this share?", TextStyle::new(15.0, Ink::Text).bold());
    let known = |v: f64| if v.is_finite() { v.clamp(0.0, 100.0) } else { 0.0 };
    let most = known(interval.ends.1).max(known(interval.readers.1)).max(known(interval.found));
    let full = ENDS.into_iter().find(|f| most <= *f).unwrap_or(100.0);
    let at = |v: f64| left + known(v) / full * (right - left);
    for share in [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] {
        let x = left + share * (right - left);
        scene.line((x, top - 4.0), (x, bottom), Stroke::solid(Ink::Grid, 1.0));
        let style = TextStyle::new(11.5, Ink::Muted).middle();
        scene.text(x, bottom + 16.0, format!("{}", full * share), style);
    }
    let style = TextStyle::new(11.5, Ink::Muted).middle();
    scene.text((left + right) / 2.0, bottom + 34.0, "infected share of the lung (%)", style);
    let rows = [
        (format!("{:.0}\u{a0}% interval", 100.0 * interval.level), interval.ends, INFECTION, 0.75),
        ("two human readers".to_owned(), interval.readers, GREEN, 0.3),
    ];
    for (i, (name, (low, high), ink, opacity)) in rows.into_iter().enumerate() {
        let y = top + i as f64 * ROW;
        scene.text(left - 12.0, y + 18.0, name, TextStyle::new(12.5, Ink::Text).end());
        let length = (at(high) - at(low)).max(2.0);
        scene.card((at(low), y + 5.0), (length, 18.0), 3.0, Fill { ink, opacity }, None);
        let ends = format!("{} to {}", percent(Some(low)), percent(Some(high)));
        scene.text(right + 12.0, y + 18.0, ends, TextStyle::new(12.0, Ink::Text));
    }
    let x = at(interval.found);
    scene.line((x, top - 2.0), (x, bottom - 2.0), Stroke::solid(Ink::Text, 1.5));
    scene.dot(x, top + 14.0, 4.5, Ink::Text);
    scene
}
