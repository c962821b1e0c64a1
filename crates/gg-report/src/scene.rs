//! One description of a drawing, from which both the SVG and the PNG are made, so that they look the same.
//!
//! # Units
//! Scene units are CSS pixels; the PNG may be drawn at any scale. x grows to the right, y downwards.

use crate::font::{Weight, shorten, text_width};
use crate::heat::Colour;
use crate::ink::Ink;
use crate::picture::Grey;
use std::sync::Arc;

/// Where a text's position lies within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anchor {
    /// At its left end.
    #[default]
    Start,
    /// In its middle.
    Middle,
    /// At its right end.
    End,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    /// Colour.
    pub ink: Ink,
    /// Width in scene units.
    pub width: f64,
    /// Dashed rather than solid.
    pub dashed: bool,
}

impl Stroke {
    /// A solid line.
    pub fn solid(ink: Ink, width: f64) -> Self {
        Self { ink, width, dashed: false }
    }

    /// A dashed line.
    pub fn dashed(ink: Ink, width: f64) -> Self {
        Self { ink, width, dashed: true }
    }
}

/// A filled area: colour and opacity 0..1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fill {
    /// Colour.
    pub ink: Ink,
    /// 0 invisible, 1 opaque.
    pub opacity: f64,
}

impl Fill {
    /// An opaque area.
    pub fn solid(ink: Ink) -> Self {
        Self { ink, opacity: 1.0 }
    }
}

/// A line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// Left, middle or right end of the baseline, as `anchor` says.
    pub x: f64,
    /// The baseline.
    pub y: f64,
    /// What is written.
    pub text: String,
    /// Size of the type.
    pub size: f64,
    /// Weight of the type.
    pub weight: Weight,
    /// Where `x` lies within the text.
    pub anchor: Anchor,
    /// Colour.
    pub ink: Ink,
    /// Reads upwards (turned a quarter counter-clockwise about its position).
    pub upwards: bool,
}

/// One thing that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A rectangle with rounded corners.
    Rect {
        /// Left edge.
        x: f64,
        /// Upper edge.
        y: f64,
        /// Width.
        w: f64,
        /// Height.
        h: f64,
        /// Radius of the corners.
        radius: f64,
        /// Area.
        fill: Option<Fill>,
        /// Frame.
        stroke: Option<Stroke>,
    },
    /// A disc or ring.
    Circle {
        /// Centre.
        x: f64,
        /// Centre.
        y: f64,
        /// Radius.
        r: f64,
        /// Area.
        fill: Option<Fill>,
        /// Rim.
        stroke: Option<Stroke>,
    },
    /// Lines through points; several pieces make one path (even-odd rule, so inner rings are holes).
    Path {
        /// Pieces.
        pieces: Vec<Vec<(f64, f64)>>,
        /// Whether each piece ends where it began.
        closed: bool,
        /// Area.
        fill: Option<Fill>,
        /// Line.
        stroke: Option<Stroke>,
    },
    /// Text.
    Text(Text),
    /// A grey picture, smoothly scaled into a box.
    Image {
        /// Left edge.
        x: f64,
        /// Upper edge.
        y: f64,
        /// Width.
        w: f64,
        /// Height.
        h: f64,
        /// The pixels.
        grey: Arc<Grey>,
    },
    /// A colour picture, smoothly scaled into a box.
    Colour {
        /// Left edge.
        x: f64,
        /// Upper edge.
        y: f64,
        /// Width.
        w: f64,
        /// Height.
        h: f64,
        /// The pixels.
        picture: Arc<Colour>,
    },
}

/// A drawing of a given size.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scene {
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// What it shows, for readers who cannot see it.
    pub label: String,
    /// What is drawn, back to front.
    pub items: Vec<Item>,
}

impl Scene {
    /// An empty drawing.
    pub fn new(width: f64, height: f64, label: impl Into<String>) -> Self {
        Self { width, height, label: label.into(), items: Vec::new() }
    }

    /// Adds a rectangle without frame.
    pub fn rect(&mut self, x: f64, y: f64, w: f64, h: f64, fill: Fill) {
        self.items.push(Item::Rect { x, y, w, h, radius: 0.0, fill: Some(fill), stroke: None });
    }

    /// Adds a box with rounded corners.
    pub fn card(
        &mut self,
        (x, y): (f64, f64),
        (w, h): (f64, f64),
        radius: f64,
        fill: Fill,
        stroke: Option<Stroke>,
    ) {
        self.items.push(Item::Rect { x, y, w, h, radius, fill: Some(fill), stroke });
    }

    /// Adds a straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        self.path(vec![vec![from, to]], false, None, Some(stroke));
    }

    /// Adds a path.
    pub fn path(
        &mut self,
        pieces: Vec<Vec<(f64, f64)>>,
        closed: bool,
        fill: Option<Fill>,
        stroke: Option<Stroke>,
    ) {
        if pieces.iter().any(|p| p.len() > 1) {
            self.items.push(Item::Path { pieces, closed, fill, stroke });
        }
    }

    /// Adds a disc.
    pub fn disc(&mut self, x: f64, y: f64, r: f64, ink: Ink) {
        self.items.push(Item::Circle { x, y, r, fill: Some(Fill::solid(ink)), stroke: None });
    }

    /// Adds a disc with a rim in the colour of the paper, so that neighbours stay apart.
    pub fn dot(&mut self, x: f64, y: f64, r: f64, ink: Ink) {
        let stroke = Some(Stroke::solid(Ink::Paper, 1.0));
        self.items.push(Item::Circle { x, y, r, fill: Some(Fill { ink, opacity: 0.9 }), stroke });
    }

    /// Adds a picture, scaled into a box.
    pub fn image(&mut self, x: f64, y: f64, w: f64, h: f64, grey: Arc<Grey>) {
        self.items.push(Item::Image { x, y, w, h, grey });
    }

    /// Adds a line of text in the style given by `like`.
    pub fn text(&mut self, x: f64, y: f64, text: impl Into<String>, like: TextStyle) {
        let text = text.into();
        let TextStyle { size, weight, anchor, ink, upwards } = like;
        if !text.is_empty() {
            self.items.push(Item::Text(Text { x, y, text, size, weight, anchor, ink, upwards }));
        }
    }

    /// Adds a line of text that is cut to a width.
    pub fn text_within(&mut self, x: f64, y: f64, text: &str, max_width: f64, like: TextStyle) {
        let text = shorten(text, like.size, like.weight, max_width);
        self.text(x, y, text, like);
    }

    /// Adds everything of another drawing, its upper left corner at a place.
    pub fn place(&mut self, other: &Scene, dx: f64, dy: f64) {
        self.items.extend(other.items.iter().map(|item| moved(item, dx, dy)));
    }

    /// Adds a straight arrow whose head touches `to`.
    pub fn arrow(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        const HEAD: f64 = 6.0;
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy).max(1e-9);
        let (ux, uy) = (dx / length, dy / length);
        let base = (to.0 - ux * HEAD, to.1 - uy * HEAD);
        self.line(from, base, stroke);
        let wing = HEAD * 0.55;
        let head =
            vec![to, (base.0 - uy * wing, base.1 + ux * wing), (base.0 + uy * wing, base.1 - ux * wing)];
        self.path(vec![head], true, Some(Fill::solid(stroke.ink)), None);
    }
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextStyle {
    /// Size of the type.
    pub size: f64,
    /// Weight.
    pub weight: Weight,
    /// Where the position lies within the text.
    pub anchor: Anchor,
    /// Colour.
    pub ink: Ink,
    /// Reads upwards.
    pub upwards: bool,
}

impl TextStyle {
    /// Left-aligned regular text.
    pub fn new(size: f64, ink: Ink) -> Self {
        Self { size, weight: Weight::Regular, anchor: Anchor::Start, ink, upwards: false }
    }

    /// The same in semi-bold.
    pub fn bold(self) -> Self {
        Self { weight: Weight::SemiBold, ..self }
    }

    /// The same, centred.
    pub fn middle(self) -> Self {
        Self { anchor: Anchor::Middle, ..self }
    }

    /// The same, right-aligned.
    pub fn end(self) -> Self {
        Self { anchor: Anchor::End, ..self }
    }

    /// The same, reading upwards.
    pub fn upwards(self) -> Self {
        Self { upwards: true, ..self }
    }

    /// Width of a text in this style.
    pub fn width(self, text: &str) -> f64 {
        text_width(text, self.size, self.weight)
    }
}

fn moved(item: &Item, dx: f64, dy: f64) -> Item {
    let mut item = item.clone();
    match &mut item {
        Item::Rect { x, y, .. }
        | Item::Circle { x, y, .. }
        | Item::Image { x, y, .. }
        | Item::Colour { x, y, .. } => {
            *x += dx;
            *y += dy;
        }
        Item::Text(text) => {
            text.x += dx;
            text.y += dy;
        }
        Item::Path { pieces, .. } => {
            for point in pieces.iter_mut().flatten() {
                point.0 += dx;
                point.1 += dy;
            }
        }
    }
    item
}
