//! The one typeface, embedded: Inter in two weights (SIL Open Font License 1.1, text in `fonts/OFL.txt`).
//!
//! Widths come from the font's own advances, so that SVG and PNG are laid out alike and no system font is asked.

use std::sync::LazyLock;
use ttf_parser::{Face, OutlineBuilder};

/// Weight of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weight {
    /// Body text.
    #[default]
    Regular,
    /// Titles and what must be found first.
    SemiBold,
}

static REGULAR: LazyLock<Option<Face<'static>>> =
    LazyLock::new(|| Face::parse(include_bytes!("../fonts/Inter-Regular.otf"), 0).ok());
static SEMI_BOLD: LazyLock<Option<Face<'static>>> =
    LazyLock::new(|| Face::parse(include_bytes!("../fonts/Inter-SemiBold.otf"), 0).ok());

/// Width of a character that the font lacks, in em.
const MISSING_EM: f64 = 0.6;

fn face(weight: Weight) -> Option<&'static Face<'static>> {
    match weight {
        Weight::Regular => REGULAR.as_ref(),
        Weight::SemiBold => SEMI_BOLD.as_ref(),
    }
}

fn advance_em(face: Option<&Face>, ch: char) -> f64 {
    let known = face.and_then(|f| {
        let glyph = f.glyph_index(ch)?;
        Some(f64::from(f.glyph_hor_advance(glyph)?) / f64::from(f.units_per_em()))
    });
    known.unwrap_or(MISSING_EM)
}

/// Width of one line of text, in the unit of `size`.
pub(crate) fn text_width(text: &str, size: f64, weight: Weight) -> f64 {
    let face = face(weight);
    text.chars().map(|ch| advance_em(face, ch)).sum::<f64>() * size
}

/// Shortens a line to a width, ending it with an ellipsis.
pub(crate) fn shorten(text: &str, size: f64, weight: Weight, max_width: f64) -> String {
    if text_width(text, size, weight) <= max_width {
        return text.to_owned();
    }
    let mut short = String::new();
    for ch in text.chars() {
        short.push(ch);
        if text_width(&format!("{short}…"), size, weight) > max_width {
            short.pop();
            break;
        }
    }
    short + "…"
}

/// Breaks a text into lines no wider than `max_width`; a word wider than that stands alone.
pub(crate) fn wrap(text: &str, size: f64, weight: Weight, max_width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), size, weight) <= max_width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

struct Pen<'a> {
    path: &'a mut tiny_skia::PathBuilder,
    x: f32,
    y: f32,
    scale: f32,
}

impl OutlineBuilder for Pen<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.x + x * self.scale, self.y - y * self.scale);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.x + x * self.scale, self.y - y * self.scale);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (s, ox, oy) = (self.scale, self.x, self.y);
        self.path.quad_to(ox + x1 * s, oy - y1 * s, ox + x * s, oy - y * s);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (s, ox, oy) = (self.scale, self.x, self.y);
        self.path.cubic_to(ox + x1 * s, oy - y1 * s, ox + x2 * s, oy - y2 * s, ox + x * s, oy - y * s);
    }
    fn close(&mut self) {
        self.path.close();
    }
}

/// The outlines of a line of text whose baseline starts at the origin; none where nothing is to be drawn.
pub(crate) fn outline(text: &str, size: f64, weight: Weight) -> Option<tiny_skia::Path> {
    let face = face(weight)?;
    let mut path = tiny_skia::PathBuilder::new();
    let scale = size as f32 / f32::from(face.units_per_em());
    let mut x = 0.0_f64;
    for ch in text.chars() {
        // A character that the font lacks is drawn as its "missing" box.
        let glyph = face.glyph_index(ch).unwrap_or_default();
        face.outline_glyph(glyph, &mut Pen { path: &mut path, x: x as f32, y: 0.0, scale });
        x += advance_em(Some(face), ch) * size;
    }
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_text_measures_wider_and_both_weights_are_there() {
        for weight in [Weight::Regular, Weight::SemiBold] {
            assert!(face(weight).is_some());
            assert!(text_width("iii", 10.0, weight) < text_width("WWW", 10.0, weight));
        }
    }

    #[test]
    fn a_long_name_is_cut_to_the_room_it_has() {
        let cut = shorten("a very long case name indeed", 10.0, Weight::Regular, 60.0);
        assert!(cut.ends_with('…') && text_width(&cut, 10.0, Weight::Regular) <= 60.0);
        assert_eq!(shorten("short", 10.0, Weight::Regular, 60.0), "short");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 10.0, Weight::Regular, 45.0), ["one two", "three"]);
    }
}
