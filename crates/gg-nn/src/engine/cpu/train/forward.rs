//! The forward pass of training.

use super::super::program::Kind;
use super::super::store::{Pool, Way};
use super::super::{CpuEngine, grid, input_size};
use super::{Pass, sources};
use crate::engine::{BatchStats, DropoutKey, EngineError, Images, dropout_mask};
use gg_kernels::{
    After, ChannelSums, Dest, Shape, Source, add, channel_sums, gate, logits, max_pool, multiply,
    norm_of_batch, to_blocked,
};

pub(super) fn forward_pass(
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
