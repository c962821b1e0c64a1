//! Each convolution of the U-Net by itself, forward and both backward passes, as a share of the multiply-add units' peak.
//!
//! What changes the layout of weights and gradients for the kernel counts as its time; tensors stay in the kernels'
//! layout through the whole network. By Winograd a 3x3 convolution makes a quarter of the multiplications that it is
//! counted with. Peak and kernel are measured in turns, and the best round of each is taken, so that a machine that is
//! busy for a moment harms neither alone.

use gg_kernels::{
    After, Buffer, ChannelSums, ConvPlan, Dest, Gradient, Isa, Precision, Read, Shape, Source,
    WinogradWeights, backward_weights, backward_weights_winograd, fma_peak, forward, forward_winograd,
    logits, logits_backward, padded,
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

pub(super) const FORWARD: &str = "forward";
pub(super) const DATA: &str = "backward_data";
pub(super) const WEIGHTS: &str = "backward_weights";

/// Behind the name of a layer that is computed that way.
const WINOGRAD: &str = ", Winograd";
/// Behind the name of a layer that reads and writes its tensors as they are, without the batch norm and the ReLU that
/// the network's layers read through and the sums that they make for the next batch norm.
const ALONE: &str = ", alone";

/// Images and side of the first level, as in a training step.
const BATCH: (usize, usize) = (8, 128);
const LEVELS: usize = 5;
/// At least so many rounds, and so long.
const ROUNDS: usize = 5;
/// Rounds behind a peak that is measured by itself.
const PEAK_ROUNDS: usize = 20;
const TIME: Duration = Duration::from_millis(300);

/// Speed of one kernel on one layer.
#[derive(Serialize, Deserialize)]
pub(super) struct KernelSpeed {
    pub(super) precision: String,
    pub(super) layer: String,
    pub(super) kernel: String,
    /// How often the network has this layer; 0 for a sum of layers.
    pub(super) times: usize,
    pub(super) gflop: f64,
    pub(super) ms: f64,
    pub(super) gflops: f64,
    pub(super) share_of_peak: f64,
}

/// One layer: how often the network has it, side of the grid that its kernel works on, and the convolution.
struct Layer {
    name: String,
    times: usize,
    side: usize,
    plan: ConvPlan,
}

/// The peak, and all kernels.
pub(super) fn measure(
    isa: Isa,
    precision: Precision,
    base: usize,
    threads: usize,
) -> (f64, Vec<KernelSpeed>) {
    let mut clock = Clock { isa, precision, threads, peak: peak(isa, precision, threads) };
    let mut speeds = Vec::new();
    for layer in layers(base) {
        measure_layer(&mut clock, &layer, &mut speeds);
    }
    measure_logits(&mut clock, base, &mut speeds);
    add_totals(&mut speeds);
    // The shares against one peak: the best that was seen.
    for speed in &mut speeds {
        speed.share_of_peak = speed.gflops / clock.peak;
    }
    (clock.peak, speeds)
}

/// GFLOP/s of the multiply-add units, the best of some rounds.
pub(super) fn peak(isa: Isa, precision: Precision, threads: usize) -> f64 {
    fma_peak(isa, precision, threads, PEAK_ROUNDS)
}

/// All 3x3 layers of the network but the first as one, directly, and by Winograd wherever a layer goes that way.
fn add_totals(speeds: &mut Vec<KernelSpeed>) {
    let mut totals = Vec::new();
    for winograd in [false, true] {
        for kernel in [FORWARD, DATA, WEIGHTS] {
            let of_network = |s: &&KernelSpeed| s.layer.starts_with("3x3") && !s.layer.ends_with(ALONE);
            let layers: Vec<_> = speeds.iter().filter(of_network).filter(|s| s.kernel == kernel).collect();
            let by_winograd = |s: &KernelSpeed| s.layer.ends_with(WINOGRAD);
            if layers.is_empty() || winograd && !layers.iter().any(|s| by_winograd(s)) {
                continue;
            }
            let used = layers.iter().filter(|s| {
                let other = format!("{}{WINOGRAD}", s.layer);
                by_winograd(s) == (winograd && (by_winograd(s) || layers.iter().any(|o| o.layer == other)))
            });
            let (gflop, ms) = used.fold((0.0, 0.0), |(gflop, ms), s| {
                (gflop + s.times as f64 * s.gflop, ms + s.times as f64 * s.ms)
            });
            totals.push(total(layers[0], kernel, if winograd { WINOGRAD } else { "" }, gflop, ms));
        }
    }
    totals.extend(total_alone(speeds));
    speeds.extend(totals);
}

/// All 3x3 layers but the first, each alone.
fn total_alone(speeds: &[KernelSpeed]) -> Vec<KernelSpeed> {
    let of = |kernel: &&str| {
        let layers = speeds.iter().filter(|s| s.layer.ends_with(ALONE) && s.kernel == **kernel);
        let (gflop, ms) = layers.clone().fold((0.0, 0.0), |(gflop, ms), s| {
            (gflop + s.times as f64 * s.gflop, ms + s.times as f64 * s.ms)
        });
        layers.clone().next().map(|first| total(first, kernel, ALONE, gflop, ms))
    };
    [FORWARD, DATA, WEIGHTS].iter().filter_map(of).collect()
}

fn total(one: &KernelSpeed, kernel: &str, way: &str, gflop: f64, ms: f64) -> KernelSpeed {
    KernelSpeed {
        precision: one.precision.clone(),
        layer: format!("all 3x3 layers but the first{way}"),
        kernel: kernel.to_owned(),
        times: 0,
        gflop,
        ms,
        gflops: 1e3 * gflop / ms,
        share_of_peak: 0.0,
    }
}

/// All shapes of layers that the network has.
fn layers(base: usize) -> Vec<Layer> {
    let mut layers = Vec::new();
    for level in 0..LEVELS {
        let (c, side) = (base << level, BATCH.1 >> level);
        let mut add = |what: &str, times: usize, ins: &[usize], plan: ConvPlan, side: usize| {
            let ins: Vec<String> = ins.iter().map(ToString::to_string).collect();
            let outs: usize = plan.outputs.iter().sum();
            layers.push(Layer {
                name: format!("{what}, {side} x {side}, {} to {outs}", ins.join(" + ")),
                times,
                side,
                plan,
            });
        };
        if level == 0 {
            add("first 3x3", 1, &[1], ConvPlan::of_plane(c), side);
        } else {
            add("3x3", 1, &[c / 2], ConvPlan::new(3, &[c / 2], c), side);
        }
        // The encoder and, above the deepest level, the decoder.
        add("3x3", if level + 1 < LEVELS { 2 } else { 1 }, &[c], ConvPlan::new(3, &[c], c), side);
        if level + 1 < LEVELS {
            add("3x3", 1, &[c, c], ConvPlan::new(3, &[c, c], c), side);
            add("2x2 up", 1, &[2 * c], ConvPlan::transposed(2 * c, c), side / 2);
        }
    }
    layers
}

struct Clock {
    isa: Isa,
    precision: Precision,
    threads: usize,
    peak: f64,
}

impl Clock {
    /// Seconds of the best round, the peak being measured between rounds.
    fn best(&mut self, mut f: impl FnMut()) -> f64 {
        let (mut best, mut rounds, start) = (f64::MAX, 0, Instant::now());
        while rounds < ROUNDS || start.elapsed() < TIME {
            let round = Instant::now();
            f();
            best = best.min(round.elapsed().as_secs_f64());
            self.peak = self.peak.max(fma_peak(self.isa, self.precision, self.threads, 1));
            rounds += 1;
        }
        best
    }
}

fn measure_layer(clock: &mut Clock, layer: &Layer, speeds: &mut Vec<KernelSpeed>) {
    let (isa, precision) = (clock.isa, clock.precision);
    let plan = &layer.plan;
    let (n, side) = (BATCH.0, layer.side);
    let (ins, out) = (&plan.inputs, plan.outputs[0]);
    let fine = if plan.output_grid == gg_kernels::Sampling::Double { 2 } else { 1 };
    let len = |c: usize, side: usize| Shape::new(n, c, side, side).blocked_len(isa);
    let grid = (n, side, side);
    let taps = plan.kernel * plan.kernel * fine * fine;
    let gflop = (2 * taps * n * side * side * out * ins.iter().sum::<usize>()) as f64 / 1e9;

    let widest = ins.iter().copied().max().unwrap_or(0).max(out).next_multiple_of(isa.lanes());
    let (scale, shift) = (noise(widest), noise(widest));
    let data: Vec<Buffer> =
        ins.iter().map(|&c| noise(if plan.plane { n * side * side } else { len(c, side) })).collect();
    let sources: Vec<Source<'_>> = ins
        .iter()
        .zip(&data)
        .map(|(&c, d)| if plan.plane { Source::plane(d) } else { Source::active(d, c, &scale, &shift, 0.0) })
        .collect();
    let plain = noise(taps * out * ins.iter().sum::<usize>());
    let (gradient, z) = (noise(len(out, side * fine)), noise(len(out, side * fine)));
    let read = if plan.kernel == 3 { through_norm(&z, &scale, &shift) } else { Read::Plain };
    let gradient = Source { data: &gradient, channels: out, read };
    let mut packed = Buffer::zeros(plan.packed_len(isa));
    let back = (!plan.plane).then(|| plan.backward());
    let mut packed_back = Buffer::zeros(packed.len());
    let mut y = Buffer::zeros(len(out, side * fine));
    let mut dx: Vec<Buffer> = ins.iter().map(|&c| Buffer::zeros(len(c, side))).collect();
    let (mut dw, mut scratch) = (plain.clone(), Buffer::zeros(0));
    let mut sums = ChannelSums::default();

    let plain_sources: Vec<Source<'_>> = ins.iter().zip(&data).map(|(&c, d)| Source::plain(d, c)).collect();
    let plain_gradient = Source { read: Read::Plain, ..gradient };
    let mut ways = vec![(Way::Direct, "")];
    if plan.kernel == 3 && !plan.plane {
        ways.push((Way::Direct, ALONE));
    }
    if plan.suits_winograd(isa, (side, side)) {
        ways.push((Way::Winograd { within: plan.transforms_within(isa, (side, side)) }, WINOGRAD));
    }
    for (way, name) in ways {
        let (sources, gradient) =
            if name == ALONE { (&plain_sources, plain_gradient) } else { (&sources, gradient) };
        let mut own = Buffer::zeros(own_len(isa, plan, precision, way));
        let mut add = |kernel: &str, secs: f64| {
            speeds.push(KernelSpeed {
                precision: precision.name().to_owned(),
                layer: format!("{}{name}", layer.name),
                kernel: kernel.to_owned(),
                times: layer.times,
                gflop,
                ms: 1e3 * secs,
                gflops: gflop / secs,
                share_of_peak: 0.0,
            });
        };
        let secs = clock.best(|| {
            plan.pack(isa, &plain, &mut packed);
            let weights = as_multiplied(isa, plan, precision, way, &packed, &mut own);
            let dest = Dest { data: &mut y, channels: out };
            let sums = (plan.kernel == 3 && name != ALONE).then_some(&mut sums);
            convolve(isa, plan, precision, way, grid, (sources, weights), &mut [dest], sums);
        });
        add(FORWARD, secs);
        if let Some(back) = &back {
            let secs = clock.best(|| {
                plan.pack_backward(isa, &packed, &mut packed_back);
                let weights = as_multiplied(isa, back, precision, way, &packed_back, &mut own);
                let mut dests: Vec<Dest<'_>> =
                    dx.iter_mut().zip(ins).map(|(data, &channels)| Dest { data, channels }).collect();
                convolve(isa, back, precision, way, grid, (&[gradient], weights), &mut dests, None);
            });
            add(DATA, secs);
        }
        // By Winograd this one is in fp32 alone.
        if way != Way::Direct && precision == Precision::Bf16 {
            continue;
        }
        let secs = clock.best(|| {
            if way != Way::Direct {
                backward_weights_winograd(isa, plan, grid, sources, &gradient, &mut dw, &mut scratch);
            } else {
                backward_weights(isa, plan, precision, grid, sources, &gradient, &mut dw, &mut scratch);
            }
        });
        add(WEIGHTS, secs);
    }
}

/// The last layer, whose backward pass gives both gradients at once; always in fp32.
fn measure_logits(clock: &mut Clock, base: usize, speeds: &mut Vec<KernelSpeed>) {
    let (isa, precision) = (clock.isa, clock.precision);
    let (n, pixels) = (BATCH.0, BATCH.1 * BATCH.1);
    let x = noise(Shape::new(n, base, BATCH.1, BATCH.1).blocked_len(isa));
    let (c, mut dx, mut y) = (noise(padded(base, isa)), x.clone(), noise(n * pixels));
    let source = Source::active(&x, base, &c, &c, 0.0);
    let gflop = (2 * n * pixels * base) as f64 / 1e9;
    let mut add = |kernel: &str, gflop: f64, secs: f64| {
        speeds.push(KernelSpeed {
            precision: precision.name().to_owned(),
            layer: "1x1 out, both gradients at once".to_owned(),
            kernel: kernel.to_owned(),
            times: 1,
            gflop,
            ms: 1e3 * secs,
            gflops: gflop / secs,
            share_of_peak: 0.0,
        });
    };
    add(FORWARD, gflop, clock.best(|| logits(isa, &source, (n, pixels), (&c, 0.0), &mut y)));
    let secs = clock.best(|| {
        std::hint::black_box(logits_backward(isa, &source, (n, pixels), &c, &y, &mut dx));
    });
    add(DATA, 2.0 * gflop, secs);
}

/// How the kernel multiplies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Winograd {
        /// The kernel transforms the weights itself.
        within: bool,
    },
}

/// Floats of the weights as the kernel multiplies them; none where that is how they are packed.
fn own_len(isa: Isa, plan: &ConvPlan, precision: Precision, way: Way) -> usize {
    match (way, precision) {
        (Way::Winograd { within: true }, _) => 0,
        (Way::Winograd { within: false }, _) => plan.winograd_len(isa, precision),
        (Way::Direct, Precision::Bf16) if !plan.plane => plan.packed_len(isa) / 2,
        (Way::Direct, _) => 0,
    }
}

/// The weights as the kernel multiplies them.
fn as_multiplied<'a>(
    isa: Isa,
    plan: &ConvPlan,
    precision: Precision,
    way: Way,
    packed: &'a Buffer,
    own: &'a mut Buffer,
) -> &'a [f32] {
    match way {
        _ if own.is_empty() => return packed,
        Way::Winograd { .. } => plan.pack_winograd(isa, precision, packed, own),
        Way::Direct => plan.pack_bf16(isa, packed, own),
    }
    own
}

#[allow(clippy::too_many_arguments)] // those of the two kernels
fn convolve(
    isa: Isa,
    plan: &ConvPlan,
    precision: Precision,
    way: Way,
    grid: (usize, usize, usize),
    (sources, weights): (&[Source<'_>], &[f32]),
    dests: &mut [Dest<'_>],
    sums: Option<&mut ChannelSums>,
) {
    let weights = match way {
        Way::Direct => {
            return forward(isa, plan, precision, grid, sources, weights, dests, After::NONE, sums);
        }
        Way::Winograd { within: true } => WinogradWeights::Packed(weights),
        Way::Winograd { within: false } => WinogradWeights::Transformed(weights),
    };
    forward_winograd(isa, plan, precision, grid, sources, weights, dests, After::NONE, sums);
}

/// The gradient as it comes through batch norm and ReLU.
fn through_norm<'a>(z: &'a [f32], scale: &'a [f32], shift: &'a [f32]) -> Read<'a> {
    Read::Gradient(Gradient { z, scale, shift, slope: 0.0, a: scale, b: shift, c: shift, before: 1.0 })
}

/// Numbers around 0.
pub(super) fn noise(len: usize) -> Buffer {
    let mut buffer = Buffer::zeros(len);
    let mut state = 1u32;
    for v in buffer.iter_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *v = (state >> 8) as f32 / (1u32 << 24) as f32 - 0.5;
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(layer: &str, times: usize, ms: f64) -> KernelSpeed {
        KernelSpeed {
            precision: "fp32".into(),
            layer: layer.into(),
            kernel: FORWARD.into(),
            times,
            gflop: 10.0,
            ms,
            gflops: 0.0,
            share_of_peak: 0.0,
        }
    }

    #[test]
    fn the_total_of_the_3x3_layers_weighs_each_by_its_times_and_leaves_the_first_out() {
        let mut speeds = vec![
            speed("first 3x3, 128 x 128, 1 to 32", 1, 1000.0),
            speed("3x3, a", 2, 100.0),
            speed("3x3, a, alone", 2, 80.0),
            speed("3x3, a, Winograd", 2, 50.0),
            speed("3x3, b", 1, 300.0),
            speed("1x1 out", 1, 1000.0),
        ];
        add_totals(&mut speeds);
        let totals: Vec<_> =
            speeds[6..].iter().map(|s| (s.layer.as_str(), s.gflop, s.ms, s.gflops)).collect();
        assert_eq!(
            totals,
            [
                ("all 3x3 layers but the first", 30.0, 500.0, 60.0),
                ("all 3x3 layers but the first, Winograd", 30.0, 400.0, 75.0),
                ("all 3x3 layers but the first, alone", 20.0, 160.0, 125.0)
            ]
        );
    }
}
