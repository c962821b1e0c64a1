//! Pooling, sums, gates, batch norm and dense layers against plain loops, for each instruction set.

use gg_kernels::*;

fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut s = seed.wrapping_mul(2654435761) | 1;
    (0..len)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 17;
            s ^= s << 5;
            // Few different values, so that windows have equal ones.
            ((s >> 28) as f32 - 7.5) / 4.0
        })
        .collect()
}

fn blocked(isa: Isa, plain: &[f32], s: Shape) -> Vec<f32> {
    let mut v = vec![f32::NAN; s.blocked_len(isa)];
    to_blocked(isa, plain, s, &mut v);
    v
}

fn plain(isa: Isa, v: &[f32], s: Shape) -> Vec<f32> {
    let mut out = vec![0.0; s.n * s.c * s.pixels()];
    from_blocked(isa, v, s, &mut out);
    out
}

fn per_channel(isa: Isa, values: &[f32]) -> Vec<f32> {
    let mut v = values.to_vec();
    v.resize(padded(values.len(), isa), 0.0);
    v
}

#[test]
fn max_pool_and_its_gradient_follow_the_first_largest_value() {
    for isa in Isa::available() {
        for (n, c, h, w) in [(2, 5, 8, 6), (1, 20, 7, 9), (2, 16, 1, 4), (1, 33, 2, 2)] {
            let (s, half) = (Shape::new(n, c, h, w), Shape::new(n, c, h / 2, w / 2));
            let x = noise(n * c * h * w, 1);
            let (scale, shift) = (noise(c, 2), noise(c, 3));
            let value = |i: usize| {
                let ch = i / (h * w) % c;
                scale[ch].mul_add(x[i], shift[ch]).max(0.0)
            };
            let g = noise(n * c * (h / 2) * (w / 2), 4);
            let mut right = vec![0.0; g.len()];
            let mut right_dx = noise(x.len(), 5);
            let before = right_dx.clone();
            for plane in 0..n * c {
                for y in 0..h / 2 {
                    for xx in 0..w / 2 {
                        let at = |k: usize| (plane * h + 2 * y + k / 2) * w + 2 * xx + k % 2;
                        let mut best = 0;
                        for k in 1..4 {
                            if value(at(k)) > value(at(best)) {
                                best = k;
                            }
                        }
                        let o = (plane * (h / 2) + y) * (w / 2) + xx;
                        right[o] = value(at(best));
                        right_dx[at(best)] += g[o];
                    }
                }
            }
            let bx = blocked(isa, &x, s);
            let (ps, pb) = (per_channel(isa, &scale), per_channel(isa, &shift));
            let source = Source::active(&bx, c, &ps, &pb, 0.0);
            let mut out = vec![f32::NAN; half.blocked_len(isa)];
            max_pool(isa, &source, (n, h, w), &mut out);
            let found = plain(isa, &out, half);
            assert!(found.iter().zip(&right).all(|(a, b)| (a - b).abs() < 1e-6), "{isa} {h}x{w}");
            let mut dx = blocked(isa, &before, s);
            let bg = blocked(isa, &g, half);
            max_pool_backward(isa, &source, (n, h, w), &Source::plain(&bg, c), &mut dx, true);
            assert_eq!(plain(isa, &dx, s), right_dx, "{isa} {h}x{w}");
            let mut dx = vec![f32::NAN; dx.len()];
            max_pool_backward(isa, &source, (n, h, w), &Source::plain(&bg, c), &mut dx, false);
            let alone: Vec<f32> = right_dx.iter().zip(&before).map(|(a, b)| a - b).collect();
            assert!(plain(isa, &dx, s).iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}

#[test]
fn batch_norm_and_its_gradient_equal_the_difference_quotient() {
    let (n, c, h, w, eps) = (2, 19, 5, 3, 1e-3);
    let m = n * h * w;
    let s = Shape::new(n, c, h, w);
    for isa in Isa::available() {
        let (x, dy) = (noise(m * c, 1), noise(m * c, 2));
        let (gamma, beta) = (noise(c, 3), noise(c, 4));
        let forward = |x: &[f64]| -> Vec<f64> {
            let mut y = vec![0.0; x.len()];
            for ch in 0..c {
                let at: Vec<usize> =
                    (0..n).flat_map(|i| (0..h * w).map(move |p| (i * c + ch) * h * w + p)).collect();
                let mean = at.iter().map(|i| x[*i]).sum::<f64>() / m as f64;
                let var = at.iter().map(|i| (x[*i] - mean).powi(2)).sum::<f64>() / m as f64;
                for i in at {
                    let v = (x[i] - mean) / (var + eps).sqrt() * f64::from(gamma[ch]) + f64::from(beta[ch]);
                    y[i] = v.max(0.0);
                }
            }
            y
        };
        let x64: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
        let (bx, bdy) = (blocked(isa, &x, s), blocked(isa, &dy, s));
        let (pg, pb) = (per_channel(isa, &gamma), per_channel(isa, &beta));
        let sums = channel_sums(isa, &Source::plain(&bx, c), n, h * w);
        let norm = norm_of_batch(&sums, m, &pg, &pb, eps);
        let y = forward(&x64);
        let ones = vec![1.0; bx.len()];
        let mut out = vec![0.0; bx.len()];
        let source = Source::active(&bx, c, &norm.scale, &norm.shift, 0.0);
        multiply(isa, &source, n, h * w, &ones, &mut out);
        for (f, r) in plain(isa, &out, s).iter().zip(&y) {
            assert!((f64::from(*f) - r).abs() < 1e-5);
        }
        let zeros = vec![0.0; pg.len()];
        let read = |a, b, c2| {
            Read::Gradient(Gradient {
                z: &bx,
                scale: &norm.scale,
                shift: &norm.shift,
                slope: 0.0,
                a,
                b,
                c: c2,
                before: 1.0,
            })
        };
        let source = Source { data: &bdy, channels: c, read: read(&zeros, &zeros, &zeros) };
        let sums = gradient_sums(isa, &source, n, h * w, &norm.mean);
        let back = norm_backward(&norm, &sums, m, &pg, eps);
        let source = Source { data: &bdy, channels: c, read: read(&back.a, &back.b, &back.c) };
        multiply(isa, &source, n, h * w, &ones, &mut out);
        let dx = plain(isa, &out, s);
        let loss = |x: &[f64]| forward(x).iter().zip(&dy).map(|(y, g)| y * f64::from(*g)).sum::<f64>();
        for i in (0..x.len()).step_by(7) {
            let (mut up, mut down) = (x64.clone(), x64.clone());
            up[i] += 1e-5;
            down[i] -= 1e-5;
            let quotient = (loss(&up) - loss(&down)) / 2e-5;
            assert!((quotient - f64::from(dx[i])).abs() < 1e-3, "{isa}: value {i}: {} for {quotient}", dx[i]);
        }
    }
}

#[test]
fn average_pool_and_dense_equal_plain_loops() {
    for isa in Isa::available() {
        let s = Shape::new(3, 21, 4, 5);
        let x = noise(3 * 21 * 20, 1);
        let bx = blocked(isa, &x, s);
        let mut y = vec![0.0; 3 * 21];
        average_pool(isa, &Source::plain(&bx, 21), 3, 20, &mut y);
        for (i, v) in y.iter().enumerate() {
            assert!((v - x[i * 20..][..20].iter().sum::<f32>() / 20.0).abs() < 1e-6);
        }
        let mut dx = vec![f32::NAN; bx.len()];
        average_pool_backward(isa, 21, 3, 20, &y, &mut dx);
        for (i, v) in plain(isa, &dx, s).iter().enumerate() {
            assert_eq!(*v, y[i / 20] / 20.0);
        }
    }
    let (n, ins, outs) = (3, 37, 5);
    let (x, w, b, dy) = (noise(n * ins, 1), noise(outs * ins, 2), noise(outs, 3), noise(n * outs, 4));
    let mut y = vec![0.0; n * outs];
    dense(&x, &w, &b, n, &mut y);
    let (mut dx, mut dw, mut db) = (vec![0.0; n * ins], vec![0.0; w.len()], vec![0.0; outs]);
    dense_backward(&x, &w, &dy, n, outs, (&mut dx, &mut dw, &mut db));
    for image in 0..n {
        for o in 0..outs {
            let right: f32 = (0..ins).map(|i| w[o * ins + i] * x[image * ins + i]).sum::<f32>() + b[o];
            assert!((y[image * outs + o] - right).abs() < 1e-4);
        }
        for i in 0..ins {
            let right: f32 = (0..outs).map(|o| w[o * ins + i] * dy[image * outs + o]).sum();
            assert!((dx[image * ins + i] - right).abs() < 1e-4);
        }
    }
    for o in 0..outs {
        assert!((db[o] - (0..n).map(|k| dy[k * outs + o]).sum::<f32>()).abs() < 1e-5);
        for i in 0..ins {
            let right: f32 = (0..n).map(|k| dy[k * outs + o] * x[k * ins + i]).sum();
            assert!((dw[o * ins + i] - right).abs() < 1e-4);
        }
    }
}

#[test]
fn logits_and_their_gradients_equal_plain_loops() {
    for isa in Isa::available() {
        // More pixels than a task takes, and channels of several blocks.
        for (n, c, h, w) in [(2, 16, 90, 100), (1, 20, 7, 9), (3, 5, 1, 1), (2, 33, 3, 70)] {
            let s = Shape::new(n, c, h, w);
            let (x, weights, bias) = (noise(n * c * h * w, 1), noise(c, 2), 0.375);
            let (scale, shift) = (noise(c, 3), noise(c, 4));
            let value = |i: usize, ch: usize, p: usize| {
                f64::from(scale[ch].mul_add(x[(i * c + ch) * h * w + p], shift[ch]).max(0.0))
            };
            let slope = noise(n * h * w, 5);
            let (mut right, mut right_dx) = (Vec::new(), vec![0.0; x.len()]);
            let (mut right_dw, mut right_db) = (vec![0.0; c], 0.0);
            for (i, p) in (0..n).flat_map(|i| (0..h * w).map(move |p| (i, p))) {
                let g = f64::from(slope[i * h * w + p]);
                let mut sum = f64::from(bias);
                for ch in 0..c {
                    sum += f64::from(weights[ch]) * value(i, ch, p);
                    right_dw[ch] += g * value(i, ch, p);
                    right_dx[(i * c + ch) * h * w + p] = g * f64::from(weights[ch]);
                }
                right_db += g;
                right.push(sum);
            }
            let blocked_x = blocked(isa, &x, s);
            let (scale, shift) = (per_channel(isa, &scale), per_channel(isa, &shift));
            let source = Source::active(&blocked_x, c, &scale, &shift, 0.0);
            let weights = per_channel(isa, &weights);
            let mut found = vec![f32::NAN; n * h * w];
            logits(isa, &source, (n, h * w), (&weights, bias), &mut found);
            let mut dx = vec![f32::NAN; s.blocked_len(isa)];
            let gradient = logits_backward(isa, &source, (n, h * w), &weights, &slope, &mut dx);
            let near = |found: &[f32], right: &[f64], what: &str| {
                let size = right.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
                for (f, r) in found.iter().zip(right) {
                    assert!(
                        (f64::from(*f) - r).abs() <= 1e-5 * size,
                        "{isa}: {what} {f}, right would be {r}"
                    );
                }
            };
            near(&found, &right, "logit");
            near(&plain(isa, &dx, s), &right_dx, "gradient");
            near(&gradient.weights[..c], &right_dw, "weight");
            near(&[gradient.bias], &[right_db], "bias");
            assert!(gradient.weights[c..].iter().all(|v| *v == 0.0), "lanes without a channel");
        }
    }
}

#[test]
fn sums_and_gates_and_their_gradients_equal_plain_loops() {
    let sigmoid = |z: f32| 1.0 / (1.0 + (-z).exp());
    for isa in Isa::available() {
        for (n, c, h, w) in [(2, 5, 8, 6), (1, 33, 70, 61), (3, 16, 1, 4)] {
            let s = Shape::new(n, c, h, w);
            let (x, other, dy) = (noise(n * c * h * w, 1), noise(n * c * h * w, 2), noise(n * c * h * w, 3));
            let (scale, shift, z) = (noise(c, 4), noise(c, 5), noise(n * h * w, 6));
            let channel = |i: usize| i / (h * w) % c;
            let pixel = |i: usize| i / (c * h * w) * h * w + i % (h * w);
            let value = |i: usize| scale[channel(i)].mul_add(x[i], shift[channel(i)]).max(0.0);
            let (bx, bo, bdy) = (blocked(isa, &x, s), blocked(isa, &other, s), blocked(isa, &dy, s));
            let (ps, pb) = (per_channel(isa, &scale), per_channel(isa, &shift));
            let source = Source::active(&bx, c, &ps, &pb, 0.0);
            let plain_other = Source::plain(&bo, c);
            let close = |found: &[f32], right: &dyn Fn(usize) -> f32| {
                assert!(
                    found.iter().enumerate().all(|(i, f)| (f - right(i)).abs() < 1e-4),
                    "{isa} {c}x{h}x{w}"
                );
            };
            let mut out = vec![f32::NAN; s.blocked_len(isa)];
            add(isa, (&source, Some(&plain_other)), (n, h * w), 0.0, &mut out);
            close(&plain(isa, &out, s), &|i| (value(i) + other[i]).max(0.0));
            add(isa, (&source, Some(&plain_other)), (n, h * w), 1.0, &mut out);
            close(&plain(isa, &out, s), &|i| value(i) + other[i]);
            add(isa, (&plain_other, None), (n, h * w), 1.0, &mut out);
            close(&plain(isa, &out, s), &|i| other[i]);

            let mut shares = vec![f32::NAN; n * h * w];
            gate(isa, &source, &z, (n, h * w), &mut shares, &mut out);
            close(&shares, &|i| sigmoid(z[i]));
            close(&plain(isa, &out, s), &|i| value(i) * sigmoid(z[pixel(i)]));
            let (mut dx, mut dz) = (vec![f32::NAN; out.len()], vec![f32::NAN; n * h * w]);
            gate_backward(isa, (&source, &shares), &Source::plain(&bdy, c), (n, h * w), &mut dx, &mut dz);
            close(&plain(isa, &dx, s), &|i| dy[i] * sigmoid(z[pixel(i)]));
            let mut right = vec![0.0f32; n * h * w];
            (0..x.len()).for_each(|i| right[pixel(i)] += dy[i] * value(i));
            close(&dz, &|p| right[p] * sigmoid(z[p]) * (1.0 - sigmoid(z[p])));
        }
    }
}
