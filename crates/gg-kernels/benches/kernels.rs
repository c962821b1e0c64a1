//! The kernels one by one, on the sizes of the U-Net's middle levels. Shares of the processor's peak, for every layer:
//! `groundglass bench`.
#![allow(clippy::unwrap_used)] // a bench that cannot be set up must fail loudly

use divan::{Bencher, black_box};
use gg_kernels::*;

/// Images, channels and side of a middle level.
const BATCH: usize = 8;
const CHANNELS: usize = 64;
const SIDE: usize = 64;
const GRID: (usize, usize, usize) = (BATCH, SIDE, SIDE);

fn main() {
    divan::main();
}

fn noise(len: usize) -> Buffer {
    let mut buffer = Buffer::zeros(len);
    for (i, v) in buffer.iter_mut().enumerate() {
        *v = ((i * 37 + 11) % 256) as f32 / 256.0 - 0.5;
    }
    buffer
}

fn tensor(isa: Isa) -> Buffer {
    noise(Shape::new(BATCH, CHANNELS, SIDE, SIDE).blocked_len(isa))
}

fn names() -> Vec<&'static str> {
    Isa::available().into_iter().map(Isa::name).collect()
}

#[divan::bench(args = names())]
fn conv_3x3_direct(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let plan = ConvPlan::new(3, &[CHANNELS], CHANNELS);
    let (x, mut y, weights) = (tensor(isa), tensor(isa), noise(plan.packed_len(isa)));
    bencher.bench_local(|| {
        let (source, dest) = (Source::plain(&x, CHANNELS), Dest { data: &mut y, channels: CHANNELS });
        forward(isa, &plan, Precision::Fp32, GRID, &[source], &weights, &mut [dest], After::NONE, None);
    });
}

#[divan::bench(args = names())]
fn conv_3x3_winograd(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let plan = ConvPlan::new(3, &[CHANNELS], CHANNELS);
    let (x, mut y) = (tensor(isa), tensor(isa));
    let weights = noise(plan.winograd_len(isa, Precision::Fp32));
    bencher.bench_local(|| {
        let (source, dest) = (Source::plain(&x, CHANNELS), Dest { data: &mut y, channels: CHANNELS });
        forward_winograd(
            isa,
            &plan,
            Precision::Fp32,
            GRID,
            &[source],
            WinogradWeights::Transformed(&weights),
            &mut [dest],
            After::NONE,
            None,
        );
    });
}

#[divan::bench(args = names())]
fn data_of_conv_3x3_winograd(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let plan = ConvPlan::new(3, &[CHANNELS], CHANNELS).backward();
    let (dy, z, mut dx, c) = (tensor(isa), tensor(isa), tensor(isa), noise(CHANNELS));
    let weights = noise(plan.winograd_len(isa, Precision::Fp32));
    let through_norm = Gradient { z: &z, scale: &c, shift: &c, slope: 0.0, a: &c, b: &c, c: &c, before: 1.0 };
    let source = Source { data: &dy, channels: CHANNELS, read: Read::Gradient(through_norm) };
    bencher.bench_local(|| {
        forward_winograd(
            isa,
            &plan,
            Precision::Fp32,
            GRID,
            &[source],
            WinogradWeights::Transformed(&weights),
            &mut [Dest { data: &mut dx, channels: CHANNELS }],
            After::NONE,
            None,
        );
    });
}

#[divan::bench(args = names())]
fn weights_of_conv_3x3_direct(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let plan = ConvPlan::new(3, &[CHANNELS], CHANNELS);
    let (x, dy) = (tensor(isa), tensor(isa));
    let (mut dw, mut scratch) = (noise(9 * CHANNELS * CHANNELS), Buffer::zeros(0));
    bencher.bench_local(|| {
        let (source, gradient) = ([Source::plain(&x, CHANNELS)], Source::plain(&dy, CHANNELS));
        backward_weights(isa, &plan, Precision::Fp32, GRID, &source, &gradient, &mut dw, &mut scratch);
    });
}

#[divan::bench(args = names())]
fn first_layer(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let plan = ConvPlan::of_plane(CHANNELS);
    let (x, mut y, weights) = (noise(BATCH * SIDE * SIDE), tensor(isa), noise(plan.packed_len(isa)));
    bencher.bench_local(|| {
        let dest = Dest { data: &mut y, channels: CHANNELS };
        let source = [Source::plane(&x)];
        forward(isa, &plan, Precision::Fp32, GRID, &source, &weights, &mut [dest], After::NONE, None);
    });
}

#[divan::bench(args = names())]
fn logits_and_back(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let (x, mut dx, weights) = (tensor(isa), tensor(isa), noise(CHANNELS));
    let mut y = noise(BATCH * SIDE * SIDE);
    bencher.bench_local(|| {
        let (source, grid) = (Source::plain(&x, CHANNELS), (BATCH, SIDE * SIDE));
        logits(isa, &source, grid, (&weights, 0.0), &mut y);
        black_box(logits_backward(isa, &source, grid, &weights, &y, &mut dx))
    });
}

#[divan::bench(args = names())]
fn conv_3x3_int8(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let (quant, shape) = (Quant::of_range(0.0, 1.0), ByteShape::new(BATCH, CHANNELS, SIDE, SIDE));
    let (weights, zeros) = (noise(9 * CHANNELS * CHANNELS), noise(CHANNELS));
    let after = After8 { bias: &zeros, relu: true, norm: None };
    let inputs = [(CHANNELS, quant)];
    let conv = Conv8::new(isa, Kind8::Same3x3, &inputs, CHANNELS, &weights, after, quant);
    let (x, mut y) = (vec![TOP / 2; shape.len()], vec![0; shape.len()]);
    bencher.bench_local(|| {
        convolve8(isa, &conv, GRID, &[Source8 { data: &x, channels: CHANNELS }], &mut y);
    });
}

#[divan::bench(args = names())]
fn weights_of_conv_3x3_winograd(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let plan = ConvPlan::new(3, &[CHANNELS], CHANNELS);
    let (x, dy) = (tensor(isa), tensor(isa));
    let (mut dw, mut scratch) = (noise(9 * CHANNELS * CHANNELS), Buffer::zeros(0));
    bencher.bench_local(|| {
        let (source, gradient) = (Source::plain(&x, CHANNELS), Source::plain(&dy, CHANNELS));
        backward_weights_winograd(isa, &plan, GRID, &[source], &gradient, &mut dw, &mut scratch);
    });
}

#[divan::bench(args = names())]
fn transposed_2x2(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let plan = ConvPlan::transposed(CHANNELS, CHANNELS / 2);
    let (x, weights) = (tensor(isa), noise(plan.packed_len(isa)));
    let mut y = noise(Shape::new(BATCH, CHANNELS / 2, 2 * SIDE, 2 * SIDE).blocked_len(isa));
    bencher.bench_local(|| {
        let (source, dest) = (Source::plain(&x, CHANNELS), Dest { data: &mut y, channels: CHANNELS / 2 });
        forward(isa, &plan, Precision::Fp32, GRID, &[source], &weights, &mut [dest], After::NONE, None);
    });
}

#[divan::bench(args = names())]
fn max_pool_2x2(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let (x, mut y) = (tensor(isa), tensor(isa));
    bencher.bench_local(|| max_pool(isa, &Source::plain(&x, CHANNELS), GRID, &mut y));
}

#[divan::bench(args = names())]
fn gradient_of_max_pool_2x2(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let (x, dy, mut dx) = (tensor(isa), tensor(isa), tensor(isa));
    bencher.bench_local(|| {
        let (source, gradient) = (Source::plain(&x, CHANNELS), Source::plain(&dy, CHANNELS));
        max_pool_backward(isa, &source, GRID, &gradient, &mut dx, false);
    });
}

#[divan::bench(args = names())]
fn sums_of_channels(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let x = tensor(isa);
    bencher.bench_local(|| black_box(channel_sums(isa, &Source::plain(&x, CHANNELS), BATCH, SIDE * SIDE)));
}

#[divan::bench(args = names())]
fn adam_of_a_million(bencher: Bencher, isa: &str) {
    let isa = Isa::force(isa).unwrap();
    let (mut w, mut m, mut v, g) = (noise(1 << 20), noise(1 << 20), noise(1 << 20), noise(1 << 20));
    v.iter_mut().for_each(|v| *v = v.abs());
    let step = AdamStep { rate: 1e-3, root: 0.3, betas: (0.9, 0.999), rests: (0.1, 0.001), eps: 1e-7 };
    bencher.bench_local(|| adam_step(isa, step, &mut w, &mut m, &mut v, &g));
}
