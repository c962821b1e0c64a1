//! Whether 8-bit grey is of a window too wide for lungs, as after scaling all of HU to 0..255.
//!
//! Levels above black fall into two classes (Otsu's threshold): air and lung, and the tissue around them, about 900 HU
//! denser. A lung window ends little above that tissue; in one that goes up to bone there is as much again. Such a
//! window is told where all of this holds:
//!
//! * the tissue lies below 0.6 of white. The lung windows measured (1000 to 2000 HU wide at -700 to -400 HU, over all
//!   sets in HU) have it at 0.65 and above, those from -1024 to 3071, -3024 to 3071, -1024 to 1500 and -1000 to 1000 HU
//!   at 0.23 to 0.54;
//! * from it to white it is at least 0.9 times as far as from lung to it; of the lung windows 0 to 0.99, of the wide
//!   ones 1.0 to 5.2. Windows that end between 600 and 1000 HU may pass for either;
//! * it is a peak: of the upper class at least 0.55 lie within a quarter of the distance between the classes. Tissue has
//!   0.57 to 0.97, the vessels of lungs that were cut out of their picture 0.31 to 0.47.
//!
//! Source: N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979).

/// Levels of 8-bit grey.
const LEVELS: usize = 256;
/// Share of white from which tissue may be that of a lung window.
const TISSUE_FROM: f64 = 0.6;
/// Distance from tissue to white in distances from lung to tissue.
const ROOM_ABOVE: f64 = 0.9;
/// Share of the upper class around its mean.
const PEAK: f64 = 0.55;
/// How far around, in distances between the classes.
const AROUND: f64 = 0.25;
/// Share of the voxels at the highest level from which that is the picture's white: a dimmed window has its bone there.
const OWN_WHITE: f64 = 0.001;

/// Where the tissue around the lungs lies, and what is white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wide {
    tissue: f64,
    white: f64,
}

impl Wide {
    /// What was found, as a clause.
    pub(super) fn words(&self) -> String {
        let percent = 100.0 * self.tissue / self.white;
        format!("tissue around the lungs at {percent:.0} % of white, where a lung window has it above 65 %")
    }
}

/// The tissue of a window that is certainly too wide.
pub(super) fn wide(sample: &[f32]) -> Option<Wide> {
    let mut counts = [0u64; LEVELS];
    for v in sample {
        counts[usize::from(v.round() as u8)] += 1; // saturates
    }
    let highest = counts.iter().rposition(|n| *n > 0)?;
    let is_white = counts[highest] as f64 >= OWN_WHITE * sample.len() as f64;
    let white = if is_white { highest } else { LEVELS - 1 } as f64;
    let Classes { last_dark, dark, bright } = classes(&counts)?;
    let apart = bright - dark;
    let upper = || counts.iter().enumerate().skip(last_dark + 1);
    let around = upper().filter(|(level, _)| (*level as f64 - bright).abs() <= AROUND * apart);
    let peak = around.map(|(_, n)| *n).sum::<u64>() as f64 / upper().map(|(_, n)| *n).sum::<u64>() as f64;
    let found = bright < TISSUE_FROM * white && white - bright >= ROOM_ABOVE * apart && peak >= PEAK;
    found.then_some(Wide { tissue: bright, white })
}

/// Two classes of levels above black.
struct Classes {
    last_dark: usize,
    /// Mean level of each.
    dark: f64,
    bright: f64,
}

/// The classes whose means are furthest apart, `n m (a - b)^2` of `n` and `m` voxels; `None` where there is one level only.
fn classes(counts: &[u64; LEVELS]) -> Option<Classes> {
    let levels = || counts.iter().enumerate().skip(1);
    let all: u64 = levels().map(|(_, n)| *n).sum();
    let total: u64 = levels().map(|(level, n)| level as u64 * n).sum();
    let (mut below, mut below_sum) = (0u64, 0u64);
    let mut best: Option<(f64, Classes)> = None;
    for (level, n) in levels() {
        below += n;
        below_sum += level as u64 * n;
        if below == 0 || below == all {
            continue;
        }
        let (dark, bright) =
            (below_sum as f64 / below as f64, (total - below_sum) as f64 / (all - below) as f64);
        let between = below as f64 * (all - below) as f64 * (bright - dark).powi(2);
        if best.as_ref().is_none_or(|(most, _)| between > *most) {
            best = Some((between, Classes { last_dark: level, dark, bright }));
        }
    }
    best.map(|(_, classes)| classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Air, lung, fat, soft tissue and bone of a chest in HU: from where to where, with their shares in percent.
    fn chest(window: [f32; 2], dimmed: f32) -> Vec<f32> {
        let tissues = [
            (-1030..-970, 25),
            (-900..-800, 30),
            (-130..-70, 15),
            (0..80, 28),
            (300..700, 1),
            (700..1500, 1),
        ];
        let spread =
            |(hu, share): (std::ops::Range<i32>, usize)| hu.cycle().take(share * 800).map(|hu| hu as f32);
        let grey = |hu: f32| ((hu - window[0]) / (window[1] - window[0]) * 255.0).clamp(0.0, 255.0);
        tissues.into_iter().flat_map(spread).map(|hu| (dimmed * grey(hu)).round()).collect()
    }

    #[test]
    fn windows_that_go_up_to_bone_are_told_from_lung_windows() {
        for window in [[-1024.0, 3071.0], [-3024.0, 3071.0], [-1024.0, 1500.0], [-1000.0, 1000.0]] {
            assert!(wide(&chest(window, 1.0)).is_some(), "{window:?}");
        }
        for width in [1000.0, 1500.0, 2000.0] {
            for level in [-700.0, -600.0, -500.0, -400.0] {
                let window = [level - width / 2.0, level + width / 2.0];
                assert_eq!(wide(&chest(window, 1.0)), None, "{window:?}");
                assert_eq!(wide(&chest(window, 0.4)), None, "{window:?}, dimmed");
            }
        }
        let found = wide(&chest([-1024.0, 3071.0], 1.0)).unwrap().words();
        assert!(found.starts_with("tissue around the lungs at 26 % of white"), "{found}");
    }

    #[test]
    fn lungs_cut_out_of_their_picture_and_flat_pictures_are_no_wide_window() {
        // Lung from 40 to 100 in plenty, vessels thinly spread over all above.
        let lungs =
            (0..9000).map(|i| 40.0 + (i % 60) as f32).chain((0..1000).map(|i| 100.0 + (i % 140) as f32));
        assert_eq!(wide(&lungs.collect::<Vec<f32>>()), None);
        assert_eq!(wide(&[7.0; 9]), None);
        assert_eq!(wide(&[0.0; 9]), None);
        assert_eq!(wide(&[]), None);
    }
}
