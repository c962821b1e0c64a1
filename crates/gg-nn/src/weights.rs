//! Weights as plain arrays with names, and their first values.
//!
//! # First values
//! Drawn from ChaCha8 with one stream per parameter (its index in the graph), so that they depend on the seed alone and
//! on no engine. `he_normal` is Keras's: a normal distribution truncated at two standard deviations whose deviation
//! after truncation is `sqrt(2 / fan_in)`; `glorot_uniform` is uniform within `sqrt(6 / (fan_in + fan_out))`.

use crate::net::{Graph, Init, NetConfig, NetError, Param, ParamKind};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

/// Standard deviation of a unit normal after truncation at two deviations (Keras's constant).
const TRUNCATED_NORMAL_STD: f64 = 0.879_625_661_034_239_8;

/// An array with its shape, row-major.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    /// Sizes, slowest first.
    pub shape: Vec<usize>,
    /// As many values as the product of the sizes.
    pub values: Vec<f32>,
}

/// Named arrays of one network, sorted by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    /// By PyTorch-style name, e.g. `down.0.conv1.weight`.
    pub tensors: BTreeMap<String, Tensor>,
}

/// Weights that do not fit their network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WeightsError {
    /// The network needs an array that is not there.
    #[error("no weights named {name}, the network needs them with shape {shape:?}")]
    Missing {
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// An array that the network does not know.
    #[error("weights named {name}, which this network does not have")]
    Extra {
        /// Its name.
        name: String,
    },
    /// An array of another shape.
    #[error("weights {name} have shape {found:?}, the network needs {right:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Shape found.
        found: Vec<usize>,
        /// Shape of the network.
        right: Vec<usize>,
    },
    /// A value that is no number.
    #[error("weights {name} contain a value that is not finite")]
    NotFinite {
        /// Its name.
        name: String,
    },
}

impl Tensor {
    /// An array of one value.
    pub fn filled(shape: &[usize], value: f32) -> Self {
        Self { shape: shape.to_vec(), values: vec![value; shape.iter().product()] }
    }
}

impl Weights {
    /// First weights of a network.
    ///
    /// # Errors
    /// A configuration outside its range.
    pub fn init(net: &NetConfig, seed: u64) -> Result<Self, NetError> {
        let graph = net.graph()?;
        let tensors = graph
            .params
            .iter()
            .enumerate()
            .map(|(i, p)| (p.name.clone(), first_values(p, net.init(), seed, i as u64)))
            .collect();
        Ok(Self { tensors })
    }

    /// Zeros for every trained parameter: moments of an optimiser, sums of gradients.
    pub(crate) fn zeros_of_trained(graph: &Graph) -> Self {
        let tensors = graph
            .params
            .iter()
            .filter(|p| p.trained())
            .map(|p| (p.name.clone(), Tensor::filled(&p.shape, 0.0)))
            .collect();
        Self { tensors }
    }

    /// Takes over every layer whose arrays `other` all has, with the same names and shapes; gives how many arrays.
    pub(crate) fn take_from(&mut self, other: &Weights) -> usize {
        let misfits = other.misfits(self.tensors.iter().map(|(name, t)| (name.as_str(), t.shape.as_slice())));
        let mut taken = 0;
        for (name, tensor) in &mut self.tensors {
            if let Some(found) = other.tensors.get(name).filter(|_| !misfits.contains(layer_of(name))) {
                tensor.clone_from(found);
                taken += 1;
            }
        }
        taken
    }

    /// How many arrays a network could take over from these.
    pub fn shared_with(&self, graph: &Graph) -> usize {
        let arrays = || graph.params.iter().map(|p| (p.name.as_str(), p.shape.as_slice()));
        let misfits = self.misfits(arrays());
        arrays().filter(|(name, _)| !misfits.contains(layer_of(name))).count()
    }

    /// The layers of which an array is not here in its shape.
    fn misfits<'a>(&self, arrays: impl Iterator<Item = (&'a str, &'a [usize])>) -> BTreeSet<String> {
        let fits = |name: &str, shape: &[usize]| self.tensors.get(name).is_some_and(|t| t.shape == shape);
        arrays.filter(|(name, shape)| !fits(name, shape)).map(|(name, _)| layer_of(name).to_owned()).collect()
    }

    /// Values of one array, or the empty slice.
    pub fn values(&self, name: &str) -> &[f32] {
        self.tensors.get(name).map_or(&[], |t| &t.values)
    }

    /// Whether these are exactly the arrays that the network needs, in shape and finite.
    ///
    /// # Errors
    /// The first array that is missing, of another shape, not finite, or too much.
    pub fn check(&self, graph: &Graph) -> Result<(), WeightsError> {
        for p in &graph.params {
            let Some(t) = self.tensors.get(&p.name) else {
                return Err(WeightsError::Missing { name: p.name.clone(), shape: p.shape.clone() });
            };
            if t.shape != p.shape || t.values.len() != p.len() {
                return Err(WeightsError::Shape {
                    name: p.name.clone(),
                    found: t.shape.clone(),
                    right: p.shape.clone(),
                });
            }
            // Whole runs at a time, which the compiler can turn into vectors.
            if !t.values.chunks(1024).all(|run| run.iter().fold(true, |ok, v| ok & v.is_finite())) {
                return Err(WeightsError::NotFinite { name: p.name.clone() });
            }
        }
        if self.tensors.len() > graph.params.len() {
            let known: BTreeSet<&str> = graph.params.iter().map(|p| p.name.as_str()).collect();
            if let Some(name) = self.tensors.keys().find(|n| !known.contains(n.as_str())) {
                return Err(WeightsError::Extra { name: name.clone() });
            }
        }
        Ok(())
    }
}

/// The layer of an array's name.
fn layer_of(array: &str) -> &str {
    array.rsplit_once('.').map_or(array, |(layer, _)| layer)
}

fn first_values(p: &Param, init: Init, seed: u64, stream: u64) -> Tensor {
    let (fan_in, fan_out) = match p.kind {
        ParamKind::Weight { fan_in, fan_out } => (fan_in, fan_out),
        ParamKind::Bias | ParamKind::RunningMean => return Tensor::filled(&p.shape, 0.0),
        ParamKind::Gamma | ParamKind::RunningVar => return Tensor::filled(&p.shape, 1.0),
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    let values = match init {
        Init::HeNormal => {
            let std = (2.0 / fan_in as f64).sqrt() / TRUNCATED_NORMAL_STD;
            (0..p.len()).map(|_| (truncated_normal(&mut rng) * std) as f32).collect()
        }
        Init::GlorotUniform => {
            let limit = (6.0 / (fan_in + fan_out) as f64).sqrt();
            (0..p.len()).map(|_| ((2.0 * unit(&mut rng) - 1.0) * limit) as f32).collect()
        }
    };
    Tensor { shape: p.shape.clone(), values }
}

/// Uniform in `[0, 1)` with 53 bits.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Unit normal by Box and Muller, drawn again beyond two deviations.
fn truncated_normal(rng: &mut ChaCha8Rng) -> f64 {
    loop {
        let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
        let x = radius * (std::f64::consts::TAU * unit(rng)).cos();
        if x.abs() <= 2.0 {
            return x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::UnetConfig;

    fn small() -> NetConfig {
        NetConfig::Unet(UnetConfig { base: 8, levels: 3, ..UnetConfig::default() })
    }

    #[test]
    fn one_seed_gives_one_set_of_first_weights_and_another_seed_another() {
        let a = Weights::init(&small(), 7).unwrap();
        assert_eq!(a, Weights::init(&small(), 7).unwrap());
        assert_ne!(a, Weights::init(&small(), 8).unwrap());
        a.check(&small().graph().unwrap()).unwrap();
    }

    #[test]
    fn he_normal_weights_have_the_variance_two_over_fan_in() {
        let w = Weights::init(&small(), 1).unwrap();
        let v = w.values("dec.1.conv1.weight");
        let var = v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / v.len() as f64;
        let right = 2.0 / (16.0 * 9.0);
        assert!((var / right - 1.0).abs() < 0.15, "{var} against {right}");
    }

    #[test]
    fn weights_that_do_not_fit_are_named_with_both_shapes() {
        let graph = small().graph().unwrap();
        let good = Weights::init(&small(), 1).unwrap();
        let mut missing = good.clone();
        missing.tensors.remove("out.bias");
        let mut extra = good.clone();
        extra.tensors.insert("other.weight".into(), Tensor::filled(&[1], 0.0));
        let mut shape = good.clone();
        shape.tensors.insert("out.bias".into(), Tensor::filled(&[2], 0.0));
        let mut nan = good;
        nan.tensors.insert("out.bias".into(), Tensor::filled(&[1], f32::NAN));
        for (weights, message) in [
            (missing, "no weights named out.bias, the network needs them with shape [1]"),
            (extra, "weights named other.weight, which this network does not have"),
            (shape, "weights out.bias have shape [2], the network needs [1]"),
            (nan, "weights out.bias contain a value that is not finite"),
        ] {
            assert_eq!(weights.check(&graph).unwrap_err().to_string(), message);
        }
    }
}
