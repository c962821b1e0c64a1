//! One training step: forward with batch statistics and dropout, the loss, backward.

mod backward;
mod forward;
mod head;

use super::program::{From, Step};
use super::store::Pool;
use super::{CpuEngine, image_source, lost};
use crate::engine::{DropoutKey, EngineError, Gradients, Images, LossFn};
use backward::backward_pass;
use forward::forward_pass;
use gg_kernels::{
    Buffer, Norm, Shape, Source, average_pool, average_pool_backward, from_blocked, to_blocked,
};
use head::{head_backward, head_forward};

/// What the forward pass leaves for the backward pass.
struct Pass {
    /// Raw result of each step.
    results: Vec<Option<Buffer>>,
    norms: Vec<Option<Norm>>,
    /// Factors of dropout steps, shares of gates.
    masks: Vec<Option<Buffer>>,
    image: Buffer,
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
