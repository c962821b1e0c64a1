//! The hot paths of the preparation, on slices and volumes of the usual sizes.
#![allow(clippy::unwrap_used)] // a bench that cannot be set up must fail loudly

use divan::{Bencher, black_box};
use gg_imaging::*;
use gg_volume::{AxisMap, CtVolume, Grid, Intensity, IntensityKind, LabelVolume, Volume};

fn main() {
    divan::main();
}

/// Two lungs in a body, with a texture.
fn chest(n: usize) -> Vec<u8> {
    let inside =
        |y: f64, x: f64, cx: f64, ry: f64, rx: f64| ((y - 0.5) / ry).powi(2) + ((x - cx) / rx).powi(2) <= 1.0;
    let pixel = |i: usize| {
        let (y, x) = ((i / n) as f64 / n as f64, (i % n) as f64 / n as f64);
        let lung = inside(y, x, 0.3, 0.27, 0.13) || inside(y, x, 0.7, 0.27, 0.13);
        (if inside(y, x, 0.5, 0.4, 0.46) && !lung { 180 } else { 40 })
            + (((i * 2_654_435_761) >> 13) & 31) as u8
    };
    (0..n * n).map(pixel).collect()
}

#[divan::bench(args = [256, 512])]
fn clahe_8_by_8(bencher: Bencher, n: usize) {
    let picture = chest(n);
    bencher.bench(|| clahe(black_box(&picture), n, n, 3.0, 8, 8));
}

#[divan::bench(args = [256, 512])]
fn lung_box_of_a_slice(bencher: Bencher, n: usize) {
    let picture = chest(n);
    bencher.bench(|| find_lung_box(black_box(&picture), n, n, &RoiConfig::default()));
}

#[divan::bench(args = [512, 350, 200])]
fn resize_to_256(bencher: Bencher, n: usize) {
    let picture = chest(n);
    bencher.bench(|| resize_u8(black_box(&picture), n, n, 256, 256));
}

#[divan::bench]
fn labels_from_256_to_400(bencher: Bencher) {
    let mask: Vec<u8> = chest(256).into_iter().map(|v| u8::from(v < 100)).collect();
    bencher.bench(|| resize_labels_majority_u8(black_box(&mask), 256, 256, 400, 400));
}

#[divan::bench]
fn distances_in_32_slices_of_256(bencher: Bencher) {
    let mask = lungs(32, 256);
    bencher.bench(|| distance_edt(black_box(&mask), [2.5, 0.7, 0.7]));
}

#[divan::bench]
fn split_lungs_in_32_slices_of_256(bencher: Bencher) {
    let mask = lungs(32, 256);
    bencher.bench(|| split_lungs(black_box(mask.clone()), &AxisMap::IDENTITY));
}

#[divan::bench(sample_count = 10)]
fn prepare_20_slices_of_512(bencher: Bencher) {
    let values: Vec<f32> = chest(512).iter().map(|&v| f32::from(v) * 5.0 - 1100.0).collect();
    let voxels = Volume::from_vec([20, 512, 512], values.repeat(20)).unwrap();
    let grid = Grid::unknown(voxels.shape(), "made by a bench");
    let ct = CtVolume { voxels, grid, intensity: Intensity::stated(IntensityKind::Hu) };
    bencher.bench(|| prepare(black_box(&ct), &AxisMap::IDENTITY, &PrepareConfig::default()));
}

fn lungs(slices: usize, n: usize) -> LabelVolume {
    let slice: Vec<u8> = chest(n).into_iter().map(|v| u8::from(v < 100)).collect();
    LabelVolume::from_vec([slices, n, n], slice.repeat(slices)).unwrap()
}
