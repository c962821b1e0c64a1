//! What the grey values of a CT mean.

use serde::{Deserialize, Serialize};

/// The kind of grey values a CT is stored in. Only the first two carry Hounsfield units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")] // and by hand where a number is a word of its own, see `name`
pub enum IntensityKind {
    /// Hounsfield units: air near -1000, water 0.
    Hu,
    /// Hounsfield units shifted by 1024 (or 1000) so that none is negative.
    #[serde(rename = "hu_plus_1024")]
    HuPlus1024,
    /// 8-bit grey of a lung window; the window is unknown.
    #[serde(rename = "lung_window_8bit")]
    LungWindow8bit,
    /// 8-bit grey after contrast-limited histogram equalisation (CLAHE).
    #[serde(rename = "contrast_8bit")]
    Contrast8bit,
    /// Real numbers from 0 to 1.
    UnitRange,
    /// None of the kinds known here.
    Unknown,
}

impl IntensityKind {
    /// All kinds, in the order of the help texts.
    pub const ALL: [Self; 6] = [
        Self::Hu,
        Self::LungWindow8bit,
        Self::Contrast8bit,
        Self::HuPlus1024,
        Self::UnitRange,
        Self::Unknown,
    ];

    /// Name as it stands in outputs, configs and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hu => "hu",
            Self::HuPlus1024 => "hu_plus_1024",
            Self::LungWindow8bit => "lung_window_8bit",
            Self::Contrast8bit => "contrast_8bit",
            Self::UnitRange => "unit_range",
            Self::Unknown => "unknown",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }

    /// What to add to a stored value to get Hounsfield units; `None` where the values are not HU at all.
    ///
    /// # Units
    /// HU.
    pub fn hu_offset(self) -> Option<f32> {
        match self {
            Self::Hu => Some(0.0),
            Self::HuPlus1024 => Some(-1024.0),
            _ => None,
        }
    }
}

/// The kind of grey values, how sure the detection is, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intensity {
    /// The kind.
    pub kind: IntensityKind,
    /// From 0 (a guess) to 1 (stated by the user or beyond doubt).
    pub confidence: f32,
    /// What in the values speaks for the kind, as short clauses.
    pub reasons: Vec<String>,
}

impl Intensity {
    /// The kind that a user stated.
    pub fn stated(kind: IntensityKind) -> Self {
        Self { kind, confidence: 1.0, reasons: vec!["stated by the user".to_owned()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in IntensityKind::ALL {
            assert_eq!(IntensityKind::from_name(kind.name()), Some(kind));
        }
    }
}
