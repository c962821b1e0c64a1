//! Where a classifier looks: Grad-CAM from the gradient, occlusion from the probability alone.
//!
//! * Grad-CAM: `relu(sum over c of a_c A_c)`, where `A_c` are the maps of the last convolution (its ReLU taken along) and
//!   `a_c` the mean over all pixels of the logit's derivative by `A_c`. Positive where more activity there would raise the
//!   probability. Source: Selvaraju et al., ICCV 2017, doi 10.1109/ICCV.2017.74. Golden set: `nn/grad_cam`.
//! * Occlusion: a square of the slice's mean grey slides over the picture; each pixel gets the mean drop of the probability
//!   over the squares that covered it. Source: Zeiler and Fergus, ECCV 2014, doi 10.1007/978-3-319-10590-1_53.
//!
//! The derivative comes from the backward pass of the engine and so holds for any network; occlusion knows nothing of
//! the network at all, and is the check of the former.

use crate::bundle::Bundle;
use crate::engine::{Arithmetic, BurnEngine, Engine, EngineError, Images, LayerGradient};
use crate::net::{Graph, Op};
use crate::predict::{PREDICT_BATCH, Predictor};

/// A map over the square picture that a classifier saw.
#[derive(Debug, Clone, PartialEq)]
pub struct SaliencyMap {
    /// Rows and columns: those of the network's maps, or of the picture.
    pub side: [usize; 2],
    /// One value per pixel.
    pub values: Vec<f32>,
}

/// Grad-CAM of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct GradCam {
    /// Name of the layer whose maps are summed.
    pub layer: String,
    /// The logit of the picture.
    pub logit: f32,
    /// The map, at the size of the layer's output; never negative.
    pub map: SaliencyMap,
}

/// The square that hides a part of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// Its side in pixels of the picture.
    pub side: usize,
    /// How far it moves.
    pub step: usize,
}

/// Occlusion of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Occlusion {
    /// Probability of the picture as it is.
    pub probability: f32,
    /// Largest drop under any square.
    pub largest_drop: f32,
    /// Mean drop over the squares that cover a pixel, at the size of the picture; negative where hiding it raised the
    /// probability.
    pub map: SaliencyMap,
}

/// The layer that Grad-CAM looks at: the last convolution, with the normalisation and the ReLU that directly follow.
/// `None` where there is no convolution.
pub fn last_maps(graph: &Graph) -> Option<usize> {
    let is_conv = |op: &Op| matches!(op, Op::Conv { kernel, .. } if *kernel > 1);
    let mut at = graph.layers.iter().rposition(|l| is_conv(&l.op))?;
    loop {
        let users: Vec<usize> =
            (0..graph.layers.len()).filter(|&i| graph.layers[i].inputs.contains(&at)).collect();
        match users[..] {
            [next] if graph.layers[next].op == Op::Relu => return Some(next),
            [next] if matches!(graph.layers[next].op, Op::BatchNorm { .. }) => at = next,
            _ => return Some(at),
        }
    }
}

/// Grad-CAM of one prepared slice with its neighbours as channels.
///
/// # Errors
/// A picture of another size than the model's preparation says; a network without a convolution.
pub fn grad_cam(bundle: &Bundle, picture: &[&[u8]]) -> Result<GradCam, EngineError> {
    if !bundle.info.members.is_empty() {
        return Err(EngineError::Failed(format!(
            "found {} networks in the model, right would be a bundle of one of them: Grad-CAM is of one network",
            bundle.info.members.len()
        )));
    }
    let graph = bundle.graph()?;
    let side = bundle.info.prepare.size;
    let values: Vec<f32> = picture.iter().flat_map(|s| s.iter()).map(|&v| f32::from(v) / 255.0).collect();
    let images = Images { values: &values, n: 1, height: side, width: side };
    let layer = last_maps(&graph)
        .ok_or_else(|| EngineError::Failed("a network without a convolution has no maps".into()))?;
    let mut engine = BurnEngine::new(graph.clone());
    engine.set_weights(&bundle.weights)?;
    let logit = engine.predict(&images)?.into_iter().sum();
    let found = engine.layer_gradient(&images, layer)?;
    Ok(GradCam { layer: graph.layers[layer].name.clone(), logit, map: weighted_maps(&found) })
}

/// `relu(sum over c of mean(gradient_c) * values_c)` of the first image.
pub fn weighted_maps(found: &LayerGradient) -> SaliencyMap {
    let [channels, h, w] = found.shape;
    let plane = (h * w).max(1);
    let mut values = vec![0.0f64; h * w];
    let maps = found.values.chunks_exact(plane).zip(found.gradient.chunks_exact(plane));
    for (map, gradient) in maps.take(channels) {
        let weight = gradient.iter().map(|g| f64::from(*g)).sum::<f64>() / plane as f64;
        values.iter_mut().zip(map).for_each(|(sum, v)| *sum += weight * f64::from(*v));
    }
    SaliencyMap { side: [h, w], values: values.into_iter().map(|v| v.max(0.0) as f32).collect() }
}

/// Occlusion of one prepared slice with its neighbours as channels; the square hides the same place in all of them.
/// `told` hears how many squares of how many are done.
///
/// # Errors
/// A picture of another size than the model's preparation says; a segmentation network.
pub fn occlusion(
    bundle: &Bundle,
    arithmetic: Arithmetic,
    picture: &[&[u8]],
    patch: Patch,
    told: &mut dyn FnMut(usize, usize),
) -> Result<Occlusion, EngineError> {
    let mut predictor = Predictor::load(bundle, arithmetic)?;
    let side = bundle.info.prepare.size;
    let whole = predictor.predict(&[picture.to_vec()])?;
    let [probability] = whole.first().map_or(&[][..], Vec::as_slice)[..] else {
        return Err(EngineError::Failed("a segmentation network gives no single probability".into()));
    };
    let grey: Vec<u8> = picture
        .iter()
        .map(|s| {
            let sum: u64 = s.iter().map(|&v| u64::from(v)).sum();
            ((sum + s.len() as u64 / 2) / (s.len() as u64).max(1)) as u8
        })
        .collect();
    let corners = corners(side, patch);
    let (mut drops, mut covers) = (vec![0.0f64; side * side], vec![0u32; side * side]);
    let mut largest_drop = f32::NEG_INFINITY;
    for (done, batch) in corners.chunks(PREDICT_BATCH).enumerate() {
        let hidden: Vec<Vec<Vec<u8>>> = batch
            .iter()
            .map(|&(y, x)| {
                let hide = |(slice, &grey): (&&[u8], &u8)| {
                    let mut slice = slice.to_vec();
                    for row in slice.chunks_exact_mut(side).skip(y).take(patch.side) {
                        row[x..(x + patch.side).min(side)].fill(grey);
                    }
                    slice
                };
                picture.iter().zip(&grey).map(hide).collect()
            })
            .collect();
        let pictures: Vec<Vec<&[u8]>> =
            hidden.iter().map(|channels| channels.iter().map(Vec::as_slice).collect()).collect();
        for (found, &(y, x)) in predictor.predict(&pictures)?.iter().zip(batch) {
            let drop = probability - found.first().copied().unwrap_or(probability);
            largest_drop = largest_drop.max(drop);
            for row in y..(y + patch.side).min(side) {
                for at in row * side + x..row * side + (x + patch.side).min(side) {
                    drops[at] += f64::from(drop);
                    covers[at] += 1;
                }
            }
        }
        told((done * PREDICT_BATCH + batch.len()).min(corners.len()), corners.len());
    }
    let values = drops.iter().zip(&covers).map(|(d, &n)| (d / f64::from(n.max(1))) as f32).collect();
    Ok(Occlusion { probability, largest_drop, map: SaliencyMap { side: [side, side], values } })
}

/// Upper left corners of all squares, the last ones flush with the far edges, so that each pixel is covered.
fn corners(side: usize, patch: Patch) -> Vec<(usize, usize)> {
    let last = side.saturating_sub(patch.side);
    let mut along: Vec<usize> = (0..last).step_by(patch.step.max(1)).collect();
    along.push(last);
    along.iter().flat_map(|&y| along.iter().map(move |&x| (y, x))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_cover_every_pixel_and_none_reaches_beyond_the_edge() {
        for (side, patch) in [
            (32, Patch { side: 4, step: 2 }),
            (33, Patch { side: 8, step: 5 }),
            (8, Patch { side: 8, step: 3 }),
        ] {
            let mut covered = vec![false; side];
            for (y, x) in corners(side, patch) {
                assert!(y + patch.side <= side && x + patch.side <= side);
                covered[y..y + patch.side].fill(true);
            }
            assert!(covered.iter().all(|&c| c), "{side} {patch:?}");
        }
    }

    #[test]
    fn a_map_whose_rise_would_lower_the_logit_is_left_dark() {
        let found = LayerGradient {
            shape: [2, 1, 2],
            values: vec![1.0, 2.0, 3.0, 0.0],
            gradient: vec![1.0, 0.0, -1.0, -1.0],
        };
        // 0.5 * [1, 2] - 1 * [3, 0] = [-2.5, 1]
        assert_eq!(weighted_maps(&found).values, [0.0, 1.0]);
    }
}
