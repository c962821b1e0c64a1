//! One training step: forward with batch statistics and dropout, the loss, backward.

use super::program::{Flat, From, Kind, Step};
use super::store::{Pool, Way};
use super::{CpuEngine, grid, image_source, input_size, lost};
use crate::engine::{BatchStats, DropoutKey, EngineError, Gradients, Images, LossFn, dropout_mask};
use crate::weights::{Tensor, Weights};
use gg_kernels::{
    After, Buffer, ChannelSums, Dest, Gradient, Norm, Read, Shape, Source, add, average_pool,
    average_pool_backward, channel_sums, dense, dense_backward, from_blocked, gate, gate_backward,
    gradient_sums, logits, logits_backward, max_pool, max_pool_backward, multiply, norm_backward,
    norm_of_batch, to_blocked,
};
use rayon::prelude::*;

/// What the forward pass leaves for the backward pass.
struct Pass {
    /// Raw result of each step.
    results: Vec<Option<Buffer>>,
    norms: Vec<Option<Norm>>,
    /// Factors of dropout steps, shares of gates.
    masks: Vec<Option<Buffer>>,
    image: Buffer,
}

/// Vectors of one channel count: ones and zeros.
struct Constants {
    ones: Vec<f32>,
    zeros: Vec<f32>,
}

pub(super) fn gradients(
    engine: &mut CpuEngine,
    images: &Images<'_>,
    key: DropoutKey,
    loss: &mut LossFn<'_>,
) -> Result<Gradients, EngineError> {
    // The pool apart, so that tensors can be borrowed while buffers come and go.
    let mut pool = std::mem::take(&mut engine.pool);
    let result = gradients_with(engine, &mut pool, images, key, loss);
    engine.pool = pool;
    result
}

fn gradients_with(
    engine: &CpuEngine,
    pool: &mut Pool,
    images: &Images<'_>,
    key: DropoutKey,
    loss: &mut LossFn<'_>,
) -> Result<Gradients, EngineError> {
    let (sizes, _) = engine.check(images)?;
    let mut out = Gradients::default();
    let mut pass = forward_pass(engine, pool, images, &sizes, key, &mut out.batch_stats)?;
    let sizes_of_batch = (images.n, sizes.as_slice());
    let first = if engine.program.head.is_some() {
        through_head(engine, pool, &pass, sizes_of_batch, key, loss, &mut out)?
    } else {
        at_ends(engine, pool, &pass, sizes_of_batch, loss, &mut out)?
    };
    backward_pass(engine, pool, images, &sizes, &mut pass, first, &mut out.by_param)?;
    for buffer in pass.results.into_iter().chain(pass.masks).flatten() {
        pool.give(buffer);
    }
    pool.give(pass.image);
    Ok(out)
}

/// The dense layers and back: the gradient of the last step's result.
fn through_head(
    engine: &CpuEngine,
    pool: &mut Pool,
    pass: &Pass,
    (n, sizes): (usize, &[(usize, usize)]),
    key: DropoutKey,
    loss: &mut LossFn<'_>,
    out: &mut Gradients,
) -> Result<Vec<(usize, Buffer)>, EngineError> {
    let isa = engine.isa;
    let head = engine.program.head.as_ref().ok_or_else(lost)?;
    let last = engine.program.steps.len() - 1;
    let (h, w) = sizes[last];
    let channels = engine.program.steps[last].channels;
    let mut gradient = pool.take(engine.result_len(last, n, (h, w)));
    let mut x = vec![0.0; n * channels];
    average_pool(isa, &view(&engine.program.steps, pass, last)?, n, h * w, &mut x);
    let weights = engine.weights.as_ref().ok_or(EngineError::NoWeights)?;
    let (logits, kept) = head_forward(head, weights, x, n, key);
    out.logits = logits;
    let slope = slope_of(loss, out)?;
    let dx = head_backward(head, weights, &kept, slope, n, &mut out.by_param);
    average_pool_backward(isa, channels, n, h * w, &dx, &mut gradient);
    Ok(vec![(last, gradient)])
}

/// The loss of all logits, those of the last step first: the gradient of each end's result.
fn at_ends(
    engine: &CpuEngine,
    pool: &mut Pool,
    pass: &Pass,
    (n, sizes): (usize, &[(usize, usize)]),
    loss: &mut LossFn<'_>,
    out: &mut Gradients,
) -> Result<Vec<(usize, Buffer)>, EngineError> {
    let isa = engine.isa;
    let steps = &engine.program.steps;
    let shape = |end: usize| Shape::new(n, steps[end].channels, sizes[end].0, sizes[end].1);
    let len = |end: usize| n * steps[end].channels * shape(end).pixels();
    for &end in &engine.program.ends {
        let result = pass.results[end].as_deref().ok_or_else(lost)?;
        if steps[end].plane {
            out.logits.extend_from_slice(&result[..len(end)]);
        } else {
            let from = out.logits.len();
            out.logits.resize(from + len(end), 0.0);
            from_blocked(isa, result, shape(end), &mut out.logits[from..]);
        }
    }
    let slope = slope_of(loss, out)?;
    let (mut from, mut gradients) = (0, Vec::new());
    for &end in &engine.program.ends {
        let slope = &slope[from..from + len(end)];
        from += slope.len();
        let mut gradient = pool.take(engine.result_len(end, n, sizes[end]));
        if steps[end].plane {
            gradient[..slope.len()].copy_from_slice(slope);
        } else {
            to_blocked(isa, slope, shape(end), &mut gradient);
        }
        gradients.push((end, gradient));
    }
    Ok(gradients)
}

/// Derivative of the loss by each logit.
fn slope_of(loss: &mut LossFn<'_>, out: &mut Gradients) -> Result<Vec<f32>, EngineError> {
    let (value, slope) = loss(&out.logits);
    if slope.len() != out.logits.len() {
        return Err(EngineError::Len { found: slope.len(), right: out.logits.len() });
    }
    out.loss = value;
    Ok(slope)
}

/// The result of a step as its readers see it.
fn view<'a>(steps: &[Step], pass: &'a Pass, s: usize) -> Result<Source<'a>, EngineError> {
    let data = pass.results[s].as_deref().ok_or_else(lost)?;
    let slope = if steps[s].relu { 0.0 } else { 1.0 };
    Ok(match &pass.norms[s] {
        None => Source::plain(data, steps[s].channels),
        Some(norm) => Source::active(data, steps[s].channels, &norm.scale, &norm.shift, slope),
    })
}

fn sources<'a>(
    engine: &CpuEngine,
    pass: &'a Pass,
    images: &Images<'a>,
    step: &Step,
) -> Result<Vec<Source<'a>>, EngineError> {
    step.inputs
        .iter()
        .map(|from| match from {
            From::Image => Ok(image_source(step, &pass.image, images, engine.graph.in_channels())),
            From::Step(s) => view(&engine.program.steps, pass, *s),
        })
        .collect()
}

fn forward_pass(
    engine: &CpuEngine,
    pool: &mut Pool,
    images: &Images<'_>,
    sizes: &[(usize, usize)],
    key: DropoutKey,
    stats: &mut Vec<BatchStats>,
) -> Result<Pass, EngineError> {
    let (isa, n) = (engine.isa, images.n);
    let count = engine.program.steps.len();
    let mut pass = Pass {
        results: (0..count).map(|_| None).collect(),
        norms: (0..count).map(|_| None).collect(),
        masks: (0..count).map(|_| None).collect(),
        image: engine.image(images, pool),
    };
    for i in 0..count {
        let (h, w) = sizes[i];
        let shape = Shape::new(n, engine.program.steps[i].channels, h, w);
        let mut out = pool.take(engine.result_len(i, n, (h, w)));
        let mut mask = match engine.program.steps[i].kind {
            Kind::Dropout { .. } => Some(pool.take(shape.blocked_len(isa))),
            Kind::Gate => Some(pool.take(n * h * w)),
            _ => None,
        };
        let step = &engine.program.steps[i];
        let inputs = sources(engine, &pass, images, step)?;
        let params = &engine.params[i];
        let mut sums = ChannelSums::default();
        match &step.kind {
            Kind::Conv { .. } if step.plane => {
                let (weights, bias) = params.to_logits(isa, &inputs[0]);
                logits(isa, &inputs[0], (n, h * w), (&weights, bias), &mut out);
            }
            Kind::Conv { plan, bias, relu, .. } => {
                let after = After {
                    bias: bias.then_some(params.bias.as_slice()),
                    slope: if *relu { 0.0 } else { 1.0 },
                };
                let dest = Dest { data: &mut out, channels: step.channels };
                let sums = step.norm.is_some().then_some(&mut sums);
                let size = (n, grid(step, h), grid(step, w));
                let way = Way::in_training(isa, plan, engine.precision, (size.1, size.2));
                let own = way.weights(isa, plan, &params.weights, pool);
                let weights = own.as_ref().unwrap_or(&params.weights);
                way.convolve(isa, plan, size, (&inputs, weights), &mut [dest], (after, sums));
                pool.give(own.unwrap_or_default());
            }
            Kind::Pool => {
                let (ih, iw) = input_size(step, sizes, images);
                max_pool(isa, &inputs[0], (n, ih, iw), &mut out);
                if step.norm.is_some() {
                    sums = channel_sums(isa, &Source::plain(&out, step.channels), n, h * w);
                }
            }
            Kind::Dropout { rate } => {
                if let Some(mask) = &mut mask {
                    let factors = dropout_mask(key, step.layer, *rate, n * step.channels * h * w);
                    to_blocked(isa, &factors, shape, mask);
                    multiply(isa, &inputs[0], n, h * w, mask, &mut out);
                }
            }
            Kind::Add { relu } => {
                let slope = if *relu { 0.0 } else { 1.0 };
                add(isa, (&inputs[0], inputs.get(1)), (n, h * w), slope, &mut out);
            }
            Kind::Gate => {
                if let Some(shares) = &mut mask {
                    gate(isa, &inputs[0], inputs[1].data, (n, h * w), shares, &mut out);
                }
            }
        }
        if let Some(of) = &step.norm {
            let values = n * h * w;
            let norm = norm_of_batch(&sums, values, &params.gamma, &params.beta, of.eps);
            stats.push(BatchStats {
                layer: of.name.clone(),
                mean: norm.mean[..step.channels].to_vec(),
                biased_var: norm.variance[..step.channels].to_vec(),
                count: values,
            });
            pass.norms[i] = Some(norm);
        }
        pass.results[i] = Some(out);
        pass.masks[i] = mask;
    }
    Ok(pass)
}

fn backward_pass(
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

/// The dense layers: logits, and the input of each layer (for dropout its factors).
fn head_forward(
    head: &[Flat],
    weights: &Weights,
    mut x: Vec<f32>,
    n: usize,
    key: DropoutKey,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let mut kept = Vec::new();
    for layer in head {
        match layer {
            Flat::Linear { name, outputs } => {
                let mut y = vec![0.0; n * outputs];
                let weight = weights.values(&format!("{name}.weight"));
                dense(&x, weight, weights.values(&format!("{name}.bias")), n, &mut y);
                kept.push(std::mem::replace(&mut x, y));
            }
            Flat::Relu => {
                kept.push(x.clone());
                x.iter_mut().for_each(|v| *v = v.max(0.0));
            }
            Flat::Dropout { rate, layer } => {
                let mask = dropout_mask(key, *layer, *rate, x.len());
                x.iter_mut().zip(&mask).for_each(|(v, m)| *v *= m);
                kept.push(mask);
            }
        }
    }
    (x, kept)
}

/// Gradient of the head's input.
fn head_backward(
    head: &[Flat],
    weights: &Weights,
    kept: &[Vec<f32>],
    mut dy: Vec<f32>,
    n: usize,
    by_param: &mut Weights,
) -> Vec<f32> {
    for (layer, x) in head.iter().zip(kept).rev() {
        match layer {
            Flat::Linear { name, outputs } => {
                let weight = weights.values(&format!("{name}.weight"));
                let mut dx = vec![0.0; x.len()];
                let mut dw = Tensor::filled(&[*outputs, weight.len() / (*outputs).max(1)], 0.0);
                let mut db = Tensor::filled(&[*outputs], 0.0);
                dense_backward(x, weight, &dy, n, *outputs, (&mut dx, &mut dw.values, &mut db.values));
                by_param.tensors.insert(format!("{name}.weight"), dw);
                by_param.tensors.insert(format!("{name}.bias"), db);
                dy = dx;
            }
            Flat::Relu => {
                dy.iter_mut().zip(x).for_each(|(g, x)| {
                    if *x <= 0.0 {
                        *g = 0.0;
                    }
                });
            }
            Flat::Dropout { .. } => dy.iter_mut().zip(x).for_each(|(g, m)| *g *= m),
        }
    }
    dy
}
