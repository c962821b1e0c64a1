//! On any small input the fast versions do what slow, obvious ones do.
#![allow(clippy::unwrap_used, clippy::panic)] // the helpers of tests are tests too

use gg_imaging::*;
use gg_volume::LabelVolume;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

/// Height, width and a mask.
fn picture() -> impl Strategy<Value = (usize, usize, Vec<u8>)> {
    volume().prop_map(|([z, y, x], mask)| (z * y, x, mask))
}

/// Shape and as many voxels, of which some share is inside (by any label) and the others are 0.
fn volume() -> impl Strategy<Value = ([usize; 3], Vec<u8>)> {
    ([1usize..5, 1usize..8, 1usize..9], 0u8..9).prop_flat_map(|(shape, share)| {
        let voxel = (0u8..8, 1u8..=255).prop_map(move |(v, label)| if v < share { label } else { 0 });
        (Just(shape), vec(voxel, shape.iter().product::<usize>()))
    })
}

/// The offsets of an element of `n` pixels, as SciPy centres it.
fn element(n: usize) -> impl Iterator<Item = i64> + Clone {
    (0..n as i64).map(move |i| i - n as i64 / 2)
}

/// What lies there; 0 outside.
fn at(mask: &[u8], [h, w]: [usize; 2], y: i64, x: i64) -> u8 {
    let inside = (0..h as i64).contains(&y) && (0..w as i64).contains(&x);
    if inside { mask[y as usize * w + x as usize] } else { 0 }
}

fn pixels(h: usize, w: usize) -> impl Iterator<Item = (i64, i64)> {
    (0..h as i64).flat_map(move |y| (0..w as i64).map(move |x| (y, x)))
}

fn voxels([nz, ny, nx]: [usize; 3]) -> Vec<[i64; 3]> {
    (0..nz * ny * nx).map(|i| [i / (ny * nx), i / nx % ny, i % nx].map(|v| v as i64)).collect()
}

/// How many axes two voxels differ in, where they differ by at most one in each.
fn steps(a: [i64; 3], b: [i64; 3]) -> Option<usize> {
    let by: [u64; 3] = std::array::from_fn(|i| a[i].abs_diff(b[i]));
    by.iter().all(|&d| d <= 1).then(|| by.iter().filter(|&&d| d == 1).count())
}

/// Numbers from 1 on, by flooding from each voxel in turn.
fn flood(inside: &[bool], shape: [usize; 3], connectivity: Connectivity) -> Vec<u32> {
    let reach = match connectivity {
        Connectivity::Faces => 1,
        Connectivity::Edges => 2,
        Connectivity::Corners => 3,
    };
    let place = voxels(shape);
    let mut labels = vec![0; inside.len()];
    let mut count = 0;
    for start in 0..inside.len() {
        if !inside[start] || labels[start] != 0 {
            continue;
        }
        count += 1;
        labels[start] = count;
        let mut queue = VecDeque::from([start]);
        while let Some(i) = queue.pop_front() {
            for n in 0..inside.len() {
                let touches = steps(place[i], place[n]).is_some_and(|s| s <= reach);
                if inside[n] && labels[n] == 0 && touches {
                    labels[n] = count;
                    queue.push_back(n);
                }
            }
        }
    }
    labels
}

fn check_components(found: &Components, mask: &[u8], shape: [usize; 3], connectivity: Connectivity) {
    let inside: Vec<bool> = mask.iter().map(|&v| v != 0).collect();
    let expected = flood(&inside, shape, connectivity);
    assert_eq!(found.labels(), expected);
    assert_eq!(found.len(), expected.iter().max().map_or(0, |&n| n as usize));
    let place = voxels(shape);
    for (k, component) in found.list.iter().enumerate() {
        let own: Vec<[i64; 3]> =
            (0..mask.len()).filter(|&i| expected[i] as usize == k + 1).map(|i| place[i]).collect();
        assert_eq!(component.voxels, own.len());
        for axis in 0..3 {
            let along = || own.iter().map(|p| p[axis]);
            assert_eq!(Some(component.low[axis] as i64), along().min());
            assert_eq!(Some(component.high[axis] as i64), along().max());
            let mean = along().sum::<i64>() as f64 / own.len() as f64;
            assert!((component.centroid[axis] - mean).abs() < 1e-9);
        }
    }
}

/// Share of source pixel `j` that pixel `i` of the result covers, of that pixel's own length.
fn covered(n: usize, out_n: usize, i: usize, j: usize) -> f64 {
    let scale = n as f64 / out_n as f64;
    let from = (i as f64 * scale).max(j as f64);
    let to = ((i + 1) as f64 * scale).min((j + 1) as f64);
    (to - from).max(0.0) / scale
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn erosion_asks_every_pixel_of_the_element((h, w, mask) in picture(), eh in 1usize..8, ew in 1usize..8) {
        let slow: Vec<u8> = pixels(h, w)
            .map(|(y, x)| {
                let mut around = element(eh).flat_map(|dy| element(ew).map(move |dx| (dy, dx)));
                u8::from(around.all(|(dy, dx)| at(&mask, [h, w], y + dy, x + dx) != 0))
            })
            .collect();
        prop_assert_eq!(binary_erosion(&mask, h, w, eh, ew), slow);
    }

    #[test]
    fn dilation_lays_the_element_on_every_pixel((h, w, mask) in picture(), eh in 1usize..8, ew in 1usize..8) {
        let mut slow = vec![0; h * w];
        for (y, x) in pixels(h, w).filter(|&(y, x)| at(&mask, [h, w], y, x) != 0) {
            for (y, x) in element(eh).flat_map(|dy| element(ew).map(move |dx| (y + dy, x + dx))) {
                if (0..h as i64).contains(&y) && (0..w as i64).contains(&x) {
                    slow[y as usize * w + x as usize] = 1;
                }
            }
        }
        prop_assert_eq!(binary_dilation(&mask, h, w, eh, ew), slow);
    }

    #[test]
    fn distances_are_those_to_the_nearest_background_of_all(
        (shape, mask) in volume(),
        spacing in prop::array::uniform3(0.2..6.0f64),
    ) {
        let place = voxels(shape);
        let found = distance_edt(&LabelVolume::from_vec(shape, mask.clone()).unwrap(), spacing);
        for (i, &distance) in found.data().iter().enumerate() {
            let to = |k: usize| {
                let by = |axis: usize| (place[i][axis] - place[k][axis]) as f64 * spacing[axis];
                (by(0).powi(2) + by(1).powi(2) + by(2).powi(2)).sqrt()
            };
            let nearest = (0..mask.len()).filter(|&k| mask[k] == 0).map(to).fold(f64::INFINITY, f64::min);
            let same = nearest == distance || (nearest - distance).abs() < 1e-9;
            prop_assert!(same, "{} instead of {} at {:?}", distance, nearest, place[i]);
        }
    }

    #[test]
    fn components_are_what_floods_reach((shape, mask) in volume(), (h, w, flat) in picture()) {
        for connectivity in [Connectivity::Faces, Connectivity::Edges, Connectivity::Corners] {
            let volume = LabelVolume::from_vec(shape, mask.clone()).unwrap();
            check_components(&label_3d(&volume, connectivity), &mask, shape, connectivity);
            check_components(&label_2d(&flat, h, w, connectivity), &flat, [1, h, w], connectivity);
        }
    }

    #[test]
    fn holes_are_what_no_flood_from_the_border_reaches((shape, mask) in volume()) {
        let place = voxels(shape);
        let border = |p: [i64; 3]| (0..3).any(|a| p[a] == 0 || p[a] == shape[a] as i64 - 1);
        let mut wet: Vec<bool> = (0..mask.len()).map(|i| mask[i] == 0 && border(place[i])).collect();
        let mut queue: Vec<usize> = (0..mask.len()).filter(|&i| wet[i]).collect();
        while let Some(i) = queue.pop() {
            for n in (0..mask.len()).filter(|&n| steps(place[i], place[n]) == Some(1)) {
                if mask[n] == 0 && !wet[n] {
                    wet[n] = true;
                    queue.push(n);
                }
            }
        }
        let slow: Vec<u8> = wet.iter().map(|&wet| u8::from(!wet)).collect();
        let found = fill_holes_3d(&LabelVolume::from_vec(shape, mask).unwrap());
        prop_assert_eq!(found.data(), slow);
    }

    #[test]
    fn area_means_are_the_integral_over_each_pixel_rounded(
        (h, w, src) in (1usize..24, 1usize..24)
            .prop_flat_map(|(h, w)| (Just(h), Just(w), vec(any::<u8>(), h * w))),
        (out_h, out_w) in (1usize..24, 1usize..24),
    ) {
        let (out_h, out_w) = (out_h.min(h), out_w.min(w));
        let found = resize_area_u8(&src, h, w, out_h, out_w);
        prop_assert_eq!(found.len(), out_h * out_w);
        for ((y, x), &grey) in pixels(out_h, out_w).zip(&found) {
            let part = |(i, &v): (usize, &u8)| {
                covered(h, out_h, y as usize, i / w) * covered(w, out_w, x as usize, i % w) * f64::from(v)
            };
            let mean: f64 = src.iter().enumerate().map(part).sum();
            // Half a level of rounding; the rest is for sums in single precision.
            prop_assert!((f64::from(grey) - mean).abs() < 0.501, "{grey} instead of {mean} at {y} {x}");
        }
    }

    #[test]
    fn the_window_is_a_clamped_straight_line_rounded(
        values in vec(prop_oneof![-3000.0..3000.0f32, Just(f32::INFINITY), Just(f32::NEG_INFINITY)], 1..40),
        low in -1500.0..500.0f32,
        width in 1.0..3000.0f32,
    ) {
        let high = low + width;
        let mut found = vec![7; values.len()];
        window_to_u8(&values, low, high, &mut found);
        for (&v, &grey) in values.iter().zip(&found) {
            let (v, low, high) = (f64::from(v), f64::from(low), f64::from(high));
            let exact = (255.0 * (v - low) / (high - low)).clamp(0.0, 255.0);
            prop_assert!((f64::from(grey) - exact).abs() < 0.501, "{grey} instead of {exact} of {v}");
        }
    }

    #[test]
    fn what_a_rectangle_cuts_it_pastes_where_it_was(
        (h, w, picture) in picture(),
        (y0, x0) in (-12i64..40, -12i64..20),
        (rh, rw) in (0usize..45, 0usize..20),
    ) {
        let rect = Rect { y: y0, x: x0, h: rh, w: rw };
        let cut = rect.cut(&picture, h, w, 0);
        let slow: Vec<u8> = pixels(rh, rw).map(|(y, x)| at(&picture, [h, w], y0 + y, x0 + x)).collect();
        prop_assert_eq!(&cut, &slow);
        let mut back = vec![0; h * w];
        rect.paste(&cut, &mut back, h, w);
        let under = |y: i64, x: i64| {
            (y0..y0 + rh as i64).contains(&y) && (x0..x0 + rw as i64).contains(&x)
        };
        let kept: Vec<u8> =
            pixels(h, w).map(|(y, x)| if under(y, x) { at(&picture, [h, w], y, x) } else { 0 }).collect();
        prop_assert_eq!(back, kept);
    }
}
