//! A model in use: weights are given to the engine once, slices go through in small batches, probabilities come out.

use crate::bundle::Bundle;
use crate::engine::{Arithmetic, Engine, EngineError, Images, Int8Engine, Precision, Processor, engine_for};
use crate::loss::sigmoid;
use crate::mirror::Mirror;
use crate::net::Block;
use rayon::prelude::*;

/// Pictures to put through a network together: more gain nothing and cost memory.
pub const PREDICT_BATCH: usize = 8;
/// Pixels of the pictures that are put through a network together, of maps of at most two bytes a value: those of eight
/// pictures of the lung network in the box. What `analyze` may need beside the CT (README) was measured with this, a
/// half of it in fp32, and a fifth of networks with residual blocks.
const BATCH_PIXELS: usize = PREDICT_BATCH * 224 * 224;

/// A bundle ready to predict.
pub struct Predictor {
    /// One, or several whose mean answers, each with what its logits are divided by.
    networks: Vec<(Box<dyn Engine>, f32)>,
    size: usize,
    channels: usize,
    batch: usize,
    temperature: f32,
    mirror: Mirror,
}

/// Logits of images; with `mirror` the mean of those and of the images' in that posture.
pub(crate) fn predict_logits(
    engine: &mut dyn Engine,
    images: &Images<'_>,
    mirror: Mirror,
) -> Result<Vec<f32>, EngineError> {
    let mut logits = engine.predict(images)?;
    if !mirror.is_none() {
        let mut values = images.values.to_vec();
        mirror.turn(&mut values, images.height, images.width);
        let mut other = engine.predict(&Images { values: &values, ..*images })?;
        if logits.len() > images.n {
            mirror.turn(&mut other, images.height, images.width);
        }
        logits.par_iter_mut().zip(&other).for_each(|(z, o)| *z = 0.5 * (*z + o));
    }
    Ok(logits)
}

impl Predictor {
    /// Takes a model over, on the engine of this processor.
    ///
    /// # Errors
    /// Weights that do not fit; int8 for a bundle without calibration, and on a graphics card.
    pub fn load(bundle: &Bundle, on: impl Into<Processor>) -> Result<Self, EngineError> {
        let on = on.into();
        let graph = bundle.graph()?;
        let in_fp32 = on.gpu.is_none() && on.arithmetic.precision == Precision::Fp32;
        let mut networks: Vec<(Box<dyn Engine>, f32)> = Vec::new();
        for network in bundle.networks() {
            let mut engine: Box<dyn Engine> = match (on.arithmetic.precision, network.int8) {
                (Precision::Int8, _) if on.gpu.is_some() => return Err(EngineError::GpuInt8),
                (Precision::Int8, Some(ranges)) => {
                    Box::new(Int8Engine::new(graph.clone(), on.arithmetic.isa, ranges)?)
                }
                (Precision::Int8, None) => {
                    Int8Engine::check(&graph)?;
                    return Err(EngineError::NoCalibration);
                }
                _ => engine_for(&graph, on.clone()),
            };
            engine.set_weights(&network.weights)?;
            networks.push((engine, network.temperature));
        }
        let pixels = match (in_fp32, bundle.info.net.block()) {
            (false, _) => BATCH_PIXELS,
            (true, Some(Block::Residual)) => BATCH_PIXELS / 5,
            (true, _) => BATCH_PIXELS / 2,
        };
        let size = bundle.info.prepare.size;
        let batch = (pixels / (size * size).max(1)).clamp(1, PREDICT_BATCH);
        Ok(Self {
            networks,
            size,
            channels: graph.in_channels(),
            batch,
            temperature: bundle.info.temperature,
            mirror: bundle.info.mirror,
        })
    }

    /// Several predictors of one model, for as many threads; where the engine can, they share its weights.
    ///
    /// # Errors
    /// As [`Predictor::load`].
    pub fn load_several(
        bundle: &Bundle,
        on: impl Into<Processor>,
        count: usize,
    ) -> Result<Vec<Self>, EngineError> {
        let on = on.into();
        let mut all: Vec<Self> = Vec::with_capacity(count);
        while all.len() < count {
            let twin = match all.first_mut() {
                Some(first) => first.twin()?,
                None => None,
            };
            all.push(match twin {
                Some(twin) => twin,
                None => Self::load(bundle, on.clone())?,
            });
        }
        Ok(all)
    }

    fn twin(&mut self) -> Result<Option<Self>, EngineError> {
        let mut networks = Vec::with_capacity(self.networks.len());
        for (engine, temperature) in &mut self.networks {
            let Some(twin) = engine.twin(self.size, self.size)? else { return Ok(None) };
            networks.push((twin, *temperature));
        }
        Ok(Some(Self { networks, ..*self }))
    }

    /// The same with probabilities at a temperature of 1, for those who calibrate what they make of several slices.
    pub fn uncalibrated(mut self) -> Self {
        self.temperature = 1.0;
        self
    }

    /// Name of the engine, for manifests.
    pub fn engine_name(&self) -> &str {
        self.networks[0].0.name()
    }

    /// How the engine computes, for manifests.
    pub fn arithmetic(&self) -> Arithmetic {
        self.networks[0].0.arithmetic()
    }

    /// Slices that the network sees at once: 1, or an odd number of neighbours with the predicted one in the middle.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Pictures that are best put through the network together: as many as keep their maps in bounds, at most
    /// [`PREDICT_BATCH`]. In fp32 on the CPU maps take four times the memory of int8, and of a network with residual
    /// blocks more, which keeps what it will add.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Gives back the memory that is kept from one call to the next; the weights stay.
    pub fn release(&mut self) {
        self.networks.iter_mut().for_each(|(engine, _)| engine.release());
    }

    /// Calibrated probabilities of pictures: one per pixel, or one per slice for a classifier. Each picture is the
    /// prepared slice with its neighbours as channels, [`Predictor::channels`] in all.
    ///
    /// All pictures go through the network at once: [`PREDICT_BATCH`] bounds the memory, and on a CPU no result depends
    /// on it.
    ///
    /// # Errors
    /// A slice of another size than the model's preparation says, another number of channels.
    pub fn predict(&mut self, pictures: &[Vec<&[u8]>]) -> Result<Vec<Vec<f32>>, EngineError> {
        let size = self.size;
        let plane = size * size;
        for channels in pictures {
            if let Some(slice) = channels.iter().find(|s| s.len() != plane) {
                return Err(EngineError::Len { found: slice.len(), right: plane });
            }
            if channels.len() != self.channels {
                let (found, right) = (channels.len() * plane, self.channels * plane);
                return Err(EngineError::Len { found, right });
            }
        }
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let mut values = vec![0.0; pictures.len() * self.channels * plane];
        let planes = values.par_chunks_exact_mut(plane).enumerate();
        planes.for_each(|(i, out)| {
            let slice = pictures[i / self.channels][i % self.channels];
            out.iter_mut().zip(slice).for_each(|(o, &v)| *o = f32::from(v) / 255.0);
        });
        let images = Images { values: &values, n: pictures.len(), height: size, width: size };
        let found = self.probabilities(&images)?;
        Ok(found.chunks_exact(found.len() / pictures.len()).map(<[f32]>::to_vec).collect())
    }

    /// Calibrated probabilities of a batch, one picture after the other.
    pub(crate) fn probabilities(&mut self, images: &Images<'_>) -> Result<Vec<f32>, EngineError> {
        let mut found = self.mean_logits(images)?;
        found.par_iter_mut().for_each(|z| *z = sigmoid(*z / self.temperature));
        Ok(found)
    }

    /// Logits of one network as they are; of several the mean of what each says, divided by its temperature.
    fn mean_logits(&mut self, images: &Images<'_>) -> Result<Vec<f32>, EngineError> {
        if let [(engine, _)] = &mut self.networks[..] {
            return predict_logits(engine.as_mut(), images, self.mirror);
        }
        let share = 1.0 / self.networks.len() as f32;
        let mut sum = Vec::new();
        for (engine, temperature) in &mut self.networks {
            let logits = predict_logits(engine.as_mut(), images, self.mirror)?;
            engine.release();
            let factor = share / *temperature;
            sum.resize(logits.len(), 0.0f32);
            sum.par_iter_mut().zip(&logits).for_each(|(s, z)| *s += factor * z);
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{BurnEngine, CpuEngine, Isa};
    use crate::net::{ClassifierBConfig, NetConfig, UnetConfig};
    use crate::weights::Weights;

    #[test]
    fn with_its_mirror_image_a_slice_gets_the_mirrored_logits_of_the_mirrored_slice() {
        let side = 8;
        let values: Vec<f32> = (0..2 * side * side).map(|i| ((i * 37 + 11) % 101) as f32 / 101.0).collect();
        let turn = |values: &[f32], run: usize| -> Vec<f32> {
            values.chunks(run).flat_map(|some| some.iter().rev().copied()).collect()
        };
        let nets = [
            (NetConfig::Unet(UnetConfig { base: 2, levels: 2, ..UnetConfig::default() }), true),
            (
                NetConfig::ClassifierB(ClassifierBConfig { widths: vec![3], dense: 2, ..Default::default() }),
                false,
            ),
        ];
        let postures = [(Mirror::LeftRight, side), (Mirror::HalfTurn, side * side)];
        for ((net, per_pixel), (posture, reversed)) in nets.iter().flat_map(|n| postures.map(|p| (n, p))) {
            let mut engine = BurnEngine::new(net.graph().unwrap());
            engine.set_weights(&Weights::init(net, 1).unwrap()).unwrap();
            let mut run = |values: &[f32], mirror: Mirror| {
                let images = Images { values, n: 2, height: side, width: side };
                predict_logits(&mut engine, &images, mirror).unwrap()
            };
            let turned = turn(&values, reversed);
            let (plain, other) = (run(&values, Mirror::None), run(&turned, Mirror::None));
            let back = |z: Vec<f32>| if *per_pixel { turn(&z, reversed) } else { z };
            let right: Vec<f32> = plain.iter().zip(&back(other)).map(|(a, b)| 0.5 * (a + b)).collect();
            assert_ne!(right, plain);
            assert_eq!(run(&values, posture), right);
            assert_eq!(back(run(&turned, posture)), right);
        }
    }

    #[test]
    fn a_twin_says_the_same_and_keeps_its_weights_where_the_first_gets_others() {
        let net = NetConfig::Unet(UnetConfig { base: 8, levels: 2, ..UnetConfig::default() });
        let values: Vec<f32> = (0..32 * 32).map(|i| ((i * 37 + 11) % 101) as f32 / 101.0).collect();
        let images = Images { values: &values, n: 1, height: 32, width: 32 };
        let mut first = CpuEngine::new(net.graph().unwrap(), Arithmetic::fp32(Isa::detect())).unwrap();
        assert_eq!(first.twin(32, 32).err(), Some(EngineError::NoWeights));
        first.set_weights(&Weights::init(&net, 1).unwrap()).unwrap();
        let mut twin = first.twin(32, 32).unwrap().unwrap();
        let said = first.predict(&images).unwrap();
        assert_eq!(twin.predict(&images).unwrap(), said);
        first.set_weights(&Weights::init(&net, 2).unwrap()).unwrap();
        assert_ne!(first.predict(&images).unwrap(), said);
        assert_eq!(twin.predict(&images).unwrap(), said);
        // Images of another size than that it was made for.
        let small = Images { values: &values[..16 * 16], n: 1, height: 16, width: 16 };
        first.set_weights(&Weights::init(&net, 1).unwrap()).unwrap();
        assert_eq!(twin.predict(&small).unwrap(), first.predict(&small).unwrap());
    }
}
