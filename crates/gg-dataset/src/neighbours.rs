//! Which slices are the channels of a picture: a slice and its neighbours, one rule for training and prediction.

/// Indices of the `channels` slices (an odd number) around slice `index` of `len`, lowest first. `adjacent(i)` says
/// whether slice `i + 1` lies directly after slice `i`; at the ends and before a gap the last slice stands in for what
/// lies beyond.
pub fn neighbours(index: usize, channels: usize, len: usize, adjacent: impl Fn(usize) -> bool) -> Vec<usize> {
    let reach = channels / 2;
    let below = |&at: &usize| at.checked_sub(1).filter(|&i| adjacent(i));
    let above = |&at: &usize| (at + 1 < len && adjacent(at)).then_some(at + 1);
    let mut around: Vec<usize> = std::iter::successors(Some(index), below).take(reach + 1).collect();
    around.resize(reach + 1, around[around.len() - 1]);
    around.reverse();
    around.extend(std::iter::successors(Some(index), above).skip(1).take(reach));
    around.resize(2 * reach + 1, around[around.len() - 1]);
    around
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_gaps_repeat_the_last_slice_before_them() {
        let check = |index, channels, expected: &[usize]| {
            // Slices 0 to 2, a gap, slices 3 to 6.
            assert_eq!(neighbours(index, channels, 7, |i| i != 2), expected, "slice {index}, {channels}");
        };
        check(1, 1, &[1]);
        check(1, 3, &[0, 1, 2]);
        check(0, 3, &[0, 0, 1]);
        check(2, 3, &[1, 2, 2]);
        check(3, 5, &[3, 3, 3, 4, 5]);
        check(6, 5, &[4, 5, 6, 6, 6]);
        check(4, 7, &[3, 3, 3, 4, 5, 6, 6]);
        assert_eq!(neighbours(0, 5, 1, |_| true), [0; 5]);
    }
}
