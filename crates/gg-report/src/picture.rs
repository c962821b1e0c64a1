//! Grey slices with the outlines of lung and infection: one slice, a montage, truth beside prediction.

use crate::contour::rings;
use crate::encode::grey_png;
use crate::ink::{INFECTION, Ink, LUNG};
use crate::scene::{Fill, Item, Scene, Stroke, TextStyle};
use std::sync::Arc;
use thiserror::Error;

/// The number of pixels does not fit the size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found} pixels cannot fill a picture of {width} x {height}; both sides must be at least 1")]
pub struct PictureError {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Pixels that were given.
    pub found: usize,
}

/// An 8-bit grey picture, rows from top to bottom.
///
/// The invariant `pixels.len() == width * height > 0` is why the fields are private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grey {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Grey {
    /// A picture from its pixels.
    ///
    /// # Errors
    /// [`PictureError`] where `pixels` does not hold exactly `width * height` values, or none at all.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self, PictureError> {
        if pixels.is_empty() || width.checked_mul(height) != Some(pixels.len()) {
            return Err(PictureError { width, height, found: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The picture alone as PNG bytes.
    pub fn to_png(&self) -> Vec<u8> {
        grey_png(self.width, self.height, &self.pixels)
    }

    /// Averages blocks of `factor` x `factor` pixels; smaller blocks at the far edges.
    pub(crate) fn reduced(&self, factor: usize) -> Grey {
        let factor = factor.max(1);
        let (width, height) = (self.width.div_ceil(factor), self.height.div_ceil(factor));
        let mut pixels = Vec::with_capacity(width * height);
        for by in 0..height {
            for bx in 0..width {
                let (ys, xs) = (
                    by * factor..self.height.min((by + 1) * factor),
                    bx * factor..self.width.min((bx + 1) * factor),
                );
                let count = (ys.len() * xs.len()).max(1) as u32;
                let sum: u32 = ys
                    .flat_map(|y| self.pixels[y * self.width..][xs.clone()].iter())
                    .map(|&v| u32::from(v))
                    .sum();
                pixels.push(((sum + count / 2) / count) as u8);
            }
        }
        Grey { width, height, pixels }
    }
}

/// Letters at the four sides of a picture: R right, L left, A anterior, P posterior, H head, F feet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// Left of the picture.
    pub left: char,
    /// Right of the picture.
    pub right: char,
    /// Top of the picture.
    pub top: char,
    /// Bottom of the picture.
    pub bottom: char,
}

impl Sides {
    /// An axial slice as radiologists look at it: from the feet, front upwards.
    pub const AXIAL: Sides = Sides { left: 'R', right: 'L', top: 'A', bottom: 'P' };
    /// A coronal view: from the front, head upwards.
    pub const CORONAL: Sides = Sides { left: 'R', right: 'L', top: 'H', bottom: 'F' };
}

/// One slice with what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct SlicePicture {
    /// The slice in grey.
    pub grey: Grey,
    /// Lung labels, any value but 0, same size as `grey`.
    pub lung: Option<Vec<u8>>,
    /// Infection labels, any value but 0, same size as `grey`.
    pub infection: Option<Vec<u8>>,
    /// Height and width of a pixel in millimetres; square pixels where unknown.
    pub pixel_mm: Option<[f64; 2]>,
    /// Orientation letters, where the orientation is known.
    pub sides: Option<Sides>,
    /// One line below the picture, e.g. `slice 120 · 84 mm`; may be empty.
    pub caption: String,
}

impl SlicePicture {
    /// A slice without labels, orientation or caption.
    pub fn plain(grey: Grey) -> Self {
        Self { grey, lung: None, infection: None, pixel_mm: None, sides: None, caption: String::new() }
    }

    /// Height of the picture divided by its width, with the right shape of pixels.
    pub fn aspect(&self) -> f64 {
        let [dy, dx] =
            self.pixel_mm.filter(|mm| mm.iter().all(|v| v.is_finite() && *v > 0.0)).unwrap_or([1.0, 1.0]);
        (self.grey.height as f64 * dy / (self.grey.width as f64 * dx)).clamp(0.05, 20.0)
    }

    /// The part inside a box, clipped to the picture; unchanged where nothing would remain.
    pub fn cropped(&self, area: PixelBox) -> SlicePicture {
        let (x1, y1) = (area.x1.min(self.grey.width), area.y1.min(self.grey.height));
        if area.x0 >= x1 || area.y0 >= y1 {
            return self.clone();
        }
        let cut = |values: &[u8]| -> Vec<u8> {
            (area.y0..y1)
                .flat_map(|y| &values[y * self.grey.width + area.x0..y * self.grey.width + x1])
                .copied()
                .collect()
        };
        let cut_labels = |labels: &Option<Vec<u8>>| {
            labels.as_deref().filter(|l| l.len() == self.grey.pixels.len()).map(cut)
        };
        let grey = Grey { width: x1 - area.x0, height: y1 - area.y0, pixels: cut(&self.grey.pixels) };
        SlicePicture {
            grey,
            lung: cut_labels(&self.lung),
            infection: cut_labels(&self.infection),
            ..self.clone()
        }
    }
}

/// A box of pixels, the far edges excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelBox {
    /// First column.
    pub x0: usize,
    /// First row.
    pub y0: usize,
    /// One past the last column.
    pub x1: usize,
    /// One past the last row.
    pub y1: usize,
}

/// The box around the lungs of all slices of one size, with a margin; none where there is no lung or sizes differ.
pub fn lung_box(slices: &[SlicePicture]) -> Option<PixelBox> {
    /// Share of the box added on each side, so that the chest wall is seen.
    const MARGIN: f64 = 0.07;
    let first = slices.first()?;
    let (width, height) = (first.grey.width, first.grey.height);
    let mut found: Option<PixelBox> = None;
    for slice in slices {
        if (slice.grey.width, slice.grey.height) != (width, height) {
            return None;
        }
        let Some(lung) = slice.lung.as_deref().filter(|l| l.len() == width * height) else { continue };
        for (y, row) in lung.chunks_exact(width).enumerate() {
            let Some(x0) = row.iter().position(|&v| v != 0) else { continue };
            let x1 = row.iter().rposition(|&v| v != 0).unwrap_or(x0) + 1;
            let b = found.get_or_insert(PixelBox { x0, y0: y, x1, y1: y + 1 });
            *b = PixelBox { x0: b.x0.min(x0), y0: b.y0.min(y), x1: b.x1.max(x1), y1: b.y1.max(y + 1) };
        }
    }
    found.map(|b| {
        let margin = (((b.x1 - b.x0).max(b.y1 - b.y0)) as f64 * MARGIN).ceil() as usize;
        PixelBox {
            x0: b.x0.saturating_sub(margin),
            y0: b.y0.saturating_sub(margin),
            x1: (b.x1 + margin).min(width),
            y1: (b.y1 + margin).min(height),
        }
    })
}

/// Slices for a montage: evenly spread over the slices that show lung, always with the most infected one.
///
/// # Shape
/// Both lists have one count of voxels per slice; the answer is at most `wanted` slice numbers in rising order.
pub fn pick_slices(lung: &[u64], infection: &[u64], wanted: usize) -> Vec<usize> {
    let first = lung.iter().position(|&n| n > 0).unwrap_or(0);
    let end = lung.iter().rposition(|&n| n > 0).map_or(lung.len().max(infection.len()), |z| z + 1);
    let span = end.saturating_sub(first);
    let wanted = wanted.min(span);
    let mut picked: Vec<usize> = (0..wanted).map(|i| first + (2 * i + 1) * span / (2 * wanted)).collect();
    let worst = (0..infection.len()).rev().max_by_key(|&z| infection[z]).filter(|&z| infection[z] > 0);
    if let Some(worst) = worst
        && let Some(nearest) = (0..picked.len()).min_by_key(|&i| picked[i].abs_diff(worst))
    {
        picked[nearest] = worst;
    }
    picked.sort_unstable();
    picked.dedup();
    picked
}

/// One row of voxels across the patient, for a coronal view.
#[derive(Debug, Clone, Default)]
pub struct CoronalRow {
    /// Grey values.
    pub grey: Vec<u8>,
    /// Lung labels; empty for none.
    pub lung: Vec<u8>,
    /// Infection labels; empty for none.
    pub infection: Vec<u8>,
}

/// A coronal view from one row per axial slice, feet first; the head comes on top.
///
/// # Units
/// `pixel_mm` is the distance between slices and between columns, so that the proportions are right.
///
/// # Errors
/// [`PictureError`] where rows are missing or of different lengths.
pub fn coronal_picture(
    rows: &[CoronalRow],
    pixel_mm: Option<[f64; 2]>,
    sides: Option<Sides>,
    caption: impl Into<String>,
) -> Result<SlicePicture, PictureError> {
    let width = rows.first().map_or(0, |r| r.grey.len());
    let stack =
        |part: fn(&CoronalRow) -> &[u8]| -> Vec<u8> { rows.iter().rev().flat_map(part).copied().collect() };
    let size = width * rows.len();
    let grey = Grey::new(width, rows.len(), stack(|r| &r.grey))?;
    let labels = |values: Vec<u8>| (values.len() == size).then_some(values);
    let (lung, infection) = (labels(stack(|r| &r.lung)), labels(stack(|r| &r.infection)));
    Ok(SlicePicture { grey, lung, infection, pixel_mm, sides, caption: caption.into() })
}

/// How labels are drawn over a slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlay {
    /// Opacity of the infection's area, 0 for outlines only.
    pub fill: f64,
    /// Width of the outlines in scene units.
    pub line: f64,
}

impl Default for Overlay {
    fn default() -> Self {
        Self { fill: 0.18, line: 1.25 }
    }
}

/// One slice, `width` units wide, with outlines and letters but without its caption.
pub fn slice_scene(picture: &SlicePicture, width: f64, overlay: Overlay) -> Scene {
    slice_scene_of(picture, Arc::new(picture.grey.clone()), width, overlay)
}

fn slice_scene_of(picture: &SlicePicture, grey: Arc<Grey>, width: f64, overlay: Overlay) -> Scene {
    let height = (width * picture.aspect()).round();
    let label = if picture.caption.is_empty() { "CT slice" } else { &picture.caption };
    let mut scene = Scene::new(width, height, label);
    scene.image(0.0, 0.0, width, height, grey);
    let (w, h) = (picture.grey.width, picture.grey.height);
    let (sx, sy) = (width / w as f64, height / h as f64);
    let mut draw = |labels: &Option<Vec<u8>>, ink: Ink, fill: f64| {
        let Some(labels) = labels else { return };
        let mut pieces = rings(labels, w, h);
        for point in pieces.iter_mut().flatten() {
            *point = (point.0 * sx, point.1 * sy);
        }
        let fill = (fill > 0.0).then_some(Fill { ink, opacity: fill });
        scene.path(pieces, true, fill, Some(Stroke::solid(ink, overlay.line)));
    };
    draw(&picture.lung, LUNG, 0.0);
    draw(&picture.infection, INFECTION, overlay.fill);
    if let Some(sides) = picture.sides {
        letters(&mut scene, sides);
    }
    scene
}

fn letters(scene: &mut Scene, sides: Sides) {
    const SIZE: f64 = 11.0;
    const PLATE: f64 = 8.0;
    let (w, h) = (scene.width, scene.height);
    let edge = PLATE + 3.0;
    let places = [
        (edge, h / 2.0, sides.left),
        (w - edge, h / 2.0, sides.right),
        (w / 2.0, edge, sides.top),
        (w / 2.0, h - edge, sides.bottom),
    ];
    let style = TextStyle::new(SIZE, Ink::Rgb(0xff, 0xff, 0xff)).bold().middle();
    for (x, y, letter) in places {
        // A dark plate keeps the letter readable on bright tissue.
        let fill = Some(Fill { ink: Ink::Rgb(0, 0, 0), opacity: 0.55 });
        scene.items.push(Item::Circle { x, y, r: PLATE, fill, stroke: None });
        scene.text(x, y + SIZE * 0.36, letter.to_string(), style);
    }
}

/// Height of a caption line below a picture.
const CAPTION_H: f64 = 20.0;
/// Room between pictures.
const GAP: f64 = 10.0;
/// Room around the whole, as wide as the titles of other drawings are inset.
const MARGIN: f64 = 16.0;
/// Height of the line that explains the colours.
const LEGEND_H: f64 = 24.0;

/// Slices in rows with their captions and a legend of the colours.
pub fn montage(slices: &[SlicePicture], columns: usize, tile_width: f64) -> Scene {
    let columns = columns.clamp(1, slices.len().max(1));
    let legend = slices.iter().any(|s| s.lung.is_some() || s.infection.is_some());
    let tile_height = slices.iter().map(|s| (tile_width * s.aspect()).round()).fold(0.0, f64::max);
    let rows = slices.len().div_ceil(columns);
    let row_height = tile_height + CAPTION_H + GAP / 2.0;
    let width = columns as f64 * (tile_width + GAP) - GAP + 2.0 * MARGIN;
    let height = GAP + rows as f64 * row_height + if legend { LEGEND_H } else { 0.0 };
    let mut scene = Scene::new(width, height.max(40.0), format!("Montage of {} slices", slices.len()));
    if slices.is_empty() {
        scene.text(width / 2.0, 25.0, "no slices", TextStyle::new(12.0, Ink::Muted).middle());
    }
    for (i, slice) in slices.iter().enumerate() {
        let (x, y) =
            (MARGIN + (i % columns) as f64 * (tile_width + GAP), GAP + (i / columns) as f64 * row_height);
        place_captioned(&mut scene, slice, (x, y), tile_width);
    }
    if legend {
        outline_legend(&mut scene, MARGIN, height - LEGEND_H + 12.0);
    }
    scene
}

fn place_captioned(scene: &mut Scene, slice: &SlicePicture, (x, y): (f64, f64), width: f64) {
    let tile = slice_scene(slice, width, Overlay::default());
    scene.place(&tile, x, y);
    let style = TextStyle::new(11.0, Ink::Muted).middle();
    scene.text_within(x + width / 2.0, y + tile.height + 14.0, &slice.caption, width, style);
}

/// Writes what the outlines' colours mean, starting at `x`, centred on `y`.
pub(crate) fn outline_legend(scene: &mut Scene, x: f64, y: f64) {
    let style = TextStyle::new(11.0, Ink::Text);
    let mut at = x;
    for (ink, name) in [(LUNG, "lung"), (INFECTION, "infection")] {
        scene.card(
            (at, y - 5.0),
            (14.0, 10.0),
            2.0,
            Fill { ink, opacity: 0.25 },
            Some(Stroke::solid(ink, 1.5)),
        );
        scene.text(at + 20.0, y + 4.0, name, style);
        at += 20.0 + style.width(name) + 18.0;
    }
}

/// Rows of three pictures: the slice, the truth, the prediction; a title above each row.
pub fn comparison_panels(rows: &[crate::inputs::Comparison], tile_width: f64) -> Scene {
    const TITLE_H: f64 = 26.0;
    const HEAD: [&str; 3] = ["CT", "Truth", "Prediction"];
    let heights: Vec<f64> =
        rows.iter().map(|r| TITLE_H + (tile_width * r.truth.aspect()).round() + CAPTION_H + GAP).collect();
    let width = 3.0 * (tile_width + GAP) - GAP + 2.0 * MARGIN;
    let height = heights.iter().sum::<f64>() + LEGEND_H + GAP;
    let mut scene = Scene::new(width, height, "Prediction beside truth");
    let mut y = 0.0;
    for (row, row_height) in rows.iter().zip(&heights) {
        let bold = TextStyle::new(13.0, Ink::Text).bold();
        scene.text_within(MARGIN, y + 18.0, &row.title, width - 2.0 * MARGIN, bold);
        let plain = SlicePicture { lung: None, infection: None, ..row.truth.clone() };
        for (column, picture) in [&plain, &row.truth, &row.pred].into_iter().enumerate() {
            let captioned = SlicePicture { caption: HEAD[column].to_owned(), ..picture.clone() };
            place_captioned(
                &mut scene,
                &captioned,
                (MARGIN + column as f64 * (tile_width + GAP), y + TITLE_H),
                tile_width,
            );
        }
        y += row_height;
    }
    outline_legend(&mut scene, MARGIN, height - LEGEND_H + 8.0);
    scene
}
