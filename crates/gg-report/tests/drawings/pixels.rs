//! The pixels of a PNG, and the colours that a scene must leave in them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gg_report::{Anchor, Ink, Item, Scene, Stroke, TextStyle};

/// White paper.
pub(crate) const PAPER: [u8; 3] = [u8::MAX; 3];
/// One pixel of so many is looked at, along each side.
const STEP: usize = 3;
/// Coordinates beyond this are not drawn for certain.
const FAR: f64 = 8000.0;

/// A decoded picture.
pub(crate) struct Pixels {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Red, green, blue, row by row.
    pub(crate) rgb: Vec<[u8; 3]>,
}

impl Pixels {
    /// The picture in a PNG file.
    pub(crate) fn of(file: &[u8]) -> Self {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut bytes = vec![0u8; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        assert_eq!(info.bit_depth, png::BitDepth::Eight);
        let rgb = match info.color_type {
            png::ColorType::Grayscale => bytes.iter().map(|&v| [v; 3]).collect(),
            png::ColorType::Rgb => bytes.as_chunks::<3>().0.to_vec(),
            other => panic!("a PNG in {other:?}"),
        };
        Self { width: info.width as usize, height: info.height as usize, rgb }
    }

    /// The pixel that holds a point.
    pub(crate) fn at(&self, x: f64, y: f64) -> [u8; 3] {
        self.rgb[y as usize * self.width + x as usize]
    }
}

/// The pictures inside an SVG, in their order.
pub(crate) fn embedded(svg: &str) -> Vec<Pixels> {
    let parts = svg.split("data:image/png;base64,").skip(1);
    parts.map(|part| Pixels::of(&STANDARD.decode(part.split('"').next().unwrap()).unwrap())).collect()
}

/// Whether two colours are one up to rounding.
pub(crate) fn near(found: [u8; 3], right: [u8; 3]) -> bool {
    found.iter().zip(right).all(|(a, b)| a.abs_diff(b) <= 2)
}

/// Holds the PNG of a scene to every colour that is certain, and to showing anything at all.
pub(crate) fn check_colours(name: &str, scene: &Scene, pixels: &Pixels) {
    let reaches: Vec<Reach> = scene.items.iter().map(reach).collect();
    for y in (0..pixels.height).step_by(STEP) {
        for x in (0..pixels.width).step_by(STEP) {
            let middle = (x as f64 + 0.5, y as f64 + 0.5);
            if let Some(right) = certain(&reaches, middle) {
                let found = pixels.at(middle.0, middle.1);
                assert!(near(found, right), "{name}: {found:?} at {x}, {y}, right would be {right:?}");
            }
        }
    }
    assert!(pixels.rgb.iter().any(|p| *p != PAPER), "{name} shows nothing");
}

/// Left, upper, right and lower end.
type Ends = [f64; 4];

/// Where an item may colour anything, and where it surely leaves one colour, and which.
type Reach = (Ends, Option<(Ends, Ink)>);

/// The colour that a point must have where that is certain: of the uppermost shape there, or of the paper.
fn certain(reaches: &[Reach], (x, y): (f64, f64)) -> Option<[u8; 3]> {
    let within = |[x0, y0, x1, y1]: Ends| (x0..=x1).contains(&x) && (y0..=y1).contains(&y);
    match reaches.iter().rev().find(|(all, _)| within(*all)) {
        None => Some(PAPER),
        Some((_, solid)) => solid.filter(|(inside, _)| within(*inside)).map(|(_, ink)| ink.rgb()),
    }
}

fn reach(item: &Item) -> Reach {
    let grown = |[x0, y0, x1, y1]: Ends, by: f64| [x0 - by, y0 - by, x1 + by, y1 + by];
    // Pixels that a shape covers in part, and half of its line.
    let edge = |stroke: Option<Stroke>| 1.5 + stroke.map_or(0.0, |s| s.width / 2.0);
    match item {
        Item::Rect { x, y, w, h, radius, fill, stroke } => {
            let all = [*x, *y, x + w, y + h];
            let opaque = fill.filter(|f| f.opacity >= 1.0 && all.iter().all(|v| v.abs() < FAR));
            let inside = grown(all, -edge(*stroke) - radius);
            (grown(all, edge(*stroke)), opaque.map(|f| (inside, f.ink)))
        }
        Item::Circle { x, y, r, stroke, .. } => (grown([*x, *y, *x, *y], r + edge(*stroke)), None),
        Item::Path { pieces, stroke, .. } => {
            // What is no number is drawn at 0.
            let number = |v: f64| if v.is_finite() { v } else { 0.0 };
            let none = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
            let all = pieces.iter().flatten().fold(none, |[x0, y0, x1, y1], p| {
                let (x, y) = (number(p.0), number(p.1));
                [x0.min(x), y0.min(y), x1.max(x), y1.max(y)]
            });
            (grown(all, edge(*stroke)), None)
        }
        Item::Text(text) => {
            let (size, anchor) = (text.size, text.anchor);
            let style = TextStyle { size, weight: text.weight, anchor, ink: text.ink, upwards: text.upwards };
            let width = style.width(&text.text);
            let before = match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => width / 2.0,
                Anchor::End => width,
            };
            let slack = 1.5 + size / 2.0;
            let (from, to) = (before + slack, width - before + slack);
            let (above, below) = (size + 1.5, slack);
            let (x, y) = (text.x, text.y);
            let all = match text.upwards {
                false => [x - from, y - above, x + to, y + below],
                true => [x - above, y - to, x + below, y + from],
            };
            (all, None)
        }
        Item::Image { x, y, w, h, .. } | Item::Colour { x, y, w, h, .. } => {
            (grown([*x, *y, x + w, y + h], edge(None)), None)
        }
    }
}
