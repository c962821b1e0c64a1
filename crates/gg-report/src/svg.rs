//! A scene as SVG text: small, well-formed, the same bytes for the same scene.
//!
//! Neutral inks carry a `class` besides their colour, so that a page's style sheet may repaint them in dark mode.

use crate::encode::data_uri;
use crate::font::{Weight, text_width};
use crate::scene::{Anchor, Fill, Item, Scene, Stroke, Text};
use std::fmt::Write;

/// Typefaces asked for by SVGs; the PNG uses the first one, embedded.
const FAMILY: &str = "Inter,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif";

impl Scene {
    /// A file of its own: XML with name spaces and white paper.
    pub fn to_svg(&self) -> String {
        let names = "xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" ";
        let mut svg = self.open(names, "font-kerning:none");
        let _ = writeln!(svg, "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>");
        self.write_items(&mut svg, "xlink:href");
        svg.push_str("</svg>\n");
        svg
    }

    /// A piece of an HTML page: no name spaces, no paper, as wide as there is room up to its own width.
    pub fn to_inline_svg(&self) -> String {
        let mut svg = self.open("", &format!("font-kerning:none;max-width:{}px", num(self.width)));
        self.write_items(&mut svg, "href");
        svg.push_str("</svg>");
        svg
    }

    fn open(&self, names: &str, style: &str) -> String {
        let (w, h) = (num(self.width), num(self.height));
        let label = escape(&self.label);
        format!(
            "<svg {names}width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{label}\" \
             font-family=\"{FAMILY}\" style=\"{style}\">\n"
        )
    }

    fn write_items(&self, svg: &mut String, href: &str) {
        for item in &self.items {
            write_item(svg, item, href);
        }
    }
}

fn write_item(svg: &mut String, item: &Item, href: &str) {
    match item {
        Item::Rect { x, y, w, h, radius, fill, stroke } => {
            let (x, y, w, h) = (num(*x), num(*y), num(w.max(0.0)), num(h.max(0.0)));
            let _ = write!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"");
            if *radius > 0.0 {
                let _ = write!(svg, " rx=\"{}\"", num(*radius));
            }
            let _ = writeln!(svg, "{}/>", paint(*fill, *stroke));
        }
        Item::Circle { x, y, r, fill, stroke } => {
            let (x, y, r) = (num(*x), num(*y), num(*r));
            let _ = writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\"{}/>", paint(*fill, *stroke));
        }
        Item::Path { pieces, closed, fill, stroke } => {
            let mut d = String::new();
            for piece in pieces.iter().filter(|p| p.len() > 1) {
                for (i, (x, y)) in piece.iter().enumerate() {
                    let _ = write!(d, "{}{} {}", if i == 0 { "M" } else { "L" }, num(*x), num(*y));
                }
                if *closed {
                    d.push('Z');
                }
            }
            let rule = if fill.is_some() && pieces.len() > 1 { " fill-rule=\"evenodd\"" } else { "" };
            let _ = writeln!(svg, "<path d=\"{d}\"{rule}{}/>", paint(*fill, *stroke));
        }
        Item::Text(text) => write_text(svg, text),
        Item::Image { x, y, w, h, grey } => write_image(svg, [*x, *y, *w, *h], &grey.to_png(), href),
        Item::Colour { x, y, w, h, picture } => write_image(svg, [*x, *y, *w, *h], &picture.to_png(), href),
    }
}

fn write_image(svg: &mut String, place: [f64; 4], png: &[u8], href: &str) {
    let ([x, y, w, h], uri) = (place.map(num), data_uri(png));
    let _ = writeln!(
        svg,
        "<image x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" preserveAspectRatio=\"none\" {href}=\"{uri}\"/>"
    );
}

fn write_text(svg: &mut String, text: &Text) {
    let (x, y) = (num(text.x), num(text.y));
    let _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\"", num(text.size));
    if text.weight == Weight::SemiBold {
        svg.push_str(" font-weight=\"600\"");
    }
    match text.anchor {
        Anchor::Start => {}
        Anchor::Middle => svg.push_str(" text-anchor=\"middle\""),
        Anchor::End => svg.push_str(" text-anchor=\"end\""),
    }
    // Drawings are laid out with Inter's widths: whatever typeface is at hand keeps to them.
    if text.text.chars().count() > 1 {
        let width = num(text_width(&text.text, text.size, text.weight));
        let _ = write!(svg, " textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\"");
    }
    if text.upwards {
        let _ = write!(svg, " transform=\"rotate(-90 {x} {y})\"");
    }
    let _ = writeln!(svg, "{}>{}</text>", paint(Some(Fill::solid(text.ink)), None), escape(&text.text));
}

fn paint(fill: Option<Fill>, stroke: Option<Stroke>) -> String {
    let mut attributes = String::new();
    let mut classes: Vec<String> = Vec::new();
    match fill {
        None => attributes.push_str(" fill=\"none\""),
        Some(fill) => {
            let _ = write!(attributes, " fill=\"{}\"", hex(fill.ink.rgb()));
            if fill.opacity < 1.0 {
                let _ = write!(attributes, " fill-opacity=\"{}\"", num(fill.opacity));
            }
            classes.extend(fill.ink.class().map(|c| format!("f-{c}")));
        }
    }
    if let Some(stroke) = stroke {
        let _ = write!(
            attributes,
            " stroke=\"{}\" stroke-width=\"{}\"",
            hex(stroke.ink.rgb()),
            num(stroke.width)
        );
        attributes.push_str(" stroke-linejoin=\"round\"");
        if stroke.dashed {
            let (on, off) = dash(stroke.width);
            let _ = write!(attributes, " stroke-dasharray=\"{} {}\"", num(on), num(off));
        }
        classes.extend(stroke.ink.class().map(|c| format!("s-{c}")));
    }
    if !classes.is_empty() {
        let _ = write!(attributes, " class=\"{}\"", classes.join(" "));
    }
    attributes
}

/// Lengths of dash and gap for a line of a given width.
pub(crate) fn dash(width: f64) -> (f64, f64) {
    (width * 3.0 + 1.0, width * 2.0 + 1.5)
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// At most two decimals, no trailing zeros; what is not a number becomes 0.
fn num(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Escapes for XML text and attributes; control characters, which XML forbids, become blanks.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for ch in text.chars() {
        match ch {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_nan() {
        for (value, expected) in [(1.0, "1"), (1.256, "1.26"), (-0.001, "0"), (f64::NAN, "0"), (100.0, "100")]
        {
            assert_eq!(num(value), expected);
        }
    }

    #[test]
    fn hostile_text_is_escaped() {
        assert_eq!(escape("<a href='x'>&\"\u{1}"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot; ");
    }
}
