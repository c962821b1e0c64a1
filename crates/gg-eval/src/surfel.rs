//! Area of the surface that passes between eight neighbouring voxels, for each of the 256 ways to mark them.
//!
//! The surface is that of marching cubes with its vertices in the middle of the cube's edges. Two choices are free and
//! taken as the surface-distance package (version 0.1) takes them, whose table was made with an unpublished program:
//! where a face has two marked corners across, the rarer kind of corner (marked, if four or fewer) is cut off on its
//! own; a polygon that is not flat is split into the triangles of the largest total area in the unit cube.
//! The table here is computed; none was copied.
//!
//! # Source
//! Lorensen and Cline, Marching cubes, SIGGRAPH 1987; Nikolov et al., arXiv 1809.04430 (2018).
//! Golden: `eval/surfel` (areas of all 256 codes for three spacings).

/// Eight corners; corner `c` lies at `z = c >> 2`, `y = c >> 1 & 1`, `x = c & 1`, and is marked in a code by bit `7 - c`.
const CORNERS: usize = 8;

/// Normals of the triangles of each code in the unit cube, `[z, y, x]`; their length is the area.
type Normals = Vec<[f64; 3]>;

/// Areas of all 256 codes at a spacing `[z, y, x]`.
pub(crate) fn areas(spacing: [f64; 3]) -> Vec<f64> {
    let [z, y, x] = spacing;
    let scale = [y * x, z * x, z * y];
    let area = |n: &[f64; 3]| (0..3).map(|a| (n[a] * scale[a]).powi(2)).sum::<f64>().sqrt();
    (0..=255).map(|code| normals(code).iter().map(area).sum()).collect()
}

fn position(corner: usize) -> [f64; 3] {
    [(corner >> 2) as f64, (corner >> 1 & 1) as f64, (corner & 1) as f64]
}

fn is_marked(code: u8, corner: usize) -> bool {
    code >> (CORNERS - 1 - corner) & 1 == 1
}

fn normals(code: u8) -> Normals {
    let mut out = Vec::new();
    for polygon in polygons(code) {
        let points: Vec<[f64; 3]> = polygon
            .iter()
            .map(|&(a, b)| {
                let (p, q) = (position(a), position(b));
                std::array::from_fn(|i| 0.5 * (p[i] + q[i]))
            })
            .collect();
        out.extend(largest_triangulation(&points));
    }
    out
}

/// An edge of the cube by its two corners, the smaller first.
type Edge = (usize, usize);

/// The closed polygons of a code, each as the edges it passes through.
fn polygons(code: u8) -> Vec<Vec<Edge>> {
    let mut links: Vec<(Edge, Edge)> = Vec::new();
    for face in faces() {
        let edges: [Edge; 4] = std::array::from_fn(|i| {
            let (a, b) = (face[i], face[(i + 1) % 4]);
            (a.min(b), a.max(b))
        });
        let marked = face.map(|c| is_marked(code, c));
        let cut: Vec<usize> = (0..4).filter(|&i| marked[i] != marked[(i + 1) % 4]).collect();
        match cut[..] {
            [a, b] => links.push((edges[a], edges[b])),
            [_, _, _, _] => {
                let rare = code.count_ones() <= 4;
                // the corner i lies between edges i - 1 and i
                links.extend((0..4).filter(|&i| marked[i] == rare).map(|i| (edges[(i + 3) % 4], edges[i])));
            }
            _ => {}
        }
    }
    let mut polygons = Vec::new();
    while let Some((first, mut here)) = links.pop() {
        let mut polygon = vec![first];
        while here != first {
            polygon.push(here);
            let Some(i) = links.iter().position(|&(a, b)| a == here || b == here) else { break };
            let (a, b) = links.swap_remove(i);
            here = if a == here { b } else { a };
        }
        polygons.push(polygon);
    }
    polygons
}

/// The six faces as their four corners in a round.
fn faces() -> impl Iterator<Item = [usize; 4]> {
    (0..3usize).flat_map(|axis| {
        let (u, v) = (1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3));
        [0, 1usize << axis].map(|base| [base, base | u, base | u | v, base | v])
    })
}

/// Normals of the triangles of the triangulation with the largest area.
fn largest_triangulation(points: &[[f64; 3]]) -> Normals {
    let total = |normals: &Normals| normals.iter().map(length).sum::<f64>();
    let mut best = Normals::new();
    let mut largest = -1.0;
    for triangles in triangulations(0, points.len() - 1) {
        let normals: Normals =
            triangles.iter().map(|&(i, j, k)| normal(points[i], points[j], points[k])).collect();
        let area = total(&normals);
        if area > largest + 1e-12 {
            (best, largest) = (normals, area);
        }
    }
    best
}

/// All ways to cut the polygon of the points `first..=last` into triangles.
fn triangulations(first: usize, last: usize) -> Vec<Vec<(usize, usize, usize)>> {
    if last - first < 2 {
        return vec![Vec::new()];
    }
    let mut out = Vec::new();
    for k in first + 1..last {
        for left in triangulations(first, k) {
            for right in triangulations(k, last) {
                let mut all = left.clone();
                all.extend(right);
                all.push((first, k, last));
                out.push(all);
            }
        }
    }
    out
}

fn normal(a: [f64; 3], b: [f64; 3], c: [f64; 3]) -> [f64; 3] {
    let (u, v): ([f64; 3], [f64; 3]) =
        (std::array::from_fn(|i| b[i] - a[i]), std::array::from_fn(|i| c[i] - a[i]));
    [0.5 * (u[1] * v[2] - u[2] * v[1]), 0.5 * (u[2] * v[0] - u[0] * v[2]), 0.5 * (u[0] * v[1] - u[1] * v[0])]
}

fn length(v: &[f64; 3]) -> f64 {
    (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_testkit::Golden;

    #[test]
    fn areas_are_those_of_the_reference_for_every_code() {
        let golden = Golden::open("eval/surfel.safetensors");
        let spacings = golden.f64("spacings");
        let expected = golden.f64("areas");
        for (i, spacing) in spacings.as_chunks::<3>().0.iter().enumerate() {
            for (code, (f, e)) in areas(*spacing).iter().zip(&expected[i * 256..]).enumerate() {
                assert!((f - e).abs() < 1e-9, "code {code} at {spacing:?}: {f}, reference {e}");
            }
        }
    }

    #[test]
    fn a_flat_surface_has_the_area_of_a_face() {
        let table = areas([3.0, 2.0, 0.5]);
        assert!((table[0b1111_0000] - 1.0).abs() < 1e-12); // lower half in z: y * x
        assert!((table[0b1010_1010] - 6.0).abs() < 1e-12); // lower half in x: z * y
        assert_eq!((table[0], table[255]), (0.0, 0.0));
    }
}
