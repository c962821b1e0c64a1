//! Numbers as people read them; what is missing is a dash, never a zero.

use crate::axis::minus;

/// What stands for a value that does not exist.
pub(crate) const NONE: &str = "–";

/// A number with a fixed count of decimals.
pub(crate) fn decimal(value: Option<f64>, decimals: usize) -> String {
    match value.filter(|v| v.is_finite()) {
        Some(v) => minus(&format!("{v:.decimals$}")),
        None => NONE.to_owned(),
    }
}

/// `12.3 %`; small shares keep a second digit, so that a trace is not called nothing.
pub(crate) fn percent(value: Option<f64>) -> String {
    match value.filter(|v| v.is_finite()) {
        Some(v) if v > 0.0 && v < 0.05 => "< 0.1\u{a0}%".to_owned(),
        Some(v) => format!("{}\u{a0}%", decimal(Some(v), 1)),
        None => NONE.to_owned(),
    }
}

/// `1 234 ml`; below 100 ml with one decimal.
pub(crate) fn millilitres(value: Option<f64>) -> String {
    const FINE_BELOW_ML: f64 = 100.0;
    match value.filter(|v| v.is_finite() && *v >= 0.0) {
        Some(v) if v < FINE_BELOW_ML => format!("{v:.1}\u{a0}ml"),
        Some(v) => format!("{}\u{a0}ml", crate::network::thousands(v.round() as u64)),
        None => NONE.to_owned(),
    }
}

/// `0.812 (0.790 to 0.834)` without the first number.
pub(crate) fn interval(ends: Option<(f64, f64)>, decimals: usize) -> String {
    match ends.filter(|(l, h)| l.is_finite() && h.is_finite()) {
        Some((low, high)) => format!("{} to {}", decimal(Some(low), decimals), decimal(Some(high), decimals)),
        None => NONE.to_owned(),
    }
}

/// Decimals of a score: three for shares, one for distances that reach tens.
pub(crate) fn score_decimals(value: Option<f64>) -> usize {
    if value.is_some_and(|v| v.abs() >= 10.0) { 1 } else { 3 }
}

/// `1 slice`, `2 slices`.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_are_dashes_and_traces_are_not_zero() {
        assert_eq!(percent(None), "–");
        assert_eq!(percent(Some(f64::NAN)), "–");
        assert_eq!(percent(Some(0.01)), "< 0.1\u{a0}%");
        assert_eq!(percent(Some(0.0)), "0.0\u{a0}%");
        assert_eq!(millilitres(Some(1234.4)), "1\u{a0}234\u{a0}ml");
        assert_eq!(millilitres(Some(12.34)), "12.3\u{a0}ml");
        assert_eq!(interval(Some((-0.5, 0.25)), 2), "−0.50 to 0.25");
    }
}
