//! Ranges, round tick values and their labels.

/// How an axis runs and what is written at it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Axis {
    /// Name with unit, e.g. `loss` or `volume (ml)`.
    pub label: String,
    /// Fixed ends; none fits them to the data.
    pub range: Option<(f64, f64)>,
    /// Powers of ten at equal distances; values of 0 and below are left out.
    pub log: bool,
    /// Whole numbers only, e.g. epochs.
    pub whole: bool,
}

impl Axis {
    /// An axis that fits its data.
    pub fn fit(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// An axis with fixed ends.
    pub fn fixed(label: impl Into<String>, low: f64, high: f64) -> Self {
        Self { label: label.into(), range: Some((low, high)), ..Self::default() }
    }

    /// The same with powers of ten at equal distances.
    pub fn log(self) -> Self {
        Self { log: true, ..self }
    }

    /// The same with ticks at whole numbers only.
    pub fn whole(self) -> Self {
        Self { whole: true, ..self }
    }
}

/// An axis whose ends are known: maps values to 0..1 and has ticks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    /// Values and their labels.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Scale {
    /// Fits an axis to values (those that are not finite, or not positive on a log axis, do not count).
    ///
    /// `wanted` is the number of ticks to aim for; `padded` leaves room beyond the data.
    pub(crate) fn new(axis: &Axis, values: impl Iterator<Item = f64>, wanted: usize, padded: bool) -> Scale {
        let usable = |v: &f64| v.is_finite() && (!axis.log || *v > 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for v in values.filter(usable) {
            (low, high) = (low.min(v), high.max(v));
        }
        if low > high {
            (low, high) = if axis.log { (0.1, 1.0) } else { (0.0, 1.0) };
        }
        if axis.log { Self::log(axis, low, high) } else { Self::linear(axis, (low, high), wanted, padded) }
    }

    fn linear(axis: &Axis, data: (f64, f64), wanted: usize, padded: bool) -> Scale {
        let (mut low, mut high) =
            axis.range.filter(|(l, h)| l.is_finite() && h.is_finite() && l < h).unwrap_or(data);
        if high - low <= f64::EPSILON * high.abs().max(low.abs()).max(f64::MIN_POSITIVE) {
            let around = if low == 0.0 || axis.whole { 1.0 } else { low.abs() * 0.5 };
            (low, high) = (low - around, high + around);
        }
        let mut step = round_step((high - low) / wanted.max(2) as f64);
        if axis.whole {
            step = step.max(1.0).round();
        }
        if axis.range.is_none() && padded {
            low = (low / step + 1e-9).floor() * step;
            high = (high / step - 1e-9).ceil() * step;
        }
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let ticks = (first..=last.min(first.saturating_add(100))).map(|i| i as f64 * step);
        let ticks = ticks.map(|v| (v, label(v, step))).collect();
        Scale { low, high, log: false, ticks }
    }

    fn log(axis: &Axis, low: f64, high: f64) -> Scale {
        let (low, high) =
            axis.range.filter(|(l, h)| *l > 0.0 && h.is_finite() && l < h).unwrap_or((low, high));
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let last = last.max(first + 1);
        // Over few decades whole powers of ten are too far apart: 2 and 5 stand between them.
        const FEW_DECADES: i32 = 2;
        let between: &[f64] = if last - first <= FEW_DECADES { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = ((last - first) / 8 + 1) as usize;
        let mut ticks = Vec::new();
        for power in (first..=last).step_by(every) {
            for &m in between {
                let v = m * 10f64.powi(power);
                if power < last || m == 1.0 {
                    ticks.push((v, power_label(m, power)));
                }
            }
        }
        let (mut low_end, mut high_end) = (10f64.powi(first), 10f64.powi(last));
        if axis.range.is_none() && between.len() > 1 {
            low_end = ticks.iter().map(|t| t.0).filter(|v| *v <= low * 1.000_001).fold(low_end, f64::max);
            high_end = ticks.iter().map(|t| t.0).filter(|v| *v >= high * 0.999_999).fold(high_end, f64::min);
            if low_end >= high_end {
                (low_end, high_end) = (10f64.powi(first), 10f64.powi(last));
            }
        }
        ticks.retain(|(v, _)| *v >= low_end * 0.999_999 && *v <= high_end * 1.000_001);
        Scale { low: low_end, high: high_end, log: true, ticks }
    }

    /// Where a value lies: 0 at the low end, 1 at the high end; none for what cannot be shown.
    pub(crate) fn at(&self, value: f64) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let share = if self.log {
            if value <= 0.0 {
                return None;
            }
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        Some(share)
    }

    /// The same, pushed to the nearer end where it lies outside.
    pub(crate) fn clamped(&self, value: f64) -> Option<f64> {
        self.at(value).map(|v| v.clamp(0.0, 1.0))
    }
}

/// 1, 2 or 5 times a power of ten, at least `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.max(f64::MIN_POSITIVE).log10().floor());
    let mantissa = raw / power;
    // A step a hair above a round one is that round one.
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| mantissa <= m * 1.05).unwrap_or(10.0);
    round * power
}

fn label(value: f64, step: f64) -> String {
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    if value == 0.0 {
        return "0".to_owned();
    }
    if step < 1e-4 || value.abs() >= 1e6 {
        let text = format!("{value:.1e}");
        return minus(&text.replace(".0e", "e"));
    }
    let decimals = (-step.log10() - 1e-9).ceil().clamp(0.0, 6.0) as usize;
    minus(&format!("{value:.decimals$}"))
}

/// A true minus sign, as wide as a digit.
pub(crate) fn minus(text: &str) -> String {
    text.replace('-', "\u{2212}")
}

fn power_label(mantissa: f64, power: i32) -> String {
    const SUPERSCRIPT: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    const PLAIN: std::ops::RangeInclusive<i32> = -3..=3;
    if PLAIN.contains(&power) {
        let value = mantissa * 10f64.powi(power);
        let decimals = (-power).max(0) as usize;
        return format!("{value:.decimals$}");
    }
    let digits: String = power
        .unsigned_abs()
        .to_string()
        .chars()
        .filter_map(|c| SUPERSCRIPT.get(c.to_digit(10)? as usize).copied())
        .collect();
    let sign = if power < 0 { "⁻" } else { "" };
    if mantissa == 1.0 { format!("10{sign}{digits}") } else { format!("{mantissa}·10{sign}{digits}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64]) -> Vec<String> {
        Scale::new(axis, values.iter().copied(), 5, true).ticks.into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        for (values, expected) in [
            (vec![0.0, 1.0], vec!["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (vec![3.0, 97.0], vec!["0", "20", "40", "60", "80", "100"]),
            (vec![-2.0, 2.0], vec!["−2", "−1", "0", "1", "2"]),
            (vec![0.0, 1e-5], vec!["0", "2e−6", "4e−6", "6e−6", "8e−6", "1e−5"]),
        ] {
            assert_eq!(labels(&Axis::fit(""), &values), expected);
        }
        assert_eq!(labels(&Axis::fit("").log(), &[1e-6, 1.0]).first().map(String::as_str), Some("10⁻⁶"));
        assert_eq!(labels(&Axis::fit("").log(), &[0.03, 0.4]), ["0.02", "0.05", "0.1", "0.2", "0.5"]);
    }

    #[test]
    fn degenerate_data_still_give_a_scale() {
        for values in
            [vec![], vec![f64::NAN], vec![5.0], vec![0.0, 0.0], vec![f64::INFINITY, 1.0], vec![1e-300]]
        {
            for axis in [Axis::fit(""), Axis::fit("").log(), Axis::fit("").whole()] {
                let scale = Scale::new(&axis, values.iter().copied(), 5, true);
                assert!(scale.low < scale.high, "{values:?}");
                assert!(scale.at(f64::NAN).is_none());
            }
        }
    }
}
