//! The figures of the paper that show pictures, each from plain data. Its numbers stand in the functions' first lines.
//!
//! # Source
//! "Lungs classification and segmentation for COVID-19 CT scans", DOI 10.48175/IJARSCT-9489. Its Fig. 6, 7 and 8 are
//! [`crate::layer_table`], [`crate::cnn_drawing`] and [`crate::unet_drawing`].

use crate::axis::Axis;
use crate::chart::{Chart, Mark};
use crate::ink::{BLUE, GREEN, INFECTION, Ink, VERMILION};
use crate::inputs::{Comparison, Confusion, EpochRow, ScoreLine};
use crate::numbers::{decimal, interval, score_decimals};
use crate::picture::{Grey, SlicePicture, comparison_panels, montage, outline_legend, slice_scene};
use crate::plots::{confusion_matrix, training_curves};
use crate::scene::{Fill, Item, Scene, Stroke, TextStyle};
use std::sync::Arc;

const PAD: f64 = 16.0;
const TITLE_H: f64 = 44.0;

/// A picture with a line below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Captioned {
    /// The picture.
    pub grey: Grey,
    /// What it is, in a few words.
    pub caption: String,
}

impl Captioned {
    /// A picture with its caption.
    pub fn new(grey: Grey, caption: impl Into<String>) -> Self {
        Self { grey, caption: caption.into() }
    }

    /// A mask in black and white.
    ///
    /// # Errors
    /// Where the labels do not fill `width` x `height`.
    pub fn mask(
        width: usize,
        height: usize,
        labels: &[u8],
        caption: impl Into<String>,
    ) -> Result<Self, crate::picture::PictureError> {
        let pixels = labels.iter().map(|&v| if v == 0 { 0 } else { u8::MAX }).collect();
        Ok(Self::new(Grey::new(width, height, pixels)?, caption))
    }
}

fn titled(width: f64, height: f64, title: &str) -> Scene {
    let mut scene = Scene::new(width, height, title);
    scene.text_within(PAD, 29.0, title, width - 2.0 * PAD, TextStyle::new(15.0, Ink::Text).bold());
    scene
}

/// Fig. 2: sample slices with the infection marked.
pub fn sample_figure(slices: &[SlicePicture]) -> Scene {
    let sheet = montage(slices, slices.len().clamp(1, 4), 230.0);
    let mut scene = titled(sheet.width, sheet.height + TITLE_H - 8.0, "Sample CT with infection marked");
    scene.place(&sheet, 0.0, TITLE_H - 8.0);
    scene
}

/// Fig. 3: a slice before and after CLAHE, each above its grey values.
pub fn contrast_figure(before: &Grey, after: &Grey) -> Scene {
    const SIDE: f64 = 300.0;
    const HISTOGRAM: f64 = 150.0;
    let tall = [before, after].map(|g| picture_height(g, SIDE)).into_iter().fold(0.0, f64::max);
    let width = 2.0 * SIDE + 3.0 * PAD;
    let mut scene = titled(width, TITLE_H + tall + 24.0 + HISTOGRAM + PAD, "Contrast before and after CLAHE");
    for (i, (grey, name)) in [(before, "before"), (after, "after CLAHE")].into_iter().enumerate() {
        let x = PAD + i as f64 * (SIDE + PAD);
        place_picture(&mut scene, grey, name, (x, TITLE_H), SIDE);
        let counts = histogram(grey.pixels());
        let (level, cut) = readable_top(&counts);
        let label = if cut { "pixels (highest bars cut)" } else { "pixels" };
        let counts = counts.map(|c| f64::from(c).min(level));
        let bars = histogram_chart("", &counts, BLUE, None, (SIDE + 2.0 * PAD, HISTOGRAM), label);
        scene.place(&bars, x - PAD, TITLE_H + tall + 18.0);
    }
    scene
}

/// Fig. 4 and 11: the steps of the preparation from left to right, with arrows; wrapped into rows of `columns`.
pub fn steps_figure(title: &str, steps: &[Captioned], columns: usize) -> Scene {
    const SIDE: f64 = 190.0;
    const BETWEEN: f64 = 30.0;
    let columns = columns.clamp(1, steps.len().max(1));
    let tall = steps.iter().map(|s| picture_height(&s.grey, SIDE)).fold(0.0, f64::max);
    let (rows, row_h) = (steps.len().div_ceil(columns), tall + 40.0);
    let width = (2.0 * PAD + columns as f64 * (SIDE + BETWEEN) - BETWEEN).max(320.0);
    let mut scene = titled(width, TITLE_H + rows as f64 * row_h, title);
    for (i, step) in steps.iter().enumerate() {
        let x = PAD + (i % columns) as f64 * (SIDE + BETWEEN);
        let y = TITLE_H + (i / columns) as f64 * row_h;
        let caption = format!("{}. {}", i + 1, step.caption);
        place_picture(&mut scene, &step.grey, &caption, (x, y), SIDE);
        if i + 1 < steps.len() && (i + 1) % columns != 0 {
            let middle = y + tall / 2.0;
            let ends = ((x + SIDE + 7.0, middle), (x + SIDE + BETWEEN - 6.0, middle));
            scene.arrow(ends.0, ends.1, Stroke::solid(Ink::Muted, 1.6));
        }
    }
    scene
}

/// Fig. 5: prepared slices in rows, e.g. CT, lung mask and infection mask beside each other.
pub fn prepared_figure(title: &str, rows: &[Vec<Captioned>]) -> Scene {
    const SIDE: f64 = 220.0;
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let heights: Vec<f64> = rows
        .iter()
        .map(|r| r.iter().map(|c| picture_height(&c.grey, SIDE)).fold(0.0, f64::max) + 32.0)
        .collect();
    let width = PAD + columns as f64 * (SIDE + PAD);
    let mut scene = titled(width, TITLE_H + heights.iter().sum::<f64>(), title);
    let mut y = TITLE_H;
    for (row, height) in rows.iter().zip(&heights) {
        for (i, picture) in row.iter().enumerate() {
            let x = PAD + i as f64 * (SIDE + PAD);
            place_picture(&mut scene, &picture.grey, &picture.caption, (x, y), SIDE);
        }
        y += height;
    }
    scene
}

/// Fig. 10: a sheet of prepared slices without captions.
pub fn sheet_figure(title: &str, pictures: &[Grey], columns: usize) -> Scene {
    const SIDE: f64 = 92.0;
    const GAP: f64 = 4.0;
    let columns = columns.clamp(1, pictures.len().max(1));
    let tall = pictures.iter().map(|p| picture_height(p, SIDE)).fold(0.0, f64::max);
    let rows = pictures.len().div_ceil(columns) as f64;
    let width = (2.0 * PAD + columns as f64 * (SIDE + GAP) - GAP).max(320.0);
    let mut scene = titled(width, TITLE_H + rows * (tall + GAP) + PAD, title);
    for (i, picture) in pictures.iter().enumerate() {
        let (column, row) = ((i % columns) as f64, (i / columns) as f64);
        let at = (PAD + column * (SIDE + GAP), TITLE_H + row * (tall + GAP));
        scene.image(at.0, at.1, SIDE, picture_height(picture, SIDE), Arc::new(picture.clone()));
    }
    scene
}

/// Input of [`clahe_figure`].
#[derive(Debug, Clone, PartialEq)]
pub struct ClaheFlow {
    /// The slice before.
    pub before: Grey,
    /// The slice after.
    pub after: Grey,
    /// Rows and columns of tiles.
    pub tiles: [usize; 2],
    /// The tile whose histogram is shown, row and column from 0.
    pub tile: [usize; 2],
    /// OpenCV's clip limit, as a multiple of the mean count; 0 for none.
    pub clip: f64,
}

/// Fig. 9: how CLAHE works on one tile: its histogram, the clipped one, the map of grey values, the result.
///
/// The histogram is that of the tile's own pixels (OpenCV pads pictures that its tiles do not divide; here they are
/// cut, which the eye cannot tell).
pub fn clahe_figure(flow: &ClaheFlow) -> Scene {
    const SIDE: f64 = 240.0;
    const CHART: (f64, f64) = (300.0, 210.0);
    const BETWEEN: f64 = 36.0;
    let tall = picture_height(&flow.before, SIDE).max(picture_height(&flow.after, SIDE));
    let row_h = tall.max(CHART.1) + 30.0;
    let width = 2.0 * PAD + SIDE + 2.0 * (CHART.0 + BETWEEN);
    let mut scene = titled(width, TITLE_H + 2.0 * row_h + PAD, "How CLAHE works");
    let [ty, tx] = flow.tile;
    let tile = Tile::new(flow);
    place_picture(&mut scene, &flow.before, "1. the slice, cut into tiles", (PAD, TITLE_H), SIDE);
    draw_tiles(&mut scene, flow, (PAD, TITLE_H), SIDE);
    let (x1, x2) = (PAD + SIDE + BETWEEN, PAD + SIDE + CHART.0 + 2.0 * BETWEEN);
    let name = format!("2. histogram of the tile in row {}, column {}", ty + 1, tx + 1);
    let limit = (flow.clip > 0.0).then_some(tile.limit);
    scene.place(&histogram_chart(&name, &tile.counts, BLUE, limit, CHART, "pixels"), x1, TITLE_H);
    let name = "3. clipped, the excess spread evenly";
    scene.place(&histogram_chart(name, &tile.clipped, GREEN, limit, CHART, "pixels"), x2, TITLE_H);
    let second = TITLE_H + row_h;
    scene.place(&map_chart(&tile.map, CHART), x2, second);
    place_picture(&mut scene, &flow.after, "5. each pixel: four maps, blended", (PAD, second), SIDE);
    let stroke = Stroke::solid(Ink::Muted, 1.6);
    let middle = TITLE_H + CHART.1 / 2.0;
    scene.arrow((PAD + SIDE + 6.0, middle), (x1 - 2.0, middle), stroke);
    scene.arrow((x1 + CHART.0 + 8.0, middle), (x2 - 2.0, middle), stroke);
    scene.arrow((x2 + CHART.0 / 2.0, TITLE_H + CHART.1 + 3.0), (x2 + CHART.0 / 2.0, second - 3.0), stroke);
    scene.arrow((x2 - 4.0, second + CHART.1 / 2.0), (PAD + SIDE + 8.0, second + CHART.1 / 2.0), stroke);
    let note = "every tile gets such a map";
    let middle_x = (PAD + SIDE + x2) / 2.0;
    scene.text(middle_x, second + CHART.1 / 2.0 - 8.0, note, TextStyle::new(12.0, Ink::Muted).middle());
    scene
}

struct Tile {
    counts: [f64; 256],
    clipped: [f64; 256],
    limit: f64,
    map: Vec<(f64, f64)>,
}

impl Tile {
    fn new(flow: &ClaheFlow) -> Tile {
        let ((x0, x1), (y0, y1)) = (tile_span(flow, 1), tile_span(flow, 0));
        let width = flow.before.width();
        let pixels: Vec<u8> =
            (y0..y1).flat_map(|y| &flow.before.pixels()[y * width + x0..y * width + x1]).copied().collect();
        let counts = histogram(&pixels).map(f64::from);
        let area = pixels.len().max(1) as f64;
        let limit = if flow.clip > 0.0 { (flow.clip * area / 256.0).floor().max(1.0) } else { f64::MAX };
        let excess: f64 = counts.iter().map(|c| (c - limit).max(0.0)).sum();
        let clipped = counts.map(|c| c.min(limit) + excess / 256.0);
        let mut sum = 0.0;
        let climb = |(grey, count): (usize, &f64)| {
            sum += count;
            (grey as f64, (sum * 255.0 / area).min(255.0))
        };
        let map = clipped.iter().enumerate().map(climb).collect();
        Tile { counts, clipped, limit, map }
    }
}

/// First and past-the-last pixel of the chosen tile along an axis (0 rows, 1 columns); never empty.
fn tile_span(flow: &ClaheFlow, axis: usize) -> (usize, usize) {
    let length = if axis == 0 { flow.before.height() } else { flow.before.width() };
    let tiles = flow.tiles[axis].clamp(1, length);
    let tile = flow.tile[axis].min(tiles - 1);
    (tile * length / tiles, (tile + 1) * length / tiles)
}

fn draw_tiles(scene: &mut Scene, flow: &ClaheFlow, (x, y): (f64, f64), side: f64) {
    let height = picture_height(&flow.before, side);
    let thin = Stroke::solid(Ink::Rgb(0xff, 0xff, 0xff).tint(0.0), 0.6);
    let [rows, columns] = flow.tiles.map(|t| t.clamp(1, 64));
    for i in 1..columns {
        let at = x + side * i as f64 / columns as f64;
        scene.line((at, y), (at, y + height), thin);
    }
    for i in 1..rows {
        let at = y + height * i as f64 / rows as f64;
        scene.line((x, at), (x + side, at), thin);
    }
    let ((x0, x1), (y0, y1)) = (tile_span(flow, 1), tile_span(flow, 0));
    let (sx, sy) = (side / flow.before.width() as f64, height / flow.before.height() as f64);
    let (left, right, top, bottom) =
        (x + x0 as f64 * sx, x + x1 as f64 * sx, y + y0 as f64 * sy, y + y1 as f64 * sy);
    let ring = vec![(left, top), (right, top), (right, bottom), (left, bottom)];
    let fill = Fill { ink: INFECTION, opacity: 0.25 };
    scene.path(vec![ring], true, Some(fill), Some(Stroke::solid(INFECTION, 2.0)));
}

fn histogram(pixels: &[u8]) -> [u32; 256] {
    let mut counts = [0; 256];
    for &v in pixels {
        counts[usize::from(v)] += 1;
    }
    counts
}

/// Where to cut a histogram so that its low parts can be read, and whether that cuts anything: the few levels of air
/// outside the patient dwarf all others.
fn readable_top(counts: &[u32; 256]) -> (f64, bool) {
    const SHARE_BELOW: f64 = 0.95;
    const ROOM: f64 = 1.6;
    let mut used: Vec<u32> = counts.iter().copied().filter(|c| *c > 0).collect();
    used.sort_unstable();
    let most = used.last().copied().map_or(1.0, f64::from);
    let usual = used.get((used.len() as f64 * SHARE_BELOW) as usize).copied().map_or(most, f64::from);
    let level = (usual * ROOM).min(most);
    (level, level < most)
}

fn histogram_chart(
    title: &str,
    counts: &[f64; 256],
    ink: Ink,
    limit: Option<f64>,
    size: (f64, f64),
    label: &str,
) -> Scene {
    let top = counts.iter().copied().fold(1.0, f64::max).max(limit.unwrap_or(0.0)) * 1.06;
    let points = counts.iter().enumerate().map(|(v, c)| (v as f64, *c)).collect();
    let mut marks = vec![Mark::Bars { name: String::new(), points, width: 1.0, ink }];
    marks.extend(limit.map(|y| Mark::Level { name: "clip limit".into(), y, ink: VERMILION }));
    let mut chart = Chart {
        x: Axis { whole: true, ..Axis::fixed("grey value", -0.5, 255.5) },
        y: Axis::fixed(label, 0.0, top),
        marks,
        size,
        ..Chart::default()
    }
    .scene();
    if !title.is_empty() {
        chart = under_title(&chart, title);
    }
    chart
}

/// A chart pushed down for a small heading above it, in the same height.
fn under_title(chart: &Scene, title: &str) -> Scene {
    let mut scene = Scene::new(chart.width, chart.height + 18.0, title);
    scene.text_within(PAD, 12.0, title, chart.width - PAD, TextStyle::new(12.0, Ink::Text).bold());
    scene.place(chart, 0.0, 8.0);
    scene
}

fn map_chart(map: &[(f64, f64)], size: (f64, f64)) -> Scene {
    let ideal = vec![(0.0, 0.0), (255.0, 255.0)];
    let marks = vec![
        Mark::Line { name: String::new(), points: ideal, ink: Ink::Muted, dashed: true },
        Mark::Line { name: String::new(), points: map.to_vec(), ink: INFECTION, dashed: false },
    ];
    let (x, y) = (Axis::fixed("grey value before", 0.0, 255.0), Axis::fixed("grey value after", 0.0, 255.0));
    let chart = Chart { x, y, marks, size, ..Chart::default() }.scene();
    under_title(&chart, "4. its running sum maps the grey values")
}

/// Fig. 12: scores, confusion matrix, and classified pictures.
pub fn classification_figure(scores: &[ScoreLine], counts: &Confusion, examples: &[SlicePicture]) -> Scene {
    const TABLE_W: f64 = 380.0;
    let matrix = confusion_matrix("Confusion matrix", counts, "positive", "negative");
    let sheet = montage(examples, 5, 150.0);
    let pictures_h = if examples.is_empty() { 0.0 } else { sheet.height + TITLE_H };
    let width = (TABLE_W + matrix.width).max(sheet.width);
    let table_h = (70.0 + scores.len() as f64 * 26.0).max(matrix.height);
    let mut scene = titled(width, table_h + pictures_h, "Classification of slices");
    let style = TextStyle::new(13.0, Ink::Text);
    for (i, score) in scores.iter().enumerate() {
        let y = 66.0 + i as f64 * 26.0;
        scene.text_within(PAD, y, &score.name, 140.0, style);
        scene.text(PAD + 210.0, y, decimal(score.value, score_decimals(score.value)), style.bold().end());
        if score.interval.is_some() {
            let ends = format!("({})", interval(score.interval, score_decimals(score.value)));
            scene.text(PAD + 222.0, y, ends, TextStyle::new(12.0, Ink::Muted));
        }
        scene.line((PAD, y + 8.0), (TABLE_W - PAD, y + 8.0), Stroke::solid(Ink::Grid, 1.0));
    }
    scene.place(&matrix, TABLE_W, 0.0);
    if !examples.is_empty() {
        scene.text(PAD, table_h + 24.0, "Classified pictures", TextStyle::new(15.0, Ink::Text).bold());
        scene.place(&sheet, 0.0, table_h + TITLE_H - 8.0);
    }
    scene
}

/// Fig. 13 and 14: curves of the training above predictions beside truth.
pub fn segmentation_figure(
    title: &str,
    epochs: &[EpochRow],
    best_epoch: Option<usize>,
    comparisons: &[Comparison],
) -> Scene {
    let curves = training_curves(epochs, best_epoch);
    let curves: Vec<&Scene> = curves
        .iter()
        .filter(|f| f.title.starts_with("Loss") || f.title.starts_with("Dice"))
        .map(|f| &f.scene)
        .collect();
    let panels = comparison_panels(comparisons, 270.0);
    let curves_h = curves.iter().map(|c| c.height).fold(0.0, f64::max);
    let width = curves.iter().map(|c| c.width).sum::<f64>().max(panels.width);
    let panels_h = if comparisons.is_empty() { 0.0 } else { panels.height };
    let mut scene = titled(width, TITLE_H + curves_h + panels_h, title);
    let mut x = 0.0;
    for curve in curves {
        scene.place(curve, x, TITLE_H - 8.0);
        x += curve.width;
    }
    if !comparisons.is_empty() {
        scene.place(&panels, (width - panels.width) / 2.0, TITLE_H + curves_h);
    }
    scene
}

/// A slice large, with its outlines and what they mean: the picture of a README.
pub fn slice_figure(picture: &SlicePicture, width: f64) -> Scene {
    let slice = slice_scene(picture, width, crate::picture::Overlay::default());
    let mut scene = Scene::new(width + 2.0 * PAD, slice.height + PAD + 52.0, &picture.caption);
    scene.place(&slice, PAD, PAD);
    let style = TextStyle::new(12.0, Ink::Muted);
    scene.text_within(PAD, slice.height + PAD + 18.0, &picture.caption, width, style);
    outline_legend(&mut scene, PAD, slice.height + PAD + 36.0);
    scene
}

fn picture_height(grey: &Grey, width: f64) -> f64 {
    (grey.height() as f64 / grey.width() as f64).clamp(0.05, 20.0) * width
}

fn place_picture(scene: &mut Scene, grey: &Grey, caption: &str, (x, y): (f64, f64), width: f64) {
    let height = picture_height(grey, width);
    scene.image(x, y, width, height, Arc::new(grey.clone()));
    let frame = Item::Rect {
        x,
        y,
        w: width,
        h: height,
        radius: 0.0,
        fill: None,
        stroke: Some(Stroke::solid(Ink::Grid, 1.0)),
    };
    scene.items.push(frame);
    let style = TextStyle::new(12.0, Ink::Text).middle();
    scene.text_within(x + width / 2.0, y + height + 17.0, caption, width + 12.0, style);
}
