//! Drawings of networks from a plain list of layers: the table of layers, the CNN as blocks, the U-Net as its U.

use crate::ink::{BLUE, GREEN, INFECTION, Ink, SERIES};
use crate::scene::{Fill, Scene, Stroke, TextStyle};

/// What a layer does; gives a block its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerKind {
    /// The picture that goes in.
    #[default]
    Input,
    /// Convolution with its activation.
    Conv,
    /// Pooling.
    Pool,
    /// Normalisation.
    Norm,
    /// Dropout.
    Dropout,
    /// Transposed convolution or another way up.
    Up,
    /// Joins a skip connection.
    Concat,
    /// Fully connected.
    Dense,
    /// The last layer.
    Output,
}

impl LayerKind {
    fn ink(self) -> Ink {
        match self {
            LayerKind::Input | LayerKind::Dropout | LayerKind::Concat => Ink::Muted,
            LayerKind::Conv => BLUE,
            LayerKind::Pool => INFECTION,
            LayerKind::Norm => SERIES[5],
            LayerKind::Up => GREEN,
            LayerKind::Dense => SERIES[3],
            LayerKind::Output => SERIES[4],
        }
    }
}

/// One line of the table of layers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerRow {
    /// What it does.
    pub kind: LayerKind,
    /// In words, e.g. `Conv 3x3, 64, ReLU`.
    pub name: String,
    /// Shape of what comes out, e.g. `64 x 128 x 128`.
    pub output: String,
    /// Number of trained values.
    pub parameters: u64,
}

/// One level of a U-Net, from the top; the last one is the bottleneck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnetLevel {
    /// Feature maps.
    pub channels: usize,
    /// Height and width of the maps.
    pub size: usize,
}

/// The paper's Fig. 6: layers, output shapes and numbers of trained values.
pub fn layer_table(title: &str, layers: &[LayerRow]) -> Scene {
    const ROW_H: f64 = 24.0;
    const TOP: f64 = 72.0;
    let (width, total) = (640.0, layers.iter().map(|l| l.parameters).fold(0, u64::saturating_add));
    let height = TOP + layers.len() as f64 * ROW_H + 46.0;
    let mut scene = Scene::new(width, height, title);
    let (left, shape_x, right) = (24.0, 340.0, width - 24.0);
    scene.text_within(left, 30.0, title, width - 48.0, TextStyle::new(15.0, Ink::Text).bold());
    let head = TextStyle::new(11.5, Ink::Muted).bold();
    scene.text(left + 14.0, TOP - 12.0, "Layer", head);
    scene.text(shape_x, TOP - 12.0, "Output (channels x height x width)", head);
    scene.text(right, TOP - 12.0, "Parameters", head.end());
    scene.line((left, TOP - 3.0), (right, TOP - 3.0), Stroke::solid(Ink::Muted, 1.0));
    let style = TextStyle::new(12.5, Ink::Text);
    for (i, layer) in layers.iter().enumerate() {
        let y = TOP + i as f64 * ROW_H;
        if i % 2 == 1 {
            scene.rect(left, y, right - left, ROW_H, Fill::solid(Ink::Panel));
        }
        scene.card((left, y + 5.0), (4.0, ROW_H - 10.0), 2.0, Fill::solid(layer.kind.ink()), None);
        scene.text_within(left + 14.0, y + 16.5, &layer.name, shape_x - left - 24.0, style);
        scene.text_within(shape_x, y + 16.5, &layer.output, 190.0, style);
        let parameters = if layer.parameters == 0 { "–".to_owned() } else { thousands(layer.parameters) };
        scene.text(right, y + 16.5, parameters, style.end());
    }
    let y = TOP + layers.len() as f64 * ROW_H;
    scene.line((left, y + 3.0), (right, y + 3.0), Stroke::solid(Ink::Muted, 1.0));
    scene.text(left + 14.0, y + 24.0, "Total", style.bold());
    scene.text(right, y + 24.0, thousands(total), style.bold().end());
    scene
}

/// A number with a thin gap between each three digits.
pub(crate) fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out
}

/// The paper's Fig. 7: the layers of a CNN as blocks from left to right, wrapped into rows.
pub fn cnn_drawing(title: &str, layers: &[LayerRow]) -> Scene {
    const BOX_W: f64 = 104.0;
    const BOX_H: f64 = 78.0;
    const STEP: f64 = BOX_W + 26.0;
    const ROW: f64 = BOX_H + 30.0;
    const PER_ROW: usize = 7;
    let columns = layers.len().clamp(1, PER_ROW);
    let rows = layers.len().div_ceil(PER_ROW).max(1);
    let (width, top) = ((48.0 + columns as f64 * STEP - 26.0).max(420.0), 56.0);
    let mut scene = Scene::new(width, top + rows as f64 * ROW, title);
    scene.text_within(24.0, 30.0, title, width - 48.0, TextStyle::new(15.0, Ink::Text).bold());
    for (i, layer) in layers.iter().enumerate() {
        let (x, y) = (24.0 + (i % PER_ROW) as f64 * STEP, top + (i / PER_ROW) as f64 * ROW);
        let ink = layer.kind.ink();
        scene.card((x, y), (BOX_W, BOX_H), 6.0, Fill { ink, opacity: 0.12 }, Some(Stroke::solid(ink, 1.25)));
        scene.card((x, y), (5.0, BOX_H), 2.5, Fill::solid(ink), None);
        let name = TextStyle::new(11.5, Ink::Text).bold().middle();
        let lines = crate::font::wrap(&layer.name, name.size, name.weight, BOX_W - 16.0);
        let start = y + 22.0 + if lines.len() < 2 { 8.0 } else { 0.0 };
        for (n, line) in lines.iter().take(2).enumerate() {
            scene.text_within(x + BOX_W / 2.0 + 2.0, start + n as f64 * 15.0, line, BOX_W - 14.0, name);
        }
        let small = TextStyle::new(10.5, Ink::Muted).middle();
        scene.text_within(x + BOX_W / 2.0 + 2.0, y + BOX_H - 12.0, &layer.output, BOX_W - 12.0, small);
        if i + 1 < layers.len() {
            let (stroke, middle) = (Stroke::solid(Ink::Muted, 1.4), y + BOX_H / 2.0);
            if (i + 1) % PER_ROW == 0 {
                turn_to_next_row(&mut scene, x + BOX_W, middle, 24.0, y + ROW + BOX_H / 2.0, stroke);
            } else {
                scene.arrow((x + BOX_W + 4.0, middle), (x + STEP - 3.0, middle), stroke);
            }
        }
    }
    scene
}

fn turn_to_next_row(scene: &mut Scene, right: f64, y: f64, left: f64, next_y: f64, stroke: Stroke) {
    let between = next_y - 54.0;
    let (out, back) = (right + 11.0, left - 13.0);
    scene.path(
        vec![vec![(right + 4.0, y), (out, y), (out, between), (back, between), (back, next_y)]],
        false,
        None,
        Some(stroke),
    );
    scene.arrow((back - 0.5, next_y), (left - 2.0, next_y), stroke);
}

/// The paper's Fig. 8: the U-Net, its levels from the top; skips go straight across.
pub fn unet_drawing(title: &str, levels: &[UnetLevel], note: &str) -> Scene {
    const LEVEL_H: f64 = 78.0;
    let depth = levels.len();
    let (width, top) = (760.0, 84.0);
    let height = top + depth as f64 * LEVEL_H + 24.0;
    let mut scene = Scene::new(width, height, title);
    scene.text_within(24.0, 30.0, title, width - 48.0, TextStyle::new(15.0, Ink::Text).bold());
    scene.text_within(24.0, 50.0, note, width - 48.0, TextStyle::new(12.0, Ink::Muted));
    let centre = width / 2.0;
    let reach = |level: usize| (centre - 96.0) * (1.0 - level as f64 / depth.max(2) as f64 * 1.02);
    let half = |level: usize| 52.0 - 5.0 * (level.min(5) as f64);
    let row = |level: usize| top + level as f64 * LEVEL_H + 20.0;
    for (i, level) in levels.iter().enumerate() {
        let (y, w, bottom) = (row(i), half(i), i + 1 == depth);
        let sides: &[f64] = if bottom { &[0.0] } else { &[-1.0, 1.0] };
        for side in sides {
            block(&mut scene, (centre + side * reach(i), y), w, level, *side);
        }
        if bottom {
            continue;
        }
        let skip = Stroke::dashed(Ink::Muted, 1.4);
        scene.arrow((centre - reach(i) + w + 5.0, y), (centre + reach(i) - w - 5.0, y), skip);
        let last = i + 2 == depth;
        let (below, next) = (row(i + 1), if last { 0.0 } else { reach(i + 1) });
        let landing = if last { half(i + 1) * 0.55 } else { 0.0 };
        let (down, up) = (Stroke::solid(INFECTION, 1.8), Stroke::solid(GREEN, 1.8));
        scene.arrow((centre - reach(i), y + 19.0), (centre - next - landing, below - 20.0), down);
        scene.arrow((centre + next + landing, below - 20.0), (centre + reach(i), y + 19.0), up);
    }
    if depth > 1 {
        let y = row(0);
        let small = TextStyle::new(11.0, Ink::Muted).middle();
        scene.text(centre - reach(0), y - 26.0, "CT slice in", small);
        scene.text(centre + reach(0), y - 26.0, "mask out (1x1, sigmoid)", small);
        scene.text(centre, y - 7.0, "skip: concatenate", small);
    }
    drawing_legend(&mut scene, height - 22.0);
    scene
}

fn block(scene: &mut Scene, (x, y): (f64, f64), half_width: f64, level: &UnetLevel, side: f64) {
    let ink = if side > 0.0 { GREEN } else { BLUE };
    let ink = if side == 0.0 { SERIES[3] } else { ink };
    let at = (x - half_width, y - 17.0);
    scene.card(at, (half_width * 2.0, 34.0), 6.0, Fill { ink, opacity: 0.14 }, Some(Stroke::solid(ink, 1.3)));
    let style = TextStyle::new(12.0, Ink::Text).middle();
    scene.text(x, y - 1.5, level.channels.to_string(), style.bold());
    let size = format!("{0}x{0}", level.size);
    scene.text(x, y + 12.0, size, TextStyle { size: 10.0, ink: Ink::Muted, ..style });
}

fn drawing_legend(scene: &mut Scene, y: f64) {
    let entries = [
        (BLUE, "two 3x3 convolutions"),
        (INFECTION, "max-pool 2x2"),
        (SERIES[3], "bottleneck"),
        (GREEN, "transposed convolution, then two 3x3"),
    ];
    let style = TextStyle::new(11.0, Ink::Text);
    let mut x = 24.0;
    for (ink, name) in entries {
        scene.card((x, y - 9.0), (12.0, 10.0), 2.0, Fill::solid(ink), None);
        scene.text(x + 18.0, y, name, style);
        x += 18.0 + style.width(name) + 22.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped() {
        assert_eq!(thousands(1_234_567), "1\u{a0}234\u{a0}567");
        assert_eq!(thousands(12), "12");
    }
}
