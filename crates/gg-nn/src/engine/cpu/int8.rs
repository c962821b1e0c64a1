//! Prediction in bytes: the same [`Program`], every tensor between two convolutions stored as bytes of 7 bits whose
//! scale a [`Calibration`] fixed beforehand (see `gg_kernels::Conv8`). Convolutions of the image and the last 1x1
//! multiply in fp32.

use super::program::{From, Kind, Program};
use super::store::Pool;
use super::{PIXELS_AT_ONCE, Sizes, flat_layers, input_size, keep_flat, lost};
use crate::calibration::Calibration;
use crate::engine::{Arithmetic, DropoutKey, Engine, EngineError, Gradients, Images, Isa, LossFn, Precision};
use crate::net::Graph;
use crate::weights::Weights;
use gg_kernels::{
    After8, Buffer, ByteShape, Conv8, ImageConv, Kind8, Quant, Sampling, Source8, add8, convolve_image,
    convolve8, logits8, max_pool8, means8, norm_of_running,
};
use std::sync::Arc;

/// gg-kernels in int8; it predicts and does not train.
pub struct Int8Engine {
    graph: Graph,
    program: Program,
    isa: Isa,
    name: String,
    /// What the bytes of each step's result mean.
    quants: Vec<Quant>,
    layers: Arc<Vec<Layer>>,
    /// The values of dense layers as they came.
    weights: Option<Arc<Weights>>,
    pool: Pool,
}

/// One step as it is computed.
enum Layer {
    Image(ImageConv),
    Conv(Conv8),
    Logits { weights: Vec<f32>, bias: f32, relu: bool },
    Pool(Option<(Vec<f32>, Vec<f32>)>),
    Add { relu: bool },
    Nothing,
}

impl Int8Engine {
    /// Whether there is a kernel for each layer.
    ///
    /// # Errors
    /// The first layer without one.
    pub fn check(graph: &Graph) -> Result<(), EngineError> {
        check_steps(graph, &Program::to_predict(graph)?)
    }

    /// An engine for this network and these ranges.
    ///
    /// # Errors
    /// A network that these kernels have no steps for; ranges that are not those of the network.
    pub fn new(graph: Graph, isa: Isa, calibration: &Calibration) -> Result<Self, EngineError> {
        let program = Program::to_predict(&graph)?;
        check_steps(&graph, &program)?;
        let mut quants = Vec::new();
        for step in &program.steps {
            let of_input = |quants: &[Quant]| match step.inputs.first() {
                Some(From::Step(s)) => Ok(quants[*s]),
                _ => Err(lost()),
            };
            quants.push(match &step.kind {
                Kind::Dropout { .. } => of_input(&quants)?,
                Kind::Pool if step.norm.is_none() => of_input(&quants)?,
                _ => {
                    let name = &graph.layers[step.layer].name;
                    let [low, high] = calibration.range(name)?;
                    Quant::of_range(low, high)
                }
            });
        }
        let name = format!("cpu-{isa}-int8");
        Ok(Self {
            graph,
            program,
            isa,
            name,
            quants,
            layers: Arc::default(),
            weights: None,
            pool: Pool::default(),
        })
    }

    fn layer(&self, i: usize, weights: &Weights) -> Layer {
        let (step, quant) = (&self.program.steps[i], self.quants[i]);
        let norm = step.norm.as_ref().map(|n| {
            let get = |suffix: &str| weights.values(&format!("{}.{suffix}", n.name));
            let norm =
                norm_of_running(get("running_mean"), get("running_var"), get("weight"), get("bias"), n.eps);
            (norm.scale, norm.shift)
        });
        let (plan, name, bias, relu) = match &step.kind {
            Kind::Conv { plan, name, bias, relu } => (plan, name, bias, relu),
            Kind::Pool => return Layer::Pool(norm),
            Kind::Add { relu } => return Layer::Add { relu: *relu },
            Kind::Dropout { .. } | Kind::Gate => return Layer::Nothing,
        };
        let values = weights.values(&format!("{name}.weight"));
        let zeros = vec![0.0; step.channels];
        let bias = if *bias { weights.values(&format!("{name}.bias")) } else { &zeros };
        // A ReLU after the batch norm is the cut at 0 when the results become bytes, whose least one then means 0.
        let after =
            After8 { bias, relu: *relu, norm: norm.as_ref().map(|(f, s)| (f.as_slice(), s.as_slice())) };
        if step.inputs == [From::Image] {
            let values = if plan.kernel == 1 { &in_the_middle(values) } else { values };
            return Layer::Image(ImageConv::new(plan.inputs[0], step.channels, values, after, quant));
        }
        let kind = match (plan.kernel, plan.output_grid) {
            (3, _) => Kind8::Same3x3,
            (_, Sampling::Double) => Kind8::Up2x2,
            _ if gives_logits(&self.program, i) => {
                return Layer::Logits { weights: values.to_vec(), bias: bias[0], relu: *relu };
            }
            _ => Kind8::Same1x1,
        };
        let inputs: Vec<(usize, Quant)> = step
            .inputs
            .iter()
            .zip(&plan.inputs)
            .map(|(from, c)| match from {
                From::Step(s) => (*c, self.quants[*s]),
                From::Image => (*c, quant), // refused by `check_steps`
            })
            .collect();
        Layer::Conv(Conv8::new(self.isa, kind, &inputs, step.channels, values, after, quant))
    }

    /// The step whose tensor is read: dropout does nothing here.
    fn resolve(&self, from: From) -> From {
        let mut from = from;
        while let From::Step(s) = from {
            match self.program.steps[s].kind {
                Kind::Dropout { .. } => from = self.program.steps[s].inputs[0],
                _ => break,
            }
        }
        from
    }

    /// Logits of a few images.
    fn predict_some(
        &self,
        pool: &mut Pool,
        images: &Images<'_>,
        sizes: &Sizes,
    ) -> Result<Vec<f32>, EngineError> {
        let (isa, n) = (self.isa, images.n);
        let steps = &self.program.steps;
        let mut last_use = vec![usize::MAX; steps.len()];
        for (i, step) in steps.iter().enumerate() {
            for from in &step.inputs {
                if let From::Step(s) = self.resolve(*from) {
                    last_use[s] = i;
                }
            }
        }
        let mut buffers: Vec<Option<Buffer>> = (0..steps.len()).map(|_| None).collect();
        for (i, step) in steps.iter().enumerate() {
            let (h, w) = sizes[i];
            let tensor = |from: &From| match self.resolve(*from) {
                From::Step(s) => Ok((bytes(buffers[s].as_ref().ok_or_else(lost)?), s)),
                From::Image => Err(lost()),
            };
            let shape = ByteShape::new(n, step.channels, h, w);
            let mut out = match self.layers[i] {
                Layer::Logits { .. } | Layer::Nothing => Buffer::default(),
                _ => pool.take(shape.len().div_ceil(4)),
            };
            let to: &mut [u8] = bytemuck::cast_slice_mut(&mut out);
            match &self.layers[i] {
                Layer::Nothing => continue,
                Layer::Image(conv) => convolve_image(isa, conv, (n, h, w), images.values, to),
                Layer::Conv(conv) => {
                    let mut sources = Vec::new();
                    for from in &step.inputs {
                        let (data, s) = tensor(from)?;
                        sources.push(Source8 { data, channels: steps[s].channels });
                    }
                    let size = input_size(step, sizes, images);
                    convolve8(isa, conv, (n, size.0, size.1), &sources, to);
                }
                Layer::Pool(norm) => {
                    let (data, s) = tensor(&step.inputs[0])?;
                    let (ih, iw) = sizes[s];
                    let norm = norm.as_ref().map(|(f, s)| (f.as_slice(), s.as_slice()));
                    let quants = (self.quants[s], self.quants[i]);
                    max_pool8(isa, ByteShape::new(n, step.channels, ih, iw), data, quants, norm, to);
                }
                Layer::Add { relu } => {
                    let (a, s) = tensor(&step.inputs[0])?;
                    let (b, t) = tensor(&step.inputs[1])?;
                    let from = [(a, self.quants[s]), (b, self.quants[t])];
                    add8(isa, shape, from, (*relu, self.quants[i]), to);
                }
                Layer::Logits { weights, bias, relu } => {
                    let (data, s) = tensor(&step.inputs[0])?;
                    let shape = ByteShape::new(n, steps[s].channels, h, w);
                    let mut logits = vec![0.0; n * h * w];
                    logits8(isa, shape, (data, self.quants[s]), (weights, *bias), &mut logits);
                    buffers.into_iter().flatten().for_each(|b| pool.give(b));
                    if *relu {
                        logits.iter_mut().for_each(|z| *z = z.max(0.0));
                    }
                    let Some(head) = &self.program.head else { return Ok(logits) };
                    let means = logits.chunks_exact((h * w).max(1)).map(mean).collect();
                    return Ok(flat_layers(
                        head,
                        self.weights.as_ref().ok_or(EngineError::NoWeights)?,
                        n,
                        means,
                    ));
                }
            }
            buffers[i] = Some(out);
            for (s, last) in last_use.iter().enumerate() {
                if *last == i
                    && let Some(buffer) = buffers[s].take()
                {
                    pool.give(buffer);
                }
            }
        }
        let (Some(head), From::Step(last)) = (&self.program.head, self.resolve(From::Step(steps.len() - 1)))
        else {
            return Err(lost());
        };
        let out = buffers[last].take().ok_or_else(lost)?;
        let (h, w) = sizes[last];
        let x = means8(ByteShape::new(n, steps[last].channels, h, w), (bytes(&out), self.quants[last]));
        pool.give(out);
        Ok(flat_layers(head, self.weights.as_ref().ok_or(EngineError::NoWeights)?, n, x))
    }
}

/// Whether there is a kernel for each step.
fn check_steps(graph: &Graph, program: &Program) -> Result<(), EngineError> {
    for (i, step) in program.steps.iter().enumerate() {
        let of_image = step.inputs.contains(&From::Image);
        let known = match &step.kind {
            Kind::Pool | Kind::Dropout { .. } | Kind::Add { .. } => true,
            Kind::Gate => false,
            Kind::Conv { .. } if of_image => step.inputs.len() == 1,
            Kind::Conv { .. } => true,
        };
        let ends_well = i + 1 < program.steps.len() || program.head.is_some() || gives_logits(program, i);
        if !(known && ends_well) {
            return Err(EngineError::NoInt8 { layer: graph.layers[step.layer].name.clone() });
        }
    }
    Ok(())
}

/// Whether a 1x1 convolution is the last one, to one channel: floats, not bytes.
fn gives_logits(program: &Program, i: usize) -> bool {
    let step = &program.steps[i];
    let Kind::Conv { plan, .. } = &step.kind else { return false };
    let to_one = plan.kernel == 1 && plan.output_grid == Sampling::Same && step.channels == 1;
    let of_one = matches!(step.inputs.as_slice(), [From::Step(_)]);
    i + 1 == program.steps.len() && to_one && of_one && step.norm.is_none()
}

/// The weights of a 1x1 convolution as those of a 3x3 one: a projection of the image is next to nothing of the work.
fn in_the_middle(weights: &[f32]) -> Vec<f32> {
    weights.iter().flat_map(|w| [0.0, 0.0, 0.0, 0.0, *w, 0.0, 0.0, 0.0, 0.0]).collect()
}

/// Mean of one image's logits, added in one order at any number of threads.
fn mean(values: &[f32]) -> f32 {
    (values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64) as f32
}

fn bytes(buffer: &Buffer) -> &[u8] {
    bytemuck::cast_slice(buffer)
}

impl Engine for Int8Engine {
    fn name(&self) -> &str {
        &self.name
    }

    fn arithmetic(&self) -> Arithmetic {
        Arithmetic { isa: self.isa, precision: Precision::Int8 }
    }

    fn set_weights(&mut self, weights: &Weights) -> Result<(), EngineError> {
        weights.check(&self.graph)?;
        self.layers = Arc::default();
        self.layers = Arc::new((0..self.program.steps.len()).map(|i| self.layer(i, weights)).collect());
        keep_flat(&self.program, weights, Arc::make_mut(self.weights.get_or_insert_default()));
        Ok(())
    }

    fn predict(&mut self, images: &Images<'_>) -> Result<Vec<f32>, EngineError> {
        images.check(self.graph.in_channels())?;
        let shapes = self.graph.shapes(images.height, images.width)?;
        let sizes = self.program.sizes(&shapes);
        if self.weights.is_none() {
            return Err(EngineError::NoWeights);
        }
        let mut pool = std::mem::take(&mut self.pool);
        let values = self.graph.in_channels() * images.height * images.width;
        let at_once = (PIXELS_AT_ONCE / (images.height * images.width)).max(1);
        let mut logits = Vec::new();
        for some in images.values.chunks((at_once * values).max(1)) {
            let some = Images { values: some, n: some.len() / values.max(1), ..*images };
            logits.extend(self.predict_some(&mut pool, &some, &sizes)?);
        }
        self.pool = pool;
        Ok(logits)
    }

    fn twin(&mut self, _height: usize, _width: usize) -> Result<Option<Box<dyn Engine>>, EngineError> {
        if self.weights.is_none() {
            return Err(EngineError::NoWeights);
        }
        Ok(Some(Box::new(Self {
            graph: self.graph.clone(),
            program: self.program.clone(),
            isa: self.isa,
            name: self.name.clone(),
            quants: self.quants.clone(),
            layers: self.layers.clone(),
            weights: self.weights.clone(),
            pool: Pool::default(),
        })))
    }

    fn release(&mut self) {
        self.pool = Pool::default();
    }

    fn gradients(
        &mut self,
        _images: &Images<'_>,
        _dropout: DropoutKey,
        _loss: &mut LossFn<'_>,
    ) -> Result<Gradients, EngineError> {
        Err(EngineError::Failed("found training in int8, right would be fp32 or bf16".into()))
    }
}
