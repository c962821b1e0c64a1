//! Texts of arguments to values.

use gg_volume::{IntensityKind, Orientation};

pub(super) fn parse_intensity(text: &str) -> Result<IntensityKind, String> {
    IntensityKind::from_name(&text.to_lowercase()).ok_or_else(|| {
        let names: Vec<_> = IntensityKind::ALL.iter().map(|k| k.name()).collect();
        format!("not one of {}", names.join(", "))
    })
}

pub(super) fn parse_positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "a whole number of 1 or more".to_owned())
}

/// Fewer bootstrap resamples than 10 make no interval; each takes memory.
pub(super) fn parse_resamples(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| (10..=100_000).contains(n));
    n.ok_or_else(|| "a whole number from 10 to 100000".to_owned())
}

/// A model's name stands in every output.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    let fit = !text.trim().is_empty() && !text.chars().any(char::is_control);
    fit.then(|| text.to_owned())
        .ok_or_else(|| "a name with letters and without control characters".to_owned())
}

/// Phantoms of one set.
pub(super) fn parse_count(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| (1..=10_000).contains(n));
    n.ok_or_else(|| "a whole number from 1 to 10000".to_owned())
}

pub(super) fn parse_correlation(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|c| (0.5..=1.0).contains(c)).ok_or_else(|| "a number from 0.5 to 1".to_owned())
}

pub(super) fn parse_penalty(text: &str) -> Result<f64, String> {
    let penalty = text.parse().ok().filter(|p: &f64| *p > 0.0 && p.is_finite());
    penalty.ok_or_else(|| "a number above 0".to_owned())
}

pub(super) fn parse_folds(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 1).ok_or_else(|| "a whole number of 2 or more".to_owned())
}

pub(super) fn parse_orientation(text: &str) -> Result<Orientation, String> {
    Orientation::parse(text).ok_or_else(|| "one letter each of L/R, P/A and S/I, as in LPS".to_owned())
}

/// Columns x rows x slices, turned into `[z, y, x]`.
pub(super) fn parse_size(text: &str) -> Result<[usize; 3], String> {
    let wrong = || "columns x rows x slices, as in 160x160x40, each from 16 to 1024".to_owned();
    let numbers: Vec<usize> =
        text.split('x').map(|t| t.trim().parse()).collect::<Result<_, _>>().map_err(|_| wrong())?;
    match numbers[..] {
        [x, y, z] if [x, y, z].iter().all(|n| (16..=1024).contains(n)) => Ok([z, y, x]),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_as_columns_rows_slices() {
        assert_eq!(parse_size("160x120x40"), Ok([40, 120, 160]));
        assert!(parse_size("160x120").is_err());
        assert!(parse_size("0x1x1").is_err());
    }
}
