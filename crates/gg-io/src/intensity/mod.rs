//! What the grey values of a CT are: Hounsfield units or something else, told from the values themselves.
//!
//! A histogram of at most 4 million voxels decides (whole slices, evenly spread, so that the answer depends on the
//! volume alone). In this order:
//!
//! 1. labels (see `labels`), or few distinct values: `unknown`;
//! 2. from 0 to 1, not whole, and up to 0.75 at least: `unit_range`;
//! 3. not whole, and nowhere near 255: `unknown`, attenuation in 1/cm most likely (water 0.19, bone 0.5);
//! 4. from 0 to 255: 8-bit grey. `contrast_8bit` where the traces of CLAHE are found (see `contrast`); `unknown`
//!    where so much is black that the lung cannot be seen (a soft-tissue window), or where the window goes up to bone
//!    (see `width`); else `lung_window_8bit`;
//! 5. soft tissue around 1024 and air or lung below 424, unless the next rule holds: `hu_plus_1024`. Padding (1500 below
//!    water and lower, as -2000 or -3024 HU) is left out first, here and in the next rules;
//! 6. values whose negatives are HU with bone, and with more lung than the values have as in the rule before: `unknown`,
//!    black and white exchanged;
//! 7. negative values, soft tissue around water (0), air or lung below -600, nothing implausible: `hu`; less sure of
//!    itself where no air lies around -1000, or where much lies below that and above padding;
//! 8. anything else: `unknown`.
//!
//! The thresholds were set on the real sets of the tests and on CLAHE'd, windowed and shifted versions of them.

mod contrast;
mod labels;
mod width;

use contrast::Traces;
use gg_volume::{Intensity, IntensityKind, Volume};
pub(crate) use labels::{Labels, labels};
use rayon::prelude::*;

/// Voxels looked at, at most (one slice is always looked at whole).
const SAMPLE_VOXELS: usize = 1 << 22;
/// Slices looked at, at most.
const SAMPLE_SLICES: usize = 16;
/// A CT has more levels than any label map.
const LABEL_LEVELS: usize = 24;
/// Below this lies padding outside the scanner's field of view, not a tissue.
const PADDING_HU: f32 = -1500.0;
/// Largest value of 8-bit grey.
const WHITE: f32 = 255.0;
/// Tolerance around 0, 1 and 255 for values that were interpolated.
const EDGE: f32 = 0.5;
/// Values that one thread looks at at once.
const PART: usize = 1 << 17;
/// From here on an `f32` has no fraction.
const ALL_WHOLE: f32 = 8_388_608.0;
/// Pictures reach at least this share of white: all slices of `covid20`, `medseg` and `medseg100` reach white itself,
/// the darkest of 543 crops of figures (`covidct`) 0.84 of it.
const DIMMEST: f32 = 0.75;
/// Real numbers up to this share of 255 are no 8-bit grey, even where a crop is dark.
const DIMMEST_8BIT: f32 = 0.25;
/// The reason that tells them.
pub(crate) const LIKE_ATTENUATION: &str = "too low for grey, as attenuation in 1/cm is";
/// The reason that tells values of the wrong sign.
pub(crate) const LIKE_NEGATIVE: &str = "HU with their sign exchanged, black for white";
/// The reason that tells a window too wide for lungs.
pub(crate) const LIKE_WIDE: &str = "the window goes far above tissue, up to bone, so that infection is hardly brighter than lung: right would be HU, \
    or 8-bit grey of a lung window, as from -1350 to 150 HU";
/// Share of black above which the lung cannot be seen any more.
const TOO_BLACK: f64 = 0.4;

/// Tells the kind of a CT's grey values from their histogram, with the reasons as clauses.
///
/// Deterministic; only the search for labels looks at more than a sample, and ends at the first value that is none.
/// Values that are not finite are left out.
pub fn detect_intensity(voxels: &Volume<f32>) -> Intensity {
    detect(voxels, labels(voxels).as_ref())
}

/// The same with the labels found already, where it holds any.
pub(crate) fn detect(voxels: &Volume<f32>, labels: Option<&Labels>) -> Intensity {
    let slices = sample(voxels);
    let sample: Vec<f32> = slices
        .par_iter()
        .flat_map_iter(|&z| voxels.slice(z).iter().copied())
        .filter(|v| v.is_finite())
        .collect();
    let Some(facts) = Facts::of(&sample) else {
        return answer(IntensityKind::Unknown, 1.0, vec!["there is no finite value".to_owned()]);
    };
    let range = format!("values from {} to {}", facts.low, facts.high);
    if let Some(labels) = labels {
        return answer(IntensityKind::Unknown, 0.95, vec![range, labels.words()]);
    }
    if facts.levels <= LABEL_LEVELS {
        let levels = format!("only {} distinct values, and a CT has more", facts.levels);
        return answer(IntensityKind::Unknown, 0.9, vec![range, levels]);
    }
    if !facts.whole && facts.low >= -EDGE && facts.high <= WHITE + EDGE {
        let brightest = highest(voxels);
        if facts.low >= -0.001 && facts.high <= 1.001 && brightest >= DIMMEST {
            return answer(IntensityKind::UnitRange, 0.95, vec![range, "real numbers".to_owned()]);
        }
        if brightest < DIMMEST_8BIT * WHITE {
            let reasons = vec![range, "real numbers".to_owned(), LIKE_ATTENUATION.to_owned()];
            return answer(IntensityKind::Unknown, 0.8, reasons);
        }
    }
    if facts.low >= -EDGE && facts.high <= WHITE + EDGE {
        return eight_bit(voxels, &slices, &sample, &facts, range);
    }
    hounsfield(&sample, &facts, range)
}

/// What speaks against grey values being of a kind that the user stated.
pub(crate) fn contradiction(
    voxels: &Volume<f32>,
    stated: IntensityKind,
    labels: Option<&Labels>,
) -> Option<String> {
    let grey = |kind| matches!(kind, IntensityKind::LungWindow8bit | IntensityKind::Contrast8bit);
    let finite = voxels.data().iter().copied().filter(|v| v.is_finite());
    let (low, high) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let within = |from: f32, to: f32| low >= from && high <= to;
    let impossible = match stated {
        IntensityKind::Unknown => return None,
        // Without a negative value there is neither air nor lung.
        IntensityKind::Hu | IntensityKind::HuPlus1024 => low < high && within(-EDGE, WHITE + EDGE),
        IntensityKind::LungWindow8bit | IntensityKind::Contrast8bit => !within(-EDGE, WHITE + EDGE),
        IntensityKind::UnitRange => !within(-0.001, 1.001),
    };
    let Intensity { kind: found, reasons, .. } = detect(voxels, labels);
    let told = found != IntensityKind::Unknown;
    let but = if stated == IntensityKind::LungWindow8bit && reasons.iter().any(|r| r == LIKE_WIDE) {
        LIKE_WIDE.to_owned()
    } else if !impossible && (!told || found == stated || (grey(found) && grey(stated))) {
        return None;
    } else {
        let like = if told && found != stated { format!(", as {} has", found.name()) } else { String::new() };
        format!("they go from {low} to {high}{like}")
    };
    Some(format!(
        "the grey values were stated to be {}, but {but}; the statement was followed, check --intensity",
        stated.name()
    ))
}

/// The highest finite value of all.
fn highest(voxels: &Volume<f32>) -> f32 {
    let of_part =
        |part: &[f32]| part.iter().copied().filter(|v| v.is_finite()).fold(f32::NEG_INFINITY, f32::max);
    voxels.data().par_chunks(PART).map(of_part).reduce(|| f32::NEG_INFINITY, f32::max)
}

/// Evenly spread slices.
fn sample(voxels: &Volume<f32>) -> Vec<usize> {
    let [nz, ny, nx] = voxels.shape();
    let wanted = (SAMPLE_VOXELS / (ny * nx).max(1)).clamp(1, SAMPLE_SLICES).min(nz);
    (0..wanted).map(|i| (2 * i + 1) * nz / (2 * wanted)).collect()
}

/// What every rule asks.
struct Facts {
    low: f32,
    high: f32,
    whole: bool,
    /// Distinct values, counted up to `LABEL_LEVELS + 1`.
    levels: usize,
}

impl Facts {
    fn of(sample: &[f32]) -> Option<Self> {
        let first = *sample.first()?;
        let mut seen: Vec<f32> = Vec::with_capacity(LABEL_LEVELS + 1);
        for &v in sample {
            if seen.len() > LABEL_LEVELS {
                break;
            }
            if !seen.contains(&v) {
                seen.push(v);
            }
        }
        let of_part = |part: &[f32]| {
            part.iter().fold((first, first, true), |(low, high, whole), &v| {
                (low.min(v), high.max(v), whole & (v as i32 as f32 == v || v.abs() >= ALL_WHOLE))
            })
        };
        let both = |(a, b, c): (f32, f32, bool), (d, e, f): (f32, f32, bool)| (a.min(d), b.max(e), c & f);
        let (low, high, whole) = sample.par_chunks(PART).map(of_part).reduce(|| (first, first, true), both);
        Some(Self { low, high, whole, levels: seen.len() })
    }
}

fn eight_bit(
    voxels: &Volume<f32>,
    slices: &[usize],
    sample: &[f32],
    facts: &Facts,
    range: String,
) -> Intensity {
    let traces = Traces::of(voxels, slices);
    let mut reasons = vec![range];
    reasons
        .push(if facts.whole { "whole numbers" } else { "8-bit range, though not whole numbers" }.to_owned());
    reasons.extend(traces.reasons());
    let sure = if facts.whole { 1.0 } else { 0.8 };
    let wide = width::wide(sample);
    let (kind, confidence) = match traces.count() {
        3 => (IntensityKind::Contrast8bit, 0.95),
        2 => (IntensityKind::Contrast8bit, 0.7),
        _ if traces.black > TOO_BLACK => {
            reasons.push(format!(
                "{:.0} % of the voxels are black, as in a soft-tissue window",
                100.0 * traces.black
            ));
            (IntensityKind::Unknown, 0.7)
        }
        _ if wide.is_some() => {
            reasons.extend(wide.map(|w| w.words()));
            reasons.push(LIKE_WIDE.to_owned());
            (IntensityKind::Unknown, 0.8)
        }
        1 => (IntensityKind::LungWindow8bit, 0.7),
        _ => (IntensityKind::LungWindow8bit, 0.9),
    };
    answer(kind, confidence * sure, reasons)
}

/// Shares of the voxels, without padding, in the ranges where a chest CT has its tissues.
struct Tissues {
    air: f64,
    /// Denser than padding, and less dense than air can be.
    below_air: f64,
    lung: f64,
    /// Well aerated lung: there is hardly any fat or partial volume where its negative lies.
    aerated: f64,
    soft: f64,
    /// Nothing in a body is outside -1300 to 3500 HU but metal and ringing.
    plausible: f64,
    padding: f64,
}

impl Tissues {
    /// HU are `sign * value + offset`.
    fn of(sample: &[f32], sign: f32, offset: f32) -> Self {
        let count = |part: &[f32]| {
            let [mut air, mut below, mut lung, mut aerated, mut soft, mut plausible, mut padding] = [0u64; 7];
            for &v in part {
                let hu = sign * v + offset;
                if hu <= PADDING_HU {
                    padding += 1;
                    continue;
                }
                plausible += u64::from((-1300.0..=3500.0).contains(&hu));
                air += u64::from((-1150.0..-930.0).contains(&hu));
                below += u64::from(hu < -1150.0);
                lung += u64::from((-930.0..=-600.0).contains(&hu));
                aerated += u64::from((-880.0..=-650.0).contains(&hu));
                soft += u64::from((-150.0..=150.0).contains(&hu));
            }
            [air, below, lung, aerated, soft, plausible, padding]
        };
        let sum = |a: [u64; 7], b: [u64; 7]| std::array::from_fn(|i| a[i] + b[i]);
        let [air, below, lung, aerated, soft, plausible, padding] =
            sample.par_chunks(PART).map(count).reduce(|| [0; 7], sum);
        let body = (sample.len() as u64 - padding).max(1) as f64;
        Self {
            air: air as f64 / body,
            below_air: below as f64 / body,
            lung: lung as f64 / body,
            aerated: aerated as f64 / body,
            soft: soft as f64 / body,
            plausible: plausible as f64 / body,
            padding: padding as f64 / sample.len() as f64,
        }
    }

    fn reasons(&self, offset: f32) -> Vec<String> {
        let at = |hu: f32| hu - offset;
        let percent = |share: f64| 100.0 * share;
        let mut out = vec![
            format!(
                "{:.0} % of the voxels where soft tissue lies ({} to {})",
                percent(self.soft),
                at(-150.0),
                at(150.0)
            ),
            format!(
                "{:.0} % where air lies ({} to {}) and {:.0} % where lung lies (up to {})",
                percent(self.air),
                at(-1150.0),
                at(-930.0),
                percent(self.lung),
                at(-600.0)
            ),
        ];
        if self.below_air > 0.005 {
            out.push(format!("{:.0} % below where air lies", percent(self.below_air)));
        }
        if self.padding > 0.001 {
            out.push(format!("{:.0} % padding, {} and below", percent(self.padding), at(PADDING_HU)));
        }
        out
    }
}

/// Share of the values where the negative of a CT has its bone, and HU shifted by 1024 padding alone, which is one value,
/// the lowest, unless the picture was resampled.
fn bone_of_a_negative(sample: &[f32], low: f32) -> f64 {
    let bone = |v: &&f32| (-1500.0..=-200.0).contains(*v) && **v != low;
    sample.par_chunks(PART).map(|part| part.iter().filter(bone).count()).sum::<usize>() as f64
        / sample.len().max(1) as f64
}

fn hounsfield(sample: &[f32], facts: &Facts, range: String) -> Intensity {
    /// Shares that count as "there".
    const SOME: f64 = 0.02;
    /// Share of soft tissue in any slice through a body.
    const SOFT: f64 = 0.05;
    /// Share of plausible values.
    const NEARLY_ALL: f64 = 0.98;
    /// Share of air in any chest, of the windpipe's if not of the room: less, and what should be air lies elsewhere.
    const TRACE: f64 = 0.001;
    /// Share of bone in any chest.
    const BONE: f64 = 0.005;
    /// The bound of signed 8-bit numbers: a CT in HU goes further.
    const SIGNED_BYTE: f32 = 128.0;

    // The shifted kind first: where HU has next to nothing (dense bone), it has all soft tissue. The other way round,
    // its air lies where HU has water.
    let offset = IntensityKind::HuPlus1024.hu_offset().unwrap_or(-1024.0);
    let shifted = Tissues::of(sample, 1.0, offset);
    let negative = (bone_of_a_negative(sample, facts.low) > BONE).then(|| Tissues::of(sample, -1.0, 0.0));
    // Where a picture was resampled, there are values between padding and air too: there must be more lung as well.
    let is_negative = negative.is_some_and(|n| {
        n.plausible > NEARLY_ALL
            && n.soft > SOFT
            && n.air > TRACE
            && n.lung > SOME
            && n.aerated > shifted.aerated
    });
    if shifted.plausible > NEARLY_ALL
        && shifted.soft > SOFT
        && shifted.air + shifted.lung > SOME
        && !is_negative
    {
        let mut reasons = vec![range];
        reasons.extend(shifted.reasons(offset));
        return answer(IntensityKind::HuPlus1024, 0.9, reasons);
    }
    let hu = Tissues::of(sample, 1.0, 0.0);
    if is_negative && hu.air + hu.lung <= SOME {
        return answer(IntensityKind::Unknown, 0.8, vec![range, LIKE_NEGATIVE.to_owned()]);
    }
    if facts.low < -SIGNED_BYTE && hu.plausible > NEARLY_ALL {
        let airy = hu.air + hu.lung > SOME;
        let confidence = match (airy, hu.soft > SOFT) {
            (true, true) if hu.air > TRACE && hu.below_air < SOME => Some(0.98),
            (true, true) => Some(0.7), // shifted, or air that is none
            (true, false) if hu.soft > 0.001 => Some(0.7),
            (false, true) if facts.high > 40.0 => Some(0.6), // cropped to soft tissue: fat and water
            _ => None,
        };
        if let Some(confidence) = confidence {
            let mut reasons = vec![range, "negative values".to_owned()];
            reasons.extend(hu.reasons(0.0));
            return answer(IntensityKind::Hu, confidence, reasons);
        }
    }
    let mut reasons = vec![range];
    reasons.extend(hu.reasons(0.0));
    reasons.push("none of the known kinds fits".to_owned());
    answer(IntensityKind::Unknown, 0.5, reasons)
}

fn answer(kind: IntensityKind, confidence: f32, reasons: Vec<String>) -> Intensity {
    Intensity { kind, confidence, reasons }
}
