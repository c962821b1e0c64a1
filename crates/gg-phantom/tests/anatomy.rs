//! What a phantom must be for tests that lean on it.
#![allow(clippy::expect_used)]

use gg_phantom::{Phantom, PhantomSpec, cohort, phantom};
use gg_volume::{LUNG_LEFT, LUNG_RIGHT, Orientation};

const SHAPE: [usize; 3] = [32, 96, 96];

fn scans(count: usize) -> Vec<(PhantomSpec, Phantom)> {
    cohort(11, count, SHAPE).into_iter().map(|s| (s.clone(), phantom(&s))).collect()
}

/// Mean of the values whose voxel passes `keep`, with `[z, y, x]`.
fn mean(p: &Phantom, value: impl Fn([usize; 3]) -> f64, keep: impl Fn(usize) -> bool) -> f64 {
    let [_, ny, nx] = p.lung.shape();
    let (mut sum, mut n) = (0.0, 0.0);
    for i in (0..p.lung.len()).filter(|&i| keep(i)) {
        sum += value([i / (ny * nx), i / nx % ny, i % nx]);
        n += 1.0;
    }
    sum / n
}

fn mean_hu(p: &Phantom, keep: impl Fn(usize) -> bool) -> f64 {
    let hu = p.ct.voxels.data();
    mean(p, |[z, y, x]| f64::from(hu[p.lung.index(z, y, x)]), keep)
}

#[test]
fn lungs_without_infection_are_dark_and_the_rest_of_the_body_is_not() {
    for (_, p) in scans(6) {
        let (lung, infection) = (p.lung.data(), p.infection.data());
        let dark = mean_hu(&p, |i| lung[i] != 0 && infection[i] == 0);
        assert!((-880.0..-700.0).contains(&dark), "{dark}");
        let hu = p.ct.voxels.data();
        let body = hu.iter().filter(|v| **v > -200.0).count() as f64 / hu.len() as f64;
        assert!((0.2..0.6).contains(&body), "{body}");
        assert!(hu.iter().all(|v| v.fract() == 0.0 && (-1024.0..=3071.0).contains(v)));
    }
}

#[test]
fn infection_lies_inside_the_lung_and_is_denser_than_it() {
    for (spec, p) in scans(8) {
        let (lung, infection) = (p.lung.data(), p.infection.data());
        assert!(infection.iter().zip(lung).all(|(i, l)| *i == 0 || *l != 0));
        assert_eq!(p.infection.count_foreground() > 0, spec.infected());
        if spec.infected() {
            let inside = mean_hu(&p, |i| infection[i] != 0);
            let outside = mean_hu(&p, |i| lung[i] != 0 && infection[i] == 0);
            assert!(inside > outside + 120.0, "{inside} against {outside}");
        }
    }
}

#[test]
fn ground_glass_and_consolidation_have_their_hu() {
    let spec = PhantomSpec { consolidation: 0.0, noise_hu: 5.0, ..PhantomSpec::new(4, SHAPE, 20.0) };
    let p = phantom(&spec);
    let glass = mean_hu(&p, |i| p.infection.data()[i] != 0);
    assert!((-680.0..-430.0).contains(&glass), "{glass}");
    let p = phantom(&PhantomSpec { consolidation: 1.0, ..spec });
    let solid = mean_hu(&p, |i| p.infection.data()[i] != 0);
    assert!((-250.0..60.0).contains(&solid), "{solid}");
}

#[test]
fn the_right_lung_is_at_low_x_and_the_heart_on_the_left() {
    for (_, p) in scans(6) {
        assert_eq!(p.ct.grid.orientation(), Some(Orientation::LPS));
        let x_of = |label: u8| mean(&p, |[_, _, x]| x as f64, |i| p.lung.data()[i] == label);
        assert!(x_of(LUNG_RIGHT) + 15.0 < x_of(LUNG_LEFT));
        // the heart takes its room from the left lung
        let [right, left] = p.truth.lung_voxels;
        assert!(right as f64 > 1.03 * left as f64, "right {right}, left {left}");
    }
}

#[test]
fn lungs_are_narrow_at_the_apex_and_wide_at_the_base() {
    for (_, p) in scans(6) {
        let area = |z: usize| p.lung.slice(z).iter().filter(|v| **v != 0).count();
        let zs: Vec<usize> = (0..SHAPE[0]).filter(|&z| area(z) > 0).collect();
        let at = |share: f64| area(zs[0] + (share * (zs.len() - 1) as f64) as usize);
        assert!(at(0.95) * 2 < at(0.4), "{} {}", at(0.95), at(0.4));
        assert!(at(0.8) < at(0.4));
        assert!(zs[0] > 0 && zs[zs.len() - 1] < SHAPE[0] - 1, "lungs lie whole within the grid");
    }
}

#[test]
fn truth_is_what_can_be_counted_and_what_was_asked_for() {
    for (spec, p) in scans(8) {
        let lung = p.lung.count_foreground() as f64;
        let infection = p.infection.count_foreground() as f64;
        let ml: f64 = spec.spacing_mm.iter().product::<f64>() / 1000.0;
        assert!((p.truth.lung_ml - lung * ml).abs() < 1e-6);
        assert!((p.truth.infection_ml - infection * ml).abs() < 1e-6);
        assert!((p.truth.percent_of_lung - 100.0 * infection / lung).abs() < 1e-9);
        assert!((p.truth.percent_of_lung - spec.percent_of_lung).abs() < 0.2);
        assert!((1500.0..6000.0).contains(&p.truth.lung_ml), "{}", p.truth.lung_ml);
    }
}

#[test]
fn lung_volume_does_not_depend_on_the_grid() {
    let coarse = phantom(&PhantomSpec::new(5, [32, 96, 96], 10.0)).truth;
    let fine = phantom(&PhantomSpec::new(5, [75, 210, 210], 10.0)).truth;
    assert!((coarse.lung_ml / fine.lung_ml - 1.0).abs() < 0.02, "{} {}", coarse.lung_ml, fine.lung_ml);
}

#[test]
fn a_patient_keeps_the_body_from_scan_to_scan() {
    let a = PhantomSpec { patient: 9, ..PhantomSpec::new(1, SHAPE, 0.0) };
    let b = PhantomSpec { seed: 2, percent_of_lung: 12.0, ..a.clone() };
    assert_eq!(phantom(&a).lung, phantom(&b).lung);
    let other = PhantomSpec { patient: 10, ..a.clone() };
    assert_ne!(phantom(&a).lung, phantom(&other).lung);
}

#[test]
fn bytes_are_the_same_at_any_number_of_threads() {
    let spec = PhantomSpec { motion_mm: 4.0, dependent_opacity: 0.5, ..PhantomSpec::new(3, SHAPE, 8.0) };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| phantom(&spec))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn odd_and_empty_grids_are_drawn_too() {
    for shape in [[1, 64, 48], [3, 1, 1], [0, 8, 8], [5, 40, 90]] {
        let p = phantom(&PhantomSpec::new(1, shape, 10.0));
        assert_eq!(p.ct.voxels.shape(), shape);
        assert_eq!(p.infection.shape(), shape);
    }
}
