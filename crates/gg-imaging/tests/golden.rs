//! Against OpenCV, SciPy, scikit-learn and scikit-image; inputs and outputs made by `golden/scripts/imaging.py`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // the helpers of tests are tests too

use gg_imaging::*;
use gg_testkit::Golden;
use gg_volume::Volume;

/// Height and width of a golden picture.
fn size(golden: &Golden, name: &str) -> (usize, usize) {
    let shape = golden.shape(name);
    (shape[0], shape[1])
}

/// The first difference above `tolerance`, in words.
fn differs(found: &[u8], expected: &[u8], tolerance: u8) -> Option<String> {
    assert_eq!(found.len(), expected.len());
    let off = found.iter().zip(expected).filter(|(a, b)| a.abs_diff(**b) > tolerance).count();
    let at = found.iter().zip(expected).position(|(a, b)| a.abs_diff(*b) > tolerance)?;
    Some(format!("{off} of {} differ; at {at}: {} for {}", found.len(), found[at], expected[at]))
}

#[test]
fn min_max_is_numpys() {
    let golden = Golden::open("imaging/window.safetensors");
    let hu = golden.f32("hu");
    let mut found = vec![0; hu.len()];
    min_max_to_u8(&hu, &mut found);
    assert_eq!(differs(&found, &golden.u8("min_max"), 0), None);
}

#[test]
fn clahe_is_bit_exact_with_opencv() {
    let golden = Golden::open("imaging/clahe.safetensors");
    let mut failures = Vec::new();
    for name in golden.names().iter().filter(|n| n.starts_with("out_")) {
        let numbers: Vec<usize> = name.split('_').skip(1).map(|n| n.parse().unwrap()).collect();
        let [i, clip, tiles_y, tiles_x] = numbers[..] else { panic!("{name}") };
        let source = format!("src_{i}");
        let (h, w) = size(&golden, &source);
        let found = clahe(&golden.u8(&source), h, w, clip as f64, tiles_y, tiles_x);
        if let Some(difference) = differs(&found, &golden.u8(name), 0) {
            failures.push(format!("{name} {h}x{w}: {difference}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

type ResizeU8 = fn(&[u8], usize, usize, usize, usize) -> Vec<u8>;

fn check_resize(kind: &str, method: &str, resize: ResizeU8, tolerance: u8) {
    let golden = Golden::open("imaging/resize.safetensors");
    let mut failures = Vec::new();
    for i in 0..20 {
        let (source, output) = (format!("{kind}_src_{i}"), format!("{kind}_{method}_{i}"));
        if !golden.has(&output) {
            break;
        }
        let ((h, w), (oh, ow)) = (size(&golden, &source), size(&golden, &output));
        let found = resize(&golden.u8(&source), h, w, oh, ow);
        if let Some(difference) = differs(&found, &golden.u8(&output), tolerance) {
            failures.push(format!("{output} {h}x{w} to {oh}x{ow}: {difference}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn shrinking_by_area_is_bit_exact_with_opencv() {
    check_resize("shrink", "area", resize_area_u8, 0);
}

#[test]
fn enlarging_linearly_is_bit_exact_with_opencv() {
    check_resize("grow", "linear", resize_linear_u8, 0);
}

#[test]
fn shrinking_linearly_is_bit_exact_with_opencv() {
    check_resize("shrink", "linear", resize_linear_u8, 0);
}

#[test]
fn linear_resizing_of_real_numbers_is_opencvs() {
    let golden = Golden::open("imaging/resize.safetensors");
    for (kind, n) in [("shrink", 9), ("grow", 6)] {
        for i in 0..n {
            let (source, output) = (format!("{kind}_src_{i}"), format!("{kind}_linear_f32_{i}"));
            let ((h, w), (oh, ow)) = (size(&golden, &source), size(&golden, &output));
            let values: Vec<f32> = golden.u8(&source).into_iter().map(f32::from).collect();
            let found = resize_linear_f32(&values, h, w, oh, ow);
            gg_testkit::assert_close(&found, &golden.f32(&output), 1e-3, 1e-5);
        }
    }
}

#[test]
fn morphology_is_scipys_for_odd_and_even_elements() {
    let golden = Golden::open("imaging/morphology.safetensors");
    let operation = |kind: &str| match kind {
        "erosion" => binary_erosion,
        _ => binary_dilation,
    };
    for name in golden.names().iter().filter(|n| n.starts_with("erosion") || n.starts_with("dilation")) {
        let parts: Vec<&str> = name.split('_').collect();
        let numbers: Vec<usize> = parts[1..].iter().map(|n| n.parse().unwrap()).collect();
        let mask = format!("mask_{}", numbers[0]);
        let (h, w) = size(&golden, &mask);
        let found = operation(parts[0])(&golden.u8(&mask), h, w, numbers[1], numbers[2]);
        assert_eq!(differs(&found, &golden.u8(name), 0), None, "{name}");
    }
}

#[test]
fn filled_holes_are_scipys() {
    let golden = Golden::open("imaging/morphology.safetensors");
    for i in 0..4 {
        let mask = format!("mask_{i}");
        let (h, w) = size(&golden, &mask);
        // A picture padded with slices that are all inside: only holes within it are holes of the volume.
        let mut values = vec![1; 3 * h * w];
        values[h * w..2 * h * w].copy_from_slice(&golden.u8(&mask));
        let found = fill_holes_3d(&Volume::from_vec([3, h, w], values).unwrap());
        let found = &found.data()[h * w..2 * h * w];
        assert_eq!(differs(found, &golden.u8(&format!("filled_{i}")), 0), None, "{mask}");
    }
}

#[test]
fn labels_are_scipys_with_the_same_numbers() {
    let golden = Golden::open("imaging/label.safetensors");
    for i in 0..4 {
        let name = format!("mask_{i}");
        let shape: [usize; 3] = golden.shape(&name).try_into().unwrap();
        let mask = Volume::from_vec(shape, golden.u8(&name)).unwrap();
        let connectivities = [Connectivity::Faces, Connectivity::Edges, Connectivity::Corners];
        for (reach, connectivity) in (1..).zip(connectivities) {
            let found: Vec<i32> =
                label_3d(&mask, connectivity).labels().into_iter().map(|l| l as i32).collect();
            assert_eq!(found, golden.i32(&format!("label_{i}_{reach}")), "{name}, {connectivity:?}");
        }
    }
}

#[test]
fn distances_are_scipys() {
    let golden = Golden::open("imaging/edt.safetensors");
    for i in 0..3 {
        let name = format!("mask_{i}");
        let shape: [usize; 3] = golden.shape(&name).try_into().unwrap();
        let mask = Volume::from_vec(shape, golden.u8(&name)).unwrap();
        let spacing: [f64; 3] = golden.f64(&format!("spacing_{i}")).try_into().unwrap();
        let found = distance_edt(&mask, spacing);
        let expected = golden.f64(&format!("distance_{i}"));
        let worst = found.data().iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-12, "{name}: off by {worst}");
    }
}

#[test]
fn kmeans_from_a_fixed_start_is_scikit_learns() {
    let golden = Golden::open("imaging/kmeans.safetensors");
    for i in 0..3 {
        let start: [f32; 2] = golden.f32(&format!("start_{i}")).try_into().unwrap();
        let found = kmeans_two(&golden.f32(&format!("values_{i}")), start);
        let expected = golden.f64(&format!("centres_{i}"));
        assert!(
            (0..2).all(|k| (f64::from(found[k]) - expected[k]).abs() < 1e-6),
            "{found:?} for {expected:?}"
        );
    }
}

#[test]
fn kmeans_on_grey_is_as_good_as_the_best_of_scikit_learns_thirty_starts() {
    let golden = Golden::open("imaging/kmeans.safetensors");
    for i in 0..3 {
        let grey = golden.u8(&format!("grey_{i}"));
        let mut counts = [0u32; 256];
        grey.iter().for_each(|&v| counts[usize::from(v)] += 1);
        let found = kmeans_two_histogram(&counts).unwrap();
        let squares = |v: u8| found.map(|c| (f64::from(v) - c).powi(2));
        let inertia: f64 = grey.iter().map(|&v| squares(v)[0].min(squares(v)[1])).sum();
        // Lloyd's iteration may rest a few grey values beside the best split: never below its sum of squares.
        assert!(inertia <= golden.f64(&format!("grey_inertia_{i}"))[0] * (1.0 + 1e-12), "grey_{i}");
        let expected = golden.f64(&format!("grey_centres_{i}"));
        assert!((0..2).all(|k| (found[k] - expected[k]).abs() < 1.0), "{found:?} for {expected:?}");
    }
}

#[test]
fn the_papers_lung_box_is_that_of_scipy_and_scikit() {
    let golden = Golden::open("imaging/roi.safetensors");
    let roi = PrepareConfig::paper().roi;
    for i in 0..3 {
        let name = format!("grey_{i}");
        let (h, w) = size(&golden, &name);
        let found = find_lung_box(&golden.u8(&name), h, w, &roi).unwrap();
        let corners = [found.y, found.x, found.y + found.h as i64, found.x + found.w as i64];
        assert_eq!(corners.map(|v| v as i32).to_vec(), golden.i32(&format!("box_{i}")), "{name}");
    }
}
