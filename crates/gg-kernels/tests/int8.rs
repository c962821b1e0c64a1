//! Convolutions of bytes against plain integer loops: equal to the last bit, on every instruction set.

use gg_kernels::*;
use proptest::prelude::*;

/// A stream of numbers.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 >> 8
    }

    fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.next() as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() % (u32::from(TOP) + 1)) as u8).collect()
    }
}

/// One convolution with everything around it.
struct Case {
    size: (usize, usize, usize),
    inputs: Vec<(usize, Quant)>,
    outputs: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
    relu: bool,
    norm: Option<(Vec<f32>, Vec<f32>)>,
    out: Quant,
    sources: Vec<Vec<u8>>,
}

impl Case {
    fn new(seed: u32, kind: Kind8, size: (usize, usize, usize), inputs: &[usize], outputs: usize) -> Self {
        let mut noise = Noise(seed | 1);
        let taps = match kind {
            Kind8::Same3x3 => 9,
            Kind8::Same1x1 => 1,
            Kind8::Up2x2 => 4,
        };
        let ins: usize = inputs.iter().sum();
        let inputs: Vec<(usize, Quant)> = inputs
            .iter()
            .map(|&c| {
                (c, Quant { scale: 0.01 + noise.next() as f32 * 1e-8, zero: (noise.next() % 128) as u8 })
            })
            .collect();
        let relu = noise.next().is_multiple_of(2);
        let norm = noise.next().is_multiple_of(2).then(|| (noise.floats(outputs), noise.floats(outputs)));
        let pixels = size.0 * size.1 * size.2;
        Self {
            size,
            outputs,
            weights: noise.floats(ins * outputs * taps),
            bias: noise.floats(outputs),
            relu,
            norm,
            out: Quant { scale: 0.05, zero: (noise.next() % 128) as u8 },
            sources: inputs.iter().map(|(c, _)| noise.bytes(c * pixels)).collect(),
            inputs,
        }
    }

    fn after(&self) -> After8<'_> {
        After8 {
            bias: &self.bias,
            relu: self.relu,
            norm: self.norm.as_ref().map(|(f, s)| (f.as_slice(), s.as_slice())),
        }
    }

    /// What our kernel makes of it.
    fn found(&self, isa: Isa, kind: Kind8) -> Vec<u8> {
        let (n, h, w) = self.size;
        let conv = Conv8::new(isa, kind, &self.inputs, self.outputs, &self.weights, self.after(), self.out);
        let data: Vec<Vec<u8>> = self
            .inputs
            .iter()
            .zip(&self.sources)
            .map(|((c, q), plain)| {
                let shape = ByteShape::new(n, *c, h, w);
                // Not aligned.
                let mut data = vec![99; shape.len() + 1];
                shape.pack(plain, &mut data[1..], q.zero);
                data
            })
            .collect();
        let sources: Vec<Source8<'_>> = data
            .iter()
            .zip(&self.inputs)
            .map(|(d, (c, _))| Source8 { data: &d[1..], channels: *c })
            .collect();
        let fine = if kind == Kind8::Up2x2 { 2 } else { 1 };
        let shape = ByteShape::new(n, self.outputs, fine * h, fine * w);
        let mut out = vec![77; shape.len()];
        convolve8(isa, &conv, self.size, &sources, &mut out);
        assert_framed(&out, shape, self.out.zero);
        shape.unpack(&out)
    }

    /// Input `i` of a pixel, less what means 0; 0 outside.
    fn input(&self, image: usize, i: usize, y: isize, x: isize) -> i32 {
        let (_, h, w) = self.size;
        if y < 0 || x < 0 || y >= h as isize || x >= w as isize {
            return 0;
        }
        let mut c = i;
        for ((channels, quant), data) in self.inputs.iter().zip(&self.sources) {
            if c < *channels {
                let v = data[((image * channels + c) * h + y as usize) * w + x as usize];
                return i32::from(v) - i32::from(quant.zero);
            }
            c -= channels;
        }
        unreachable!("an input channel")
    }

    fn scale_of(&self, i: usize) -> f32 {
        let all: Vec<f32> = self.inputs.iter().flat_map(|(c, q)| vec![q.scale; *c]).collect();
        all[i]
    }

    fn ins(&self) -> usize {
        self.inputs.iter().map(|(c, _)| c).sum()
    }

    fn round(&self, o: usize, sum: i32, scale: f32) -> u8 {
        let (factor, summand) = self.norm.as_ref().map_or((1.0, 0.0), |(f, s)| (f[o], s[o]));
        let sum = if self.relu { sum.max(0) } else { sum };
        let v = sum as f32 * (scale * factor / self.out.scale)
            + (summand / self.out.scale + f32::from(self.out.zero));
        v.clamp(0.0, f32::from(TOP)).round_ties_even() as u8
    }

    /// Winograd's F(2, 3) along the rows, written down plainly.
    fn right_3x3(&self) -> Vec<u8> {
        let (n, h, w) = self.size;
        let ins = self.ins();
        let mut out = vec![0; n * self.outputs * h * w];
        for o in 0..self.outputs {
            let rows: Vec<[f32; 4]> = (0..ins * 3)
                .map(|k| {
                    let s = self.scale_of(k / 3);
                    let g: Vec<f32> =
                        (0..3).map(|x| self.weights[(o * ins + k / 3) * 9 + k % 3 * 3 + x] * s).collect();
                    [g[0], 0.5 * (g[0] + g[1] + g[2]), 0.5 * (g[0] - g[1] + g[2]), g[2]]
                })
                .collect();
            let most = rows.iter().flatten().fold(0.0f32, |m, v| m.max(v.abs()));
            let scale = (most / 127.0).max(self.bias[o].abs() / (1 << 29) as f32);
            let q = |v: f32| (v / scale).round_ties_even() as i32;
            let bias = q(self.bias[o]);
            for image in 0..n {
                for y in 0..h {
                    for x in 0..w {
                        let left = (x / 2 * 2) as isize - 1;
                        let mut sum = bias;
                        for (k, u) in rows.iter().enumerate() {
                            let d = |x: isize| self.input(image, k / 3, (y + k % 3) as isize - 1, left + x);
                            let m = [
                                q(u[0]) * (d(0) - d(2)),
                                q(u[1]) * (d(1) + d(2)),
                                q(u[2]) * (d(2) - d(1)),
                                q(u[3]) * (d(1) - d(3)),
                            ];
                            sum += if x % 2 == 0 { m[0] + m[1] + m[2] } else { m[1] - m[2] - m[3] };
                        }
                        out[((image * self.outputs + o) * h + y) * w + x] = self.round(o, sum, scale);
                    }
                }
            }
        }
        out
    }

    /// A 1x1 convolution, or four of them side by side (`fine` is 2).
    fn right_points(&self, fine: usize) -> Vec<u8> {
        let (n, h, w) = self.size;
        let ins = self.ins();
        let mut out = vec![0; n * self.outputs * fine * fine * h * w];
        for o in 0..self.outputs {
            for phase in 0..fine * fine {
                let at = |i: usize| if fine == 2 { (i * self.outputs + o) * 4 + phase } else { o * ins + i };
                let of: Vec<f32> = (0..ins).map(|i| self.weights[at(i)] * self.scale_of(i)).collect();
                let most = of.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                let scale = (most / 127.0).max(self.bias[o].abs() / (1 << 29) as f32);
                let q = |v: f32| (v / scale).round_ties_even() as i32;
                for image in 0..n {
                    for y in 0..h {
                        for x in 0..w {
                            let mut sum = q(self.bias[o]);
                            for (i, v) in of.iter().enumerate() {
                                sum += q(*v) * self.input(image, i, y as isize, x as isize);
                            }
                            let (yy, xx) = (fine * y + phase / 2, fine * x + phase % 2);
                            out[((image * self.outputs + o) * fine * h + yy) * fine * w + xx] =
                                self.round(o, sum, scale);
                        }
                    }
                }
            }
        }
        out
    }
}

/// The frame around each plane holds what means 0.
fn assert_framed(data: &[u8], shape: ByteShape, zero: u8) {
    let (width, rows) = (shape.w.next_multiple_of(2) + 2, shape.h + 2);
    for plane in 0..shape.n * shape.blocks() {
        for (y, x) in (0..rows).flat_map(|y| (0..width).map(move |x| (y, x))) {
            if y == 0 || y == rows - 1 || x == 0 || x > shape.w {
                let at = ((plane * rows + y) * width + x) * 16;
                assert!(data[at..at + 16].iter().all(|&v| v == zero), "frame at {y}, {x}");
            }
        }
    }
}

fn sizes() -> impl Strategy<Value = (usize, usize, usize)> {
    (1usize..3, 1usize..8, 1usize..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_3x3_convolution_of_bytes_is_the_plain_sum(
        seed: u32, size in sizes(), inputs in prop::collection::vec(1usize..40, 1..3), outputs in 1usize..50
    ) {
        let case = Case::new(seed, Kind8::Same3x3, size, &inputs, outputs);
        let right = case.right_3x3();
        for isa in Isa::available() {
            prop_assert!(case.found(isa, Kind8::Same3x3) == right, "{}", isa);
        }
    }

    #[test]
    fn a_transposed_convolution_of_bytes_is_the_plain_sum(
        seed: u32, size in sizes(), input in 1usize..70, outputs in 1usize..50
    ) {
        let case = Case::new(seed, Kind8::Up2x2, size, &[input], outputs);
        let right = case.right_points(2);
        for isa in Isa::available() {
            prop_assert!(case.found(isa, Kind8::Up2x2) == right, "{}", isa);
        }
    }

    #[test]
    fn a_1x1_convolution_of_bytes_is_the_plain_sum(
        seed: u32, size in sizes(), inputs in prop::collection::vec(1usize..40, 1..3), outputs in 1usize..50
    ) {
        let case = Case::new(seed, Kind8::Same1x1, size, &inputs, outputs);
        let right = case.right_points(1);
        for isa in Isa::available() {
            prop_assert!(case.found(isa, Kind8::Same1x1) == right, "{}", isa);
        }
    }

    #[test]
    fn a_sum_of_bytes_is_that_of_what_they_mean(seed: u32, size in sizes(), c in 1usize..40, relu: bool) {
        let (n, h, w) = size;
        let mut noise = Noise(seed | 1);
        let quants: Vec<Quant> = [0.02f32, 0.05, 0.06]
            .into_iter()
            .map(|scale| Quant { scale, zero: (noise.next() % 128) as u8 })
            .collect();
        let plain = [0, 1].map(|_| noise.bytes(n * c * h * w));
        let shape = ByteShape::new(n, c, h, w);
        let packed = [0, 1].map(|i| {
            let mut data = vec![99; shape.len()];
            shape.pack(&plain[i], &mut data, quants[i].zero);
            data
        });
        let mut before: Option<Vec<u8>> = None;
        for isa in Isa::available() {
            let mut out = vec![77; shape.len()];
            let from = [0, 1].map(|i| (packed[i].as_slice(), quants[i]));
            add8(isa, shape, from, (relu, quants[2]), &mut out);
            for (i, &found) in shape.unpack(&out).iter().enumerate() {
                let means = |k: usize| {
                    let q = &quants[k];
                    (f64::from(plain[k][i]) - f64::from(q.zero)) * f64::from(q.scale)
                };
                let sum = means(0) + means(1);
                let sum = if relu { sum.max(0.0) } else { sum };
                let q = sum / f64::from(quants[2].scale) + f64::from(quants[2].zero);
                let q = q.clamp(0.0, f64::from(TOP));
                prop_assert!((f64::from(found) - q).abs() < 0.501, "{found} is not {q}");
            }
            assert_framed(&out, shape, quants[2].zero);
            match &before {
                None => before = Some(out),
                Some(first) => prop_assert!(first == &out, "{} differs", isa),
            }
        }
    }

    #[test]
    fn weights_that_the_transform_keeps_whole_give_the_nine_products_of_a_convolution(
        seed: u32, size in sizes(), input in 1usize..40
    ) {
        // Whole numbers whose rows add up to even ones; the first is 127, so that a step is 1.
        let mut case = Case::new(seed, Kind8::Same3x3, size, &[input], 1);
        let mut noise = Noise(seed | 1);
        for (k, row) in case.weights.chunks_exact_mut(3).enumerate() {
            let mut small = || (noise.next() % 41) as i32 - 20;
            let (a, b) = if k == 0 { (127, 0) } else { (small(), small()) };
            let c = small() / 2 * 2 - a.rem_euclid(2) - b.rem_euclid(2);
            row.copy_from_slice(&[a as f32, b as f32, c as f32]);
        }
        case.weights[2] = 127.0;
        case.inputs[0].1.scale = 1.0;
        case.out.scale = 500.0;
        let (n, h, w) = size;
        let mut right = Vec::new();
        for i in 0..n * h * w {
            let (image, y, x) = (i / (h * w), i / w % h, i % w);
            let mut sum = case.bias[0].round_ties_even() as i32;
            for k in 0..input * 9 {
                let (dy, dx) = (k % 9 / 3, k % 3);
                let v = case.input(image, k / 9, (y + dy) as isize - 1, (x + dx) as isize - 1);
                sum += case.weights[k] as i32 * v;
            }
            right.push(case.round(0, sum, 1.0));
        }
        for isa in Isa::available() {
            prop_assert!(case.found(isa, Kind8::Same3x3) == right, "{}", isa);
        }
    }

    #[test]
    fn pooling_the_first_layer_and_logits_are_the_same_on_every_set(
        seed: u32, size in sizes(), inputs in 1usize..4, c in 1usize..40
    ) {
        let (n, h, w) = size;
        let mut noise = Noise(seed | 1);
        let quants = [0, 1].map(|_| Quant { scale: 0.02, zero: (noise.next() % 128) as u8 });
        let images = noise.floats(n * inputs * h * w);
        let weights = noise.floats(c * inputs * 9);
        let (bias, factor, summand) = (noise.floats(c), noise.floats(c), noise.floats(c));
        let norm = noise.next().is_multiple_of(2).then_some((factor.as_slice(), summand.as_slice()));
        let relu = noise.next().is_multiple_of(2);
        let conv = ImageConv::new(inputs, c, &weights, After8 { bias: &bias, relu, norm }, quants[0]);
        let (shape, small) = (ByteShape::new(n, c, h, w), ByteShape::new(n, c, h / 2, w / 2));
        let mut before: Option<(Vec<u8>, Vec<u8>, Vec<f32>)> = None;
        for isa in Isa::available() {
            let (mut first, mut pooled) = (vec![55; shape.len()], vec![55; small.len()]);
            convolve_image(isa, &conv, size, &images, &mut first);
            let plain = shape.unpack(&first);
            for (i, &found) in plain.iter().enumerate() {
                let (image, o, y, x) = (i / (c * h * w), i / (h * w) % c, i / w % h, i % w);
                let mut sum = f64::from(bias[o]);
                for k in 0..inputs * 9 {
                    let (yy, xx) = ((y + k % 9 / 3) as isize - 1, (x + k % 3) as isize - 1);
                    if (0..h as isize).contains(&yy) && (0..w as isize).contains(&xx) {
                        let at = ((image * inputs + k / 9) * h + yy as usize) * w + xx as usize;
                        sum += f64::from(weights[o * inputs * 9 + k]) * f64::from(images[at]);
                    }
                }
                let r = if relu { sum.max(0.0) } else { sum };
                let v = norm.map_or(r, |(f, s)| r * f64::from(f[o]) + f64::from(s[o]));
                let q = (v / f64::from(quants[0].scale) + f64::from(quants[0].zero)).clamp(0.0, f64::from(TOP));
                prop_assert!((f64::from(found) - q).abs() < 0.501, "{found} is not {q}");
            }
            let pool_norm = norm.filter(|_| relu);
            let to = if pool_norm.is_some() { quants[1] } else { quants[0] };
            max_pool8(isa, shape, &first, (quants[0], to), pool_norm, &mut pooled);
            for (i, &found) in small.unpack(&pooled).iter().enumerate() {
                let (plane, y, x) = (i / (h / 2 * (w / 2)), i / (w / 2) % (h / 2), i % (w / 2));
                let of = |k: usize| plain[(plane * h + 2 * y + k / 2) * w + 2 * x + k % 2];
                let most = of(0).max(of(1)).max(of(2)).max(of(3));
                match pool_norm {
                    None => prop_assert_eq!(found, most),
                    Some((f, s)) => {
                        let v = f64::from(most) - f64::from(quants[0].zero);
                        let v = v * 0.02 * f64::from(f[plane % c]) + f64::from(s[plane % c]);
                        let q = (v / 0.02 + f64::from(to.zero)).clamp(0.0, f64::from(TOP));
                        prop_assert!((f64::from(found) - q).abs() < 0.501, "{found} is not {q}");
                    }
                }
            }
            let mut logits = vec![0.0; n * h * w];
            logits8(isa, shape, (&first, quants[0]), (&factor, 0.25), &mut logits);
            for (i, &found) in logits.iter().enumerate() {
                let (image, p) = (i / (h * w), i % (h * w));
                let of = |o: usize| f64::from(plain[(image * c + o) * h * w + p]) - f64::from(quants[0].zero);
                let sum: f64 = (0..c).map(|o| 0.02 * of(o) * f64::from(factor[o])).sum();
                prop_assert!((f64::from(found) - sum - 0.25).abs() < 1e-4);
            }
            for (i, &found) in means8(shape, (&first, quants[0])).iter().enumerate() {
                let sum: f64 = plain[i * h * w..(i + 1) * h * w].iter().map(|&v| f64::from(v)).sum();
                let mean = 0.02 * (sum / (h * w) as f64 - f64::from(quants[0].zero));
                prop_assert!((f64::from(found) - mean).abs() < 1e-4);
            }
            match &before {
                None => before = Some((plain, pooled, logits)),
                Some((p, b, l)) => {
                    prop_assert!(*p == plain && *b == pooled && *l == logits, "{} differs", isa);
                }
            }
        }
    }
}

#[test]
fn a_range_keeps_a_byte_for_zero() {
    for (low, high) in [(0.0, 5.0), (-3.0, 1.0), (-2.0, -1.0), (0.5, 2.0), (0.0, 0.0)] {
        let q = Quant::of_range(low, high);
        assert!(q.scale > 0.0 && q.zero <= TOP, "{low} to {high}: {q:?}");
    }
    assert_eq!(Quant::of_range(0.0, 12.7), Quant { scale: 12.7 / 127.0, zero: 0 });
}
