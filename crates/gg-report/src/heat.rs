//! A map of numbers laid over a slice in colour: where a network looks.

use crate::ink::Ink;
use crate::numbers::decimal;
use crate::picture::{Overlay, SlicePicture, outline_legend, slice_scene};
use crate::scene::{Fill, Item, Scene, Stroke, TextStyle};
use std::sync::Arc;

/// An 8-bit colour picture, rows from top to bottom.
///
/// The invariant `pixels.len() == width * height > 0` is why the fields are private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Colour {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

impl Colour {
    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Red, green, blue, row by row.
    pub fn pixels(&self) -> &[[u8; 3]] {
        &self.pixels
    }

    /// The picture alone as PNG bytes.
    pub fn to_png(&self) -> Vec<u8> {
        let rgb: Vec<u8> = self.pixels.iter().flatten().copied().collect();
        crate::encode::rgb_png(self.width, self.height, &rgb)
    }
}

/// One map over its slice.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatPanel {
    /// What it shows, e.g. `Grad-CAM`.
    pub title: String,
    /// One value per pixel of the slice; empty for the slice alone.
    pub values: Vec<f32>,
    /// What a value means, e.g. `drop of the probability`; may be empty.
    pub unit: String,
}

/// Most of a pixel that colour may take, so that anatomy stays visible.
const STRONGEST: f32 = 0.75;
/// Below this share of the largest value nothing is coloured.
const FAINTEST: f32 = 0.04;
/// Stops of the warm ramp (positive values) and of the cold one (negative values), after the perceptual maps in common use.
const WARM: [[f32; 3]; 4] =
    [[90.0, 20.0, 110.0], [200.0, 45.0, 80.0], [245.0, 135.0, 25.0], [252.0, 240.0, 150.0]];
const COLD: [[f32; 3]; 3] = [[30.0, 60.0, 120.0], [40.0, 130.0, 200.0], [160.0, 225.0, 250.0]];

/// The colour of a value between -1 and 1.
fn colour(t: f32) -> [f32; 3] {
    let stops: &[[f32; 3]] = if t >= 0.0 { &WARM } else { &COLD };
    let at = t.abs().clamp(0.0, 1.0) * (stops.len() - 1) as f32;
    let (low, part) = ((at as usize).min(stops.len() - 2), at - (at as usize).min(stops.len() - 2) as f32);
    std::array::from_fn(|c| stops[low][c] + (stops[low + 1][c] - stops[low][c]) * part)
}

/// A slice with a map laid over it; warm where values are positive, cold where negative, plain where they are small. `None`
/// where the map does not have one value per pixel.
pub fn heat_picture(picture: &SlicePicture, values: &[f32]) -> Option<Colour> {
    let grey = &picture.grey;
    if values.len() != grey.pixels().len() {
        return None;
    }
    let largest = largest(values);
    let blend = |(&g, &v): (&u8, &f32)| {
        let t = if largest > 0.0 && v.is_finite() { v / largest } else { 0.0 };
        let opacity = if t.abs() < FAINTEST { 0.0 } else { STRONGEST * t.abs().sqrt() };
        colour(t).map(|c| (f32::from(g) * (1.0 - opacity) + c * opacity).round() as u8)
    };
    let pixels = grey.pixels().iter().zip(values).map(blend).collect();
    Some(Colour { width: grey.width(), height: grey.height(), pixels })
}

fn largest(values: &[f32]) -> f32 {
    values.iter().filter(|v| v.is_finite()).fold(0.0, |m, v| v.abs().max(m))
}

/// Panels of one slice side by side: each map over the slice with its scale, outlines of the masks on all.
pub fn heat_figure(picture: &SlicePicture, panels: &[HeatPanel], tile_width: f64) -> Scene {
    const MARGIN: f64 = 16.0;
    const GAP: f64 = 14.0;
    const TITLE: f64 = 26.0;
    const BAR: f64 = 44.0;
    const LEGEND: f64 = 24.0;
    let masked = picture.lung.is_some() || picture.infection.is_some();
    let tall = (tile_width * picture.aspect()).round();
    let columns = panels.len().max(1) as f64;
    let width = 2.0 * MARGIN + columns * (tile_width + GAP) - GAP;
    let height = MARGIN + TITLE + tall + BAR + if masked { LEGEND } else { 0.0 };
    let mut scene = Scene::new(width, height, format!("Maps over a slice: {}", picture.caption));
    let lines = Overlay { fill: 0.0, ..Overlay::default() };
    for (i, panel) in panels.iter().enumerate() {
        let (x, y) = (MARGIN + i as f64 * (tile_width + GAP), MARGIN + TITLE);
        let bold = TextStyle::new(13.0, Ink::Text).bold();
        scene.text_within(x, MARGIN + 13.0, &panel.title, tile_width, bold);
        scene.place(&slice_scene(picture, tile_width, lines), x, y);
        if let Some(picture) = heat_picture(picture, &panel.values) {
            // Over the grey slice, below its outlines.
            let at = scene.items.iter().rposition(|item| matches!(item, Item::Image { .. }));
            let over = Item::Colour { x, y, w: tile_width, h: tall, picture: Arc::new(picture) };
            match at {
                Some(at) => scene.items[at] = over,
                None => scene.items.push(over),
            }
            bar(&mut scene, (x, y + tall + 12.0), tile_width, panel);
        }
    }
    if masked {
        outline_legend(&mut scene, MARGIN, height - LEGEND + 8.0);
    }
    scene
}

/// The scale of a map: its colours from the lowest to the highest value.
fn bar(scene: &mut Scene, (x, y): (f64, f64), width: f64, panel: &HeatPanel) {
    const STEPS: usize = 48;
    const HEIGHT: f64 = 8.0;
    let largest = largest(&panel.values);
    let negative = panel.values.iter().any(|v| *v < -FAINTEST * largest);
    let from = if negative { -1.0 } else { 0.0 };
    let step = width / STEPS as f64;
    for i in 0..STEPS {
        let t = from + (1.0 - from) * (i as f32 + 0.5) / STEPS as f32;
        let [r, g, b] = colour(t).map(|c| c.round() as u8);
        scene.rect(x + i as f64 * step, y, step + 0.3, HEIGHT, Fill::solid(Ink::Rgb(r, g, b)));
    }
    scene.path(
        vec![vec![(x, y), (x + width, y), (x + width, y + HEIGHT), (x, y + HEIGHT)]],
        true,
        None,
        Some(Stroke::solid(Ink::Grid, 0.8)),
    );
    let style = TextStyle::new(11.0, Ink::Muted);
    let number = |v: f32| decimal(Some(f64::from(v)), 3);
    scene.text(x, y + HEIGHT + 14.0, number(from * largest), style);
    scene.text(x + width, y + HEIGHT + 14.0, number(largest), style.end());
    scene.text_within(x + width / 2.0, y + HEIGHT + 14.0, &panel.unit, width - 90.0, style.middle());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Grey;

    #[test]
    fn only_pixels_that_matter_are_coloured_warm_above_and_cold_below_zero() {
        let picture = SlicePicture::plain(Grey::new(4, 1, vec![100; 4]).unwrap());
        let heat = heat_picture(&picture, &[0.0, 1.0, -1.0, 0.01]).unwrap();
        let p = heat.pixels();
        assert_eq!((p[0], p[3]), ([100; 3], [100; 3]));
        assert!(p[1][0] > p[1][2] && p[2][2] > p[2][0], "{p:?}");
        assert_eq!(heat_picture(&picture, &[0.0]), None);
        assert!(heat_picture(&picture, &[0.0; 4]).unwrap().pixels().iter().all(|p| *p == [100; 3]));
    }
}
