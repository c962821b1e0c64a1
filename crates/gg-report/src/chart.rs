//! One chart: axes, a light grid, lines, points, bands and bars, the legend above the data.

use crate::axis::{Axis, Scale};
use crate::ink::Ink;
use crate::scene::{Fill, Scene, Stroke, TextStyle};

/// What a chart shows, drawn in the order of the list.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A line through points; it breaks where a value is missing (NaN).
    Line {
        /// Legend; empty for none.
        name: String,
        /// x and y.
        points: Vec<(f64, f64)>,
        /// Colour.
        ink: Ink,
        /// Dashed rather than solid.
        dashed: bool,
    },
    /// The area between a line and the x axis.
    Area {
        /// x and y.
        points: Vec<(f64, f64)>,
        /// Colour; drawn translucent.
        ink: Ink,
    },
    /// Dots.
    Points {
        /// Legend; empty for none.
        name: String,
        /// x and y.
        points: Vec<(f64, f64)>,
        /// Colour.
        ink: Ink,
        /// Radius in scene units.
        radius: f64,
    },
    /// Bars from the lower end up.
    Bars {
        /// Legend; empty for none.
        name: String,
        /// x of the middle and height.
        points: Vec<(f64, f64)>,
        /// Width in units of x.
        width: f64,
        /// Colour.
        ink: Ink,
    },
    /// A range of y, shaded over the whole width.
    Band {
        /// Legend; empty for none.
        name: String,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
        /// Colour; drawn translucent.
        ink: Ink,
    },
    /// A level line at one y with its name at the right end.
    Level {
        /// Written above the line's right end; empty for none.
        name: String,
        /// Where.
        y: f64,
        /// Colour.
        ink: Ink,
    },
    /// An upright line at one x with its name beside its top.
    Upright {
        /// Written beside the line's top; empty for none.
        name: String,
        /// Where.
        x: f64,
        /// Colour.
        ink: Ink,
    },
    /// A short text at a point.
    Label {
        /// Where.
        at: (f64, f64),
        /// What.
        text: String,
    },
}

/// A chart from plain data.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// A second line below the title; may be empty.
    pub note: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn.
    pub marks: Vec<Mark>,
    /// Width and height of the whole drawing in scene units; 0 takes 560 x 360.
    pub size: (f64, f64),
}

const PAD: f64 = 16.0;
const TITLE: f64 = 15.0;
const SMALL: f64 = 11.5;

impl Chart {
    /// The drawing.
    pub fn scene(&self) -> Scene {
        let (width, height) = if self.size.0 > 0.0 && self.size.1 > 0.0 { self.size } else { (560.0, 360.0) };
        let mut scene = Scene::new(width, height, &self.title);
        let inner = width - 2.0 * PAD;
        let mut top = PAD;
        if !self.title.is_empty() {
            scene.text_within(PAD, top + 13.0, &self.title, inner, TextStyle::new(TITLE, Ink::Text).bold());
            top += 22.0;
        }
        if !self.note.is_empty() {
            scene.text_within(PAD, top + 11.0, &self.note, inner, TextStyle::new(12.0, Ink::Muted));
            top += 19.0;
        }
        top = legend(&mut scene, &self.marks, top);
        if !self.y.label.is_empty() {
            scene.text_within(PAD, top + 15.0, &self.y.label, inner, TextStyle::new(SMALL, Ink::Muted));
            top += 22.0;
        }
        top += 6.0;
        let bottom = height - PAD - 18.0 - if self.x.label.is_empty() { 0.0 } else { 20.0 };
        let y = Scale::new(&self.y, self.values(true), (((bottom - top) / 40.0) as usize).max(3), true);
        let style = TextStyle::new(SMALL, Ink::Muted);
        let tick_width = y.ticks.iter().map(|t| style.width(&t.1)).fold(0.0, f64::max);
        let (left, right) = (PAD + tick_width + 8.0, width - PAD - 6.0);
        let x = Scale::new(&self.x, self.values(false), ((right - left) / 70.0) as usize, false);
        let frame = Frame { left, right, top, bottom: bottom.max(top + 20.0), x, y };
        frame.draw_grid(&mut scene, &self.x.label);
        let empty = self.values(true).next().is_none();
        if empty {
            let middle = ((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0);
            scene.text(middle.0, middle.1, "no data", TextStyle::new(13.0, Ink::Muted).middle());
        }
        for mark in &self.marks {
            frame.draw(&mut scene, mark);
        }
        for mark in &self.marks {
            frame.name_level(&mut scene, mark);
        }
        scene
    }

    /// All finite values of one axis.
    fn values(&self, vertical: bool) -> impl Iterator<Item = f64> {
        self.marks.iter().flat_map(move |mark| mark_values(mark, vertical)).filter(|v| v.is_finite())
    }
}

fn mark_values(mark: &Mark, vertical: bool) -> Vec<f64> {
    let pick = |p: &(f64, f64)| if vertical { p.1 } else { p.0 };
    match mark {
        Mark::Line { points, .. } | Mark::Points { points, .. } => points.iter().map(pick).collect(),
        Mark::Area { points, .. } => points.iter().map(pick).collect(),
        Mark::Bars { points, width, .. } => {
            let around =
                |p: &(f64, f64)| if vertical { [0.0, p.1] } else { [p.0 - width / 2.0, p.0 + width / 2.0] };
            points.iter().flat_map(around).collect()
        }
        Mark::Band { low, high, .. } if vertical => vec![*low, *high],
        Mark::Level { y, .. } if vertical => vec![*y],
        _ => Vec::new(),
    }
}

/// Draws the legend's entries in lines; returns where the next thing may start.
fn legend(scene: &mut Scene, marks: &[Mark], top: f64) -> f64 {
    let style = TextStyle::new(12.0, Ink::Text);
    let (mut x, mut y, mut any) = (PAD, top + 12.0, false);
    for mark in marks {
        let (name, ink) = match mark {
            Mark::Line { name, ink, .. }
            | Mark::Points { name, ink, .. }
            | Mark::Bars { name, ink, .. }
            | Mark::Band { name, ink, .. } => (name, *ink),
            _ => continue,
        };
        if name.is_empty() {
            continue;
        }
        let wide = 26.0 + style.width(name) + 16.0;
        if x > PAD && x + wide > scene.width - PAD {
            (x, y) = (PAD, y + 18.0);
        }
        match mark {
            Mark::Line { dashed, .. } => {
                let stroke = Stroke { ink, width: 2.2, dashed: *dashed };
                scene.line((x, y - 4.0), (x + 19.0, y - 4.0), stroke);
            }
            Mark::Points { .. } => scene.disc(x + 10.0, y - 4.0, 4.0, ink),
            Mark::Band { .. } => {
                scene.card((x, y - 9.0), (19.0, 10.0), 2.0, Fill { ink, opacity: BAND_OPACITY }, None)
            }
            _ => scene.card((x + 4.0, y - 9.0), (10.0, 10.0), 2.0, Fill::solid(ink), None),
        }
        scene.text_within(x + 26.0, y, name, scene.width - PAD - x - 26.0, style);
        x += wide;
        any = true;
    }
    if any { y + 8.0 } else { top }
}

const BAND_OPACITY: f64 = 0.22;

struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    fn px(&self, share: f64) -> f64 {
        self.left + share * (self.right - self.left)
    }

    fn py(&self, share: f64) -> f64 {
        self.bottom - share * (self.bottom - self.top)
    }

    fn place(&self, p: (f64, f64)) -> Option<(f64, f64)> {
        let x = self.x.at(p.0).filter(|s| (-1e-6..=1.0 + 1e-6).contains(s))?;
        Some((self.px(x), self.py(self.y.clamped(p.1)?)))
    }

    fn draw_grid(&self, scene: &mut Scene, x_label: &str) {
        let style = TextStyle::new(SMALL, Ink::Muted);
        for (value, label) in &self.y.ticks {
            let Some(share) = self.y.at(*value) else { continue };
            let y = self.py(share);
            scene.line((self.left, y), (self.right, y), Stroke::solid(Ink::Grid, 1.0));
            scene.text(self.left - 7.0, y + 4.0, label.as_str(), style.end());
        }
        scene.line((self.left, self.bottom), (self.right, self.bottom), Stroke::solid(Ink::Muted, 1.0));
        let mut free_from = f64::NEG_INFINITY;
        for (value, label) in &self.x.ticks {
            let Some(share) = self.x.at(*value) else { continue };
            let x = self.px(share);
            scene.line((x, self.bottom), (x, self.bottom + 4.0), Stroke::solid(Ink::Muted, 1.0));
            let half = style.width(label) / 2.0;
            if x - half > free_from {
                scene.text(x, self.bottom + 17.0, label.as_str(), style.middle());
                free_from = x + half + 6.0;
            }
        }
        scene.text((self.left + self.right) / 2.0, self.bottom + 36.0, x_label, style.middle());
    }

    fn draw(&self, scene: &mut Scene, mark: &Mark) {
        match mark {
            Mark::Line { points, ink, dashed, .. } => {
                for run in self.runs(points) {
                    if let [only] = run[..] {
                        scene.dot(only.0, only.1, 3.5, *ink);
                    }
                    let stroke = Stroke { ink: *ink, width: 2.0, dashed: *dashed };
                    scene.path(vec![run], false, None, Some(stroke));
                }
            }
            Mark::Area { points, ink } => {
                for mut run in self.runs(points) {
                    if let (Some(first), Some(last)) = (run.first().copied(), run.last().copied()) {
                        run.extend([(last.0, self.bottom), (first.0, self.bottom)]);
                        scene.path(vec![run], true, Some(Fill { ink: *ink, opacity: 0.14 }), None);
                    }
                }
            }
            Mark::Points { points, ink, radius, .. } => {
                for (x, y) in points.iter().filter_map(|p| self.place(*p)) {
                    scene.dot(x, y, *radius, *ink);
                }
            }
            Mark::Bars { points, width, ink, .. } => {
                scene.path(self.bars(points, *width), true, Some(Fill::solid(*ink)), None);
            }
            Mark::Band { low, high, ink, .. } => {
                if let (Some(low), Some(high)) = (self.y.clamped(*low), self.y.clamped(*high)) {
                    let (y0, y1) = (self.py(high), self.py(low));
                    let fill = Fill { ink: *ink, opacity: BAND_OPACITY };
                    scene.rect(self.left, y0, self.right - self.left, y1 - y0, fill);
                }
            }
            Mark::Level { y, ink, .. } => {
                let Some(y) = self.y.clamped(*y).map(|s| self.py(s)) else { return };
                scene.line((self.left, y), (self.right, y), Stroke::dashed(*ink, 1.4));
            }
            Mark::Upright { name, x, ink } => {
                let Some(x) = self.x.clamped(*x).map(|s| self.px(s)) else { return };
                scene.line((x, self.top), (x, self.bottom), Stroke::dashed(*ink, 1.4));
                let style = TextStyle::new(SMALL, *ink);
                let room = self.right - x > style.width(name) + 8.0;
                let (at, style) = if room { (x + 5.0, style) } else { (x - 5.0, style.end()) };
                scene.text(at, self.top + 10.0, name.as_str(), style);
            }
            Mark::Label { at, text } => {
                let Some((x, y)) = self.place(*at) else { return };
                let style = TextStyle::new(SMALL, Ink::Text);
                let room = self.right - x > style.width(text) + 12.0;
                let (at, style) = if room { (x + 9.0, style) } else { (x - 9.0, style.end()) };
                scene.text(at, (y + 16.0).min(self.bottom - 5.0), text.as_str(), style);
            }
        }
    }

    /// Outlines of bars; bars that touch are one outline, so that no seam shows between them.
    fn bars(&self, points: &[(f64, f64)], width: f64) -> Vec<Vec<(f64, f64)>> {
        /// Gap in scene units below which two bars touch.
        const TOUCH: f64 = 0.05;
        let mut outlines: Vec<Vec<(f64, f64)>> = Vec::new();
        for p in points {
            let ends = (self.x.clamped(p.0 - width / 2.0), self.x.clamped(p.0 + width / 2.0));
            let ((Some(a), Some(b)), Some(y)) = (ends, self.y.clamped(p.1)) else { continue };
            let (x0, x1, y) = (self.px(a), self.px(b), self.py(y));
            match outlines.last_mut() {
                Some(outline) if outline.last().is_some_and(|end| (end.0 - x0).abs() < TOUCH) => {
                    outline.pop();
                    outline.extend([(x0, y), (x1, y), (x1, self.bottom)]);
                }
                _ => outlines.push(vec![(x0, self.bottom), (x0, y), (x1, y), (x1, self.bottom)]),
            }
        }
        outlines
    }

    /// Writes a level line's name above its right end, over all data and on a plate of paper.
    fn name_level(&self, scene: &mut Scene, mark: &Mark) {
        let Mark::Level { name, y, ink } = mark else { return };
        let Some(y) = self.y.clamped(*y).map(|s| self.py(s)).filter(|_| !name.is_empty()) else { return };
        let base = if y - self.top < 16.0 { y + 14.0 } else { y - 5.0 };
        let style = TextStyle::new(SMALL, *ink).bold().end();
        let wide = style.width(name) + 8.0;
        let plate = Fill { ink: Ink::Paper, opacity: 0.85 };
        scene.card((self.right - wide + 3.0, base - 10.5), (wide, 14.0), 3.0, plate, None);
        scene.text(self.right - 1.0, base, name.as_str(), style);
    }

    /// Points on paper, split where one cannot be shown.
    fn runs(&self, points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let mut runs = vec![Vec::new()];
        for p in points {
            match (self.place(*p), runs.last_mut()) {
                (Some(at), Some(run)) => run.push(at),
                (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
                _ => {}
            }
        }
        runs.retain(|r| !r.is_empty());
        runs
    }
}
