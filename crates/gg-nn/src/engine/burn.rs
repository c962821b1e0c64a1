//! Executes a [`Graph`] with Burn, on its Flex backend or on a graphics card; this file and `gpu.rs` alone know Burn.
//! Gradients by Burn's autodiff, with the loss's derivative given as a constant: the backward pass of `sum(logits * d loss
//! / d logits)`. In bf16, convolutions round their input and weights and everything else stays fp32, as with our kernels.
//!
//! On the CPU, images of a prediction go through one by one, so that no result depends on its neighbours in the batch; on
//! a card they go through together. Everything that a pass gives is read back at once: a card waits at every reading.

use super::{
    Arithmetic, BatchStats, DropoutKey, Engine, EngineError, Gpu, Gradients, Images, Isa, LayerGradient,
    LossFn, Precision, dropout_mask,
};
use crate::net::{Graph, Op};
use crate::weights::{Tensor as Array, Weights};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor, TensorData, Transaction, activation, module};
use std::collections::BTreeMap;

/// Burn on its Flex backend (CPU: SIMD and rayon), or on a graphics card.
pub struct BurnEngine {
    name: String,
    graph: Graph,
    device: Device,
    arithmetic: Arithmetic,
    /// Images of a prediction that go through together.
    together: usize,
    weights: Option<Weights>,
    resident: Option<BTreeMap<String, Param>>,
}

/// A parameter on the device.
#[derive(Clone)]
enum Param {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
    Kernel(Tensor<4>),
}

/// How a forward pass is meant.
#[derive(Clone, Copy)]
enum Mode {
    Predict,
    Train(DropoutKey),
}

/// What a batch norm found in a batch, on the device.
struct FoundStats {
    layer: String,
    mean: Tensor<1>,
    biased_var: Tensor<1>,
    count: usize,
}

impl BurnEngine {
    /// An engine for this network, on the CPU.
    pub fn new(graph: Graph) -> Self {
        Self {
            name: "burn-flex".to_owned(),
            graph,
            device: Device::flex(),
            arithmetic: Arithmetic::fp32(Isa::detect()),
            together: 1,
            weights: None,
            resident: None,
        }
    }

    /// An engine for this network, on a graphics card that has the precision.
    pub(crate) fn on_gpu(graph: Graph, gpu: &Gpu, arithmetic: Arithmetic) -> Self {
        let info = gpu.info();
        Self {
            name: format!("burn-{} ({})", info.api.name(), info.name),
            device: gpu.device.clone(),
            arithmetic,
            together: usize::MAX,
            ..Self::new(graph)
        }
    }

    /// As convolutions multiply it.
    fn rounded<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if self.arithmetic.precision == Precision::Bf16 { x.cast(DType::BF16) } else { x }
    }

    /// What a convolution gave, in fp32.
    fn widened(&self, y: Tensor<4>) -> Tensor<4> {
        if self.arithmetic.precision == Precision::Bf16 { y.cast(DType::F32) } else { y }
    }

    fn params(&self, device: &Device) -> Result<BTreeMap<String, Param>, EngineError> {
        let weights = self.weights.as_ref().ok_or(EngineError::NoWeights)?;
        let mut params = BTreeMap::new();
        for p in &self.graph.params {
            let data = TensorData::new(weights.values(&p.name).to_vec(), p.shape.clone());
            let param = match p.shape.len() {
                1 => Param::Vector(Tensor::from_data(data, device)),
                2 => Param::Matrix(Tensor::from_data(data, device)),
                _ => Param::Kernel(Tensor::from_data(data, device)),
            };
            params.insert(p.name.clone(), if p.trained() { param.tracked() } else { param });
        }
        Ok(params)
    }

    /// Logits, in training those of side outputs too, and the statistics of each batch norm in training.
    fn forward(
        &self,
        params: &BTreeMap<String, Param>,
        image: Tensor<4>,
        mode: Mode,
    ) -> Result<(Vec<Tensor<4>>, Vec<FoundStats>), EngineError> {
        self.forward_through(params, image, mode, &mut |_, value| value)
    }

    /// The same; `through` gets the output of each layer but the input, and what it gives back goes on.
    fn forward_through(
        &self,
        params: &BTreeMap<String, Param>,
        image: Tensor<4>,
        mode: Mode,
        through: &mut dyn FnMut(usize, Tensor<4>) -> Tensor<4>,
    ) -> Result<(Vec<Tensor<4>>, Vec<FoundStats>), EngineError> {
        let device = image.device();
        let (needed, ends) = match mode {
            Mode::Predict => (self.graph.reaches_output(), vec![self.graph.layers.len() - 1]),
            Mode::Train(_) => (vec![true; self.graph.layers.len()], self.graph.ends()),
        };
        let mut last_use = vec![0; self.graph.layers.len()];
        for (i, layer) in self.graph.layers.iter().enumerate().filter(|(i, _)| needed[*i]) {
            for &j in &layer.inputs {
                last_use[j] = i;
            }
        }
        let mut stats = Vec::new();
        let mut values: Vec<Option<Tensor<4>>> = vec![None; self.graph.layers.len()];
        values[0] = Some(image);
        for (i, layer) in self.graph.layers.iter().enumerate().skip(1).filter(|(i, _)| needed[*i]) {
            let mut take = |k: usize| -> Result<Tensor<4>, EngineError> {
                let j = layer.inputs[k];
                let value = if last_use[j] == i { values[j].take() } else { values[j].clone() };
                value.ok_or_else(|| EngineError::Failed(format!("layer {} has lost its input", layer.name)))
            };
            let x = take(0)?;
            let name = |suffix: &str| format!("{}.{suffix}", layer.name);
            let y = match layer.op {
                Op::Input => x,
                Op::Conv { kernel, bias } => {
                    let weight = kernel4(params, &name("weight"))?;
                    let bias = if bias { Some(vector(params, &name("bias"))?) } else { None };
                    let pad = kernel / 2;
                    let options = ConvOptions::new([1, 1], [pad, pad], [1, 1], 1);
                    let bias = bias.map(|b| self.rounded(b));
                    self.widened(module::conv2d(self.rounded(x), self.rounded(weight), bias, options))
                }
                Op::ConvTranspose => {
                    let weight = kernel4(params, &name("weight"))?;
                    let bias = self.rounded(vector(params, &name("bias"))?);
                    let options = ConvTransposeOptions::new([2, 2], [0, 0], [0, 0], [1, 1], 1);
                    let (x, weight) = (self.rounded(x), self.rounded(weight));
                    self.widened(module::conv_transpose2d(x, weight, Some(bias), options))
                }
                Op::BatchNorm { eps, .. } => {
                    let gamma = vector(params, &name("weight"))?;
                    let beta = vector(params, &name("bias"))?;
                    match mode {
                        Mode::Predict => {
                            let mean = vector(params, &name("running_mean"))?;
                            let var = vector(params, &name("running_var"))?;
                            module::batch_norm(x, gamma, beta, mean, var, eps)
                        }
                        Mode::Train(_) => {
                            let [n, _, h, w] = x.dims();
                            let out = module::batch_norm_train(x, gamma, beta, eps);
                            stats.push(FoundStats {
                                layer: layer.name.clone(),
                                mean: out.mean.inner(),
                                biased_var: out.variance.inner(),
                                count: n * h * w,
                            });
                            out.output
                        }
                    }
                }
                Op::Relu => activation::relu(x),
                Op::MaxPool => {
                    let options = MaxPoolOptions::new([2, 2]);
                    module::max_pool2d(x, options)
                }
                Op::Concat => {
                    let mut all = vec![x];
                    for k in 1..layer.inputs.len() {
                        all.push(take(k)?);
                    }
                    Tensor::cat(all, 1)
                }
                Op::Add => x + take(1)?,
                Op::Gate => x * activation::sigmoid(take(1)?),
                Op::GlobalAvgPool => x.mean_dim(3).mean_dim(2),
                Op::Linear => {
                    let [n, c, ..] = x.dims();
                    let weight = matrix(params, &name("weight"))?;
                    let bias = vector(params, &name("bias"))?;
                    let y = x.reshape([n, c]).matmul(weight.transpose()) + bias.unsqueeze();
                    y.reshape([n, layer.channels, 1, 1])
                }
                Op::Dropout { rate } => match mode {
                    Mode::Predict => x,
                    Mode::Train(key) => {
                        let dims = x.dims();
                        let mask = dropout_mask(key, i, rate, dims.iter().product());
                        x * Tensor::from_data(TensorData::new(mask, dims), &device)
                    }
                },
            };
            values[i] = Some(through(i, y));
        }
        let mut logits = Vec::with_capacity(ends.len());
        for end in ends {
            let found = values[end].take();
            logits.push(found.ok_or_else(|| EngineError::Failed("a network without logits".into()))?);
        }
        Ok((logits, stats))
    }

    /// The output of a layer in prediction mode, and the derivative of the sum of the logits by each of its values: by the
    /// backward pass of everything after that layer, whatever it is made of.
    ///
    /// # Errors
    /// As [`Engine::predict`]; a layer that the network does not have, and the image itself (layer 0).
    pub fn layer_gradient(
        &mut self,
        images: &Images<'_>,
        layer: usize,
    ) -> Result<LayerGradient, EngineError> {
        self.check(images)?;
        let shapes = self.graph.shapes(images.height, images.width)?;
        let shape = *shapes.get(layer).filter(|_| layer > 0).ok_or_else(|| {
            EngineError::Failed(format!("layer {layer}, right would be 1 to {}", shapes.len() - 1))
        })?;
        let device = self.device.clone().autodiff();
        let params = self.params(&device)?;
        let dims = [images.n, self.graph.in_channels(), images.height, images.width];
        let image = Tensor::from_data(TensorData::new(images.values.to_vec(), dims), &device);
        let mut kept = None;
        let (logits, _) = self.forward_through(&params, image, Mode::Predict, &mut |i, value| {
            if i != layer {
                return value;
            }
            let leaf = value.detach().require_grad();
            kept = Some(leaf.clone());
            leaf
        })?;
        let leaf = kept.ok_or_else(|| EngineError::Failed(format!("layer {layer} was not computed")))?;
        let mut grads = first(logits)?.sum().backward();
        let gradient = match leaf.grad_remove(&mut grads) {
            Some(gradient) => plain(gradient.into_data())?,
            None => vec![0.0; images.n * shape.iter().product::<usize>()],
        };
        Ok(LayerGradient { shape, values: plain(leaf.inner().into_data())?, gradient })
    }

    fn check(&self, images: &Images<'_>) -> Result<usize, EngineError> {
        images.check(self.graph.in_channels())?;
        Ok(self.graph.output_len(images.height, images.width)?)
    }
}

impl Engine for BurnEngine {
    fn name(&self) -> &str {
        &self.name
    }

    fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    fn set_weights(&mut self, weights: &Weights) -> Result<(), EngineError> {
        weights.check(&self.graph)?;
        self.weights = Some(weights.clone());
        self.resident = None;
        Ok(())
    }

    fn predict(&mut self, images: &Images<'_>) -> Result<Vec<f32>, EngineError> {
        let per_image = self.check(images)?;
        let params = match self.resident.take() {
            Some(params) => params,
            None => self.params(&self.device)?,
        };
        let mut logits = Vec::with_capacity(images.n * per_image);
        let channels = self.graph.in_channels();
        let one = (channels * images.height * images.width).max(1);
        for some in images.values.chunks(one * self.together.min(images.n.max(1))) {
            let dims = [some.len() / one, channels, images.height, images.width];
            let data = Tensor::from_data(TensorData::new(some.to_vec(), dims), &self.device);
            let (out, _) = self.forward(&params, data, Mode::Predict)?;
            logits.extend(plain(first(out)?.try_into_data().map_err(failed)?)?);
        }
        self.resident = Some(params);
        Ok(logits)
    }

    fn gradients(
        &mut self,
        images: &Images<'_>,
        dropout: DropoutKey,
        loss: &mut LossFn<'_>,
    ) -> Result<Gradients, EngineError> {
        self.check(images)?;
        let device = self.device.clone().autodiff();
        let params = self.params(&device)?;
        let dims = [images.n, self.graph.in_channels(), images.height, images.width];
        let image = Tensor::from_data(TensorData::new(images.values.to_vec(), dims), &device);
        let (ends, found) = self.forward(&params, image, Mode::Train(dropout))?;
        let mut read = Transaction::default();
        for end in &ends {
            read = read.register(end.clone().inner());
        }
        for stats in &found {
            read = read.register(stats.mean.clone()).register(stats.biased_var.clone());
        }
        let mut read = read.try_execute().map_err(failed)?.into_iter();
        let mut next = || read.next().ok_or_else(|| EngineError::Failed("a tensor was not read".into()));
        let mut logits = Vec::new();
        for _ in &ends {
            logits.extend(plain(next()?)?);
        }
        let mut batch_stats = Vec::with_capacity(found.len());
        for FoundStats { layer, count, .. } in found {
            let (mean, biased_var) = (plain(next()?)?, plain(next()?)?);
            batch_stats.push(BatchStats { layer, mean, biased_var, count });
        }
        let (value, slope) = loss(&logits);
        if slope.len() != logits.len() {
            return Err(EngineError::Len { found: slope.len(), right: logits.len() });
        }
        let (mut from, mut sum) = (0, None);
        for end in ends {
            let dims = end.dims();
            let slope = slope[from..from + dims.iter().product::<usize>()].to_vec();
            from += slope.len();
            let part = (end * Tensor::<4>::from_data(TensorData::new(slope, dims), &device)).sum();
            sum = Some(match sum {
                None => part,
                Some(sum) => sum + part,
            });
        }
        let nothing = || EngineError::Failed("a network without logits".into());
        let mut grads = sum.ok_or_else(nothing)?.backward();
        let mut read = Transaction::default();
        for p in self.graph.params.iter().filter(|p| p.trained()) {
            let missing = || EngineError::Failed(format!("no gradient for {}", p.name));
            read = match params.get(&p.name).ok_or_else(missing)? {
                Param::Vector(t) => read.register(t.grad_remove(&mut grads).ok_or_else(missing)?),
                Param::Matrix(t) => read.register(t.grad_remove(&mut grads).ok_or_else(missing)?),
                Param::Kernel(t) => read.register(t.grad_remove(&mut grads).ok_or_else(missing)?),
            };
        }
        let mut by_param = Weights::default();
        let trained = self.graph.params.iter().filter(|p| p.trained());
        for (p, data) in trained.zip(read.try_execute().map_err(failed)?) {
            by_param.tensors.insert(p.name.clone(), Array { shape: p.shape.clone(), values: plain(data)? });
        }
        Ok(Gradients { loss: value, logits, by_param, batch_stats })
    }
}

impl Param {
    fn tracked(self) -> Self {
        match self {
            Self::Vector(t) if t.is_autodiff() => Self::Vector(t.require_grad()),
            Self::Matrix(t) if t.is_autodiff() => Self::Matrix(t.require_grad()),
            Self::Kernel(t) if t.is_autodiff() => Self::Kernel(t.require_grad()),
            other => other,
        }
    }
}

fn lost(name: &str) -> EngineError {
    EngineError::Failed(format!("parameter {name} is missing on the device"))
}

fn vector(params: &BTreeMap<String, Param>, name: &str) -> Result<Tensor<1>, EngineError> {
    match params.get(name) {
        Some(Param::Vector(t)) => Ok(t.clone()),
        _ => Err(lost(name)),
    }
}

fn matrix(params: &BTreeMap<String, Param>, name: &str) -> Result<Tensor<2>, EngineError> {
    match params.get(name) {
        Some(Param::Matrix(t)) => Ok(t.clone()),
        _ => Err(lost(name)),
    }
}

fn kernel4(params: &BTreeMap<String, Param>, name: &str) -> Result<Tensor<4>, EngineError> {
    match params.get(name) {
        Some(Param::Kernel(t)) => Ok(t.clone()),
        _ => Err(lost(name)),
    }
}

/// Why a device could not compute, in its own words, on one line.
fn failed(error: impl std::fmt::Display) -> EngineError {
    let text = error.to_string();
    EngineError::Failed(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The logits that the network ends in.
fn first(logits: Vec<Tensor<4>>) -> Result<Tensor<4>, EngineError> {
    logits.into_iter().next().ok_or_else(|| EngineError::Failed("a network without logits".into()))
}

fn plain(data: TensorData) -> Result<Vec<f32>, EngineError> {
    data.try_into_vec::<f32>().map_err(|e| EngineError::Failed(format!("{e:?}")))
}
