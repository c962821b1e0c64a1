//! The kind of grey values of made-up chests in every disguise.

use gg_io::detect_intensity;
use gg_volume::{IntensityKind, Volume};

const SHAPE: [usize; 3] = [3, 128, 128];

/// Repeatable noise: the middle of a multiplied counter, about normal by summing four.
fn noise(seed: &mut u64) -> f32 {
    (0..4)
        .map(|_| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        })
        .sum()
}

/// A chest in HU: air around an ellipse of soft tissue with fat, two lungs with vessels, a spine.
fn chest(noise_hu: f32) -> Volume<f32> {
    let mut seed = 7;
    let mut data = Vec::new();
    for z in 0..SHAPE[0] {
        for y in 0..SHAPE[1] {
            for x in 0..SHAPE[2] {
                let (u, v) = (x as f32 / 64.0 - 1.0, y as f32 / 64.0 - 1.0);
                let inside = |cu: f32, cv: f32, ru: f32, rv: f32| {
                    ((u - cu) / ru).powi(2) + ((v - cv) / rv).powi(2) < 1.0
                };
                let vessel = ((x * 7 + z) % 17 < 3) && ((y * 5 + z) % 13 < 3);
                let hu = if inside(0.0, 0.5, 0.1, 0.12) {
                    600.0
                } else if inside(-0.4, 0.0, 0.28, 0.5) || inside(0.4, 0.0, 0.28, 0.5) {
                    if vessel { 20.0 } else { -830.0 + 100.0 * v }
                } else if inside(0.0, 0.0, 0.75, 0.6) {
                    45.0
                } else if inside(0.0, 0.0, 0.85, 0.7) {
                    -100.0
                } else {
                    -1000.0
                };
                data.push((hu + noise_hu * noise(&mut seed)).round());
            }
        }
    }
    Volume::from_vec(SHAPE, data).unwrap()
}

fn window(low: f32, high: f32) -> impl Fn(f32) -> f32 {
    move |hu| ((hu - low) / (high - low) * 255.0).clamp(0.0, 255.0).round()
}

#[track_caller]
fn check(what: &str, volume: &Volume<f32>, kind: IntensityKind) {
    let found = detect_intensity(volume);
    assert_eq!(found.kind, kind, "{what}: {:?}", found.reasons);
    assert!((0.0..=1.0).contains(&found.confidence) && found.reasons.len() >= 2, "{what}: {found:?}");
    assert_eq!(found, detect_intensity(volume), "{what}: deterministic");
}

#[test]
fn hounsfield_units_in_every_disguise_are_recognised() {
    let ct = chest(60.0);
    check("plain", &ct, IntensityKind::Hu);
    check("clipped to -1024..3071", &ct.map(|v| v.clamp(-1024.0, 3071.0)), IntensityKind::Hu);
    check("clipped to a lung window", &ct.map(|v| v.clamp(-1350.0, 150.0)), IntensityKind::Hu);
    check("not whole", &ct.map(|v| v * 0.999 + 0.123), IntensityKind::Hu);
    check("cropped to soft tissue", &ct.map(|v| v.clamp(-160.0, 240.0)), IntensityKind::Hu);
    for padding in [-2000.0, -3024.0, -1024.0] {
        let mut padded = ct.clone();
        for (i, v) in padded.data_mut().iter_mut().enumerate() {
            let (x, y) = (i % 128, i / 128 % 128);
            if x.abs_diff(64).pow(2) + y.abs_diff(64).pow(2) > 62 * 62 {
                *v = padding;
            }
        }
        check("padded", &padded, IntensityKind::Hu);
        let shifted = padded.map(|v| v + 1024.0);
        check("padded, then shifted", &shifted, IntensityKind::HuPlus1024);
        // Resampling puts values between padding and air, where the negative of a CT has its bone.
        let mut resampled = shifted.clone();
        for (i, v) in resampled.data_mut().iter_mut().enumerate().skip(1) {
            *v = (shifted.data()[i - 1] + shifted.data()[i]) / 2.0;
        }
        check("padded, shifted, resampled", &resampled, IntensityKind::HuPlus1024);
    }
}

#[test]
fn shifted_and_scaled_values_are_not_taken_for_hounsfield_units() {
    let ct = chest(60.0);
    check("12 bit, 1024 higher", &ct.map(|v| (v + 1024.0).clamp(0.0, 4095.0)), IntensityKind::HuPlus1024);
    // Lungs full of ground-glass are no sign of a negative.
    let dense = ct.map(|v| if (-930.0..-600.0).contains(&v) { v + 400.0 } else { v });
    check(
        "dense lungs, 1024 higher",
        &dense.map(|v| (v + 1024.0).clamp(0.0, 4095.0)),
        IntensityKind::HuPlus1024,
    );
    check("1000 higher", &ct.map(|v| (v + 1000.0).clamp(0.0, 4095.0)), IntensityKind::HuPlus1024);
    for (what, volume) in
        [("negatives", ct.map(|v| -v)), ("negatives, clipped", ct.map(|v| -v.clamp(-1024.0, 1500.0)))]
    {
        check(what, &volume, IntensityKind::Unknown);
        let found = detect_intensity(&volume);
        assert!(found.reasons.iter().any(|r| r.contains("sign exchanged")), "{what}: {found:?}");
    }
    check("0 to 1", &ct.map(|v| ((v + 1000.0) / 1500.0).clamp(0.0, 1.0)), IntensityKind::UnitRange);
    check("attenuation in 1/cm", &ct.map(|v| 0.19 * (1.0 + v / 1000.0)), IntensityKind::Unknown);
    check(
        "the same without noise below 0",
        &ct.map(|v| (0.19 * (1.0 + v / 1000.0)).max(0.0)),
        IntensityKind::Unknown,
    );
    check(
        "the same with metal",
        &ct.map(|v| if v > 600.0 { 3.0 } else { 0.19 * (1.0 + v / 1000.0) }),
        IntensityKind::Unknown,
    );
    check("8-bit grey, dimmed", &ct.map(|v| 0.4 * window(-1350.0, 150.0)(v)), IntensityKind::LungWindow8bit);
    check(
        "0 to 1, dimmed",
        &ct.map(|v| 0.8 * ((v + 1000.0) / 1500.0).clamp(0.0, 1.0)),
        IntensityKind::UnitRange,
    );
    check("lung window", &ct.map(window(-1350.0, 150.0)), IntensityKind::LungWindow8bit);
    check("another lung window", &ct.map(window(-1000.0, 400.0)), IntensityKind::LungWindow8bit);
    check("the widest lung window", &ct.map(window(-1400.0, 600.0)), IntensityKind::LungWindow8bit);
    for (low, high) in [(-1024.0, 3071.0), (-3024.0, 3071.0), (-1024.0, 1500.0), (-1000.0, 1000.0)] {
        let what = format!("8-bit grey from {low} to {high}");
        // Bone that is denser than that of the other tests.
        let grey = ct.map(|v| if v > 650.0 { 1100.0 } else { v }).map(window(low, high));
        check(&what, &grey, IntensityKind::Unknown);
        let found = detect_intensity(&grey);
        let told = |words: &str| found.reasons.iter().any(|r| r.contains(words));
        assert!(told("tissue around the lungs at") && told("right would be HU"), "{what}: {found:?}");
        check(&what, &grey.map(|v| (v * 0.99).floor()), IntensityKind::Unknown);
    }
    check("soft-tissue window", &ct.map(window(-160.0, 240.0)), IntensityKind::Unknown);
    check("standardised", &ct.map(|v| (v + 400.0) / 450.0), IntensityKind::Unknown);
    check("-1 to 1", &ct.map(|v| ((v + 600.0) / 750.0).clamp(-1.0, 1.0)), IntensityKind::Unknown);
    check("signed bytes", &ct.map(|v| window(-1350.0, 150.0)(v) - 128.0), IntensityKind::Unknown);
    check("16 bit stretched", &ct.map(|v| (v + 1100.0) * 30.0), IntensityKind::Unknown);
    check("shifted by 32768", &ct.map(|v| v + 32768.0), IntensityKind::Unknown);
}

#[test]
fn a_label_map_is_no_ct() {
    check("mask", &chest(0.0).map(|v| f32::from(v < -500.0)), IntensityKind::Unknown);
    check("nothing", &Volume::filled(SHAPE, 0.0), IntensityKind::Unknown);
    check("labels", &chest(60.0).map(|v| (v / 200.0).round() + 6.0), IntensityKind::Unknown);
}

/// Plain CLAHE: tiles, clipped histograms, linear interpolation between the tiles' maps. (The bit-exact one belongs
/// to another crate; this one only has to leave the same traces.)
fn clahe(slice: &[f32], n: usize, clip: f32) -> Vec<f32> {
    const TILES: usize = 8;
    let side = n / TILES;
    let limit = (clip * (side * side) as f32 / 256.0).max(1.0);
    let mut maps = vec![[0f32; 256]; TILES * TILES];
    for (t, map) in maps.iter_mut().enumerate() {
        let (ty, tx) = (t / TILES * side, t % TILES * side);
        let mut counts = [0f32; 256];
        for y in ty..ty + side {
            for x in tx..tx + side {
                counts[slice[y * n + x] as usize] += 1.0;
            }
        }
        let excess: f32 = counts.iter().map(|c| (c - limit).max(0.0)).sum();
        let mut sum = 0.0;
        for (c, m) in counts.iter().zip(map.iter_mut()) {
            sum += c.min(limit) + excess / 256.0;
            *m = sum * 255.0 / (side * side) as f32;
        }
    }
    let at = |p: usize| {
        let t = (p as f32 + 0.5) / side as f32 - 0.5;
        let low = t.floor().clamp(0.0, TILES as f32 - 1.0) as usize;
        (low, (low + 1).min(TILES - 1), (t - low as f32).clamp(0.0, 1.0))
    };
    (0..n * n)
        .map(|i| {
            let ((y0, y1, fy), (x0, x1, fx)) = (at(i / n), at(i % n));
            let v = |y: usize, x: usize| maps[y * TILES + x][slice[i] as usize];
            let (top, bottom) =
                (v(y0, x0) * (1.0 - fx) + v(y0, x1) * fx, v(y1, x0) * (1.0 - fx) + v(y1, x1) * fx);
            (top * (1.0 - fy) + bottom * fy).round().clamp(0.0, 255.0)
        })
        .collect()
}

#[test]
fn clahe_is_recognised() {
    for (low, high) in [(-1100.0, 900.0), (-1350.0, 400.0)] {
        let grey = chest(120.0).map(window(low, high));
        let equalised: Vec<f32> = (0..SHAPE[0]).flat_map(|z| clahe(grey.slice(z), SHAPE[1], 7.0)).collect();
        check("CLAHE", &Volume::from_vec(SHAPE, equalised).unwrap(), IntensityKind::Contrast8bit);
    }
}
