//! Augmentation: exact where it can be, bounded where it is random.

use super::grey::{add_noise, blur};
use super::*;
use proptest::prelude::*;

fn disc(size: usize, cx: f64, cy: f64, r: f64) -> Vec<u8> {
    (0..size * size)
        .map(|i| {
            let (x, y) = ((i % size) as f64 - cx, (i / size) as f64 - cy);
            u8::from(x * x + y * y <= r * r)
        })
        .collect()
}

#[test]
fn the_identity_gives_the_same_bytes() {
    let image: Vec<u8> = (0..33 * 33).map(|i| (i * 7 % 256) as u8).collect();
    let mask = disc(33, 12.0, 15.0, 6.0);
    let config = AugmentConfig { affine: 1.0, intensity: 1.0, ..AugmentConfig::identity() };
    let out = augment(&[&image], &[&mask], 33, &config, [1, 2, 3]);
    assert_eq!(out.images, [image]);
    assert_eq!(out.masks, [mask]);
}

#[test]
fn a_flip_is_exact_and_its_own_inverse() {
    for size in [16, 17] {
        let image: Vec<u8> = (0..size * size).map(|i| (i * 13 % 256) as u8).collect();
        let config = AugmentConfig { flip_left_right: 1.0, ..AugmentConfig::identity() };
        let once = augment(&[&image], &[&image], size, &config, [0, 0, 0]);
        let mirrored: Vec<u8> =
            image.chunks(size).flat_map(|row| row.iter().rev().copied().collect::<Vec<_>>()).collect();
        assert_eq!(once.images[0], mirrored);
        assert_eq!(once.masks[0], mirrored);
    }
}

#[test]
fn a_rotation_by_ninety_degrees_is_exact() {
    let size = 5;
    let image: Vec<u8> = (0..25).collect();
    let quarter = Warp::inverse_of([[0.0, -1.0], [1.0, 0.0]], [0.0; 2], size);
    let out = quarter.linear(&image, size);
    // (x, y) goes to (-y, x) about the centre: the first row becomes the last column.
    assert_eq!((0..5).map(|y| out[y * 5 + 4]).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn noise_has_the_standard_deviation_that_was_asked_for() {
    let mut pixels = vec![128u8; 65536];
    add_noise(&mut pixels, 0.04, &mut Stream::new(1, Purpose::Augment, 0, 0));
    let n = pixels.len() as f64;
    let mean = pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let var = pixels.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    assert!((mean - 128.0).abs() < 0.2, "mean {mean}");
    assert!((var.sqrt() - 10.2).abs() < 0.2, "sd {}", var.sqrt());
}

#[test]
fn blur_keeps_a_flat_picture_and_the_sum_of_a_point() {
    let mut flat = vec![77u8; 20 * 20];
    blur(&mut flat, 20, 1.3);
    assert!(flat.iter().all(|&v| v == 77));
    let mut point = vec![0u8; 21 * 21];
    point[10 * 21 + 10] = 255;
    blur(&mut point, 21, 1.0);
    assert_eq!(point[10 * 21 + 10], (255.0 / (2.0 * std::f64::consts::PI)).round() as u8);
}

#[test]
fn settings_out_of_range_and_unknown_keys_are_refused() {
    let bad = AugmentConfig { scale: [0.0, 1.0], ..AugmentConfig::identity() };
    assert_eq!(bad.validate().unwrap_err().name, "scale");
    let bad = AugmentConfig { noise: f64::NAN, ..AugmentConfig::identity() };
    assert!(bad.validate().is_err());
    assert!(toml::from_str::<AugmentConfig>("flip = 0.5").is_err());
    for config in [AugmentConfig::identity(), all_changes()] {
        config.validate().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<AugmentConfig>(&text).unwrap(), config);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn masks_keep_their_labels(seed: u64, draw: u64) {
        let mask: Vec<u8> = (0..40 * 40).map(|i| [0, 1, 3][(i / 7 + i / 320) % 3]).collect();
        let out = augment(&[], &[&mask], 40, &all_changes(), [seed, 0, draw]);
        prop_assert!(out.masks[0].iter().all(|v| [0, 1, 3].contains(v)));
    }

    #[test]
    fn picture_and_mask_move_together(seed: u64) {
        let mask = disc(64, 28.0, 34.0, 14.0);
        let image: Vec<u8> = mask.iter().map(|&v| v * 255).collect();
        // Grey values that change by themselves say nothing about the place of the edge.
        let geometry = AugmentConfig { intensity: 0.0, equalise: 0.0, blur: 0.0, noise: 0.0, ..all_changes() };
        let out = augment(&[&image], &[&mask], 64, &geometry, [seed, 1, 2]);
        // Only pixels that the disc's edge crosses may differ.
        let differ = out.images[0].iter().zip(&out.masks[0]).filter(|&(&i, &m)| (i >= 128) != (m == 1)).count();
        prop_assert!(differ <= 24, "{differ} pixels differ");
        let clear = out.images[0].iter().zip(&out.masks[0]);
        prop_assert!(clear.filter(|&(&i, _)| i == 255).all(|(_, &m)| m == 1));
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes(seed: u64) {
        let image: Vec<u8> = (0..32 * 32).map(|i| (i % 251) as u8).collect();
        let mask = disc(32, 16.0, 16.0, 7.0);
        let config = AugmentConfig { equalise: 1.0, blur: 1.0, noise: 1.0, ..all_changes() };
        let once = augment(&[&image, &image], &[&mask], 32, &config, [seed, 3, 4]);
        prop_assert_eq!(&once, &augment(&[&image, &image], &[&mask], 32, &config, [seed, 3, 4]));
        prop_assert_ne!(once, augment(&[&image, &image], &[&mask], 32, &config, [seed, 3, 5]));
    }
}
