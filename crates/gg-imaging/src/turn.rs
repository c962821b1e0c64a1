//! Turns of a picture by 90 degrees, as numpy's `rot90` (counter-clockwise).

/// Turns a picture of `h` x `w` counter-clockwise by 90 degrees, `quarters` times.
///
/// # Shape
/// The result is `w` x `h` for an odd number of turns. Turning `4 - quarters` times more gives the picture back.
pub fn turn_quarters<T: Copy>(src: &[T], h: usize, w: usize, quarters: u8) -> Vec<T> {
    let columns_up = || (0..w).rev().flat_map(|x| (0..h).map(move |y| (y, x)));
    let columns_down = || (0..w).flat_map(|x| (0..h).rev().map(move |y| (y, x)));
    match quarters % 4 {
        0 => src.to_vec(),
        1 => columns_up().map(|(y, x)| src[y * w + x]).collect(),
        2 => src.iter().rev().copied().collect(),
        _ => columns_down().map(|(y, x)| src[y * w + x]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turn_moves_the_right_column_to_the_top() {
        assert_eq!(turn_quarters(&[1, 2, 3, 4, 5, 6], 2, 3, 1), [3, 6, 2, 5, 1, 4]);
        assert_eq!(turn_quarters(&[1, 2, 3, 4, 5, 6], 2, 3, 3), [4, 1, 5, 2, 6, 3]);
    }

    #[test]
    fn four_turns_in_any_parts_are_none() {
        let picture: Vec<u8> = (0..12).collect();
        for k in 0..4u8 {
            let (h, w) = if k % 2 == 1 { (4, 3) } else { (3, 4) };
            assert_eq!(turn_quarters(&turn_quarters(&picture, 3, 4, k), h, w, 4 - k), picture);
        }
    }
}
