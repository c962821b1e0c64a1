//! Executes a [`Graph`] with Burn on its Flex backend; the only file that knows Burn. Gradients by Burn's autodiff, with
//! the loss's derivative given as a constant: the backward pass of `sum(logits * d loss / d logits)`.
//!
//! Images of a prediction go through one by one, so that no result depends on its neighbours in the batch.

use super::{
    Arithmetic, BatchStats, DropoutKey, Engine, EngineError, Gradients, Images, Isa, LayerGradient, LossFn,
    dropout_mask,
};
use crate::net::{Graph, Op};
use crate::weights::{Tensor as Array, Weights};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation, module};
use std::collections::BTreeMap;

/// Burn's Flex backend (CPU: SIMD and rayon).
pub struct BurnEngine {
    graph: Graph,
    device: Device,
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

impl BurnEngine {
    /// An engine for this network.
    pub fn new(graph: Graph) -> Self {
        Self { graph, device: Device::flex(), weights: None, resident: None }
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

    /// Logits, and the statistics of each batch norm in training.
    fn forward(
        &self,
        params: &BTreeMap<String, Param>,
        image: Tensor<4>,
        mode: Mode,
    ) -> Result<(Tensor<4>, Vec<BatchStats>), EngineError> {
        self.forward_through(params, image, mode, &mut |_, value| value)
    }

    /// The same; `through` gets the output of each layer but the input, and what it gives back goes on.
    fn forward_through(
        &self,
        params: &BTreeMap<String, Param>,
        image: Tensor<4>,
        mode: Mode,
        through: &mut dyn FnMut(usize, Tensor<4>) -> Tensor<4>,
    ) -> Result<(Tensor<4>, Vec<BatchStats>), EngineError> {
        let device = image.device();
        let mut last_use = vec![0; self.graph.layers.len()];
        for (i, layer) in self.graph.layers.iter().enumerate() {
            for &j in &layer.inputs {
                last_use[j] = i;
            }
        }
        let mut stats = Vec::new();
        let mut values: Vec<Option<Tensor<4>>> = vec![None; self.graph.layers.len()];
        values[0] = Some(image);
        for (i, layer) in self.graph.layers.iter().enumerate().skip(1) {
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
                    module::conv2d(x, weight, bias, ConvOptions::new([1, 1], [pad, pad], [1, 1], 1))
                }
                Op::ConvTranspose => {
                    let weight = kernel4(params, &name("weight"))?;
                    let bias = Some(vector(params, &name("bias"))?);
                    let options = ConvTransposeOptions::new([2, 2], [0, 0], [0, 0], [1, 1], 1);
                    module::conv_transpose2d(x, weight, bias, options)
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
                            stats.push(BatchStats {
                                layer: layer.name.clone(),
                                mean: plain(out.mean.into_data())?,
                                biased_var: plain(out.variance.into_data())?,
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
                Op::Concat => Tensor::cat(vec![x, take(1)?], 1),
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
        let logits =
            values.pop().flatten().ok_or_else(|| EngineError::Failed("a network without layers".into()))?;
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
        let mut grads = logits.sum().backward();
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
        "burn-flex"
    }

    fn arithmetic(&self) -> Arithmetic {
        Arithmetic::fp32(Isa::detect())
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
        for image in images.values.chunks_exact((channels * images.height * images.width).max(1)) {
            let data = TensorData::new(image.to_vec(), [1, channels, images.height, images.width]);
            let (out, _) = self.forward(&params, Tensor::from_data(data, &self.device), Mode::Predict)?;
            logits.extend(plain(out.into_data())?);
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
        let (out, batch_stats) = self.forward(&params, image, Mode::Train(dropout))?;
        let logits = plain(out.clone().into_data())?;
        let (value, slope) = loss(&logits);
        if slope.len() != logits.len() {
            return Err(EngineError::Len { found: slope.len(), right: logits.len() });
        }
        let slope = Tensor::<4>::from_data(TensorData::new(slope, out.dims()), &device);
        let mut grads = (out * slope).sum().backward();
        let mut by_param = Weights::default();
        for p in self.graph.params.iter().filter(|p| p.trained()) {
            let data = match params.get(&p.name) {
                Some(Param::Vector(t)) => t.grad_remove(&mut grads).map(Tensor::into_data),
                Some(Param::Matrix(t)) => t.grad_remove(&mut grads).map(Tensor::into_data),
                Some(Param::Kernel(t)) => t.grad_remove(&mut grads).map(Tensor::into_data),
                None => None,
            };
            let data = data.ok_or_else(|| EngineError::Failed(format!("no gradient for {}", p.name)))?;
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

fn plain(data: TensorData) -> Result<Vec<f32>, EngineError> {
    data.try_into_vec::<f32>().map_err(|e| EngineError::Failed(format!("{e:?}")))
}
