//! What a training step computes beside its network: the loss.

use divan::{Bencher, black_box};
use gg_nn::Loss;

/// Values of a batch of 8 images of 128 x 128.
const VALUES: usize = 8 * 128 * 128;

fn main() {
    divan::main();
}

#[divan::bench]
fn bce_and_dice(bencher: Bencher) {
    let loss = Loss::BceDice { bce: 1.0, dice: 1.0, smooth: 1.0 };
    let z: Vec<f32> = (0..VALUES).map(|i| (i * 37 % 256) as f32 / 32.0 - 4.0).collect();
    let y: Vec<f32> = z.iter().map(|z| f32::from(u8::from(*z > 1.0))).collect();
    bencher.bench_local(|| black_box(loss.value_and_slope(&z, &y, &[])));
}
