//! How alike two pictures of one size are, whatever their brightness and contrast.

/// Pearson's correlation of pairs of values, -1 to 1; `None` where one side does not vary.
///
/// # Source
/// `cov(a, b) / sqrt(var(a) var(b))`, around the means, which are found first.
pub fn correlation(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> Option<f64> {
    let (n, sum_a, sum_b) = pairs.clone().fold((0u64, 0.0, 0.0), |(n, a, b), (x, y)| (n + 1, a + x, b + y));
    let (mean_a, mean_b) = (sum_a / n as f64, sum_b / n as f64);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in pairs {
        let (a, b) = (a - mean_a, b - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brightness_and_contrast_do_not_count_and_flat_pictures_have_none() {
        let of = |a: &[f64], b: &[f64]| correlation(a.iter().copied().zip(b.iter().copied()));
        assert_eq!(of(&[1.0, 2.0, 3.0], &[12.0, 14.0, 16.0]), Some(1.0));
        assert_eq!(of(&[1.0, 2.0, 3.0], &[-1.0, -2.0, -3.0]), Some(-1.0));
        assert_eq!(of(&[1.0, 2.0, 1.0, 2.0], &[1.0, 1.0, 2.0, 2.0]), Some(0.0));
        assert_eq!((of(&[1.0, 2.0], &[5.0, 5.0]), of(&[], &[])), (None, None));
    }
}
