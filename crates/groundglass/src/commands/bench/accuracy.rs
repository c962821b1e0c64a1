//! How far a 3x3 convolution over many channels is from one in double precision, directly and by Winograd.

use super::kernels::noise;
use gg_kernels::{
    After, Buffer, ConvPlan, Dest, Isa, Precision, Shape, Source, WinogradWeights, forward, forward_winograd,
    from_blocked, to_blocked,
};
use serde::{Deserialize, Serialize};

/// Channels that are summed, and results; a multiple of any instruction set's lanes.
pub(super) const CHANNELS: usize = 256;
const OUTPUTS: usize = 16;
const SIDE: usize = 32;

/// Errors of one way to compute.
#[derive(Serialize, Deserialize)]
pub(super) struct Accuracy {
    pub(super) precision: String,
    /// `direct` or `winograd`.
    pub(super) way: String,
    /// The largest error, over the largest result.
    pub(super) largest: f64,
    /// The root mean square of the errors, over that of the results.
    pub(super) root_mean_square: f64,
}

/// Both ways, inputs and weights being random numbers around 0.
pub(super) fn measure(isa: Isa, precision: Precision) -> Vec<Accuracy> {
    let plan = ConvPlan::new(3, &[CHANNELS], OUTPUTS);
    let (x, weights) = (noise(CHANNELS * SIDE * SIDE), noise(OUTPUTS * CHANNELS * 9));
    let right = in_double(&x, &weights);
    let (shape, result) = (Shape::new(1, CHANNELS, SIDE, SIDE), Shape::new(1, OUTPUTS, SIDE, SIDE));
    let mut blocked = Buffer::zeros(shape.blocked_len(isa));
    to_blocked(isa, &x, shape, &mut blocked);
    let mut packed = Buffer::zeros(plan.packed_len(isa));
    plan.pack(isa, &weights, &mut packed);
    let source = [Source::plain(&blocked, CHANNELS)];
    ["direct", "winograd"]
        .into_iter()
        .map(|way| {
            let mut y = Buffer::zeros(result.blocked_len(isa));
            let (grid, dest) = ((1, SIDE, SIDE), &mut [Dest { data: &mut y, channels: OUTPUTS }]);
            if way == "winograd" {
                let weights = WinogradWeights::Packed(&packed);
                forward_winograd(isa, &plan, precision, grid, &source, weights, dest, After::NONE, None);
            } else {
                let mut words = Buffer::zeros(packed.len() / 2);
                let weights = if precision == Precision::Bf16 {
                    plan.pack_bf16(isa, &packed, &mut words);
                    &words
                } else {
                    &packed
                };
                forward(isa, &plan, precision, grid, &source, weights, dest, After::NONE, None);
            }
            let mut found = vec![0.0; right.len()];
            from_blocked(isa, &y, result, &mut found);
            let (largest, root_mean_square) = errors(&found, &right);
            Accuracy {
                precision: precision.name().to_owned(),
                way: way.to_owned(),
                largest,
                root_mean_square,
            }
        })
        .collect()
}

/// The largest error over the largest result, and the same of the roots of the mean squares.
fn errors(found: &[f32], right: &[f64]) -> (f64, f64) {
    let (mut largest, mut size, mut squares, mut all) = (0.0f64, 0.0f64, 0.0, 0.0);
    for (f, r) in found.iter().zip(right) {
        let error = f64::from(*f) - r;
        largest = largest.max(error.abs());
        size = size.max(r.abs());
        squares += error * error;
        all += r * r;
    }
    (largest / size, (squares / all).sqrt())
}

/// The convolution in double precision, zeros around the image.
fn in_double(x: &[f32], weights: &[f32]) -> Vec<f64> {
    let pixels = SIDE * SIDE;
    let mut y = vec![0.0f64; OUTPUTS * pixels];
    for (o, y) in y.chunks_exact_mut(pixels).enumerate() {
        for (i, x) in x.chunks_exact(pixels).enumerate() {
            let taps = &weights[(o * CHANNELS + i) * 9..][..9];
            for (at, y) in y.iter_mut().enumerate() {
                let (row, column) = (at / SIDE, at % SIDE);
                for (tap, w) in taps.iter().enumerate() {
                    let (r, c) = (row + tap / 3, column + tap % 3);
                    if (1..=SIDE).contains(&r) && (1..=SIDE).contains(&c) {
                        *y += f64::from(*w) * f64::from(x[(r - 1) * SIDE + c - 1]);
                    }
                }
            }
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn winograd_errs_a_few_times_as_much_as_the_direct_sum_at_most() {
        for isa in Isa::available() {
            let found = measure(isa, Precision::Fp32);
            assert!(found.iter().all(|a| a.largest > 0.0 && a.largest < 4e-6), "{isa}");
            assert!(found[1].root_mean_square < 3.0 * found[0].root_mean_square, "{isa}");
        }
    }

    #[test]
    fn errors_are_shares_of_the_results() {
        assert_eq!(errors(&[1.0, 3.0], &[1.0, 4.0]), (0.25, (1.0f64 / 17.0).sqrt()));
    }
}
