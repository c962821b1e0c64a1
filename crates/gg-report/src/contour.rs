//! The outline of a mask as closed rings: marching squares at half level.
//!
//! Corners are the middles of the sides between a pixel inside and one outside, so a staircase becomes a slope.
//! Pixels that touch by a corner only belong to two rings. Rings are in order of their first corner, row by row.
//!
//! # Source
//! Lorensen and Cline, "Marching Cubes" (1987), in two dimensions; saddles split.

/// A ring of corners in pixel units: pixel `(x, y)` covers `x..x+1`, `y..y+1`.
pub(crate) type Ring = Vec<(f64, f64)>;

/// Sides of a cell of four pixel centres.
const TOP: usize = 0;
const RIGHT: usize = 1;
const BOTTOM: usize = 2;
const LEFT: usize = 3;

/// Directed pieces per pattern of inside corners: upper left 8, upper right 4, lower right 2, lower left 1.
const PIECES: [&[(usize, usize)]; 16] = [
    &[],
    &[(LEFT, BOTTOM)],
    &[(BOTTOM, RIGHT)],
    &[(LEFT, RIGHT)],
    &[(RIGHT, TOP)],
    &[(RIGHT, TOP), (LEFT, BOTTOM)],
    &[(BOTTOM, TOP)],
    &[(LEFT, TOP)],
    &[(TOP, LEFT)],
    &[(TOP, BOTTOM)],
    &[(TOP, LEFT), (BOTTOM, RIGHT)],
    &[(TOP, RIGHT)],
    &[(RIGHT, LEFT)],
    &[(RIGHT, BOTTOM)],
    &[(BOTTOM, LEFT)],
    &[],
];

/// Rings around the pixels that are not 0.
///
/// # Shape
/// `mask` holds `height` rows of `width` pixels; a mask of another size has no rings.
pub(crate) fn rings(mask: &[u8], width: usize, height: usize) -> Vec<Ring> {
    if mask.len() != width * height || mask.is_empty() {
        return Vec::new();
    }
    let inside = |x: isize, y: isize| {
        x >= 0
            && y >= 0
            && (x as usize) < width
            && (y as usize) < height
            && mask[y as usize * width + x as usize] != 0
    };
    // A corner's number: the pixel left of or above its side, shifted by one, twice, plus one for vertical sides.
    let columns = width + 2;
    let corner =
        |x: isize, y: isize, vertical: usize| 2 * ((y + 1) as usize * columns + (x + 1) as usize) + vertical;
    const NONE: u32 = u32::MAX;
    let mut next = vec![NONE; 2 * columns * (height + 2)];
    for y in -1..height as isize {
        for x in -1..width as isize {
            let pattern = usize::from(inside(x, y)) << 3
                | usize::from(inside(x + 1, y)) << 2
                | usize::from(inside(x + 1, y + 1)) << 1
                | usize::from(inside(x, y + 1));
            let side = |side: usize| match side {
                TOP => corner(x, y, 0),
                RIGHT => corner(x + 1, y, 1),
                BOTTOM => corner(x, y + 1, 0),
                _ => corner(x, y, 1),
            };
            for &(from, to) in PIECES[pattern] {
                next[side(from)] = side(to) as u32;
            }
        }
    }
    let place = |id: usize| {
        let (cell, vertical) = (id / 2, id % 2);
        let (x, y) = ((cell % columns) as f64 - 1.0, (cell / columns) as f64 - 1.0);
        if vertical == 1 { (x + 0.5, y + 1.0) } else { (x + 1.0, y + 0.5) }
    };
    let mut found = Vec::new();
    for start in 0..next.len() {
        let mut ring = Vec::new();
        let mut at = start;
        while next[at] != NONE {
            ring.push(place(at));
            at = std::mem::replace(&mut next[at], NONE) as usize;
        }
        if !ring.is_empty() {
            found.push(without_straight_corners(&ring));
        }
    }
    found
}

fn without_straight_corners(ring: &[(f64, f64)]) -> Ring {
    let n = ring.len();
    let bends = |i: usize| {
        let (a, b, c) = (ring[(i + n - 1) % n], ring[i], ring[(i + 1) % n]);
        ((b.0 - a.0) * (c.1 - b.1) - (b.1 - a.1) * (c.0 - b.0)).abs() > 1e-9
    };
    (0..n).filter(|&i| bends(i)).map(|i| ring[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pixel_is_a_diamond() {
        let found = rings(&[0, 0, 0, 0, 1, 0, 0, 0, 0], 3, 3);
        assert_eq!(found.len(), 1);
        let mut corners = found[0].clone();
        corners.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert_eq!(corners, [(1.0, 1.5), (1.5, 1.0), (1.5, 2.0), (2.0, 1.5)]);
    }

    #[test]
    fn a_hole_is_a_ring_of_its_own_and_the_border_closes() {
        let mut mask = vec![1; 25];
        mask[12] = 0;
        let found = rings(&mask, 5, 5);
        assert_eq!(found.len(), 2);
        assert!(found.iter().any(|r| r.len() == 4) && found.iter().any(|r| r.len() == 8));
    }

    #[test]
    fn nothing_and_a_wrong_size_have_no_ring() {
        assert!(rings(&[0; 9], 3, 3).is_empty());
        assert!(rings(&[1; 8], 3, 3).is_empty());
        assert!(rings(&[], 0, 0).is_empty());
    }
}
