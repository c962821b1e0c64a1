//! The six zones of the lungs as bars, arranged as a radiologist sees the patient: the right lung on the left.

use crate::ink::{INFECTION, Ink};
use crate::inputs::RegionNumbers;
use crate::numbers::percent;
use crate::scene::{Fill, Scene, Stroke, TextStyle};

/// Names of the zones from the apex down.
pub(crate) const THIRDS: [&str; 3] = ["upper", "middle", "lower"];

/// Infected share of each zone.
///
/// # Shape
/// Right upper, right middle, right lower, left upper, left middle, left lower.
pub fn zone_bars(zones: &[RegionNumbers; 6]) -> Scene {
    const ROW: f64 = 46.0;
    const MIDDLE: f64 = 44.0;
    let (width, top) = (620.0, 84.0);
    let bottom = top + 3.0 * ROW;
    let mut scene = Scene::new(width, bottom + 40.0, "Infected share of the six lung zones");
    scene.text(16.0, 29.0, "Six zones", TextStyle::new(15.0, Ink::Text).bold());
    let centre = width / 2.0;
    let length = centre - MIDDLE - 92.0;
    let head = TextStyle::new(12.0, Ink::Muted).bold();
    scene.text(centre - MIDDLE, 62.0, "Right lung", head.end());
    scene.text(centre + MIDDLE, 62.0, "Left lung", head);
    let most = zones.iter().filter_map(|z| z.percent).filter(|p| p.is_finite()).fold(0.0, f64::max);
    // The bars end at a round share, so that a healthy patient's bars do not look full.
    let full = [10.0, 25.0, 50.0, 100.0].into_iter().find(|f| most <= *f).unwrap_or(100.0);
    for (row, third) in THIRDS.iter().enumerate() {
        let y = top + row as f64 * ROW;
        scene.text(centre, y + 20.0, *third, TextStyle::new(12.5, Ink::Text).middle());
        for (zone, side) in [(&zones[row], -1.0), (&zones[row + 3], 1.0)] {
            let share = zone.percent.filter(|p| p.is_finite()).map_or(0.0, |p| (p / full).clamp(0.0, 1.0));
            let (start, bar) = (centre + side * MIDDLE, share * length);
            let left = |w: f64| if side < 0.0 { start - w } else { start };
            scene.card((left(length), y + 4.0), (length, 24.0), 3.0, Fill::solid(Ink::Panel), None);
            if bar > 0.0 {
                scene.card(
                    (left(bar.max(2.0)), y + 4.0),
                    (bar.max(2.0), 24.0),
                    3.0,
                    Fill::solid(INFECTION),
                    None,
                );
            }
            let style = TextStyle::new(13.0, Ink::Text).bold();
            let style = if side < 0.0 { style.end() } else { style };
            let at = start + side * (length + 10.0);
            scene.text(at, y + 15.0, percent(zone.percent), style);
            let points = zone
                .score
                .map_or(String::new(), |s| if s == 1 { "1 point".into() } else { format!("{s} points") });
            let style =
                TextStyle { size: 10.5, ink: Ink::Muted, weight: crate::font::Weight::Regular, ..style };
            scene.text(at, y + 29.0, points, style);
        }
    }
    for side in [-1.0, 1.0] {
        let start = centre + side * MIDDLE;
        scene.line((start, top - 6.0), (start, bottom - 8.0), Stroke::solid(Ink::Muted, 1.0));
        for share in [0.0, 0.5, 1.0] {
            let style = TextStyle::new(10.5, Ink::Muted).middle();
            scene.text(start + side * share * length, bottom + 8.0, format!("{:.0}", full * share), style);
        }
    }
    let note = format!("infected share of each zone in per cent; a full bar is {full:.0} %");
    scene.text(centre, bottom + 28.0, note, TextStyle::new(11.0, Ink::Muted).middle());
    scene
}
