//! There and back: what `prepare` cuts, turns and pads, `restore` puts where it came from.

use crate::restore;
use gg_imaging::*;
use gg_volume::*;

/// All ways in which three array axes can lie along the body.
fn orientations() -> Vec<Orientation> {
    let pairs = [['L', 'R'], ['P', 'A'], ['S', 'I']];
    let mut all = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for signs in 0..8usize {
            all.push(Orientation(std::array::from_fn(|i| pairs[order[i]][(signs >> i) & 1])));
        }
    }
    all
}

/// Labels 0..=3 in no order.
fn labels(shape: [usize; 3]) -> LabelVolume {
    let mut state = 12345u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 & 3
    };
    LabelVolume::from_vec(shape, (0..shape.iter().product()).map(|_| next()).collect()).unwrap()
}

fn ct(voxels: Volume<f32>, kind: IntensityKind) -> CtVolume {
    let grid = Grid::unknown(voxels.shape(), "made by a test");
    CtVolume { voxels, grid, intensity: Intensity::stated(kind) }
}

/// A body with two lungs that narrow upwards, in HU; z, y, x.
fn chest(shape: [usize; 3]) -> CtVolume {
    let [nz, ny, nx] = shape;
    let inside =
        |y: f64, x: f64, cx: f64, ry: f64, rx: f64| ((y - 0.5) / ry).powi(2) + ((x - cx) / rx).powi(2) <= 1.0;
    let value = |i: usize| {
        let (z, y, x) = (i / (ny * nx), i / nx % ny, i % nx);
        let (y, x) = ((y as f64 + 0.5) / ny as f64, (x as f64 + 0.5) / nx as f64);
        let narrow = 1.0 - 0.4 * z as f64 / nz as f64;
        let lung = [0.3, 0.7].iter().any(|&cx| inside(y, x, cx, 0.27 * narrow, 0.13 * narrow));
        let tissue = if lung { -850.0 } else { 40.0 };
        (if inside(y, x, 0.5, 0.4, 0.46) { tissue } else { -1000.0 }) + (i * 31 % 17) as f32
    };
    ct(Volume::from_vec(shape, (0..nz * ny * nx).map(value).collect()).unwrap(), IntensityKind::Hu)
}

fn way(z: usize, canonical: [usize; 2], quarter_turns: u8, crop: Rect) -> SliceWay {
    SliceWay { z, canonical, quarter_turns, crop, size: crop.h, roi_found: true }
}

#[test]
fn crop_flip_turn_and_padding_invert_to_the_voxel_in_every_orientation() {
    let stored = [5, 6, 7];
    let truth = labels(stored);
    let crops = [
        Rect { y: 0, x: 0, h: 7, w: 7 },
        Rect { y: -2, x: -1, h: 10, w: 10 },
        Rect { y: 1, x: 2, h: 3, w: 3 },
        Rect { y: 3, x: -3, h: 6, w: 6 },
    ];
    for orientation in orientations() {
        let map = AxisMap::from_orientation(orientation);
        let [n, h, w] = map.canonical_shape(stored);
        for (turns, crop) in (0..4u8).flat_map(|t| crops.map(|c| (t, c))) {
            let ways: Vec<SliceWay> = (0..n).map(|z| way(z, [h, w], turns, crop)).collect();
            let back = restore(&prepare_labels(&truth, &map, &ways), &ways, &map, stored);
            // The same crop, voxel by voxel, without any of our code.
            let inside = |y: usize, x: usize| {
                let (ty, tx) = match turns {
                    0 => (y, x),
                    1 => (w - 1 - x, y),
                    2 => (h - 1 - y, w - 1 - x),
                    _ => (x, h - 1 - y),
                };
                (crop.y..crop.y + crop.h as i64).contains(&(ty as i64))
                    && (crop.x..crop.x + crop.w as i64).contains(&(tx as i64))
            };
            for (z, y, x) in (0..n).flat_map(|z| (0..h).flat_map(move |y| (0..w).map(move |x| (z, y, x)))) {
                let [sz, sy, sx] = map.stored_index(stored, [z, y, x]);
                let expected = if inside(y, x) { truth.at(sz, sy, sx) } else { 0 };
                assert_eq!(
                    back.at(sz, sy, sx),
                    expected,
                    "{orientation} turn {turns} {crop:?} at {z} {y} {x}"
                );
            }
        }
    }
}

#[test]
fn every_voxel_comes_back_in_every_orientation_with_and_without_padding() {
    let stored = [5, 6, 7];
    let truth = labels(stored);
    let image = ct(truth.map(f32::from), IntensityKind::LungWindow8bit);
    for orientation in orientations() {
        let map = AxisMap::from_orientation(orientation);
        let [_, h, w] = map.canonical_shape(stored);
        // Padded, the picture has the slice's scale; not padded, each axis is stretched by a whole number.
        for (keep_aspect, size) in [(true, h.max(w)), (false, h * w)] {
            for rotate_quarter_turns in 0..4 {
                let config = PrepareConfig {
                    size,
                    keep_aspect,
                    rotate_quarter_turns,
                    clahe_clip: None,
                    roi: RoiConfig { mode: RoiMode::None, ..RoiConfig::default() },
                    ..PrepareConfig::default()
                };
                let prepared = prepare(&image, &map, &config).value;
                let slices = prepare_labels(&truth, &map, &prepared.ways);
                if keep_aspect {
                    assert_eq!(slices, prepared.images, "{orientation} turn {rotate_quarter_turns}");
                }
                let back = restore(&slices, &prepared.ways, &map, stored);
                assert_eq!(back, truth, "{orientation} turn {rotate_quarter_turns} padded {keep_aspect}");
            }
        }
    }
}

#[test]
fn every_voxel_of_oblong_pixels_comes_back_however_they_are_turned() {
    let stored = [3, 4, 8];
    let truth = labels(stored);
    let mut image = ct(truth.map(f32::from), IntensityKind::LungWindow8bit);
    let crops = |image: &CtVolume, rotate_quarter_turns| {
        let roi = RoiConfig { mode: RoiMode::None, ..RoiConfig::default() };
        let config = PrepareConfig {
            size: 16,
            clahe_clip: None,
            roi,
            rotate_quarter_turns,
            ..PrepareConfig::default()
        };
        prepare(image, &AxisMap::IDENTITY, &config).value.ways
    };
    // The slice is 8 x 8 mm: nothing is padded, each axis is stretched by a whole number.
    image.grid.trust = SpacingTrust::Trusted;
    image.grid.spacing_mm = Some([5.0, 2.0, 1.0]);
    for turns in 0..4 {
        let ways = crops(&image, turns);
        let (h, w) = if turns % 2 == 1 { (8, 4) } else { (4, 8) };
        assert_eq!(ways[0].crop, Rect { y: 0, x: 0, h, w }, "{turns} turns");
        let back =
            restore(&prepare_labels(&truth, &AxisMap::IDENTITY, &ways), &ways, &AxisMap::IDENTITY, stored);
        assert_eq!(back, truth, "{turns} turns");
    }
    // Beyond belief, or not to be trusted: square pixels.
    let square = Rect { y: -2, x: 0, h: 8, w: 8 };
    image.grid.spacing_mm = Some([5.0, 17.0, 1.0]);
    assert_eq!(crops(&image, 0)[0].crop, square);
    image.grid.spacing_mm = Some([5.0, 2.0, 1.0]);
    image.grid.trust = SpacingTrust::Untrusted("made by a test".into());
    assert_eq!(crops(&image, 0)[0].crop, square);
}

#[test]
fn several_sizes_at_once_are_those_made_one_by_one() {
    let shape = [6, 40, 50];
    let values = (0..shape.iter().product()).map(|i: usize| ((i * 7919) % 251) as f32).collect();
    let image = ct(Volume::from_vec(shape, values).unwrap(), IntensityKind::LungWindow8bit);
    for (mode, rotate_quarter_turns) in [RoiMode::None, RoiMode::Slice, RoiMode::Volume].map(|m| (m, 1)) {
        let roi = RoiConfig { mode, ..RoiConfig::default() };
        let config = PrepareConfig { roi, rotate_quarter_turns, ..PrepareConfig::default() };
        let sizes = [16, 64, 33];
        let found = gg_imaging::prepare_sizes(&image, &AxisMap::IDENTITY, &config, &sizes);
        for (prepared, size) in found.value.into_iter().zip(sizes) {
            let alone = prepare(&image, &AxisMap::IDENTITY, &PrepareConfig { size, ..config.clone() });
            assert_eq!((prepared, &found.warnings), (alone.value, &alone.warnings), "{mode:?}, {size}");
        }
    }
}

#[test]
fn at_identity_scale_bytes_are_equal() {
    let truth = labels([3, 16, 16]);
    let image = ct(truth.map(f32::from), IntensityKind::LungWindow8bit);
    let config = PrepareConfig {
        size: 16,
        clahe_clip: None,
        roi: RoiConfig { mode: RoiMode::None, ..RoiConfig::default() },
        ..PrepareConfig::default()
    };
    let prepared = prepare(&image, &AxisMap::IDENTITY, &config).value;
    assert_eq!(prepared.images.concat(), truth.data());
    let slices = prepare_labels(&truth, &AxisMap::IDENTITY, &prepared.ways);
    assert_eq!(slices.concat(), truth.data());
    assert_eq!(restore(&slices, &prepared.ways, &AxisMap::IDENTITY, [3, 16, 16]), truth);
}

#[test]
fn other_scales_keep_labels_and_make_no_new_ones() {
    let mut truth = LabelVolume::filled([4, 60, 44], 0);
    for (i, v) in truth.data_mut().iter_mut().enumerate() {
        let (y, x) = (i / 44 % 60, i % 44);
        *v = if (10..40).contains(&y) && (5..20).contains(&x) { 1 } else { 0 };
        *v = if (15..50).contains(&y) && (24..40).contains(&x) { 7 } else { *v };
    }
    for size in [24, 32, 50, 77, 128] {
        let ways: Vec<SliceWay> = (0..4)
            .map(|z| SliceWay { size, ..way(z, [60, 44], 1, Rect { y: 2, x: 3, h: 41, w: 55 }) })
            .collect();
        let back = restore(
            &prepare_labels(&truth, &AxisMap::IDENTITY, &ways),
            &ways,
            &AxisMap::IDENTITY,
            [4, 60, 44],
        );
        assert!(back.data().iter().all(|v| [0, 1, 7].contains(v)));
        let equal = truth.data().iter().zip(back.data()).filter(|(a, b)| a == b).count();
        assert!(equal as f64 > 0.96 * truth.len() as f64, "{size}: {equal} of {}", truth.len());
    }
}

#[test]
fn one_thread_and_two_give_the_same_bytes() {
    let image = chest([12, 90, 110]);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            [PrepareConfig::default(), PrepareConfig::paper()].map(|config| {
                let prepared = prepare(&image, &AxisMap::IDENTITY, &config).value;
                let lungs: Vec<Vec<u8>> =
                    prepared.images.iter().map(|s| s.iter().map(|&v| u8::from(v < 100)).collect()).collect();
                let mask = restore(&lungs, &prepared.ways, &AxisMap::IDENTITY, [12, 90, 110]);
                let sides = split_lungs(mask.clone(), &AxisMap::IDENTITY);
                let distances = distance_edt(&mask, [2.0, 0.7, 0.7]);
                (prepared, mask, sides, distances)
            })
        })
    };
    assert_eq!(run(1), run(2));
}

#[test]
fn ways_and_steps_are_those_of_prepare_in_every_mode() {
    let image = chest([10, 80, 100]);
    for mode in [RoiMode::None, RoiMode::Slice, RoiMode::Volume] {
        let roi = RoiConfig { mode, ..RoiConfig::default() };
        let config = PrepareConfig { size: 64, roi, trim_fraction: 0.2, ..PrepareConfig::default() };
        let prepared = prepare(&image, &AxisMap::IDENTITY, &config);
        assert_eq!(prepared.value.ways.iter().map(|w| w.z).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
        assert_eq!(prepared.value.dropped.iter().map(|d| d.0).collect::<Vec<_>>(), [0, 1, 8, 9]);
        assert_eq!(prepared.value.images.len(), 6);
        let steps = prepare_steps(&image, &AxisMap::IDENTITY, &config, 4);
        if mode != RoiMode::Volume {
            assert_eq!(steps.way, prepared.value.ways[2], "{mode:?}");
        }
        assert_eq!(steps.picture("prepared").unwrap().pixels.len(), 64 * 64);
        assert!(steps.pictures.iter().all(|p| p.pixels.len() == p.height * p.width));
    }
}

#[test]
fn the_lung_box_goes_with_the_patient_however_the_array_is_stored() {
    let image = chest([8, 70, 100]);
    let config = PrepareConfig { size: 64, ..PrepareConfig::default() };
    let expected = prepare(&image, &AxisMap::IDENTITY, &config).value;
    for orientation in orientations() {
        let map = AxisMap::from_orientation(orientation);
        let mut shape = [0; 3];
        (0..3).for_each(|c| shape[map.axis[c]] = [8, 70, 100][c]);
        let mut stored = Volume::filled(shape, 0.0f32);
        (0..8).for_each(|z| map.write_slice(&mut stored, z, image.voxels.slice(z)));
        assert_eq!(prepare(&ct(stored, IntensityKind::Hu), &map, &config).value, expected, "{orientation}");
    }
}

#[test]
fn grey_follows_what_the_values_mean() {
    let hu = chest([3, 40, 50]);
    let plain = PrepareConfig {
        size: 50,
        clahe_clip: None,
        roi: RoiConfig { mode: RoiMode::None, ..RoiConfig::default() },
        ..PrepareConfig::default()
    };
    let grey = |image: &CtVolume, config: &PrepareConfig| prepare(image, &AxisMap::IDENTITY, config);
    let expected = grey(&hu, &plain);
    assert!(expected.warnings.is_empty());
    let shifted = ct(hu.voxels.map(|v| v + 1024.0), IntensityKind::HuPlus1024);
    assert_eq!(grey(&shifted, &plain), expected);
    let unit = ct(hu.voxels.map(|v| (v + 1350.0) / 1500.0), IntensityKind::UnitRange);
    let found = grey(&unit, &plain);
    let off = found
        .value
        .images
        .concat()
        .iter()
        .zip(expected.value.images.concat())
        .map(|(a, b)| a.abs_diff(b))
        .max();
    assert!(off <= Some(1), "{off:?}");
    assert_eq!(found.warnings[0].code, "not_hu");
    let unknown = grey(&ct(hu.voxels.map(|v| v * 3.0 + 9.0), IntensityKind::Unknown), &plain);
    assert_eq!(unknown.warnings[0].code, "not_hu");
    // The picture went through CLAHE already: no second one.
    let with_clahe = PrepareConfig { clahe_clip: Some(3.0), ..plain.clone() };
    let contrast = ct(hu.voxels.map(|v| (v / 6.0 + 200.0).round()), IntensityKind::Contrast8bit);
    assert_eq!(grey(&contrast, &plain).value.images, grey(&contrast, &with_clahe).value.images);
    assert_ne!(grey(&hu, &plain).value.images, grey(&hu, &with_clahe).value.images);
}

#[test]
fn where_no_lung_is_found_the_whole_slice_is_used_and_said_so() {
    let flat = ct(Volume::filled([2, 30, 20], -1000.0), IntensityKind::Hu);
    for config in [PrepareConfig::default(), PrepareConfig::paper()] {
        let found = prepare(&flat, &AxisMap::IDENTITY, &config);
        assert!(found.value.ways.iter().all(|w| !w.roi_found));
        assert!(found.warnings.iter().any(|w| w.code == "roi_not_found"), "{:?}", found.warnings);
        let expected =
            if config.keep_aspect { Rect { y: 0, x: -5, h: 30, w: 30 } } else { Rect::whole(30, 20) };
        assert_eq!(found.value.ways[0].crop, expected);
    }
}

#[test]
fn padding_is_air_and_single_slices_do() {
    let image = chest([1, 40, 80]);
    let config = PrepareConfig { size: 80, trim_fraction: 0.2, ..PrepareConfig::default() };
    let whole =
        PrepareConfig { roi: RoiConfig { mode: RoiMode::None, ..RoiConfig::default() }, ..config.clone() };
    let prepared = prepare(&image, &AxisMap::IDENTITY, &whole).value;
    assert_eq!(prepared.images.len(), 1);
    assert!(prepared.images[0][..20 * 80].iter().chain(&prepared.images[0][60 * 80..]).all(|&v| v == 0));
    assert!(prepare(&image, &AxisMap::IDENTITY, &config).value.ways[0].roi_found);
}

#[test]
fn probabilities_come_back_to_where_they_were() {
    let way = SliceWay { size: 8, ..way(0, [6, 9], 1, Rect { y: 1, x: -1, h: 4, w: 4 }) };
    let back = restore_probabilities_slice(&[0.75; 64], &way);
    assert_eq!(back.len(), 54);
    assert_eq!(back.iter().filter(|&&p| p == 0.75).count(), 12);
    assert_eq!(back.iter().filter(|&&p| p == 0.0).count(), 42);
}

#[test]
fn oblong_pixels_of_known_spacing_show_the_same_body() {
    let config = PrepareConfig { size: 32, clahe_clip: None, ..PrepareConfig::default() };
    let pictures = |shape: [usize; 3], spacing: Option<[f64; 3]>| {
        let mut ct = chest(shape);
        if let Some(mm) = spacing {
            ct.grid.spacing_mm = Some(mm);
            ct.grid.trust = SpacingTrust::Trusted;
        }
        prepare(&ct, &AxisMap::IDENTITY, &config).value.images
    };
    let apart = |a: &[Vec<u8>], b: &[Vec<u8>]| {
        let pairs = a.iter().flatten().zip(b.iter().flatten());
        let n = a.iter().map(Vec::len).sum::<usize>() as f64;
        pairs.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / n
    };
    let square = pictures([4, 192, 192], Some([1.0, 1.0, 1.0]));
    let low = pictures([4, 96, 192], Some([1.0, 2.0, 1.0]));
    let narrow = pictures([4, 192, 96], Some([1.0, 1.0, 2.0]));
    let unknown = pictures([4, 96, 192], None);
    let found = [&low, &narrow, &unknown].map(|other| apart(&square, other));
    // The box of the lungs is found in pixels, so that it is rougher where they are wide.
    assert!(found[0] < 5.0 && found[1] < 20.0 && found[2] > 60.0, "{found:?}");
}
