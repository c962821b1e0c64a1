//! How far human readers agree among themselves: what any number of ours has to be seen against.

/// Dice of two readers' masks: mean and standard deviation.
///
/// # Source
/// Bartoli et al., Research in Diagnostic and Interventional Imaging 2022, doi 10.1016/j.redii.2022.100003: lesions of
/// COVID-19 on low-dose CT, 0.70 ± 0.08.
pub(crate) const HUMAN_DICE: (f64, f64) = (0.70, 0.08);

/// The range of percentages that a second reader may find where the first found `percent`, if their masks agree with a
/// Dice of `dice`.
///
/// `2 |A and B| = dice (|A| + |B|)`, and the overlap is at most the smaller mask: the areas differ by a factor of
/// `(2 - dice) / dice` at most.
pub(crate) fn second_reader(percent: f64, dice: f64) -> [f64; 2] {
    let factor = (2.0 - dice) / dice;
    [percent / factor, (percent * factor).min(100.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_at_the_ends_of_the_range_reach_the_dice_and_no_more() {
        let [low, high] = second_reader(10.0, 0.7);
        // The smaller mask lies wholly inside the larger one.
        for (small, large) in [(low, 10.0), (10.0, high)] {
            assert!((2.0 * small / (small + large) - 0.7_f64).abs() < 1e-12);
        }
        assert_eq!(second_reader(10.0, 1.0), [10.0, 10.0]);
        assert_eq!(second_reader(80.0, 0.7)[1], 100.0);
    }
}
