//! The colours of every drawing: few, told apart by colour-blind readers and on paper.
//!
//! Neutral inks have a role rather than a value, so that a page in dark mode can repaint them (`class` in the SVG).
//! Series colours follow Okabe and Ito, "Color Universal Design" (2008), a little darker where thin lines need it.

/// What a shape is painted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Titles, labels and axes.
    Text,
    /// Second-rank text.
    Muted,
    /// Grid lines and light frames.
    Grid,
    /// Quiet filled areas.
    Panel,
    /// The ground on which everything lies.
    Paper,
    /// A colour that means something: red, green, blue.
    Rgb(u8, u8, u8),
}

impl Ink {
    /// Red, green, blue on white paper.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Ink::Text => [0x1c, 0x22, 0x2b],
            Ink::Muted => [0x5c, 0x66, 0x73],
            Ink::Grid => [0xdc, 0xe1, 0xe7],
            Ink::Panel => [0xf2, 0xf4, 0xf7],
            Ink::Paper => [0xff, 0xff, 0xff],
            Ink::Rgb(r, g, b) => [r, g, b],
        }
    }

    /// Class by which a page's style sheet finds neutral inks; none for colours that mean something.
    pub(crate) fn class(self) -> Option<&'static str> {
        match self {
            Ink::Text => Some("text"),
            Ink::Muted => Some("muted"),
            Ink::Grid => Some("grid"),
            Ink::Panel => Some("panel"),
            Ink::Paper => Some("paper"),
            Ink::Rgb(..) => None,
        }
    }

    /// Mixes towards white; 0 leaves the colour, 1 is white.
    pub fn tint(self, share: f64) -> Ink {
        let mix = |c: u8| (f64::from(c) + (255.0 - f64::from(c)) * share.clamp(0.0, 1.0)).round() as u8;
        let [r, g, b] = self.rgb();
        Ink::Rgb(mix(r), mix(g), mix(b))
    }
}

/// Lung outlines.
pub(crate) const LUNG: Ink = Ink::Rgb(0x3f, 0xc1, 0xf0);
/// Infection outlines and everything that stands for infection.
pub(crate) const INFECTION: Ink = Ink::Rgb(0xf0, 0x7d, 0x1a);
/// First series: training, or the only one.
pub const BLUE: Ink = Ink::Rgb(0x1f, 0x6f, 0xb4);
/// Second series: validation.
pub(crate) const VERMILION: Ink = Ink::Rgb(0xd5, 0x5e, 0x00);
/// A result that met its floor.
pub(crate) const GREEN: Ink = Ink::Rgb(0x00, 0x8f, 0x6b);
/// Series colours in the order in which they are given out.
pub(crate) const SERIES: [Ink; 7] = [
    BLUE,
    VERMILION,
    GREEN,
    Ink::Rgb(0xb8, 0x5c, 0x94),
    Ink::Rgb(0xc9, 0x8a, 0x00),
    Ink::Rgb(0x45, 0xa3, 0xd6),
    Ink::Rgb(0x5c, 0x66, 0x73),
];
