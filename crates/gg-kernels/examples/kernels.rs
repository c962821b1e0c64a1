//! GFLOP/s of each convolution of the U-Net against the measured peak, changes of layout included.
//! `cargo run --release -p gg-kernels --example kernels -- [isa] [threads] [fp32|bf16]`
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a tool for the one who tunes the kernels

use gg_kernels::*;
use std::time::Instant;

fn best(mut f: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    let start = Instant::now();
    let mut rounds = 0;
    while rounds < 5 || (start.elapsed().as_secs_f64() < 0.4 && rounds < 100) {
        let t = Instant::now();
        f();
        best = best.min(t.elapsed().as_secs_f64());
        rounds += 1;
    }
    best
}

fn random(len: usize) -> Buffer {
    let mut b = Buffer::zeros(len);
    let mut s = 1u32;
    for v in b.iter_mut() {
        s = s.wrapping_mul(1664525).wrapping_add(1013904223);
        *v = (s >> 8) as f32 / 16777216.0 - 0.5;
    }
    b
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let isa = args.get(1).map_or_else(Isa::detect, |a| Isa::force(a).unwrap());
    let threads = args.get(2).map_or(2, |a| a.parse().unwrap());
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    let precision = if args.get(3).is_some_and(|a| a == "bf16") { Precision::Bf16 } else { Precision::Fp32 };
    let peak = fma_peak(isa, threads, 20);
    println!("{isa}, {threads} threads, peak {peak:.0} GFLOP/s");
    println!("{:>22} {:>8} {:>14} {:>14} {:>14}", "layer", "GFLOP", "forward", "data", "weights");
    let n = 8;
    let mut layers = vec![(128, vec![1], 32)];
    for k in 0..5 {
        let (c, s) = (32 << k, 128 >> k);
        if k > 0 {
            layers.push((s, vec![c / 2], c));
        }
        layers.push((s, vec![c], c));
        if k < 4 {
            layers.push((s, vec![c, c], c));
        }
    }
    let (mut total, mut times) = (0.0, [0.0; 3]);
    for (s, ins, out) in layers {
        let plan = if ins == [1] { ConvPlan::of_plane(out) } else { ConvPlan::new(3, &ins, out) };
        let shape = (n, s, s);
        let len = |c: usize| Shape::new(n, c, s, s).blocked_len(isa);
        let data: Vec<Buffer> =
            ins.iter().map(|&c| random(if c == 1 { n * s * s } else { len(c) })).collect();
        let (scale, shift) = (random(1024), random(1024));
        let sources: Vec<_> = ins
            .iter()
            .zip(&data)
            .map(|(&c, d)| if c == 1 { Source::plane(d) } else { Source::active(d, c, &scale, &shift, 0.0) })
            .collect();
        let weights = random(plan.packed_len(isa));
        let mut y = Buffer::zeros(len(out));
        let flops = (2 * 9 * n * s * s * out * ins.iter().sum::<usize>()) as f64 / 1e9;
        let mut sums = ChannelSums::default();
        let t_forward = best(|| {
            let dest = Dest { data: &mut y, channels: out };
            forward(
                isa,
                &plan,
                precision,
                shape,
                &sources,
                &weights,
                &mut [dest],
                After::NONE,
                Some(&mut sums),
            );
        });
        let grad = random(len(out));
        let z = random(len(out));
        let g = Source {
            data: &grad,
            channels: out,
            read: Read::Gradient(Gradient {
                z: &z,
                scale: &scale,
                shift: &shift,
                slope: 0.0,
                a: &scale,
                b: &shift,
                c: &shift,
                before: 1.0,
            }),
        };
        let t_data = if ins == [1] {
            f64::NAN
        } else {
            let back = plan.backward();
            let mut packed = Buffer::zeros(back.packed_len(isa));
            plan.pack_backward(isa, &weights, &mut packed);
            let mut dx: Vec<Buffer> = ins.iter().map(|&c| Buffer::zeros(len(c))).collect();
            best(|| {
                let mut dests: Vec<_> =
                    dx.iter_mut().zip(&ins).map(|(d, &c)| Dest { data: d, channels: c }).collect();
                forward(isa, &back, precision, shape, &[g], &packed, &mut dests, After::NONE, None);
            })
        };
        let mut dw = Buffer::zeros(plan.packed_len(isa));
        let mut partial = Buffer::zeros(0);
        let t_weights =
            best(|| backward_weights(isa, &plan, precision, shape, &sources, &g, &mut dw, &mut partial));
        let show = |t: f64| format!("{:7.0} {:4.0} %", flops / t, 100.0 * flops / t / peak);
        println!(
            "{:>22} {:8.3} {:>14} {:>14} {:>14}",
            format!("{s}x{s} {ins:?} {out}"),
            flops,
            show(t_forward),
            show(t_data),
            show(t_weights)
        );
        if ins != [1] {
            total += flops;
            times[0] += t_forward;
            times[1] += t_data;
            times[2] += t_weights;
        }
    }
    for (name, t) in ["forward", "data", "weights"].iter().zip(times) {
        println!("{name}: {:.0} GFLOP/s, {:.1} %  ({:.1} ms)", total / t, 100.0 * total / t / peak, t * 1e3);
    }
}
