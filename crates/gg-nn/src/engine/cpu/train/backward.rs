//! The backward pass.

use super::super::program::{From, Kind, Step};
use super::super::store::{Pool, Way};
use super::super::{CpuEngine, grid, input_size, lost};
use super::{Pass, sources};
use crate::engine::{EngineError, Images};
use crate::weights::{Tensor, Weights};
use gg_kernels::{
    After, Buffer, Dest, Gradient, Norm, Read, Source, add, channel_sums, gate_backward, gradient_sums,
    logits_backward, max_pool_backward, multiply, norm_backward,
};
use rayon::prelude::*;

/// Vectors of one channel count: ones and zeros.
struct Constants {
    ones: Vec<f32>,
    zeros: Vec<f32>,
}

pub(super) fn backward_pass(
    engine: &CpuEngine,
    pool: &mut Pool,
    images: &Images<'_>,
    sizes: &[(usize, usize)],
    pass: &mut Pass,
    first: Vec<(usize, Buffer)>,
    by_param: &mut Weights,
) -> Result<(), EngineError> {
    let (isa, n) = (engine.isa, images.n);
    let count = engine.program.steps.len();
    let mut grads: Vec<Option<Buffer>> = (0..count).map(|_| None).collect();
    for (end, gradient) in first {
        grads[end] = Some(gradient);
    }
    let mut scratch = pool.take(0);
    for i in (0..count).rev() {
        let (h, w) = sizes[i];
        let dy = grads[i].take().ok_or_else(lost)?;
        // Buffers for the gradients of the inputs first, while nothing borrows the pool.
        let inputs = engine.program.steps[i].inputs.clone();
        let mut fresh = Vec::new();
        let mut added = false;
        for from in &inputs {
            fresh.push(match *from {
                From::Image => Buffer::zeros(0),
                From::Step(s) => match grads[s].take() {
                    // A pooling adds to a gradient that is there; all others get a new one.
                    Some(there) if matches!(engine.program.steps[i].kind, Kind::Pool) => {
                        added = true;
                        there
                    }
                    there => {
                        grads[s] = there;
                        pool.take(engine.result_len(s, n, sizes[s]))
                    }
                },
            });
        }
        let step = &engine.program.steps[i];
        let params = &engine.params[i];
        let width = gg_kernels::padded(step.channels, isa);
        let constants = Constants { ones: vec![1.0; width], zeros: vec![0.0; width] };
        let z = pass.results[i].as_deref().ok_or_else(lost)?;
        let relu_inside = step.relu_inside();
        let back = match (&step.norm, &pass.norms[i]) {
            (Some(of), Some(norm)) => {
                let mean = norm.mean.clone();
                let zeros = &constants.zeros;
                let source = gradient_source(&dy, z, step, norm, (zeros, zeros, zeros), relu_inside);
                let sums = gradient_sums(isa, &source, n, h * w, &mean);
                let back = norm_backward(norm, &sums, n * h * w, &params.gamma, of.eps);
                put(by_param, &format!("{}.weight", of.name), &[step.channels], &back.gamma);
                put(by_param, &format!("{}.bias", of.name), &[step.channels], &back.beta);
                Some(back)
            }
            _ => None,
        };
        let gradient = match (&back, &pass.norms[i]) {
            (Some(back), Some(norm)) => {
                gradient_source(&dy, z, step, norm, (&back.a, &back.b, &back.c), relu_inside)
            }
            _ if relu_inside => Source {
                data: &dy,
                channels: step.channels,
                read: Read::Gradient(Gradient {
                    z,
                    scale: &constants.ones,
                    shift: &constants.zeros,
                    slope: 1.0,
                    a: &constants.ones,
                    b: &constants.zeros,
                    c: &constants.zeros,
                    before: 0.0,
                }),
            },
            _ => Source::plain(&dy, step.channels),
        };
        match &step.kind {
            Kind::Conv { name, bias, .. } if step.plane => {
                let read = sources(engine, pass, images, step)?;
                let (weights, _) = params.to_logits(isa, &read[0]);
                let back = logits_backward(isa, &read[0], (n, h * w), &weights, &dy, &mut fresh[0]);
                put(by_param, &format!("{name}.weight"), &[1, read[0].channels, 1, 1], &back.weights);
                if *bias {
                    put(by_param, &format!("{name}.bias"), &[1], &[back.bias]);
                }
            }
            Kind::Conv { plan, name, bias, .. } => {
                if *bias {
                    let sums = channel_sums(isa, &gradient, n, h * w);
                    let sums: Vec<f32> = sums.sum.iter().map(|v| *v as f32).collect();
                    put(by_param, &format!("{name}.bias"), &[step.channels], &sums);
                }
                let size = (n, grid(step, h), grid(step, w));
                let read = sources(engine, pass, images, step)?;
                let way = Way::in_training(isa, plan, engine.precision, (size.1, size.2));
                let name = format!("{name}.weight");
                let shape = engine.graph.params.iter().find(|p| p.name == name).map(|p| p.shape.clone());
                let shape = shape.ok_or_else(lost)?;
                let mut tensor = pool.tensor(&name, &shape);
                way.backward_weights(isa, plan, size, &read, &gradient, (&mut tensor.values, &mut scratch));
                by_param.tensors.insert(name, tensor);
                if !inputs.contains(&From::Image) {
                    let back = plan.backward();
                    let mut packed = pool.take(back.packed_len(isa));
                    plan.pack_backward(isa, &params.weights, &mut packed);
                    let way = Way::in_training(isa, &back, engine.precision, (size.1, size.2));
                    let own = way.weights(isa, &back, &packed, pool);
                    let weights = own.as_ref().unwrap_or(&packed);
                    let mut dests: Vec<Dest<'_>> = fresh
                        .iter_mut()
                        .zip(&plan.inputs)
                        .map(|(data, channels)| Dest { data, channels: *channels })
                        .collect();
                    let read = [gradient];
                    way.convolve(isa, &back, size, (&read, weights), &mut dests, (After::NONE, None));
                    drop(dests);
                    pool.give(packed);
                    pool.give(own.unwrap_or_default());
                }
            }
            Kind::Pool => {
                let read = sources(engine, pass, images, step)?;
                let (ih, iw) = input_size(step, sizes, images);
                max_pool_backward(isa, &read[0], (n, ih, iw), &gradient, &mut fresh[0], added);
            }
            Kind::Dropout { .. } => {
                let mask = pass.masks[i].as_deref().ok_or_else(lost)?;
                multiply(isa, &gradient, n, h * w, mask, &mut fresh[0]);
            }
            Kind::Add { .. } => {
                for to in &mut fresh {
                    add(isa, (&gradient, None), (n, h * w), 1.0, to);
                }
            }
            Kind::Gate => {
                let read = sources(engine, pass, images, step)?;
                let shares = pass.masks[i].as_deref().ok_or_else(lost)?;
                let [to_source, to_logits] = fresh.as_mut_slice() else { return Err(lost()) };
                gate_backward(isa, (&read[0], shares), &gradient, (n, h * w), to_source, to_logits);
            }
        }
        for (from, buffer) in inputs.iter().zip(fresh) {
            let From::Step(s) = *from else { continue };
            match &mut grads[s] {
                None => grads[s] = Some(buffer),
                Some(there) if !added => {
                    let len = engine.result_len(s, n, sizes[s]);
                    let sums = there[..len].par_iter_mut().zip(&buffer[..len]).with_min_len(1 << 12);
                    sums.for_each(|(t, v)| *t += v);
                    pool.give(buffer);
                }
                Some(_) => return Err(lost()),
            }
        }
        pool.give(dy);
        // Nobody reads this result any more: its readers come later and are done.
        if let Some(result) = pass.results[i].take() {
            pool.give(result);
        }
    }
    Ok(())
}

fn gradient_source<'a>(
    dy: &'a [f32],
    z: &'a [f32],
    step: &Step,
    norm: &'a Norm,
    (a, b, c): (&'a [f32], &'a [f32], &'a [f32]),
    relu_inside: bool,
) -> Source<'a> {
    Source {
        data: dy,
        channels: step.channels,
        read: Read::Gradient(Gradient {
            z,
            scale: &norm.scale,
            shift: &norm.shift,
            slope: if step.relu { 0.0 } else { 1.0 },
            a,
            b,
            c,
            before: if relu_inside { 0.0 } else { 1.0 },
        }),
    }
}

fn put(by_param: &mut Weights, name: &str, shape: &[usize], padded: &[f32]) {
    let values = padded[..shape.iter().product()].to_vec();
    by_param.tensors.insert(name.to_owned(), Tensor { shape: shape.to_vec(), values });
}
