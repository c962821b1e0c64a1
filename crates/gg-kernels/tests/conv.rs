//! Every kernel against a plain loop, for each instruction set of this machine, on odd sizes.

#![allow(clippy::needless_range_loop)] // plain loops over indices are the point here
use gg_kernels::*;
use proptest::prelude::*;

fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut s = seed.wrapping_mul(2654435761) | 1;
    (0..len)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 17;
            s ^= s << 5;
            (s >> 8) as f32 / 8388608.0 - 1.0
        })
        .collect()
}

/// A vector with one float per padded channel.
fn per_channel(isa: Isa, values: &[f32]) -> Vec<f32> {
    let mut v = values.to_vec();
    v.resize(padded(values.len(), isa), 0.0);
    v
}

/// A blocked copy that starts one float off alignment.
struct Blocked(Vec<f32>);
impl Blocked {
    fn new(isa: Isa, plain: &[f32], shape: Shape) -> Self {
        let mut v = vec![0.0; shape.blocked_len(isa) + 1];
        to_blocked(isa, plain, shape, &mut v[1..]);
        Self(v)
    }
    fn empty(isa: Isa, shape: Shape) -> Self {
        Self(vec![f32::NAN; shape.blocked_len(isa) + 1])
    }
    fn get(&self) -> &[f32] {
        &self.0[1..]
    }
    fn plain(&self, isa: Isa, shape: Shape) -> Vec<f32> {
        let mut out = vec![0.0; shape.n * shape.c * shape.h * shape.w];
        from_blocked(isa, self.get(), shape, &mut out);
        out
    }
}

fn close(found: &[f32], right: &[f64], what: &str) {
    assert_eq!(found.len(), right.len(), "{what}");
    let size = right.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
    for (i, (f, r)) in found.iter().zip(right).enumerate() {
        assert!((f64::from(*f) - r).abs() <= 2e-5 * size, "{what}: value {i} is {f}, right would be {r}");
    }
}

fn conv_plain(x: &[f64], w: &[f32], s: Shape, out: usize, k: usize) -> Vec<f64> {
    let mut y = vec![0.0; s.n * out * s.pixels()];
    let pad = k / 2;
    for n in 0..s.n {
        for o in 0..out {
            for i in 0..s.c {
                for yy in 0..s.h {
                    for xx in 0..s.w {
                        for kh in 0..k {
                            for kw in 0..k {
                                let (sy, sx) = (yy + kh, xx + kw);
                                if sy < pad || sx < pad || sy - pad >= s.h || sx - pad >= s.w {
                                    continue;
                                }
                                y[((n * out + o) * s.h + yy) * s.w + xx] += x
                                    [((n * s.c + i) * s.h + sy - pad) * s.w + sx - pad]
                                    * f64::from(w[((o * s.c + i) * k + kh) * k + kw]);
                            }
                        }
                    }
                }
            }
        }
    }
    y
}

/// Gradients of input and weights.
fn conv_backward_plain(
    x: &[f64],
    w: &[f32],
    g: &[f64],
    s: Shape,
    out: usize,
    k: usize,
) -> (Vec<f64>, Vec<f64>) {
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    let pad = k / 2;
    for n in 0..s.n {
        for o in 0..out {
            for i in 0..s.c {
                for yy in 0..s.h {
                    for xx in 0..s.w {
                        let gv = g[((n * out + o) * s.h + yy) * s.w + xx];
                        for kh in 0..k {
                            for kw in 0..k {
                                let (sy, sx) = (yy + kh, xx + kw);
                                if sy < pad || sx < pad || sy - pad >= s.h || sx - pad >= s.w {
                                    continue;
                                }
                                let xi = ((n * s.c + i) * s.h + sy - pad) * s.w + sx - pad;
                                let wi = ((o * s.c + i) * k + kh) * k + kw;
                                dx[xi] += gv * f64::from(w[wi]);
                                dw[wi] += gv * x[xi];
                            }
                        }
                    }
                }
            }
        }
    }
    (dx, dw)
}

fn to_f64(v: &[f32]) -> Vec<f64> {
    v.iter().map(|v| f64::from(*v)).collect()
}

fn check_conv(n: usize, h: usize, w: usize, ins: &[usize], out: usize, kernel: usize, seed: u32) {
    for isa in Isa::available() {
        let all: usize = ins.iter().sum();
        let s = Shape::new(n, all, h, w);
        let plan = ConvPlan::new(kernel, ins, out);
        let weights = noise(out * all * kernel * kernel, seed + 1);
        let mut packed = vec![0.0; plan.packed_len(isa)];
        plan.pack(isa, &weights, &mut packed);

        // Inputs: raw results read through scale, shift and activation, the second with a slope.
        let parts: Vec<Vec<f32>> = ins.iter().map(|c| noise(n * c * h * w, seed + 10 + *c as u32)).collect();
        let (scale, shift) = (noise(all, seed + 2), noise(all, seed + 3));
        let mut x = vec![0.0f64; n * all * h * w];
        let mut first = 0;
        let mut vectors = Vec::new();
        for (k, c) in ins.iter().enumerate() {
            let slope = if k == 0 { 0.0f32 } else { 0.25 };
            for image in 0..n {
                for i in 0..*c {
                    for p in 0..h * w {
                        let v = parts[k][(image * c + i) * h * w + p] * scale[first + i] + shift[first + i];
                        x[(image * all + first + i) * h * w + p] =
                            f64::from(if v > 0.0 { v } else { slope * v });
                    }
                }
            }
            vectors.push((
                per_channel(isa, &scale[first..first + c]),
                per_channel(isa, &shift[first..first + c]),
                slope,
            ));
            first += c;
        }
        let blocked: Vec<_> =
            parts.iter().zip(ins).map(|(p, c)| Blocked::new(isa, p, Shape::new(n, *c, h, w))).collect();
        let sources: Vec<_> = blocked
            .iter()
            .zip(ins)
            .zip(&vectors)
            .map(|((b, c), (scale, shift, slope))| Source::active(b.get(), *c, scale, shift, *slope))
            .collect();
        let right = conv_plain(&x, &weights, s, out, kernel);
        let o = Shape::new(n, out, h, w);
        let mut y = Blocked::empty(isa, o);
        let mut sums = ChannelSums::default();
        let dest = Dest { data: &mut y.0[1..], channels: out };
        forward(
            isa,
            &plan,
            Precision::Fp32,
            (n, h, w),
            &sources,
            &packed,
            &mut [dest],
            After::NONE,
            Some(&mut sums),
        );
        close(&y.plain(isa, o), &right, "forward");
        for c in 0..out {
            let of = |f: fn(f64) -> f64| -> f64 {
                (0..n).flat_map(|i| &right[(i * out + c) * h * w..][..h * w]).map(|v| f(*v)).sum()
            };
            let (sum, squares) = (of(|v| v), of(|v| v * v));
            assert!((sums.sum[c] - sum).abs() < 1e-4 * (1.0 + squares), "sum of channel {c}");
            assert!((sums.squares[c] - squares).abs() < 1e-4 * (1.0 + squares), "squares of channel {c}");
        }
        assert!(y.get().iter().all(|v| v.is_finite()), "lanes without channel hold zeros");

        // The same with a quarter of the multiplications.
        let mut transformed = vec![f32::NAN; plan.winograd_len(isa, Precision::Fp32)];
        if kernel == 3 {
            plan.pack_winograd(isa, Precision::Fp32, &packed, &mut transformed);
        }
        let ways = [WinogradWeights::Transformed(&transformed), WinogradWeights::Packed(&packed)];
        for weights in ways.into_iter().filter(|_| kernel == 3) {
            let mut y = Blocked::empty(isa, o);
            let mut sums = ChannelSums::default();
            let dest = Dest { data: &mut y.0[1..], channels: out };
            let size = (n, h, w);
            forward_winograd(
                isa,
                &plan,
                Precision::Fp32,
                size,
                &sources,
                weights,
                &mut [dest],
                After::NONE,
                Some(&mut sums),
            );
            close(&y.plain(isa, o), &right, "forward by Winograd");
            assert!(y.get().iter().all(|v| v.is_finite()), "lanes without channel hold zeros");
            for c in 0..out {
                let of = |f: fn(f64) -> f64| -> f64 {
                    (0..n).flat_map(|i| &right[(i * out + c) * h * w..][..h * w]).map(|v| f(*v)).sum()
                };
                let (sum, squares) = (of(|v| v), of(|v| v * v));
                assert!((sums.sum[c] - sum).abs() < 1e-4 * (1.0 + squares), "sum of channel {c}");
                assert!((sums.squares[c] - squares).abs() < 1e-4 * (1.0 + squares), "squares of channel {c}");
            }
        }

        // Bias and ReLU on the way out.
        let bias = noise(out, seed + 5);
        let mut y2 = Blocked::empty(isa, o);
        let dest = Dest { data: &mut y2.0[1..], channels: out };
        let after = After { bias: Some(&per_channel(isa, &bias)), slope: 0.0 };
        forward(isa, &plan, Precision::Fp32, (n, h, w), &sources, &packed, &mut [dest], after, None);
        let with_bias: Vec<f64> = right
            .iter()
            .enumerate()
            .map(|(i, v)| (v + f64::from(bias[i / (h * w) % out])).max(0.0))
            .collect();
        close(&y2.plain(isa, o), &with_bias, "forward with bias and ReLU");
        for weights in ways.into_iter().filter(|_| kernel == 3) {
            let mut y = Blocked::empty(isa, o);
            let dest = Dest { data: &mut y.0[1..], channels: out };
            forward_winograd(
                isa,
                &plan,
                Precision::Fp32,
                (n, h, w),
                &sources,
                weights,
                &mut [dest],
                after,
                None,
            );
            close(&y.plain(isa, o), &with_bias, "forward by Winograd with bias and ReLU");
        }

        // Backward from a gradient that is worked out while it is read.
        let (dy, z) = (noise(n * out * h * w, seed + 6), noise(n * out * h * w, seed + 7));
        let v: Vec<Vec<f32>> = (0..5).map(|i| noise(out, seed + 20 + i)).collect();
        let g: Vec<f64> = (0..dy.len())
            .map(|i| {
                let c = i / (h * w) % out;
                let (dy, z) = (f64::from(dy[i]), f64::from(z[i]));
                let at = |k: usize| f64::from(v[k][c]);
                let pre = z * at(0) + at(1);
                let g = if pre > 0.0 { dy } else { 0.0 };
                let d = at(2) * g + at(3) * z + at(4);
                if z > 0.0 { d } else { 0.5 * d }
            })
            .collect();
        let pv: Vec<_> = v.iter().map(|v| per_channel(isa, v)).collect();
        let (bdy, bz) = (Blocked::new(isa, &dy, o), Blocked::new(isa, &z, o));
        let gradient = Source {
            data: bdy.get(),
            channels: out,
            read: Read::Gradient(Gradient {
                z: bz.get(),
                scale: &pv[0],
                shift: &pv[1],
                slope: 0.0,
                a: &pv[2],
                b: &pv[3],
                c: &pv[4],
                before: 0.5,
            }),
        };
        let (dx, dw) = conv_backward_plain(&x, &weights, &g, s, out, kernel);
        let back = plan.backward();
        let mut packed_back = vec![0.0; back.packed_len(isa)];
        plan.pack_backward(isa, &packed, &mut packed_back);
        let mut outs: Vec<_> = ins.iter().map(|c| Blocked::empty(isa, Shape::new(n, *c, h, w))).collect();
        let mut dests: Vec<_> =
            outs.iter_mut().zip(ins).map(|(b, c)| Dest { data: &mut b.0[1..], channels: *c }).collect();
        forward(
            isa,
            &back,
            Precision::Fp32,
            (n, h, w),
            &[gradient],
            &packed_back,
            &mut dests,
            After::NONE,
            None,
        );
        drop(dests);
        let mut first = 0;
        for (b, c) in outs.iter().zip(ins) {
            let right: Vec<f64> =
                (0..n).flat_map(|image| dx[(image * all + first) * h * w..][..c * h * w].to_vec()).collect();
            close(&b.plain(isa, Shape::new(n, *c, h, w)), &right, "gradient of the input");
            first += c;
        }
        let mut found = vec![f32::NAN; weights.len()];
        let mut scratch = Buffer::zeros(0);
        backward_weights(
            isa,
            &plan,
            Precision::Fp32,
            (n, h, w),
            &sources,
            &gradient,
            &mut found,
            &mut scratch,
        );
        close(&found, &dw, "gradient of the weights");
        if kernel == 3 {
            found.fill(f32::NAN);
            let size = (n, h, w);
            backward_weights_winograd(isa, &plan, size, &sources, &gradient, &mut found, &mut scratch);
            close(&found, &dw, "gradient of the weights by Winograd");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn convolutions_equal_three_loops_on_any_size(
        n in 1usize..3, h in 1usize..20, w in 1usize..40, a in 1usize..40, b in 0usize..20, out in 1usize..50,
        kernel in prop_oneof![Just(1usize), Just(3)], seed in 0u32..1000,
    ) {
        let ins = if b == 0 { vec![a] } else { vec![a, b] };
        check_conv(n, h, w, &ins, out, kernel, seed);
    }
}

/// Small enough for Miri.
#[test]
fn small_convolutions_equal_three_loops() {
    check_conv(1, 2, 3, &[3, 2], 9, 3, 1);
    check_conv(1, 2, 2, &[3], 2, 1, 2);
}

#[test]
fn convolutions_equal_three_loops_on_thin_images_and_whole_blocks() {
    for (n, h, w, ins, out) in [
        (1, 1, 37, vec![16], 32),
        (1, 33, 1, vec![3], 1),
        (2, 8, 8, vec![32, 32], 48),
        (1, 2, 130, vec![17], 16),
        (1, 40, 33, vec![64], 33),
        // Small images of many channels.
        (2, 8, 8, vec![130], 128),
        (3, 9, 7, vec![70, 60], 130),
    ] {
        check_conv(n, h, w, &ins, out, 3, 1);
    }
}

#[test]
fn the_first_layer_of_one_plane_equals_three_loops() {
    for (n, h, w, out) in [(2, 13, 21, 32), (1, 1, 5, 7), (3, 30, 140, 48)] {
        for isa in Isa::available() {
            let s = Shape::new(n, 1, h, w);
            let o = Shape::new(n, out, h, w);
            let (x, weights, dy) = (noise(n * h * w, 1), noise(out * 9, 2), noise(n * out * h * w, 3));
            let plan = ConvPlan::of_plane(out);
            let mut packed = vec![0.0; plan.packed_len(isa)];
            plan.pack(isa, &weights, &mut packed);
            let mut y = Blocked::empty(isa, o);
            let dest = Dest { data: &mut y.0[1..], channels: out };
            forward(
                isa,
                &plan,
                Precision::Fp32,
                (n, h, w),
                &[Source::plane(&x)],
                &packed,
                &mut [dest],
                After::NONE,
                None,
            );
            close(&y.plain(isa, o), &conv_plain(&to_f64(&x), &weights, s, out, 3), "forward");
            let g = Blocked::new(isa, &dy, o);
            let (_, dw) = conv_backward_plain(&to_f64(&x), &weights, &to_f64(&dy), s, out, 3);
            let mut found = vec![f32::NAN; weights.len()];
            let mut scratch = Buffer::zeros(0);
            let g = Source::plain(g.get(), out);
            backward_weights(
                isa,
                &plan,
                Precision::Fp32,
                (n, h, w),
                &[Source::plane(&x)],
                &g,
                &mut found,
                &mut scratch,
            );
            close(&found, &dw, "gradient of the weights");
        }
    }
}

#[test]
fn the_transposed_convolution_equals_plain_loops_forward_and_backward() {
    for (n, h, w, ins, out) in [(2, 5, 7, 20, 33), (1, 8, 16, 64, 32), (1, 1, 3, 3, 2)] {
        for isa in Isa::available() {
            let (s, o) = (Shape::new(n, ins, h, w), Shape::new(n, out, 2 * h, 2 * w));
            let (x, weights, bias) = (noise(n * ins * h * w, 1), noise(ins * out * 4, 2), noise(out, 3));
            let dy = noise(n * out * 4 * h * w, 4);
            let mut right = vec![0.0f64; dy.len()];
            let (mut dx, mut dw) = (vec![0.0f64; x.len()], vec![0.0f64; weights.len()]);
            for image in 0..n {
                for oc in 0..out {
                    for yy in 0..2 * h {
                        for xx in 0..2 * w {
                            let at = ((image * out + oc) * 2 * h + yy) * 2 * w + xx;
                            right[at] = f64::from(bias[oc]);
                            for ic in 0..ins {
                                let wi = ((ic * out + oc) * 2 + yy % 2) * 2 + xx % 2;
                                let xi = ((image * ins + ic) * h + yy / 2) * w + xx / 2;
                                right[at] += f64::from(x[xi]) * f64::from(weights[wi]);
                                dx[xi] += f64::from(dy[at]) * f64::from(weights[wi]);
                                dw[wi] += f64::from(dy[at]) * f64::from(x[xi]);
                            }
                        }
                    }
                }
            }
            let plan = ConvPlan::transposed(ins, out);
            let mut packed = vec![0.0; plan.packed_len(isa)];
            plan.pack(isa, &weights, &mut packed);
            let bx = Blocked::new(isa, &x, s);
            let source = Source::plain(bx.get(), ins);
            let mut y = Blocked::empty(isa, o);
            let dest = Dest { data: &mut y.0[1..], channels: out };
            let after = After { bias: Some(&per_channel(isa, &bias)), slope: 1.0 };
            forward(isa, &plan, Precision::Fp32, (n, h, w), &[source], &packed, &mut [dest], after, None);
            close(&y.plain(isa, o), &right, "forward");
            let bdy = Blocked::new(isa, &dy, o);
            let g = Source::plain(bdy.get(), out);
            let back = plan.backward();
            let mut packed_back = vec![0.0; back.packed_len(isa)];
            plan.pack_backward(isa, &packed, &mut packed_back);
            let mut bdx = Blocked::empty(isa, s);
            let dest = Dest { data: &mut bdx.0[1..], channels: ins };
            forward(
                isa,
                &back,
                Precision::Fp32,
                (n, h, w),
                &[g],
                &packed_back,
                &mut [dest],
                After::NONE,
                None,
            );
            close(&bdx.plain(isa, s), &dx, "gradient of the input");
            let mut found = vec![f32::NAN; weights.len()];
            let mut scratch = Buffer::zeros(0);
            backward_weights(isa, &plan, Precision::Fp32, (n, h, w), &[source], &g, &mut found, &mut scratch);
            close(&found, &dw, "gradient of the weights");
        }
    }
}

#[test]
fn one_and_two_threads_give_the_same_bytes() {
    for isa in Isa::available() {
        let run = |threads: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let (n, h, w, c, out) = (3, 33, 29, 40, 50);
                let (s, o) = (Shape::new(n, c, h, w), Shape::new(n, out, h, w));
                let plan = ConvPlan::new(3, &[c], out);
                let mut packed = vec![0.0; plan.packed_len(isa)];
                plan.pack(isa, &noise(out * c * 9, 1), &mut packed);
                let (x, g) = (
                    Blocked::new(isa, &noise(n * c * h * w, 2), s),
                    Blocked::new(isa, &noise(n * out * h * w, 3), o),
                );
                let mut y = Blocked::empty(isa, o);
                let mut sums = ChannelSums::default();
                let dest = Dest { data: &mut y.0[1..], channels: out };
                let source = Source::plain(x.get(), c);
                forward(
                    isa,
                    &plan,
                    Precision::Fp32,
                    (n, h, w),
                    &[source],
                    &packed,
                    &mut [dest],
                    After::NONE,
                    Some(&mut sums),
                );
                let mut dw = vec![f32::NAN; out * c * 9];
                let g = Source::plain(g.get(), out);
                backward_weights(
                    isa,
                    &plan,
                    Precision::Fp32,
                    (n, h, w),
                    &[source],
                    &g,
                    &mut dw,
                    &mut Buffer::zeros(0),
                );
                let more = channel_sums(isa, &source, n, h * w);
                (y.0[1..].to_vec(), sums.sum, sums.squares, dw, more.sum, more.squares)
            })
        };
        assert!(run(1) == run(2));
    }
}

#[test]
fn bf16_stays_within_its_rounding_of_fp32() {
    // Inputs and weights that bf16 holds exactly: then only the order of the sums differs.
    let exact = |len: usize, seed: u32| -> Vec<f32> {
        noise(len, seed).iter().map(|v| (v * 16.0).round() / 8.0).collect()
    };
    for isa in Isa::available().into_iter().filter(|isa| isa.has_bf16()) {
        for (n, h, w, ins, out, kernel) in [
            (2, 9, 13, vec![16, 7], 33, 3),
            (1, 1, 1, vec![5], 3, 3),
            (3, 8, 8, vec![64], 32, 3),
            (1, 6, 140, vec![32, 32], 16, 3),
            (2, 5, 7, vec![20], 40, 1),
        ] {
            let all: usize = ins.iter().sum();
            let plan = ConvPlan::new(kernel, &ins, out);
            let weights = exact(out * all * kernel * kernel, 1);
            let mut packed = vec![0.0; plan.packed_len(isa)];
            plan.pack(isa, &weights, &mut packed);
            let mut words = vec![0.0; packed.len() / 2];
            plan.pack_bf16(isa, &packed, &mut words);
            let parts: Vec<_> = ins
                .iter()
                .map(|c| Blocked::new(isa, &exact(n * c * h * w, *c as u32), Shape::new(n, *c, h, w)))
                .collect();
            let sources: Vec<_> = parts.iter().zip(&ins).map(|(p, c)| Source::plain(p.get(), *c)).collect();
            let o = Shape::new(n, out, h, w);
            let g = Blocked::new(isa, &exact(n * out * h * w, 9), o);
            let g = Source::plain(g.get(), out);
            let run = |precision, weights: &[f32]| {
                let mut y = Blocked::empty(isa, o);
                let dest = Dest { data: &mut y.0[1..], channels: out };
                forward(isa, &plan, precision, (n, h, w), &sources, weights, &mut [dest], After::NONE, None);
                let mut dw = vec![f32::NAN; out * all * kernel * kernel];
                backward_weights(
                    isa,
                    &plan,
                    precision,
                    (n, h, w),
                    &sources,
                    &g,
                    &mut dw,
                    &mut Buffer::default(),
                );
                (y.0[1..].to_vec(), dw)
            };
            let (right, found) = (run(Precision::Fp32, &packed), run(Precision::Bf16, &words));
            close(&found.0, &to_f64(&right.0), "forward");
            close(&found.1, &to_f64(&right.1), "gradient of the weights");
        }
    }
}

#[test]
fn winograd_in_bf16_stays_within_its_rounding_of_three_loops() {
    for isa in Isa::available().into_iter().filter(|isa| isa.has_bf16()) {
        for (n, h, w, ins, out) in
            [(2, 9, 13, vec![16, 7], 33), (1, 16, 40, vec![64], 32), (3, 8, 8, vec![33, 32], 48)]
        {
            let all: usize = ins.iter().sum();
            let plan = ConvPlan::new(3, &ins, out);
            let weights = noise(out * all * 9, 1);
            let mut packed = vec![0.0; plan.packed_len(isa)];
            plan.pack(isa, &weights, &mut packed);
            let mut words = vec![f32::NAN; plan.winograd_len(isa, Precision::Bf16)];
            plan.pack_winograd(isa, Precision::Bf16, &packed, &mut words);
            let parts: Vec<Vec<f32>> = ins.iter().map(|c| noise(n * c * h * w, *c as u32)).collect();
            let mut x = Vec::new();
            for image in 0..n {
                for (part, c) in parts.iter().zip(&ins) {
                    x.extend(to_f64(&part[image * c * h * w..][..c * h * w]));
                }
            }
            let right = conv_plain(&x, &weights, Shape::new(n, all, h, w), out, 3);
            let blocked: Vec<_> =
                parts.iter().zip(&ins).map(|(p, c)| Blocked::new(isa, p, Shape::new(n, *c, h, w))).collect();
            let sources: Vec<_> = blocked.iter().zip(&ins).map(|(b, c)| Source::plain(b.get(), *c)).collect();
            let o = Shape::new(n, out, h, w);
            for weights in [WinogradWeights::Transformed(&words), WinogradWeights::Packed(&packed)] {
                let mut y = Blocked::empty(isa, o);
                let dest = Dest { data: &mut y.0[1..], channels: out };
                let size = (n, h, w);
                forward_winograd(
                    isa,
                    &plan,
                    Precision::Bf16,
                    size,
                    &sources,
                    weights,
                    &mut [dest],
                    After::NONE,
                    None,
                );
                let norm = |f: &dyn Fn(usize) -> f64| (0..right.len()).map(|i| f(i).powi(2)).sum::<f64>();
                let found = y.plain(isa, o);
                let share = (norm(&|i| f64::from(found[i]) - right[i]) / norm(&|i| right[i])).sqrt();
                assert!(share < 0.02, "{share}");
                assert!(y.get().iter().all(|v| v.is_finite()), "lanes without channel hold zeros");
            }
        }
    }
}
