//! A scene as PNG: the same shapes and letters as its SVG, drawn with anti-aliasing.

use crate::encode::rgb_png;
use crate::font::{outline, text_width};
use crate::ink::Ink;
use crate::picture::Grey;
use crate::scene::{Anchor, Fill, Item, Scene, Stroke, Text};
use crate::svg::dash;
use tiny_skia::{
    Color, FillRule, FilterQuality, LineJoin, Paint, Path, PathBuilder, Pixmap, PixmapPaint, Rect,
    StrokeDash, Transform,
};

/// Largest side of a PNG; larger drawings are scaled down to it.
const MAX_SIDE_PX: f64 = 12_000.0;

impl Scene {
    /// PNG bytes on white paper, `scale` pixels per scene unit (2 looks crisp everywhere).
    pub fn to_png(&self, scale: f64) -> Vec<u8> {
        let largest = self.width.max(self.height).max(1.0);
        let scale = scale.clamp(0.05, MAX_SIDE_PX / largest);
        let width = (self.width * scale).round().max(1.0) as u32;
        let height = (self.height * scale).round().max(1.0) as u32;
        let Some(mut map) = Pixmap::new(width, height) else { return Vec::new() };
        map.fill(Color::WHITE);
        let to_pixels = Transform::from_scale(scale as f32, scale as f32);
        for item in &self.items {
            draw(&mut map, item, to_pixels);
        }
        let rgb: Vec<u8> = map.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
        rgb_png(width as usize, height as usize, &rgb)
    }
}

fn draw(map: &mut Pixmap, item: &Item, to_pixels: Transform) {
    match item {
        Item::Rect { x, y, w, h, radius, fill, stroke } => {
            if let Some(path) = rect_path(*x, *y, *w, *h, *radius) {
                fill_and_stroke(map, &path, *fill, *stroke, to_pixels);
            }
        }
        Item::Circle { x, y, r, fill, stroke } => {
            if let Some(path) = PathBuilder::from_circle(*x as f32, *y as f32, *r as f32) {
                fill_and_stroke(map, &path, *fill, *stroke, to_pixels);
            }
        }
        Item::Path { pieces, closed, fill, stroke } => {
            let mut builder = PathBuilder::new();
            for piece in pieces.iter().filter(|p| p.len() > 1) {
                for (i, (x, y)) in piece.iter().enumerate() {
                    let (x, y) = (finite(*x), finite(*y));
                    if i == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
                }
                if *closed {
                    builder.close();
                }
            }
            if let Some(path) = builder.finish() {
                fill_and_stroke(map, &path, *fill, *stroke, to_pixels);
            }
        }
        Item::Text(text) => draw_text(map, text, to_pixels),
        Item::Image { x, y, w, h, grey } => draw_image(map, (*x, *y), (*w, *h), grey, to_pixels),
        Item::Colour { x, y, w, h, picture } => {
            let pixels = picture.pixels().iter().copied();
            draw_pixels(map, (*x, *y), (*w, *h), (picture.width(), picture.height()), pixels, to_pixels);
        }
    }
}

fn finite(value: f64) -> f32 {
    if value.is_finite() { value as f32 } else { 0.0 }
}

fn rect_path(x: f64, y: f64, w: f64, h: f64, radius: f64) -> Option<Path> {
    // Control points at 0.5523 of the radius make a cubic that is a quarter circle to one part in a thousand.
    const QUARTER_CIRCLE: f64 = 0.552_285;
    let r = radius.min(w / 2.0).min(h / 2.0);
    if r <= 0.0 {
        return Some(PathBuilder::from_rect(Rect::from_xywh(x as f32, y as f32, w as f32, h as f32)?));
    }
    let (left, top, right, bottom) = (x as f32, y as f32, (x + w) as f32, (y + h) as f32);
    let (r, k) = (r as f32, (r * (1.0 - QUARTER_CIRCLE)) as f32);
    let mut path = PathBuilder::new();
    path.move_to(left + r, top);
    path.line_to(right - r, top);
    path.cubic_to(right - k, top, right, top + k, right, top + r);
    path.line_to(right, bottom - r);
    path.cubic_to(right, bottom - k, right - k, bottom, right - r, bottom);
    path.line_to(left + r, bottom);
    path.cubic_to(left + k, bottom, left, bottom - k, left, bottom - r);
    path.line_to(left, top + r);
    path.cubic_to(left, top + k, left + k, top, left + r, top);
    path.close();
    path.finish()
}

fn paint_of(ink: Ink, opacity: f64) -> Paint<'static> {
    let [r, g, b] = ink.rgb();
    let mut paint = Paint::default();
    paint.set_color_rgba8(r, g, b, (opacity.clamp(0.0, 1.0) * 255.0).round() as u8);
    paint.anti_alias = true;
    paint
}

fn fill_and_stroke(
    map: &mut Pixmap,
    path: &Path,
    fill: Option<Fill>,
    stroke: Option<Stroke>,
    to_pixels: Transform,
) {
    if let Some(fill) = fill {
        map.fill_path(path, &paint_of(fill.ink, fill.opacity), FillRule::EvenOdd, to_pixels, None);
    }
    if let Some(stroke) = stroke {
        let (on, off) = dash(stroke.width);
        let dash = if stroke.dashed { StrokeDash::new(vec![on as f32, off as f32], 0.0) } else { None };
        let style = tiny_skia::Stroke {
            width: stroke.width as f32,
            line_join: LineJoin::Round,
            dash,
            ..Default::default()
        };
        map.stroke_path(path, &paint_of(stroke.ink, 1.0), &style, to_pixels, None);
    }
}

fn draw_text(map: &mut Pixmap, text: &Text, to_pixels: Transform) {
    let Some(path) = outline(&text.text, text.size, text.weight) else { return };
    let width = text_width(&text.text, text.size, text.weight);
    let shift = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -width / 2.0,
        Anchor::End => -width,
    };
    let turn = if text.upwards { Transform::from_rotate(-90.0) } else { Transform::identity() };
    let place = Transform::from_translate(shift as f32, 0.0)
        .post_concat(turn)
        .post_translate(text.x as f32, text.y as f32)
        .post_concat(to_pixels);
    map.fill_path(&path, &paint_of(text.ink, 1.0), FillRule::Winding, place, None);
}

fn draw_image(map: &mut Pixmap, at: (f64, f64), size: (f64, f64), grey: &Grey, to_pixels: Transform) {
    // Bilinear reading skips pixels below half size: average down first.
    let target = (size.0 * f64::from(to_pixels.sx)).max(size.1 * f64::from(to_pixels.sy)).max(1.0);
    let factor = (grey.width().max(grey.height()) as f64 / target).floor() as usize;
    let reduced;
    let grey = if factor >= 2 {
        reduced = grey.reduced(factor);
        &reduced
    } else {
        grey
    };
    let pixels = grey.pixels().iter().map(|&v| [v; 3]);
    draw_pixels(map, at, size, (grey.width(), grey.height()), pixels, to_pixels);
}

fn draw_pixels(
    map: &mut Pixmap,
    at: (f64, f64),
    size: (f64, f64),
    (width, height): (usize, usize),
    pixels: impl Iterator<Item = [u8; 3]>,
    to_pixels: Transform,
) {
    let Some(mut picture) = Pixmap::new(width as u32, height as u32) else { return };
    for (to, [r, g, b]) in picture.data_mut().chunks_exact_mut(4).zip(pixels) {
        to.copy_from_slice(&[r, g, b, u8::MAX]);
    }
    let place = Transform::from_scale((size.0 / width as f64) as f32, (size.1 / height as f64) as f32)
        .post_translate(at.0 as f32, at.1 as f32)
        .post_concat(to_pixels);
    let paint = PixmapPaint { quality: FilterQuality::Bilinear, ..Default::default() };
    map.draw_pixmap(0, 0, picture.as_ref(), &paint, place, None);
}
