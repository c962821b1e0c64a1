//! Executes a [`Graph`] with the kernels of gg-kernels: the fast way on a CPU.
//!
//! Stored are only raw results of convolutions; batch norm, ReLU and their backward passes happen while the next
//! kernel reads (see `gg_kernels::Source`). For prediction batch norm is folded into the weights where it directly
//! follows its convolution.

mod int8;
mod program;
mod store;
mod train;
mod watch;

use super::{Arithmetic, DropoutKey, Engine, EngineError, Gradients, Images, LossFn};
use crate::net::Graph;
use crate::weights::Weights;
use gg_kernels::{
    After, Buffer, Dest, Isa, Precision, Shape, Source, add, average_pool, dense, from_blocked, gate, logits,
    max_pool, norm_of_running, to_blocked,
};
use program::{Flat, From, Kind, Program, Step};
use std::sync::Arc;
use store::{Params, Pool, Way, fold, load};

pub use int8::Int8Engine;

/// Pixels that one pass of a prediction takes at most (several small images, or one large).
const PIXELS_AT_ONCE: usize = 128 * 1024;

/// gg-kernels on one instruction set.
pub struct CpuEngine {
    graph: Graph,
    program: Program,
    isa: Isa,
    precision: Precision,
    name: String,
    /// The values of dense layers as they came.
    weights: Option<Arc<Weights>>,
    params: Arc<Vec<Params>>,
    /// What prediction reads and multiplies with, made from `params` when first needed for images of one size.
    folded: Option<(Sizes, Arc<Vec<Folded>>)>,
    pool: Pool,
}

/// Rows and columns of each step's result.
type Sizes = Vec<(usize, usize)>;

/// One step as the prediction sees it.
struct Folded {
    way: Way,
    weights: Option<Buffer>,
    bias: Vec<f32>,
    /// Slope of the activation on the way to memory.
    slope: f32,
    /// Scale, shift and slope of the readers, where batch norm could not be folded.
    view: Option<(Vec<f32>, Vec<f32>, f32)>,
}

impl CpuEngine {
    /// An engine for this network.
    ///
    /// # Errors
    /// A network that these kernels have no steps for; a precision that the instruction set lacks.
    pub fn new(graph: Graph, arithmetic: Arithmetic) -> Result<Self, EngineError> {
        arithmetic.check()?;
        let (isa, precision) = (arithmetic.isa, arithmetic.precision.of_floats()?);
        let program = Program::new(&graph)?;
        let name = match precision {
            Precision::Fp32 => format!("cpu-{isa}"),
            Precision::Bf16 => format!("cpu-{isa}-bf16"),
        };
        Ok(Self {
            graph,
            program,
            isa,
            precision,
            name,
            weights: None,
            params: Arc::default(),
            folded: None,
            pool: Pool::default(),
        })
    }

    fn check(&self, images: &Images<'_>) -> Result<(Sizes, usize), EngineError> {
        images.check(self.graph.in_channels())?;
        let shapes = self.graph.shapes(images.height, images.width)?;
        Ok((self.program.sizes(&shapes), self.graph.output_len(images.height, images.width)?))
    }

    /// What prediction multiplies with for images of such sizes: made anew only where they change.
    fn folded(&mut self, sizes: Sizes) -> Arc<Vec<Folded>> {
        match &self.folded {
            Some((of, folded)) if *of == sizes => folded.clone(),
            _ => {
                // What was there goes first: the two are never in memory together.
                self.folded = None;
                let folded = Arc::new(self.fold(&sizes));
                self.folded = Some((sizes, folded.clone()));
                folded
            }
        }
    }

    fn fold(&self, sizes: &Sizes) -> Vec<Folded> {
        let steps = self.program.steps.iter().zip(self.params.iter()).zip(sizes);
        steps
            .map(|((step, p), size)| {
                let way = self.way(step, *size);
                let norm = step
                    .norm
                    .as_ref()
                    .map(|n| norm_of_running(&p.mean, &p.variance, &p.gamma, &p.beta, n.eps));
                let slope_of = |relu: bool| if relu { 0.0 } else { 1.0 };
                match (&step.kind, norm) {
                    (Kind::Conv { plan, bias: false, relu: false, .. }, Some(norm)) => Folded {
                        way,
                        weights: Some(fold(self.isa, plan, &p.weights, &norm.scale, way)),
                        bias: norm.shift,
                        slope: slope_of(step.relu),
                        view: None,
                    },
                    (kind, norm) => Folded {
                        way,
                        weights: match kind {
                            Kind::Conv { plan, .. } => {
                                way.weights(self.isa, plan, &p.weights, &mut Pool::default())
                            }
                            _ => None,
                        },
                        bias: p.bias.clone(),
                        slope: slope_of(step.relu_inside()),
                        view: norm.map(|n| (n.scale, n.shift, slope_of(step.relu))),
                    },
                }
            })
            .collect()
    }

    /// How a step is computed whose result has this size.
    fn way(&self, step: &Step, (h, w): (usize, usize)) -> Way {
        match &step.kind {
            Kind::Conv { plan, .. } => {
                Way::of(self.isa, plan, self.precision, (grid(step, h), grid(step, w)))
            }
            _ => Way::Direct(self.precision),
        }
    }

    /// Logits of a few images.
    fn predict_some(
        &self,
        pool: &mut Pool,
        images: &Images<'_>,
        folded: &[Folded],
        watch: &mut watch::Watch<'_>,
    ) -> Result<Vec<f32>, EngineError> {
        let (sizes, per_image) = self.check(images)?;
        let (isa, n) = (self.isa, images.n);
        let image = self.image(images, pool);
        let steps = &self.program.steps;
        // Dropout does nothing here: its readers read its input.
        let resolve = |from: From| {
            let mut from = from;
            while let From::Step(s) = from {
                match steps[s].kind {
                    Kind::Dropout { .. } => from = steps[s].inputs[0],
                    _ => break,
                }
            }
            from
        };
        let mut last_use = vec![usize::MAX; steps.len()];
        let needed = |i: &usize| self.program.predicts[*i];
        for i in (0..steps.len()).filter(needed) {
            for from in &steps[i].inputs {
                if let From::Step(s) = resolve(*from) {
                    last_use[s] = i;
                }
            }
        }
        let mut buffers: Vec<Option<Buffer>> = (0..steps.len()).map(|_| None).collect();
        for (i, step) in steps.iter().enumerate() {
            let (h, w) = sizes[i];
            if matches!(step.kind, Kind::Dropout { .. }) || !needed(&i) {
                continue;
            }
            let source = |from: &From| -> Result<Source<'_>, EngineError> {
                match resolve(*from) {
                    From::Image => Ok(image_source(step, &image, images, self.graph.in_channels())),
                    From::Step(s) => {
                        let data = buffers[s].as_deref().ok_or_else(lost)?;
                        Ok(match &folded[s].view {
                            None => Source::plain(data, steps[s].channels),
                            Some((scale, shift, slope)) => {
                                Source::active(data, steps[s].channels, scale, shift, *slope)
                            }
                        })
                    }
                }
            };
            let sources = step.inputs.iter().map(source).collect::<Result<Vec<_>, _>>()?;
            if step.plane && i + 1 == steps.len() {
                let mut values = vec![0.0; n * h * w];
                let (weights, bias) = self.params[i].to_logits(isa, &sources[0]);
                logits(isa, &sources[0], (n, h * w), (&weights, bias), &mut values);
                watch(i, &values);
                drop(sources);
                buffers.into_iter().flatten().for_each(|b| pool.give(b));
                pool.give(image);
                return Ok(values);
            }
            let mut out = pool.take(self.result_len(i, n, (h, w)));
            match &step.kind {
                Kind::Conv { .. } if step.plane => {
                    let (weights, bias) = self.params[i].to_logits(isa, &sources[0]);
                    logits(isa, &sources[0], (n, h * w), (&weights, bias), &mut out);
                }
                Kind::Conv { plan, .. } => {
                    let f = &folded[i];
                    let weights = f.weights.as_ref().unwrap_or(&self.params[i].weights);
                    let after =
                        After { bias: (!f.bias.is_empty()).then_some(f.bias.as_slice()), slope: f.slope };
                    let dest = Dest { data: &mut out, channels: step.channels };
                    let size = (n, grid(step, h), grid(step, w));
                    f.way.convolve(isa, plan, size, (&sources, weights), &mut [dest], (after, None));
                }
                Kind::Pool => {
                    let (ih, iw) = input_size(step, &sizes, images);
                    max_pool(isa, &sources[0], (n, ih, iw), &mut out);
                }
                Kind::Add { .. } => {
                    let slope = folded[i].slope;
                    add(isa, (&sources[0], sources.get(1)), (n, h * w), slope, &mut out);
                }
                Kind::Gate => {
                    let mut shares = pool.take(n * h * w);
                    gate(isa, &sources[0], sources[1].data, (n, h * w), &mut shares, &mut out);
                    pool.give(shares);
                }
                Kind::Dropout { .. } => {}
            }
            drop(sources);
            watch(i, &out);
            buffers[i] = Some(out);
            for (s, last) in last_use.iter().enumerate() {
                if *last == i
                    && let Some(buffer) = buffers[s].take()
                {
                    pool.give(buffer);
                }
            }
        }
        let last = steps.len() - 1;
        let From::Step(last) = resolve(From::Step(last)) else { return Err(lost()) };
        let out = buffers[last].take().ok_or_else(lost)?;
        let (h, w) = sizes[last];
        let shape = Shape::new(n, steps[last].channels, h, w);
        let logits = match &self.program.head {
            None => {
                let mut logits = vec![0.0; n * per_image];
                from_blocked(isa, &out, shape, &mut logits);
                logits
            }
            Some(head) => {
                let source = match &folded[last].view {
                    None => Source::plain(&out, shape.c),
                    Some((scale, shift, slope)) => Source::active(&out, shape.c, scale, shift, *slope),
                };
                let mut x = vec![0.0; n * shape.c];
                average_pool(isa, &source, n, h * w, &mut x);
                flat_layers(head, self.weights.as_ref().ok_or(EngineError::NoWeights)?, n, x)
            }
        };
        pool.give(out);
        pool.give(image);
        Ok(logits)
    }

    /// Floats of a step's result for `n` images.
    fn result_len(&self, step: usize, n: usize, (h, w): (usize, usize)) -> usize {
        if self.program.steps[step].plane {
            return n * h * w;
        }
        Shape::new(n, self.program.steps[step].channels, h, w).blocked_len(self.isa)
    }

    /// The images in the blocked layout; nothing where the kernels read them as they are.
    fn image(&self, images: &Images<'_>, pool: &mut Pool) -> Buffer {
        let channels = self.graph.in_channels();
        if self.reads_planes() {
            return Buffer::zeros(0);
        }
        let shape = Shape::new(images.n, channels, images.height, images.width);
        let mut buffer = pool.take(shape.blocked_len(self.isa));
        to_blocked(self.isa, images.values, shape, &mut buffer);
        buffer
    }

    fn reads_planes(&self) -> bool {
        self.program.steps.iter().all(|s| match &s.kind {
            Kind::Conv { plan, .. } => plan.plane || !s.inputs.contains(&From::Image),
            _ => true,
        })
    }
}

impl Engine for CpuEngine {
    fn name(&self) -> &str {
        &self.name
    }

    fn arithmetic(&self) -> Arithmetic {
        Arithmetic { isa: self.isa, precision: self.precision.into() }
    }

    fn set_weights(&mut self, weights: &Weights) -> Result<(), EngineError> {
        weights.check(&self.graph)?;
        self.folded = None;
        load(self.isa, &self.program, weights, Arc::make_mut(&mut self.params));
        keep_flat(&self.program, weights, Arc::make_mut(self.weights.get_or_insert_default()));
        Ok(())
    }

    fn predict(&mut self, images: &Images<'_>) -> Result<Vec<f32>, EngineError> {
        let (sizes, per_image) = self.check(images)?;
        if self.weights.is_none() {
            return Err(EngineError::NoWeights);
        }
        let folded = self.folded(sizes);
        let mut pool = std::mem::take(&mut self.pool);
        let values = self.graph.in_channels() * images.height * images.width;
        let at_once = (PIXELS_AT_ONCE / (images.height * images.width)).max(1);
        let mut logits = Vec::with_capacity(images.n * per_image);
        for some in images.values.chunks((at_once * values).max(1)) {
            let some = Images { values: some, n: some.len() / values.max(1), ..*images };
            logits.extend(self.predict_some(&mut pool, &some, &folded, &mut |_, _| ())?);
        }
        self.pool = pool;
        Ok(logits)
    }

    fn twin(&mut self, height: usize, width: usize) -> Result<Option<Box<dyn Engine>>, EngineError> {
        if self.weights.is_none() {
            return Err(EngineError::NoWeights);
        }
        let sizes = self.program.sizes(&self.graph.shapes(height, width)?);
        let folded = Some((sizes.clone(), self.folded(sizes)));
        Ok(Some(Box::new(Self {
            graph: self.graph.clone(),
            program: self.program.clone(),
            isa: self.isa,
            precision: self.precision,
            name: self.name.clone(),
            weights: self.weights.clone(),
            params: self.params.clone(),
            folded,
            pool: Pool::default(),
        })))
    }

    fn gradients(
        &mut self,
        images: &Images<'_>,
        dropout: DropoutKey,
        loss: &mut LossFn<'_>,
    ) -> Result<Gradients, EngineError> {
        if self.weights.is_none() {
            return Err(EngineError::NoWeights);
        }
        train::gradients(self, images, dropout, loss)
    }

    fn recycle(&mut self, gradients: Gradients) {
        self.pool.spare = gradients.by_param;
    }

    fn release(&mut self) {
        self.pool = Pool::default();
    }
}

/// Keeps the weights of dense layers, which alone are still read by name.
fn keep_flat(program: &Program, weights: &Weights, kept: &mut Weights) {
    for layer in program.head.iter().flatten() {
        if let Flat::Linear { name, .. } = layer {
            for suffix in ["weight", "bias"] {
                let name = format!("{name}.{suffix}");
                if let Some(t) = weights.tensors.get(&name) {
                    kept.tensors.insert(name, t.clone());
                }
            }
        }
    }
}

/// Logits from what the global average pool gives for each image.
fn flat_layers(head: &[Flat], weights: &Weights, n: usize, mut x: Vec<f32>) -> Vec<f32> {
    for layer in head {
        match layer {
            Flat::Linear { name, outputs } => x = linear(&x, weights, name, n, *outputs),
            Flat::Relu => x.iter_mut().for_each(|v| *v = v.max(0.0)),
            Flat::Dropout { .. } => {}
        }
    }
    x
}

/// What a dense layer makes of `n` rows.
fn linear(x: &[f32], weights: &Weights, name: &str, n: usize, outputs: usize) -> Vec<f32> {
    let mut y = vec![0.0; n * outputs];
    let [weight, bias] = ["weight", "bias"].map(|of| weights.values(&format!("{name}.{of}")));
    dense(x, weight, bias, n, &mut y);
    y
}

fn lost() -> EngineError {
    EngineError::Failed("a tensor was given back before its last use".into())
}

/// The images as a convolution reads them.
fn image_source<'a>(step: &Step, blocked: &'a Buffer, images: &Images<'a>, channels: usize) -> Source<'a> {
    match &step.kind {
        Kind::Conv { plan, .. } if plan.plane => Source::plane(images.values),
        _ => Source::plain(blocked, channels),
    }
}

/// Rows (columns) of the grid that a step's kernel works on, its result having `size`.
fn grid(step: &Step, size: usize) -> usize {
    match &step.kind {
        Kind::Conv { plan, .. } if plan.output_grid == gg_kernels::Sampling::Double => size / 2,
        _ => size,
    }
}

/// Rows and columns of a step's first input.
fn input_size(step: &Step, sizes: &[(usize, usize)], images: &Images<'_>) -> (usize, usize) {
    match step.inputs[0] {
        From::Image => (images.height, images.width),
        From::Step(s) => sizes[s],
    }
}
