//! What a slice is looked at with besides as it is, when a finished network predicts.

use rayon::prelude::*;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A posture whose logits, turned back, go into a mean with those of the slice as it is, at twice the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mirror {
    /// The slice alone.
    #[default]
    None,
    /// Its mirror image, left to right.
    LeftRight,
    /// The slice upside down and left to right: turned by half.
    HalfTurn,
}

/// How it is written: earlier versions knew the mirror image alone, as `true`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Former(bool),
    Named(String),
}

impl<'de> Deserialize<'de> for Mirror {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || D::Error::custom("should be none, left_right or half_turn");
        match Written::deserialize(deserializer).map_err(|_| wrong())? {
            Written::Former(false) => Ok(Self::None),
            Written::Former(true) => Ok(Self::LeftRight),
            Written::Named(name) => match name.as_str() {
                "none" => Ok(Self::None),
                "left_right" => Ok(Self::LeftRight),
                "half_turn" => Ok(Self::HalfTurn),
                _ => Err(wrong()),
            },
        }
    }
}

impl Mirror {
    /// Whether the slice is looked at alone.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Brings pictures of this height and width, one after the other, into the posture, or back.
    pub(crate) fn turn(self, pictures: &mut [f32], height: usize, width: usize) {
        let run = match self {
            Self::None => return,
            Self::LeftRight => width,
            Self::HalfTurn => height * width,
        };
        pictures.par_chunks_exact_mut(run).for_each(<[f32]>::reverse);
    }

    /// In words, for descriptions.
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "each slice as it is",
            Self::LeftRight => "the mean of each slice and its mirror image",
            Self::HalfTurn => "the mean of each slice and the same turned by half",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_posture_is_read_as_it_is_written_and_as_it_was() {
        for (mirror, text) in
            [(Mirror::None, "none"), (Mirror::LeftRight, "left_right"), (Mirror::HalfTurn, "half_turn")]
        {
            let written = format!("\"{text}\"");
            assert_eq!(serde_json::to_string(&mirror).ok(), Some(written.clone()));
            assert_eq!(serde_json::from_str::<Mirror>(&written).ok(), Some(mirror));
        }
        assert_eq!(serde_json::from_str::<Mirror>("true").ok(), Some(Mirror::LeftRight));
        assert_eq!(serde_json::from_str::<Mirror>("false").ok(), Some(Mirror::None));
        let error = serde_json::from_str::<Mirror>("\"quarter\"").err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("should be none, left_right or half_turn")));
    }

    #[test]
    fn a_posture_of_a_posture_is_the_picture() {
        let pictures: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let turned = |mirror: Mirror, mut p: Vec<f32>| {
            mirror.turn(&mut p, 2, 3);
            p
        };
        let right = [2.0, 1.0, 0.0, 5.0, 4.0, 3.0, 8.0, 7.0, 6.0, 11.0, 10.0, 9.0];
        assert_eq!(turned(Mirror::LeftRight, pictures.clone()), right);
        let right = [5.0, 4.0, 3.0, 2.0, 1.0, 0.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0];
        assert_eq!(turned(Mirror::HalfTurn, pictures.clone()), right);
        for mirror in [Mirror::None, Mirror::LeftRight, Mirror::HalfTurn] {
            assert_eq!(turned(mirror, turned(mirror, pictures.clone())), pictures);
        }
    }
}
