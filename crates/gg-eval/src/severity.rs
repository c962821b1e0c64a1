//! A severity score from 0 to 24 out of six zones of the lungs.
//!
//! # Source
//! The visual six-zone CT score of Ooi et al., Radiology 2004;230:836-844, doi 10.1148/radiol.2303030853, made for SARS
//! and used for COVID-19 since: each lung in three zones, upper (above the carina), middle, lower (below the inferior
//! pulmonary veins); per zone 0 none, 1 below 25 %, 2 from 25 %, 3 from 50 %, 4 from 75 % on; the sum is 0 to 24.
//!
//! Here: 0 below 0.5 %, 1 up to 25 %, 2 up to 50 %, 3 up to 75 %, 4 above, each bound belonging to the lower score; the
//! percentage is counted in voxels; zones are thirds of each lung's own height instead of anatomical landmarks. What
//! differs is said in [`Severity::differs`].

use serde::{Deserialize, Serialize};

/// The score, what it follows, and where it differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Severity {
    /// Sum over six zones, 0 to 24; `None` where a zone has no score.
    pub score: Option<u8>,
    /// The largest score there is.
    pub max: u8,
    /// Why there is no score.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The published score it follows.
    pub follows: String,
    /// Where it differs from that.
    pub differs: String,
}

const ZONE_MAX: u8 = 4;
const ZONES: u8 = 6;

/// Upper bounds in percent of the scores 1 to 3; each belongs to its score. Below the first of all a zone scores 0.
const NONE_BELOW: f64 = 0.5;
const BOUNDS: [f64; 3] = [25.0, 50.0, 75.0];

/// Score of one zone by its infected percentage: 0 below 0.5 %, 1 up to 25 %, 2 up to 50 %, 3 up to 75 %, 4 above.
pub(crate) fn zone_score(percent: f64) -> u8 {
    match percent {
        p if p < NONE_BELOW => 0,
        p if p <= BOUNDS[0] => 1,
        p if p <= BOUNDS[1] => 2,
        p if p <= BOUNDS[2] => 3,
        _ => ZONE_MAX,
    }
}

impl Severity {
    pub(crate) fn new(score: Result<u8, String>) -> Self {
        let (score, reason) = match score {
            Ok(score) => (Some(score), None),
            Err(reason) => (None, Some(reason)),
        };
        Self {
            score,
            max: ZONE_MAX * ZONES,
            reason,
            follows: "visual six-zone CT score, 0 to 4 per zone: none, below 25 %, from 25 %, from 50 %, from 75 % on \
                      (Ooi et al., Radiology 2004;230:836-844, for SARS; used for COVID-19 since)"
                .to_owned(),
            differs: "zones are thirds of each lung's own height instead of being bounded by the carina and the \
                      inferior pulmonary veins; involvement is counted in voxels, not estimated by a reader; \
                      below 0.5 % counts as none; a bound belongs to the lower score (25 % scores 1)"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_the_lower_score() {
        let check = |percent: f64, expected: u8| assert_eq!(zone_score(percent), expected, "{percent}");
        check(0.0, 0);
        check(0.499, 0);
        check(0.5, 1);
        check(25.0, 1);
        check(25.001, 2);
        check(50.0, 2);
        check(75.0, 3);
        check(75.001, 4);
        check(100.0, 4);
    }
}
